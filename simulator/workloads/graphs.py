"""Answers as dependency graphs: what a question falls into, and which part needs which.

A *node* is a sub-problem; its tokens are its part of the answer, so that decoding one token after the other takes the
nodes in order. Its *plan entry* is what a planner writes to announce it. A node's *parents* are the earlier nodes that
its text builds on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_NODES = 256
"""Nodes of an answer at most: plans have a dozen, and a chain's prompts hold all that was written before."""


@dataclass(frozen=True, slots=True)
class AnswerGraph:
    """The answer to one question: n nodes in the order of the plan, which is the order of the answer."""

    node_tokens: tuple[int, ...]
    """Answer tokens of each node, at least 1."""
    plan_tokens: tuple[int, ...]
    """Tokens of each node's plan entry, at least 1."""
    parents: tuple[tuple[int, ...], ...]
    """Nodes that each node needs, all of them earlier ones."""
    difficulty: tuple[float, ...]
    """From 0 (easy) to 1, per node."""
    category: str = ""
    """Kind of question; empty: unknown."""
    suitable: bool = False
    """Whether its points can be written without each other: what a router of Skeleton-of-Thought predicts."""

    def __len__(self) -> int:
        return len(self.node_tokens)

    @property
    def answer_tokens(self) -> int:
        """Tokens of the whole answer."""
        return sum(self.node_tokens)

    @property
    def edges(self) -> int:
        """Dependencies, counted one by one."""
        return sum(len(parents) for parents in self.parents)

    def tokens_through(self) -> list[int]:
        """Return, per node, the answer tokens on the longest path that ends with it, its own included."""
        through: list[int] = []
        for tokens, parents in zip(self.node_tokens, self.parents, strict=True):
            through.append(tokens + max((through[parent] for parent in parents), default=0))
        return through

    def tokens_ahead(self) -> list[int]:
        """Return, per node, the answer tokens on the longest path that begins with it, its own included."""
        ahead = list(self.node_tokens)
        for node in range(len(self) - 1, -1, -1):
            for parent in self.parents[node]:
                ahead[parent] = max(ahead[parent], self.node_tokens[parent] + ahead[node])
        return ahead

    @property
    def critical_tokens(self) -> int:
        """Answer tokens on the longest path: no order of decoding takes fewer steps."""
        return max(self.tokens_through())


@dataclass(frozen=True, slots=True, eq=False)
class AnswerGraphs:
    """The graphs of n requests as columns; ``graph(i)`` is the i-th."""

    node_offsets: NDArray[np.int64]
    """Shape (n + 1,). Request i has the nodes ``node_offsets[i]`` up to ``node_offsets[i + 1]`` of what follows."""
    node_tokens: NDArray[np.int64]
    """Shape (nodes,). See `AnswerGraph`; so are the next ones."""
    plan_tokens: NDArray[np.int64]
    """Shape (nodes,)."""
    difficulty: NDArray[np.float64]
    """Shape (nodes,)."""
    parent_offsets: NDArray[np.int64]
    """Shape (nodes + 1,). Node j has ``parents[parent_offsets[j]:parent_offsets[j + 1]]``."""
    parents: NDArray[np.int64]
    """Shape (edges,). Counted within the request: its first node is 0."""
    suitable: NDArray[np.bool_]
    """Shape (n,)."""
    category: NDArray[np.int64]
    """Shape (n,). Index into `categories`."""
    categories: tuple[str, ...]
    """Names of the categories."""

    def __len__(self) -> int:
        return len(self.suitable)

    def graph(self, i: int) -> AnswerGraph:
        """Return the graph of request i."""
        first, end = self.node_offsets[i : i + 2].tolist()
        bounds = self.parent_offsets[first : end + 1].tolist()
        flat = self.parents[bounds[0] : bounds[-1]].tolist()
        shift = bounds[0]
        return AnswerGraph(
            tuple(self.node_tokens[first:end].tolist()),
            tuple(self.plan_tokens[first:end].tolist()),
            tuple(tuple(flat[bounds[j] - shift : bounds[j + 1] - shift]) for j in range(end - first)),
            tuple(self.difficulty[first:end].tolist()),
            self.categories[int(self.category[i])],
            bool(self.suitable[i]),
        )

    def rows(self, rows: slice) -> AnswerGraphs:
        """Return the graphs of consecutive requests."""
        n = len(self)
        start, stop, _ = rows.indices(n)
        first, end = int(self.node_offsets[start]), int(self.node_offsets[stop])
        low, high = int(self.parent_offsets[first]), int(self.parent_offsets[end])
        return AnswerGraphs(
            self.node_offsets[start : stop + 1] - first,
            self.node_tokens[first:end],
            self.plan_tokens[first:end],
            self.difficulty[first:end],
            self.parent_offsets[first : end + 1] - low,
            self.parents[low:high],
            self.suitable[start:stop],
            self.category[start:stop],
            self.categories,
        )


def from_graphs(graphs: Sequence[AnswerGraph]) -> AnswerGraphs:
    """Return graphs as columns."""
    categories = tuple(dict.fromkeys(graph.category for graph in graphs))
    places = {name: place for place, name in enumerate(categories)}
    nodes = [len(graph) for graph in graphs]
    degrees = [len(parents) for graph in graphs for parents in graph.parents]
    return AnswerGraphs(
        _offsets(nodes),
        np.array([tokens for graph in graphs for tokens in graph.node_tokens], np.int64),
        np.array([tokens for graph in graphs for tokens in graph.plan_tokens], np.int64),
        np.array([value for graph in graphs for value in graph.difficulty], np.float64),
        _offsets(degrees),
        np.array([parent for graph in graphs for parents in graph.parents for parent in parents], np.int64),
        np.array([graph.suitable for graph in graphs], np.bool_),
        np.array([places[graph.category] for graph in graphs], np.int64),
        categories,
    )


def _offsets(counts: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(np.array(counts, np.int64))))
