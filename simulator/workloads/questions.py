"""Generated questions of benchmark sets whose answers fall into nodes that need each other.

Categories, points per answer and lengths of points follow published sets; answer lengths by category are Vicuna-13B's;
dependencies are assumed (``questions.yaml``, docs/calibration.md). Each purpose draws from a stream of its own
(``arrivals``, ``periods``, ``category``, ``suitable``, ``input_tokens``, ``output_tokens``, ``nodes``,
``node_lengths``, ``dependent``, ``parents``, ``difficulty``), so that a change of one leaves the others as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.workloads.arrival_spec import Closed
from simulator.workloads.generators import Stream, draw_arrivals
from simulator.workloads.graph_shapes import ByCategory
from simulator.workloads.graphs import MOST_NODES, AnswerGraphs
from simulator.workloads.lengths import draw_lengths
from simulator.workloads.question_edges import Nodes, Tendency, draw_edges
from simulator.workloads.question_figures import QuestionFigures, question_assumptions, question_figures
from simulator.workloads.requests import Requests
from simulator.workloads.spec import Questions
from simulator.workloads.window import Window

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NOTE_STRUCTURE = (
    "generated questions: points per answer and their lengths follow public answers of 16 models "
    "(AlpacaEval), not one particular model"
)
NOTE_ASSUMED = (
    "which part of an answer needs which is assumed per category (no statistics are published), and so are the tokens "
    "of a plan's entries and the difficulty of its nodes"
)
NOTE_SHAPE = (
    "which part of an answer needs which is set by the workload's graph, the tokens of a plan's entries and the "
    "difficulty of its nodes are assumed"
)
"""What `Requests.notes` says of them."""


def categories_of(dataset: str) -> tuple[str, ...]:
    """Return the categories of a set of questions."""
    return tuple(question_figures().datasets[dataset])


def generate_questions(
    spec: Questions, window: Window, stream: Stream, resolve: Callable[[str], Path], key: str = ""
) -> Requests:
    """Draw the questions of `spec` that lie in `window`, with the graphs of their answers.

    Parameters
    ----------
    spec
        A generator without faults (`simulator.workloads.build.faults`).
    window
        The cut, in the process's own time.
    stream
        Gives the random generator of a purpose.
    resolve
        Turns a path of the scenario into a file.
    key
        Dotted path of the workload in the scenario, for messages.

    Raises
    ------
    InputError
        Where the file of a replayed rate is faulty.
    """
    figures, assumed = question_figures(), question_assumptions()
    names = tuple(dict.fromkeys(spec.categories)) or categories_of(spec.dataset)
    known = [figures.datasets[spec.dataset][name] for name in names]
    beliefs = [assumed.datasets[spec.dataset][name] for name in names]

    arrival_s = draw_arrivals(spec, window, stream, resolve, key)
    n = len(arrival_s)
    weights = np.array([one.questions for one in known], np.float64)
    category = _choose(weights, stream("category").random(n))
    answer_mean = np.array([one.answer_tokens for one in beliefs])
    if spec.output_tokens is not None:
        output_tokens = draw_lengths(spec.output_tokens, n, stream("output_tokens"))
    else:
        relative = stream("output_tokens")
        sigma = np.sqrt(np.log1p(assumed.answer_cv**2))
        drawn = np.exp(sigma * relative.standard_normal(n) - sigma**2 / 2)
        output_tokens = _whole(answer_mean[category] * drawn)
    if spec.input_tokens is not None:
        input_tokens = draw_lengths(spec.input_tokens, n, stream("input_tokens"))
    else:
        words = np.array([one.words for one in known])
        drawn = _by_class(category, stream("input_tokens").random(n), figures.word_probabilities, words)
        input_tokens = _whole(drawn * assumed.tokens_per_word)

    nodes = Nodes.of(
        np.minimum(
            _node_counts(spec, figures, names, category, stream("nodes")),
            np.minimum(output_tokens, MOST_NODES),
        )
    )
    tendency = Tendency(
        np.array([one.dependent for one in beliefs]),
        np.array([one.parents for one in beliefs]),
        assumed.latest,
    )
    child, parent = draw_edges(spec.graph, nodes, category, tendency, stream)
    degrees = np.bincount(child, minlength=len(nodes))
    graphs = AnswerGraphs(
        node_offsets=np.concatenate(([0], np.cumsum(nodes.counts))),
        node_tokens=_node_tokens(figures, nodes, output_tokens, stream("node_lengths")),
        plan_tokens=assumed.entry_tokens + assumed.entry_tokens_per_parent * degrees,
        difficulty=stream("difficulty").random(len(nodes)),
        parent_offsets=np.concatenate(([0], np.cumsum(degrees))),
        parents=parent - nodes.first[child],
        suitable=stream("suitable").random(n) < np.array([one.suitable for one in known])[category],
        category=category,
        categories=names,
    )
    closed = spec.arrivals if isinstance(spec.arrivals, Closed) else None
    return Requests(
        arrival_s=arrival_s,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        concurrency=closed.concurrency if closed else None,
        start_s=window.delay_s if closed else 0.0,
        graphs=graphs,
        notes=(NOTE_STRUCTURE, NOTE_ASSUMED if isinstance(spec.graph, ByCategory) else NOTE_SHAPE),
    )


def _node_counts(
    spec: Questions,
    figures: QuestionFigures,
    names: tuple[str, ...],
    category: Ints,
    random: np.random.Generator,
) -> Ints:
    """Draw how many nodes each answer has: as many as answers of its category have points."""
    if spec.nodes is not None:
        return draw_lengths(spec.nodes, len(category), random)
    drawn = random.random(len(category))
    counts = np.empty(len(category), np.int64)
    for place, name in enumerate(names):
        rows = category == place
        shares = figures.datasets[spec.dataset][name].point_counts or figures.point_counts
        counts[rows] = figures.fewest + _choose(np.array(shares), drawn[rows])
    return counts


def _node_tokens(
    figures: QuestionFigures, nodes: Nodes, output_tokens: Ints, random: np.random.Generator
) -> Ints:
    """Share the tokens of each answer out among its nodes as points of real answers do, at least one to each."""
    weight = np.interp(random.random(len(nodes)), figures.probabilities, figures.point_lengths)
    first = np.cumsum(nodes.counts) - nodes.counts
    last = first + nodes.counts - 1
    until = np.cumsum(weight)
    start = (until - weight)[first]
    share = (until - start[nodes.answer]) / (until[last] - start)[nodes.answer]
    # what is left when each node has its one token, cut where the running share falls: adds up exactly
    cuts = np.rint(share * (output_tokens - nodes.counts)[nodes.answer]).astype(np.int64)
    earlier = np.where(nodes.local == 0, 0, np.roll(cuts, 1))
    tokens: Ints = 1 + cuts - earlier
    return tokens


def _choose(weights: Floats, drawn: Floats) -> Ints:
    """Return places in `weights` for uniform draws, each as likely as it weighs."""
    until = np.cumsum(weights)
    places: Ints = np.searchsorted(until, drawn * until[-1], "right").astype(np.int64)
    return np.minimum(places, len(weights) - 1)  # a draw next to 1 may be rounded up to it


def _by_class(of: Ints, drawn: Floats, probabilities: tuple[float, ...], tables: Floats) -> Floats:
    """Invert the quantile table of each one's class (a row of `tables`) at uniform draws, shape (n,)."""
    values = np.empty(len(drawn))
    for place, table in enumerate(tables):
        rows = of == place
        values[rows] = np.interp(drawn[rows], probabilities, table)
    return values


def _whole(values: Floats) -> Ints:
    """Round to whole numbers of at least 1."""
    return np.maximum(np.rint(values), 1).astype(np.int64)
