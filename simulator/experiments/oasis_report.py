"""The OASIS paper's tables in text: published beside ours, the headline, and what other assumptions would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from simulator.experiments.oasis_settings import ASSUMED, CONTROLLER, LADDER_BPS, Assumed
from simulator.experiments.reproduce_oasis import EXPERIMENTS, REPLICATIONS, predict
from simulator.experiments.tables import text_table
from simulator.policies.collaboration.oasis import Oasis

TITLES: Mapping[str, str] = {
    "qoe": "QoE: Pensieve-like WWANs",
    "energy": "Energy of one phone, 180p to 720p",
    "abr_ablation": "ABR ablation: OASIS with another ABR half",
    "sched_compute": "Scheduler ablation: SR skewed",
    "sched_network": "Scheduler ablation: WWANs skewed",
    "download_only": "Energy of one phone, plain 720p",
}
"""Heading of each experiment's table."""

_KEYS = ("policy", "devices", "fps_total", "skew", "phone")
_SHOWN: Mapping[str, tuple[str, float, str]] = {
    "qoe": ("QoE", 1.0, ".2f"),
    "rebuffer_s": ("stall s", 1.0, ".1f"),
    "bitrate_mbps": ("Mbit/s", 1.0, ".2f"),
    "energy_j": ("kJ", 1e3, ".2f"),
}

PLAIN_QOE = LADDER_BPS[0] / 1e6
"""QoE of a phone that plays 180p without stalls."""

_FIRST_ITERATION = Oasis().first_per_phone

ALTERNATIVES: Mapping[str, Assumed] = {
    "as assumed": ASSUMED,
    "no loss per chunk": replace(ASSUMED, per_chunk_s=0.0),
    "loss per chunk in the ABR ablation too": replace(ASSUMED, abr_per_chunk_s=ASSUMED.per_chunk_s),
    "playback begins after the first iteration": replace(ASSUMED, startup_per_phone=_FIRST_ITERATION),
    "phones join as Pixel 5, S10, S20 Ultra, ...": replace(
        ASSUMED,
        joining=(CONTROLLER, "pixel-5", "galaxy-s10", CONTROLLER, "pixel-5", CONTROLLER, "galaxy-s21-ultra"),
    ),
    "slowest WWAN 0.2 Mbit/s": replace(ASSUMED, slowest_bps=0.2e6),
    "baselines give 2 chunks per phone ahead": replace(ASSUMED, ahead=2.0),
    "phones with SR draw no more than others": replace(ASSUMED, sr_playing_w=ASSUMED.playing_w),
}
"""What else might have been assumed."""

_PROBES: Mapping[str, tuple[dict[str, Any], str]] = {
    "OASIS QoE, 3": ({"experiment": "qoe", "policy": "oasis", "devices": 3}, "qoe"),
    "alone QoE, 3": ({"experiment": "qoe", "policy": "no_collaboration", "devices": 3}, "qoe"),
    "OASIS stall, 5:1:1": ({"experiment": "sched_compute", "policy": "oasis", "skew": 5.0}, "rebuffer_s"),
    "MPBond": ({"experiment": "sched_compute", "policy": "mpbond", "skew": 5.0}, "rebuffer_s"),
    "rate_high QoE": ({"experiment": "abr_ablation", "policy": "rate_high"}, "qoe"),
    "kJ, 3": ({"experiment": "energy", "policy": "oasis", "devices": 3}, "energy_j"),
}
"""Rows that show what an assumption does."""


def report_oasis(rows: Sequence[Mapping[str, Any]], published: bool = True) -> str:
    """Return one table per experiment.

    Parameters
    ----------
    rows
        As `reproduce_oasis` returns them.
    published
        Whether they are the published cells: then the headline and other assumptions follow.
    """
    blocks = []
    for experiment in EXPERIMENTS:
        if here := [row for row in rows if row["experiment"] == experiment]:
            blocks.append(f"{TITLES[experiment]}\n{_table(here)}")
    if published:
        blocks += [_headline(), _alternatives()]
    return "\n".join(blocks)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = [key for key in _KEYS if any(row.get(key, "") != "" for row in rows)]
    header, cells = list(keys), [[_text(row.get(key, "")) for key in keys] for row in rows]
    for name, (title, scale, form) in _SHOWN.items():
        header.append(title)
        beside = any(f"published_{name}" in row for row in rows)
        header += ["published", "error"] if beside else []
        for row, line in zip(rows, cells, strict=True):
            line.append(format(row[name] / scale, form))
            if beside:
                there = row.get(f"published_{name}")
                line.append("-" if there is None else format(there / scale, form))
                line.append("-" if there is None else _error(row[name], there, name, scale, form))
    return text_table(header, cells)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _error(ours: float, there: float, name: str, scale: float, form: str) -> str:
    if name == "energy_j":
        return f"{ours / there - 1.0:+.1%}"
    return format((ours - there) / scale, "+" + form)


def _headline() -> str:
    """Return what becomes of energy and QoE from one phone to six."""
    alone, six = (predict({"experiment": "energy", "policy": "oasis", "devices": count}) for count in (1, 6))
    oasis, fixed = (
        predict({"experiment": "qoe", "policy": policy, "devices": 6})["qoe"]
        for policy in ("oasis", "mpbond_low")
    )
    return (
        "From one phone (S20 Ultra) to six (three S20 Ultra, two Pixel 5, S10), 180p to 720p: energy of the\n"
        f"controller {_change(six['energy_j'], alone['energy_j'])}, of a participant on average "
        f"{_change(six['mean_energy_j'], alone['energy_j'])} (published: about -60%).\n"
        f"QoE of six under OASIS {oasis:.2f}: {_change(oasis, PLAIN_QOE)} over a phone that plays the {PLAIN_QOE:g} "
        f"Mbit/s it downloads at\n180p, {_change(oasis, fixed)} over six phones fixed to 180p to 720p (published: +40% "
        "to +200%, without saying over what).\n"
    )


def _change(ours: float, base: float) -> str:
    return f"{ours / base - 1.0:+.0%}"


def _alternatives() -> str:
    lines = []
    for title, assumed in ALTERNATIVES.items():
        line = [title]
        for row, name in _PROBES.values():
            _, scale, form = _SHOWN[name]
            line.append(
                format(
                    predict(row, min(2, REPLICATIONS.get(row["experiment"], 1)), assumed)[name] / scale, form
                )
            )
        lines.append(line)
    header = ["what if (2 replications)", *_PROBES]
    goals = ["published", "-0.23", "-7.40", "15.0", "130.0", "0.86", "1.38"]
    return text_table(header, [goals, *lines])
