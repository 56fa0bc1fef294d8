"""The OASIS paper's tables in text: published beside ours, the headline, other assumptions, targets met and missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from textwrap import fill
from typing import Any

from simulator.experiments.oasis_settings import ASSUMED, CONTROLLER, LADDER_BPS, SR_W, Assumed
from simulator.experiments.reproduce_oasis import (
    CELL,
    EXPERIMENTS,
    REPLICATIONS,
    network_notes,
    predict,
    published_cells,
)
from simulator.experiments.tables import WIDTH, text_table
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

_KEYS = ("policy", *CELL)
_SHOWN: Mapping[str, tuple[str, float, str]] = {
    "qoe": ("QoE", 1.0, ".2f"),
    "rebuffer_s": ("stall s", 1.0, ".1f"),
    "bitrate_mbps": ("Mbit/s", 1.0, ".2f"),
    "energy_j": ("kJ", 1e3, ".2f"),
}

_NAMES: Mapping[str, tuple[str, str]] = {
    "qoe": ("QoE", ""),
    "rebuffer_s": ("stall", " s"),
    "energy_j": ("energy", " J"),
}
"""How the summary calls a figure, and its unit."""

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


HEADLINE_ENERGY = -0.6
HEADLINE_QOE = (0.4, 2.0)
"""What becomes of a participant's energy and of QoE from one phone to six, as published."""


@dataclass(frozen=True, slots=True)
class _Target:
    """What counts as met."""

    experiment: str
    figure: str
    bound: float = 0.0
    """How far off a figure may be, in its unit."""
    share: float = 0.0
    """The same as a share of what is published; the larger of both holds."""
    apart: str = ""
    """Column whose values are counted apart; empty: none."""
    order: str = ""
    """Column at each of whose values the policies' order is compared; empty: it is not."""


TARGETS = (
    _Target("energy", "energy_j", share=0.12, apart="phone"),
    _Target("qoe", "qoe", 0.2, share=0.07, apart="policy", order="devices"),
    _Target("abr_ablation", "qoe", 0.15, order="fps_total"),
    _Target("abr_ablation", "rebuffer_s", 5.0),
    _Target("sched_compute", "rebuffer_s", 5.0, apart="policy", order="skew"),
    _Target("sched_network", "rebuffer_s", 5.0, apart="policy", order="skew"),
    _Target("download_only", "energy_j", share=0.12, apart="phone"),
)
"""The paper sets no bounds; these are ours."""

TIES: Mapping[str, float] = {"qoe": 0.02, "rebuffer_s": 2.0}
"""Published figures no further apart count as equal: they are read off a figure."""


def report_oasis(rows: Sequence[Mapping[str, Any]], published: bool = True) -> str:
    """Return one table per experiment, and at the end which targets are met.

    Parameters
    ----------
    rows
        As `reproduce_oasis` returns them.
    published
        Whether they are the published cells: then the headline and other assumptions come in between.
    """
    blocks = []
    for experiment in EXPERIMENTS:
        if here := [row for row in rows if row["experiment"] == experiment]:
            blocks.append(f"{TITLES[experiment]}\n{_table(here)}")
    lines = _met(rows)
    if published:
        headline = Headline.predicted()
        blocks += [headline.text(), _alternatives()]
        lines.insert(0, headline.met())
    if lines:
        lines += network_notes(rows)
        heading = (
            "Targets met and missed (bounds are ours; published figures within "
            f"{TIES['qoe']:g} QoE or {TIES['rebuffer_s']:g} s count as equal)"
        )
        blocks.append(
            "\n".join([heading, *(fill(f"- {line}", WIDTH, subsequent_indent="  ") for line in lines)]) + "\n"
        )
    return "\n".join(blocks)


