"""Answers decoded in several generations: bounds, order, shared KV, memory, other services."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.catalogue import load_profile
from simulator.policies.decoding.plato import Plato
from simulator.policies.decoding.sot import SkeletonOfThought
from simulator.policies.registry import find
from simulator.scenario.spec import DeviceSpec
from simulator.serving.build import step_cost
from simulator.serving.sequence import COMPLETED, FAILED
from simulator.workloads.graphs import AnswerGraph
from simulator.workloads.spec import Stored

RESPECTFUL = ("plato", "plato_no_pipeline", "plato_no_kv_reuse", "graph_oracle")
"""Policies that start no node before its parents are done."""


def graph(tokens: list[int], parents: list[tuple[int, ...]], plan: int = 12) -> AnswerGraph:
    n = len(tokens)
    return AnswerGraph(tuple(tokens), (plan,) * n, tuple(parents), (0.5,) * n, "generic", suitable=True)


SIX = graph([53] * 6, [(), (), (0,), (0, 1), (2,), (3,)])
CHAIN = graph([53] * 6, [(), (0,), (1,), (2,), (3,), (4,)])


def generations(result: Any, service: str = "chat") -> list[dict[str, Any]]:
    table = result.generations[service]
    columns = {name: table.column(name) for name in table.schema}
    rows = [{name: columns[name][i] for name in columns} for i in range(len(table))]
    return sorted(rows, key=lambda row: (row["request"], row["generation"]))


def latency_s(lab: Any, decoding: object, graphs: list[AnswerGraph], **fields: Any) -> float:
    columns = lab.columns(lab.run(lab.scenario(lab.questions(graphs), lab.llm(decoding=decoding, **fields))))
    assert (columns["status"] == COMPLETED).all()
    return float((columns["finish_s"] - columns["arrival_s"]).mean())


def test_nothing_starts_before_what_it_waits_for(lab):
    rng = random.Random(3)
    for _ in range(20):
        answers = [lab.random_graph(rng) for _ in range(4)]
        for policy in ("sot", *RESPECTFUL):
            rows = generations(lab.run(lab.scenario(lab.questions(answers), lab.llm(decoding=policy))))
            by_place = {(row["request"], row["generation"]): row for row in rows}
            for row in rows:
                assert row["ready_s"] <= row["admitted_s"] < row["first_token_s"] <= row["finish_s"]
                for entry in row["after"].split():
                    earlier, tokens = map(int, entry.split(":"))
                    other = by_place[row["request"], earlier]
                    assert row["ready_s"] >= other["first_token_s"]
                    if tokens == other["output_tokens"]:
                        assert row["ready_s"] >= other["finish_s"]


def test_a_node_becomes_ready_in_the_step_in_which_its_entry_ends(lab):
    """Steps of a planner alone are known: the k-th token is out after the prefill and k - 1 decodes."""
    scenario = lab.scenario(
        lab.questions([graph([5, 5, 5], [(), (), ()], plan=20)]), lab.llm(decoding="plato")
    )
    cost = step_cost(scenario.services["chat"], scenario.devices["gpu"])
    planner, first, *_ = generations(lab.run(scenario))
    prompt = int(planner["prompt_tokens"])
    written_s = cost.step_s(prompt, pairs=prompt * (prompt + 1) / 2) + sum(
        cost.step_s(1, 1, prompt + k) for k in range(1, 20)
    )
    assert first["ready_s"] == pytest.approx(written_s, rel=1e-9)


def test_never_above_the_ideal_bound_nor_below_autoregressive_by_more_than_the_plan(lab):
    """Steps are counted, not seconds: a step of several sequences takes longer, and prompts differ in length."""
    rng = random.Random(11)
    for _ in range(150):
        answer = lab.random_graph(rng)
        steps = {}
        for policy in ("autoregressive", *RESPECTFUL):
            result = lab.run(lab.scenario(lab.questions([answer]), lab.llm(decoding=policy)))
            steps[policy] = lab.services["chat"].replicas[0].account.steps
            (category,) = set(lab.columns(result)["category"])
            assert category == answer.category
        prompts = len(answer) + 1  # each is prefilled within one step, which gives a token
        assert steps["autoregressive"] == answer.answer_tokens
        for policy in RESPECTFUL:
            assert steps[policy] >= answer.critical_tokens
            assert steps[policy] <= answer.answer_tokens + sum(answer.plan_tokens) + prompts
        assert steps["graph_oracle"] == answer.critical_tokens
        planned = [sum(answer.plan_tokens[: node + 1]) for node in range(len(answer))]
        # pipelined: the longest way through plan entries and parents, and the plan itself
        ends: list[int] = []
        for node, parents in enumerate(answer.parents):
            ends.append(max([planned[node], *(ends[it] for it in parents)]) + answer.node_tokens[node])
        assert steps["plato"] == max(*ends, planned[-1])
        assert steps["plato_no_pipeline"] == planned[-1] + answer.critical_tokens


def test_in_seconds_plato_costs_at_most_its_plan_and_prompts(lab):
    rng = random.Random(5)
    for _ in range(40):
        answer = lab.random_graph(rng, longest=120)
        scenario = lab.scenario(lab.questions([answer]), lab.llm(decoding="plato"))
        cost = step_cost(scenario.services["chat"], scenario.devices["gpu"])
        context = 20 + answer.answer_tokens + sum(answer.plan_tokens) + 400
        widest_s = cost.step_s(len(answer) + 1, len(answer) + 1, (len(answer) + 1) * context)
        alone_s = latency_s(lab, "autoregressive", [answer])
        # beyond its plan: prompts, and steps that hold more than one sequence
        prefill_s = (len(answer) + 1) * (cost.step_s(512, 0, 0, 512 * context) - cost.step_s(1, 1, context))
        slower = widest_s / cost.step_s(1, 1, 20)
        plan_s = sum(answer.plan_tokens) * widest_s
        planned_s = latency_s(lab, "plato", [answer])
        assert planned_s <= alone_s * slower + plan_s + prefill_s
        ideal = answer.answer_tokens / answer.critical_tokens
        assert alone_s / planned_s <= ideal * (cost.step_s(1, 1, context) / cost.step_s(1, 1, 20))


def test_a_chain_decodes_at_autoregressive_speed_once_its_first_entry_is_written(lab):
    result = lab.run(lab.scenario(lab.questions([CHAIN]), lab.llm(decoding="plato")))
    alone_s = latency_s(lab, "autoregressive", [CHAIN])
    _, *nodes = generations(result)
    assert nodes[-1]["finish_s"] - nodes[0]["ready_s"] == pytest.approx(alone_s, rel=0.02)


def test_kv_is_reused_by_whole_blocks(lab):
    planner, *nodes = generations(lab.run(lab.scenario(lab.questions([SIX]), lab.llm(decoding="plato"))))
    assert planner["resident_tokens"] == 0
    assert planner["computed_tokens"] == planner["prompt_tokens"] == 158 + 20
    for node in nodes:
        assert node["resident_tokens"] % 16 == 0
        assert node["resident_tokens"] + node["computed_tokens"] == node["prompt_tokens"]
    # a root shares instructions, question and the plan so far; its own tail is new
    assert nodes[0]["prompt_tokens"] == 178 + 12 + 30
    assert nodes[0]["resident_tokens"] == (178 + 11) // 16 * 16  # the entry's last token has no KV yet
    # a child shares all that its parent read and wrote
    parent = nodes[0]["prompt_tokens"] + 53
    assert nodes[2]["resident_tokens"] == (parent - 1) // 16 * 16
    bare = generations(lab.run(lab.scenario(lab.questions([SIX]), lab.llm(decoding="plato_no_kv_reuse"))))
    assert sum(row["resident_tokens"] for row in bare) == 0
    assert sum(row["computed_tokens"] for row in bare) == sum(row["prompt_tokens"] for row in bare)


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("prefix_cache", [True, False])
def test_a_prefix_cache_shares_instructions_between_questions_and_an_answer_needs_none(lab, prefix_cache):
    workload = lab.questions([SIX, SIX], arrivals_s=[0.0, 60.0])
    rows = generations(lab.run(lab.scenario(workload, lab.llm(decoding="plato", prefix_cache=prefix_cache))))
    first, second = rows[:7], rows[7:]
    assert second[0]["resident_tokens"] == (158 // 16 * 16 if prefix_cache else 0)
    assert [row["resident_tokens"] for row in first[1:]] == [row["resident_tokens"] for row in second[1:]]
    assert all(row["resident_tokens"] > 0 for row in first[1:])
    assert bool(lab.services["chat"].replicas[0].kv.pool._references) is prefix_cache


def test_points_share_a_prefix_only_if_told_to(lab):
    shared, apart = (
        generations(
            lab.run(lab.scenario(lab.questions([SIX]), lab.llm(decoding=SkeletonOfThought(shared_prefix=it))))
        )
        for it in (True, False)
    )
    prefix = (29 + 20 + 6 * 6) // 16 * 16
    assert [row["resident_tokens"] for row in shared] == [0, 0, *[prefix] * 5]
    assert [row["resident_tokens"] for row in apart] == [0] * 7


def test_shared_blocks_count_once(lab):
    """Six independent nodes at once hold far less than six prompts."""
    answer = graph([200] * 6, [()] * 6)
    most = {}
    for policy in ("plato", "plato_no_kv_reuse"):
        service = lab.llm(decoding=find("decoding", policy)(plan_prompt_tokens=3200))
        result = lab.run(lab.scenario(lab.questions([answer]), service))
        most[policy] = result.intervals["chat"].column("kv_used_blocks").max()
    assert most["plato_no_kv_reuse"] > 6 * 200
    assert most["plato"] < 200 + 6 * (200 + 30 + 16) / 16 + 72 / 16 + 12


@pytest.mark.parametrize(
    ("order", "first"), [("fifo", [1, 2]), ("critical_path_first", [4, 5]), ("shortest_first", [2, 4])]
)
def test_ready_nodes_are_admitted_in_the_order_of_the_policy(lab, order, first):
    """Two may be admitted at a time; node 0 sets five others free at once, node 4 begins the longest chain."""
    answer = graph([10, 40, 10, 30, 20, 45, 60], [(), (0,), (0,), (0,), (0,), (0,), (4,)])
    service = lab.llm(
        decoding="graph_oracle",
        node_order=order,
        batching=find("batching", "chunked_prefill")(max_sequences=2),
    )
    rows = generations(lab.run(lab.scenario(lab.questions([answer]), service)))[1:6]
    earliest = min(row["admitted_s"] for row in rows)
    assert sorted(row["node"] for row in rows if row["admitted_s"] == earliest) == first


def test_critical_path_first_is_no_later_than_shortest_first_here(lab):
    """Five short nodes and one that begins a long chain, two places: list scheduling starts the chain first."""
    answer = graph([5, 30, 30, 30, 30, 31, 90], [(), (0,), (0,), (0,), (0,), (0,), (5,)])
    service = {"batching": find("batching", "chunked_prefill")(max_sequences=2)}
    done = {
        order: latency_s(lab, "graph_oracle", [answer], node_order=order, **service)
        for order in ("critical_path_first", "shortest_first")
    }
    assert done["critical_path_first"] < 0.9 * done["shortest_first"]


def crowded(lab: Any, decoding: object, seed: int, memory: float | None = 18.6e9, **fields: Any) -> Any:
    rng = random.Random(seed)
    answers = [lab.random_graph(rng, longest=150) for _ in range(30)]
    arrivals = sorted(rng.random() for _ in answers)
    workload = lab.questions(answers, arrivals_s=arrivals)
    return lab.scenario(workload, lab.llm(decoding=decoding, **fields), memory=memory)


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("policy", ["sot", "apar_fork", *RESPECTFUL])
def test_memory_balances_and_everybody_finishes_where_memory_is_short(lab, policy):
    preemptions = 0
    for seed in range(6):
        columns = lab.columns(lab.run(crowded(lab, policy, seed)))
        assert (columns["status"] == COMPLETED).all()
        preemptions += columns["preemptions"].sum()
        replica = lab.services["chat"].replicas[0]
        assert replica.kv.pool.private_blocks == 0
        assert not replica.kv._pinned
        assert len(replica.kv.pool._idle) == len(replica.kv.pool._references)
        assert replica.outstanding_tokens == 0
    assert preemptions > 0


def test_a_preemption_costs_what_is_recomputed(lab):
    tight, ample = (lab.run(crowded(lab, "plato", 1, memory)) for memory in (18.6e9, None))
    squeezed, free = lab.columns(tight), lab.columns(ample)
    assert squeezed["preemptions"].sum() > 0 == free["preemptions"].sum()
    assert squeezed["computed_tokens"].sum() > free["computed_tokens"].sum()
    # a victim prefills again what was not kept: at least its own tail, at most all that it had read and written
    again = (squeezed["computed_tokens"] - free["computed_tokens"])[squeezed["preemptions"] > 0]
    assert (again > 0).all()
    assert (squeezed["finish_s"] - free["finish_s"]).mean() > 0.0


def test_pins_keep_what_a_waiting_node_goes_on_from(lab, monkeypatch):
    """Prompts of others flood the cache between two nodes; without pins the second one computes everything anew."""
    answer = graph([400, 20, 20], [(), (), (0, 1)])
    questions = lab.questions([answer], prompt_tokens=4000)
    # node 1 (generation 2) ends long before node 0; node 2 reads both and waits
    flood = lab.trace(
        [(0.5 + 0.2 * i, 2000, 1, [10_000 * i + k for k in range(125)]) for i in range(30)],
        hash_block_tokens=16,
    )

    def found() -> int:
        scenario = lab.scenario(
            {"asked": questions, "flood": flood}, lab.llm(decoding="graph_oracle"), memory=22e9
        )
        return int(generations(lab.run(scenario))[2]["resident_tokens"])

    pinned = found()
    assert pinned >= 4000
    monkeypatch.setattr("simulator.serving.kv_manager.KvManager.pin", lambda self, owner, ids: None)
    assert found() < pinned


def test_what_can_never_be_served_fails_and_the_rest_goes_on(lab):
    huge = graph([60_000, 20], [(), (0,)])
    columns = lab.columns(
        lab.run(lab.scenario(lab.questions([huge, SIX]), lab.llm(decoding="plato"), memory=20e9))
    )
    assert columns["status"].tolist() == [FAILED, COMPLETED]


def test_easy_nodes_are_decoded_by_another_service(lab):
    answer = AnswerGraph((50, 50, 50), (12, 12, 12), ((), (), (0, 1)), (0.1, 0.9, 0.2), "generic")
    services = {
        "chat": lab.llm(decoding=Plato(easy_below=0.5, easy_service="small"), model="vicuna-33b"),
        "small": lab.llm(model="vicuna-7b"),
    }
    scenario = lab.scenario(
        lab.questions([answer]), devices={"gpu": DeviceSpec("a100-80g-sxm")}, services=services
    )
    rows = generations(lab.run(scenario))
    assert [row["decoded_by"] for row in rows] == ["chat", "small", "chat", "small"]
    # the smaller model has none of the larger one's KV
    assert rows[1]["resident_tokens"] == 0
    assert rows[1]["computed_tokens"] == rows[1]["prompt_tokens"]
    same = lab.scenario(lab.questions([answer]), lab.llm(decoding="plato", model="vicuna-33b"))
    mixed_s, alone_s = (float(lab.columns(lab.run(it))["finish_s"][0]) for it in (scenario, same))
    assert mixed_s < alone_s


@pytest.mark.parametrize("kv_loading", ["compute_only", "io_only", "cake"])
@pytest.mark.parametrize("decoding", ["autoregressive", "sot", "plato", "graph_oracle"])
def test_stored_context_is_loaded_by_the_policy_that_loads(lab, kv_loading, decoding):
    """A long prompt whose KV is stored: whoever reads it first loads it, the nodes find it in GPU memory."""
    workload = lab.questions([SIX], prompt_tokens=8192, stored=Stored("disk"))
    tiers = {"disk": DeviceSpec("nvme-gen4")}
    service = lab.llm(kv_loading, decoding=decoding, kv_tiers=("disk",))
    result = lab.run(lab.scenario(workload, service, tiers=tiers))
    columns = lab.columns(result)
    assert columns["status"].tolist() == [COMPLETED]
    loaded = int(columns["loaded_disk_tokens"][0])
    assert loaded == 0 if kv_loading == "compute_only" else loaded > 0
    assert loaded <= 8192
    if decoding in ("plato",):
        planner, *nodes = generations(result)
        assert all(node["resident_tokens"] >= 8192 - 16 for node in nodes)
        assert planner["computed_tokens"] >= 158


def test_closed_form_equals_single_steps(lab):
    rng = random.Random(23)
    for number in range(60):
        answers = [lab.random_graph(rng) for _ in range(rng.randint(1, 12))]
        arrivals = sorted(rng.random() * 2 for _ in answers)
        policy = rng.choice(["sot", "apar_fork", *RESPECTFUL])
        service = lab.llm(
            decoding=policy,
            node_order=rng.choice(["fifo", "critical_path_first", "shortest_first"]),
            batching=find("batching", "chunked_prefill")(
                token_budget=rng.choice([64, 512]), max_sequences=rng.choice([None, 2, 5])
            ),
            replicas=rng.choice([1, 2]),
        )
        scenario = lab.scenario(
            lab.questions(answers, arrivals_s=arrivals), service, horizon=rng.choice([None, 1.5, 3.0])
        )
        if number % 3 == 0:  # and another service decodes a part
            policy = Plato(easy_below=0.5, easy_service="small", call_overhead=rng.choice([0.0, 0.4]))
            services = {"chat": lab.llm(decoding=policy), "small": lab.llm(model="llama-3.1-8b")}
            scenario = replace(scenario, services=services)
        fast, slow = lab.columns(lab.run(scenario)), lab.columns(lab.run(scenario, step_by_step=True))
        for name, values in fast.items():
            if values.dtype.kind in "fiu":
                np.testing.assert_allclose(values, slow[name], rtol=1e-9, err_msg=f"{policy}: {name}")


def test_requests_without_a_graph_and_with_one_share_a_service(lab):
    chat = lab.trace([(0.1 * i, 300, 50) for i in range(20)])
    scenario = lab.scenario({"asked": lab.questions([SIX] * 3), "chat": chat}, lab.llm(decoding="plato"))
    result = lab.run(scenario)
    table = result.requests["chat"]
    assert len(table) == 23
    plain = table.column("workload") == "chat"
    assert (table.column("generations")[plain] == 1).all()
    assert (table.column("generations")[~plain] == 7).all()
    assert (table.column("planned")[plain] == 0).all()
    summary = result.summary()["services"]["chat"]
    assert summary["requests"]["completed"] == 23
    assert summary["decoding"]["generations"] == 7  # of those that have graphs
    assert (table.column("answer_tokens")[plain] == 0).all()
    assert "surrogate" in summary["decoding"]["quality_surrogate"]["what"]


def test_energy_is_that_of_the_steps(lab):
    scenario = lab.scenario(lab.questions([SIX] * 4), lab.llm(decoding="plato"))
    result = lab.run(scenario)
    replica = lab.services["chat"].replicas[0]
    idle_j = load_profile("a100-80g-sxm").idle_w * (result.simulated_s - replica.account.busy_s)
    assert result.devices["gpu"].energy_j == pytest.approx(replica.account.busy_j + idle_j)


def test_a_run_that_stops_early_records_what_is_under_way(lab):
    scenario = lab.scenario(lab.questions([SIX] * 2), lab.llm(decoding="plato"), horizon=1.0)
    result = lab.run(scenario)
    columns = lab.columns(result)
    assert (columns["status"] == 0).all()
    rows = generations(result)
    assert {row["status"] for row in rows} == {0, 1}
    assert all(row["finish_s"] == -1.0 for row in rows if not row["status"])


def test_what_was_on_its_way_when_a_run_stops_has_no_row(lab):
    service = lab.llm(decoding=Plato(call_overhead=2.0))
    rows = generations(lab.run(lab.scenario(lab.questions([SIX] * 3, [0.5] * 3), service, horizon=1.5)))
    assert rows
    assert all(row["ready_s"] >= 0.5 for row in rows)


def test_generations_may_go_before_requests_that_wait(lab):
    """One place: the second question waits, or its planner comes between the first one's planner and nodes."""
    answer = graph([20, 20], [(), (0,)])

    def order_of_ends(ahead: bool) -> list[tuple[int, int]]:
        service = lab.llm(
            decoding="plato_no_pipeline",
            node_order=find("node_order", "fifo")(ahead_of_requests=ahead),
            batching=find("batching", "chunked_prefill")(max_sequences=1),
        )
        rows = generations(lab.run(lab.scenario(lab.questions([answer, answer]), service)))
        return [(row["request"], row["generation"]) for row in sorted(rows, key=lambda row: row["finish_s"])]

    assert order_of_ends(ahead=False) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    assert order_of_ends(ahead=True) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def anything(lab: Any, seed: int) -> Any:
    """Answers in parts among plain requests, with tiers, little memory, several replicas, any policies."""
    rng = random.Random(seed)
    answers = [lab.random_graph(rng, longest=120) for _ in range(15)]
    names = rng.choice([(), ("disk",), ("dram", "disk")])
    profiles = {"dram": "dram-pcie4", "disk": "nvme-gen4"}
    stored = Stored(rng.choice(names), share=rng.choice([0.5, 1.0])) if names and rng.random() < 0.7 else None
    block = rng.choice([16, 64])
    workloads = {
        "asked": lab.questions(
            answers,
            arrivals_s=sorted(rng.random() for _ in answers),
            prompt_tokens=rng.choice([5, 300, 900]),
            stored=stored,
            hash_block_tokens=block,
        ),
        "chat": lab.trace(
            [(0.1 * i, rng.randint(1, 700), rng.randint(1, 200)) for i in range(rng.choice([1, 15]))],
            hash_block_tokens=block,
        ),
    }
    service = lab.llm(
        rng.choice(["compute_only", "io_only", "cake", "cake_with_fallback", "layerwise"]),
        decoding=rng.choice(["sot", "apar_fork", *RESPECTFUL]),
        node_order=find("node_order", rng.choice(["fifo", "critical_path_first", "shortest_first"]))(
            ahead_of_requests=rng.random() < 0.5
        ),
        batching=find("batching", "chunked_prefill")(max_sequences=rng.choice([None, 3])),
        kv_tiers=names,
        kv_write=rng.choice(["write_back", "write_through"]),
        prefix_cache=rng.random() < 0.7,
        replicas=rng.choice([1, 2]),
    )
    return lab.scenario(
        workloads,
        service,
        memory=rng.choice([18.6e9, 19.5e9, None]),
        tiers={name: DeviceSpec(profiles[name], capacity=rng.choice([1e9, 50e9])) for name in names},
        horizon=rng.choice([None, None, 2.0]),
    )


@pytest.mark.usefixtures("guarded")
def test_anything_goes_together(lab):
    preemptions = loaded = 0
    for seed in range(150):
        scenario = anything(lab, seed)
        columns = lab.columns(lab.run(scenario))
        preemptions += int(columns["preemptions"].sum())
        loaded += sum(int(columns[name].sum()) for name in columns if name.startswith("loaded_"))
        if scenario.horizon is not None:
            continue
        assert set(columns["status"]) <= {COMPLETED, FAILED}
        for replica in lab.services["chat"].replicas:
            assert replica.kv.pool.private_blocks == 0
            assert not replica.kv._pinned
            assert len(replica.kv.pool._idle) == len(replica.kv.pool._references)
            assert not (replica.queue.waiting or replica.batch.admitted or replica._arrived)
            assert replica.outstanding_tokens == 0
    assert preemptions > 20
    assert loaded > 1000
