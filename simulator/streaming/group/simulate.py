"""From a group and a policy to a finished session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from simulator.core import Environment
from simulator.policies.collaboration.abr_halves import AbrHalf
from simulator.policies.collaboration.protocol import Collaboration
from simulator.streaming.group.energy import Component
from simulator.streaming.group.group import Group
from simulator.streaming.group.pipeline import Phone
from simulator.streaming.group.records import GroupResult, PhoneResult, Records
from simulator.streaming.group.session import Session
from simulator.streaming.group.shared import Shared


class GroupRun:
    """One session of a group on a clock: of all phones together or, without collaboration, of each for itself.

    Parameters
    ----------
    env
        The clock, which others may use too. The session begins now.
    group
        Phones and video, with times from the start of the session.
    policy
        Whose scheduling half is used, and whose ABR half where `abr` is None.
    abr
        Whose ABR half is used instead.
    shared
        What is there besides the group.
    on_end
        Called with what it has left behind, at the time of its end.
    """

    def __init__(
        self,
        env: Environment,
        group: Group,
        policy: Collaboration,
        abr: AbrHalf | None,
        shared: Shared,
        on_end: Callable[[GroupResult], None],
    ) -> None:
        self._group, self._on_end = group, on_end
        self._start_s = env.now
        shifted, half = group.starting_at(env.now), policy if abr is None else abr
        groups = [shifted] if policy.together else _each_alone(shifted)
        self._results: dict[str, PhoneResult] = {}
        self._sessions = [Session(env, it, shared, half, policy, Records(), self._ended) for it in groups]
        self._open = len(groups)

    def begin(self) -> None:
        """Begin."""
        for session in self._sessions:
            session.begin()

    def stop(self) -> None:
        """Give up what has not ended: the simulation is over."""
        for session in self._sessions:
            session.stop()

    def _ended(self, session: Session) -> None:
        phones = [phone for phone in session.phones if phone.spec.helper is None]
        self._results |= {phone.name: _phone_result(phone, session.end_s) for phone in phones}
        self._open -= 1
        if not self._open:
            self._on_end(self._result())

    def _result(self) -> GroupResult:
        sessions, segments = self._sessions, self._group.video.segments
        played = [
            result.first_chunk + result.played == segments
            for session in sessions
            for phone in session.phones
            if phone.alive and phone.viewer is not None
            for result in (self._results[phone.name],)
        ]
        names = [phone.name for phone in self._group.phones if phone.helper is None]
        first, *others = (session.records for session in sessions)
        for records in others:
            first.extend(records)
        return GroupResult(
            chunks=first.chunks,
            viewing=first.viewing,
            intervals=first.phones,
            phones={name: self._results[name] for name in names if name in self._results},
            log=first.log if not others else sorted(first.log, key=lambda entry: entry.time_s),
            start_s=self._start_s,
            end_s=max(session.end_s for session in sessions),
            complete=bool(played) and all(played) and len(self._results) == len(names),
            air_busy_s=sum(session.wlan.channel.busy_s for session in sessions),
        )


def simulate_group(group: Group, policy: Collaboration, abr: AbrHalf | None = None) -> GroupResult:
    """Play one session on a clock of its own.

    Parameters
    ----------
    group
        Phones and video.
    policy, abr
        As for `GroupRun`.

    Raises
    ------
    PolicyError
        Where a half decides something that makes no sense.
    """
    env = Environment()
    results: list[GroupResult] = []
    GroupRun(env, group, policy, abr, Shared(), results.append).begin()
    env.run()
    return results[0]


def _each_alone(group: Group) -> list[Group]:
    """Return the group of each phone with a network; it can do what it can, and is out of others' reach anyway."""
    return [
        replace(
            group,
            phones=(replace(phone, moves=(), away_s=()),),
            combinations=tuple(it for it in group.combinations if it.name in phone.sr_frames_per_s),
            controller=0,
        )
        for phone in group.phones
        if phone.wwan is not None and phone.helper is None
    ]


def _phone_result(phone: Phone, end_s: float) -> PhoneResult:
    viewer = phone.viewer
    return PhoneResult(
        name=phone.name,
        energy_j={component.name.lower(): phone.meter.energy_j[component] for component in Component},
        battery_j=phone.battery_j,
        battery_share=phone.battery_share,
        alive=phone.alive,
        startup_s=None if viewer is None or viewer.started_s is None else viewer.started_s - viewer.joined_s,
        stall_s=0.0 if viewer is None else viewer.stalled_s(end_s),
        played=0 if viewer is None else viewer.begun,
        first_chunk=0 if viewer is None else viewer.first,
        end_s=end_s if viewer is None else min(viewer.ends_s, viewer.watched_until_s(end_s)),
    )
