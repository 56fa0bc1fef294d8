"""How a group of phones shares the downloads and the super-resolution of one video."""

from simulator.policies.collaboration.protocol import (
    EVERYONE,
    Assignment,
    ChunkScheduler,
    ChunkView,
    Collaboration,
    Combination,
    Decision,
    GroupAbr,
    GroupView,
    IterationReport,
    PhoneView,
    Stage,
)

__all__ = [
    "EVERYONE",
    "Assignment",
    "ChunkScheduler",
    "ChunkView",
    "Collaboration",
    "Combination",
    "Decision",
    "GroupAbr",
    "GroupView",
    "IterationReport",
    "PhoneView",
    "Stage",
]
