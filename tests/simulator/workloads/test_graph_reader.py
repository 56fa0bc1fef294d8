"""Graph traces: what a good file gives, every fault of a bad one, and graphs written and read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.errors import InputError
from simulator.workloads.graph_reader import DIFFICULTY, read_graphs
from simulator.workloads.graphs import MOST_NODES, AnswerGraph
from simulator.workloads.sources import SourceFile
from simulator.workloads.spec import GraphTrace, Stored


def question(*nodes: dict, **fields) -> str:
    """One line of a file: two nodes without dependencies, but for what is given."""
    row = {
        "arrival_s": 0.0,
        "prompt_tokens": 18,
        "plan_tokens": 24,
        "nodes": list(nodes) or [node("a"), node("b")],
    }
    row |= fields
    return json.dumps({key: value for key, value in row.items() if value is not None}) + "\n"


def node(name="a", *parents, tokens=10, **fields) -> dict:
    return {"id": name, "tokens": tokens, "parents": list(parents)} | fields


def faults(source: SourceFile) -> list[tuple[int, str]]:
    """Return (line, message) of all faults."""
    with pytest.raises(InputError) as error:
        read_graphs(source)
    assert {fault.file for fault in error.value.faults} == {"trace"}
    assert {fault.path for fault in error.value.faults} == {"workloads.chat.path"}
    return [(fault.line, fault.message) for fault in error.value.faults]


def test_a_good_line(source):
    text = question(
        node("a", tokens=50, plan_tokens=14, difficulty=0.3),
        node("b", "a", tokens=7),
        node(3, "a", "b", tokens=5),
        category="math",
        suitable=True,
        plan_tokens=35,
        arrival_s=1.5,
    )
    requests = read_graphs(source(text + "\n" + question(arrival_s=1.5)))
    assert requests.arrival_s.tolist() == [1.5, 1.5]
    assert requests.input_tokens.tolist() == [18, 18]
    assert requests.output_tokens.tolist() == [62, 20]
    assert (requests.hash_ids, requests.hash_offsets, requests.hash_block_tokens) == (None, None, 0)
    assert requests.graphs.graph(0) == AnswerGraph(
        (50, 7, 5), (14, 11, 10), ((), (0,), (0, 1)), (0.3, DIFFICULTY, DIFFICULTY), "math", True
    )
    assert requests.graphs.graph(1) == AnswerGraph((10, 10), (12, 12), ((), ()), (DIFFICULTY, DIFFICULTY))


def test_nodes_are_put_behind_their_parents_and_else_stay_in_place(source):
    text = question(
        node("late", "z", tokens=1), node("y", tokens=2), node("z", "y", tokens=3), node("x", tokens=4)
    )
    graph = read_graphs(source(text)).graphs.graph(0)
    assert graph.node_tokens == (2, 3, 1, 4)
    assert graph.parents == ((), (0,), (1,), ())


def test_numbers_and_texts_name_the_same_node(source):
    assert read_graphs(source(question(node(1), node("2", "1")))).graphs.graph(0).parents == ((), (0,))


@pytest.mark.parametrize(
    ("total", "own", "plan"),
    [
        (24, (None, None), (12, 12)),
        (25, (None, None), (13, 12)),
        (25, (20, None), (20, 5)),
        (25, (20, 5), (20, 5)),
        (None, (20, 5), (20, 5)),
        (2, (None, None), (1, 1)),
    ],
)
def test_the_plan_is_spread_over_the_nodes_that_do_not_state_theirs(source, total, own, plan):
    nodes = [
        node(name) | ({} if tokens is None else {"plan_tokens": tokens})
        for name, tokens in zip("ab", own, strict=True)
    ]
    assert read_graphs(source(question(*nodes, plan_tokens=total))).graphs.graph(0).plan_tokens == plan


def test_ids_cover_the_prompt_and_may_go_on(source):
    text = question(hash_ids=[1, 2]) + question(hash_ids=[1, 2, 3])
    requests = read_graphs(source(text), 16)
    assert requests.hash_block_tokens == 16
    assert requests.hash_ids.tolist() == [1, 2, 1, 2, 3]
    assert requests.hash_offsets.tolist() == [0, 2, 5]


BAD = [
    ("{", "not a JSON object: "),
    ("[1]\n", "is [1]; allowed: a JSON object with arrival_s, prompt_tokens, nodes"),
    ('{"arrival_s": 0, "arrival_s": 1}\n', "key 'arrival_s' stands twice in one object"),
    (question(prompt_tokens=None, prompt_token=3), "key is missing: 'prompt_tokens'; nearest: prompt_token"),
    (question(categry="x"), "unknown key 'categry'; nearest: category; allowed: arrival_s, "),
    (question(category=3), "category is 3; allowed: a text"),
    (question(suitable=1), "suitable is 1; allowed: true or false"),
    (question(arrival_s=float("nan")), "arrival_s is nan; allowed: finite numbers from 0"),
    (question(arrival_s=-1), "arrival_s is -1; allowed: finite numbers from 0"),
    (question(arrival_s="0"), "arrival_s is the text '0'; allowed: finite numbers from 0"),
    (question(prompt_tokens=0), "prompt_tokens is 0; allowed: whole numbers from 1 to 100,000,000"),
    (question(prompt_tokens=1.5), "prompt_tokens is 1.5; allowed: whole numbers from 1"),
    (question(prompt_tokens="18"), "prompt_tokens is the text '18'; allowed: whole numbers from 1"),
    (question(nodes=[]), "nodes is []; allowed: a list of at least one node"),
    (question(nodes={"a": 1}), "nodes is {'a': 1}; allowed: a list of at least one node"),
    (question(nodes=["a"]), "nodes[0] is 'a'; allowed: an object with id and tokens"),
    (question({"id": "a", "token": 3}), "node 'a': unknown key 'token'; nearest: tokens; allowed: id, "),
    (question({"id": "a"}), "node 'a': key is missing: 'tokens'"),
    (question(node(True)), "nodes[0]: id is True; allowed: a printable text or a whole number"),
    (question(node(""), node(None)), "nodes[0]: id is ''; allowed: a printable text or a whole number"),
    (question(node(tokens=0)), "node 'a': tokens is 0; allowed: whole numbers from 1 to 100,000,000"),
    (question(node(tokens=2.0)), "node 'a': tokens is 2.0; allowed: whole numbers"),
    (question(node(plan_tokens=0)), "node 'a': plan_tokens is 0; allowed: whole numbers from 1"),
    (question(node(difficulty=1.5)), "node 'a': difficulty is 1.5; allowed: from 0 to 1"),
    (question(node(difficulty=float("nan"))), "node 'a': difficulty is nan; allowed: finite numbers from 0"),
    (question({"id": "a", "tokens": 1, "parents": "b"}), "node 'a': parents is 'b'; allowed: a list of ids"),
    (question(node("a"), node("b", 1.5)), "node 'b': parents is [1.5]; allowed: a list of ids"),
    (question(node("a"), node("a")), "node 'a': a later node has the same id"),
    (question(node("a", "a")), "node 'a': depends on itself"),
    (question(node("a"), node("b", "a", "a")), "node 'b': parent 'a' stands twice"),
    (question(node("first"), node("b", "frist")), "node 'b': there is no parent 'frist'; nearest: first"),
    (
        question(node("a", "c"), node("b", "a"), node("c", "b"), node("d", "c")),
        "the nodes need each other: 'a' needs 'c' needs 'b' needs 'a'",
    ),
    (
        question(*(node(i, (i + 1) % 30) for i in range(30)), plan_tokens=99),
        "the nodes need each other: '0' needs '1' needs '2' needs '3' needs '4' needs '5' needs '6' needs '7' "
        "needs '8' needs '9' needs '10' needs ... (19 more) needs '0'",
    ),
    (
        question(plan_tokens=None),
        "node 'a': plan_tokens is missing; allowed: at each node, or for all of them",
    ),
    (
        question(plan_tokens=1),
        "plan_tokens is 1; the nodes' own add up to 0, and the other 2 need at least 1 each",
    ),
    (question(node(plan_tokens=3), plan_tokens=4), "plan_tokens is 4, but those of the nodes add up to 3"),
    (
        question(node("a", tokens=60_000_000), node("b", tokens=60_000_000)),
        "the sum of the nodes' tokens is 120000000; allowed: whole numbers from 1 to 100,000,000",
    ),
    (
        question(hash_ids=[1]),
        "hash_ids has 1 entries; 18 prompt tokens and 20 answer tokens in blocks of 16 need",
    ),
    (question(hash_ids=["x", "y"]), "hash_ids is ['x', 'y']; allowed: a list of whole numbers"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_fault_is_named_with_its_line(source, line, message):
    hashed = {"hash_ids": [1, 2]} if "hash_ids" in line else {}
    found = faults(source(question(**hashed) + "\n" + line))
    assert [number for number, _ in found] == [3] * len(found)
    assert any(text.startswith(message) for _, text in found), found
    assert len(found) <= 2


def test_all_faulty_lines_are_reported_at_once(source):
    lines = [line if line.endswith("\n") else line + "\n" for line, _ in BAD if "hash_ids" not in line][:18]
    assert {number for number, _ in faults(source("".join(lines)))} == set(range(1, len(lines) + 1))


def test_faults_of_one_line_are_reported_together(source):
    text = question(node("a", "b"), node("b", "a"), category=1, prompt_tokens=0)
    assert [message.partition(" is")[0] for _, message in faults(source(text))] == [
        "prompt_tokens",
        "category",
        "the nodes need each other: 'a' needs 'b' needs 'a'",
    ]


def test_time_must_not_go_backwards_and_ids_stand_everywhere(source):
    text = question(arrival_s=2) + question(arrival_s=1) + question(arrival_s=3, hash_ids=[1, 2])
    assert faults(source(text)) == [
        (2, "arrives at 1 s, before the row above (2 s); time must not go backwards"),
        (3, "hash_ids stands at some lines only; allowed: at all or none"),
    ]


def test_an_empty_file_and_a_missing_one(source, tmp_path):
    assert faults(source(" \n"))[0][1] == "the file is empty"
    with pytest.raises(InputError, match=r"no such file; nearest: trace\.csv"):
        read_graphs(SourceFile(tmp_path / "trace.cs"))


@st.composite
def graphs(draw) -> AnswerGraph:
    """Any graph, whose nodes stand in an order that dependencies allow."""
    n = draw(st.integers(1, 8))
    tokens = st.lists(st.integers(1, 500), min_size=n, max_size=n).map(tuple)
    parents = tuple(
        tuple(sorted(draw(st.sets(st.integers(0, place - 1))))) if place else () for place in range(n)
    )
    difficulty = st.lists(st.floats(0, 1), min_size=n, max_size=n).map(tuple)
    return AnswerGraph(
        draw(tokens),
        draw(tokens),
        parents,
        draw(difficulty),
        draw(st.text(max_size=5).filter(str.isprintable)),
        draw(st.booleans()),
    )


def written(graph: AnswerGraph, order: list[int]) -> str:
    """Write a graph with its nodes in any order."""
    nodes = [
        node(
            place,
            *graph.parents[place],
            tokens=graph.node_tokens[place],
            plan_tokens=graph.plan_tokens[place],
            difficulty=graph.difficulty[place],
        )
        for place in order
    ]
    return question(*nodes, plan_tokens=None, category=graph.category, suitable=graph.suitable)


@settings(max_examples=60)
@given(given_graphs=st.lists(graphs(), min_size=1, max_size=4))
def test_graphs_that_are_written_come_back(given_graphs, tmp_path_factory):
    path = tmp_path_factory.mktemp("graphs") / "trace.jsonl"
    path.write_text(
        "".join(written(graph, list(range(len(graph)))) for graph in given_graphs), encoding="utf-8"
    )
    requests = read_graphs(SourceFile(path))
    assert [requests.graphs.graph(i) for i in range(len(requests))] == given_graphs
    assert requests.output_tokens.tolist() == [graph.answer_tokens for graph in given_graphs]


@settings(max_examples=60)
@given(graph=graphs(), data=st.data())
def test_nodes_in_any_order_make_the_same_graph(graph, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("graphs") / "trace.jsonl"
    path.write_text(written(graph, data.draw(st.permutations(range(len(graph))))), encoding="utf-8")
    read = read_graphs(SourceFile(path)).graphs.graph(0)
    assert sorted(read.node_tokens) == sorted(graph.node_tokens)
    assert sorted(read.tokens_through()) == sorted(graph.tokens_through())
    assert (read.edges, read.critical_tokens) == (graph.edges, graph.critical_tokens)
    assert all(parent < place for place, parents in enumerate(read.parents) for parent in parents)


def test_a_cut_takes_the_graphs_along(make, tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(question(node("a", tokens=1 + i), arrival_s=float(i)) for i in range(5)))
    spec = GraphTrace(trace="graph", service="chat", path=str(path), start=1.0, requests=2, rate_scale=2.0)
    requests = make(spec)
    assert requests.arrival_s.tolist() == [0, 0.5]
    assert [requests.graphs.graph(i).node_tokens for i in range(len(requests.graphs))] == [(2,), (3,)]


def test_stored_prompts_take_blocks_of_the_size_asked_for(make, tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(question(prompt_tokens=70))
    spec = GraphTrace(
        trace="graph", service="chat", path=str(path), hash_block_tokens=32, stored=Stored(tier="disk")
    )
    requests = make(spec)
    assert requests.hash_block_tokens == 32
    assert requests.hash_ids.tolist() == [0, 1, 2]


def test_the_example_of_the_documentation_is_read(source):
    text = (Path(__file__).parents[3] / "docs" / "traces.md").read_text(encoding="utf-8")
    requests = read_graphs(source(text.partition("```json\n")[2].partition("```")[0]))
    assert requests.output_tokens.tolist() == [100, 115]
    assert requests.graphs.graph(0).plan_tokens == (13, 14, 13)
    assert requests.graphs.graph(0).parents == ((), (0,), (0, 1))


@pytest.mark.parametrize("category", ["\ud800", "a\nb"])
def test_text_that_no_table_can_hold_is_refused(source, category):
    ((line, message),) = faults(source(question(category=category)))
    assert line == 1
    assert "a text of printable characters" in message


def test_an_answer_of_too_many_nodes_is_refused(source):
    nodes = [node(n, plan_tokens=1) for n in range(MOST_NODES + 1)]
    ((_, message),) = faults(source(question(*nodes, plan_tokens=None)))
    assert message == f"nodes has {MOST_NODES + 1} entries; allowed: at most {MOST_NODES}"
