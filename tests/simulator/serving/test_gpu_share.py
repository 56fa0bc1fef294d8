"""One GPU for engine steps and super-resolution: shares, work conservation, energy, what the LLM alone sees of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.catalogue import load_profile
from devices.errors import InputError
from devices.profiles import GpuProfile
from simulator.core import Environment, WorkQueue
from simulator.policies.gpu_sharing import GpuSharing
from simulator.policies.gpu_sharing.priority import Priority
from simulator.policies.gpu_sharing.spatial_partition import SpatialPartition
from simulator.policies.gpu_sharing.time_slicing import TimeSlicing
from simulator.scenario import load_text
from simulator.serving.build import step_cost
from simulator.serving.gpu_share import GpuShare
from simulator.serving.run import Run
from simulator.serving.run_loop import RunLoop
from simulator.streaming.gpu_sr import predicted_sr
from simulator.streaming.networks import load_network
from simulator.world import RunResult, simulate

STEP_S = 0.01
POLICIES: list[GpuSharing] = [
    TimeSlicing(switch=0.0),
    TimeSlicing(),
    Priority("sr"),
    Priority("llm"),
    SpatialPartition(sr_share=0.4, contention=0.0),
    SpatialPartition(sr_share=0.1, contention=0.25),
]


class Steps:
    """An engine whose steps are all alike: a scheduler, and what a replica does at the end of a run."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.left = 0
        self.done: list[tuple[float, float, int, float]] = []  # start, end, steps, share
        self.loop = RunLoop(env, self, 1, self._end)  # type: ignore[arg-type]

    def add(self, steps: int) -> None:
        self.left += steps
        self.loop.poke()

    def form(self, run: Run) -> bool:
        run.clear()
        run.steps, run.step_s, run.growth_s = self.left, STEP_S / run.share, 0.0
        return self.left > 0

    def _end(self) -> None:
        run = self.loop.run
        self.left -= run.steps
        self.done.append((run.start_s, self.env.now, run.steps, run.share))
        run.clear()
        self.loop.start()

    def work_s(self) -> float:
        """Work so far, in s of the whole GPU; of the run under way the time that has passed."""
        run = self.loop.run
        past = sum((end - start) * share for start, end, _, share in self.done)
        return past + ((self.env.now - run.start_s) * run.share if run.steps else 0.0)


class Gpu:
    """A GPU with both uses."""

    def __init__(self, policy: GpuSharing) -> None:
        self.env = Environment()
        self.llm, self.sr = Steps(self.env), WorkQueue(self.env)
        self.share = GpuShare(policy, self.llm.loop, self.sr)

    def at(self, time_s: float, what: Callable[[], object]) -> None:
        self.env.call_at(time_s, lambda: what() and None)


both_always_busy = [
    (TimeSlicing(switch=0.0), 0.5, 0.5),
    (TimeSlicing(quantum=0.004, switch=0.001), 0.4, 0.4),
    (Priority("sr"), 0.0, 1.0),
    (Priority("llm"), 1.0, 0.0),
    (SpatialPartition(sr_share=0.4, contention=0.0), 0.6, 0.4),
    (SpatialPartition(sr_share=0.1, contention=0.25), 0.675, 0.075),
]


@pytest.mark.interpreted
@pytest.mark.parametrize(("policy", "llm", "sr"), both_always_busy)
def test_two_that_always_have_work_get_their_shares(policy: GpuSharing, llm: float, sr: float) -> None:
    gpu = Gpu(policy)
    gpu.sr.run(1000.0, 0.0, lambda: None)
    gpu.llm.add(10**6)
    gpu.env.run(until=100.0)
    assert gpu.llm.work_s() == pytest.approx(100.0 * llm)
    assert gpu.sr.used_s == pytest.approx(100.0 * sr)


@pytest.mark.interpreted
@pytest.mark.parametrize("policy", [*POLICIES[:4], SpatialPartition(sr_share=0.4)])
def test_one_alone_gets_what_the_policy_leaves_it(policy: GpuSharing) -> None:
    alone = (0.6, 0.4) if isinstance(policy, SpatialPartition) else (1.0, 1.0)
    gpu = Gpu(policy)
    gpu.llm.add(100)
    gpu.env.run()
    assert gpu.env.now == pytest.approx(100 * STEP_S / alone[0])
    start_s = gpu.env.now
    gpu.sr.run(2.0, 0.0, lambda: None)
    gpu.env.run()
    assert gpu.env.now - start_s == pytest.approx(2.0 / alone[1])


