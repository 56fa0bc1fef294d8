"""Readers on the published tables themselves, where they are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.readers import read_table
from calibration.readers.suspects import share_of_peak
from calibration.table import Measurement, read_measurements, write_measurements

DATA = Path(__file__).parents[4] / "shared" / "data"
AIC = "gpu_microbench/aiconfigurator"

pytestmark = pytest.mark.skipif(
    not (DATA / "gpu_microbench").is_dir(), reason="the published tables (../shared/data) are not at hand"
)


def rows_of(kind: str, name: str) -> list[Measurement]:
    return list(read_table(kind, DATA / name))


@pytest.mark.parametrize(
    ("kind", "name", "count"),
    [
        ("aiconfigurator", f"{AIC}/a100_sxm/gemm_gemm_perf.parquet", 9240),
        ("aiconfigurator", f"{AIC}/a100_sxm/attention_generation_attention_perf.parquet", 5431),
        ("aiconfigurator", f"{AIC}/a100_sxm/comm_custom_allreduce_perf.parquet", 138),
        ("aiconfigurator", f"{AIC}/h100_sxm/comm_nccl_perf.parquet", 504),
        ("aiconfigurator", f"{AIC}/a100_sxm/moe_moe_perf.parquet", 3180),
        ("vidur", "gpu_microbench/vidur/a40_Llama-2-7b-hf_mlp.csv.gz", 1044 * 10),  # ten operations per row
        ("vidur", "gpu_microbench/vidur/network_h100_dgx_all_reduce.csv.gz", 2982),
        ("vidur", "gpu_microbench/vidur/network_a100_pairwise_nvlink_send_recv.csv.gz", 1988),
        ("frontier", "gpu_microbench/frontier/h800_llama2-7b_attention_combined.csv.gz", 200),
        ("splitwise", "gpu_microbench/splitwise/perf_model_tp4_tp8.csv", 294),
        (
            "llmservingsim",
            "gpu_microbench/llmservingsim/RTX4090_meta-llama_Llama-3.1-8B_bf16_tp1_dense.csv",
            1368,
        ),
        ("llmservingsim", "gpu_microbench/llmservingsim/engine_RTX4090_Llama-3.1-8B.json", 6),
        ("aihub-sr", "phone/aihub_sr_latency_by_device.csv", 432),
        ("aihub-networks", "phone/aihub_other_models_latency.csv", 3529),
        ("aihub-llm", "phone/aihub_llm_by_device.csv", 138),
        ("ml-energy", "power/ml_energy_qwen3_dense_dev.csv", 86 * 5),
        ("greenabr", "power/greenabr_playback_power_galaxy.csv", 50),
        ("transfers", "storage/transfer_bandwidth_microbench.csv", 89),
    ],
)
def test_every_row_is_read_and_reads_back(kind, name, count, tmp_path):
    rows = rows_of(kind, name)
    assert len(rows) == count
    assert all(row.value > 0 for row in rows)
    write_measurements(tmp_path / "t.csv", {"source": rows[0].source}, rows)
    assert read_measurements(tmp_path / "t.csv").rows == rows


@pytest.mark.parametrize(
    ("kind", "name", "least", "doubted"),
    [
        ("aiconfigurator", f"{AIC}/a100_sxm/gemm_gemm_perf.parquet", 0.85, 0),
        ("aiconfigurator", f"{AIC}/a100_sxm/attention_context_attention_perf.parquet", 0.5, 0),
        ("aiconfigurator", f"{AIC}/a100_sxm/attention_generation_attention_perf.parquet", 0.7, 0),
        ("vidur", "gpu_microbench/vidur/a100_Llama-2-70b-hf_mlp.csv.gz", 0.7, 0),
        (
            "llmservingsim",
            "gpu_microbench/llmservingsim/RTX4090_meta-llama_Llama-3.1-8B_bf16_tp1_dense.csv",
            0.9,
            4,
        ),
    ],
)
def test_units_are_right(kind, name, least, doubted):
    """A wrong factor in time, size or precision would put the best kernel far from the peak."""
    rows = rows_of(kind, name)
    shares = [share for row in rows if (share := share_of_peak(row)) is not None]
    assert least < max(shares) < 1.1
    assert sum("suspect" in row.parameters for row in rows) == doubted


def test_collectives_stay_below_the_links_bandwidth():
    """Bytes, not elements: NVLink 3 gives a GPU 300 GB/s in each direction."""
    rows = [
        *rows_of("aiconfigurator", f"{AIC}/a100_sxm/comm_custom_allreduce_perf.parquet"),
        *rows_of("vidur", "gpu_microbench/vidur/network_a100_dgx_all_reduce.csv.gz"),
    ]
    for source in {row.source for row in rows}:
        pairs = [row for row in rows if row.number("gpus") == 2 and row.source == source]
        assert 0.4 * 300e9 < max(row.number("message_bytes") / row.value for row in pairs) < 300e9


def test_impossible_prefill_attention_of_the_h200_is_marked():
    rows = rows_of("aiconfigurator", f"{AIC}/h200_sxm/attention_context_attention_perf.parquet")
    marked = [row for row in rows if "suspect" in row.parameters]
    assert len(marked) > len(rows) / 4
    assert all(share is not None and share > 1 for share in map(share_of_peak, marked))
