"""Readers of videos: one manifest in, a `Video` out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from devices.document import Document, Path_, read_document
from devices.errors import Fault, InputError
from devices.quantity import Quantity
from simulator.streaming.json_file import JsonFile
from simulator.streaming.vbr import VARIATION, vbr_video
from simulator.streaming.video import Video, ladder_faults, sizes_fault
from simulator.workloads.sources import SourceFile, nearest, shorten

PENSIEVE_SEGMENT_S = 4.0
"""Length of a segment where a table of sizes does not say it (Mao et al., SIGCOMM 2017)."""

_SECONDS = Quantity("s", high=3600.0, above_low=True)
_BITRATE = Quantity("B/s", high=1e12, above_low=True)
_VARIATION = Quantity("", high=2.0)
_SEGMENTS = Quantity("", low=1, high=1e6, whole=True)
_WHOLE = Quantity("", high=2**31, whole=True)


def read_video(path: Path) -> Video:
    """Read a manifest by its ending.

    Parameters
    ----------
    path
        ``.json``: Sabre's manifest; ``.csv``: Pensieve's sizes; ``.yaml`` or ``.yml``: our ladder.

    Raises
    ------
    InputError
        Where it cannot be read, its ladder does not rise, or an entry makes no sense; every fault by line.
    """
    readers = {
        ".json": read_sabre_manifest,
        ".csv": read_pensieve_sizes,
        ".yaml": read_ladder,
        ".yml": read_ladder,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            Fault(f"is no manifest by its ending; allowed: {', '.join(readers)}", file=str(path))
        )
    return reader(path)


def read_sabre_manifest(path: Path) -> Video:
    """Read Sabre's manifest: ``segment_duration_ms``, ``bitrates_kbps``, ``segment_sizes_bits[segment][level]``."""
    file = JsonFile(path)
    data = file.data if isinstance(file.data, dict) else {}
    segment_s = file.number(file.data, "segment_duration_ms", ()) / 1e3
    if segment_s <= 0.0:
        file.fault(("segment_duration_ms",), "must be above 0 ms")
    kbps = file.numbers(data.get("bitrates_kbps"), ("bitrates_kbps",))
    bitrates_bps = tuple(rate * 1e3 for rate in kbps)
    if kbps and not any(map(math.isnan, kbps)):
        for level, message in ladder_faults(bitrates_bps):
            file.fault(("bitrates_kbps", level), message)
    sizes_bits: list[tuple[float, ...]] = []
    for segment, entry in enumerate(file.items(data.get("segment_sizes_bits"), ("segment_sizes_bits",))):
        place: Path_ = ("segment_sizes_bits", segment)
        sizes = tuple(file.numbers(entry, place))
        fault = None if any(map(math.isnan, sizes)) else sizes_fault(sizes, len(bitrates_bps))
        if sizes and fault:
            file.fault(place, fault)
        sizes_bits.append(sizes)
    file.check()
    return Video(path.stem, segment_s, bitrates_bps, tuple(sizes_bits))


def read_pensieve_sizes(path: Path, segment_s: float = PENSIEVE_SEGMENT_S) -> Video:
    """Read sizes in bytes: a CSV with ``nominal_kbps``, ``chunk_index_1based``, ``size_bytes``; rows in any order."""
    source = SourceFile(path)
    levels: dict[float, dict[int, float]] = {}
    first_line: dict[float, int] = {}
    for line, (rate, place, size) in source.table(["nominal_kbps", "chunk_index_1based", "size_bytes"]):
        kbps = source.number(rate, "nominal_kbps", line)
        segment = source.count(place, "chunk_index_1based", line)
        size_bytes = source.number(size, "size_bytes", line)
        if kbps is None or segment is None or size_bytes is None:
            continue
        if not kbps or not size_bytes:
            source.fault("a bitrate and a size must be above 0", line)
        sizes = levels.setdefault(kbps, {})
        first_line.setdefault(kbps, line)
        if segment in sizes:
            source.fault(f"chunk {segment} of {kbps:g} kbit/s stands twice", line)
        sizes[segment] = 8.0 * size_bytes
    source.check()
    if not levels:
        raise source.fail("has no rows", 1)
    segments = max(max(sizes) for sizes in levels.values())
    for kbps, sizes in levels.items():
        missing = next((segment for segment in range(1, segments + 1) if segment not in sizes), None)
        if missing is not None:
            source.fault(f"{kbps:g} kbit/s has no chunk {missing} of {segments}", first_line[kbps])
    source.check()
    ladder = sorted(levels)
    sizes_bits = tuple(tuple(levels[kbps][segment] for kbps in ladder) for segment in range(1, segments + 1))
    return Video(path.stem, segment_s, tuple(kbps * 1e3 for kbps in ladder), sizes_bits)


