"""Every benchmark in a tiny size: it runs, and its values are positive. Speed itself is not tested here."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from calibration.bench import attention, copy, gemm, network, sr, step, storage
from calibration.bench.harness import Bench, Options, Parameters, Plan, run
from calibration.commands import TINY_SHAPE, shape_of
from calibration.table import Measurement
from simulator.streaming.networks import load_network

ONCE = Plan(warmups=1, repeats=3, least=2, point_s=0.2)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(
        quick=True,
        shapes=(shape_of(TINY_SHAPE),),
        directory=tmp_path,
        file_bytes=2**22,
        direct=False,  # not every file system that tests run on takes direct I/O
    )


def measured(bench: Bench, options: Options) -> list[Measurement]:
    outcome = run([bench], options, ONCE, device="here", source="test")
    assert outcome.failed == []
    assert all(row.value > 0 and row.spread >= 0 and len(row.repeats) >= 2 for row in outcome.rows)
    assert [row.bench for row in outcome.rows] == [name for name, _ in bench.grid(options)]
    return outcome.rows


def value(rows: list[Measurement], **parameters: float | str) -> float:
    (found,) = (row.value for row in rows if parameters.items() <= row.parameters.items())
    return found


def seconds(bench: Bench, options: Options, name: str, parameters: Parameters) -> float:
    with bench.session(options) as prepare:
        trial = prepare(name, parameters).trial
        return min(trial() for _ in range(3))


@pytest.fixture
def torch_bench() -> None:
    pytest.importorskip("torch", reason="extra `calibrate` is not installed")


@pytest.mark.usefixtures("torch_bench")
def test_gemm(options: Options) -> None:
    assert {row.unit for row in measured(gemm, options)} == {"s"}
    shape: Parameters = {"n": 512, "k": 512, "precision": "fp32"}
    small, large = (seconds(gemm, options, "gemm", {"m": m, **shape}) for m in (16, 1024))
    assert 0 < small < math.inf and 0 < large < math.inf


@pytest.mark.usefixtures("torch_bench")
def test_attention(options: Options) -> None:
    rows = measured(attention, options)
    assert {row.bench for row in rows} == {"attention_prefill", "attention_decode"}
    heads: Parameters = {"heads": 4, "kv_heads": 2, "head_dim": 64, "precision": "fp32"}
    short, long = (
        seconds(attention, options, "attention_decode", {"batch": 4, "context_tokens": context, **heads})
        for context in (128, 4096)
    )
    assert 0 < short < math.inf and 0 < long < math.inf
    short, long = (
        seconds(
            attention, options, "attention_prefill", {"new_tokens": 128, "prefix_tokens": prefix, **heads}
        )
        for prefix in (0, 4096)
    )
    assert 0 < short < math.inf and 0 < long < math.inf


@pytest.mark.usefixtures("torch_bench")
def test_step(options: Options) -> None:
    rows = measured(step, options)
    common: Parameters = {
        "model": options.shapes[0].name,
        "precision": "fp32",
        "batch": 0,
        "context_tokens": 0,
    }
    short, long = (
        seconds(step, options, "step", {**common, "chunk_tokens": chunk, "prefix_tokens": 0})
        for chunk in (8, 512)
    )
    assert 0 < short < math.inf and 0 < long < math.inf
    assert {row.parameters["model"] for row in rows} == {options.shapes[0].name}


def test_kv_that_memory_cannot_hold_is_not_in_the_grid() -> None:
    shape = shape_of(TINY_SHAPE)
    all_points = step.grid(Options(shapes=(shape,), memory_bytes=1e12))
    few_points = step.grid(Options(shapes=(shape,), memory_bytes=1e6))
    assert 0 < len(few_points) < len(all_points)


def test_copy(options: Options) -> None:
    rows = measured(copy, options)
    assert {row.unit for row in rows} == {"B/s"}
    assert {row.parameters["direction"] for row in rows} == {"h2h"}


def test_storage(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calibration.bench.storage.shutil.which", lambda name: None)
    rows = measured(storage, options)
    assert {row.parameters["tool"] for row in rows} == {"threads"}
    assert value(rows, direction="read", block_bytes=2**20, queue_depth=1) > 0
    assert value(rows, direction="read", block_bytes=4096, queue_depth=1) > 0
    assert list(options.directory.iterdir()) == []  # it cleans up


@pytest.mark.skipif(shutil.which("fio") is None, reason="fio is not installed")
@pytest.mark.parametrize("direction", ["read", "write"])
def test_storage_by_fio(options: Options, direction: str) -> None:
    point = next(point for point in storage.grid(options) if point[1]["direction"] == direction)
    assert point[1]["tool"] == "fio"
    with storage.session(options) as prepare:
        assert prepare(*point).trial() > 0
    assert list(options.directory.iterdir()) == []


def test_network(options: Options) -> None:
    rows = measured(network, options)
    assert {row.metric for row in rows} == {"bandwidth", "latency"}
    assert value(rows, message_bytes=65536, streams=1) > 0
    assert value(rows, pattern="stream", message_bytes=1024, streams=1) > 0


@pytest.mark.usefixtures("torch_bench")
def test_sr(options: Options) -> None:
    rows = [row for row in measured(sr, options) if row.parameters["network"] == "edsr-f32b5"]
    small, large = (value(rows, input_width_px=width, runtime="torch") for width in (64, 128))
    assert small > 0 and large > 0


@pytest.mark.parametrize("name", sr.NETWORKS)
def test_sr_networks_are_those_that_the_simulator_knows(name: str) -> None:
    known, ours = load_network(name, sr.SCALE), sr.NETWORKS[name]
    parameters = sum(conv.outputs * (9 * conv.inputs + 1) for conv in ours)
    assert parameters == pytest.approx(known.parameters, rel=1e-3)
    assert sr.multiply_adds(ours, 1000) == pytest.approx(1000 * known.macs_per_pixel, rel=1e-3)


def test_torch_and_onnx_run_the_same_network() -> None:
    torch = pytest.importorskip("torch", reason="extra `calibrate` is not installed")
    onnx = pytest.importorskip("onnx", reason="extra `calibrate` is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="extra `calibrate` is not installed")
    size = (1, 3, 12, 16)
    for network_ in (sr.quicksrnet(8, 1, 2), sr.edsr(8, 2, 4)):
        data = sr.onnx_model(network_, size)
        weights = [
            torch.tensor(onnx.numpy_helper.to_array(tensor))
            for tensor in onnx.load_model_from_string(data).graph.initializer
        ]
        frame = torch.randn(size)
        ours = sr.apply(network_, list(zip(weights[::2], weights[1::2], strict=True)), frame)
        (theirs,) = runtime.InferenceSession(data).run(None, {"x0": frame.numpy()})
        torch.testing.assert_close(ours, torch.tensor(theirs), rtol=1e-3, atol=1e-4)
