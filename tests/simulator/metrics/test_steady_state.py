"""Warm-up removal: MSER-5 against series whose transient is known, and what a scenario's `warmup` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from devices.errors import InputError
from simulator.cli import main
from simulator.metrics.steady_state import LEAST_BATCHES, Truncation, mser5
from simulator.scenario import load_text
from simulator.scenario.schema import json_schema
from simulator.world import RunResult, simulate

SCENARIO = """\
version: 1
name: small
devices:
  gpu: {profile: a100-80g-sxm, count: 1}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu}
workloads:
  chat: {trace: synthetic, service: chat, rate: 2/s, requests: 120, input_tokens: 1024, output_tokens: 16}
"""


def autoregressive(seed: int, values: int, phi: float = 0.5) -> NDArray[np.float64]:
    """Return a stationary AR(1) series of mean 0 with unit innovations."""
    random = np.random.default_rng(seed)
    series = np.empty(values)
    last = random.normal() / np.sqrt(1 - phi**2)
    for place, innovation in enumerate(random.normal(size=values)):
        last = series[place] = phi * last + innovation
    return series


def run(*overrides: str) -> RunResult:
    return simulate(load_text(SCENARIO, overrides))


def chat(result: RunResult) -> dict[str, Any]:
    services: Any = result.summary()["services"]
    return dict(services["chat"])


def test_a_transient_is_left_out_and_nothing_else() -> None:
    transient = 10.0 * np.clip(1.0 - np.arange(1000) / 200, 0.0, None)
    found = [mser5(autoregressive(seed, 1000) + transient) for seed in range(60)]
    assert np.mean([it.reached for it in found]) > 0.95
    assert 150 < np.mean([it.left_out for it in found]) < 230, (
        "its last values are hardly to be told from noise"
    )
    without = [mser5(autoregressive(seed, 1000)) for seed in range(60)]
    assert np.median([it.left_out for it in without]) == 0
    assert np.mean([it.left_out for it in without]) < 30


def test_truncation_is_where_the_standard_error_is_least() -> None:
    values = autoregressive(7, 203) + np.where(np.arange(203) < 37, 4.0, 0.0)
    means = values[:200].reshape(40, 5).mean(axis=1)
    errors = [np.var(means[left_out:]) / (40 - left_out) for left_out in range(36)]
    assert mser5(values) == Truncation(5 * int(np.argmin(errors)), True)
    assert mser5(values + 1e9).left_out == mser5(values).left_out, "whatever the mean"


def test_a_trend_is_no_steady_state() -> None:
    found = [mser5(autoregressive(seed, 1000, 0.0) + 0.01 * np.arange(1000)) for seed in range(40)]
    assert not any(it.reached for it in found)
    assert {it.left_out for it in found} == {0}
    assert not mser5(np.arange(1000.0)).reached


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_a_constant_series_is_steady_from_the_start(value: float) -> None:
    assert mser5(np.full(1000, value)) == Truncation(0, True)


def test_a_short_series_claims_nothing() -> None:
    assert mser5(np.ones(5 * LEAST_BATCHES - 1)) == Truncation(0, False)
    assert mser5(np.ones(5 * LEAST_BATCHES)).reached
    assert not mser5(np.empty(0)).reached


def test_by_default_nothing_changes() -> None:
    assert "steady_state" not in chat(run())
    assert run("warmup=none").summary() == run().summary()
    everything = chat(run("warmup=0 s"))
    assert everything.pop("steady_state") == {"from_s": 0.0, "left_out": 0, "reached": True}
    assert everything == chat(run())


def test_a_time_leaves_out_what_arrives_before_it() -> None:
    result = run("warmup=20 s")
    requests = result.requests["chat"]
    arrival_s, finish_s = requests.column("arrival_s"), requests.column("finish_s")
    kept = arrival_s >= 20.0
    figures, whole = chat(result), chat(run())
    assert figures["steady_state"] == {"from_s": 20.0, "left_out": int((~kept).sum()), "reached": True}
    assert figures["requests"] == whole["requests"], "all are counted"
    assert figures["cache"] == whole["cache"]
    assert figures["e2e_s"]["mean"] == pytest.approx((finish_s - arrival_s)[kept].mean())
    span_s = finish_s[kept].max() - arrival_s[kept].min()
    assert figures["throughput"]["requests_per_s"] == pytest.approx(kept.sum() / span_s)
    assert figures["throughput"]["output_tokens_per_s"] == pytest.approx(16 * kept.sum() / span_s)


def test_where_nothing_is_left_there_are_no_figures() -> None:
    figures = chat(run("warmup=1 h"))
    assert figures["steady_state"] == {"from_s": 3600.0, "left_out": 120, "reached": False}
    assert figures["e2e_s"]["mean"] is None and figures["throughput"]["requests_per_s"] is None


def test_mser5_looks_at_e2e_in_order_of_arrival() -> None:
    result = run("warmup=mser5", "workloads.chat.rate=8/s", "workloads.chat.requests=400")
    requests = result.requests["chat"]
    order = np.argsort(requests.column("arrival_s"), kind="stable")
    arrival_s, finish_s = requests.column("arrival_s")[order], requests.column("finish_s")[order]
    expected = mser5(finish_s - arrival_s)
    assert expected.reached
    found = chat(result)["steady_state"]
    assert (found["left_out"], found["reached"]) == (expected.left_out, True)
    assert found["from_s"] == (arrival_s[expected.left_out] if expected.left_out else 0.0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("mser4", "'mser4' is not allowed; allowed: none, mser5; nearest: mser5"),
        ("5 mins", "unknown unit 'mins'"),
        ("-1 s", "out of range"),
        ("true", "true is not a quantity"),
        ("[1]", "a list is not a quantity"),
        ("", "an empty value is not a quantity"),
    ],
)
def test_a_malformed_warm_up_is_refused(value: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_text(SCENARIO, [f"warmup={value}"])
    (fault,) = caught.value.faults
    assert fault.path == "warmup" and message in fault.message


def test_the_schema_has_it_and_the_command_line_refuses_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = json_schema()["properties"]["warmup"]["oneOf"][1]
    assert words == {"enum": ["none", "mser5"], "type": "string"}
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO + "warmup: mser\n")
    assert main(["run", str(path)]) == 2
    assert "small.yaml:9:9: warmup: 'mser' is not allowed" in capsys.readouterr().err
    path.write_text(SCENARIO + "warmup: 5 s\n")
    assert main(["run", str(path), "--json", "--quiet", "--out", str(tmp_path / "runs")]) == 0
    assert json.loads(capsys.readouterr().out)["services"]["chat"]["steady_state"]["from_s"] == 5.0
    (folder,) = (tmp_path / "runs").iterdir()
    assert "warmup: 5" in (folder / "scenario.resolved.yaml").read_text()
