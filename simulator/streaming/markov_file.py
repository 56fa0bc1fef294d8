"""Reader of an access network's file: figures with their sources, and the chain that was fitted to them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from devices.document import Document, Path_, read_document
from devices.errors import Fault, InputError
from devices.evidence import Evidence
from devices.quantity import Quantity
from devices.sourced import load_sourced, unknown_name
from simulator.streaming.markov_network import Level, MarkovNetwork, RealStatistics

_CHAIN = ("source", "kind", "note", "persistence", "session_factors", "levels")
_LEVEL = ("median", "spread", "fails", "recovers", "follows")
_MEDIAN = Quantity("B/s", high=1e12, above_low=True)
_SPREAD = Quantity("", high=5.0)
_SHARE = Quantity("", high=1.0)
_FACTOR = Quantity("", high=1e6, above_low=True)
_ROUNDING = 1e-3
"""Probabilities of a row may be off 1 by this much: files have four digits."""


def read_markov_network(source: str | Path, name: str = "") -> MarkovNetwork:
    """Read one file of an access network (a `Path`) or its text (a `str`), called `name` in messages.

    Raises
    ------
    InputError
        With every fault of the file and its file:line:column.
    """
    facts = load_sourced(source, RealStatistics, name=name, also=("chain",))
    return _Chain(read_document(source, name)).network(facts)


class _Chain:
    """The section ``chain`` of a file under scrutiny; the facts above it have been read."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._faults: list[Fault] = []

    def network(self, facts: RealStatistics) -> MarkovNetwork:
        """Return the whole network, or raise every fault of its chain."""
        chain = self._mapping(("chain",), _CHAIN)
        levels = [self._level(index) for index in range(len(self._list(("chain", "levels"), 1)))]
        persistence = self._number(("chain", "persistence"), _SHARE) if "persistence" in chain else 0.0
        if persistence == 1.0:
            self._fault(("chain", "persistence"), "must be below 1")
        factors = self._numbers(("chain", "session_factors"), _FACTOR, 2)
        if factors != sorted(factors):
            self._fault(("chain", "session_factors"), "quantiles must not fall")
        evidence = {**facts.evidence, "chain": self._evidence(chain)}
        if not self._faults and levels and not any(level.fails < 1.0 or level.recovers for level in levels):
            self._fault(("chain", "levels"), "every second would be an outage")
        if self._faults:
            raise InputError(sorted(self._faults, key=lambda fault: (fault.line, fault.column)))
        return MarkovNetwork(
            facts.name, facts.title, facts.latency_s, tuple(levels), persistence, tuple(factors), evidence
        )

    def _level(self, index: int) -> Level:
        path: Path_ = ("chain", "levels", index)
        data = self._mapping(path, _LEVEL)
        number = {
            key: self._number((*path, key), quantity) if key in data else 0.0
            for key, quantity in (
                ("median", _MEDIAN),
                ("spread", _SPREAD),
                ("fails", _SHARE),
                ("recovers", _SHARE),
            )
        }
        count = len(self._document.at(("chain", "levels")))
        follows = self._numbers((*path, "follows"), _SHARE, count) if "follows" in data else [1.0] * count
        if len(follows) > count:
            self._fault(
                (*path, "follows"), f"has {len(follows)} probabilities; allowed: {count}, one per level"
            )
        total = sum(follows)
        if "follows" in data and not self._faults and abs(total - 1.0) > _ROUNDING:
            self._fault((*path, "follows"), f"probabilities must add up to 1, not {total:.4g}")
        shares = tuple(share / total for share in follows) if total else ()
        return Level(8.0 * number["median"], number["spread"], number["fails"], number["recovers"], shares)

    def _evidence(self, chain: dict[str, Any]) -> Evidence:
        key, sources = chain.get("source"), self._document.at(("sources",))
        if key is not None and key not in sources:
            self._fault(("chain", "source"), unknown_name("source", str(key), sources))
        if chain.get("kind", "fitted") != "fitted":
            self._fault(("chain", "kind"), f"{chain['kind']!r} is not allowed; allowed: fitted")
        source = sources.get(key, {})
        title, url = source.get("title", ""), source.get("url", "")
        return Evidence(math.nan, "", "fitted", title, url, str(chain.get("note", "")))

    def _mapping(self, path: Path_, keys: tuple[str, ...]) -> dict[str, Any]:
        data = self._at(path)
        if not isinstance(data, dict):
            self._fault(path, f"must be a mapping with {', '.join(keys)}")
            return {}
        for key in data:
            if key not in keys:
                self._fault((*path, key), unknown_name("key", key, keys), key=True)
        for key in keys:
            if key not in data:
                self._fault(path, f"{key} is missing")
        return data

    def _list(self, path: Path_, least: int) -> list[Any]:
        data = self._at(path)
        if isinstance(data, list) and len(data) >= least:
            return data
        self._fault(path, f"must be a list of at least {least}")
        return []

    def _numbers(self, path: Path_, quantity: Quantity, least: int) -> list[float]:
        return [self._number((*path, index), quantity) for index in range(len(self._list(path, least)))]

    def _number(self, path: Path_, quantity: Quantity) -> float:
        try:
            return quantity.parse(self._at(path))
        except ValueError as error:
            self._fault(path, str(error))
            return 0.0

    def _at(self, path: Path_) -> Any:
        try:
            return self._document.at(path)
        except (KeyError, IndexError, TypeError):  # its absence is reported where it is looked for
            return None

    def _fault(self, path: Path_, message: str, *, key: bool = False) -> None:
        self._faults.append(self._document.fault(path, message, key=key))
