"""Answer graphs: paths through them, columns and back."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.workloads.graphs import AnswerGraph, from_graphs

DIAMOND = AnswerGraph(
    (5, 10, 20, 1), (3, 4, 5, 6), ((), (0,), (0,), (1, 2)), (0.1, 0.2, 0.3, 0.4), "math", True
)
LONE = AnswerGraph((7,), (2,), ((),), (0.5,))
FREE = AnswerGraph((7, 8), (2, 2), ((), ()), (0.5, 0.5), "coding")


def test_tokens_on_the_longest_path_that_ends_with_a_node():
    assert DIAMOND.tokens_through() == [5, 15, 25, 26]
    assert FREE.tokens_through() == [7, 8]


def test_tokens_on_the_longest_path_that_begins_with_a_node():
    assert DIAMOND.tokens_ahead() == [26, 11, 21, 1]
    assert LONE.tokens_ahead() == [7]


def test_the_critical_path_is_found_from_either_end():
    for graph, critical in ((DIAMOND, 26), (LONE, 7), (FREE, 8)):
        assert graph.critical_tokens == max(graph.tokens_ahead()) == critical
    assert (DIAMOND.answer_tokens, DIAMOND.edges, len(DIAMOND)) == (36, 4, 4)


def test_graphs_as_columns_are_the_same_graphs():
    graphs = [DIAMOND, LONE, FREE, DIAMOND]
    columns = from_graphs(graphs)
    assert len(columns) == 4
    assert [columns.graph(i) for i in range(4)] == graphs
    assert columns.categories == ("math", "", "coding")
    assert columns.node_offsets.tolist() == [0, 4, 5, 7, 11]


@pytest.mark.parametrize("rows", [slice(0, 4), slice(1, 3), slice(3, 4), slice(2, 2), slice(0, 0)])
def test_a_part_of_the_columns_is_a_part_of_the_graphs(rows):
    graphs = [DIAMOND, LONE, FREE, DIAMOND]
    part = from_graphs(graphs).rows(rows)
    assert [part.graph(i) for i in range(len(part))] == graphs[rows]
    assert part.node_offsets[0] == part.parent_offsets[0] == 0
    assert part.parent_offsets.dtype == np.int64
