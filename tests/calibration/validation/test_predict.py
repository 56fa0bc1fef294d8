"""From measurements to predictions, on a machine that we make up: no torch, and the truth is known."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from calibration.bench.gemm import matrices
from calibration.table import Measurement, write_measurements
from calibration.validation.__main__ import main
from calibration.validation.measure import full_study
from calibration.validation.predict import (
    Part,
    median_error,
    model_named,
    predict,
    rankings,
    request_scenario,
    worst_error,
)
from calibration.validation.real_cake import BENCH, POLICIES, stored_tokens
from calibration.validation.report import TARGETS, draw, report
from devices.errors import InputError

STUDY = full_study()
SHAPE = model_named(STUDY.shape.name)
PROMPTS, CHUNK, IO_CHUNK = (1024, 4096), 512, 128
BANDWIDTHS = (15e6, 30e6, 60e6)
READ, KV_READ, RATE, ATTENTION, LAYER_S = 1e10, 8e9, 1.5e11, 9e10, 2e-4


def gemm_s(m: float, n: float, k: float) -> float:
    """Time of a product on our machine: reading and arithmetic, one after the other."""
    return 4 * n * k / READ + 2 * m * n * k / RATE


def prefill_attention_s(new: float, prefix: float) -> float:
    pairs = new * (prefix + (new + 1) / 2)
    return 4 * SHAPE.attention_heads * SHAPE.head_dim * pairs / ATTENTION


def decode_attention_s(batch: float, context: float) -> float:
    return batch * context * SHAPE.kv_bytes_per_token / SHAPE.layers / KV_READ


def step_s(batch: float, context: float, chunk: float, prefix: float) -> float:
    *layer, (n, k) = matrices(SHAPE)
    layer_s = sum(gemm_s(batch + chunk, *matrix) for matrix in layer) + LAYER_S
    layer_s += prefill_attention_s(chunk, prefix) + decode_attention_s(batch, context + 1)
    return SHAPE.layers * layer_s + gemm_s(max(1, batch), n, k)


def ttft_s(policy: str, prompt: int, bandwidth: float) -> float:
    """TTFT of a request on our machine, step by step."""
    stored = stored_tokens(prompt)
    record_s = IO_CHUNK * SHAPE.kv_bytes_per_token / bandwidth
    if policy == "io_only":
        return stored / IO_CHUNK * record_s + step_s(0, 0, prompt - stored, stored)
    time_s, position = 0.0, 0
    while position < prompt:
        end = min(position + CHUNK, prompt)
        time_s += step_s(0, 0, end - position, position)
        position = end
        if policy == "cake" and stored - int(time_s / record_s) * IO_CHUNK <= position < stored:
            position = stored
    return time_s


def row(bench: str, role: str, value: float, **parameters: float | str) -> Measurement:
    common: dict[str, float | str] = {"role": role, "threads": 1, "precision": "fp32"}
    unit = "B/s" if bench == "copy" else "s"
    return Measurement(bench, "imaginary", common | parameters, "latency", unit, value, 0.0, (value,))


def imaginary_rows() -> list[Measurement]:
    """What would be measured on our machine at the points of the study."""
    heads = {"heads": SHAPE.attention_heads, "kv_heads": SHAPE.kv_heads, "head_dim": SHAPE.head_dim}
    rows = [row("copy", "calibration", READ / 2, direction="h2h", block_bytes=2**26)]
    for (n, k), m in itertools.product(matrices(SHAPE), STUDY.gemm_tokens):
        rows.append(row("gemm", "calibration", gemm_s(m, n, k), m=m, n=n, k=k))
    for new, prefix in STUDY.attention:
        value = prefill_attention_s(new, prefix)
        rows.append(
            row(
                "attention_prefill",
                "calibration",
                value,
                batch=1,
                new_tokens=new,
                prefix_tokens=prefix,
                **heads,
            )
        )
    for batch, context in STUDY.decode_attention:
        value = decode_attention_s(batch, context)
        rows.append(
            row("attention_decode", "calibration", value, batch=batch, context_tokens=context, **heads)
        )
    points = [("calibration", 0, 0, *chunk) for chunk in STUDY.chunks]
    points += [("calibration", *decode, 0, 0) for decode in STUDY.decodes]
    points += [("validation", *decode, 0, 0) for decode in STUDY.unseen_decodes]
    for role, batch, context, chunk, prefix in points:
        sizes = {"batch": batch, "context_tokens": context, "chunk_tokens": chunk, "prefix_tokens": prefix}
        rows.append(row("step", role, step_s(batch, context, chunk, prefix), model=SHAPE.name, **sizes))
    for prompt in PROMPTS:
        sizes = {"prompt_tokens": prompt, "chunk_tokens": CHUNK, "io_chunk_tokens": IO_CHUNK}
        common = {"model": SHAPE.name, **sizes}
        rows.append(
            row(BENCH, "validation", ttft_s("compute_only", prompt, 1), policy="compute_only", **common)
        )
        for policy, bandwidth in itertools.product(POLICIES[1:], BANDWIDTHS):
            value = ttft_s(policy, prompt, bandwidth)
            rows.append(
                row(BENCH, "validation", value, policy=policy, bandwidth_bytes_per_s=bandwidth, **common)
            )
    return rows


@pytest.fixture(scope="module")
def rows() -> list[Measurement]:
    return imaginary_rows()


@pytest.fixture(scope="module")
def part(rows: list[Measurement]) -> Part:
    (found,) = predict(rows)
    return found


def test_requests_of_a_simple_machine_are_predicted(part: Part) -> None:
    requests = part.of(BENCH)
    assert len(requests) == len(PROMPTS) * (1 + 2 * len(BANDWIDTHS))
    median, worst = TARGETS  # the worst: a step more or less, where the pointers just meet or just not
    assert median_error(requests) <= median
    assert worst_error(requests) <= worst
    ranked = list(rankings(part))
    assert ranked and all(pair.right for pair in ranked)


def test_the_outcome_of_a_validation_row_enters_no_prediction(rows: list[Measurement], part: Part) -> None:
    doubled = [
        replace(each, value=2 * each.value) if each.parameters["role"] == "validation" else each
        for each in rows
    ]
    (again,) = predict(doubled)
    assert [each.predicted for each in again.predictions] == [each.predicted for each in part.predictions]
    assert again.predictions[0].error == pytest.approx((1 + part.predictions[0].error) / 2 - 1)


def test_a_request_is_simulated_with_its_own_bandwidth_and_chunks(part: Part) -> None:
    io_only = next(
        each for each in part.of(BENCH) if each.row.parameters["policy"] == "io_only" and each.row.value > 1.0
    )
    scenario = request_scenario(io_only.row.parameters)
    stored_bytes = stored_tokens(int(io_only.row.number("prompt_tokens"))) * SHAPE.kv_bytes_per_token
    load_s = stored_bytes / io_only.row.number("bandwidth_bytes_per_s")
    assert load_s < io_only.predicted < 1.05 * load_s
    assert scenario.services["chat"].io_chunk_tokens == IO_CHUNK


def test_threads_are_predicted_apart(rows: list[Measurement], part: Part) -> None:
    slower = [
        replace(
            each,
            value=each.value / 2 if each.unit == "B/s" else each.value * 2,
            parameters={**each.parameters, "threads": 2},
        )
        for each in rows
    ]
    one, two = predict([*slower, *rows])
    assert (one.threads, two.threads) == (1, 2)
    assert [each.predicted for each in one.predictions] == [each.predicted for each in part.predictions]
    steps = zip(one.of("step"), two.of("step"), strict=True)
    assert all(slow.predicted == pytest.approx(2 * fast.predicted, rel=0.05) for fast, slow in steps)


def test_the_report_names_targets_and_every_cell(part: Part) -> None:
    text = report([part])
    assert "targets 15 % and 35 %" in text
    for prompt, bandwidth in itertools.product(PROMPTS, BANDWIDTHS):
        assert f"{prompt:6.0f} {bandwidth / 1e6:6.4g}" in text


def test_a_plot_is_drawn(part: Part, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        draw([part], tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert "compute_only" in text and "batch 16" in text
    assert text == (tmp_path / "two.svg").read_text()


@pytest.mark.parametrize("name", ["llama-2-7b", "l8h512", "l8h512a8k3d64f1536v4096"])
def test_a_model_that_is_no_shape_is_an_error(name: str) -> None:
    with pytest.raises(InputError):
        model_named(name)


def test_the_command_predicts_from_a_file_without_torch(rows: list[Measurement], tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    write_measurements(file, {"source": ""}, rows)
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from calibration.validation.__main__ import main\n"
        f"sys.exit(main(['--from', {str(file)!r}]))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("1 computing thread\n")
    assert "ranking right in" in answer.stdout


@pytest.mark.parametrize("role", ["calibration", "validation"])
def test_a_file_without_one_of_the_roles_is_bad_input(
    rows: list[Measurement], tmp_path: Path, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "measured.csv"
    write_measurements(file, {"source": ""}, [each for each in rows if each.parameters["role"] != role])
    assert main(["--from", str(file)]) == 2
    error = capsys.readouterr().err
    assert ("no rows of gemm" if role == "calibration" else "no validation rows") in error


def test_an_unknown_ending_of_the_plot_is_told_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--plot", str(tmp_path / "plot.bmp")]) == 2
    assert "unknown ending" in capsys.readouterr().err
