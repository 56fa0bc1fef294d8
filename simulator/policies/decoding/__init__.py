"""How an answer is decoded."""

from simulator.policies.decoding.protocol import (
    OWN,
    QUESTION,
    Decoding,
    Generation,
    Piece,
    Question,
    check_generations,
    continued,
    visible_edges,
)

__all__ = [
    "OWN",
    "QUESTION",
    "Decoding",
    "Generation",
    "Piece",
    "Question",
    "check_generations",
    "continued",
    "visible_edges",
]
