"""The set-up of the OASIS paper's experiments: phones, networks and energies, by rules that hold for every row.

The paper leaves much open. What is filled in here is one choice for all rows of an experiment, never one for a row:
`Assumed` holds it, `NOTES` says it, and `simulator.experiments.oasis_report` shows what other choices would give. No
output comes from a published result, but for the power of super-resolution (SR) and of the rest of the phone: `SR_W`
and two fields of `Assumed` are fitted to energies of phones *alone*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice
from typing import Any

import numpy as np

from devices.catalogue import load_profile
from devices.phones import PhoneProfile
from simulator.core import Streams
from simulator.policies.collaboration.mpbond import MpBond
from simulator.streaming.effective_bitrate import OASIS_EFFECTIVE_BPS
from simulator.streaming.group import Group, GroupPhone, combination, phone, with_overhead
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.video import Video

CONTROLLER = "galaxy-s20-ultra"
"""Phone whose energy the paper plots against the size of the group: it runs the hotspot. The ablations are of it too:
budgets of frames/s are given for one combination, and its SR rates say what the others are worth."""

LADDER_BPS = (300e3, 800e3, 1800e3, 2500e3, 4300e3)
HEIGHTS = (180, 360, 540, 720, 1080)
VIDEO = Video("oasis", 1.0, LADDER_BPS, (LADDER_BPS,) * 300, HEIGHTS)
"""Five minutes in chunks of 1 s, all of nominal size."""

COMBINATIONS = tuple(
    combination(VIDEO, f"{low}p-{high}p", quality_bps)
    for (low, high), quality_bps in OASIS_EFFECTIVE_BPS.items()
)
"""Bitrates and SR models of the paper."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the paper leaves open: one choice for all rows."""

    joining: tuple[str, ...] = (CONTROLLER,) * 3 + ("pixel-5",) * 2 + ("galaxy-s10", "galaxy-s21-ultra")
    """The paper's seven phones in the order in which they join. Chosen because of the phones without collaboration,
    whose QoE depends on their SR rates alone: of the sets of three and five these come close."""
    per_chunk_s: float = 0.14
    """What a phone loses with each chunk that it super-resolves, in s: SR does not begin with the first decoded frame.
    The paper's decoding takes 0.15 s. Chosen to agree best with phones alone and with OASIS's stalls under skew."""
    abr_per_chunk_s: float = 0.0
    """The same in `abr_ablation`. Its published stalls leave no room for a loss (25 frames/s are 60 s of the 65.5 s),
    those of the scheduler ablation need one; that the two differ is chosen, not explained."""
    slowest_bps: float = 0.4e6
    """Least mean rate of a WWAN of `qoe`; means are log-uniform. Pensieve's traces have means of 0.2 to 6 Mbit/s; from
    this end on the half Mbit by which a chunk at 360p is larger than one at 180p takes 0.48 s, in the paper 0.52 s."""
    fastest_bps: float = 6e6
    """Largest mean rate."""
    variation: float = 0.5
    """Standard deviation of the logarithm of a WWAN's rate from second to second in `qoe`."""
    latency_s: float = 0.08
    """Round trip of a WWAN in `qoe`, that of Pensieve's test bed."""
    jitter: float = 0.05
    """Standard deviation of the logarithm of a rate from second to second in the scheduler ablations: delays that are
    equal to the last digit would always favour the same phone."""
    startup_per_phone: int = 0
    """Chunks per phone with which playback begins, such as all of OASIS's first iteration; 0: with the first chunk."""
    ahead: float = MpBond().ahead
    """How far ahead MPBond and MicroCast give chunks, by phone: a limit of theirs."""
    sr_playing_w: float = 1.18
    """What a phone that super-resolves draws while the video plays, beyond what the model counts and the screen, in W;
    fitted to that part of the Galaxy S10's four energies that does not grow with SR."""
    playing_w: float = 0.47
    """The same of a phone that only downloads; fitted to the Galaxy S10's two energies."""


ASSUMED = Assumed()
"""What is assumed unless said otherwise."""

SCHEDULED_BPS = 6e6
"""What the WWANs of the scheduler ablations have together."""

AMPLE_BPS = 6e6
"""WWAN of each phone in the other experiments, which are not about networks: steady (assumed)."""