@pytest.mark.interpreted
@pytest.mark.parametrize(("policy", "llm", "sr"), both_always_busy)
def test_the_outlook_is_what_a_step_would_get(policy: GpuSharing, llm: float, sr: float) -> None:
    gpu = Gpu(policy)
    alone = policy.shares(True, False).llm
    assert gpu.share.outlook() == (alone, 0.0)
    gpu.sr.run(2.0, 0.0, lambda: None)
    gpu.sr.run(1.0, 0.0, lambda: None)
    gpu.sr.set_pace(0.5)
    gpu.env.run(until=1.0)
    share, wait_s = gpu.share.outlook()
    if llm:
        assert (share, wait_s) == (pytest.approx(llm), 0.0)
        return
    assert (share, wait_s) == (alone, pytest.approx(5.0 / sr))
    gpu.llm.add(1)
    gpu.env.run()
    assert gpu.llm.done == [(pytest.approx(1.0 + wait_s), pytest.approx(1.0 + wait_s + STEP_S), 1, 1.0)]


@pytest.mark.interpreted
def test_a_step_under_way_is_neither_stopped_nor_hurried() -> None:
    """SR first: it waits for the step's end, then has the GPU until its work is done; then the LLM goes on."""
    gpu, done = Gpu(Priority("sr")), []
    gpu.llm.add(10)
    gpu.at(2.5 * STEP_S, lambda: gpu.sr.run(1.0, 0.0, lambda: done.append(gpu.env.now)))
    gpu.env.run()
    assert done == [pytest.approx(3 * STEP_S + 1.0)]
    np.testing.assert_allclose(
        gpu.llm.done, [(0.0, 3 * STEP_S, 3, 1.0), (3 * STEP_S + 1.0, 10 * STEP_S + 1.0, 7, 1.0)]
    )


@pytest.mark.interpreted
def test_halves_from_one_step_to_another() -> None:
    gpu = Gpu(TimeSlicing(switch=0.0))
    gpu.llm.add(10)
    gpu.at(2.5 * STEP_S, lambda: gpu.sr.run(1.5 * STEP_S, 0.0, lambda: None))
    gpu.env.run()
    # the step under way ends; two at half the speed, of which SR needs one and a half; the rest alone
    np.testing.assert_allclose(
        gpu.llm.done,
        [(0.0, 3 * STEP_S, 3, 1.0), (3 * STEP_S, 7 * STEP_S, 2, 0.5), (7 * STEP_S, 12 * STEP_S, 5, 1.0)],
    )


@pytest.mark.interpreted
@settings(deadline=None)
@given(
    policy=st.sampled_from(POLICIES),
    steps=st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(1, 40)), max_size=6),
    jobs=st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(1e-3, 0.5)), max_size=6),
)
def test_work_is_conserved(
    policy: GpuSharing, steps: list[tuple[float, int]], jobs: list[tuple[float, float]]
) -> None:
    gpu, ends = Gpu(policy), []
    for time_s, count in steps:
        gpu.at(time_s, lambda count=count: gpu.llm.add(count))  # type: ignore[misc]
    for time_s, work_s in jobs:
        gpu.at(time_s, lambda work_s=work_s: gpu.sr.run(work_s, 0.0, lambda: ends.append(gpu.env.now)))  # type: ignore[misc]
    seen: list[tuple[float, float]] = []
    for time_s in np.linspace(0.0, 4.0, 173):
        gpu.at(float(time_s), lambda: seen.append((gpu.env.now, gpu.llm.work_s() + gpu.sr.used_s)))
    gpu.env.run()
    # never more than the GPU can do, in any interval
    for (one_s, one), (other_s, other) in pairwise(seen):
        assert other - one <= (other_s - one_s) * (1.0 + 1e-9) + 1e-12
    # nothing is lost, and nothing waits for ever
    assert gpu.llm.left == 0 and not gpu.sr.busy and len(ends) == len(jobs)
    assert gpu.llm.work_s() == pytest.approx(STEP_S * sum(count for _, count in steps))
    assert gpu.sr.used_s == pytest.approx(sum(work_s for _, work_s in jobs))
    if isinstance(policy, SpatialPartition) or (isinstance(policy, TimeSlicing) and policy.switch):
        return
    # a GPU that is shared without loss is idle with work at most in a step whose rival has gone
    work_s = gpu.llm.work_s() + gpu.sr.used_s
    last_s = max((end for _, end, _, _ in gpu.llm.done), default=0.0)
    begins_s = [time_s for time_s, _ in [*steps, *jobs]]
    if begins_s:
        assert max([last_s, *ends]) <= max(begins_s) + work_s + STEP_S * (len(jobs) + 1)


