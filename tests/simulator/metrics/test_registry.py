"""Metrics of the user's own: registered, computed, listed, and without a trace where there are none."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import simulator
from simulator.cli import main
from simulator.core import Table
from simulator.metrics import registry
from simulator.metrics.registry import MetricError, custom_figures, metric, metrics

SCENARIO = Path(__file__).parents[3] / "scenarios/cake/single.yaml"
PLAYER = Path(__file__).parents[3] / "scenarios/oasis/player.yaml"
EMPTY = Table({"arrival_s": "d"})


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that a test registers outlives it."""
    monkeypatch.setattr(registry, "_registry", {})
    registry._load.cache_clear()
    yield
    registry._load.cache_clear()


def longest_wait_s(requests: Table) -> float | None:
    """Longest time until a request was admitted."""
    admitted = requests.column("admitted_s") >= 0.0
    if not admitted.any():
        return None
    return float((requests.column("admitted_s") - requests.column("arrival_s"))[admitted].max())


def test_without_any_a_summary_is_as_before() -> None:
    before = simulator.run(SCENARIO).summary()
    assert "custom" not in before["services"]["chat"]
    metric("longest_wait_s")(longest_wait_s)
    after = simulator.run(SCENARIO).summary()
    assert after["services"]["chat"].pop("custom") == {"longest_wait_s": 0.0}
    assert json.dumps(after) == json.dumps(before)


def test_it_is_in_comparisons_and_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    metric("cached_share")(lambda requests: float(requests.column("loaded_disk_tokens").sum() / 16384))
    path = "services.chat.policies.kv_loading"
    arguments = ["--vary", f"{path}=compute_only,io_only", "--out", str(tmp_path), "--json", "--quiet"]
    assert main(["compare", str(SCENARIO), *arguments]) == 0
    shares = [
        row["summary"]["services"]["chat"]["custom"]["cached_share"]
        for row in json.loads(capsys.readouterr().out)
    ]
    assert shares[0] == 0.0
    assert shares[1] == pytest.approx(1.0, abs=0.01)
    frame = simulator.compare(SCENARIO, {path: ["compute_only", "io_only"]}).frame()
    assert list(frame["services.chat.custom.cached_share"]) == shares

    metric("longest_wait_s")(longest_wait_s)
    assert main(["list", "metrics", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["custom.longest_wait_s"]["definition"] == "llm: Longest time until a request was admitted."


def test_a_kind_sees_its_own_records() -> None:
    metric("phones_count", kind="streaming")(len)
    metric("requests_count")(len)
    run = simulator.run(PLAYER)
    (viewers,) = run.result.viewers.values()
    (service,) = run.summary()["services"].values()
    assert service["custom"] == {"phones_count": float(len(viewers))}
    assert [it.name for it in metrics("llm")] == ["requests_count"]


@pytest.mark.parametrize("name", ["", "p99 wait", "9_s", "wait.s", "wait-s"])
def test_a_name_is_an_identifier(name: str) -> None:
    with pytest.raises(MetricError, match="identifier"):
        metric(name)


def test_there_are_two_kinds() -> None:
    with pytest.raises(MetricError, match="'video'; allowed: llm, streaming"):
        metric("wait_s", kind="video")


def test_a_name_that_is_taken_names_both() -> None:
    metric("wait_s")(longest_wait_s)
    metric("wait_s")(longest_wait_s)  # a notebook's cell run again
    metric("wait_s", kind="streaming")(_nothing)
    with pytest.raises(MetricError, match=r"'wait_s' is defined twice: .*longest_wait_s and .*_nothing"):
        metric("wait_s")(_nothing)


def _nothing(table: Table) -> None:
    """Not defined."""


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, "1", [1.0], np.array([1.0, 2.0]), 1j])
def test_what_is_no_finite_number_is_an_error_that_names_the_metric(value: object) -> None:
    metric("odd_s")(lambda requests: value)  # type: ignore[arg-type, return-value]
    with pytest.raises(MetricError, match="metric 'odd_s' gives"):
        custom_figures("llm", EMPTY)


@pytest.mark.parametrize(
    ("value", "figure"), [(None, None), (3, 3.0), (np.float32(0.5), 0.5), (np.int64(2), 2.0), (True, 1.0)]
)
def test_numbers_and_none_pass(value: float | None, figure: float | None) -> None:
    metric("even_s")(lambda requests: value)
    result = custom_figures("llm", EMPTY)["custom"]["even_s"]
    assert result == figure
    assert type(result) is type(figure)


def test_one_that_raises_fails_its_run_and_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    metric("broken_s")(lambda requests: float(requests.column("no_such_column").sum()))
    assert main(["run", str(SCENARIO), "--out", str(tmp_path), "--quiet"]) == 1
    said = capsys.readouterr()
    assert "summarize: MetricError: metric 'broken_s': CoreError: no column 'no_such_column'" in said.err


def test_plug_ins_are_loaded_once_and_before_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []

    class Entry:
        def load(self) -> Callable[..., object]:
            loads.append("loaded")
            return metric("plugged_s")(longest_wait_s)

    def entry_points(group: str) -> list[Entry]:
        assert group == "hetsim.metrics"
        return [Entry()]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert [it.name for it in metrics()] == ["plugged_s"]
    assert [it.name for it in metrics()] == ["plugged_s"]
    assert loads == ["loaded"]
