"""The OASIS paper's published tables beside what our group of phones predicts.

A cell is one group of phones that watches one video under one policy; what it predicts is a mean over replications
with networks of their own. Published numbers are targets only. The set-up is `simulator.experiments.oasis_settings`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from devices.catalogue import load_profile, profile_names
from devices.phones import PhoneProfile
from simulator.core import Streams
from simulator.experiments.cells import Column, number, one_of, read_cells, whole
from simulator.experiments.oasis_settings import (
    ASSUMED,
    COMBINATIONS,
    DEVICES,
    EMULATED,
    LADDER_BPS,
    NOTES,
    VIDEO,
    Assumed,
    energy_j,
    group,
    measured_phone,
)
from simulator.policies.abr import Abr
from simulator.policies.abr.bba import Bba
from simulator.policies.abr.fixed import Fixed
from simulator.policies.abr.rate import Rate
from simulator.policies.abr.robust_mpc import RobustMpc
from simulator.policies.collaboration.abr_halves import FixedCombination
from simulator.policies.collaboration.microcast import MicroCast
from simulator.policies.collaboration.mpbond import MpBond
from simulator.policies.collaboration.no_collaboration import NoCollaboration
from simulator.policies.collaboration.oasis import Oasis, OasisWithRule
from simulator.policies.collaboration.protocol import Collaboration
from simulator.streaming.group import GroupResult, simulate_group
from simulator.streaming.qoe import PlayedSession, figure

SEED = 0
"""Root of the random streams of the networks."""

REPLICATIONS: Mapping[str, int] = {"qoe": 8, "sched_compute": 2, "sched_network": 2}
"""Replications of a row, by experiment; 1 where nothing is random."""

LOW, HIGH = (180, 720), (360, 1080)
"""Heights of the fixed combinations that the paper calls low and high."""

PLAIN = FixedCombination(720, 720)
"""What is played where phones only download."""

FIGURES = ("qoe", "rebuffer_s", "bitrate_mbps", "energy_j", "mean_energy_j")
"""What is predicted; the last one is the mean over the group's phones, whatever the row's phone is."""

_BASELINES: Mapping[str, Callable[[int, int], Collaboration]] = {
    "mpbond": MpBond,
    "microcast": MicroCast,
    "no_collaboration": NoCollaboration,
}
_RULES: Mapping[str, type[Abr]] = {"buffer": Bba, "rate": Rate, "robust_mpc": RobustMpc}

COLLABORATIONS: Mapping[str, Collaboration] = {
    "oasis": Oasis(),
    **{name: made(*LOW) for name, made in _BASELINES.items()},
    **{f"{name}_low": _BASELINES[name](*LOW) for name in ("mpbond", "microcast")},
    **{f"{name}_high": _BASELINES[name](*HIGH) for name in ("mpbond", "microcast")},
}
"""Policies of all experiments but the ABR ablation, by name."""

ABRS: Mapping[str, Collaboration] = {
    **{
        f"{name}_{end}": OasisWithRule(rule(), output)
        for name, rule in _RULES.items()
        for end, (_, output) in (("high", HIGH), ("low", LOW))
    },
    "oasis": Oasis(),
}
"""Policies of the ABR ablation: OASIS with another ABR half."""

EXPERIMENTS = ("qoe", "energy", "abr_ablation", "sched_compute", "sched_network", "download_only")
"""What can be predicted."""


def columns() -> dict[str, Column]:
    """Return the columns that every row of a cells file has, and how each is read."""
    return {
        "experiment": one_of("experiment", EXPERIMENTS),
        "policy": one_of("policy", dict.fromkeys([*COLLABORATIONS, *ABRS])),
    }


def optional() -> dict[str, Column]:
    """Return the columns that may be missing or empty."""
    phones = [name for name in profile_names("phone") if _super_resolves(name)]
    signed = number(-1e9, 1e9)
    return {
        "devices": whole(30),
        "fps_total": number(1.0, 1000.0),
        "skew": number(0.1, 100.0),
        "phone": one_of("phone", phones),
        "published_qoe": signed,
        "published_rebuffer_s": signed,
        "published_energy_j": signed,
    }


def _super_resolves(name: str) -> bool:
    profile = load_profile(name)
    return isinstance(profile, PhoneProfile) and {one.name for one in COMBINATIONS} <= set(profile.sr)


def _fault(row: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a row whose fields are all right; None where nothing is."""
    experiment, policy = row["experiment"], row["policy"]
    allowed = ABRS if experiment == "abr_ablation" else COLLABORATIONS
    if policy not in allowed:
        return f"policy {policy!r} is none of {experiment}; allowed: {', '.join(allowed)}"
    if "devices" not in row and experiment not in DEVICES:
        return f"{experiment} needs devices"
    return None


def read(path: Path) -> list[dict[str, Any]]:
    """Read a CSV of cells.

    Raises
    ------
    InputError
        With every fault, by line.
    """
    return read_cells(path, columns(), optional(), _fault)


def published_cells() -> list[dict[str, Any]]:
    """Return the published cells, and those of `sched_network`, whose published figures are not known here."""
    return read(Path(__file__).parent / "published" / "oasis.csv")


