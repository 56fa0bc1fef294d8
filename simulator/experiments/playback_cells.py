"""Cells of playbacks: which video over which network trace under which rule, and the figures of their sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from devices.sourced import unknown_name
from simulator.experiments.cells import Column, number, one_of
from simulator.policies.abr import Abr
from simulator.policies.abr.fixed import Fixed
from simulator.policies.registry import policies
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.offline import Optimum, offline_optimum
from simulator.streaming.player import PENSIEVE, Player, Session
from simulator.streaming.trace_files import read_trace
from simulator.streaming.video import Video
from simulator.streaming.video_files import read_video

PLAYERS = {"sabre": Player(), "pensieve": PENSIEVE}
"""Players by name."""

FIGURES = ("bitrate_kbps", "rebuffer_s", "rebuffer_events", "score", "play_time_s")
"""What is predicted."""

OFFLINE_OPTIMUM = "offline_optimum"
"""Stands for a rule: the session with the best linear QoE, found with the whole trace known beforehand."""

_FIXED = re.compile(r"fixed_([0-9]{1,3})")


def rule_named(name: str) -> Abr:
    """Return an ABR rule with its default parameters; ``fixed_N`` takes level N, from 0.

    Raises
    ------
    ValueError
        Where there is none; the message names the nearest.
    """
    if match := _FIXED.fullmatch(name):
        return Fixed(int(match[1]))
    known = {key: rule for key, rule in policies("abr").items() if rule is not Fixed}
    if name not in known:
        raise ValueError(unknown_name("ABR rule", name, [*known, "fixed_0", OFFLINE_OPTIMUM]))
    rule: Abr = known[name]()
    return rule


def columns() -> dict[str, Column]:
    """Return the columns that every row of a cells file has, and how each is read.

    A ``rule`` is one of `rule_named`, or `OFFLINE_OPTIMUM`.
    """

    def rule(name: str) -> str:
        if name != OFFLINE_OPTIMUM:
            rule_named(name)
        return name

    return {"manifest": str, "trace": str, "rule": rule}


OPTIONAL: dict[str, Column] = {
    "bandwidth_scale": number(1e-6, 1e6),
    "max_buffer_s": number(1e-3, 1e6),
    "player": one_of("player", PLAYERS),
}
"""Columns that may be missing or empty: 1, the player's own, and ``sabre``."""


class Inputs:
    """The files that rows name, each read once, and the sessions of those rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._videos: dict[str, Video] = {}
        self._traces: dict[tuple[str, float], NetworkTrace] = {}

    def video(self, name: str) -> Video:
        if name not in self._videos:
            self._videos[name] = read_video(self._path(name))
        return self._videos[name]

    def trace(self, name: str, scale: float) -> NetworkTrace:
        if (name, scale) not in self._traces:
            trace = read_trace(self._path(name)) if scale == 1.0 else self.trace(name, 1.0).scaled(scale)
            self._traces[name, scale] = trace
        return self._traces[name, scale]

    def fault(self, row: Mapping[str, Any]) -> str | None:
        """Return what is wrong with a row; None where nothing is."""
        video, _ = self.video(row["manifest"]), self.trace(row["trace"], 1.0)
        buffer_s = _player(row).max_buffer_s
        rule = None if row["rule"] == OFFLINE_OPTIMUM else rule_named(row["rule"])
        if isinstance(rule, Fixed) and rule.level >= video.levels:
            return f"{row['rule']}: {video.name} has levels 0 to {video.levels - 1}"
        if buffer_s < video.segment_s:
            return f"a buffer of {buffer_s:g} s has no room for a segment of {video.segment_s:g} s"
        return None

    def play(self, row: Mapping[str, Any], notes: dict[str, None]) -> Session:
        """Return the session of a row, and note what a reader must know."""
        video, player = self.video(row["manifest"]), _player(row)
        trace = self.trace(row["trace"], row.get("bandwidth_scale", 1.0))
        if row["rule"] == OFFLINE_OPTIMUM:
            best = offline_optimum(video, trace, "linear", player)
            session = best.session
            notes[_reached(best, trace)] = None
        else:
            session = player.play(video, trace, rule_named(row["rule"]))
        notes |= dict.fromkeys(session.notes)
        return session

    def _path(self, name: str) -> Path:
        beside = self._folder / name
        return beside if not Path(name).exists() and beside.exists() else Path(name)


def _reached(best: Optimum, trace: NetworkTrace) -> str:
    counted = best.session.player.startup_is_rebuffering
    return (
        f"{OFFLINE_OPTIMUM} of {best.session.video.name} over {trace.name}: linear QoE {best.value:.6g} by knowing the "
        f"whole trace beforehand, {'start-up counted' if counted else 'a long start-up costs it nothing'}; no rule can "
        f"have more than {best.upper_bound:.6g}"
    )


def _player(row: Mapping[str, Any]) -> Player:
    player = PLAYERS[row.get("player", "sabre")]
    return replace(player, max_buffer_s=row.get("max_buffer_s", player.max_buffer_s))


def figures(session: Session) -> dict[str, Any]:
    """Return `FIGURES` of a session."""
    return {
        "bitrate_kbps": session.bitrate_bps / 1e3,
        "rebuffer_s": session.rebuffer_s,
        "rebuffer_events": session.rebuffer_events,
        "score": session.score(),
        "play_time_s": session.play_time_s,
    }
