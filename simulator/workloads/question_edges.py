"""Which nodes of generated answers need which: at random by category, or in one of the plain shapes.

All answers are drawn together. A pair (child, parent) holds places in the flat list of all nodes; pairs come in
ascending order. Draws do not depend on which nodes turn out to be dependent, so that a denser graph has the
dependencies of a thinner one and more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.workloads.graph_shapes import ByCategory, Chain, GraphShape, Independent, Layered, Star, Tree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pairs = tuple[Ints, Ints]
"""Children and parents, both of shape (edges,)."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """Where the nodes of n answers stand in one list."""

    counts: Ints
    """Shape (n,). Nodes of each answer, at least 1."""
    first: Ints
    """Shape (nodes,). Place of the first node of a node's answer."""
    local: Ints
    """Shape (nodes,). Place of a node within its answer."""
    answer: Ints
    """Shape (nodes,). The answer that a node belongs to."""

    @classmethod
    def of(cls, counts: Ints) -> Nodes:
        """Lay out answers of that many nodes."""
        offsets = np.cumsum(counts) - counts
        first = np.repeat(offsets, counts)
        return cls(counts, first, np.arange(len(first)) - first, np.repeat(np.arange(len(counts)), counts))

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True, slots=True)
class Tendency:
    """How dependent the nodes of each category are."""

    dependent: Floats
    """Shape (categories,). Share of nodes other than the first that need an earlier one."""
    parents: Floats
    """Shape (categories,). Mean number of nodes that those need; from 1."""
    latest: float
    """Probability that the node just before is among them."""


def draw_edges(
    shape: GraphShape,
    nodes: Nodes,
    category: Ints,
    tendency: Tendency,
    stream: Callable[[str], np.random.Generator],
) -> Pairs:
    """Return the dependencies of all answers.

    Parameters
    ----------
    shape
        What is asked for.
    nodes
        The nodes of n answers.
    category
        Shape (n,). Category of each answer, for `ByCategory`; so is `tendency`.
    tendency
        How dependent the nodes of a category are.
    stream
        Gives the random generator of a purpose: ``dependent`` (which nodes need any), ``parents`` (which ones).
    """
    place = np.arange(len(nodes))
    later = place[nodes.local > 0]
    match shape:
        case Independent():
            return place[:0], place[:0]
        case Chain():
            return later, later - 1
        case Star():
            return later, nodes.first[later]
        case Tree():
            return later, nodes.first[later] + (nodes.local[later] - 1) // shape.fanout
        case Layered():
            return _layered(shape, nodes, stream("parents"))
        case ByCategory():
            share = np.minimum(tendency.dependent * shape.density, 1.0)[category]
            dependent = stream("dependent").random(len(nodes)) < share[nodes.answer]
            child, parent = _earlier(nodes, tendency.parents[category], tendency.latest, stream("parents"))
            kept = dependent[child]
            return child[kept], parent[kept]


def _earlier(nodes: Nodes, mean: Floats, latest: float, random: np.random.Generator) -> Pairs:
    """Draw parents for every node but the first ones, `mean` of them by answer; equal draws count once.

    With probability `latest` the node just before is one of them; all others are equally likely.
    """
    n = len(nodes)
    # geometric, by inversion: one draw per node whatever its mean
    beyond = (mean - 1.0)[nodes.answer]
    with np.errstate(divide="ignore"):
        more = np.floor(np.log1p(-random.random(n)) / np.log(beyond / (1.0 + beyond)))
    near = random.random(n) < latest
    picks = np.where(nodes.local > 0, np.where(near, 0, 1) + more, 0).astype(np.int64)
    picks = np.minimum(picks, nodes.local)
    child = np.repeat(np.arange(n), picks)
    # the node just before is left out of the others, where there are any
    others = np.maximum(nodes.local[child] - 1, 1)
    parent = nodes.first[child] + np.floor(random.random(len(child)) * others).astype(np.int64)
    close = np.flatnonzero(near & (nodes.local > 0))
    pairs = np.unique(np.concatenate((child * n + parent, close * n + close - 1)))
    return pairs // n, pairs % n


def _layered(shape: Layered, nodes: Nodes, random: np.random.Generator) -> Pairs:
    """Draw dependencies on the layer before, for nodes spread evenly over the layers; one at least."""
    counts = nodes.counts[nodes.answer]
    layers = np.minimum(shape.layers, counts)
    layer = nodes.local * layers // counts
    begin = -(-(layer - 1) * counts // layers)  # first node of the layer before
    end = -(-layer * counts // layers)
    width = np.where(layer > 0, end - begin, 0)
    child = np.repeat(np.arange(len(nodes)), width)
    starts = np.cumsum(width) - width
    parent = (nodes.first + begin)[child] + np.arange(len(child)) - starts[child]
    drawn = random.random(len(child))
    least = np.full(len(nodes), np.inf)
    np.minimum.at(least, child, drawn)
    kept = (drawn < shape.probability) | (drawn == least[child])
    return child[kept], parent[kept]
