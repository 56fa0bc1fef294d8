"""Readers of network traces: one file in, a `NetworkTrace` out.

Four formats, told apart by their content. A file with a faulty entry is refused whole, with every fault by line.
"""

from __future__ import annotations

import math
from itertools import groupby, pairwise
from pathlib import Path

from simulator.streaming.json_file import JsonFile
from simulator.streaming.network_trace import NetworkTrace, period_fault, whole_fault
from simulator.workloads.sources import LATEST_S, SourceFile, shorten

LATENCY_S = 0.08
"""Round trip of traces that record none: that of Pensieve's emulated link (Mao et al., SIGCOMM 2017)."""

PACKET_BITS = 8 * 1500
"""What one line of a Mahimahi trace delivers."""

MAHIMAHI_PERIOD_S = 0.1
"""Packets of a Mahimahi trace are counted over periods of this length."""

MAHIMAHI_LONGEST_S = 86_400.0
"""A later stamp of a Mahimahi trace is taken for a slip."""

IRISH_PERIOD_S = 1.0
"""Time that a row of the Irish trace stands for."""


def trace_paths(place: Path) -> list[Path]:
    """Return the files of traces at a place: itself, or all in a folder and below it, but for hidden ones."""
    if not place.is_dir():
        return [place]
    return sorted(
        path
        for path in place.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(place).parts)
    )


def read_trace(path: Path, latency_s: float = LATENCY_S) -> NetworkTrace:
    """Read a network trace of any known format.

    Parameters
    ----------
    path
        The file: Sabre's JSON, Pensieve's two columns, Mahimahi's one, or a CSV of the Irish 5G data set.
    latency_s
        Round trip where the format records none.

    Raises
    ------
    InputError
        Where the file cannot be read or is none of these (line 1 is named), or by line for every entry that makes no
        sense.
    """
    source = SourceFile(path)
    first = next(line for line in source.text().splitlines() if line.strip()).strip()
    if first[0] in "[{":
        return read_sabre_trace(path)
    if "," in first:
        return read_irish_5g(path, latency_s)
    readers = {1: read_mahimahi, 2: read_two_columns}
    columns = len(first.split())
    if columns not in readers:
        message = (
            f"is no network trace: a first line of {columns} columns; allowed: Sabre's JSON, 'seconds Mbit/s', "
            "one column of Mahimahi's milliseconds, or a CSV with DL_bitrate"
        )
        raise source.fail(message, 1)
    return readers[columns](path, latency_s)


def read_sabre_trace(path: Path) -> NetworkTrace:
    """Read Sabre's format: a JSON list of ``{duration_ms, bandwidth_kbps, latency_ms}``."""
    file = JsonFile(path)
    periods: list[tuple[float, float, float]] = []
    for index, entry in enumerate(file.items(file.data, ())):
        duration_s = file.number(entry, "duration_ms", (index,)) / 1e3
        bandwidth_bps = file.number(entry, "bandwidth_kbps", (index,)) * 1e3
        latency_s = file.number(entry, "latency_ms", (index,)) / 1e3
        periods.append((duration_s, bandwidth_bps, latency_s))
        if not math.isnan(duration_s + bandwidth_bps + latency_s) and (fault := period_fault(*periods[-1])):
            file.fault((index,), fault)
    file.check()
    durations_s, bandwidths_bps, latencies_s = zip(*periods, strict=True)
    if wrong := whole_fault(durations_s, bandwidths_bps):
        file.fault((wrong[0],), wrong[1])
        file.check()
    return NetworkTrace(path.name, durations_s, bandwidths_bps, latencies_s)


def read_two_columns(path: Path, latency_s: float = LATENCY_S) -> NetworkTrace:
    """Read Pensieve's format: lines of ``seconds Mbit/s``.

    As in Pensieve's environment the bandwidth of a line holds from the time of the line above to its own, so that the
    first line only marks the start.
    """
    source = SourceFile(path)
    rows: list[tuple[float, float]] = []
    lines: list[int] = []
    line = 0
    for line, text in enumerate(source.text().splitlines(), start=1):
        cells = text.split()
        if not cells:
            continue
        if len(cells) != 2:
            source.fault(f"has {len(cells)} columns; allowed: 'seconds Mbit/s'", line)
            continue
        time_s = source.number(cells[0], "the time in s", line, LATEST_S)
        mbps = source.number(cells[1], "the bandwidth in Mbit/s", line)
        if time_s is None or mbps is None:
            continue
        if rows and time_s <= rows[-1][0]:
            source.fault(f"{time_s:g} s is not after the line above ({rows[-1][0]:g} s)", line)
        rows.append((time_s, mbps * 1e6))
        lines.append(line)
    source.check()
    if len(rows) < 2:
        raise source.fail("needs two lines or more: a bandwidth holds from the time of the line above", line)
    times_s, bandwidths_bps = zip(*rows, strict=True)
    durations_s = tuple(end - start for start, end in pairwise(times_s))
    if wrong := whole_fault(durations_s, bandwidths_bps[1:]):
        raise source.fail(wrong[1], lines[wrong[0]])
    return _steady(path, durations_s, bandwidths_bps[1:], latency_s)


