"""Groups of phones: each stage does one thing at a time, and none idles; causes come first; chunks and energy balance.

Random sessions are drawn from the shipped scenarios: their phones come and go, heat up and run out of battery.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator.world
from devices.errors import InputError
from simulator.compiled import is_compiled
from simulator.core import Environment
from simulator.streaming.group.session import Session

ROUNDING_S = 1e-9

DRAWN = st.fixed_dictionaries(
    {
        "name": st.sampled_from(
            [
                "faults/phone_failure.yaml",
                *(
                    f"oasis/{it}.yaml"
                    for it in ("churn", "policies", "networks", "flagship", "compute_skew", "heat")
                ),
            ]
        ),
        "seed": st.integers(0, 10_000),
        "policy": st.sampled_from(
            ["oasis", "mpbond", "microcast", "local_only", "no_sr", "no_collaboration", "oasis_with_rule"]
        ),
        "pipelined": st.booleans(),
        "segment": st.sampled_from(["0.5 s", "1 s", "4 s"]),
        "buffer": st.sampled_from([8, 25]),
    }
)


class WatchedEnvironment(Environment):
    """Looks whether a stage of a session's phones idles before time goes on."""

    def __init__(self, looked: list[float]) -> None:
        super().__init__()
        self.looked = looked
        self.sessions: list[Any] = []

    def step(self) -> None:
        if self.peek() > self.now:
            self.looked.append(self.now)
            for session in self.sessions:
                if session.end_s == inf:
                    for phone in session.phones:
                        check_no_stage_idles(phone)
        super().step()

    def run(self, until: Any = None) -> None:
        while self.peek() < (inf if until is None else until):
            self.step()
        if until is not None:
            self._now = until


def check_no_stage_idles(phone: Any) -> None:
    """What a phone could do it does: side by side, or one thing at a time. Downloads may wait for room in a buffer."""
    stages = (phone.decode, phone.sr, phone.encode, phone.transmit)
    if phone._group.pipelined:
        assert not any(stage.queue and stage.current is None for stage in stages)
    elif phone.download.current is None and all(stage.current is None for stage in stages):
        assert not any(stage.queue for stage in stages)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Watch all sessions; return the instants at which was looked."""
    looked: list[float] = []
    begin = Session.begin

    def watched_begin(session: Any) -> None:
        session.env.sessions.append(session)
        begin(session)

    monkeypatch.setattr(simulator.world, "Environment", partial(WatchedEnvironment, looked))
    monkeypatch.setattr(Session, "begin", watched_begin)
    return looked


def play(shipped: Any, drawn: dict[str, Any]) -> tuple[Any, Any] | None:
    service = "services.video"
    overrides = [
        f"seed={drawn['seed']}",
        f"{service}.policies.collaboration={drawn['policy']}",
        f"{service}.pipelined={str(drawn['pipelined']).lower()}",
        f"{service}.buffer={drawn['buffer']}",
        f"workloads.watch.segment={drawn['segment']}",
    ]
    try:
        scenario = shipped.load(drawn["name"], overrides)
    except InputError:  # a policy whose combination no phone of this scenario can run
        return None
    result = shipped.run(drawn["name"], scenario)
    return scenario, result


def one_at_a_time(start_s: Any, end_s: Any) -> None:
    """Intervals do not overlap."""
    order = np.argsort(start_s, kind="stable")
    assert (end_s[order][:-1] <= start_s[order][1:] + ROUNDING_S).all()


def check_stages(columns: dict[str, Any]) -> None:
    """Stages of each phone, and the order of what happens to each chunk."""
    for phone in {*columns["downloader"], *columns["processor"]}:
        mine = columns["downloader"] == phone
        starts, ends = columns["download_start_s"][mine], columns["download_end_s"][mine]
        one_at_a_time(*np.unique([starts, ends], axis=1))  # several may have processed what one downloaded
        mine = columns["processor"] == phone
        for stage in ("decode", "sr", "encode"):
            times_s = columns[f"{stage}_start_s"][mine], columns[f"{stage}_end_s"][mine]
            worked = ~np.isnan(times_s[0])
            one_at_a_time(times_s[0][worked], times_s[1][worked])
    # A chunk that was given away anew may have been downloaded before.
    assigned_s = np.where(columns["attempts"] == 1, columns["assigned_s"], np.nan)
    itself = columns["downloader"] == columns["processor"]
    there_s = np.where(itself, columns["download_end_s"], columns["forward_end_s"])
    for earlier, later in (
        (assigned_s, columns["download_start_s"]),
        (columns["download_start_s"], columns["download_end_s"]),
        (there_s, columns["decode_start_s"]),
        (columns["decode_start_s"], columns["sr_start_s"]),
        (columns["sr_start_s"], columns["encode_start_s"]),
        (columns["decode_end_s"], columns["sr_end_s"]),
        (columns["sr_end_s"], columns["encode_end_s"]),
        (columns["encode_end_s"], columns["complete_s"]),
    ):
        both = ~(np.isnan(earlier) | np.isnan(later))
        assert (earlier[both] <= later[both] + ROUNDING_S).all()


def check(shipped: Any, drawn: dict[str, Any]) -> None:
    played = play(shipped, drawn)
    if played is None:
        return
    scenario, result = played
    segments = scenario.workloads["watch"].segments
    for session in result.sessions["video"].values():
        check_stages({name: session.chunks.column(name) for name in session.chunks.schema})
        chunks = session.chunks.column("chunk")
        assert ((chunks >= 0) & (chunks < segments)).all()
        assert session.air_busy_s <= (session.end_s - session.start_s) * len(session.phones) + ROUNDING_S
        viewing = {name: session.viewing.column(name) for name in session.viewing.schema}
        assert (viewing["available_s"] <= viewing["play_s"] + ROUNDING_S).all()
        for name, phone in session.phones.items():
            mine = viewing["phone"] == name
            seen = viewing["chunk"][mine].tolist()
            assert seen == list(range(phone.first_chunk, phone.first_chunk + len(seen)))
            assert all(joules >= -ROUNDING_S for joules in phone.energy_j.values())
            table = session.intervals
            rows = table.column("phone") == name
            integral_j = float(table.column("power_w")[rows] @ table.column("interval_s")[rows])
            assert phone.total_j == pytest.approx(integral_j, rel=1e-9)
    totals_j = sum(phone.total_j for it in result.sessions["video"].values() for phone in it.phones.values())
    assert result.summary()["energy_j"]["total"] == pytest.approx(totals_j, rel=1e-9)  # type: ignore[index]
    assert result.simulated_s < inf


def study(shipped: Any, looked: list[float], examples: int, fixed: bool) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=fixed)
    @given(drawn=DRAWN)
    def keep_to_the_rules(drawn: dict[str, Any]) -> None:
        check(shipped, drawn)

    keep_to_the_rules()
    assert len(looked) > 100 * examples


@pytest.mark.skipif(is_compiled(), reason="a compiled engine cannot be observed")
def test_phones_keep_to_the_rules(shipped: Any, looked: list[float]) -> None:
    study(shipped, looked, 25, fixed=True)


@pytest.mark.slow
@pytest.mark.skipif(is_compiled(), reason="a compiled engine cannot be observed")
def test_phones_keep_to_the_rules_in_many_sessions(shipped: Any, looked: list[float]) -> None:
    study(shipped, looked, 1000, fixed=False)
