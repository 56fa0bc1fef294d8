"""GPUs of helpers that fail and slow down: what is lost, given away anew, waited for, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest

from devices.catalogue import load_profile
from devices.profiles import GpuProfile
from simulator.core import Environment, WorkQueue
from simulator.scenario import load_text
from simulator.serving.sequence import COMPLETED
from simulator.world import RunResult, simulate

TEXT = """\
version: 1
name: edge
devices:
  phones: {profile: pixel-5, count: 4, phone: {wwan: {trace: steady, bandwidth: 1 Mbit/s}}}
  gpu: {profile: l40s}
links:
  line: {profile: ethernet-10g, latency: 20 ms}
services:
  video:
    kind: streaming
    phones: [phones]
    group_size: 2
    super_resolution: [180p-720p]
    helpers: {edge: {gpu: gpu, sr_rates: {180p-720p: 60/s}, download: line}}
workloads:
  watch: {trace: video, service: video, segments: 40}
"""
RATE = 60.0
SHARED = (
    TEXT.replace("{profile: l40s}", "{profile: l40s, sharing: priority}").replace(
        "workloads:\n", "  chat: {kind: llm, model: llama-3.1-8b, gpus: gpu}\nworkloads:\n"
    )
    + "  talk: {trace: synthetic, service: chat, requests: 40, rate: 2/s, input_tokens: 500, output_tokens: 60}\n"
)
POLICIES = ("oasis", "mpbond", "microcast")


def run(*overrides: str, text: str = TEXT, step_by_step: bool = False) -> RunResult:
    return simulate(load_text(text, overrides), step_by_step=step_by_step)


def gpu() -> GpuProfile:
    profile = load_profile("l40s")
    assert isinstance(profile, GpuProfile)
    return profile


def sr_spans(result: RunResult) -> np.ndarray:
    """Beginning and end of SR of each chunk that the helper finished; shape (chunks, 2)."""
    tables = [it.chunks for it in result.sessions["video"].values()]
    spans = [
        np.column_stack([it.column("sr_start_s"), it.column("sr_end_s")])[it.column("processor") == "edge"]
        for it in tables
    ]
    return np.concatenate(spans)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_failed_helper_is_away_until_it_is_repaired(policy: str) -> None:
    fault = "faults={crash: {device: gpu, kind: failure, at: 6 s, duration: 9 s}}"
    result = run(fault, f"services.video.policies.collaboration={policy}")
    assert result.viewers["video"].column("complete").all()
    starts_s, ends_s = sr_spans(result).T
    assert ((ends_s < 6.0) | (starts_s >= 15.0)).all() and (ends_s < 6.0).any() and (starts_s >= 15.0).any()
    for session in result.sessions["video"].values():
        log = [(it.what, it.time_s) for it in session.log if it.phone == "edge"]
        told = ("fault", "repair", "exit", "enter")
        assert [it for it in log if it[0] in told] == [
            ("enter", 0.0), ("fault", 6.0), ("exit", 6.0), ("repair", 15.0), ("enter", 15.0)
        ]  # fmt: skip
        assert "reassign" in {it.what for it in session.log if it.time_s == 6.0}
    summary = result.summary()
    assert summary["faults"] == {"gpu": {"failures": 1, "outages": 0, "slowdowns": 0, "downtime_s": 9.0}}
    assert result.faults is not None
    assert result.faults.column("target_kind").tolist() == ["gpu"]


def test_what_a_failed_helper_has_begun_is_lost_and_counts() -> None:
    """Energy closes: SR of chunks that were finished, what was cut off, idle power while it is not down."""
    result = run("faults={crash: {device: gpu, kind: failure, mtbf: 4 s, mttr: 1 s}}")
    assert result.faults is not None
    down_s = float((result.faults.column("end_s") - result.faults.column("start_s")).sum())
    totals, finished_s = result.devices["gpu"], len(sr_spans(result)) * 30 / RATE
    failures = len(result.faults)
    assert failures > 3 and result.viewers["video"].column("complete").all()
    assert finished_s < totals.busy_s < finished_s + 2 * failures * 30 / RATE
    above_idle_w = gpu().tdp_w - gpu().idle_w
    idle_s = result.simulated_s - down_s
    assert totals.energy_j == pytest.approx(gpu().idle_w * idle_s + above_idle_w * totals.busy_s)


def test_a_helper_that_is_dead_takes_no_part() -> None:
    dead = run("faults={dead: {device: gpu, kind: failure, at: 0 s}}")
    far = run("services.video.helpers.edge.x=500")
    for name in ("qoe_oasis", "energy_j", "rebuffer_s", "session_end_s"):
        np.testing.assert_array_equal(dead.viewers["video"].column(name), far.viewers["video"].column(name))
    assert dead.devices["gpu"].busy_s == dead.devices["gpu"].energy_j == 0.0


def test_sessions_find_what_has_failed_before_them() -> None:
    again = "workloads.watch.sessions=2"
    end_s = run(again).viewers["video"].column("session_end_s").min()
    result = run(
        again, f"faults={{crash: {{device: gpu, kind: failure, at: {end_s - 5} s, duration: 15 s}}}}"
    )
    starts_s, ends_s = sr_spans(result).T
    assert ((ends_s < end_s - 5) | (starts_s >= end_s + 10)).all() and (starts_s >= end_s + 10).any()
    second = result.sessions["video"][2]
    assert second.start_s < end_s + 10
    assert [it.what for it in second.log if it.phone == "edge"][:1] == ["fault"]


def test_phones_that_cannot_do_without_it_wait_for_the_repair() -> None:
    helpless = ["devices.phones.phone.wwan=null", "devices.phones.phone.sr_rates={}"]
    for ends, complete in (("duration: 30 s", True), ("mtbf", False)):
        when = "at: 3 s, " + ends if complete else "at: 3 s"
        result = run(*helpless, f"faults={{crash: {{device: gpu, kind: failure, {when}}}}}")
        viewers = result.viewers["video"]
        assert viewers.column("complete").all() == complete
        assert (viewers.column("session_end_s").min() > 33.0) == complete


def test_a_slow_gpu_takes_longer_at_the_same_energy() -> None:
    slow = run("faults={heat: {device: gpu, kind: slowdown, factor: 0.25, at: 0 s}}", "devices.gpu.count=2")
    spans = sr_spans(slow)
    np.testing.assert_allclose(spans[:, 1] - spans[:, 0], 4 * 30 / RATE)
    totals, frames = slow.devices["gpu"], 30 * len(spans)
    assert 2 * totals.busy_s == pytest.approx(4 * frames / RATE)
    assert totals.energy_j == pytest.approx(
        2 * gpu().idle_w * slow.simulated_s + (gpu().tdp_w - gpu().idle_w) * frames / RATE
    )
    sound = run("devices.gpu.count=2")
    assert len(spans) < len(sr_spans(sound)), "the policy gives a straggler less"


def test_one_unit_fails_alone() -> None:
    result = run("devices.gpu.count=2", "faults={crash: {device: gpu, unit: 1, kind: failure, at: 0 s}}")
    helped = [
        "edge" in set(it.chunks.column("processor")) for _, it in sorted(result.sessions["video"].items())
    ]
    assert helped == [True, False]


@pytest.mark.parametrize(
    "sharing", ["priority", "{name: priority, first: llm}", "time_slicing", "spatial_partition"]
)
def test_both_uses_of_a_shared_gpu_fail_together(sharing: str) -> None:
    fault = "faults={crash: {device: gpu, kind: failure, at: 6 s, duration: 5 s}}"
    results = [
        run(f"devices.gpu.sharing={sharing}", fault, text=SHARED, step_by_step=it) for it in (False, True)
    ]
    for result in results:
        starts_s, ends_s = sr_spans(result).T
        assert ((ends_s < 6.0) | (starts_s >= 11.0)).all() and (starts_s >= 11.0).any()
        steps = result.intervals["chat"]
        assert ((steps.column("end_s") <= 6.0) | (steps.column("start_s") >= 11.0)).all()
        assert (result.requests["chat"].column("status") == COMPLETED).all()
        assert result.viewers["video"].column("complete").all()
        assert result.summary()["faults"]["gpu"]["downtime_s"] == 5.0  # type: ignore[index]
        totals = result.devices["gpu"]
        step_s = float((steps.column("end_s") - steps.column("start_s")).sum())
        above_j = totals.energy_j - float(steps.column("energy_j").sum())
        idle_j = gpu().idle_w * (result.simulated_s - 5.0 - step_s)
        sr_s = (above_j - idle_j) / (gpu().tdp_w - gpu().idle_w)
        finished_s = len(sr_spans(result)) * 30 / RATE
        assert finished_s - 1e-6 <= sr_s <= finished_s + 2 * 30 / RATE
    one, other = (it.requests["chat"].column("finish_s") for it in results)
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_a_queue_stands_still_while_its_processor_is_broken() -> None:
    """Failures that overlap are the injector's business; a job that nobody gives up goes on after the repair."""
    env = Environment()
    queue, told, done = WorkQueue(env), [], []  # type: tuple[WorkQueue, list[bool], list[float]]
    queue.watchers.append(lambda: told.append(queue.broken))
    queue.run(4.0, 10.0, lambda: done.append(env.now))
    env.call_at(1.0, lambda: queue.fail(True))
    env.call_at(2.0, lambda: queue.fail(True))
    env.call_at(5.0, queue.repair)
    env.call_at(6.0, lambda: queue.set_pace(0.5))
    env.run()
    assert done == [10.0] and told == [True, False]
    assert (queue.used_s, queue.work_j) == (6.0, 40.0)


def test_random_faults_leave_nothing_behind() -> None:
    for seed in range(6):
        faults = (
            "faults={crash: {device: gpu, kind: failure, mtbf: 5 s, mttr: 2 s}, "
            "slow: {device: gpu, kind: slowdown, factor: 0.3, mtbf: 4 s, mttr: 3 s}, "
            "phone: {device: phones, kind: failure, mtbf: 15 s, mttr: 2 s}}"
        )
        text = SHARED if seed % 2 else TEXT
        policy = f"services.video.policies.collaboration={POLICIES[seed % 3]}"
        result = run(faults, policy, f"seed={seed}", "workloads.watch.sessions=2", text=text)
        for session in result.sessions["video"].values():
            assert set(session.chunks.column("chunk")) == set(range(40))
        assert result.viewers["video"].column("complete").all()
        assert result.devices["gpu"].energy_j > 0.0
