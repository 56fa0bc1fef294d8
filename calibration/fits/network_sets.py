"""Public sets of network traces, cut into sessions, and the statistics by which synthetic ones are compared.

A session is a part of a trace of about ten minutes, which is what a viewer sees of a network; a shorter trace is one.
Recordings of a set last from one minute to three hours, and without the cut the longest few would count most.
"""

from __future__ import annotations

import csv
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from devices.files import reading
from simulator.streaming.trace_files import LATENCY_S, read_trace

Floats = NDArray[np.float64]

SESSION_S = 600
"""Length that sessions have about, in s."""
OUTAGE_BPS = 10e3
"""A second of less is an outage."""
SLOW_BPS = 0.3e6
"""A second of less is slow: the least bitrate of the usual ladders."""
LAGS_S = (1, 5, 10, 30)
QUANTILES = (5, 25, 50, 75, 95)
SESSION_QUANTILES = (10, 50, 90)

SABRE = "https://github.com/UMass-LIDS/sabre"
MERINA = "https://github.com/confiwent/Real-world-bandwidth-traces"


@dataclass(frozen=True, slots=True)
class TraceSet:
    """One set: which files of which archive, and where they are from."""

    archive: str
    """File in the folder of network traces."""
    title: str
    """What the set is."""
    source: str
    """Who recorded and who published it."""
    url: str
    """Where."""
    licence: str
    """Of the publication."""
    remark: str = ""
    """What a reader must know."""
    latency: str = "assumed"
    """``assumed``: as `LATENCY_S`; ``sabre``: a constant of the files; ``pings``: measured, in the rows."""
    chosen: Callable[[str], bool] = lambda name: True
    """Whether a file of the archive belongs to it, by name."""


SETS = {
    "norway-3g": TraceSet(
        "sabre_3Glogs.tar.gz",
        "Norwegian 3G/HSDPA logs from trains, trams, buses, metro, ferries and cars",
        "Riiser et al., Commute Path Bandwidth Traces from 3G Networks (MMSys 2013), as in Sabre (3Glogs)",
        SABRE,
        "BSD-2-Clause (Sabre)",
        latency="sabre",
    ),
    "ghent-4g": TraceSet(
        "sabre_4Glogs.tar.gz",
        "4G/LTE logs from Ghent, on foot, by bicycle, bus, tram, train and car",
        "van der Hooft et al., HTTP/2-Based Adaptive Streaming of HEVC Video over 4G/LTE Networks (IEEE Comm. Letters "
        "2016), as in Sabre (4Glogs)",
        SABRE,
        "BSD-2-Clause (Sabre)",
        latency="sabre",
    ),
    "irish-5g": TraceSet(
        "irish_5G-production-dataset.zip",
        "5G logs from Ireland, file downloads, driving and static",
        "Raca et al., Beyond Throughput, the Next Generation: a 5G Dataset with Channel and Context Metrics "
        "(MMSys 2020)",
        "https://github.com/uccmisl/5Gdataset",
        "GPL-3.0 (the repository)",
        "Downloads alone: in its video sessions the phone idles between chunks. Parts on LTE and HSPA+ are in it",
        "pings",
        lambda name: "/Download/" in name and "__MACOSX" not in name and name.endswith(".csv"),
    ),
    "fcc-broadband": TraceSet(
        "fcc_2016.tar.gz",
        "Fixed US broadband, FCC measurements of 2016 as cut by Pensieve's authors",
        "FCC, Measuring Broadband America (raw data 2016), as in the test set of Mao et al., Pensieve (SIGCOMM 2017), "
        "by way of the MERINA collection",
        MERINA,
        "MIT (the collection)",
        "Files named trace_* alone: the other 68 of that folder are Norwegian 3G logs by their names. One sample in "
        "5 s",
        chosen=lambda name: Path(name).name.startswith("trace_"),
    ),
    "oboe": TraceSet(
        "oboe.tar.gz",
        "Throughput of a video provider's clients, wired, Wi-Fi and cellular mixed",
        "Akhtar et al., Oboe (SIGCOMM 2018), by way of the MERINA collection",
        MERINA,
        "MIT (the collection)",
        "Three minutes each, unevenly sampled every few seconds",
    ),
}
"""By catalogue name."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One trace of a set, second by second."""

    bandwidths_bps: Floats
    """Mean bandwidth of each second, in bit/s."""
    latency_s: float
    """Round trip of the file or, where it has none, assumed, in s."""
    pings_s: tuple[float, ...] = ()
    """Measured round trips, in s."""


