"""Generated questions: against the tables that they are drawn from, and what the shapes of graphs promise."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from devices.errors import InputError
from simulator.workloads.arrival_spec import AtOnce, Closed, Gamma, Poisson
from simulator.workloads.build import faults
from simulator.workloads.graph_shapes import ByCategory, Chain, Independent, Layered, Star, Tree
from simulator.workloads.length_spec import LogNormal
from simulator.workloads.question_derivation import derive
from simulator.workloads.question_figures import question_assumptions, question_figures
from simulator.workloads.questions import NOTE_ASSUMED, NOTE_SHAPE, NOTE_STRUCTURE, categories_of
from simulator.workloads.spec import Questions, Stored, Synthetic

SETS = ("vicuna-80", "wizardlm-218")


def spec(n=500, **fields) -> Questions:
    """Questions that arrive at once, but for `fields`."""
    given = {"requests": n, "arrivals": AtOnce()} | fields
    return Questions(trace="questions", service="chat", **given)


def parents_of(requests, i=0):
    return requests.graphs.graph(i).parents


def depth(graph) -> int:
    """Nodes on the path with the most of them."""
    levels: list[int] = []
    for parents in graph.parents:
        levels.append(1 + max((levels[parent] for parent in parents), default=0))
    return max(levels)


def distance(one, other) -> float:
    """Largest difference between two distribution functions."""
    points = np.concatenate((one, other))
    first, second = (
        np.searchsorted(np.sort(values), points, "right") / len(values) for values in (one, other)
    )
    return float(np.abs(first - second).max())


@pytest.fixture
def folder(real) -> Path:
    return real("parallel_decoding/alpaca_eval_answer_structure.csv").parent


@pytest.fixture
def answers(folder) -> list[dict[str, str]]:
    with (folder / "alpaca_eval_answer_structure.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_figures_are_those_of_the_tables(folder):
    assert asdict(derive(folder)) == asdict(question_figures())


def test_every_category_has_assumptions():
    for dataset in SETS:
        assert set(question_assumptions().datasets[dataset]) == set(categories_of(dataset))
    assert sum(one.questions for one in question_figures().datasets["vicuna-80"].values()) == 80
    assert sum(one.questions for one in question_figures().datasets["wizardlm-218"].values()) == 218


@pytest.mark.parametrize("dataset", SETS)
def test_columns_fit_together(make, dataset):
    requests = make(spec(3_000, dataset=dataset))
    graphs = requests.graphs
    assert graphs.categories == categories_of(dataset)
    assert len(graphs) == len(requests) == 3_000
    assert np.array_equal(
        np.add.reduceat(graphs.node_tokens, graphs.node_offsets[:-1]), requests.output_tokens
    )
    assert graphs.node_tokens.min() >= 1
    assert np.diff(graphs.node_offsets).min() == 3
    assert np.diff(graphs.node_offsets).max() == 10
    assert requests.input_tokens.min() >= 1
    assert 0 <= graphs.difficulty.min() < graphs.difficulty.max() <= 1
    edges = np.diff(graphs.parent_offsets)
    assert np.array_equal(graphs.plan_tokens, 12 + 2 * edges)
    for i in range(300):
        graph = graphs.graph(i)
        for place, parents in enumerate(graph.parents):
            assert list(parents) == sorted(set(parents))
            assert all(0 <= parent < place for parent in parents)
    assert requests.notes == (NOTE_STRUCTURE, NOTE_ASSUMED)


def test_categories_come_as_often_as_in_the_set(make):
    graphs = make(spec(20_000)).graphs
    shares = np.bincount(graphs.category) / len(graphs)
    expected = [one.questions / 80 for one in question_figures().datasets["vicuna-80"].values()]
    np.testing.assert_allclose(shares, expected, atol=0.01)
    suitable = [graphs.suitable[graphs.category == place].mean() for place in range(len(graphs.categories))]
    np.testing.assert_allclose(suitable, [1, 0.8, 0.1, 0.8, 0, 1, 0, 0, 0], atol=0.03)
    assert graphs.suitable.mean() == pytest.approx(37 / 80, abs=0.02)


def test_lengths_are_those_of_the_categories(make):
    requests = make(spec(40_000))
    assert requests.input_tokens.mean() == pytest.approx(12.5, abs=0.2)  # published for Vicuna-80
    assert requests.output_tokens.mean() == pytest.approx(320, rel=0.02)
    means = [316, 376, 275, 324, 372, 302, 303, 140, 339]
    for place, mean in enumerate(means):
        tokens = requests.output_tokens[requests.graphs.category == place]
        assert tokens.mean() == pytest.approx(mean, rel=0.03)
        assert tokens.std() / tokens.mean() == pytest.approx(0.26, abs=0.03)


def test_nodes_are_as_many_as_points_of_real_answers(make, answers, folder):
    with (folder / "vicuna80_categories.csv").open(newline="") as file:
        names = [row["category"] for row in csv.DictReader(file)]
    # per model the 80 questions stand in order; one model counts them from 724 on
    vicuna = [row for row in answers if row["dataset"] == "vicuna"]
    graphs = make(spec(40_000)).graphs
    counts = np.diff(graphs.node_offsets)
    for place, name in enumerate(graphs.categories):
        real = [int(row["n_points"]) for i, row in enumerate(vicuna) if names[i % 80] == name]
        listed = np.array([n for n in real if 3 <= n <= 10])
        assert distance(counts[graphs.category == place], listed) < 0.04, name
    wizard = np.diff(make(spec(20_000, dataset="wizardlm-218")).graphs.node_offsets)
    real = np.array([int(row["n_points"]) for row in answers])
    assert distance(wizard, real[(real >= 3) & (real <= 10)]) < 0.02
    assert counts.mean() == pytest.approx(6.8, abs=0.3)  # published for skeletons on Vicuna-80


def test_lengths_of_nodes_are_those_of_real_points(make, answers):
    """Relative lengths, and the longest node's share, against answers of 3 to 10 points."""
    points = [np.array([int(words) for words in row["point_words"].split()]) for row in answers]
    real = [one for one in points if 3 <= len(one) <= 10]
    graphs = make(spec(15_000, dataset="wizardlm-218", output_tokens=100_000)).graphs
    drawn = [np.array(graphs.graph(i).node_tokens) for i in range(15_000)]
    one, other = (np.concatenate([it / it.mean() for it in several]) for several in (real, drawn))
    assert distance(one, other) < 0.05
    for low, high in ((3, 4), (5, 7), (8, 10)):
        one, other = (
            np.array([it.max() / it.sum() for it in several if low <= len(it) <= high])
            for several in (real, drawn)
        )
        assert other.mean() == pytest.approx(one.mean(), rel=0.12)  # points of one answer are more alike


