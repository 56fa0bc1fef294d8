"""From a group and a policy to a finished session."""

from __future__ import annotations

from dataclasses import replace

from simulator.policies.collaboration.abr_halves import AbrHalf
from simulator.policies.collaboration.protocol import Collaboration
from simulator.streaming.group.energy import Component
from simulator.streaming.group.group import Group
from simulator.streaming.group.phones import GroupPhone
from simulator.streaming.group.pipeline import Phone
from simulator.streaming.group.records import GroupResult, PhoneResult, Records
from simulator.streaming.group.session import Session


def simulate_group(group: Group, policy: Collaboration, abr: AbrHalf | None = None) -> GroupResult:
    """Play one session.

    Parameters
    ----------
    group
        Phones and video.
    policy
        Whose scheduling half is used, and whose ABR half where `abr` is None.
    abr
        Whose ABR half is used instead.

    Raises
    ------
    PolicyError
        Where a half decides something that makes no sense.
    """
    records = Records()
    if policy.together:
        sessions = [_run(group, policy, abr, records)]
    else:
        sessions = [
            _run(_alone(group, phone), policy, abr, records)
            for phone in group.phones
            if phone.wwan is not None
        ]
        records.log.sort(key=lambda entry: entry.time_s)
    phones = {phone.name: phone for session in sessions for phone in session.phones}
    results = {spec.name: _phone_result(phones[spec.name]) for spec in group.phones if spec.name in phones}
    played = [
        results[name].first_chunk + results[name].played == group.video.segments
        for name, phone in phones.items()
        if phone.alive and phone.viewer is not None
    ]
    return GroupResult(
        chunks=records.chunks,
        viewing=records.viewing,
        intervals=records.phones,
        phones=results,
        log=records.log,
        end_s=max(session.end_s for session in sessions),
        complete=bool(played) and all(played) and len(results) == len(group.phones),
        air_busy_s=sum(session.wlan.channel.busy_s for session in sessions),
    )


def _alone(group: Group, phone: GroupPhone) -> Group:
    """Return the group of one phone, with what that one can run; out of others' reach it is anyway."""
    return replace(
        group,
        phones=(replace(phone, moves=(), away_s=()),),
        combinations=tuple(it for it in group.combinations if it.name in phone.sr_frames_per_s),
        controller=0,
    )


def _run(group: Group, policy: Collaboration, abr: AbrHalf | None, records: Records) -> Session:
    half: AbrHalf = policy if abr is None else abr
    session = Session(group, half.abr(), policy.scheduler(), records)
    session.run()
    return session


def _phone_result(phone: Phone) -> PhoneResult:
    viewer, now_s = phone.viewer, phone.env.now
    return PhoneResult(
        name=phone.name,
        energy_j={component.name.lower(): phone.meter.energy_j[component] for component in Component},
        battery_j=phone.battery_j,
        battery_share=phone.battery_share,
        alive=phone.alive,
        startup_s=None if viewer is None or viewer.started_s is None else viewer.started_s - viewer.joined_s,
        stall_s=0.0 if viewer is None else viewer.stalled_s(now_s),
        played=0 if viewer is None else viewer.begun,
        first_chunk=0 if viewer is None else viewer.first,
        end_s=now_s if viewer is None else min(viewer.ends_s, viewer.watched_until_s(now_s)),
    )
