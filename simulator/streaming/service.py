"""A streaming service of a scenario: groups from its devices, their sessions, and what they leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path

from devices.errors import Fault, InputError
from simulator.core import Environment, Streams, Table
from simulator.faults.periods import Faults
from simulator.faults.phones import record_faults, with_faults
from simulator.faults.records import FAULTS
from simulator.policies.collaboration.protocol import Collaboration, Combination
from simulator.scenario.spec import Scenario
from simulator.scenario.streaming_spec import HelperSpec, StreamingService
from simulator.streaming.effective_bitrate import OASIS_EFFECTIVE_BPS
from simulator.streaming.group import HOTSPOT, WIFI_DIRECT, Group, GroupResult, GroupRun, Shared, combination
from simulator.streaming.group_bound import upper_bound
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.participants import FRAMES_PER_S, Participants
from simulator.streaming.sr_rates import combination_heights
from simulator.streaming.vbr import vbr_video
from simulator.streaming.video import Video
from simulator.streaming.video_files import read_video
from simulator.streaming.viewing import VIEWER_COLUMNS, add_viewers
from simulator.workloads.spec import VideoWorkload

WLANS = {"hotspot": HOTSPOT, "wifi_direct": WIFI_DIRECT}
"""Networks among the phones by name."""


class StreamedVideo:
    """What a streaming service plays, and to whom, before anything has happened.

    Parameters
    ----------
    scenario, name
        The service and all around it.
    streams
        Random streams of the replication.
    resolve
        Turns a path of the scenario into a file.

    Raises
    ------
    InputError
        Where a file has faults, or the manifest does not go with the combinations of the service.
    """

    def __init__(
        self, scenario: Scenario, name: str, streams: Streams, resolve: Callable[[str], Path]
    ) -> None:
        self._service = service = scenario.streaming_services[name]
        self._streams = streams
        self._faults = Faults(scenario.faults, streams)
        self._limit_s = inf if scenario.horizon is None else scenario.horizon
        workload_name, workload = scenario.videos[name]
        self.video = _video(workload, workload_name, streams, resolve)
        """What is played."""
        self.qualities: dict[str, tuple[float, ...]] = {
            measure: tuple(getattr(step, measure) for step in workload.ladder)
            for measure in ("vmaf", "ssim_db")
            if workload.path is None and all(getattr(step, measure) is not None for step in workload.ladder)
        }
        """Further qualities of each level by name, where the workload tells them."""
        self._combinations = tuple(_combinations(service, self.video, name))
        self._participants = Participants(scenario, service, self.video.segment_s, resolve)
        self.groups = len(self._participants.groups)
        """Groups that watch it, each for itself."""
        self.sessions = workload.sessions * self.groups
        """Sessions of all groups."""
        rng = streams.stream(f"{workload_name}/starts")
        self.starts_s = [workload.delay + workload.spread * rng.random() for _ in range(self.groups)]
        """By group: when its first session begins."""

    @property
    def device_of(self) -> Mapping[str, str]:
        """Device of the scenario by phone."""
        return self._participants.device_of

    def group(self, session: int) -> Group:
        """Return the group of one session; times count from its start.

        Session s is of group s % `groups`. The phones of a group are the same in all its sessions, their networks are
        drawn anew.
        """
        service = self._service
        turn, group_number = divmod(session, self.groups)
        phones = self._participants.phones(self._streams.stream, group_number, turn)
        group = Group(
            video=self.video,
            phones=phones,
            combinations=tuple(
                it for it in self._combinations if any(it.name in phone.sr_frames_per_s for phone in phones)
            ),
            wlan=WLANS[service.wlan],
            buffer_cap_s=service.buffer,
            startup_chunks=service.startup_chunks,
            plain_first=service.plain_first,
            pipelined=service.pipelined,
            frames_per_s=FRAMES_PER_S,
            limit_s=self._limit_s,
        )
        return with_faults(group, *self.faults_of(session)) if self._faults.specs else group

    def faults_of(self, session: int) -> tuple[Faults, Mapping[str, tuple[str, int]], int]:
        """Return the scenario's faults, device and number of each phone, and the session's number in its group."""
        return self._faults, self._participants.unit_of, session // self.groups


def first_group(scenario: Scenario, name: str, streams: Streams, resolve: Callable[[str], Path]) -> Group:
    """Return the group of a service's first session: building it finds every fault of its files."""
    return StreamedVideo(scenario, name, streams, resolve).group(0)


