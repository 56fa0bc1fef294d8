"""The benchmark: costs in timeouts of the same run, beside those on record, and which limits are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.bench import __main__ as command
from simulator.bench import measure as measuring
from simulator.bench.baseline import compared, read_baseline, write_baseline
from simulator.bench.cases import (
    CAMPUS,
    CASES,
    DAY,
    LONG_PROMPTS,
    MANY_REPLICAS,
    MILLION,
    PHONES,
    Case,
    poisson,
    served,
    shipped,
    watched_alone,
    watched_together,
)
from simulator.bench.limits import LIMITS, judged
from simulator.bench.measure import Row, measure


def row(case: Case, timeouts: float, memory_bytes: int | None = 2**29) -> Row:
    return Row(case.name, case.unit, timeouts, timeouts, timeouts, 1e6 / timeouts, memory_bytes)


def test_costs_are_stated_in_timeouts_of_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "yardstick_s", lambda: 1e-6)
    small = served("poisson", lambda: poisson(1, 20))
    for case in (small, watched_together(1), watched_alone("bola", 2)):
        found = measure(case, 1)
        assert (found.case, found.unit) == (case.name, case.unit)
        assert found.least == found.timeouts == found.most
        assert found.timeouts * found.per_cpu_s == pytest.approx(1e6)


def test_each_repeat_stands_between_two_yardsticks(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    clock_s = iter([0.0, 10.0, 20.0, 30.0, 40.0, 44.0])  # the case takes 10 s, 10 s and 4 s
    yardsticks_s = iter([1.0, 3.0, 1.0, 1.0])
    monkeypatch.setattr(measuring.time, "process_time", lambda: next(clock_s))
    monkeypatch.setattr(measuring, "yardstick_s", lambda: done.append("yardstick") or next(yardsticks_s))
    found = measure(Case("case", "unit", lambda: lambda: done.append("case") or 2), 3)
    assert done == ["case", "yardstick", "case", "yardstick", "case", "yardstick", "case", "yardstick"]
    assert (found.least, found.timeouts, found.most) == (2.0, 2.5, 2.5)  # 4/2/1, 10/2/2, 10/2/2


@pytest.mark.parametrize(
    ("case", "units"),
    [
        (served("poisson", lambda: poisson(2, 30)), 30),
        (watched_together(1), 1800),
        (shipped("campus", "cluster/campus.yaml", ["horizon=3 s"]), 3),
    ],
)
def test_runs_count_what_their_cost_is_stated_per(case: Case, units: int) -> None:
    assert case.prepare()() == units


def test_costs_stand_beside_the_baseline(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    assert read_baseline(file) == {}
    write_baseline({"interpreted": [row(MANY_REPLICAS, 40.0)], "compiled": [row(MANY_REPLICAS, 20.0)]}, file)
    write_baseline({"compiled": [row(PHONES, 30.0)]}, file)  # what was not measured stays
    assert read_baseline(file) == {
        "interpreted": {MANY_REPLICAS.name: 40.0},
        "compiled": {MANY_REPLICAS.name: 20.0, PHONES.name: 30.0},
    }
    rows = [row(MANY_REPLICAS, 50.0), row(PHONES, 27.0), row(MILLION, 60.0, None)]
    table = compared(rows, read_baseline(file)["compiled"]).splitlines()
    assert "baseline  change" in table[0]
    for line, cells in zip(table[1:], (["20.0", "+150", "%"], ["30.0", "-10", "%"], ["-", "-"]), strict=True):
        assert line.split()[-2 - len(cells) : -2] == cells
    assert table[-1].split()[-1] == "-"  # a system that does not tell memory


def test_limits_are_kept_or_missed() -> None:
    rows = [row(MANY_REPLICAS, 20.0), row(MILLION, 23.1), row(LONG_PROMPTS, 150.1), row(PHONES, 24.9)]
    rows += [row(CAMPUS, 30_000.0), row(DAY, 3_500.0)]  # microseconds of CPU time per simulated second
    verdicts = [line.split()[-3:] for line in judged(rows).splitlines()[1:]]
    assert verdicts == [
        ["20.00", "20", "kept"],
        ["1.16", "1.15", "missed"],
        ["0.50", "1.5", "kept"],
        ["150.10", "150", "missed"],
        ["24.90", "25", "kept"],
        ["108.00", "120", "kept"],
        ["12.60", "12.5", "missed"],
    ]
    assert judged([row(MILLION, 23.0, None)]).split()[-3:] == [
        "nan",
        "1.5",
        "missed",
    ]  # not known is not kept
    assert judged([row(CASES[-1], 1.0)]) == ""


def test_the_command_stores_rows_and_rewrites_the_baseline_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    monkeypatch.setattr(command, "measure_apart", lambda root, case, repeats: row(case, 10.0))
    monkeypatch.setattr(command, "write_baseline", written.append)
    file = tmp_path / "new" / "bench.json"
    arguments = ["--interpreted", "--case", "poisson", "--json", str(file)]
    assert command.main(arguments) == 0
    assert not written
    stored = json.loads(file.read_text())
    assert [one["case"] for one in stored["interpreted"]] == [
        case.name for case in CASES if "poisson" in case.name
    ]
    assert capsys.readouterr().out.count("kept") == 4
    assert command.main([*arguments, "--write-baseline"]) == 0
    assert list(written[0]) == ["interpreted"]
    with pytest.raises(SystemExit):
        command.main(["--case", "no such case"])


def test_the_baseline_names_cases_that_there_are() -> None:
    names = {case.name for case in CASES}
    baseline = read_baseline()
    assert set(baseline) == {"interpreted", "compiled"}
    for costs in baseline.values():
        assert costs.keys() <= names
        assert {limit.cases[0].name for limit in LIMITS} & costs.keys()