# ---------------------------------------------------------------- whole scenarios

TEXT = """\
version: 1
name: shared
devices:
  phones: {profile: pixel-5, count: 4, phone: {wwan: {trace: steady, bandwidth: 1 Mbit/s}}}
  edge: {profile: l40s, sharing: time_slicing}
links:
  uplink: {profile: ethernet-10g, latency: 20 ms}
services:
  video:
    kind: streaming
    phones: [phones]
    group_size: 2
    super_resolution: [180p-720p]
    helpers: {server: {gpu: edge, network: real-esrgan-x4plus, download: uplink}}
  chat: {kind: llm, model: llama-3.1-8b, gpus: edge}
workloads:
  watch: {trace: video, service: video, segments: 20, spread: 10 s}
  talk: {trace: synthetic, service: chat, requests: 60, rate: 3/s, input_tokens: 600, output_tokens: 60}
"""
SHARING = [
    "time_slicing",
    "priority",
    "{name: priority, first: llm}",
    "{name: spatial_partition, sr_share: 0.4}",
]
NO_SR = "services.video.policies.collaboration=no_sr"


def run(*overrides: str, text: str = TEXT, step_by_step: bool = False) -> RunResult:
    return simulate(load_text(text, overrides), step_by_step=step_by_step)


def columns(table: Any) -> dict[str, list[Any]]:
    return {name: table.column(name).tolist() for name in table.schema}


@pytest.mark.parametrize("sharing", SHARING[:3])
def test_an_llm_alone_sees_nothing_of_the_sharing(sharing: str) -> None:
    shared = run(NO_SR, f"devices.edge.sharing={sharing}")
    alone = run(
        text=TEXT.replace(", sharing: time_slicing", "")
        .replace("    helpers: {server: {gpu: edge, network: real-esrgan-x4plus, download: uplink}}\n", "")
        .replace("links:\n  uplink: {profile: ethernet-10g, latency: 20 ms}\n", "")
        .replace("    super_resolution: [180p-720p]\n", "    policies: {collaboration: no_sr}\n")
    )
    for name in ("requests", "intervals"):
        assert columns(getattr(shared, name)["chat"]) == columns(getattr(alone, name)["chat"])
    assert shared.devices["edge"].busy_s == alone.devices["edge"].busy_s
    assert shared.simulated_s == alone.simulated_s
    assert shared.devices["edge"].energy_j == alone.devices["edge"].energy_j


@pytest.mark.parametrize("sharing", SHARING)
def test_the_closed_form_gives_what_single_steps_give(sharing: str) -> None:
    fast, slow = (run(f"devices.edge.sharing={sharing}", step_by_step=it) for it in (False, True))
    for one, other in (
        (fast.requests["chat"], slow.requests["chat"]),
        (fast.viewers["video"], slow.viewers["video"]),
    ):
        for name in one.schema:
            values, others = one.column(name), other.column(name)
            if values.dtype == object:
                assert (values == others).all(), name
            else:
                np.testing.assert_allclose(values, others, rtol=1e-9, atol=1e-12, err_msg=name)
    assert fast.devices["edge"].busy_s == pytest.approx(slow.devices["edge"].busy_s, rel=1e-9)
    assert fast.devices["edge"].energy_j == pytest.approx(slow.devices["edge"].energy_j, rel=1e-9)


@pytest.mark.parametrize("sharing", SHARING)
def test_runs_are_repeatable_and_stay_within_the_gpu(sharing: str) -> None:
    one, other = (run(f"devices.edge.sharing={sharing}") for _ in range(2))
    assert one.summary() == other.summary()
    totals, gpu = one.devices["edge"], load_profile("l40s")
    assert 0.0 < totals.busy_s <= one.simulated_s
    assert gpu.idle_w * totals.on_s < totals.energy_j < gpu.tdp_w * totals.on_s  # type: ignore[union-attr]


def test_each_hurts_the_other_as_the_policy_says() -> None:
    results = {it: run(f"devices.edge.sharing={it}") for it in SHARING[:3]}
    tpot_s = [
        (it.requests["chat"].column("finish_s") - it.requests["chat"].column("first_token_s")).mean()
        for it in results.values()
    ]
    ends_s = [it.viewers["video"].column("session_end_s").mean() for it in results.values()]
    assert tpot_s[2] < tpot_s[0] < tpot_s[1], "LLM first, halves, SR first"
    assert ends_s[1] <= ends_s[0] <= ends_s[2]