def _met(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line per target of which there are rows."""
    lines = []
    for target in TARGETS:
        name = f"published_{target.figure}"
        here = [row for row in rows if row["experiment"] == target.experiment and name in row]
        if here:
            what, unit = _NAMES[target.figure]
            bounds = [f"{target.bound:g}{unit}"] * bool(target.bound)
            bounds += [f"{target.share:.0%}"] * bool(target.share)
            parts = [_count(subject, some, target) for subject, some in _by(here, target.apart).items()]
            line = f"{target.experiment}: {what} within {' or '.join(bounds)}: {', '.join(parts)}"
            lines.append(line + _order(here, target))
    return lines


def _count(subject: str, rows: Sequence[Mapping[str, Any]], target: _Target) -> str:
    """Return how many rows of a subject meet a target, and the worst one."""
    figure, name = target.figure, f"published_{target.figure}"
    met = sum(
        abs(row[figure] - row[name]) <= max(target.bound, target.share * abs(row[name])) for row in rows
    )
    worst = max((_off(row, target) for row in rows), key=abs)
    form = f"+{_SHOWN[figure][2]}" if target.bound else "+.1%"
    said = f"worst {worst:{form}}{_NAMES[figure][1] if target.bound else ''}"
    if fitted := sum(map(_fitted, rows)):
        said += f"; {fitted} fitted"
    return f"{subject} {met} of {len(rows)} ({said})".strip()


def _by(rows: Sequence[Mapping[str, Any]], column: str) -> dict[str, list[Mapping[str, Any]]]:
    """Return rows by what they have in a column; all together where it is empty."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        default = CONTROLLER if column == "phone" else ""
        groups.setdefault(_text(row.get(column, default)) if column else "", []).append(row)
    return groups


def _off(row: Mapping[str, Any], target: _Target) -> float:
    """Return how far off a row is: a share where the bound is one."""
    there: float = row[f"published_{target.figure}"]
    off: float = row[target.figure] - there
    return off if target.bound else off / there


def _fitted(row: Mapping[str, Any]) -> bool:
    """Return whether the energy of a row is one that the phones' power is fitted to."""
    alone = row["experiment"] in ("energy", "download_only") and row.get("devices", 1) == 1
    return alone and row.get("phone", CONTROLLER) in SR_W


def _order(rows: Sequence[Mapping[str, Any]], target: _Target) -> str:
    """Return where policies are in the published order and where not."""
    name, tie = f"published_{target.figure}", TIES.get(target.figure, 0.0)
    right: dict[bool, list[str]] = {True: [], False: []}
    for place, some in _by(rows, target.order).items() if target.order else ():
        pairs = [
            (one, other) if one[name] > other[name] else (other, one)
            for one, other in combinations(some, 2)
            if abs(one[name] - other[name]) > tie
            and one["policy"] != other["policy"]
            and all(one.get(column) == other.get(column) for column in CELL)
        ]
        if pairs:
            as_published = all(more[target.figure] > less[target.figure] for more, less in pairs)
            right[as_published].append(place)
    said = [
        f"{word} at {target.order} {', '.join(places)}"
        for word, places in (("as published", right[True]), ("wrong", right[False]))
        if places
    ]
    return f"; order of policies {', '.join(said)}" if said else ""


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


@dataclass(frozen=True, slots=True)
class Headline:
    """What becomes of energy and QoE from one phone to six."""

    controller: str
    participant: float
    alone_qoe: float
    """Of one phone that super-resolves under the same policy."""
    fixed_qoe: float
    """Of six phones fixed to 180p to 720p."""
    oasis_qoe: float
    """Of six phones."""

    @classmethod
    def predicted(cls) -> Headline:
        """Predict it."""
        alone, six = (
            predict({"experiment": "energy", "policy": "oasis", "devices": count}) for count in (1, 6)
        )
        alone_qoe, fixed_qoe, oasis_qoe = (
            predict({"experiment": "qoe", "policy": policy, "devices": count})["qoe"]
            for policy, count in (("oasis", 1), ("mpbond_low", 6), ("oasis", 6))
        )
        return cls(
            _change(six["energy_j"], alone["energy_j"]),
            six["mean_energy_j"] / alone["mean_energy_j"] - 1.0,
            alone_qoe,
            fixed_qoe,
            oasis_qoe,
        )

    def text(self) -> str:
        """Return it beside what is published."""
        least, most = HEADLINE_QOE
        return (
            "From one phone (S20 Ultra) to six (three S20 Ultra, two Pixel 5, S10), 180p to 720p: energy of the\n"
            f"controller {self.controller}, of a participant on average {self.participant:+.0%} (published: about "
            f"{HEADLINE_ENERGY:.0%}).\n"
            f"QoE of six under OASIS {self.oasis_qoe:.2f} (published: {least:+.0%} to {most:+.0%}, without saying over "
            "what):\n"
            f"- {_gain(self.oasis_qoe, self.alone_qoe)} over one phone that super-resolves alone under OASIS "
            f"({self.alone_qoe:.2f})\n"
            f"- {_gain(self.oasis_qoe, PLAIN_QOE)} over a phone that plays the {PLAIN_QOE:g} Mbit/s it downloads at "
            "180p\n"
            f"- {_gain(self.oasis_qoe, self.fixed_qoe)} over six phones fixed to 180p to 720p ({self.fixed_qoe:.2f})\n"
        )

    def met(self) -> str:
        """Return whether it is as published."""
        least, most = HEADLINE_QOE
        references = (self.alone_qoe, PLAIN_QOE, self.fixed_qoe)
        inside = sum(base > 0.0 and least <= self.oasis_qoe / base - 1.0 <= most for base in references)
        return (
            f"headline: energy of a participant {self.participant:+.0%} for about {HEADLINE_ENERGY:+.0%}; QoE gain "
            f"within {least:+.0%} to "
            f"{most:+.0%} over {inside} of the {len(references)} phones or groups above"
        )


def _gain(ours: float, base: float) -> str:
    """Return a gain of QoE; there is no percentage of a QoE below zero."""
    return _change(ours, base) if base > 0.0 else f"{ours - base:+.2f} (no percentage of a QoE below zero)"


def _change(ours: float, base: float) -> str:
    return f"{ours / base - 1.0:+.0%}"


def _alternatives() -> str:
    lines, known = [], {}  # what an assumption plays no part in is predicted once
    for title, assumed in ALTERNATIVES.items():
        line = [title]
        for probe, (row, name) in _PROBES.items():
            _, scale, form = _SHOWN[name]
            relevant = _relevant(row, name, assumed)
            if (probe, relevant) not in known:
                repeats = min(2, REPLICATIONS.get(row["experiment"], 1))
                known[probe, relevant] = predict(row, repeats, relevant)[name]
            line.append(format(known[probe, relevant] / scale, form))
        lines.append(line)
    header = ["what if (2 replications)", *_PROBES]
    goals = ["published", *(_goal(row, name) for row, name in _PROBES.values())]
    return text_table(header, [goals, *lines])


def _goal(row: Mapping[str, Any], name: str) -> str:
    """Return what is published of a probe."""
    _, scale, form = _SHOWN[name]
    cell = next(cell for cell in published_cells() if row.items() <= cell.items())
    return format(cell[f"published_{name}"] / scale, form)


def _relevant(row: Mapping[str, Any], name: str, assumed: Assumed) -> Assumed:
    """Return assumptions with those that play no part in a row's figure as in `ASSUMED`."""
    unread = {
        "abr_per_chunk_s": row["experiment"] != "abr_ablation",
        "slowest_bps": row["experiment"] != "qoe",
        "ahead": not row["policy"].startswith(("mpbond", "microcast")),
        "sr_playing_w": name != "energy_j",
    }
    return replace(assumed, **{field: getattr(ASSUMED, field) for field, out in unread.items() if out})