def test_dependencies_are_as_assumed(make):
    """The best case that the Plato paper describes, and denser where it is said to gain less."""
    requests = make(spec(6_000))
    graphs = [requests.graphs.graph(i) for i in range(len(requests))]
    critical = {
        name: np.mean([g.critical_tokens / g.answer_tokens for g in graphs if g.category == name])
        for name in requests.graphs.categories
    }
    best = ("generic", "knowledge", "common-sense", "counterfactual")
    assert all(0.38 < critical[name] < 0.55 for name in best)
    assert all(0.65 < critical[name] < 0.9 for name in ("math", "coding", "fermi", "writing"))
    six = make(spec(6_000, nodes=6, categories=best)).graphs
    sixes = [six.graph(i) for i in range(6_000)]
    assert np.mean([depth(g) for g in sixes]) == pytest.approx(3, abs=0.3)
    assert np.mean([g.critical_tokens / g.answer_tokens for g in sixes]) == pytest.approx(165 / 320, abs=0.04)
    for name in ("generic", "fermi"):
        belief = question_assumptions().datasets["vicuna-80"][name]
        later = [bool(parents) for g in graphs if g.category == name for parents in g.parents[1:]]
        assert np.mean(later) == pytest.approx(belief.dependent, abs=0.03)
        some = [len(parents) for g in graphs if g.category == name for parents in g.parents[4:] if parents]
        assert np.mean(some) == pytest.approx(belief.parents, rel=0.12)  # equal draws count once
        latest = [
            place - 1 in parents
            for g in graphs
            for place, parents in enumerate(g.parents)
            if place > 8 and parents
        ]
    assert np.mean(latest) == pytest.approx(question_assumptions().latest, abs=0.05)


