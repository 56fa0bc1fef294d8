"""Chains of the public sets of network traces: what the synthetic traces of streaming scenarios are drawn from.

Run ``python -m calibration.fits.network_traces FOLDER`` with the folder of the archives (or the one around
``network_traces``) to print, for each set, real statistics beside those of synthetic sessions of the same lengths; with
``-o FILE`` into a file, with ``--write FOLDER`` the catalogue's files, too.

Each set is also split into halves, every second trace: a chain fitted to one half is compared with the other. The
halves' own difference stands beside that, because no fit can be expected to come nearer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from calibration.device_file import format_device_file
from calibration.fits.network_chain import LEVELS, Floats, fit_network
from calibration.fits.network_sets import SETS, Recording, latency_s, read_set, sessions, statistics
from devices.errors import Fault, InputError
from devices.files import file_fault
from simulator.streaming.markov_network import MarkovNetwork
from simulator.streaming.synthetic_trace import markov_trace

SYNTHETIC_S = 400_000
"""Time of synthetic sessions at least, per comparison."""
SEED = 20
"""Of the synthetic sessions that are compared."""
_DIFFERENCES = ("autocorrelation", "slow_share", "outage_share")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One statistic of a set, real and synthetic; deviations as `deviation` measures them."""

    real: float
    """Of all traces."""
    synthetic: float
    """Of sessions drawn from the chain fitted to all traces."""
    unseen: float
    """Mean deviation of sessions drawn from the chain of one half from the other half; NaN where that has none."""
    halves: float
    """Deviation of the halves from each other."""


@dataclass(frozen=True, slots=True)
class NetworkFit:
    """A set, its chain and how good it is."""

    name: str
    """Catalogue name."""
    recordings: Sequence[Recording]
    """The traces."""
    network: MarkovNetwork
    """Fitted to all of them."""
    comparisons: Mapping[str, Comparison]
    """By name of the statistic."""


