"""Capacity: bisection to a known answer, what overloads and horizons do to it, what is refused, what is said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pytest

from devices.errors import InputError
from simulator.cli import main
from simulator.commands.scenarios import SHIPPED
from simulator.experiments import capacity as searching
from simulator.experiments.capacity import CapacityStudy, capacity
from simulator.experiments.capacity_search import TOLERANCE, Capacity
from simulator.experiments.capacity_store import read_capacity
from simulator.experiments.execution import Job, Outcome
from simulator.experiments.executors import InProcess
from simulator.experiments.observations import Observations
from simulator.experiments.run_store import Effort
from simulator.experiments.slo import Objective, judge, parse_slo, requests_within
from simulator.viz.folder import draw

POISSON = SHIPPED / "bench" / "poisson.yaml"
SHORT = ("workloads.chat.requests=600",)
NAN = math.nan


@pytest.fixture
def one(tmp_path: Path) -> Callable[..., Capacity]:
    """A function that searches for the capacity of the scenario alone."""

    def search(slo: str, overrides: tuple[str, ...] = (), **options: object) -> Capacity:
        study = capacity(POISSON, slo, {}, overrides, out=tmp_path, **options)  # type: ignore[arg-type]
        [(values, found)] = study.found
        assert values == {}
        return found

    return search


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[float, int]]]:
    """A function that puts one of rate and replication in the place of runs, and returns what was asked for."""

    def pretend(outcome: Callable[[float, int], Outcome]) -> list[tuple[float, int]]:
        asked = []

        def run_jobs(jobs: list[Job], executor: Executor | None) -> list[Outcome]:
            runs = [(job.scenario.workloads["chat"].rate, job.replication) for job in jobs]
            asked.extend(runs)
            return [outcome(*run) for run in runs]

        monkeypatch.setattr(searching, "run_jobs", run_jobs)
        return asked

    return pretend


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


def requests(ttft_s, tpot_s, e2e_s, unanswered=None) -> Observations:
    figures = {"ttft_s.mean": ttft_s, "tpot_s.mean": tpot_s, "e2e_s.mean": e2e_s}
    arrays = {name: np.array(values, dtype=float) for name, values in figures.items()}
    least = {name: np.array(values, dtype=float) for name, values in (unanswered or {}).items()}
    return Observations(np.arange(len(ttft_s)), np.arange(len(ttft_s), dtype=float), arrays, least)


def made_up(
    ttft_s: float, per_s: float = 1.0, overloaded: bool = False, notes: tuple[str, ...] = ()
) -> Outcome:
    """Return the outcome of a run of one request with this TTFT."""
    service = {
        "requests": {"completed": 1, "failed": 0, "unfinished": 0},
        "throughput": {"requests_per_s": per_s},
        "ttft_s": {"p99": ttft_s},
    }
    seen = {"chat": requests([ttft_s], [0.1], [9.0])}
    said = frozenset({"chat"} if overloaded else ())
    return Outcome({"services": {"chat": service}}, seen, notes, None, Effort(0.0, None), said)


def test_a_request_is_within_an_slo_by_its_own_latencies():
    seen = requests([1.0, 3.0, 1.0, 1.0, NAN], [0.1, 0.1, 0.3, NAN, NAN], [5.0, 5.0, 5.0, 1.0, NAN])
    slo = parse_slo("ttft_s.p99<=2,tpot_s.p50<=0.2,throughput.requests_per_s>=3")
    # the third is too slow per token; the fourth has one token; the last was not answered
    within, known = requests_within(slo, seen)
    assert within.tolist() == [True, False, False, True, False]
    assert known.all()
    assert requests_within(parse_slo("e2e_s.p90<=4"), seen)[0].tolist() == [False, False, False, True, False]


def test_a_request_under_way_counts_where_it_is_late():
    """Of four that the end of the run cut off: too late, in time with its first token, too young, impossible."""
    least = {
        "ttft_s.mean": [3.0, 1.0, 0.5, math.inf],
        "tpot_s.mean": [0.0, 0.05, 0.0, math.inf],
        "e2e_s.mean": [3.0, 9.0, 0.5, math.inf],
    }
    seen = requests([1.0, NAN, NAN, NAN, NAN], [0.1] + 4 * [NAN], [5.0] + 4 * [NAN], least)
    for slo, expected in (
        ("ttft_s.p99<=2", [True, True, False, False, True]),
        ("e2e_s.p99<=8", [True, False, True, False, True]),
        ("throughput.requests_per_s>=1", [True, False, False, False, True]),
    ):
        within, known = requests_within(parse_slo(slo), seen)
        assert within.tolist() == [True, False, False, False, False]
        assert known.tolist() == expected
    service = {
        "requests": {"failed": 0},
        "throughput": {"requests_per_s": 1.0},
        "ttft_s": {"p50": 1.0, "p99": 1.0},
    }
    outcome = Outcome({"services": {"chat": service}}, {"chat": seen}, (), None, Effort(0.0, None))
    late = judge(parse_slo("ttft_s.p99<=2"), "chat", outcome)
    assert not late.kept
    assert late.figures["ttft_s.p99"] == pytest.approx(1.0 + 0.99 * 2.0)  # of 1 s and at least 3 s
    assert judge(parse_slo("ttft_s.p50<=2"), "chat", outcome).kept, "half of the requests may be late"
    assert judge(parse_slo("ttft_s.p99<=4"), "chat", outcome).figures["ttft_s.p99"] == 1.0
    service["requests"]["failed"] = 1
    assert not judge(parse_slo("ttft_s.p99<=4"), "chat", outcome).kept


def test_a_horizon_leaves_the_capacity_as_it_is(one):
    whole = one("ttft_s.p99<=1", ("workloads.chat.requests=1500",))
    cut = one("ttft_s.p99<=1", ("horizon=120 s",))
    assert cut.load == pytest.approx(whole.load, rel=0.1)
    rate = one("throughput.requests_per_s>=3.5", ("horizon=60 s",))
    assert next(probe for probe in rate.probes if probe.load == 4.0).kept


@pytest.mark.parametrize("threshold", [0.3, 3.0, 37.0])
def test_bisection_finds_a_threshold(one, pretended, threshold):
    """A service whose TTFT is 1 s below the threshold and 3 s above."""
    pretended(lambda rate, _: made_up(1.0 if rate <= threshold else 3.0))
    found = one("ttft_s.p99<=2")
    assert found.bounded
    assert threshold / (1.0 + TOLERANCE) <= found.load <= threshold
    assert (found.load_interval.mean, found.load_interval.half_width) == (found.load, None)
    loads = [probe.load for probe in found.probes]
    assert loads == sorted(loads)
    assert [probe.kept for probe in found.probes] == [load <= threshold for load in loads]


def test_the_load_has_an_interval_over_the_replications(one, pretended):
    """Three replications whose TTFT passes the limit at 5, 6 and 7 requests per second, so that the mean does at 6."""
    asked = pretended(lambda rate, number: made_up(2.0 * rate / (5.0 + number)))
    found = one("ttft_s.p99<=2", replications=3)
    values = found.load_interval.sample
    for value, threshold in zip(values, (5.0, 6.0, 7.0), strict=True):
        assert threshold / (1.0 + TOLERANCE) <= value <= threshold
    assert found.load_interval.mean == pytest.approx(np.mean(values))
    assert found.load_interval.half_width == pytest.approx(
        4.302652729911275 * np.std(values, ddof=1) / 3**0.5
    )
    assert found.load == pytest.approx(3 / (1 / 5 + 1 / 6 + 1 / 7), rel=TOLERANCE)
    assert len(set(asked)) == len(asked) <= 2 * 3 * len(found.probes), "no run is done twice"
    pretended(lambda rate, number: made_up(3.0 if rate > 6.0 and number else 0.0))
    assert one("ttft_s.p99<=1", replications=2).load_interval.mean is None, "one replication bears any load"


def test_no_load_and_any_load(one, pretended):
    pretended(lambda rate, _: made_up(0.0))
    found = one("ttft_s.p99<=-1")
    assert (found.load, found.bounded, str(found)) == (None, True, "no load tried keeps it")
    found = one("ttft_s.p99<=1")
    assert (found.load, found.bounded) == (4.0 * 2**20, False)
    assert str(found).endswith("/s or more")


def test_the_search_ends_where_less_load_changes_nothing(one, pretended):
    """A service that is idle below 1 request per second, and can do no more than 50."""
    pretended(lambda rate, _: made_up(5.0 + 10.0 * max(rate - 1.0, 0.0), min(rate, 50.0)))
    found = one("ttft_s.p99<=2")
    assert [probe.load for probe in found.probes] == [0.5, 1.0, 2.0, 4.0]
    # far above its capacity the TTFT stays as well, and there the search goes on
    pretended(lambda rate, _: made_up(9.0 if rate > 0.1 else 1.0, min(rate, 0.1)))
    assert one("ttft_s.p99<=2").load == pytest.approx(0.1, rel=TOLERANCE)


def test_an_overloaded_service_keeps_no_slo(one, pretended):
    pretended(
        lambda rate, _: made_up(1.0, overloaded=rate > 6.0, notes=(f"queue of {rate:g}",) if rate > 6 else ())
    )
    found = one("ttft_s.p99<=2")
    assert found.load == pytest.approx(6.0, rel=TOLERANCE)
    assert all(probe.overloaded == (probe.load > 6.0) != probe.kept for probe in found.probes)
    assert {probe.verdict for probe in found.probes} == {"kept", "overloaded"}
    [note] = found.notes
    assert note.startswith("queue of ") and "numbers of the first" in note


def test_the_load_that_is_found_runs_without_a_note_of_overload(capsys, tmp_path):
    few = ["--set", "workloads.chat.requests=500", "--out", str(tmp_path)]
    assert main(["capacity", str(POISSON), "--slo", "ttft_s.p99<=5", *few]) == 0
    said = capsys.readouterr()
    assert "overloaded" in said.out
    assert said.err.count("note: services.chat: overloaded: ") == 1
    [folder] = tmp_path.iterdir()
    [row] = read_capacity(folder)
    above = min(probe["load"] for probe in row["probes"] if probe["overloaded"])
    assert row["load"] < above <= (1.0 + TOLERANCE) * row["load"]
    assert any("overloaded" in note for note in row["notes"])
    for load, expected in ((row["load"], False), (above, True)):
        assert main(["run", str(POISSON), *few, "--set", f"workloads.chat.rate={load!r}/s"]) == 0
        assert ("overloaded" in capsys.readouterr().err) == expected


class Counted(InProcess):
    """Counts how many runs it has been given."""

    def __init__(self) -> None:
        self.given = 0

    def submit(self, fn, /, *args, **kwargs) -> Future:
        self.given += 1
        return super().submit(fn, *args, **kwargs)


def test_variants_run_side_by_side_and_come_to_the_same(tmp_path, monkeypatch):
    vary = {"services.chat.replicas": [1, 2]}
    few = ("workloads.chat.requests=60",)
    rounds = []
    run_jobs = searching.run_jobs
    monkeypatch.setattr(
        searching, "run_jobs", lambda jobs, executor: rounds.append(len(jobs)) or run_jobs(jobs, executor)
    )

    def study(vary: dict[str, list[int]], executor: Executor | None = None) -> CapacityStudy:
        return capacity(POISSON, "ttft_s.p99<=0.2", vary, few, out=tmp_path, executor=executor)

    executor = Counted()
    both = study(vary, executor)
    assert rounds[0] == 2 and sum(rounds) == executor.given
    for (_, found), replicas in zip(both.found, vary["services.chat.replicas"], strict=True):
        assert study({"services.chat.replicas": [replicas]}).found[0][1] == found


def test_a_slower_engine_has_less_capacity_and_the_probes_rise(one):
    slo = "ttft_s.p99<=1"
    fast = one(slo, SHORT)
    slow = one(slo, (*SHORT, "services.chat.model=llama-2-13b"))
    assert slow.load < fast.load
    values = [probe.figures["ttft_s.p99"] for probe in fast.probes]
    assert values[0] < values[-1]
    two = one(slo, (*SHORT, "services.chat.replicas=2", "workloads.chat.requests=1200"))
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


def test_every_fault_is_found_before_the_first_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(searching, "run_jobs", lambda jobs, executor: pytest.fail("something was run"))
    good, place = str(POISSON), "services.chat.policies.batching"
    vary = ["--vary", f"{place}=chunked_prefill,chunked_prefil,fluctuating_budge"]
    assert main(["capacity", good, "--slo", "ttft_s.p99<=1", *vary]) == 2
    said = capsys.readouterr().err
    assert said.count("--vary") == 2 and "chunked_prefil'" in said and "fluctuating_budge'" in said
    for slo in ("ttft_s.p98<=1", "custom.late_shar<=1", "decoding.generations<=1"):
        assert main(["capacity", good, "--slo", f"{slo},e2e_s.p9<=1", "--loads", "0"]) == 2
        said = capsys.readouterr().err
        assert slo.partition("<")[0] in said and "e2e_s.p9'" in said and "is no load" in said
    with pytest.raises(InputError, match="is no load"):
        capacity(POISSON, "ttft_s.p99<=1", {}, out=tmp_path, loads=[math.inf])


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


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "[1]",
        "[{}]",
        '[{"variant": {}, "slo": "x<=1", "unit": "/s", "probes": [{"load": 1}]}]',
        "nan(",
    ],
)
def test_a_broken_file_is_refused(capsys, tmp_path, text):
    assert (
        main(
            [
                "capacity",
                str(POISSON),
                "--slo",
                "ttft_s.p99<=1",
                "--set",
                "workloads.chat.requests=20",
                "--quiet",
                "--out",
                str(tmp_path),
            ]
        )
        == 0
    )
    [folder] = tmp_path.iterdir()
    (folder / "capacity.json").write_text(text)
    assert main(["plot", str(folder), "goodput", "-o", str(tmp_path / "x.svg")]) == 2
    assert "capacity.json" in capsys.readouterr().err


def test_the_interval_of_the_load_is_shown(capsys, tmp_path):
    arguments = ["capacity", str(POISSON), "--slo", "ttft_s.p99<=0.3", "--set", "workloads.chat.requests=150"]
    assert main([*arguments, "--replications", "3", "--quiet", "--out", str(tmp_path)]) == 0
    assert "mean of replications" in (text := capsys.readouterr().out)
    [folder] = tmp_path.iterdir()
    own = read_capacity(folder)[0]["load_interval"]
    assert own["low"] < own["mean"] < own["high"] and own["values"] == 3
    shown = f"{own['mean']:.4g} ± {own['mean'] - own['low']:.2g}"
    assert shown in text
    [legend] = draw(folder, "goodput", None).legends
    assert f"{own['mean']:.3g} ± {own['mean'] - own['low']:.2g})" in legend.get_texts()[0].get_text()
