"""Maximum flow, earliest completion, and the scheduler that OASIS makes of them; the paper's example by hand."""

from __future__ import annotations

import random
from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_flow

from simulator.policies.collaboration.earliest_completion import earliest, fitting_chunks
from simulator.policies.collaboration.max_flow import max_flow, paths
from simulator.policies.collaboration.oasis_scheduler import FlowPlan, OasisScheduler
from simulator.policies.collaboration.protocol import Assignment, Stage

# The paper's worked example: phones A, B, C
WWAN, SR = (6.0, 0.0, 3.0), (2.0, 3.0, 1.0)
LINKS = ((0.0, 5.0, 5.0), (5.0, 0.0, 5.0), (5.0, 5.0, 0.0))


def test_the_papers_maximum_flow() -> None:
    plan = FlowPlan(WWAN, SR, LINKS)
    source, sink = 3, 4
    flow = np.array(plan.flow)
    assert flow[source].sum() == pytest.approx(6.0)
    assert flow[source, :3] == pytest.approx([5.0, 0.0, 1.0])
    assert flow[0, 1] == pytest.approx(3.0)
    assert flow[:3, sink] == pytest.approx([2.0, 3.0, 1.0])
    assert flow.sum() == pytest.approx(6.0 + 3.0 + 6.0), "there is no other flow"
    assert plan.rates == pytest.approx([2.0, 3.0, 1.0])
    assert plan.downloaders == [
        [(0, pytest.approx(2.0))],
        [(0, pytest.approx(3.0))],
        [(2, pytest.approx(1.0))],
    ]
    # in 1/30 s: A 5; B 5 and 6 more over the WLAN, which the paper rounds to 10; C 10
    assert np.multiply(plan.delays_s, 30.0) == pytest.approx([5.0, 11.0, 10.0])


@pytest.mark.parametrize("delays", [(5.0, 10.0, 10.0), (5.0, 11.0, 10.0)])
def test_the_papers_earliest_completion(delays: tuple[float, ...]) -> None:
    held, found = [0, 0, 0], []
    for _ in range(6):
        found.append(earliest([it / 30.0 for it in delays], SR, held))
        held[found[-1]] += 1
    assert [[chunk for chunk, phone in enumerate(found) if phone == who] for who in range(3)] == [
        [0, 3],
        [1, 2, 5],
        [4],
    ]


def test_the_papers_schedule_as_a_whole(still: SimpleNamespace) -> None:
    phones = [still.phone(index, wwan, sr) for index, (wwan, sr) in enumerate(zip(WWAN, SR, strict=True))]
    view = still.group(phones, link=5.0)
    answer = OasisScheduler().assign(view, [still.chunk(index) for index in range(6)])
    assert answer == [
        Assignment(0, 0, 0),
        Assignment(1, 0, 1),
        Assignment(2, 0, 1),
        Assignment(3, 0, 0),
        Assignment(4, 2, 2),
        Assignment(5, 0, 1),
    ]


@pytest.mark.parametrize("seed", range(40))
def test_maximum_flow_of_whole_numbers_is_scipys(seed: int) -> None:
    draw = np.random.default_rng(seed)
    nodes = int(draw.integers(2, 9))
    capacities = draw.integers(0, 12, (nodes, nodes)) * (draw.random((nodes, nodes)) < 0.6)
    np.fill_diagonal(capacities, 0)
    flow = np.array(max_flow(capacities.astype(float).tolist(), 0, nodes - 1))
    expected = maximum_flow(csr_matrix(capacities.astype(np.int32)), 0, nodes - 1).flow_value
    assert flow[0].sum() - flow[:, 0].sum() == pytest.approx(expected)
    assert (flow <= capacities + 1e-9).all()
    assert (flow == flow.round()).all()