@pytest.mark.parametrize("sharing", SHARING)
def test_energy_is_counted_once(sharing: str) -> None:
    """Above idle the board draws what the steps and the SR work take, however they share it."""
    gpu, result = load_profile("l40s"), run(f"devices.edge.sharing={sharing}")
    assert isinstance(gpu, GpuProfile)
    intervals, totals = result.intervals["chat"], result.devices["edge"]
    step_s = float((intervals.column("end_s") - intervals.column("start_s")).sum())
    steps_j = float(intervals.column("energy_j").sum()) - gpu.idle_w * step_s
    chunks = [session.chunks for session in result.sessions["video"].values()]
    frames = 30 * sum(int((it.column("processor") == "server").sum()) for it in chunks)
    speed = predicted_sr(gpu, load_network("real-esrgan-x4plus", 4), 320, 180)
    assert frames > 600
    assert totals.energy_j == pytest.approx(
        gpu.idle_w * totals.on_s + steps_j + speed.power_w * frames / speed.frames_per_s
    )


@pytest.mark.parametrize("pairs", [0.0, 4e6])
@pytest.mark.parametrize("new", [8, 2048])
def test_a_step_with_a_share_takes_the_energy_of_a_whole_one(new: int, pairs: float) -> None:
    """Its work above idle is the same, and is held at the same share of the board's limit."""
    scenario = load_text(TEXT)
    energy = step_cost(scenario.llm_services["chat"], scenario.devices["edge"]).energy
    whole_j, third_j = (
        energy.run_j(5, 0.02 / share, 0.001 / share, new, 1e4, 8.0, pairs, 0.0, share)
        for share in (1.0, 1 / 3)
    )
    duration_s = 5 * 0.02 + 10 * 0.001
    assert third_j - energy.idle_w * 3 * duration_s == pytest.approx(whole_j - energy.idle_w * duration_s)


@pytest.mark.parametrize("sharing", SHARING)
def test_routers_avoid_the_replica_beside_sr(sharing: str) -> None:
    """Two replicas that are alike, SR on the first one's GPU: a request alone goes to the other while SR runs."""
    result = run(
        f"devices.edge.sharing={sharing}", "devices.edge.count=2", "services.chat.replicas=2",
        "services.chat.policies.routing=least_work", "services.video.group_size=null",
        "workloads.watch.segments=120", "workloads.talk.rate=0.8/s", "workloads.talk.output_tokens=20",
    )  # fmt: skip
    [session] = result.sessions["video"].values()
    helped = session.chunks.column("processor") == "server"
    spans = [session.chunks.column(name)[helped] for name in ("sr_start_s", "sr_end_s")]
    requests, idle_from_s = result.requests["chat"], 0.0
    went: dict[bool, set[int]] = {False: set(), True: set()}
    for arrival_s, finish_s, replica in sorted(
        zip(*(requests.column(it) for it in ("arrival_s", "finish_s", "replica")), strict=True)
    ):
        if arrival_s > idle_from_s:
            went[bool(((spans[0] < arrival_s) & (arrival_s < spans[1])).any())].add(int(replica))
        idle_from_s = max(idle_from_s, finish_s)
    assert went == {False: {0, 1}, True: {0, 1} if "llm" in sharing else {1}}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["devices.edge.sharing=null"], r"helpers\.server\.gpu: 'edge' serves chat too: devices\.edge\.sharing"),
        (["devices.phones.sharing=priority"], r"devices\.phones\.sharing: .* does not do both"),
        (["devices.edge.sharing=prioritise"], r"sharing: 'prioritise' is not allowed; .*nearest: priority"),
        (["devices.edge.count=2", "services.chat.tensor_parallel=2"], r"tensor_parallel: a replica takes 2 GPUs"),
        (["devices.edge.count=2", "services.chat.pipeline_parallel=2"], r"pipeline_parallel: a replica takes 2"),
        (["services.chat.replicas=2"], r"devices\.edge: has 2 replicas"),
        (["services.chat.policies.autoscaling=target_load"], r"autoscaling: switches replicas off"),
        (["services.chat.prefill={gpus: edge, link: uplink}"], r"devices\.edge: has 2 replicas"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_sharing_is_said(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(*overrides)
