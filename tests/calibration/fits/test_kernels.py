"""Kernel fits: known constants come back from synthetic tables; the form has plateau and steps; the tables' errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.fits import allreduce, attention, gemm, tables
from calibration.fits.residual_plots import FORMATS, residual_plot
from calibration.table import Measurement
from devices.errors import InputError
from simulator.serving.kernels import allreduce_s
from simulator.viz.style import save

DATA = Path(__file__).parents[4] / "shared" / "data" / "gpu_microbench"
H100 = tables.gpu_profile("h100-80g-sxm")
GEMM = {
    "efficiency": 0.7,
    "memory_efficiency": 0.8,
    "launch_s": 3e-6,
    "root_depth_s": 8e-8,
    "sharpness": 2.5,
}
ALLREDUCE = {
    "allreduce_latency_s": 5e-6,
    "allreduce_hop_s": 3e-7,
    "allreduce_direct_bandwidth_bytes_per_s": 1.5e11,
    "allreduce_stage_s": 6e-6,
    "allreduce_bandwidth_bytes_per_s": 2.5e11,
    "allreduce_growth": 0.3,
}

needs_tables = pytest.mark.skipif(
    not DATA.is_dir(), reason="the published tables (../shared/data) are not at hand"
)


def row(bench, value=1.0, **parameters):
    return Measurement(bench, H100.name, parameters, "latency", "s", float(value))


def timed(rows, seconds):
    return [replace(one, value=float(value)) for one, value in zip(rows, seconds, strict=True)]


def products(precision="bf16", noise=0.0, shapes=(512, 1024, 2048, 4096, 8192)):
    rows = [
        row("gemm", m=m, n=n, k=k, precision=precision)
        for n in shapes
        for k in (512, 2048, 8192, 16384)
        for m in (1, 8, 64, 65, 128, 256, 512, 1024, 4096)
    ]
    constants = GEMM | ({"cast_bytes": 6.0} if precision == "fp8" else {})
    form = gemm.gemm_form(precision, H100.gemm[precision].peak_flops, H100.memory_bandwidth_bytes_per_s)
    times = form(constants, tables.columns(rows, "m", "n", "k"))
    return timed(rows, times * np.exp(np.random.default_rng(0).normal(0, noise, len(rows)))), constants


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_products_give_their_constants_back(precision):
    rows, constants = products(precision)
    rows = [*rows, *products(precision, shapes=(65536,))[0]]  # they read as fast as is possible
    fit = gemm.fit_gemm(rows, H100, precision, bootstraps=0)
    assert fit.constants == pytest.approx(constants, rel=0.05)  # weak priors pull a little
    assert fit.cross_validated_error < 0.01


def test_outliers_do_not_move_a_product_and_shapes_are_held_out():
    rows, constants = products(noise=0.03, shapes=(512, 1024, 2048, 4096, 8192, 65536))
    rows = [replace(one, value=one.value * 5) if number % 20 == 0 else one for number, one in enumerate(rows)]
    fit = gemm.fit_gemm(rows, H100, "bf16", bootstraps=0)
    assert fit.constants == pytest.approx(constants, rel=0.15)
    assert fit.median_error < 0.04


def test_small_batches_cost_the_same_and_tiles_make_steps():
    form = gemm.gemm_form("bf16", H100.peak_flops, H100.memory_bandwidth_bytes_per_s)
    rows = np.array([1.0, 2, 16, 64, 65, 128, 1025, 1088, 1089])
    one, two, few, tile, over, both, above, same, more = form(
        GEMM, {"m": rows, "n": np.full(9, 8192.0), "k": np.full(9, 8192.0)}
    )
    assert one <= two <= few <= tile < 1.03 * one
    assert over > tile
    assert both < 1.02 * over  # on one step: bytes alone grow
    assert same < 1.01 * above
    assert more > 1.03 * same


def test_weights_from_the_cache_are_left_out():
    fast = row("gemm", 1e-6, m=1, n=2048, k=2048, precision="bf16")  # 8 MB in 1 us
    slow = [
        row("gemm", 1e-4, m=1, n=n, k=k, precision="bf16")
        for n, k in ((1024, 1024), (2048, 3072), (4096, 4096))
    ]
    assert gemm.gemm_rows([fast, *slow], "bf16", 3.35e12) == [slow[-1]]
    assert gemm.gemm_rows(slow, "bf16", 3.35e12) == slow


@pytest.mark.parametrize(
    "changes", [{"m": 0}, {"n": 256}, {"k": 64}, {"precision": "fp8"}], ids=["m", "n", "k", "precision"]
)
def test_other_rows_are_left_out(changes):
    parameters = {"m": 8, "n": 4096, "k": 4096, "precision": "fp16"}
    assert len(gemm.gemm_rows([row("gemm", **parameters)], "bf16", 3.35e12)) == 1
    assert not gemm.gemm_rows([row("gemm", **(parameters | changes))], "bf16", 3.35e12)


def test_attention_gives_its_constants_back():
    common = {"head_dim": 128, "precision": "bf16", "kv_precision": "bf16"}
    shapes = [(8, 1), (16, 4), (32, 8), (32, 32), (64, 8)]
    chunks = [
        row("attention_prefill", batch=b, new_tokens=n, prefix_tokens=p, heads=h, kv_heads=k, **common)
        for h, k in shapes
        for n in (16, 128, 512, 2048, 8192)
        for p in (0, 4096)
        for b in (1, 4)
    ]
    constants = {"attention_efficiency": 0.6, "attention_launch_s": 9e-6, "attention_token_pairs": 350.0}
    form = attention.prefill_form(H100.peak_flops)
    table = attention.prefill_columns(chunks, H100.multiprocessors)
    fit = attention.fit_prefill(timed(chunks, form(constants, table)), H100, bootstraps=0)
    assert fit.constants == pytest.approx(constants, rel=0.01)

    reads = [
        row("attention_decode", batch=b, context_tokens=c, heads=h, kv_heads=k, **common)
        for h, k in shapes
        for c in (64, 1024, 8192, 65536)
        for b in (16, 64, 256)
    ]
    constants = {"kv_read_efficiency": 0.7, "kv_read_launch_s": 9e-6, "kv_read_stream_s": 2e-8}
    form = attention.decode_form(H100.memory_bandwidth_bytes_per_s)
    fit = attention.fit_decode(
        timed(reads, form(constants, attention.decode_columns(reads))), H100, bootstraps=0
    )
    assert fit.constants == pytest.approx(constants, rel=0.01)


def test_a_last_wave_in_part_costs_a_whole_one():
    common = {"batch": 1, "prefix_tokens": 16384, "kv_heads": 2, "head_dim": 128}
    chunks = [row("attention_prefill", new_tokens=n, heads=16, **common) for n in (16, 512, 528, 592)]
    one, many, over, two = attention.prefill_columns(chunks, multiprocessors=132)["work"]
    assert many == pytest.approx(one, rel=0.02)  # one wave either way: 16 or 128 tiles on 132
    assert over > 1.9 * many  # 144 tiles: a second wave
    assert two == pytest.approx(over, rel=0.01)


def reductions(kernel):
    return [
        row(
            "collective",
            operation="all_reduce",
            gpus=n,
            message_bytes=2.0**e,
            precision="bf16",
            kernel=kernel,
        )
        for n in (2, 4, 8)
        for e in range(9, 29)
    ]


def test_all_reduces_give_their_constants_back():
    rows = reductions("vLLM_custom_graph")
    times = allreduce.allreduce_form(ALLREDUCE, tables.columns(rows, "message_bytes", "gpus"))
    fit = allreduce.fit_allreduce(timed(rows, times), bootstraps=0)
    assert fit.constants == pytest.approx(ALLREDUCE, rel=0.02)


def test_all_reduces_of_nccl_alone_are_all_staged():
    rows = reductions("NCCL")
    constants = {
        "allreduce_latency_s": 7e-6,
        "allreduce_hop_s": 2e-6,
        "allreduce_bandwidth_bytes_per_s": 2e10,
        "allreduce_growth": 1.5,
    }
    times = allreduce.allreduce_form(constants, tables.columns(rows, "message_bytes", "gpus"))
    fit = allreduce.fit_allreduce(timed(rows, times), bootstraps=0)
    assert fit.constants == pytest.approx(constants, rel=0.02)


@pytest.mark.parametrize("direct", [True, False])
def test_the_engine_computes_an_all_reduce_alike(direct):
    constants = dict(ALLREDUCE)
    if not direct:
        del constants["allreduce_direct_bandwidth_bytes_per_s"]
    gpu = replace(H100, **({"allreduce_direct_bandwidth_bytes_per_s": 0.0} | constants))
    rows = reductions("NCCL")
    ours = allreduce.allreduce_form(constants, tables.columns(rows, "message_bytes", "gpus"))
    theirs = [allreduce_s(gpu, one.number("message_bytes"), int(one.number("gpus"))) for one in rows]
    assert ours == pytest.approx(theirs)


def test_a_sample_takes_as_many_of_each_stratum():
    rows = [row("gemm", m=m, n=n) for m, count in ((1, 50), (2, 5), (3, 500)) for n in range(count)]
    sample = tables.stratified(rows, 65, lambda one: one.number("m"))
    assert sample == tables.stratified(rows, 65, lambda one: one.number("m"))
    counts = [sum(one.number("m") == m for one in sample) for m in (1, 2, 3)]
    assert counts[1] == 5
    assert 25 <= counts[0] == counts[2] <= 30


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(InputError, match="no table"):
        tables.read(tmp_path, "vidur", "a40_*")


@pytest.mark.parametrize("ending", FORMATS)
def test_residuals_are_drawn(tmp_path, ending):
    rows, _ = products(noise=0.05)
    fit = gemm.fit_gemm(rows, H100, "bf16", bootstraps=0)
    table = tables.columns(gemm.gemm_sample(rows, H100, "bf16"), "m", "n", "k")
    figure = residual_plot(fit, table["m"], "Rows", table["n"] * table["k"], "Weights", "Products")
    save(figure, tmp_path / f"it.{ending}")
    assert (tmp_path / f"it.{ending}").stat().st_size > 5000


@needs_tables
@pytest.mark.parametrize(
    ("gpu", "format_", "reached"),
    [
        ("a100-80g-sxm", "bf16", 0.07),
        ("h100-80g-sxm", "bf16", 0.052),
        ("h100-80g-sxm", "fp8", 0.095),
        ("a40", "bf16", 0.052),
        ("rtx-4090", "bf16", 0.032),
    ],
)
def test_held_out_error_of_products(gpu, format_, reached):
    fit = gemm.fit_gemm(tables.read(DATA, *gemm.TABLES[gpu]), tables.gpu_profile(gpu), format_, bootstraps=0)
    assert fit.cross_validated_error == pytest.approx(reached, abs=0.006)
    assert fit.median_error <= fit.cross_validated_error + 0.002


@needs_tables
@pytest.mark.parametrize(
    ("gpu", "prefill", "decode", "together"),
    [
        ("h100-80g-sxm", 0.036, 0.053, 0.028),
        ("a100-80g-sxm", 0.072, 0.081, 0.048),
        ("l40s", 0.091, 0.056, 0.046),
    ],
)
def test_held_out_error_of_attention_and_all_reduce(gpu, prefill, decode, together):
    profile = tables.gpu_profile(gpu)
    fits = [
        attention.fit_prefill(tables.read(DATA, *attention.PREFILL_TABLES[gpu]), profile, bootstraps=0),
        attention.fit_decode(tables.read(DATA, *attention.DECODE_TABLES[gpu]), profile, bootstraps=0),
        allreduce.fit_allreduce(tables.read(DATA, *allreduce.TABLES[gpu]), bootstraps=0),
    ]
    for fit, reached in zip(fits, (prefill, decode, together), strict=True):
        assert fit.cross_validated_error == pytest.approx(reached, abs=0.006)