def read_mahimahi(path: Path, latency_s: float = LATENCY_S) -> NetworkTrace:
    """Read Mahimahi's format: each line the millisecond by which one packet of 1500 bytes may pass.

    Packets are counted over periods of `MAHIMAHI_PERIOD_S`; the last one ends with the last packet, after which
    Mahimahi, too, starts over.
    """
    source = SourceFile(path)
    stamps_ms: list[int] = []
    line = 0
    for line, text in enumerate(source.text().splitlines(), start=1):
        cell = text.strip()
        if not cell:
            continue
        if not (cell.isascii() and cell.isdigit() and len(cell) <= 15):
            source.fault(f"{shorten(cell)} is no whole number of milliseconds from 0", line)
            continue
        stamp_ms = int(cell)
        if stamps_ms and stamp_ms < stamps_ms[-1]:
            source.fault(f"{stamp_ms} ms is before the line above ({stamps_ms[-1]} ms)", line)
        if stamp_ms > 1e3 * MAHIMAHI_LONGEST_S:
            source.fault(f"{stamp_ms} ms is too late; allowed: at most {MAHIMAHI_LONGEST_S:,.0f} s", line)
        stamps_ms.append(stamp_ms)
    source.check()
    end_ms = stamps_ms[-1]
    if not end_ms:
        raise source.fail("all packets pass at 0 ms: a trace needs a duration", line)
    width_ms = round(1e3 * MAHIMAHI_PERIOD_S)
    # a stamp t stands for the millisecond that ends at t
    counts = {
        period: sum(1 for _ in stamps)
        for period, stamps in groupby(stamps_ms, lambda stamp_ms: max(stamp_ms - 1, 0) // width_ms)
    }
    durations_s: list[float] = []
    bandwidths_bps: list[float] = []
    for period in range((end_ms - 1) // width_ms + 1):
        durations_s.append(min(width_ms, end_ms - period * width_ms) / 1e3)
        bandwidths_bps.append(counts.get(period, 0) * PACKET_BITS / durations_s[-1])
    return _steady(path, tuple(durations_s), tuple(bandwidths_bps), latency_s)


def read_irish_5g(path: Path, latency_s: float = LATENCY_S) -> NetworkTrace:
    """Read a CSV of the Irish 5G data set (Raca et al., MMSys 2020): ``DL_bitrate`` in kbit/s.

    The logger writes about one row a second with stamps of whole seconds, so every row counts as 1 s. A bitrate is what
    the phone received: while it asked for little (state I, the pauses of a video) it says little of the network.
    """
    source = SourceFile(path)
    bandwidths_bps: list[float] = []
    line = 0
    for line, (cell,) in source.table(["DL_bitrate"]):
        kbps = source.number(cell, "DL_bitrate in kbit/s", line)
        bandwidths_bps.append((kbps or 0.0) * 1e3)
    source.check()
    if not bandwidths_bps:
        raise source.fail("has no rows", 1)
    durations_s = (IRISH_PERIOD_S,) * len(bandwidths_bps)
    if wrong := whole_fault(durations_s, bandwidths_bps):
        raise source.fail(wrong[1], line)
    return _steady(path, durations_s, tuple(bandwidths_bps), latency_s)


def _steady(
    path: Path, durations_s: tuple[float, ...], bandwidths_bps: tuple[float, ...], latency_s: float
) -> NetworkTrace:
    """Return a trace of a format that records no latency."""
    note = f"{path.name} records no latency: {1e3 * latency_s:g} ms assumed"
    return NetworkTrace(path.name, durations_s, bandwidths_bps, (latency_s,) * len(durations_s), (note,))
