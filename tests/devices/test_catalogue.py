"""The device catalogue: every file loads, every value has evidence, bad files are refused with positions."""

from __future__ import annotations

import os
import pickle
from dataclasses import fields, replace
from pathlib import Path

import pytest

from devices import (
    GpuProfile,
    InputError,
    LinkProfile,
    StorageProfile,
    engine_fit,
    load_profile,
    load_sourced,
)
from devices.catalogue import PROFILE_KINDS, nearest_version, profile_names
from devices.profiles import KERNELS_ALONE
from simulator.serving.models import load_model

CATALOG = Path(__file__).parents[2] / "devices" / "catalog"

NAMES = {
    "gpu": "a100-40g-pcie a100-40g-sxm a100-80g-pcie a100-80g-sxm a40 b200-sxm h100-80g-pcie h100-80g-sxm "
    "h20 h200-sxm l40s mi300x rtx-4090 rtx-pro-6000",
    "storage": "dram-pcie4 dram-pcie5 hdd-7200 nvme-array-4x-gen4 nvme-array-4x-gen5 nvme-gen3 nvme-gen4 "
    "nvme-gen5 object-store remote-rdma-100g remote-rdma-400g remote-tcp-25g sata-ssd",
    "link": "5g-midband ethernet-100g ethernet-10g ethernet-25g infiniband-100g infiniband-400g nvlink3 "
    "nvlink4 pcie4-x16 pcie5-x16 wifi-5 wifi-6",
}

GOOD = """\
kind: link
name: wire
title: A wire
duplex: full
sources:
  sheet: {title: A datasheet, url: https://example.org/sheet}
values:
  bandwidth_bytes_per_s: {value: 10 Gbit/s, source: sheet, kind: datasheet}
  latency_s: {value: 5 us, source: sheet, kind: assumed, note: Guess, low: 1 us, high: 9 us, valid: short}
  per_operation_s: {value: 0 s, source: sheet, kind: datasheet}
  active_w: {value: 2 W, source: sheet, kind: datasheet}
"""


def gpu(name: str) -> GpuProfile:
    profile = load_profile(name)
    assert isinstance(profile, GpuProfile)
    return profile


def storage(name: str) -> StorageProfile:
    profile = load_profile(name)
    assert isinstance(profile, StorageProfile)
    return profile


@pytest.mark.parametrize("kind", NAMES)
def test_lists_devices_by_kind(kind: str) -> None:
    assert set(NAMES[kind].split()) <= set(profile_names(kind))
    assert all(isinstance(load_profile(name), PROFILE_KINDS[kind]) for name in profile_names(kind))


def test_lists_all_devices() -> None:
    assert profile_names() == sorted(path.stem for path in CATALOG.glob("*.yaml"))
    with pytest.raises(InputError, match="allowed: gpu, storage, link"):
        profile_names("tpu")


@pytest.mark.parametrize("name", profile_names())
def test_every_value_has_evidence(name: str) -> None:
    profile = load_profile(name)
    parts = [profile]
    if isinstance(profile, GpuProfile):
        parts += [*profile.gemm.values(), *profile.engines.values()]
    for part in parts:
        numbers = [f.name for f in fields(part) if isinstance(getattr(part, f.name), int | float)]
        assert sorted(part.evidence) == sorted(numbers)
        for field, evidence in part.evidence.items():
            assert evidence.value == getattr(part, field)
            assert evidence.source
            if evidence.kind in ("assumed", "fitted"):
                assert evidence.note, f"{name}.{field}: how a value was fitted or why it was assumed"


@pytest.mark.parametrize("name", [name for name in profile_names("gpu") if not name.startswith("cpu")])
def test_gpus_are_physical(name: str) -> None:
    profile = gpu(name)
    assert 0 < profile.idle_w < profile.tdp_w
    bf16 = profile.gemm["bf16"]
    if "fp8" in profile.gemm:
        assert profile.gemm["fp8"].peak_flops == pytest.approx(2 * bf16.peak_flops, rel=0.02)
    # large products alone would draw more than the board may: long prefill runs at the limit
    prefill_w = profile.idle_w + profile.joules_per_flop * bf16.efficiency * bf16.peak_flops
    assert profile.tdp_w < prefill_w < 2.5 * profile.tdp_w
    # reading weights alone draws about as much at most (the constants were fitted at lower rates; the limit caps them)
    reading = bf16.memory_efficiency * profile.memory_bandwidth_bytes_per_s
    decode_w = profile.idle_w + profile.joules_per_byte * reading
    assert 0.5 * profile.tdp_w < decode_w < 1.1 * profile.tdp_w


