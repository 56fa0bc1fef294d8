"""What decoding policies make of a question, and what the engine refuses."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from simulator.policies.decoding import (
    QUESTION,
    Generation,
    Piece,
    Question,
    check_generations,
    own_text,
    visible_edges,
)
from simulator.policies.decoding.apar_fork import AparFork
from simulator.policies.decoding.plato import Plato, PlatoNoKvReuse, PlatoNoPipeline
from simulator.policies.decoding.sot import SkeletonOfThought
from simulator.policies.registry import PolicyError, find, policies
from simulator.workloads.graphs import AnswerGraph

DIAMOND = AnswerGraph(
    node_tokens=(40, 50, 60, 30),
    plan_tokens=(12, 14, 14, 16),
    parents=((), (0,), (0,), (1, 2)),
    difficulty=(0.1, 0.9, 0.4, 0.2),
    category="math",
)
QUESTION_OF_20 = Question(20, DIAMOND)


def random_questions(lab: Any, n: int) -> list[Question]:
    rng = random.Random(7)
    return [Question(rng.randint(1, 50), lab.random_graph(rng), rng.random() < 0.3) for _ in range(n)]


def test_every_policy_decodes_every_node_once_and_reads_nothing_unwritten(lab):
    for question in random_questions(lab, 200):
        for name, cls in policies("decoding").items():
            generations = cls().generations(question)
            if generations is None:
                assert name in ("autoregressive", "apar_fork")
                continue
            check_generations(cls(), question, generations)
            written = sum(it.tokens for it in generations if not it.plans)
            if name != "sot":  # whose points are longer than those of a normal answer
                assert written == question.graph.answer_tokens


def test_who_respects_dependencies_sees_all_of_them(lab):
    seen = 0
    for question in random_questions(lab, 200):
        for name in ("plato", "plato_no_pipeline", "plato_no_kv_reuse", "graph_oracle"):
            generations = find("decoding", name)().generations(question)
            assert visible_edges(question.graph, generations) == question.graph.edges
        assert visible_edges(question.graph, SkeletonOfThought().generations(question)) == 0
        assert visible_edges(question.graph, None) == question.graph.edges
        seen += question.graph.edges
    assert seen > 200


def test_plato_starts_a_node_when_its_entry_is_written_and_its_parents_are_done():
    planner, *nodes = Plato().generations(QUESTION_OF_20)
    assert planner.plans and planner.tokens == 56
    assert [node.after for node in nodes] == [
        ((0, 12),),
        ((0, 26), (1, 40)),
        ((0, 40), (1, 40)),
        ((0, 56), (2, 50), (3, 60)),
    ]
    waiting = PlatoNoPipeline().generations(QUESTION_OF_20)
    assert [node.after[0] for node in waiting[1:]] == [(0, 56)] * 4


def test_a_node_goes_on_from_the_parent_with_most_text_and_adds_what_that_lacks():
    _, *nodes = Plato().generations(QUESTION_OF_20)
    tail = 30
    opening = (Piece("plato", 158), Piece(QUESTION, 20))
    first = (*opening, Piece(0, 12), Piece(own_text(1), tail))
    third = (*first, Piece(1, 40), Piece(0, 28, 12), Piece(own_text(3), tail))
    assert nodes[0].prompt == first
    assert nodes[2].prompt == third
    # of its parents, node 2 (generation 3) has the longer text; the plan goes on where that had come to
    assert nodes[3].prompt == (
        *third,
        Piece(3, 60),
        Piece(2, 50),
        Piece(0, 16, 40),
        Piece(own_text(4), tail),
    )
    bare = PlatoNoKvReuse().generations(QUESTION_OF_20)[4]
    assert bare.prompt == (*opening, Piece(0, 56), Piece(2, 50), Piece(3, 60), Piece(own_text(4), tail))
    assert not bare.shares_kv


def test_a_question_that_may_be_cached_stands_before_the_instructions():
    first, second = Question(20, DIAMOND, stored=True).opening("plato", 158)
    assert (first.source, second.source) == (QUESTION, "plato")
    assert Question(20, DIAMOND).opening("plato", 0) == (Piece(QUESTION, 20),)


def test_easy_nodes_go_to_the_smaller_model():
    policy = Plato(easy_below=0.3, easy_service="small")
    assert policy.services == ("small",)
    assert [it.service for it in policy.generations(QUESTION_OF_20)] == ["", "small", "", "", "small"]
    with pytest.raises(ValueError, match="go together"):
        Plato(easy_below=0.3)


def test_points_of_a_skeleton_wait_for_the_first_one_only_where_they_share_its_prefix():
    skeleton, *points = SkeletonOfThought(length_ratio=2.0).generations(QUESTION_OF_20)
    assert skeleton.tokens == 4 * 6
    assert [it.tokens for it in points] == [80, 100, 120, 60]
    assert [it.after for it in points] == [((0, 24),), *[((0, 24), (1, 1))] * 3]
    alone = SkeletonOfThought(shared_prefix=False).generations(QUESTION_OF_20)
    assert {it.after for it in alone[1:]} == {((0, 24),)}
    assert not any(it.shares_kv for it in alone)


def test_a_router_sends_questions_with_dependencies_elsewhere():
    suitable = AnswerGraph((40, 50), (12, 12), ((), ()), (0.5, 0.5), "generic", suitable=True)
    routed = SkeletonOfThought(router=True)
    assert routed.generations(QUESTION_OF_20) is None
    assert len(routed.generations(Question(20, suitable))) == 3
    assert AparFork().generations(QUESTION_OF_20) is None
    assert len(AparFork().generations(Question(20, suitable))) == 3


def test_forks_see_what_the_trunk_wrote_whole_and_no_other_fork():
    """Node 0 is all head, so that its text stands in the trunk before the forks of its children."""
    graph = AnswerGraph((1, 50, 50), (12, 12, 12), ((), (0,), (1,)), (0.5,) * 3, suitable=True)
    generations = AparFork().generations(Question(20, graph))
    # a fork reads the trunk as far as it is written, the whole of it only the last one
    assert visible_edges(graph, generations) == 0
    assert visible_edges(graph, AparFork(head_share=1.0).generations(Question(20, graph))) == 2


def test_a_trunk_keeps_nodes_that_are_all_head():
    graph = AnswerGraph((1, 50), (12, 12), ((), ()), (0.5, 0.5), suitable=True)
    trunk, fork = AparFork(head_share=0.2).generations(Question(20, graph))
    assert (trunk.tokens, trunk.nodes) == (11, (0,))
    assert (fork.tokens, fork.nodes, fork.after) == (40, (1,), ((0, 11),))


@dataclass(frozen=True)
class Nonsense:
    """A policy for error messages."""


ASKED = (Piece(QUESTION, 20),)


@pytest.mark.parametrize(
    ("generations", "message"),
    [
        ([], "no generation"),
        ([Generation(ASKED, 0, nodes=(0, 1, 2, 3))], "decodes 0 tokens"),
        ([Generation((), 5, nodes=(0, 1, 2, 3))], "without tokens, or none"),
        ([Generation((Piece(QUESTION, 21),), 5, nodes=(0, 1, 2, 3))], "reads 21 tokens of a question of 20"),
        ([Generation(ASKED, 5, nodes=(0, 1, 2))], r"decodes nodes \[0, 1, 2\] of an answer of 4"),
        ([Generation(ASKED, 5, nodes=(0, 1, 2, 2, 3)), Generation(ASKED, 5, nodes=(3,))], "decoded twice"),
        ([Generation(ASKED, 5, after=((0, 1),), nodes=(0, 1, 2, 3))], "waits for 1 tokens of generation 0"),
        (
            [Generation(ASKED, 5), Generation(ASKED, 5, after=((0, 6),), nodes=(0, 1, 2, 3))],
            "waits for 6 tokens",
        ),
        (
            [Generation(ASKED, 5), Generation((Piece(0, 4),), 5, after=((0, 3),), nodes=(0, 1, 2, 3))],
            "before they are written",
        ),
    ],
)
def test_nonsense_is_refused_by_name(generations, message):
    with pytest.raises(PolicyError, match=f"decoding policy of class Nonsense decided nonsense: .*{message}"):
        check_generations(Nonsense(), QUESTION_OF_20, generations)