SR_W: Mapping[str, float] = {"galaxy-s10": 2.37, "galaxy-s20-ultra": 2.19}
"""Power of SR with its decoding and encoding, in W, over the time that SR alone takes; fitted. Other phones: the mean.

The catalogue's figure is an energy less that of downloading, over that time. Four energies of the Galaxy S10 against
their times show that more does not grow with SR, and the radio's tail has to come off, so that it is less here. The
Galaxy S20 Ultra's makes its energy alone the published one, which is thus no test."""

EMULATED = ("abr_ablation", "sched_compute", "sched_network")
"""Experiments whose rates are budgets."""

DEVICES: Mapping[str, int] = {
    "abr_ablation": 2,
    "sched_compute": 3,
    "sched_network": 3,
    "energy": 1,
    "download_only": 1,
}
FPS_TOTAL: Mapping[str, float] = {"abr_ablation": 25.0, "sched_compute": 33.0, "sched_network": 33.0}
SKEW: Mapping[str, float] = {"abr_ablation": 1.5, "sched_compute": 1.0, "sched_network": 1.0}
"""What holds where a row does not say: the paper's."""

BUDGET_OF: Mapping[str, str] = {
    "abr_ablation": "360p-1080p",
    "sched_compute": "180p-720p",
    "sched_network": "180p-720p",
}
"""Combination for which the frames/s of an experiment are given."""

NOTES = (
    "a group of n (assumed): the first n of three S20 Ultra, two Pixel 5, S10, S21 Ultra; the first one is the "
    "controller; a row's phone takes the last place where it is not among them",
    f"WWANs (assumed): for qoe synthetic ones of {1e3 * ASSUMED.latency_s:g} ms latency with log-uniform means from "
    f"{ASSUMED.slowest_bps / 1e6:g} to {ASSUMED.fastest_bps / 1e6:g} Mbit/s; for the scheduler ablations 6 Mbit/s in "
    "all; else 6 Mbit/s each",
    f"a phone loses {ASSUMED.per_chunk_s:g} s with each chunk, except in abr_ablation (both chosen to agree best); "
    "playback begins with the first chunk, whose wait is no stall; buffers hold 25 s",
    "budgets of frames/s are split skew : 1 : ... (abr_ablation: 3 : 2 : ...); other combinations by the SR rates of "
    "the S20 Ultra or of the row's phone",
    "MPBond and MicroCast: how far ahead chunks are given is chosen to agree best with their published stalls",
    "energy: without the screen; SR and the rest of the phone are fitted to one S20 Ultra and one S10 alone, so that "
    "their energies are no test; 180p to 720p in energy, plain 720p in download_only",
    "qoe, rebuffer_s and bitrate_mbps (the effective one) are means over viewers; energy_j is that of the row's phone "
    "in energy and download_only (default: the controller), else the mean over phones",
)
"""What a reader must know."""


def handsets(row: Mapping[str, Any], assumed: Assumed = ASSUMED) -> tuple[str, ...]:
    """Return the phones of a row's group, the controller first.

    A phone that the row names and that is not among them takes the last place; a group of one is that phone alone.
    """
    experiment = row["experiment"]
    count = row.get("devices") or DEVICES[experiment]
    if experiment in EMULATED:
        return (row.get("phone", CONTROLLER),) * count
    members = list(islice(cycle(assumed.joining), count))
    if row.get("phone", members[0]) not in members:
        members[-1] = row["phone"]
    return tuple(members)


def group(row: Mapping[str, Any], streams: Streams, assumed: Assumed = ASSUMED) -> Group:
    """Return the group of a row, with the networks of one replication."""
    profiles = [_profile(name) for name in handsets(row, assumed)]
    networks = _networks(row, len(profiles), streams, assumed)
    overhead_s = assumed.abr_per_chunk_s if row["experiment"] == "abr_ablation" else assumed.per_chunk_s
    phones = tuple(
        _phone(f"{place}-{profile.name}", profile, wwan, rates, overhead_s)
        for place, (profile, wwan, rates) in enumerate(
            zip(profiles, networks, _rates(row, profiles), strict=True)
        )
    )
    startup = max(assumed.startup_per_phone * len(phones), 1)
    return Group(VIDEO, phones, COMBINATIONS, startup_chunks=startup, buffer_cap_s=max(25.0, startup))