@pytest.mark.parametrize("name", profile_names("storage"))
def test_storage_does_not_read_slower_than_it_writes(name: str) -> None:
    profile = storage(name)
    assert profile.read_bandwidth_bytes_per_s >= profile.write_bandwidth_bytes_per_s
    assert profile.idle_w <= profile.active_w
    assert (profile.attachment == "per_gpu") == name.startswith("dram")


def test_datasheet_values() -> None:
    assert gpu("a100-80g-sxm").memory_bytes == 80 * 2**30
    assert gpu("a100-80g-sxm").memory_bandwidth_bytes_per_s == 2039e9
    assert gpu("a100-80g-pcie").memory_bandwidth_bytes_per_s == 1935e9
    assert gpu("a100-40g-sxm").memory_bandwidth_bytes_per_s == 1555e9
    assert [gpu(name).peak_flops for name in ("a100-40g-pcie", "a100-80g-sxm")] == [312e12, 312e12]
    assert "fp8" not in gpu("a100-80g-sxm").gemm
    assert gpu("h100-80g-sxm").peak_flops == 989e12
    assert gpu("h100-80g-sxm").gemm["fp8"].peak_flops == 1979e12
    assert gpu("h200-sxm").memory_bandwidth_bytes_per_s == 4.8e12
    assert gpu("rtx-4090").peak_flops == 165.2e12
    assert gpu("mi300x").tdp_w == 750
    link = load_profile("nvlink4")
    assert isinstance(link, LinkProfile)
    assert link.bandwidth_bytes_per_s == 450e9


def test_reading_the_weights_of_llama_2_7b_takes_as_long_as_it_must() -> None:
    # No honest decode step of Llama-2-7B on an A100 is below about 6.35 ms.
    seconds = load_model("llama-2-7b").weight_bytes() / gpu("a100-80g-sxm").memory_bandwidth_bytes_per_s
    assert 6.35e-3 <= seconds <= 6.62e-3


@pytest.mark.parametrize(
    ("block_kib", "measured_gb_per_s"),
    [(4, 1.1), (32, 7.4), (128, 22.7), (512, 39.4), (2048, 47.7), (16384, 51.1)],
)
def test_dram_over_pcie_5_matches_the_measured_rates_by_block_size(
    block_kib: int, measured_gb_per_s: float
) -> None:
    profile, block = storage("dram-pcie5"), block_kib * 1024
    seconds = profile.per_operation_s + block / profile.read_bandwidth_bytes_per_s
    assert block / seconds == pytest.approx(measured_gb_per_s * 1e9, rel=0.06)


def test_load_profile_is_cached_and_refuses_unknown_names() -> None:
    assert load_profile("a100-80g-sxm") is load_profile("a100-80g-sxm")
    with pytest.raises(InputError, match="unknown device profile 'a100-80-sxm'; nearest: a100-80g-sxm"):
        load_profile("a100-80-sxm")


def test_profiles_can_be_sent_to_workers() -> None:
    profile = gpu("h100-80g-sxm")
    assert pickle.loads(pickle.dumps(profile)) == profile


def test_engine_fit_falls_back_and_says_so() -> None:
    a100, l40s = gpu("a100-80g-sxm"), gpu("l40s")
    assert engine_fit(a100, "vllm-0.6") == (a100.engines["vllm-0.6"], "vllm-0.6")
    assert engine_fit(a100, "vllm-0.11") == (a100.engines["vllm-0.6"], "vllm-0.6")
    assert engine_fit(a100, "vllm-0.19") == (a100.engines["vllm-0.12"], "vllm-0.12")
    assert engine_fit(l40s, "vllm-0.6") == (KERNELS_ALONE, "")
    assert engine_fit(a100, "transformers-4.28") == (KERNELS_ALONE, "")


