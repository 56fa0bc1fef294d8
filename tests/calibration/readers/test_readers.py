"""Readers on small tables made here, with the columns of the published ones: names, units, faults."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from calibration.readers import READERS, read_table
from calibration.readers.convert import convert
from calibration.table import Measurement, read_measurements
from devices.errors import InputError


def write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    """A CSV file, gzipped where its name says so."""
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: list[dict[str, object]]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def rows_of(kind: str, path: Path) -> list[Measurement]:
    return list(read_table(kind, path))


KERNEL = {"framework": "VLLM", "version": "0.19.0", "device": "NVIDIA H200", "kernel_source": "k"}


def test_aiconfigurator_gemm(tmp_path):
    rows = [
        KERNEL | {"op_name": "gemm", "gemm_dtype": "bfloat16", "m": m, "n": 4096, "k": 8192, "latency": 0.5}
        for m in (0, 1024, 2**24)
    ]
    none, right, impossible = rows_of("aiconfigurator", write_parquet(tmp_path / "g.parquet", rows))
    assert right.device == "h200-sxm"
    assert right.value == 0.5e-3
    expected = {"m": 1024, "n": 4096, "k": 8192, "precision": "bf16", "backend": "vllm-0.19.0", "kernel": "k"}
    # Its series holds a row far above the peak, so that it is doubted too.
    assert right.parameters == expected | {"suspect_series": 1}
    assert impossible.parameters["suspect"] == 1
    assert none.parameters["suspect"] == 1


def attention(operation: str, **cells: object) -> dict[str, object]:
    shape = {"num_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "beam_width": 1}
    types = {"attn_dtype": "bfloat16", "kv_cache_dtype": "fp8"}
    return KERNEL | {"op_name": operation} | shape | types | cells


def test_aiconfigurator_attention(tmp_path):
    rows = [
        attention("context_attention", batch_size=2, isl=2048, step=0, window_size=0, latency=1.0),
        attention("generation_attention", batch_size=64, isl=1, step=1023, window_size=128, latency=0.05),
    ]
    prefill, decode = rows_of("aiconfigurator", write_parquet(tmp_path / "a.parquet", rows))
    assert prefill.bench == "attention_prefill"
    assert (prefill.number("new_tokens"), prefill.number("prefix_tokens")) == (2048, 0)
    assert (prefill.number("heads"), prefill.number("kv_heads"), prefill.number("head_dim")) == (32, 8, 128)
    assert (prefill.parameters["precision"], prefill.parameters["kv_precision"]) == ("bf16", "fp8")
    assert "window_tokens" not in prefill.parameters
    assert decode.bench == "attention_decode"
    assert (decode.number("batch"), decode.number("context_tokens")) == (64, 1024)
    assert decode.number("window_tokens") == 128


@pytest.mark.parametrize(("dtype", "column", "size"), [("half", "nccl_dtype", 2), ("int8", "nccl_dtype", 1),
                                                       ("bfloat16", "allreduce_dtype", 2)])  # fmt: skip
def test_aiconfigurator_message_sizes_are_elements(tmp_path, dtype, column, size):
    row = KERNEL | {
        "op_name": "all_reduce",
        column: dtype,
        "num_gpus": 4,
        "message_size": 1000,
        "latency": 0.01,
    }
    (read_row,) = rows_of("aiconfigurator", write_parquet(tmp_path / "c.parquet", [row]))
    assert (read_row.bench, read_row.number("message_bytes")) == ("collective", 1000 * size)


def test_aiconfigurator_moe(tmp_path):
    cells = {"moe_dtype": "fp8_block", "num_tokens": 16, "hidden_size": 4096, "inter_size": 1536, "topk": 8}
    cells |= {"num_experts": 128, "moe_tp_size": 1, "moe_ep_size": 4, "distribution": "balanced"}
    row = KERNEL | {"op_name": "moe", "latency": 0.2} | cells
    (read_row,) = rows_of("aiconfigurator", write_parquet(tmp_path / "m.parquet", [row]))
    assert read_row.parameters["precision"] == "fp8-block"
    assert (read_row.number("experts"), read_row.number("expert_parallel")) == (128, 4)


def statistics_cells(operation: str, median: float) -> dict[str, object]:
    return {f"time_stats.{operation}.median": median, f"time_stats.{operation}.std": median / 10}


def test_vidur_layers(tmp_path):
    shape = {"n_head": 64, "n_kv_head": 8, "n_embd": 8192, "n_expanded_embd": 28672, "use_gated_mlp": "True"}
    row: dict[str, object] = shape | {"num_tokens": 128, "num_tensor_parallel_workers": 2}
    layers = ("emb", "input_layernorm", "attn_rope", "post_attention_layernorm", "mlp_act", "add")
    for operation in (*layers, "attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj"):
        row |= statistics_cells(operation, 2.0)
    path = write_csv(tmp_path / "a100_Llama-2-70b-hf_mlp.csv.gz", [row])
    rows = rows_of("vidur", path)
    assert {row.parameters["layer"] for row in rows if row.bench == "layer"} == set(layers)
    shapes = {
        row.parameters["layer"]: (row.number("n"), row.number("k")) for row in rows if row.bench == "gemm"
    }
    assert shapes == {
        "attn_pre_proj": ((8192 + 2 * 1024) / 2, 8192),
        "attn_post_proj": (8192, 8192 / 2),
        "mlp_up_proj": (28672, 8192),
        "mlp_down_proj": (8192, 28672 / 2),
    }
    assert {row.device for row in rows} == {"a100-80g-sxm"}
    assert {row.parameters["model"] for row in rows} == {"llama-2-70b"}
    assert {row.value for row in rows} == {2e-3}
    assert all(0 < row.spread < row.value / 10 / 1.4 for row in rows)


def test_vidur_message_sizes_are_bytes(tmp_path):
    cells = {"rank": 0, "num_workers": 4, "size": 2048, "collective": "all_reduce"}
    cells |= {"devices_per_node": 4, "max_devices_per_node": 8}
    path = write_csv(
        tmp_path / "network_h100_dgx_all_reduce.csv", [statistics_cells("all_reduce", 0.02) | cells]
    )
    (row,) = rows_of("vidur", path)
    assert (row.number("message_bytes"), row.number("gpus"), row.value) == (2048, 4, 2e-5)


def test_frontier_attention(tmp_path):
    def cells(prefill: bool) -> dict[str, object]:
        times: dict[str, object] = {}
        for operation in ("attn_prefill", "attn_decode", "attn_kv_cache_save"):
            times |= statistics_cells(operation, 0.0 if operation == "attn_decode" and prefill else 0.3)
        return times | {
            "n_embd": 4096, "n_q_head": 32, "n_kv_head": 32, "num_tensor_parallel_workers": 2, "batch_size": 1,
            "kv_cache_size": 64, "prefill_chunk_size": 128 if prefill else 0, "is_prefill": prefill,
            "attention_backend": "AttentionBackend.FLASHINFER",
        }  # fmt: skip

    rows = rows_of("frontier", write_csv(tmp_path / "a800_attention.csv.gz", [cells(True), cells(False)]))
    prefill, save, decode, _ = rows
    assert [row.bench for row in rows] == ["attention_prefill", "layer", "attention_decode", "layer"]
    assert (prefill.number("new_tokens"), prefill.number("prefix_tokens"), prefill.number("heads")) == (
        128,
        64,
        16,
    )
    assert decode.number("context_tokens") == 65
    assert save.number("tokens") == 128
    assert prefill.parameters["backend"] == "flashinfer"


def splitwise(hardware: str, time_ms: float, power: float = 0.5) -> dict[str, object]:
    point = {
        "model": "llama2-70b",
        "hardware": hardware,
        "prompt_size": 512,
        "batch_size": 1,
        "token_size": 128,
    }
    times = {"prompt_time": time_ms, "token_time": 30.0}
    return point | {"peak_power": power, "average_power": power} | times | {"tensor_parallel": 4}


def test_splitwise_joins_repeats_and_leaves_synthetic_rows_out(tmp_path):
    rows = [splitwise("a100-80gb", time_ms) for time_ms in (100, 120, 110, 110)]
    rows += [splitwise("h100-80gb-pcap", 77), splitwise("h100-80gb", 60, power=0)]
    found = {
        (row.device, row.metric): row for row in rows_of("splitwise", write_csv(tmp_path / "s.csv", rows))
    }
    ttft = found["a100-80g-sxm", "ttft"]
    assert (ttft.value, ttft.repeats) == (
        0.110,
        (0.100, 0.120, 0.110),
    )  # the one that stands twice counts once
    assert found["a100-80g-sxm", "average_power_share"].value == 0.5
    assert {metric for device, metric in found if device == "h100-80g-sxm"} == {
        "ttft",
        "tpot",
    }  # power: not recorded
    assert not any("pcap" in device for device, _ in found)


def test_llmservingsim_attention(tmp_path):
    name = "RTXPRO6000_Qwen_Qwen3-32B_bf16_tp2_attention.csv"
    points = [(128, 256, 0, 0), (0, 0, 8, 512), (128, 256, 8, 512)]
    rows = [
        {
            "prefill_chunk": chunk,
            "kv_prefill": prefix,
            "n_decode": decodes,
            "kv_decode": context,
            "time_us": 80.0,
        }
        for chunk, prefix, decodes, context in points
    ]
    prefill, decode, mixed = rows_of("llmservingsim", write_csv(tmp_path / name, rows))
    assert [row.bench for row in (prefill, decode, mixed)] == [
        "attention_prefill",
        "attention_decode",
        "attention_mixed",
    ]
    assert (prefill.device, prefill.parameters["model"], prefill.value) == (
        "rtx-pro-6000",
        "qwen3-32b",
        80e-6,
    )
    assert (prefill.number("heads"), prefill.number("kv_heads")) == (32, 4)  # 64 and 8 on two GPUs
    assert (decode.number("batch"), decode.number("context_tokens")) == (8, 512)
    assert (mixed.number("new_tokens"), mixed.number("decode_batch")) == (128, 8)


def test_llmservingsim_dense(tmp_path):
    name = "RTX4090_meta-llama_Llama-3.1-8B_bf16_tp1_dense.csv"
    rows = [{"layer": layer, "tokens": 16, "time_us": 200.0} for layer in ("qkv_proj", "act_fn")]
    gemm, layer = rows_of("llmservingsim", write_csv(tmp_path / name, rows))
    assert (gemm.bench, gemm.number("m"), gemm.number("n"), gemm.number("k")) == ("gemm", 16, 6144, 4096)
    assert (layer.bench, layer.parameters["layer"], layer.number("tokens")) == ("layer", "act_fn", 16)


def test_llmservingsim_engine_settings(tmp_path):
    path = tmp_path / "engine_RTX4090_Llama-3.1-8B.json"
    engine = {"tensor_parallel_size": 1, "dtype": "bfloat16", "max_num_seqs": 256, "max_model_len": None}
    document = {"model": "meta-llama/Llama-3.1-8B", "vllm_version": "0.19.0", "engine_kwargs": engine}
    path.write_text(json.dumps(document | {"kv_cache": {"num_kv_tokens": 41408}}))
    settings = {row.metric: row for row in rows_of("llmservingsim", path)}
    assert {metric: row.value for metric, row in settings.items()} == {
        "kv_capacity_tokens": 41408,
        "max_batch": 256,
    }
    assert settings["max_batch"].parameters["backend"] == "vllm-0.19.0"
    path.write_text("{}")
    with pytest.raises(InputError, match="not an engine file"):
        rows_of("llmservingsim", path)


def aihub(**cells: object) -> dict[str, object]:
    common = {"model": "quicksrnetsmall", "precision": "w8a8", "component": "QuickSRNetSmall"}
    device = {"device": "QCS8550 (Proxy)", "runtime": "tflite", "latency_ms": 1.5, "unit": "NPU"}
    return common | device | {"status": "Passed"} | cells


def test_aihub_nets(tmp_path):
    path = write_csv(tmp_path / "sr.csv", [aihub(), aihub(status="Failed")])
    (row,) = rows_of("aihub-sr", path)
    assert (row.device, row.value) == ("snapdragon-8-gen-2", 1.5e-3)
    assert row.parameters["network"] == "quicksrnet-small"
    assert (row.parameters["processor"], row.number("input_width_px")) == ("npu", 128)
    (row,) = rows_of("aihub-networks", path)
    assert (row.bench, row.parameters["component"]) == ("inference", "quicksrnetsmall")


@pytest.mark.parametrize(("longest_ms", "prompts"), [(3200, [128, 4096]), (100, [4096])])
def test_aihub_llm_ttft_range(tmp_path, longest_ms, prompts):
    row = {"model": "llama_v3_8b", "precision": "w4a16", "device": "Snapdragon 8 Elite QRD", "runtime": "genie",
           "context_length": 4096, "tokens_per_s": 12.5, "ttft_ms_min": 100, "ttft_ms_max": longest_ms}  # fmt: skip
    rate, *ttft = rows_of("aihub-llm", write_csv(tmp_path / "llm.csv", [row]))
    assert (rate.device, rate.metric, rate.unit, rate.value) == (
        "snapdragon-8-elite",
        "throughput",
        "tokens/s",
        12.5,
    )
    assert [row.number("input_tokens") for row in ttft] == prompts
    assert ttft[0].value == 0.1


def test_ml_energy(tmp_path):
    row = {"task": "gpqa", "model_id": "Qwen/Qwen3-8B", "gpu_model": "H100", "num_gpus": 1, "tensor_parallel": 1.0,
           "weight_precision": "bfloat16", "avg_batch_size": 7.9, "max_num_seqs": 8, "avg_output_len": 700,
           "avg_power_watts": 400, "energy_per_token_joules": 1.6, "energy_per_request_joules": 1120,
           "output_throughput_tokens_per_sec": 250, "median_itl_ms": 30}  # fmt: skip
    found = {row.metric: row for row in rows_of("ml-energy", write_csv(tmp_path / "e.csv", [row]))}
    assert found["power"].value / found["throughput"].value == found["energy_per_output_token"].value
    assert (found["tpot"].value, found["tpot"].device, found["tpot"].parameters["model"]) == (
        0.03,
        "h100-80g-sxm",
        "qwen3-8b",
    )


def test_greenabr(tmp_path):
    row = {"video": "bbb", "Bitrate": 750, "Height": 360, "Width": 640, "FPS": 24, "power_mean": 590,
           "power_std": 130, "n": 850, "motion": 2.8, "quality": 34.0}  # fmt: skip
    (found,) = rows_of("greenabr", write_csv(tmp_path / "greenabr_galaxy.csv", [row]))
    assert (found.value, found.unit, found.number("bitrate_bits_per_s")) == (0.59, "W", 750e3)
    assert 0.08 < found.spread < 0.09
    with pytest.raises(InputError, match="must contain the phone"):
        rows_of("greenabr", write_csv(tmp_path / "nokia.csv", [row]))


def test_transfers(tmp_path):
    def cells(path: str, block: object) -> dict[str, object]:
        return {"source": "blog (2026)", "path": path, "mechanism": "dma", "block_KB": block, "GBps": 3.5}

    paths = ["CPU->GPU H100", "GPU->CPU H100", "H100 bidirectional", "NVMe->GPU 4 SSD", "GPU->NVMe 4 SSD",
             "remote DRAM->DRAM RDMA"]  # fmt: skip
    rows = rows_of("transfers", write_csv(tmp_path / "t.csv", [cells(path, "") for path in paths]))
    assert [(row.bench, row.parameters["direction"]) for row in rows] == [
        ("copy", "h2d"),
        ("copy", "d2h"),
        ("copy", "both"),
        ("storage", "read"),
        ("storage", "write"),
        ("network", "read"),
    ]
    assert "block_bytes" not in rows[0].parameters
    assert (rows[0].value, rows[0].device, rows[3].device) == (3.5e9, "h100", "blog")
    (row,) = rows_of("transfers", write_csv(tmp_path / "b.csv", [cells("CPU->GPU H100", 4)]))
    assert row.number("block_bytes") == 4096


@pytest.mark.parametrize(
    ("latency", "message"), [("fast", "not a number"), (-1, "not above 0"), ("", "empty"), ("nan", "finite")]
)
def test_a_faulty_cell_is_named_with_file_and_line(tmp_path, latency, message):
    path = write_csv(tmp_path / "sr.csv", [aihub(), aihub(latency_ms=latency)])
    with pytest.raises(InputError, match=rf"sr\.csv:3:.*latency_ms.*{message}"):
        rows_of("aihub-sr", path)


def test_a_faulty_parquet_row_is_named(tmp_path):
    rows = [
        KERNEL | {"gemm_dtype": "fp8", "m": 1, "n": 1, "k": 1, "latency": latency} for latency in (1.0, -1.0)
    ]
    with pytest.raises(InputError, match=r"g\.parquet:2:.*latency"):
        rows_of("aiconfigurator", write_parquet(tmp_path / "g.parquet", rows))


@pytest.mark.parametrize("kind", sorted(set(READERS) - {"aiconfigurator", "android-power"}))
def test_a_table_of_another_kind_is_refused(tmp_path, kind):
    names = {"vidur": "a100_m_mlp.csv", "frontier": "a800_attention.csv", "greenabr": "galaxy.csv"}
    names["llmservingsim"] = "RTX4090_meta-llama_Llama-3.1-8B_bf16_tp1_dense.csv"
    path = write_csv(tmp_path / names.get(kind, "t.csv"), [{"one": 1, "two": 2}])
    with pytest.raises(InputError, match="columns missing"):
        rows_of(kind, path)


@pytest.mark.parametrize("kind", sorted(READERS))
def test_no_table_at_all_is_refused(tmp_path, kind):
    path = tmp_path / "a100_m_galaxy_mlp.csv.gz"
    path.write_bytes(b"\x1f\x8b\x00\xff no table")
    with pytest.raises(InputError):
        rows_of(kind, path)


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match="nearest: vidur"):
        read_table("vidurr", tmp_path / "t.csv")


def test_convert_writes_one_schema_and_overwrites_nothing(tmp_path, capsys):
    path = write_csv(tmp_path / "sr.csv", [aihub(), aihub(device="Samsung Galaxy S24")])
    assert convert("aihub-sr", path, tmp_path / "out.csv") == 2
    table = read_measurements(tmp_path / "out.csv")
    assert table.rows == rows_of("aihub-sr", path)
    assert table.header["table"] == "sr.csv"
    with pytest.raises(InputError, match="exists already"):
        convert("aihub-sr", path, tmp_path / "out.csv")
    convert("aihub-sr", path)
    assert capsys.readouterr().out == (tmp_path / "out.csv").read_text()
