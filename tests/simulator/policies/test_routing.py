"""Routers: what they choose, by themselves and in a service."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from simulator.policies.registry import PolicyError
from simulator.policies.routing.least_loaded import LeastLoaded
from simulator.policies.routing.least_work import LeastWork
from simulator.policies.routing.prefix_aware import PrefixAware
from simulator.policies.routing.round_robin import RoundRobin
from simulator.policies.routing.slo_aware import SloAware
from simulator.policies.routing.speed_weighted import SpeedWeighted
from simulator.workloads.slo import SloClass


@dataclass
class Request:
    """A request as a router sees it."""

    hash_ids: list[int] = field(default_factory=list)
    input_tokens: int = 100
    output_tokens: int = 10
    slo: SloClass | None = None


@dataclass
class Expected:
    """A forecast that says the same of every request."""

    work: float = 1.0
    ahead: float = 0.0
    ttft: float = 0.1
    tpot: float = 0.01

    def work_s(self, request):
        return self.work

    def ahead_s(self, request):
        return self.ahead

    def ttft_s(self, request):
        return self.ttft

    def tpot_s(self, request):
        return self.tpot


@dataclass
class View:
    """A replica as a router sees it."""

    outstanding_tokens: int = 0
    prefixes: list[int] = field(default_factory=list)
    forecast: Expected = field(default_factory=Expected)
    sent: int = 0

    def resident_prefix_tokens(self, hash_ids):
        return 16 * sum(block in self.prefixes for block in hash_ids)


def test_round_robin_goes_round_whatever_the_load():
    replicas = [View(0), View(10**9), View(5)]
    assert [RoundRobin().choose(replicas, Request(), i) for i in range(7)] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("policy", [LeastLoaded(), PrefixAware()])
def test_the_least_loaded_is_chosen_and_ties_go_round(policy):
    assert [policy.choose([View(5), View(3), View(9)], Request(), i) for i in range(3)] == [1, 1, 1]
    assert [policy.choose([View(5)] * 3, Request(), i) for i in range(5)] == [0, 1, 2, 0, 1]
    assert [policy.choose([View(9), View(5), View(5)], Request(), i) for i in range(4)] == [1, 1, 2, 1]


def test_prefix_aware_weighs_what_a_replica_need_not_compute():
    ids = [1, 2, 3, 4]
    holder = View(50, prefixes=[1, 2, 3, 4])
    assert PrefixAware().choose([View(0), holder], Request(ids), 0) == 1  # 64 tokens saved
    assert PrefixAware().choose([View(0), View(70, holder.prefixes)], Request(ids), 0) == 0
    assert PrefixAware(prefix_weight=2.0).choose([View(0), View(70, holder.prefixes)], Request(ids), 0) == 1
    assert PrefixAware(prefix_weight=0.0).choose([View(0), holder], Request(ids), 0) == 0
    assert PrefixAware().choose([View(0), holder], Request(), 0) == 0


def test_least_work_counts_seconds_and_this_request_with_them():
    slow, fast = View(forecast=Expected(4.0, 1.0)), View(forecast=Expected(1.0, 3.0))
    assert LeastWork().choose([slow, fast], Request(), 0) == 1  # 5 s and 4 s
    assert LeastWork().choose([slow, View(forecast=Expected(1.0, 5.0))], Request(), 0) == 0
    assert [LeastWork().choose([View()] * 3, Request(), i) for i in range(4)] == [0, 1, 2, 0]


@pytest.mark.parametrize("works", [(1.0, 2.0, 4.0), (0.3, 0.7, 0.11)])
def test_speed_weighted_shares_out_in_proportion_at_every_moment(works):
    replicas = [View(forecast=Expected(work)) for work in works]
    speed = sum(1 / work for work in works)
    for routed in range(1, 400):
        replicas[SpeedWeighted().choose(replicas, Request(), routed - 1)].sent += 1
        for work, replica in zip(works, replicas, strict=True):
            assert abs(replica.sent - routed / work / speed) < len(works)


def test_slo_aware_takes_the_slowest_that_is_fast_enough_else_the_one_that_misses_least():
    slow, fast = Expected(4.0, ttft=0.9, tpot=0.09), Expected(1.0, ttft=0.1, tpot=0.01)
    views = [View(forecast=fast), View(forecast=slow)]
    assert SloAware(ttft=1.0, tpot=0.1).choose(views, Request(), 0) == 1
    assert SloAware(ttft=0.5, tpot=0.1).choose(views, Request(), 0) == 0
    assert SloAware(ttft=0.05, tpot=0.1).choose(views, Request(), 0) == 0
    assert SloAware(ttft=0.0, tpot=0.0).choose(views, Request(), 0) == 0
    strict = Request(slo=SloClass("strict", ttft=0.5))
    assert SloAware(ttft=1.0, tpot=0.1).choose(views, strict, 0) == 0
    ahead = [View(forecast=Expected(4.0, 2.0)), View(forecast=Expected(4.0, 1.0))]
    assert SloAware().choose(ahead, Request(), 0) == 1


def test_round_robin_in_a_service(lab):
    scenario = lab.scenario(lab.synthetic(requests=10), lab.llm(replicas=3))
    assert lab.columns(lab.run(scenario))["replica"].tolist() == [i % 3 for i in range(10)]


def test_least_loaded_counts_prompts_and_answers_of_the_unfinished(lab):
    rows = [(0.0, 5000, 1), (0.001, 10, 1), (0.002, 10, 1), (0.003, 10, 5000), (60.0, 10, 1), (60.0, 1, 1)]
    scenario = lab.scenario(lab.trace(rows), lab.llm(replicas=2, routing="least_loaded"))
    # The 5th finds request 3 still decoding on replica 1 and the long prompt done on replica 0.
    assert lab.columns(lab.run(scenario))["replica"].tolist() == [0, 1, 1, 1, 0, 0]


def test_a_follow_up_goes_where_its_prefix_lies(lab):
    ids = list(range(20))
    rows = [(0.0, 640, 1, [100 + i for i in range(20)]), (10.0, 640, 1, ids)]
    rows += [(20.0 + i, 640, 1, ids) for i in range(6)]
    service = lab.llm(replicas=3, routing="prefix_aware")
    columns = lab.columns(lab.run(lab.scenario(lab.trace(rows, hash_block_tokens=32), service)))
    assert columns["replica"].tolist() == [0, 1] + [1] * 6
    assert (columns["resident_tokens"][2:] == 19 * 32).all()


@pytest.mark.parametrize("choice", [-1, 2, None, 0.5])
def test_a_router_that_chooses_nonsense_is_named(lab, choice):
    @dataclass(frozen=True)
    class Astray:
        def choose(self, replicas, request, routed):
            return choice

    scenario = lab.scenario(lab.synthetic(requests=1), lab.llm(replicas=2, routing=Astray()))
    with pytest.raises(PolicyError, match=r"routing policy .*Astray"):
        lab.run(scenario)
