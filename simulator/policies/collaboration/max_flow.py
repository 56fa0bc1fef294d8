"""Maximum flow through a small network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_REST = 1e-9
"""Capacity left, over the largest one, that counts as none."""


def max_flow(capacities: Sequence[Sequence[float]], source: int, sink: int) -> list[list[float]]:
    """Return a maximum flow, by Ford and Fulkerson's method.

    Augmenting paths are shortest ones (Edmonds and Karp), so that it ends whatever the capacities.

    Parameters
    ----------
    capacities
        Of the edge from row to column, finite; 0: no edge. Shape (nodes, nodes).
    source, sink
        Two different nodes.

    Returns
    -------
    list of list of float
        Flow along each edge, at least 0; at most one of an edge and its reverse has any. Shape (nodes, nodes).
    """
    nodes = range(len(capacities))
    rest = [list(row) for row in capacities]
    least = _REST * max(map(max, capacities))
    while True:
        before = [-1] * len(capacities)
        before[source] = source
        front = [source]
        for node in front:  # grows meanwhile
            row = rest[node]
            for after in nodes:
                if before[after] < 0 and row[after] > least:
                    before[after] = node
                    front.append(after)
            if before[sink] >= 0:
                break
        else:
            break
        path = []
        node = sink
        while node != source:
            path.append((before[node], node))
            node = before[node]
        amount = min([rest[tail][head] for tail, head in path])
        for tail, head in path:
            rest[tail][head] -= amount
            rest[head][tail] += amount
    return [
        [
            max(capacities[tail][head] - rest[tail][head], 0.0) if capacities[tail][head] else 0.0
            for head in nodes
        ]
        for tail in nodes
    ]


def paths(flow: Sequence[Sequence[float]], source: int, sink: int) -> list[tuple[tuple[int, ...], float]]:
    """Return the paths that a flow consists of: the nodes between `source` and `sink`, and the amount.

    Parameters
    ----------
    flow
        As `max_flow` returns it, without cycles; shape (nodes, nodes).
    source, sink
        Its ends.
    """
    rest = [list(row) for row in flow]
    least = _REST * max(map(max, rest))
    found: list[tuple[tuple[int, ...], float]] = []
    while True:
        path = [source]
        while path[-1] != sink:
            row = rest[path[-1]]
            head = max(range(len(row)), key=row.__getitem__)
            if row[head] <= least:
                break
            path.append(head)
        if path[-1] != sink:  # what is left is rounding
            return found
        edges = list(pairwise(path))
        amount = min([rest[tail][head] for tail, head in edges])
        for tail, head in edges:
            rest[tail][head] -= amount
        found.append((tuple(path[1:-1]), amount))
