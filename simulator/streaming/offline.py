"""The offline optimum: the best session of one player where trace and video are known beforehand.

No rule does better under the same figure. The search (`simulator.streaming.offline_search`) drops only what cannot be
the best and merges only upwards, so what it returns is an upper bound of every session, rules that wait before
requests included (but for a wait before the first one where start-up is free: it would choose another network);
playing its plans gives a session that is reached. A pass with a finer grid brings both together,
until they are as close as asked for, or the labels are used up. `Optimum.gap` says how close they came.

One pass costs O(segments * levels * labels * log labels). How many labels there are depends on the trace: a few
hundred per segment where playback hardly stalls, thousands where outages make it stand still again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from devices.errors import Fault, InputError
from simulator.policies.abr import Abr, AbrSession, AbrView, Choice, Ladder
from simulator.policies.abr.bba import Bba
from simulator.policies.abr.fixed import Fixed
from simulator.policies.abr.robust_mpc import RobustMpc
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.offline_search import Clock, Latency, Network, Problem, ToGo, search
from simulator.streaming.player import Player, Session
from simulator.streaming.qoe import PlayedSession, QoeFigure, figure
from simulator.streaming.video import Video

DEFAULT_PLAYER = Player()
"""Sabre's player."""

_GRID_STEPS = (4.0, 1.0, 1 / 4, 1 / 16, 1 / 64, 1e-8)
"""Cells of the passes over the length of a segment; the last one merges nothing that differs."""

_LEVELS = 6
"""Levels of the ladder for which `offline_optimum` states its work."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best session found, and what none can exceed; both as `Qoe.session`, start-up apart."""

    session: Session
    """The best session that was found; it is reached by its levels, without waits."""
    value: float
    """Its QoE."""
    upper_bound: float
    """No session of this player, video and trace has a higher QoE."""

    @property
    def gap(self) -> float:
        """By how much the true optimum may lie above `value`."""
        return self.upper_bound - self.value


@dataclass(frozen=True, slots=True)
class _Script:
    """A rule that requests given levels."""

    levels: tuple[int, ...]

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return _Scripted(self.levels)


class _Scripted(AbrSession):
    def __init__(self, levels: tuple[int, ...]) -> None:
        self._levels = levels

    def choose(self, view: AbrView) -> Choice:
        return Choice(self._levels[view.segment])


def offline_optimum(
    video: Video,
    trace: NetworkTrace,
    qoe: str = "linear",
    player: Player = DEFAULT_PLAYER,
    *,
    start_s: float = 0.0,
    tolerance: float = 1e-3,
    most_labels: int = 300_000,
) -> Optimum:
    """Find the best session of a player under one QoE figure.

    Parameters
    ----------
    video, trace, player, start_s
        As for `Player.play`. Where the player sleeps in steps (Pensieve's) the upper bound is that of one that does
        not. Start-up is free unless it counts as rebuffering: the first level is up to the optimum too unless
        `Player.first_level` says it.
    qoe
        Name of a figure whose quality the ladder tells.
    tolerance
        Gap at which the search ends, per segment, over the quality of the highest level.
    most_labels
        Work at which a pass is given up, in labels of a ladder of six levels: 300,000 take about 2 s. A first,
        coarse pass is always made.

    Raises
    ------
    InputError
        Where the figure is unknown, or not known for this ladder.
    """
    target = figure(qoe)
    problem = _problem(video, trace, target, player, start_s)
    accepted = tolerance * video.segments * float(problem.qualities.max())

    def played(rule: Abr) -> tuple[float, Session]:
        session = player.play(video, trace, rule, start_s)
        result = target.of(PlayedSession.of(session))
        assert result is not None  # the ladder tells the quality, or _problem would have refused it
        return result.session, session

    value, best = max((played(rule) for rule in (Fixed(0), Bba(), RobustMpc())), key=lambda one: one[0])
    upper_bound = np.inf
    for step, real in product(_GRID_STEPS, (True, False)):
        limit = most_labels * _LEVELS / video.levels if step < _GRID_STEPS[0] else np.inf
        found = search(problem, value, step * video.segment_s, limit, real=real)
        if found is None:
            break
        for plan in found.plans:
            reached, session = played(_Script(tuple(plan)))
            if reached > value:
                value, best = reached, session
        if not real:
            upper_bound = min(upper_bound, max(found.upper_bound, value))
        if upper_bound - value <= accepted:
            break
    return Optimum(best, value, max(upper_bound, value))


def _problem(video: Video, trace: NetworkTrace, target: QoeFigure, player: Player, start_s: float) -> Problem:
    """Put a session into the terms of the search."""
    ladder = target.of_level(video.bitrates_bps)
    if ladder is None:
        raise InputError(Fault(f"this QoE is not known for the ladder of {video.name}: {target.source}"))
    if target.fall > 0.0 or target.rise + target.fall > 0.0:
        raise InputError(Fault("changes of quality that pay for themselves have no offline optimum here"))
    quality = np.array(ladder)
    change = quality - quality[:, None]
    sizes_bits = np.array(video.sizes_bits)
    latency = None
    if player.rtt_s is None and any(trace.latencies_s):
        latency = Latency(trace.durations_s, trace.latencies_s)
    bandwidths_bps = np.array(trace.bandwidths_bps) * player.payload_share
    first = player.first_level
    return Problem(
        network=Network(Clock(trace.durations_s, bandwidths_bps), latency, start_s, player.rtt_s or 0.0),  # type: ignore[arg-type]
        sizes_bits=sizes_bits,
        qualities=target.quality_weight * quality,
        switches=target.rise * np.maximum(change, 0.0) + target.fall * np.maximum(-change, 0.0),
        rise_to_top=max(target.rise, 0.0) * (quality.max() - quality),
        stall_per_s=target.stall_per_s,
        startup_per_s=target.stall_per_s if player.startup_is_rebuffering else 0.0,
        segment_s=video.segment_s,
        capacity_s=player.max_buffer_s - (video.segment_s if player.room_for_next else 0.0),
        first_levels=np.arange(video.levels) if first is None else np.array([min(first, video.levels - 1)]),
        to_go=ToGo(target.quality_weight * quality, sizes_bits),
    )