def synthetic_statistics(
    network: MarkovNetwork, parts: Sequence[Floats], seed: int = SEED
) -> dict[str, float]:
    """Return the statistics of synthetic sessions as long as `parts`, `SYNTHETIC_S` of them at least."""
    rng = np.random.default_rng(seed)
    repeats = max(2, -(-SYNTHETIC_S // sum(len(part) for part in parts)))
    lengths_s = [len(part) for part in parts] * repeats
    return statistics(
        [np.array(markov_trace(network, rng, length_s).bandwidths_bps) for length_s in lengths_s]
    )


def fit_set(folder: Path, name: str) -> NetworkFit:
    """Fit one set and compare.

    Parameters
    ----------
    folder
        Where the archives lie.
    name
        A key of `SETS`.
    """
    recordings = read_set(folder, name)
    traces = [one.bandwidths_bps for one in recordings]
    ping_s, title = latency_s(name, recordings)[0], SETS[name].title
    parts = sessions(traces)
    network = fit_network(name, title, ping_s, parts)
    real, synthetic = statistics(parts), synthetic_statistics(network, parts)
    halves = [sessions(traces[::2]), sessions(traces[1::2])]
    of_halves = [statistics(half) for half in halves]
    drawn = [
        synthetic_statistics(fit_network(name, title, ping_s, half), other)
        for half, other in zip(halves, reversed(halves), strict=True)
    ]
    comparisons = {
        key: Comparison(
            real[key],
            synthetic[key],
            fmean(
                deviation(key, one[key], half[key])
                for one, half in zip(drawn, reversed(of_halves), strict=True)
            ),
            deviation(key, of_halves[0][key], of_halves[1][key]),
        )
        for key in real
    }
    return NetworkFit(name, recordings, network, comparisons)


def deviation(statistic: str, value: float, truth: float) -> float:
    """Return how far a statistic is off: relative, but the difference of shares and correlations."""
    if statistic.startswith(_DIFFERENCES):
        return abs(value - truth)
    return abs(value / truth - 1.0) if truth else float("nan")


def report(fit: NetworkFit) -> str:
    """Return the table of a set."""
    hours = sum(len(one.bandwidths_bps) for one in fit.recordings) / 3600
    lines = [
        f"{fit.name}: {SETS[fit.name].title}",
        f"{len(fit.recordings)} traces, {hours:.1f} h, round trip {1e3 * fit.network.latency_s:.0f} ms "
        f"({SETS[fit.name].latency})",
        f"{'':22s}{'real':>9s}{'synthetic':>11s}{'unseen off by':>15s}{'halves differ by':>18s}",
    ]
    for key, one in fit.comparisons.items():
        rate = not key.startswith(_DIFFERENCES) and key != "variation" and not key.endswith("_s")
        scale, unit = (1e-6, "Mbit/s") if rate else (1.0, "s" if key in ("slow_s", "outage_s") else "")
        digits = 3 if unit != "s" else 1
        shown = [f"{scale * value:.{digits}f}" for value in (one.real, one.synthetic)]
        off = [
            f"{value:.3f}" if key.startswith(_DIFFERENCES) else "-" if np.isnan(value) else f"{value:.1%}"
            for value in (one.unseen, one.halves)
        ]
        lines.append(f"  {key:20s}{shown[0]:>9s}{shown[1]:>11s}{off[0]:>15s}{off[1]:>18s}  {unit}".rstrip())
    return "\n".join(lines) + "\n"


def network_file(fit: NetworkFit) -> str:
    """Return the text of the catalogue file."""
    one = SETS[fit.name]
    sources: dict[str, Any] = {"traces": {"title": one.source, "url": one.url}}
    ping_s, interval = latency_s(fit.name, fit.recordings)
    latency: dict[str, Any] = {"value": f"{1e3 * ping_s:.4g} ms", "source": "traces", "kind": "assumed"}
    if interval:
        latency |= {
            "kind": "measured",
            "low": f"{1e3 * interval[0]:.4g} ms",
            "high": f"{1e3 * interval[1]:.4g} ms",
        }
        latency["note"] = (
            "Median of the logger's pings, under the load of the download; range: the middle 80 %"
        )
    elif one.latency == "sabre":
        latency["note"] = "A constant of Sabre's files"
    else:
        sources["pensieve"] = {"title": "Mao et al., Pensieve (SIGCOMM 2017): emulated link"}
        latency |= {"source": "pensieve", "note": "The traces record none"}
    recorded_s = sum(len(trace.bandwidths_bps) for trace in fit.recordings)
    traces: dict[str, Any] = {"value": len(fit.recordings), "source": "traces", "kind": "measured"}
    if one.remark:
        traces["note"] = one.remark
    values: dict[str, Any] = {
        "traces": traces,
        "recorded_s": {"value": f"{recorded_s / 3600:.4g} h", "source": "traces", "kind": "measured"},
        "latency_s": latency,
    }
    for key, comparison in fit.comparisons.items():
        values |= dict([_entry(key, comparison)])
    head = {
        "name": fit.name,
        "title": one.title,
        "licence": one.licence,
        "sources": sources,
        "values": values,
    }
    return format_device_file(head) + _chain_text(fit)


def _entry(key: str, one: Comparison) -> tuple[str, dict[str, Any]]:
    """Return the field of a statistic and what stands there."""
    entry: dict[str, Any] = {"value": float(f"{one.real:.4g}"), "source": "traces", "kind": "measured"}
    if key in ("slow_s", "outage_s"):
        entry["value"] = f"{one.real:.4g} s"
    elif key.startswith(("mean", "p", "session")):
        entry["value"], key = f"{1e-6 * one.real:.4g} Mbit/s", f"{key}_bytes_per_s"
    if key.startswith(_DIFFERENCES):
        entry["note"] = f"Synthetic {one.synthetic:.3g}; off by {one.unseen:.2g} on unseen traces"
    elif not np.isnan(one.unseen):
        entry["error"] = float(f"{min(one.unseen, 10.0):.2g}")
    return key, entry


def _chain_text(fit: NetworkFit) -> str:
    network = fit.network
    factors = ", ".join(f"{factor:.4g}" for factor in network.session_factors)
    lines = [
        "",
        "# By level: bandwidth's median and spread of its logarithm; probabilities per second that it fails and",
        "# recovers, and of the level that follows. Session factors: quantiles of 0, 10, ..., 100 %.",
        "chain:",
        "  source: traces",
        "  kind: fitted",
        f"  note: {json.dumps(f'{LEVELS} levels, from means over 10 s and then second by second; errors above')}",
        f"  persistence: {network.persistence:.4g}",
        f"  session_factors: [{factors}]",
        "  levels:",
    ]
    for level in network.levels:
        follows = ", ".join(f"{share:.4g}" if share >= 1e-6 else "0" for share in level.follows)
        lines += [
            f"    - median: {1e-6 * level.median_bps:.4g} Mbit/s",
            f"      spread: {level.spread:.4g}",
            f"      fails: {level.fails:.4g}",
            f"      recovers: {level.recovers:.4g}",
            f"      follows: [{follows}]",
        ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison of each set, and write files where asked."""
    parser = argparse.ArgumentParser(description="Fit chains to public sets of network traces.")
    parser.add_argument("folder", type=Path, help="folder of the archives")
    parser.add_argument("-o", "--output", type=Path, help="write the report there")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write the catalogue's files there")
    parser.add_argument("--set", action="append", choices=SETS, dest="names", help="this set alone")
    arguments = parser.parse_args(argv)
    inner = arguments.folder / "network_traces"
    folder = inner if inner.is_dir() else arguments.folder
    texts = []
    try:
        names = arguments.names or SETS
        for name in names:
            if fault := file_fault(folder / SETS[name].archive):
                raise InputError(Fault(fault, file=str(folder / SETS[name].archive)))
        for name in names:
            print(f"fitting {name}", file=sys.stderr)
            fit = fit_set(folder, name)
            texts.append(report(fit))
            if arguments.write:
                (arguments.write / f"{name}.yaml").write_text(network_file(fit), encoding="utf-8")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    text = "\n".join(texts)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