def reproduce_oasis(cells: Path | None = None) -> list[dict[str, Any]]:
    """Return one row per cell: its columns and `FIGURES`.

    Parameters
    ----------
    cells
        CSV with the columns of `columns` and perhaps of `optional`; None: `published_cells`.

    Raises
    ------
    InputError
        Where the file has faults.
    """
    rows = published_cells() if cells is None else read(cells)
    return [{**row, **predict(row)} for row in rows]


def predict(
    row: Mapping[str, Any], replications: int | None = None, assumed: Assumed = ASSUMED
) -> dict[str, float]:
    """Return `FIGURES` of a row.

    Parameters
    ----------
    row
        A cell as `read` returns it.
    replications
        How often to repeat it with other networks; None: as `REPLICATIONS` says.
    assumed
        What the paper leaves open.
    """
    repeats = replications or REPLICATIONS.get(row["experiment"], 1)
    runs = [figures(row, Streams(SEED, repeat), assumed) for repeat in range(repeats)]
    return {name: sum(run[name] for run in runs) / repeats for name in FIGURES}


def session(row: Mapping[str, Any], streams: Streams, assumed: Assumed = ASSUMED) -> GroupResult:
    """Play one session of a row."""
    experiment, policy = row["experiment"], row["policy"]
    phones = group(row, streams, assumed)
    if experiment == "abr_ablation":
        return simulate_group(phones, ABRS[policy])
    if policy == "oasis" and experiment not in ("qoe", "download_only"):
        # nothing adapts but the length of its iterations: always the lowest level, to 720p
        return simulate_group(phones, OasisWithRule(Fixed(0), LOW[1]))
    collaboration = COLLABORATIONS[policy]
    if isinstance(collaboration, MpBond | MicroCast):
        collaboration = replace(collaboration, ahead=assumed.ahead)
    return simulate_group(phones, collaboration, PLAIN if experiment == "download_only" else None)


def figures(row: Mapping[str, Any], streams: Streams, assumed: Assumed = ASSUMED) -> dict[str, float]:
    """Return `FIGURES` of one session of a row."""
    result = session(row, streams, assumed)
    viewers = list(_viewers(result).values())
    measure = figure("oasis")
    scores = [score for viewer in viewers if (score := measure.of(viewer)) is not None]
    sr = row["experiment"] != "download_only"
    energies = [
        energy_j(one.energy_j, one.played * VIDEO.segment_s, sr=sr, assumed=assumed)
        for one in result.phones.values()
    ]
    one_phone = row["experiment"] in ("energy", "download_only")
    return {
        "qoe": fmean([score.per_segment for score in scores]),
        "rebuffer_s": fmean([float(viewer.stalls_s.sum()) for viewer in viewers]),
        "bitrate_mbps": fmean([float(viewer.measured["effective_mbps"].mean()) for viewer in viewers]),
        "energy_j": energies[measured_phone(row, assumed)] if one_phone else fmean(energies),
        "mean_energy_j": fmean(energies),
    }


def _viewers(result: GroupResult) -> dict[str, PlayedSession]:
    """Return what each viewer has seen."""
    made: dict[int, dict[str, tuple[int, float]]] = defaultdict(dict)  # by chunk and who made it
    names = ("chunk", "processor", "level", "quality_bps")
    for chunk, processor, level, quality_bps in zip(*map(result.chunks.column, names), strict=True):
        made[chunk][processor] = level, quality_bps / 1e6
    seen: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for phone, chunk, stall_s in zip(*map(result.viewing.column, ("phone", "chunk", "stall_s")), strict=True):
        by = made[chunk]
        level, mbps = by[phone] if phone in by else next(iter(by.values()))
        seen[phone].append((level, stall_s, mbps))
    viewers = {}
    for phone, chunks in seen.items():
        levels, stalls_s, qualities = zip(*chunks, strict=True)
        viewers[phone] = PlayedSession(LADDER_BPS, levels, stalls_s, 0.0, {"effective_mbps": qualities})
    return viewers


CELL = ("devices", "fps_total", "skew", "phone")
"""Columns that tell the cells of one experiment and policy apart."""


def network_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is to be said of skewed WWANs without published stalls: whether OASIS stalls more than MPBond."""
    here = [row for row in rows if row["experiment"] == "sched_network" and "published_rebuffer_s" not in row]
    if not here:
        return []
    stalls_s = {(row["policy"], *(row.get(name) for name in CELL)): row["rebuffer_s"] for row in here}
    extra_s = [
        stalls_s["oasis", *cell] - stalls_s["mpbond", *cell]
        for policy, *cell in stalls_s
        if policy == "oasis" and ("mpbond", *cell) in stalls_s
    ]
    text = "sched_network: no published figure is known here"
    if extra_s:
        more = sum(one > 0.0 for one in extra_s)
        text += f"; oasis stalls more than mpbond in {more} of {len(extra_s)} cells"
        if more:
            text += f", by up to {max(extra_s):.1f} s, because it waits for the last chunk of each iteration"
    return [text]


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """Return what a reader must know: what is assumed, has no target, and which columns play no part."""
    unread = sorted(
        {
            f"{row['experiment']} takes no {name}: it is not used"
            for row in rows
            for name in ("fps_total", "skew")
            if name in row and row["experiment"] not in EMULATED
        }
    )
    return [*NOTES, *network_notes(rows), *unread]