def test_a_plan_of_six_nodes_has_about_the_tokens_that_the_paper_suggests(make):
    graphs = make(spec(5_000, nodes=6)).graphs
    plans = np.add.reduceat(graphs.plan_tokens, graphs.node_offsets[:-1])
    assert plans.min() >= 72
    assert 75 < plans.mean() < 100


def test_a_denser_graph_has_the_dependencies_of_a_thinner_one(make):
    graphs = [make(spec(300, graph=ByCategory(density=density))).graphs for density in (0.0, 0.5, 1.0, 9.0)]
    edges = [
        {
            (i, node, parent)
            for i in range(300)
            for node, ps in enumerate(one.graph(i).parents)
            for parent in ps
        }
        for one in graphs
    ]
    assert not edges[0]
    assert edges[0] < edges[1] < edges[2] < edges[3]
    later = np.arange(len(graphs[3].node_tokens)) != np.repeat(
        graphs[3].node_offsets[:-1], np.diff(graphs[3].node_offsets)
    )
    assert np.array_equal(np.diff(graphs[3].parent_offsets) > 0, later)  # cut at 1: all but the first


def test_shapes_have_the_dependencies_that_they_promise(make):
    def drawn(shape, nodes=6):
        return parents_of(make(spec(1, graph=shape, nodes=nodes)))

    assert drawn(Chain()) == ((), (0,), (1,), (2,), (3,), (4,))
    assert drawn(Star()) == ((), (0,), (0,), (0,), (0,), (0,))
    assert drawn(Independent()) == ((),) * 6
    assert drawn(Tree()) == ((), (0,), (0,), (1,), (1,), (2,))
    assert drawn(Tree(fanout=5), 7) == ((), (0,), (0,), (0,), (0,), (0,), (1,))
    assert drawn(Tree(fanout=1)) == drawn(Chain())
    assert drawn(Layered(layers=3, probability=1.0)) == ((), (), (0, 1), (0, 1), (2, 3), (2, 3))
    assert drawn(Layered(layers=2, probability=1.0), 3) == ((), (), (0, 1))
    assert drawn(Layered(layers=9, probability=0.0)) == drawn(Chain())
    assert drawn(Layered(layers=1)) == drawn(Independent())
    assert drawn(ByCategory(density=9), 1) == ((),)
    assert make(spec(1, graph=Chain())).notes == (NOTE_STRUCTURE, NOTE_SHAPE)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_a_layered_node_needs_the_layer_before_and_nothing_else(make, probability):
    graphs = make(spec(400, nodes=12, graph=Layered(layers=4, probability=probability))).graphs
    degrees = []
    for i in range(400):
        for place, parents in enumerate(graphs.graph(i).parents):
            assert {parent // 3 for parent in parents} == ({place // 3 - 1} if place >= 3 else set())
            degrees += [len(parents)] * (place >= 3)
    # of three, or one where none was drawn
    assert np.mean(degrees) == pytest.approx(3 * probability + (1 - probability) ** 3, abs=0.05)


def test_another_graph_leaves_everything_else_as_it_was(make):
    base = make(spec(arrivals=Poisson(), rate=3.0))
    for shape in (Chain(), Star(), Independent(), Tree(), Layered(layers=3), ByCategory(density=0.3)):
        other = make(spec(arrivals=Poisson(), rate=3.0, graph=shape))
        for column in ("arrival_s", "input_tokens", "output_tokens"):
            assert np.array_equal(getattr(base, column), getattr(other, column))
        for column in ("node_offsets", "node_tokens", "difficulty", "suitable", "category"):
            assert np.array_equal(getattr(base.graphs, column), getattr(other.graphs, column))


def test_arrivals_and_lengths_do_not_move_each_other(make):
    base = make(spec(arrivals=Poisson(), rate=3.0))
    other = make(spec(arrivals=Gamma(cv=2.0), rate=3.0, output_tokens=LogNormal(mean=900, cv=0.1)))
    assert np.array_equal(base.graphs.category, other.graphs.category)
    assert np.array_equal(base.input_tokens, other.input_tokens)
    assert np.array_equal(base.graphs.node_offsets, other.graphs.node_offsets)
    synthetic = Synthetic(
        trace="synthetic", service="chat", requests=500, rate=3.0, input_tokens=1, output_tokens=1
    )
    assert np.array_equal(base.arrival_s, make(synthetic).arrival_s)


def test_one_seed_one_workload(make):
    first, again, other = (make(spec(), seed) for seed in (1, 1, 2))
    graphs = [[one.graphs.graph(i) for i in range(len(one))] for one in (first, again, other)]
    assert graphs[0] == graphs[1] != graphs[2]


def test_more_questions_begin_with_the_same_arrivals(make):
    few, many = (make(spec(n, arrivals=Poisson(), rate=1.0)) for n in (50, 80))
    assert np.array_equal(few.arrival_s, many.arrival_s[:50])
    assert np.array_equal(few.input_tokens, many.input_tokens[:50])
    assert np.array_equal(few.graphs.category, many.graphs.category[:50])


def test_lengths_can_be_set(make):
    requests = make(spec(nodes=4, input_tokens=7, output_tokens=400))
    assert set(requests.input_tokens.tolist()) == {7}
    assert set(requests.output_tokens.tolist()) == {400}
    assert set(np.diff(requests.graphs.node_offsets).tolist()) == {4}


def test_an_answer_has_no_more_nodes_than_tokens(make):
    graphs = make(spec(nodes=9, output_tokens=3)).graphs
    assert {graphs.graph(i).node_tokens for i in range(500)} == {(1, 1, 1)}


def test_only_the_categories_asked_for(make):
    graphs = make(spec(categories=("math", "generic"))).graphs
    assert graphs.categories == ("math", "generic")
    assert Counter(graphs.category.tolist())[0] == pytest.approx(500 * 3 / 13, abs=40)


def test_closed_loop_and_stored_prompts(make):
    requests = make(
        spec(arrivals=Closed(concurrency=4), delay=2.0, stored=Stored("disk"), hash_block_tokens=8)
    )
    assert np.isnan(requests.arrival_s).all()
    assert (requests.concurrency, requests.start_s) == (4, 2.0)
    assert requests.hash_block_tokens == 8
    assert np.array_equal(requests.stored_tokens, requests.input_tokens)
    assert requests.graphs is not None


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"requests": None}, "requests", "is not set; at_once arrivals need a number of requests"),
        ({"arrivals": Poisson()}, "rate", "is not set; poisson arrivals need a mean rate"),
        (
            {"arrivals": Gamma(cv=0.0), "rate": 1.0},
            "arrivals.cv",
            "is 0.0; allowed: finite numbers from 0.001 to 1000",
        ),
        ({"duration": 0.0, "arrivals": Poisson(), "rate": 1.0}, "duration", "is 0.0 s; allowed: above 0 s"),
        (
            {"categories": ("maths",)},
            "categories.0",
            "vicuna-80 has no category 'maths'; nearest: math; there is: ",
        ),
        ({"categories": ("math", "math")}, "categories.1", "'math' is listed twice"),
        ({"graph": ByCategory(density=-0.1)}, "graph.density", "is -0.1; allowed: finite numbers from 0"),
        ({"graph": ByCategory(density=np.inf)}, "graph.density", "is inf; allowed: finite numbers from 0"),
        ({"graph": ByCategory(density=np.nan)}, "graph.density", "is nan; allowed: finite numbers from 0"),
        ({"nodes": LogNormal(mean=-1, cv=1)}, "nodes", "mean is -1; allowed: finite numbers above 0"),
        (
            {"input_tokens": LogNormal(mean=1, cv=-1)},
            "input_tokens",
            "cv is -1; allowed: finite numbers from 0",
        ),
        (
            {"output_tokens": LogNormal(mean=1, cv=-1)},
            "output_tokens",
            "cv is -1; allowed: finite numbers from 0",
        ),
    ],
)
def test_a_wrong_field_is_named(make, fields, path, message):
    [fault] = faults(replace(spec(), **fields), "chat")
    assert fault.path == f"workloads.chat.{path}"
    assert fault.message.startswith(message)
    with pytest.raises(InputError):
        make(replace(spec(), **fields))


def test_nothing_in_the_window_is_a_fault(make):
    with pytest.raises(InputError, match="no request arrives"):
        make(spec(None, arrivals=Poisson(), rate=1e-9, duration=1.0))