@pytest.mark.parametrize("seed", range(40))
def test_maximum_flow_of_real_numbers(seed: int) -> None:
    """Kept at every node, within every capacity, and as large as the smallest of all cuts."""
    draw = np.random.default_rng(1000 + seed)
    nodes = int(draw.integers(3, 8))
    capacities = draw.lognormal(0.0, 3.0, (nodes, nodes)) * (draw.random((nodes, nodes)) < 0.7)
    np.fill_diagonal(capacities, 0.0)
    flow = np.array(max_flow(capacities.tolist(), 0, nodes - 1))
    scale = capacities.max()
    assert (flow >= 0.0).all() and (flow <= capacities * (1.0 + 1e-12)).all()
    assert (np.minimum(flow, flow.T) == 0.0).all(), "not both ways"
    kept = flow.sum(axis=0) - flow.sum(axis=1)
    assert kept[1:-1] == pytest.approx(np.zeros(nodes - 2), abs=1e-9 * scale)
    cuts = [
        sum(
            capacities[tail, head]
            for tail, head in product(range(nodes), repeat=2)
            if side[tail] and not side[head]
        )
        for side in ((True, *middle, False) for middle in product((True, False), repeat=nodes - 2))
    ]
    assert kept[-1] == pytest.approx(min(cuts), abs=1e-7 * scale)


def test_paths_add_up_to_the_flow() -> None:
    draw = random.Random(3)
    for _ in range(30):
        count = draw.randint(1, 6)
        wwan = [draw.choice([0.0, draw.uniform(0.2, 6.0)]) for _ in range(count)]
        wwan[0] = 2.0
        sr = [draw.choice([0.0, draw.uniform(0.2, 6.0)]) for _ in range(count)]
        links = [[0.0 if i == j else draw.uniform(0.1, 4.0) for j in range(count)] for i in range(count)]
        flow = FlowPlan(wwan, sr, links).flow
        if not any(row[count + 1] for row in flow):
            continue
        total = np.zeros((count + 2, count + 2))
        for nodes, amount in paths(flow, count, count + 1):
            assert amount > 0.0
            way = (count, *nodes, count + 1)
            for tail, head in pairwise(way):
                total[tail, head] += amount
        np.testing.assert_allclose(total, flow, atol=1e-8)


def test_a_flow_goes_to_slower_networks_only() -> None:
    draw = random.Random(7)
    for _ in range(30):
        count = draw.randint(2, 6)
        wwan = [draw.choice([0.0, 1.0, draw.uniform(0.2, 6.0)]) for _ in range(count)]
        wwan[draw.randrange(count)] = 3.0
        sr = [draw.uniform(0.2, 6.0) for _ in range(count)]
        plan = FlowPlan(wwan, sr, [[4.0] * count for _ in range(count)])
        for processor, downloaders in enumerate(plan.downloaders):
            assert sum(rate for _, rate in downloaders) == pytest.approx(plan.rates[processor], abs=1e-8)
            assert plan.rates[processor] <= sr[processor] + 1e-9
            for downloader, _ in downloaders:
                assert downloader == processor or wwan[downloader] > wwan[processor]
        assert sum(plan.rates) <= min(sum(wwan), sum(sr)) + 1e-9


def test_earliest_completion_by_hand() -> None:
    assert earliest([0.0, 0.0], [1.0, 2.0], [0, 0]) == 1
    assert earliest([0.0, 0.0], [1.0, 2.0], [0, 2]) == 0
    assert earliest([0.0, 0.0], [1.0, 2.0], [0, 1]) == 0, "both end after 1 s; the first would begin sooner"
    assert earliest([0.3, 0.3], [1.0, 1.0], [0, 0]) == 0
    assert earliest([9.0, 0.0], [1.0, 0.0], [5, 0]) == 0, "who has no rate gets none"
    assert earliest([0.5, 0.0], [4.0, 1.0], [0, 0]) == 0


@pytest.mark.parametrize("seed", range(15))
def test_chunks_in_order_end_as_early_as_any_assignment_would(seed: int) -> None:
    """Without delays nobody could have the last one sooner: the rule is list scheduling of equal pieces."""
    draw = random.Random(seed)
    rates = [draw.uniform(0.3, 3.0) for _ in range(3)]
    held = [0, 0, 0]
    for _ in range(7):
        held[earliest([0.0] * 3, rates, held)] += 1
    end_s = max(count / rate for count, rate in zip(held, rates, strict=True))
    best_s = min(
        max(plan.count(phone) / rate for phone, rate in enumerate(rates))
        for plan in product(range(3), repeat=7)
    )
    assert end_s == pytest.approx(best_s)


