"""Which nodes of generated answers need which: the key ``graph`` of a `simulator.workloads.spec.Questions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from devices.quantity import Count, Ratio, Tagged


@dataclass(frozen=True, slots=True)
class ByCategory:
    """Dependencies at random, by the category of the question (assumed, see docs/calibration.md)."""

    shape: Literal["by_category"] = "by_category"
    """Shape of the graphs."""
    density: float = 1.0
    """Factor on the categories' share of dependent nodes, which is cut at 1; from 0."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Each node needs the one before."""

    shape: Literal["chain"] = "chain"
    """Shape of the graphs."""


@dataclass(frozen=True, slots=True)
class Star:
    """All nodes need the first one and nothing else."""

    shape: Literal["star"] = "star"
    """Shape of the graphs."""


@dataclass(frozen=True, slots=True)
class Independent:
    """No node needs another."""

    shape: Literal["independent"] = "independent"
    """Shape of the graphs."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Node i needs node (i - 1) // fanout: a full tree."""

    shape: Literal["tree"] = "tree"
    """Shape of the graphs."""
    fanout: Count = 2
    """Children of a node."""


@dataclass(frozen=True, slots=True)
class Layered:
    """Layers of nodes; a node needs each node of the layer before with a given probability, and at least one."""

    layers: Count
    """Layers, over which the nodes are spread evenly."""
    probability: Ratio = 0.5
    """Probability of each dependency between neighbouring layers."""
    shape: Literal["layered"] = "layered"
    """Shape of the graphs."""


GraphShape = Annotated[
    ByCategory | Chain | Star | Independent | Tree | Layered, Tagged("shape", shorthand=True)
]
