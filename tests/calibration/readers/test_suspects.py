"""Which published times are marked as faster than the hardware can be."""

from __future__ import annotations

import math

import pytest

from calibration.readers.suspects import attended_pairs, mark_suspects, share_of_peak
from calibration.table import Measurement
from devices.catalogue import load_profile

H100 = load_profile("h100-80g-sxm")


def gemm(
    time_s: float, m: float = 4096, precision: str = "bf16", device: str = "h100-80g-sxm", n: float = 4096
):
    parameters = {"m": m, "n": n, "k": 4096, "precision": precision}
    return Measurement("gemm", device, parameters, "latency", "s", time_s)


def decode(time_s: float, batch: float = 64) -> Measurement:
    shape = {"heads": 32, "kv_heads": 8, "head_dim": 128, "precision": "bf16", "kv_precision": "bf16"}
    parameters = {"batch": batch, "context_tokens": 8192, **shape}
    return Measurement("attention_decode", "h100-80g-sxm", parameters, "latency", "s", time_s)


def pairs_counted(new: int, prefix: int, window: float) -> float:
    return sum(min(prefix + query + 1, window) for query in range(new))


@pytest.mark.parametrize(("new", "prefix", "window"), [(7, 0, math.inf), (7, 5, math.inf), (1, 9, math.inf),
                                                       (7, 0, 4), (7, 2, 4), (7, 5, 4), (3, 0, 9)])  # fmt: skip
def test_attended_pairs_match_a_count(new, prefix, window):
    assert attended_pairs(new, prefix, window) == pairs_counted(new, prefix, window)


def test_a_gemm_at_the_peak_rate_has_share_one():
    time_s = 2 * 4096**3 / H100.peak_flops
    assert share_of_peak(gemm(time_s)) == pytest.approx(1)
    assert share_of_peak(gemm(time_s, precision="fp8")) == pytest.approx(
        H100.peak_flops / H100.gemm["fp8"].peak_flops
    )


def test_reading_much_kv_is_bound_by_memory_bandwidth():
    kv_bytes = 64 * 8192 * 2 * 8 * 128 * 2
    assert share_of_peak(decode(kv_bytes / H100.memory_bandwidth_bytes_per_s)) == pytest.approx(1)


def test_what_fits_a_cache_may_be_read_faster():
    share = share_of_peak(decode(1e-6, batch=1))
    assert share is not None and share < 1  # 34 MB of KV in 1 us: far above the memory's bandwidth


def test_what_cannot_be_judged_is_not_marked():
    assert share_of_peak(gemm(1e-9, device="unheard-of")) is None
    assert share_of_peak(gemm(1e-9, precision="int3")) is None
    copy = Measurement("copy", "h100-80g-sxm", {}, "latency", "s", 1e-9)
    assert list(mark_suspects([copy])) == [copy]


def test_a_far_too_fast_row_casts_doubt_on_its_series_only():
    right = 4 * 4096**3 / H100.peak_flops
    rows = [gemm(right), gemm(right / 4), gemm(right, n=2048)]
    marks = [set(row.parameters) & {"suspect", "suspect_series"} for row in mark_suspects(rows)]
    assert marks == [{"suspect_series"}, {"suspect", "suspect_series"}, set()]


def test_a_boosted_clock_casts_no_doubt():
    peak_s = 2 * 4096**3 / H100.peak_flops
    rows = list(mark_suspects([gemm(peak_s / 1.1), gemm(peak_s * 2)]))
    assert [set(row.parameters) & {"suspect", "suspect_series"} for row in rows] == [{"suspect"}, set()]


def test_no_work_at_all_is_marked_without_doubting_others():
    rows = list(mark_suspects([gemm(1e-3, m=0), gemm(1e-3)]))
    assert [set(row.parameters) & {"suspect", "suspect_series"} for row in rows] == [{"suspect"}, set()]