def read_set(folder: Path, name: str) -> list[Recording]:
    """Return the traces of a set, by the name of their files.

    Parameters
    ----------
    folder
        Where the archives lie.
    name
        A key of `SETS`.

    Raises
    ------
    devices.errors.InputError
        Where a file of the archive is no trace.
    """
    one, found = SETS[name], []
    with tempfile.TemporaryDirectory() as place:
        for number, content in enumerate(_contents(folder / one.archive, one.chosen)):
            path = Path(place) / str(number)
            path.write_bytes(content)
            trace = read_trace(path)
            seconds = _per_second(np.array(trace.durations_s), np.array(trace.bandwidths_bps))
            pings_s = _pings_s(content) if one.latency == "pings" else ()
            found.append(Recording(seconds, trace.latencies_s[0], pings_s))
    return found


def _contents(archive: Path, chosen: Callable[[str], bool]) -> Iterator[bytes]:
    if archive.suffix == ".zip":
        with reading(archive, also=(zipfile.BadZipFile,)), zipfile.ZipFile(archive) as files:
            yield from (files.read(name) for name in sorted(files.namelist()) if chosen(name))
        return
    with reading(archive, also=(tarfile.TarError,)), tarfile.open(archive) as members:
        for member in sorted(members, key=lambda one: one.name):
            if member.isfile() and chosen(member.name):
                yield (members.extractfile(member) or io.BytesIO()).read()


def _per_second(durations_s: Floats, bandwidths_bps: Floats) -> Floats:
    """Return the mean bandwidth of every whole second; the rest of the last one is left out."""
    ends_s = np.append(0.0, np.cumsum(durations_s))
    bits = np.append(0.0, np.cumsum(durations_s * bandwidths_bps))
    return np.diff(np.interp(np.arange(int(ends_s[-1] + 1e-9) + 1), ends_s, bits))


def _pings_s(content: bytes) -> tuple[float, ...]:
    """Return the round trips that the Irish logger measured every few seconds, under the load of the download."""
    rows = csv.DictReader(io.StringIO(content.decode()))
    return tuple(1e-3 * float(row["PINGAVG"]) for row in rows if row["PINGAVG"] not in ("", "-"))


def latency_s(name: str, recordings: Sequence[Recording]) -> tuple[float, tuple[float, float] | None]:
    """Return the round trip of a set in s, and the interval of the middle 80 % where it was measured."""
    pings_s = [ping_s for one in recordings for ping_s in one.pings_s]
    if pings_s:
        low, middle, high = np.percentile(pings_s, (10, 50, 90)).tolist()
        return middle, (low, high)
    return (recordings[0].latency_s if SETS[name].latency == "sabre" else LATENCY_S), None


def sessions(traces: Sequence[Floats]) -> list[Floats]:
    """Cut traces into equal parts of about `SESSION_S`."""
    return [part for trace in traces for part in np.array_split(trace, max(1, round(len(trace) / SESSION_S)))]


def statistics(parts: Sequence[Floats]) -> dict[str, float]:
    """Return the statistics of sessions by field of `RealStatistics`, bandwidth in bit/s."""
    seconds = np.concatenate(parts)
    means = np.array([part.mean() for part in parts])
    mean = float(seconds.mean())
    found = {"mean": mean, "variation": float(seconds.std()) / mean}
    found |= {f"p{rank}": float(np.percentile(seconds, rank)) for rank in QUANTILES}
    found |= {
        f"autocorrelation_{lag}s": value for lag, value in zip(LAGS_S, correlations(parts), strict=True)
    }
    for what, limit_bps in (("slow", SLOW_BPS), ("outage", OUTAGE_BPS)):
        found[f"{what}_share"] = float((seconds < limit_bps).mean())
        found[f"{what}_s"] = _stretch_s(parts, limit_bps)
    return found | {f"session_p{rank}": float(np.percentile(means, rank)) for rank in SESSION_QUANTILES}


def correlations(parts: Sequence[Floats]) -> list[float]:
    """Return the autocorrelation of bandwidth around each session's mean at `LAGS_S`."""
    off = [part - part.mean() for part in parts]
    total = sum(float(part @ part) for part in off)
    return [sum(float(part[lag:] @ part[:-lag]) for part in off if len(part) > lag) / total for lag in LAGS_S]


def _stretch_s(parts: Sequence[Floats], limit_bps: float) -> float:
    """Return the mean length of stretches below a bandwidth; 0 where there is none."""
    count = length = 0
    for part in parts:
        below = np.concatenate(([False], part < limit_bps))
        length += int(below.sum())
        count += int((below[1:] & ~below[:-1]).sum())
    return length / count if count else 0.0
