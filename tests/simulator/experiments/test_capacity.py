"""Capacity: bisection to a known answer, what is refused, what is said."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from devices.errors import InputError
from simulator.cli import main
from simulator.commands.scenarios import SHIPPED
from simulator.experiments import capacity as searching
from simulator.experiments.capacity import TOLERANCE, Objective, capacity, parse_slo, requests_within
from simulator.experiments.capacity_store import read_capacity
from simulator.experiments.execution import Observations, Outcome
from simulator.experiments.run_store import Effort

POISSON = SHIPPED / "bench" / "poisson.yaml"
SHORT = ("workloads.chat.requests=600",)


def test_an_slo_is_read_term_by_term():
    assert parse_slo("ttft_s.p99<=2, throughput.requests_per_s >= 1.5") == (
        Objective("ttft_s.p99", 2.0),
        Objective("throughput.requests_per_s", 1.5, at_least=True),
    )
    assert Objective("x", 2.0).kept(2.0)
    assert not Objective("x", 2.0).kept(None)
    assert Objective("x", 2.0, at_least=True).kept(3.0)
    with pytest.raises(InputError) as error:
        parse_slo("ttft_s.p99<2,e2e_s.mean<=fast,tpot_s.p50<=0.1")
    assert len(error.value.faults) == 2


def requests(ttft_s, tpot_s, e2e_s) -> Observations:
    figures = {"ttft_s.mean": ttft_s, "tpot_s.mean": tpot_s, "e2e_s.mean": e2e_s}
    arrays = {name: np.array(values, dtype=float) for name, values in figures.items()}
    return Observations(np.arange(len(ttft_s)), np.arange(len(ttft_s), dtype=float), arrays)


def made_up(ttft_s: float) -> Outcome:
    """Return the outcome of a run of one request with this TTFT."""
    service = {
        "requests": {"completed": 1, "failed": 0, "unfinished": 0},
        "throughput": {"requests_per_s": 1.0},
        "ttft_s": {"p99": ttft_s},
    }
    seen = {"chat": requests([ttft_s], [0.1], [9.0])}
    return Outcome({"services": {"chat": service}}, seen, (), None, Effort(0.0, None))


def test_a_request_is_within_an_slo_by_its_own_latencies():
    nan = math.nan
    seen = requests([1.0, 3.0, 1.0, 1.0, nan], [0.1, 0.1, 0.3, nan, nan], [5.0, 5.0, 5.0, 1.0, nan])
    slo = parse_slo("ttft_s.p99<=2,tpot_s.p50<=0.2,throughput.requests_per_s>=3")
    # the third is too slow per token; the fourth has one token; the last was not answered
    assert requests_within(slo, seen).tolist() == [True, False, False, True, False]
    assert requests_within(parse_slo("e2e_s.p90<=4"), seen).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("threshold", [0.3, 3.0, 37.0])
def test_bisection_finds_a_threshold(monkeypatch, threshold):
    """A service whose TTFT is 1 s below the threshold and 3 s above."""

    def outcome(job):
        rate = job.scenario.workloads["chat"].rate
        return made_up(1.0 if rate <= threshold else 3.0)

    monkeypatch.setattr(searching, "run_jobs", lambda jobs, executor: [outcome(job) for job in jobs])
    found = capacity(POISSON, parse_slo("ttft_s.p99<=2"))
    assert found.bounded
    assert threshold / (1.0 + TOLERANCE) <= found.load <= threshold
    loads = [probe.load for probe in found.probes]
    assert loads == sorted(loads)
    assert [probe.kept for probe in found.probes] == [load <= threshold for load in loads]


def test_no_load_and_any_load(monkeypatch):
    for limit, load, bounded in ((-1.0, None, True), (math.inf, 4.0 * 2**20, False)):
        monkeypatch.setattr(searching, "run_jobs", lambda jobs, executor: [made_up(0.0)])
        found = capacity(POISSON, (Objective("ttft_s.p99", limit),))
        assert (found.load, found.bounded) == (load, bounded)


def test_a_slower_engine_has_less_capacity_and_the_probes_rise():
    slo = parse_slo("ttft_s.p99<=1")
    fast = capacity(POISSON, slo, SHORT)
    slow = capacity(POISSON, slo, (*SHORT, "services.chat.model=llama-2-13b"))
    assert slow.load < fast.load
    values = [probe.figures["ttft_s.p99"] for probe in fast.probes]
    assert values[0] < values[-1]
    two = capacity(POISSON, slo, (*SHORT, "services.chat.replicas=2", "workloads.chat.requests=1200"))
    assert two.load == pytest.approx(2.0 * fast.load, rel=0.15)


def test_what_cannot_be_searched_is_refused(capsys, tmp_path):
    def refused(*arguments: str) -> str:
        assert main(["capacity", *arguments, "--quiet", "--out", str(tmp_path / "out")]) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    slo = ("--slo", "ttft_s.p99<=1")
    assert "nearest: ttft_s.p99" in refused(str(POISSON), "--slo", "ttft_s.p9<=1", "--set", SHORT[0])
    assert "unknown workload" in refused(str(POISSON), *slo, "--workload", "chta")
    assert "has no rate" in refused(str(SHIPPED / "cake" / "single.yaml"), *slo)
    assert "several workloads" in refused(str(SHIPPED / "plato" / "mixed.yaml"), *slo)
    assert "--slo" in refused(str(POISSON), "--slo", "fast")
    for loads in ("1,fast", "0", "-1", "nan", "1e999"):
        assert "is no load" in refused(str(POISSON), *slo, "--loads", loads)


def test_the_command_prints_and_writes_each_variant(capsys, tmp_path):
    arguments = ["capacity", str(POISSON), "--slo", "ttft_s.p99<=1", "--set", SHORT[0], "--quiet"]
    arguments += ["--out", str(tmp_path)]
    vary = [
        "--vary",
        "services.chat.policies.batching={name: chunked_prefill, token_budget: 256},chunked_prefill",
    ]
    assert main([*arguments, *vary]) == 0
    text = capsys.readouterr().out
    assert "Highest load that keeps ttft_s.p99<=1" in text
    [folder] = tmp_path.iterdir()
    assert [row["variant"] for row in read_capacity(folder)] == [
        {"services.chat.policies.batching": value}
        for value in ("{name: chunked_prefill, token_budget: 256}", "chunked_prefill")
    ]
    assert main([*arguments, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["bounded"]
    assert row["load"] == max(probe["load"] for probe in row["probes"] if probe["kept"])