def read_ladder(path: Path) -> Video:
    """Read our own format, whose sizes are drawn from a seed::

    name: city walk          # default: the file's name
    segment: 1 s
    segments: 300
    ladder:                  # rising; heights are optional
      - {bitrate: 300 kbit/s, height: 180}
      - {bitrate: 800 kbit/s, height: 360}
    variation: 0.18          # of sizes, standard deviation over mean; 0: constant bitrate
    seed: 1
    """
    document = read_document(path)
    reader = _Ladder(document)
    reader.keys((), ("name", "segment", "segments", "ladder", "variation", "seed"))
    name = reader.data.get("name", path.stem)
    if not isinstance(name, str):
        reader.fault(("name",), f"{shorten(name)} is no text")
    segment_s = reader.number(("segment",), _SECONDS)
    segments = reader.number(("segments",), _SEGMENTS)
    variation = reader.number(("variation",), _VARIATION, VARIATION)
    seed = reader.number(("seed",), _WHOLE, 0)
    steps = reader.data.get("ladder")
    if not isinstance(steps, list) or not steps:
        reader.fault(("ladder",), "must be a list of steps such as {bitrate: 300 kbit/s, height: 180}")
        steps = []
    bitrates_bps: list[float] = []
    heights: list[float] = []
    for level in range(len(steps)):
        reader.keys(("ladder", level), ("bitrate", "height"))
        bitrates_bps.append(8.0 * reader.number(("ladder", level, "bitrate"), _BITRATE))
        heights.append(reader.number(("ladder", level, "height"), _WHOLE, 0))
    reader.check()
    for level, message in ladder_faults(tuple(bitrates_bps)):
        reader.fault(("ladder", level, "bitrate"), message)
    reader.check()
    rng = np.random.default_rng(int(seed))
    return vbr_video(
        name, segment_s, int(segments), bitrates_bps, rng, variation, [int(it) for it in heights]
    )


class _Ladder:
    """A YAML file under scrutiny: collects faults until `check` raises them together."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.data: dict[str, Any] = document.data if isinstance(document.data, dict) else {}
        self._faults: list[Fault] = []
        if not self.data:
            self.fault((), "must be a mapping with segment, segments and ladder")

    def fault(self, path: Path_, message: str) -> None:
        self._faults.append(self._document.fault(path, message))

    def keys(self, path: Path_, allowed: Iterable[str]) -> None:
        """Refuse other keys than `allowed` in the mapping at `path`."""
        allowed = list(allowed)
        entry = self._document.at(path)
        if not isinstance(entry, dict):
            if path:
                self.fault(path, f"must be a mapping with {', '.join(allowed)}")
            return
        for key in entry:
            if key not in allowed:
                message = f"unknown key; allowed: {', '.join(allowed)}{nearest(key, allowed)}"
                self._faults.append(self._document.fault((*path, key), message, key=True))

    def number(self, path: Path_, quantity: Quantity, default: float | None = None) -> float:
        """Return the quantity at `path`; `default` where it is absent, NaN where that is a fault."""
        try:
            value = self._document.at(path)
        except (KeyError, IndexError, TypeError):
            value = None
        if value is None and default is not None:
            return default
        try:
            return quantity.parse(value)
        except ValueError as error:
            self.fault(path, "is missing" if value is None else str(error))
            return math.nan

    def check(self) -> None:
        if self._faults:
            raise InputError(self._faults)