class StreamingRuntime:
    """A streaming service at work: each group plays the video so often, one session after the other.

    Parameters
    ----------
    env
        The simulation's clock.
    scenario, name, streams, resolve
        As for `StreamedVideo`.
    shared
        Links of the scenario.

    Raises
    ------
    InputError
        As `StreamedVideo` does.
    """

    def __init__(
        self,
        env: Environment,
        scenario: Scenario,
        name: str,
        streams: Streams,
        resolve: Callable[[str], Path],
        shared: Shared,
    ) -> None:
        self._env, self._name, self._shared = env, name, shared
        self._service = scenario.streaming_services[name]
        self._streamed = StreamedVideo(scenario, name, streams, resolve)
        self._running: dict[int, GroupRun] = {}
        self._notes: dict[str, None] = {}
        for helper, spec in self._service.helpers.items():
            self._note(f"helper {helper}: {_told_of(spec)}")
        self.viewers = Table(VIEWER_COLUMNS)
        """One row per session and phone, in the order of the sessions' ends."""
        self.faults = Table(FAULTS)
        """One row per occurrence of a fault of a phone, by session in the order of their ends."""
        self.sessions: dict[int, GroupResult] = {}
        """By number of the session: chunks, viewing, phones over time and the log."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""
        return tuple(self._notes)

    def start(self) -> None:
        """Plan the first session of each group."""
        for number, start_s in enumerate(self._streamed.starts_s):
            self._env.call_at(start_s, partial(self._begin, number))

    def stop(self) -> None:
        """Give up the sessions that have not ended: the simulation is over."""
        for run in list(self._running.values()):
            run.stop()
        missing = self._streamed.sessions - len(self.sessions)
        if missing:
            self._note(
                f"{missing} of {self._streamed.sessions} sessions had not begun at the end of the simulation"
            )

    def _begin(self, session: int) -> None:
        policies = self._service.policies
        group = self._streamed.group(session)
        run = GroupRun(
            self._env,
            group,
            _collaboration(policies.collaboration),
            None if policies.abr is None else _collaboration(policies.abr),
            self._shared,
            partial(self._ended, session, group),
        )
        self._running[session] = run
        run.begin()

    def _ended(self, session: int, group: Group, result: GroupResult) -> None:
        streamed, measure = self._streamed, self._service.upper_bound
        del self._running[session]
        bound = None
        if measure != "none":  # without whole numbers, so that no time limit decides
            bound = upper_bound(group, plain=measure == "any", whole_up_to=0)
            self._note(
                "upper_bound is a linear programme that knows all networks beforehand; no policy need reach it"
            )
        add_viewers(
            self.viewers,
            session,
            result,
            streamed.video,
            streamed.device_of,
            streamed.qualities,
            bound,
            bound_is_over_sr=measure == "sr_only",
        )
        self.sessions[session] = result
        record_faults(self.faults, self._name, session, result, *streamed.faults_of(session))
        for note in _notes(group, result):
            self._note(note)
        if session + streamed.groups < streamed.sessions:
            self._begin(session + streamed.groups)

    def _note(self, note: str) -> None:
        self._notes[f"services.{self._name}: {note}"] = None


def _collaboration(policy: object) -> Collaboration:
    return policy  # type: ignore[return-value]  # the registry holds no others under this decision


def _told_of(helper: HelperSpec) -> str:
    """Return what a reader must know of a helper."""
    if helper.network is None:
        return (
            "SR rates are the scenario's, and the board is taken to be at its power limit during SR (both assumed); "
            "its video engines draw nothing"
        )
    return (
        f"SR rates and energy are predicted from the layers of {helper.network}, not measured; its video engines draw "
        "nothing (assumed)"
    )


def _video(workload: VideoWorkload, name: str, streams: Streams, resolve: Callable[[str], Path]) -> Video:
    if workload.path is not None:
        video = read_video(resolve(workload.path))
        if not workload.heights:
            return video
        if len(workload.heights) != video.levels:
            message = f"{len(workload.heights)} heights for the {video.levels} levels of {workload.path}"
            raise InputError(Fault(message, f"workloads.{name}.heights"))
        return replace(video, heights=workload.heights)
    return vbr_video(
        name,
        workload.segment,
        workload.segments,
        [8.0 * step.bitrate for step in workload.ladder],
        streams.stream(f"{name}/chunk sizes"),
        workload.variation,
        [step.height for step in workload.ladder],
    )


def _combinations(service: StreamingService, video: Video, name: str) -> Iterator[Combination]:
    effective = service.effective_bitrates or {}
    # A result is sent at the bitrate of the ladder's level of its height, or of the highest one (assumed).
    for index, key in enumerate(service.super_resolution):
        heights = combination_heights(key)
        assert heights is not None  # the scenario was checked
        if heights[0] not in video.heights:
            known = ", ".join(f"{height}p" for height in video.heights if height)
            message = (
                f"{key}: {video.name} has no level of {heights[0]}p; it has "
                f"{known or 'none: give the heights of the workload'}, or leave super_resolution empty"
            )
            raise InputError(Fault(message, f"services.{name}.super_resolution.{index}"))
        quality_bps = 8.0 * effective[key] if key in effective else OASIS_EFFECTIVE_BPS[heights]
        level = video.heights.index(heights[1]) if heights[1] in video.heights else -1
        yield combination(video, key, quality_bps, video.bitrates_bps[level])


def _notes(group: Group, result: GroupResult) -> Iterator[str]:
    """Say what the figures alone would hide."""
    for phone in group.phones:
        trace = phone.wwan
        if not isinstance(trace, NetworkTrace):
            continue
        yield from trace.notes
        if trace.duration_s < result.end_s - result.start_s and len(trace.durations_s) > 1:
            yield "network traces are shorter than a session and start over"
    if not result.complete:
        yield "in at least one session a viewer did not see the whole video"
    if any(entry.what == "fail" for entry in result.log):
        yield "at least one phone failed for good"
    if any(entry.what == "die" for entry in result.log):
        yield "at least one phone's battery ran out"
