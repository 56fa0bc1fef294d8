"""Latency of SR on phones: limits, monotonicity, refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devices.catalogue import profile_names
from devices.errors import InputError
from simulator.streaming.networks import load_network
from simulator.streaming.sr_latency import load_soc, sr_latency_s

SOCS = profile_names("soc")
SIZES = [(128, 128), (480, 270), (640, 360), (960, 540), (1280, 720)]


@pytest.mark.parametrize("soc", SOCS)
@pytest.mark.parametrize("network", ["quicksrnet-small", "xlsr", "sesr-m5", "edsr-f32b5", "diggers"])
def test_more_pixels_take_longer(soc: str, network: str) -> None:
    chip, net = load_soc(soc), load_network(network, 2)
    times_s = [sr_latency_s(chip, net, *size, "w8a8") for size in SIZES]
    assert times_s == sorted(times_s)
    assert times_s[0] > chip.overhead_s


@pytest.mark.parametrize("soc", SOCS)
def test_more_work_takes_longer(soc: str) -> None:
    chip = load_soc(soc)
    for size in SIZES:
        names = ("edsr-f32b2", "edsr-f32b5", "edsr-f64b5", "edsr-f64b16", "edsr-f128b16")
        times_s = [sr_latency_s(chip, load_network(name, 2), *size, "w8a8") for name in names]
        assert times_s == sorted(times_s)
        assert len(set(times_s)) == len(names)


def test_a_network_without_layers_costs_overhead_and_images() -> None:
    chip = load_soc("snapdragon-8-elite")
    empty = replace(load_network("edsr-f32b5", 2), layers=())
    image_bytes = 3 * (128 * 128 + 256 * 256)
    expected_s = chip.overhead_s + image_bytes / chip.tensor_bandwidth_bytes_per_s
    assert sr_latency_s(chip, empty, 128, 128, "w8a8") == pytest.approx(expected_s)


def test_memory_decides_only_where_maps_leave_the_chip() -> None:
    chip = load_soc("snapdragon-8-gen-3")
    slower = replace(chip, memory_bandwidth_bytes_per_s=chip.memory_bandwidth_bytes_per_s / 2)
    net = load_network("edsr-f32b5", 2)
    assert sr_latency_s(slower, net, 128, 128, "w8a8") == sr_latency_s(chip, net, 128, 128, "w8a8")
    assert sr_latency_s(slower, net, 960, 540, "w8a8") > 1.3 * sr_latency_s(chip, net, 960, 540, "w8a8")
    roomy = replace(chip, on_chip_bytes=1e9)
    assert sr_latency_s(roomy, net, 960, 540, "w8a8") < 0.9 * sr_latency_s(chip, net, 960, 540, "w8a8")


def test_a_large_frame_costs_more_than_constant_tops_say() -> None:
    # From the tile to 540p the time of a narrow network grows faster than its pixels once memory decides.
    chip, net = load_soc("snapdragon-7s-gen-3"), load_network("edsr-f32b5", 2)
    fixed_s = chip.overhead_s
    tile_s = sr_latency_s(chip, net, 128, 128, "w8a8") - fixed_s
    frame_s = sr_latency_s(chip, net, 960, 540, "w8a8") - fixed_s
    assert frame_s / tile_s > 1.5 * (960 * 540) / (128 * 128)


@pytest.mark.parametrize("soc", ["snapdragon-8-elite", "snapdragon-8-gen-3", "snapdragon-8-gen-2"])
def test_every_constant_matters(soc: str) -> None:
    chip, net = load_soc(soc), load_network("edsr-f32b5", 2)
    before_s = sr_latency_s(chip, net, 960, 540, "w8a8") + sr_latency_s(chip, net, 128, 128, "w8a8")
    for name in (
        "overhead_s",
        "tensor_bandwidth_bytes_per_s",
        "vector_bandwidth_bytes_per_s",
        "memory_bandwidth_bytes_per_s",
        "on_chip_bytes",
    ):
        other = replace(chip, **{name: 2 * getattr(chip, name)})
        after_s = sr_latency_s(other, net, 960, 540, "w8a8") + sr_latency_s(other, net, 128, 128, "w8a8")
        assert after_s != before_s, name


def test_float_is_slower_than_8_bit() -> None:
    chip, net = load_soc("snapdragon-8-gen-2"), load_network("quicksrnet-large", 2)
    assert sr_latency_s(chip, net, 640, 360, "fp16") > sr_latency_s(chip, net, 640, 360, "int8")


def test_a_flagship_plays_540p_in_real_time_and_a_mid_range_chip_does_not() -> None:
    net = load_network("edsr-f32b5", 2)
    assert sr_latency_s(load_soc("snapdragon-8-elite"), net, 960, 540, "w8a8") < 1 / 30
    assert sr_latency_s(load_soc("snapdragon-7s-gen-3"), net, 960, 540, "w8a8") > 1 / 60


def test_refusals() -> None:
    net = load_network("xlsr", 4)
    with pytest.raises(InputError, match="nearest: snapdragon-8-elite"):
        load_soc("snapdragon-8-elit")
    with pytest.raises(InputError, match="qcs6490 has no rate for precision 'fp16'; allowed: w8a8"):
        sr_latency_s(load_soc("qcs6490"), net, 128, 128, "fp16")
    with pytest.raises(InputError, match="unknown precision"):
        sr_latency_s(load_soc("qcs6490"), net, 128, 128, "int4")
    with pytest.raises(InputError, match="at least 1 x 1"):
        sr_latency_s(load_soc("qcs6490"), net, 0, 128, "w8a8")