def test_versions_compare_as_numbers() -> None:
    known = ["vllm-0.6", "vllm-0.12", "sglang-0.4.3"]
    assert nearest_version("vllm-0.9", known) == "vllm-0.6"
    assert nearest_version("vllm-0.12.1", known) == "vllm-0.12"
    assert nearest_version("vllm-0.2", known) == "vllm-0.6"
    assert nearest_version("tgi-1.0", known) is None
    assert nearest_version("vllm", known) is None


def test_load_sourced_reads_values_and_evidence() -> None:
    link = load_sourced(GOOD, LinkProfile, also=("kind",))
    assert link.bandwidth_bytes_per_s == 1.25e9
    evidence = link.evidence["latency_s"]
    assert (evidence.value, evidence.low, evidence.high, evidence.unit) == (5e-6, 1e-6, 9e-6, "s")
    assert (evidence.kind, evidence.source, evidence.note) == ("assumed", "A datasheet", "Guess")
    assert (evidence.url, evidence.valid) == ("https://example.org/sheet", "short")


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("10 Gbit/s", "10 GB", "8:34", "an amount of data, not a bandwidth"),
        ("value: 10 Gbit/s, ", "", "8:3", "values.bandwidth_bytes_per_s.value: is missing"),
        (
            "kind: datasheet}\n  latency",
            "kind: guess}\n  latency",
            "8:66",
            "allowed: datasheet, measured, fitted",
        ),
        ("  active_w:", "  activ_w:", "11:3", "nearest: active_w"),
        ("  active_w:", "  activ_w:", "7:1", "values.active_w: is missing"),
        ("source: sheet, kind: assumed", "source: shet, kind: assumed", "9:36", "nearest: sheet"),
        (
            "values:",
            "  other: {title: Never named}\nvalues:",
            "7:3",
            "sources.other: no value names this source",
        ),
        ("duplex: full", "duplex: both", "4:9", "allowed: half, full"),
        ("title: A wire\n", "", "1:1", "title: is missing"),
        ("low: 1 us", "low: 7 us", "9:22", "outside of its own low and high"),
        ("{title: A datasheet, ", "{", "6:3", "sources.sheet.title: is missing"),
        ("0 s", "-1 s", "10:28", "out of range"),
        ("{value: 2 W, source: sheet, kind: datasheet}", "2 W", "11:13", "must be a mapping"),
    ],
)
def test_bad_files_are_refused_with_their_position(old: str, new: str, place: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as error:
        load_sourced(GOOD.replace(old, new, 1), LinkProfile, name="wire.yaml", also=("kind",))
    assert any(str(f).startswith(f"wire.yaml:{place}: ") and message in str(f) for f in error.value.faults), (
        str(error.value)
    )


def test_all_faults_are_reported_at_once() -> None:
    bad = GOOD.replace("10 Gbit/s", "fast").replace("5 us", "5 kg").replace("duplex: full", "duplex: 1")
    with pytest.raises(InputError) as error:
        load_sourced(bad, LinkProfile, also=("kind",))
    assert [fault.path for fault in error.value.faults] == [
        "duplex",
        "values.bandwidth_bytes_per_s.value",
        "values.latency_s.value",
    ]


def test_the_name_in_a_file_is_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(GOOD)
    with pytest.raises(InputError, match="must be the file's name, 'other'"):
        load_sourced(path, LinkProfile, also=("kind",))


def test_own_device_files_join_the_catalogue(tmp_path, monkeypatch) -> None:
    text = (CATALOG / "a100-80g-sxm.yaml").read_text().replace("name: a100-80g-sxm", "name: mine")
    (tmp_path / "mine.yaml").write_text(text)
    assert "mine" not in profile_names()
    monkeypatch.setenv("HETSIM_DEVICES", str(tmp_path))
    assert "mine" in profile_names("gpu")
    assert replace(gpu("mine"), name="a100-80g-sxm") == replace(gpu("a100-80g-sxm"), title=gpu("mine").title)
    (tmp_path / "a100-80g-sxm.yaml").write_text(text)
    monkeypatch.setenv("HETSIM_DEVICES", f"{tmp_path}{os.pathsep}")  # another value: the folder is read again
    with pytest.raises(InputError, match="'a100-80g-sxm' is the name of another file"):
        profile_names()
    monkeypatch.setenv("HETSIM_DEVICES", str(tmp_path / "none"))
    with pytest.raises(InputError, match="is not a folder"):
        profile_names()
