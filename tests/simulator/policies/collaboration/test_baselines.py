"""MPBond, MicroCast and the plain schedulers: who gets the next chunk."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from simulator.policies.collaboration.idle_takes_next import IdleTakesNext
from simulator.policies.collaboration.local_only import LocalOnly
from simulator.policies.collaboration.microcast import MicroCast, MicroCastScheduler
from simulator.policies.collaboration.mpbond import MpBond, MpBondScheduler
from simulator.policies.collaboration.no_collaboration import NoCollaboration
from simulator.policies.collaboration.no_sr import NoSr
from simulator.policies.collaboration.protocol import EVERYONE, Assignment, Stage


def chunks(still: SimpleNamespace, count: int, first: int = 0, **fields: Any) -> list[Any]:
    return [still.chunk(first + index, **fields) for index in range(count)]


# MPBond


def test_mpbond_takes_the_idle_subflow_of_least_delay(still: SimpleNamespace) -> None:
    phones = [still.phone(0, 1.0, 1.0), still.phone(1, 3.0, 1.0), still.phone(2, 0.0, 9.0)]
    assert MpBondScheduler().assign(still.group(phones), chunks(still, 3)) == [Assignment(0, 1, 1)]
    phones[1].latency_s = 0.7  # 0.7 + 1/3 s is more than 1 s
    assert MpBondScheduler().assign(still.group(phones), chunks(still, 3)) == [Assignment(0, 0, 0)]
    phones[1].latency_s, phones[1].present = 0.0, False
    assert MpBondScheduler().assign(still.group(phones), chunks(still, 3)) == [Assignment(0, 0, 0)]


@pytest.mark.parametrize(
    ("left_s", "expected"),
    [
        ({}, "defers"),  # busy, but for no time to speak of: 1/4 s is sooner than 1 s
        ({Stage.DOWNLOAD: 0.7}, "defers"),
        ({Stage.DOWNLOAD: 0.8}, "gives"),
        ({Stage.SR: 0.7, Stage.ENCODE: 0.7}, "defers"),  # those two overlap
        ({Stage.DOWNLOAD: 0.3, Stage.SR: 0.3, Stage.TRANSMIT: 0.3}, "gives"),  # these do not
    ],
)
def test_mpbond_defers_where_a_busy_subflow_would_be_sooner(
    still: SimpleNamespace, left_s: dict[Stage, float], expected: str
) -> None:
    idle = still.phone(0, 1.0, 1.0)
    busy = still.phone(1, 4.0, 1.0, unfinished=1, queues={Stage.SR: 1}, left_s=left_s)
    answer = MpBondScheduler().assign(still.group([idle, busy]), chunks(still, 2))
    assert answer == ([] if expected == "defers" else [Assignment(0, 0, 0)])


def test_mpbond_reckons_with_work_that_has_not_come_yet(still: SimpleNamespace) -> None:
    # given, but neither in SR nor encoding: another second at one chunk a second
    busy = still.phone(1, 4.0, 1.0, unfinished=1, queues={Stage.DOWNLOAD: 1}, left_s={Stage.DOWNLOAD: 0.2})
    view = still.group([still.phone(0, 1.0, 1.0), busy])
    assert MpBondScheduler().assign(view, chunks(still, 2)) == [Assignment(0, 0, 0)]


def test_mpbond_gives_nothing_while_all_are_busy(still: SimpleNamespace) -> None:
    busy = [still.phone(index, 1.0, 1.0, queues={Stage.TRANSMIT: 1}) for index in range(2)]
    assert MpBondScheduler().assign(still.group(busy), chunks(still, 2)) == []


def test_how_far_chunks_may_come_out_of_order(still: SimpleNamespace) -> None:
    for ahead, allowed in ((1.0, 2), (1.3, 3), (2.0, 4)):
        scheduler = MpBondScheduler(ahead)
        phones = [still.phone(0, 1.0, 1.0), still.phone(1, 0.5, 1.0)]
        view = still.group(phones)
        assert scheduler.assign(view, chunks(still, 9)) == [Assignment(0, 0, 0)]
        phones[0].unfinished = 1  # and it does not get on with it; the other is always done at once
        given = []
        for first in range(1, 9):
            phones[0].left_s = {Stage.SR: 9.0}
            given += [it.chunk for it in scheduler.assign(view, chunks(still, 9 - first, first))]
        assert given == list(range(1, allowed)), "chunk 0 holds the others up"


# MicroCast


def test_microcast_shares_by_rate(still: SimpleNamespace) -> None:
    scheduler = MicroCastScheduler(backlog=1, ahead=10.0)
    view = still.group([still.phone(0, 3.0, 1.0), still.phone(1, 1.0, 1.0)])
    counts = [0, 0]
    for following in range(40):  # whoever gets a chunk is done at once
        (given,) = scheduler.assign(view, chunks(still, 1, following))
        assert given.processor == given.downloader
        counts[given.downloader] += 1
    assert counts == [30, 10]


def test_microcast_by_hand(still: SimpleNamespace) -> None:
    # clocks after a chunk: a at 1/2, 1 s; b at 1 s. One each fits, then a's next (1 s) needs a backlog of two.
    phones = [still.phone(0, 2.0, 1.0), still.phone(1, 1.0, 1.0)]
    answer = MicroCastScheduler(backlog=2, ahead=9.0).assign(still.group(phones), chunks(still, 4))
    assert answer == [Assignment(0, 0, 0), Assignment(1, 1, 1)]
    phones[0].wwan = 8.0  # over the mean of 4.5: 1.8, so that two may be under way
    answer = MicroCastScheduler(backlog=2, ahead=9.0).assign(still.group(phones), chunks(still, 4))
    assert answer == [Assignment(0, 0, 0), Assignment(1, 0, 0), Assignment(2, 1, 1)]
    answer = MicroCastScheduler(backlog=1, ahead=9.0).assign(still.group(phones), chunks(still, 4))
    assert answer == [Assignment(0, 0, 0), Assignment(1, 1, 1)]


def test_microcast_avoids_who_has_much_to_send(still: SimpleNamespace) -> None:
    phones = [still.phone(0, 2.0, 1.0), still.phone(1, 1.0, 1.0)]
    for wait_s, first in ((0.4, 0), (0.6, 1)):
        phones[0].left_s = {Stage.TRANSMIT: wait_s}
        assert MicroCastScheduler().assign(still.group(phones), chunks(still, 1))[0].downloader == first


def test_microcast_waits_for_who_has_not_finished(still: SimpleNamespace) -> None:
    phones = [still.phone(0, 1.0, 1.0, unfinished=1), still.phone(1, 1.0, 1.0)]
    assert MicroCastScheduler(1, 9.0).assign(still.group(phones), chunks(still, 3)) == [Assignment(0, 1, 1)]
    phones[1].unfinished = 1
    assert MicroCastScheduler(1, 9.0).assign(still.group(phones), chunks(still, 3)) == []


def test_who_comes_later_starts_level(still: SimpleNamespace) -> None:
    scheduler = MicroCastScheduler(1, 9.0)
    phones = [still.phone(0, 1.0, 1.0), still.phone(1, 1.0, 1.0, present=False)]
    view = still.group(phones)
    for first in range(6):
        assert scheduler.assign(view, chunks(still, 1, first)) == [Assignment(first, 0, 0)]
    phones[1].present = True
    got = [scheduler.assign(view, chunks(still, 1, first))[0].downloader for first in range(6, 12)]
    assert sorted(got) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("scheduler", [MpBondScheduler, MicroCastScheduler])
def test_who_cannot_do_sr_passes_it_on(still: SimpleNamespace, scheduler: Any) -> None:
    # b would be done first: 2 chunks a second and 1 waiting, c 3 a second and 3 waiting
    phones = [
        still.phone(0, 1.0),
        still.phone(1, 0.0, 2.0, unfinished=1),
        still.phone(2, 0.0, 3.0, unfinished=3),
    ]
    assert scheduler().assign(still.group(phones), chunks(still, 1)) == [Assignment(0, 0, 1)]
    plain = chunks(still, 1, combination=still.PLAIN[0])
    assert scheduler().assign(still.group(phones), plain) == [Assignment(0, 0, 0)]


@pytest.mark.parametrize("scheduler", [MpBondScheduler, MicroCastScheduler])
def test_a_chunk_that_is_there_is_not_downloaded_again(still: SimpleNamespace, scheduler: Any) -> None:
    phones = [still.phone(0, 1.0, 1.0, unfinished=4), still.phone(1, 1.0, 1.0), still.phone(2, 1.0)]
    answer = scheduler().assign(still.group(phones), chunks(still, 1, holders=(0, 1, 2)))
    assert answer == [Assignment(0, 1, 1)], "the holder that can do it and has least to do"


# The plain ones


def test_idle_phones_take_the_next_chunk_the_fastest_first(still: SimpleNamespace) -> None:
    phones = [
        still.phone(0, 1.0, 1.0),
        still.phone(1, 3.0, 1.0),
        still.phone(2, 2.0, queues={Stage.DOWNLOAD: 1}),
    ]
    view = still.group(phones)
    assert IdleTakesNext().assign(view, chunks(still, 5)) == [Assignment(0, 1, 1), Assignment(1, 0, 0)]
    phones[1].unfinished = 2
    assert IdleTakesNext().assign(view, chunks(still, 5)) == [Assignment(0, 0, 0)]
    everyone = IdleTakesNext(everyone=True).assign(view, chunks(still, 5))
    assert {it.processor for it in everyone} == {EVERYONE}
    plain = IdleTakesNext(everyone=True).assign(view, chunks(still, 1, combination=still.PLAIN[1]))
    assert plain[0].processor == plain[0].downloader
    held = IdleTakesNext().assign(view, chunks(still, 1, holders=(2,)))
    assert held[0].downloader == 2 and held[0].processor != 2


def test_what_the_policies_are_made_of() -> None:
    assert [it.together for it in (MpBond(), MicroCast(), LocalOnly(), NoSr(), NoCollaboration())] == [
        True,
        True,
        True,
        True,
        False,
    ]
    for policy in (MpBond(), MicroCast(), LocalOnly(), NoSr(), NoCollaboration()):
        assert policy.scheduler().waits_for_iteration is False
    assert MpBond().scheduler() is not MpBond().scheduler(), "each session has its own"