def measured_phone(row: Mapping[str, Any], assumed: Assumed = ASSUMED) -> int:
    """Return the place in the group of the phone whose energy a row asks for."""
    members = handsets(row, assumed)
    return members.index(row.get("phone", members[0]))


def energy_j(
    components: Mapping[str, float], played_s: float, *, sr: bool, assumed: Assumed = ASSUMED
) -> float:
    """Return a phone's energy as the paper counts it, without the screen.

    Parameters
    ----------
    components
        Energy by component, as a session ends with it.
    played_s
        Video that it has played, in s.
    sr
        Whether it super-resolves.
    """
    counted = sum(joules for name, joules in components.items() if name not in ("display", "rest"))
    return counted + (assumed.sr_playing_w if sr else assumed.playing_w) * played_s


@cache
def _profile(name: str) -> PhoneProfile:
    profile = load_profile(name)
    assert isinstance(profile, PhoneProfile)
    return profile


def _phone(
    name: str, profile: PhoneProfile, wwan: NetworkTrace, frames_per_s: Mapping[str, float], overhead_s: float
) -> GroupPhone:
    """Return a phone that loses `overhead_s` with each chunk, at the same energy per frame."""
    made = phone(profile, name=name, wwan=wwan, sr_frames_per_s=frames_per_s)
    sr_w = SR_W.get(profile.name, sum(SR_W.values()) / len(SR_W))
    made = replace(made, power=replace(made.power, sr_w=sr_w))
    return with_overhead(made, overhead_s, 30.0 * VIDEO.segment_s)


def _rates(row: Mapping[str, Any], profiles: Sequence[PhoneProfile]) -> list[dict[str, float]]:
    """Return SR rates by combination of each phone, in frames/s: its own, or its part of a budget."""
    own = [{name: rate.frames_per_s for name, rate in profile.sr.items()} for profile in profiles]
    experiment = row["experiment"]
    if experiment not in EMULATED:
        return own
    skew = 1.0 if experiment == "sched_network" else row.get("skew", SKEW[experiment])
    total, unit = row.get("fps_total", FPS_TOTAL[experiment]), BUDGET_OF[experiment]
    return [
        {name: share * total * rate / rates[unit] for name, rate in rates.items()}
        for share, rates in zip(_shares(skew, len(own)), own, strict=True)
    ]


def _shares(skew: float, count: int) -> list[float]:
    """Return shares of 1 of which the first is `skew` times each of the others."""
    whole = skew + count - 1
    return [skew / whole, *[1.0 / whole] * (count - 1)]


def _networks(row: Mapping[str, Any], count: int, streams: Streams, assumed: Assumed) -> list[NetworkTrace]:
    experiment = row["experiment"]
    generators = [streams.stream(f"wwan {place}") for place in range(count)]
    if experiment == "qoe":
        span = math.log(assumed.fastest_bps / assumed.slowest_bps)
        means_bps = [assumed.slowest_bps * math.exp(span * generator.random()) for generator in generators]
        return [
            _trace(mean_bps, assumed.variation, assumed.latency_s, generator)
            for mean_bps, generator in zip(means_bps, generators, strict=True)
        ]
    if experiment in ("sched_compute", "sched_network"):
        skew = row.get("skew", 1.0) if experiment == "sched_network" else 1.0
        shares = _shares(skew, count)
        return [
            _trace(share * SCHEDULED_BPS, assumed.jitter, 0.0, generator)
            for share, generator in zip(shares, generators, strict=True)
        ]
    return [NetworkTrace("steady", (3600.0,), (AMPLE_BPS,))] * count


def _trace(
    mean_bps: float, variation: float, latency_s: float, generator: np.random.Generator
) -> NetworkTrace:
    """Return ten minutes of a network whose rate is log-normal from second to second."""
    seconds = 600
    rates = np.exp(variation * generator.standard_normal(seconds))
    rates *= mean_bps / rates.mean()
    return NetworkTrace("synthetic", (1.0,) * seconds, tuple(rates.tolist()), (latency_s,) * seconds)