@pytest.mark.parametrize(
    ("rates", "chunks"),
    [
        ((2.0, 3.0, 1.0), 6),
        ((1.0,), 1),
        ((0.37,) * 4, 4),
        ((1.0, 0.0, 2.0), 3),
        ((0.5, 0.25), 3),
        ((1.0, 1.5), 5),
    ],
)
def test_chunks_that_fit_the_rates(rates: tuple[float, ...], chunks: int) -> None:
    assert fitting_chunks(rates, 40, 0.05) == chunks


def test_no_chunks_fit_better_than_those_found() -> None:
    draw = random.Random(2)
    for _ in range(30):
        rates = tuple(draw.uniform(0.2, 3.0) for _ in range(draw.randint(1, 5)))

        def busy(chunks: int, rates: tuple[float, ...] = rates) -> float:
            held = [0] * len(rates)
            for _ in range(chunks):
                held[earliest([0.0] * len(rates), rates, held)] += 1
            end_s = max(count / rate for count, rate in zip(held, rates, strict=True))
            return chunks / (end_s * sum(rates))

        found = fitting_chunks(rates, 30, 0.05)
        shares = [busy(chunks) for chunks in range(1, 31)]
        if max(shares) >= 0.95:
            assert shares[found - 1] >= 0.95 - 1e-9 and all(it < 0.95 + 1e-9 for it in shares[: found - 1])
        else:
            assert shares[found - 1] == pytest.approx(max(shares))


def test_what_phones_have_counts(still: SimpleNamespace) -> None:
    phones = [still.phone(0, 9.0, 1.0, unfinished=2), still.phone(1, 9.0, 1.0)]
    answer = OasisScheduler().assign(still.group(phones), [still.chunk(index) for index in range(4)])
    assert [it.processor for it in answer] == [1, 1, 0, 1]


def test_absent_phones_get_nothing(still: SimpleNamespace) -> None:
    phones = [still.phone(0, 1.0, 1.0), still.phone(1, 9.0, 9.0, present=False)]
    answer = OasisScheduler().assign(still.group(phones), [still.chunk(index) for index in range(3)])
    assert answer == [Assignment(index, 0, 0) for index in range(3)]


def test_two_downloaders_share_in_proportion_to_their_flows(still: SimpleNamespace) -> None:
    # c super-resolves all, a brings 4 chunks/s and b 2
    phones = [still.phone(0, 4.0), still.phone(1, 2.0), still.phone(2, 0.0, 9.0)]
    answer = OasisScheduler().assign(still.group(phones, link=50.0), [still.chunk(i) for i in range(12)])
    assert {it.processor for it in answer} == {2}
    assert [sum(it.downloader == who for it in answer) for who in range(2)] == [8, 4]


def test_plain_chunks_follow_the_downloads(still: SimpleNamespace) -> None:
    phones = [still.phone(0, 2.0, 1.0), still.phone(1, 1.0), still.phone(2, 0.0)]
    chunks = [still.chunk(index, still.PLAIN[0]) for index in range(6)]
    answer = OasisScheduler().assign(still.group(phones), chunks)
    assert all(it.downloader == it.processor for it in answer)
    assert [sum(it.downloader == who for it in answer) for who in range(3)] == [4, 2, 0]
    phones[0].queues[Stage.DOWNLOAD] = 4
    assert OasisScheduler().assign(still.group(phones), chunks[:1])[0].downloader == 1
    held = OasisScheduler().assign(still.group(phones), [still.chunk(0, still.PLAIN[0], holders=(2,))])
    assert held == [Assignment(0, 2, 2)]


def test_a_chunk_that_is_there_already_comes_from_a_holder(still: SimpleNamespace) -> None:
    phones = [still.phone(0, 4.0, 1.0), still.phone(1, 0.0, 2.0), still.phone(2, 0.0, 8.0)]
    view = still.group(phones, link=5.0)
    # the holder would end after 1/2 s, c after 1/5 + 1/8
    assert OasisScheduler().assign(view, [still.chunk(0, holders=(1,))]) == [Assignment(0, 1, 2)]
    phones[2].unfinished = 2
    assert OasisScheduler().assign(view, [still.chunk(0, holders=(1,))]) == [Assignment(0, 1, 1)]
