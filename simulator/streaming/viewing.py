"""What each viewer of a finished session has seen and spent, one flat row each: what every figure is computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np

from simulator.core import TEXT, Table
from simulator.streaming.group import Component, GroupResult
from simulator.streaming.group_bound import UpperBound
from simulator.streaming.qoe import FIGURES, PlayedSession, qoe
from simulator.streaming.video import Video

VIEWER_COLUMNS = {
    "session": "i",
    "phone": TEXT,
    "device": TEXT,
    "alive": "B",
    "complete": "B",
    "startup_s": "d",
    "rebuffer_s": "d",
    "rebuffer_events": "d",
    "played": "i",
    "bitrate_bps": "d",
    "effective_bps": "d",
    "switches": "d",
    "sr_share": "d",
    "end_s": "d",
    **{f"qoe_{name}": "d" for name in FIGURES},
    **{f"{component.name.lower()}_j": "d" for component in Component},
    "energy_j": "d",
    "battery_share": "d",
    "sr_busy_s": "d",
    "session_start_s": "d",
    "session_end_s": "d",
    "upper_bound": "d",
}
"""One row per session and phone.

``alive``: it neither died nor left; ``complete``: it was there to the end of the video; ``bitrate_bps``: mean nominal
bitrate of what was downloaded for it, ``effective_bps``: the same after super-resolution (SR); ``switches``: changes
of either; ``sr_share``: share of chunks with SR; ``end_s`` and ``session_...``: times of the simulation's clock;
``qoe_...``: per segment, see `simulator.streaming.qoe`; ``..._j``: by component, and all; ``upper_bound``: of
``qoe_oasis`` over all policies, for who saw the whole video. NaN: it never played, or nobody knows.
"""


def add_viewers(
    table: Table,
    session: int,
    result: GroupResult,
    video: Video,
    device_of: Mapping[str, str],
    qualities: Mapping[str, Sequence[float]],
    bound: UpperBound | None = None,
    *,
    bound_is_over_sr: bool = False,
) -> None:
    """Append one row per phone of a session.

    Parameters
    ----------
    table
        `VIEWER_COLUMNS`.
    session
        Its number.
    result
        What the session has left behind.
    video
        What was played.
    device_of
        Device of the scenario by phone.
    qualities
        Further qualities of each level by name (``vmaf``, ``ssim_db``). A chunk with SR has what the plain ladder
        reaches at its effective bitrate, as that is defined.
    bound
        QoE that no policy can exceed, where it is known.
    bound_is_over_sr
        Whether it holds only for viewers all of whose chunks have SR.
    """
    chunks = result.chunks
    processors = chunks.column("processor")
    made: dict[int, dict[str, int]] = {}  # row by chunk and by phone that finished it
    for row, (chunk, phone) in enumerate(zip(chunks.column("chunk").tolist(), processors, strict=True)):
        made.setdefault(chunk, {})[phone] = row
    levels, qualities_bps = chunks.column("level"), chunks.column("quality_bps")
    ladder_bps = np.array(video.bitrates_bps)
    sr_busy_s = dict.fromkeys(result.phones, 0.0)
    for phone, busy_s in zip(
        processors, (chunks.column("sr_end_s") - chunks.column("sr_start_s")).tolist(), strict=True
    ):
        if busy_s > 0.0 and phone in sr_busy_s:  # NaN without SR; helpers do not watch
            sr_busy_s[phone] += busy_s
    viewers, watched = result.viewing.column("phone"), result.viewing.column("chunk")
    stalls_s = result.viewing.column("stall_s")
    play_s = result.viewing.column("play_s")
    first_s = float(play_s.min()) if len(play_s) else 0.0
    for name, phone in result.phones.items():
        seen = np.flatnonzero(viewers == name)
        rows = [(by := made[int(watched[place])]).get(name, next(iter(by.values()))) for place in seen]
        complete = phone.alive and phone.first_chunk + phone.played == video.segments
        whole = complete and not phone.first_chunk
        energies = [phone.energy_j[component.name.lower()] for component in Component]
        figures = dict.fromkeys(FIGURES, nan)
        bitrate = effective = share = stalled_s = stalls = switches = nan
        if rows:
            level, quality_bps = levels[rows], qualities_bps[rows]
            nominal_bps = ladder_bps[level]
            played = PlayedSession(
                video.bitrates_bps,
                level,
                np.maximum(stalls_s[seen], 0.0),
                phone.startup_s or 0.0,
                {
                    "effective_mbps": quality_bps / 1e6,
                    **{key: np.interp(quality_bps, ladder_bps, values) for key, values in qualities.items()},
                },
            )
            figures |= {key: it.per_segment for key, it in qoe(played).items() if it is not None}
            bitrate, effective = float(nominal_bps.mean()), float(quality_bps.mean())
            share = float((quality_bps != nominal_bps).mean())
            whole = whole and (share == 1.0 or not bound_is_over_sr)
            switches = float(np.count_nonzero(np.diff(quality_bps)))
            stalled_s, stalls = phone.stall_s, float(np.count_nonzero(stalls_s[seen] > 0.0))
        table.append(
            session,
            name,
            device_of[name],
            int(phone.alive),
            int(complete),
            nan if phone.startup_s is None else phone.startup_s,
            stalled_s,
            stalls,
            phone.played,
            bitrate,
            effective,
            switches,
            share,
            phone.end_s,
            *figures.values(),
            *energies,
            phone.total_j,
            phone.battery_share,
            sr_busy_s[name],
            result.start_s,
            result.end_s,
            nan if bound is None or not whole else bound.of_viewer(float(play_s[seen[0]]) - first_s),
        )
