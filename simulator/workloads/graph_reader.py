"""Reader of questions whose answers are dependency graphs (JSONL, one question per line; see docs/traces.md)."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from simulator.workloads.graphs import MOST_NODES, AnswerGraph, from_graphs
from simulator.workloads.readers import Rows, block_ids, check_cover
from simulator.workloads.requests import Requests
from simulator.workloads.sources import LARGEST, LATEST_S, SourceFile, nearest, shorten

DIFFICULTY = 0.5
"""Difficulty of a node that does not state one."""

_QUESTION_KEYS = ("arrival_s", "prompt_tokens", "nodes", "category", "suitable", "plan_tokens", "hash_ids")
_NODE_KEYS = ("id", "tokens", "parents", "plan_tokens", "difficulty")
_NAMED = 12
"""Nodes of a cycle that a message names at most."""


@dataclass(slots=True)
class _Node:
    """A node as its line states it, all of it well-formed."""

    name: str
    tokens: int
    parents: list[str]
    plan_tokens: int | None
    difficulty: float


class _Line:
    """One line of the file, whose faults it notes."""

    def __init__(self, source: SourceFile, line: int) -> None:
        self._source = source
        self._line = line
        self.sound = True
        """Whether no fault has been noted by this class."""

    def fault(self, message: str) -> None:
        self.sound = False
        self._source.fault(message, self._line)

    def keys(self, found: Mapping[str, Any], known: Sequence[str], where: str = "") -> None:
        """Note each key that is not a known one."""
        for key in found:
            if key not in known:
                self.fault(
                    f"{where}unknown key {shorten(key)}{nearest(key, known)}; allowed: {', '.join(known)}"
                )

    def count(self, value: object, what: str) -> int | None:
        """Return `value` as tokens, at least 1. Unlike in a CSV, a number must not be a text."""
        if isinstance(value, str):
            self.fault(f"{what} is the text {shorten(value)}; allowed: whole numbers from 1")
            return None
        number = self._source.count(value, what, self._line)
        self.sound &= number is not None
        return number

    def number(self, value: object, what: str, most: float = LARGEST) -> float | None:
        """Return `value` as a number from 0 to `most`."""
        if isinstance(value, str):
            self.fault(f"{what} is the text {shorten(value)}; allowed: finite numbers from 0 to {most:g}")
            return None
        number = self._source.number(value, what, self._line, most)
        self.sound &= number is not None
        return number


def read_graphs(source: SourceFile, hash_block_tokens: int = 16) -> Requests:
    """Read questions with their answer graphs (JSONL; docs/traces.md has the format).

    Parameters
    ----------
    source
        The file.
    hash_block_tokens
        Tokens per entry of ``hash_ids``, where lines have them. The entries cover the prompt and may go on over the
        answer.

    Returns
    -------
    Requests
        With `graphs`, whose nodes stand in the order of the file as far as dependencies allow. Without any
        ``hash_ids`` no prefix is shared, and `Requests.hash_block_tokens` is 0.

    Raises
    ------
    InputError
        With every faulty line.
    """
    rows = Rows(source)
    graphs: list[AnswerGraph] = []
    hashed: bool | None = None
    for number, row in source.json_rows(("arrival_s", "prompt_tokens", "nodes")):
        line = _Line(source, number)
        line.keys(row, _QUESTION_KEYS)
        arrival_s = line.number(row["arrival_s"], "arrival_s", LATEST_S)
        prompt_tokens = line.count(row["prompt_tokens"], "prompt_tokens")
        graph = _graph(line, row)
        answer_tokens = (
            None if graph is None else line.count(graph.answer_tokens, "the sum of the nodes' tokens")
        )
        ids = None
        if hashed is None:
            hashed = "hash_ids" in row
        elif hashed is not ("hash_ids" in row):
            line.fault("hash_ids stands at some lines only; allowed: at all or none")
        if "hash_ids" in row:
            ids = block_ids(source, row["hash_ids"], number)
            if ids is not None and prompt_tokens is not None and answer_tokens is not None:
                check_cover(source, number, ids, prompt_tokens, answer_tokens, hash_block_tokens)
        rows.add(number, arrival_s, prompt_tokens, answer_tokens, ids)
        if graph is not None:
            graphs.append(graph)
    return replace(rows.requests(hash_block_tokens if hashed else 0), graphs=from_graphs(graphs))


def _graph(line: _Line, row: Mapping[str, Any]) -> AnswerGraph | None:
    """Return the graph of a line; None, and its faults noted, where it has any."""
    category, suitable = row.get("category", ""), row.get("suitable", False)
    if not isinstance(category, str) or not category.isprintable():
        line.fault(f"category is {shorten(category)}; allowed: a text of printable characters")
    if not isinstance(suitable, bool):
        line.fault(f"suitable is {shorten(suitable)}; allowed: true or false")
    total = line.count(row["plan_tokens"], "plan_tokens") if "plan_tokens" in row else None
    written = row["nodes"]
    if not isinstance(written, list) or not written:
        line.fault(f"nodes is {shorten(written)}; allowed: a list of at least one node")
        return None
    if len(written) > MOST_NODES:
        line.fault(f"nodes has {len(written):,} entries; allowed: at most {MOST_NODES}")
        return None
    nodes = [_node(line, place, node) for place, node in enumerate(written)]
    found = [node for node in nodes if node is not None]
    if len(found) < len(nodes):
        return None
    order = _order(line, found)
    plan = _plan(line, found, total) if total is not None or "plan_tokens" not in row else None
    if order is None or plan is None or not line.sound:
        return None
    places = {found[old].name: new for new, old in enumerate(order)}
    return AnswerGraph(
        tuple(found[old].tokens for old in order),
        tuple(plan[old] for old in order),
        tuple(tuple(sorted(places[name] for name in found[old].parents)) for old in order),
        tuple(found[old].difficulty for old in order),
        category,
        suitable,
    )


def _node(line: _Line, place: int, written: object) -> _Node | None:
    """Return a node of a line, its ids as texts; None, and its faults noted, where it has any."""
    if not isinstance(written, dict):
        line.fault(f"nodes[{place}] is {shorten(written)}; allowed: an object with id and tokens")
        return None
    name = _name(written.get("id"))
    where = f"nodes[{place}]" if name is None else f"node {shorten(name)}"
    line.keys(written, _NODE_KEYS, f"{where}: ")
    missing = [f"{key!r}{nearest(key, list(written))}" for key in ("id", "tokens") if key not in written]
    if missing:
        line.fault(f"{where}: key is missing: {', '.join(missing)}")
    elif name is None:
        line.fault(f"{where}: id is {shorten(written['id'])}; allowed: a printable text or a whole number")
    tokens = line.count(written["tokens"], f"{where}: tokens") if "tokens" in written else None
    plan = line.count(written["plan_tokens"], f"{where}: plan_tokens") if "plan_tokens" in written else None
    difficulty = line.number(written.get("difficulty", DIFFICULTY), f"{where}: difficulty")
    if difficulty is not None and difficulty > 1:
        line.fault(f"{where}: difficulty is {difficulty:.9g}; allowed: from 0 to 1")
    parents = written.get("parents", [])
    names = [_name(parent) for parent in parents] if isinstance(parents, list) else [None]
    known = [parent for parent in names if parent is not None]
    if len(known) < len(names):
        line.fault(f"{where}: parents is {shorten(parents)}; allowed: a list of ids")
    if name is None or tokens is None or difficulty is None or len(known) < len(names):
        return None
    if plan is None and "plan_tokens" in written:
        return None
    return _Node(name, tokens, known, plan, difficulty)


def _name(written: object) -> str | None:
    """Return an id as a text, so that 1 and "1" are the same; None where it is no id."""
    if isinstance(written, str):
        return written if written and written.isprintable() else None
    if isinstance(written, bool) or not isinstance(written, int) or written.bit_length() > 64:
        return None
    return str(written)


def _order(line: _Line, nodes: Sequence[_Node]) -> list[int] | None:
    """Return places of `nodes`, parents first and else as they stand; None where no order is possible."""
    places = {node.name: place for place, node in enumerate(nodes)}
    if not _parents_known(line, nodes, places):
        return None
    children: list[list[int]] = [[] for _ in nodes]
    for place, node in enumerate(nodes):
        for parent in node.parents:
            children[places[parent]].append(place)
    missing = [len(node.parents) for node in nodes]
    ready = [place for place, count in enumerate(missing) if not count]
    order: list[int] = []
    while ready:  # ascending places are a heap already
        order.append(place := heapq.heappop(ready))
        for child in children[place]:
            missing[child] -= 1
            if not missing[child]:
                heapq.heappush(ready, child)
    if len(order) < len(nodes):
        line.fault(f"the nodes need each other: {_cycle(nodes, places, set(order))}")
        return None
    return order


def _parents_known(line: _Line, nodes: Sequence[_Node], places: Mapping[str, int]) -> bool:
    """Tell whether each node has an id of its own and each parent is another node; note faults where not."""
    wrong: list[str] = []
    for place, node in enumerate(nodes):
        where = f"node {shorten(node.name)}"
        if places[node.name] != place:
            wrong.append(f"{where}: a later node has the same id")
        seen: set[str] = set()
        for parent in node.parents:
            if parent in seen:
                wrong.append(f"{where}: parent {shorten(parent)} stands twice")
            elif parent == node.name:
                wrong.append(f"{where}: depends on itself")
            elif parent not in places:
                wrong.append(f"{where}: there is no parent {shorten(parent)}{nearest(parent, list(places))}")
            seen.add(parent)
    for message in wrong:
        line.fault(message)
    return not wrong


def _cycle(nodes: Sequence[_Node], places: Mapping[str, int], ordered: set[int]) -> str:
    """Name the nodes of one cycle among those that could not be put in order: each has a parent among them."""
    path: list[int] = []
    met: dict[int, int] = {}
    place = next(place for place in range(len(nodes)) if place not in ordered)
    while place not in met:
        met[place] = len(path)
        path.append(place)
        place = next(places[name] for name in nodes[place].parents if places[name] not in ordered)
    names = [shorten(nodes[one].name) for one in (*path[met[place] :], place)]
    if len(names) > _NAMED:
        names[_NAMED - 1 : -1] = [f"... ({len(names) - _NAMED} more)"]
    return " needs ".join(names)


def _plan(line: _Line, nodes: Sequence[_Node], total: int | None) -> list[int] | None:
    """Return each node's plan tokens: its own, or an even part of what is left of the line's `total`."""
    stated = sum(node.plan_tokens or 0 for node in nodes)
    silent = [place for place, node in enumerate(nodes) if node.plan_tokens is None]
    if not silent and total not in (None, stated):
        line.fault(f"plan_tokens is {total}, but those of the nodes add up to {stated}")
        return None
    if silent and total is None:
        line.fault(
            f"node {shorten(nodes[silent[0]].name)}: plan_tokens is missing; allowed: at each node, or for all of "
            "them at the line"
        )
        return None
    if silent and total is not None and total < stated + len(silent):
        line.fault(
            f"plan_tokens is {total}; the nodes' own add up to {stated}, and the other {len(silent)} need at least "
            "1 each"
        )
        return None
    plan = [node.plan_tokens or 0 for node in nodes]
    if silent and total is not None:
        even, more = divmod(total - stated, len(silent))
        for turn, place in enumerate(silent):
            plan[place] = even + (turn < more)
    return plan
