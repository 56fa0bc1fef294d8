"""SR on GPUs, predicted from layers: bounds by arithmetic and memory, what it scales with, published figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devices.catalogue import load_profile, profile_names
from devices.profiles import GpuProfile
from simulator.scenario.streaming_spec import HelperSpec
from simulator.streaming.gpu_sr import FULL_HD, HOST_FRAMES_PER_S, helper_sr, predicted_sr, video_s_per_frame
from simulator.streaming.networks import load_network

GPUS = [name for name in profile_names("gpu") if not name.startswith("cpu")]


def gpu(name: str) -> GpuProfile:
    profile = load_profile(name)
    assert isinstance(profile, GpuProfile)
    return profile


@pytest.mark.parametrize("name", GPUS)
@pytest.mark.parametrize("network", ["quicksrnet-small", "edsr-f64b16", "real-esrgan-x4plus"])
def test_no_gpu_is_faster_than_its_peaks_and_none_draws_more_than_it_may(name: str, network: str) -> None:
    profile, layers = gpu(name), load_network(network, 4)
    speed = predicted_sr(profile, layers, 640, 360)
    flops = 2.0 * layers.macs_per_pixel * 640 * 360
    assert speed.frames_per_s * flops < profile.peak_flops
    # the widest feature map is written and read at least once
    widest = 640 * 360 * max(it.outputs * it.resolution**2 for it in layers.layers if it.kind == "conv")
    assert speed.frames_per_s * 4.0 * widest < profile.memory_bandwidth_bytes_per_s
    assert 0.0 < speed.power_w <= profile.tdp_w - profile.idle_w


def test_large_frames_take_time_by_their_pixels() -> None:
    one, four = (predicted_sr(gpu("l40s"), load_network("edsr-f64b16", 2), 16 * k, 9 * k) for k in (100, 200))
    assert one.frames_per_s / four.frames_per_s == pytest.approx(4.0, rel=0.01)


def test_a_launch_is_the_least_that_a_kernel_takes() -> None:
    profile, network = gpu("l40s"), load_network("quicksrnet-small", 4)
    tiny = predicted_sr(profile, network, 1, 1)
    kernels = sum(it.kind == "conv" for it in network.layers) + 2  # and two to change colours
    assert 1.0 / tiny.frames_per_s > kernels * profile.gemm["bf16"].launch_s


def test_real_esrgan_for_animation_on_an_rtx_4090() -> None:
    """82 ms per frame of 3840 x 2160 compiled, 98 ms eager (github.com/rraspo/Real-ESRGAN, docs/benchmark.md).

    That network is the general one with 16 instead of 32 layers in its body.
    """
    general = load_network("real-esrgan-general", 4)
    animation = replace(general, layers=(*general.layers[:34], *general.layers[-3:]))
    assert sum(it.kind == "conv" for it in animation.layers) == 18
    frame_s = 1.0 / predicted_sr(gpu("rtx-4090"), animation, 3840, 2160).frames_per_s
    assert 0.8 * 0.082 < frame_s < 0.098


def test_a_helper_does_what_its_network_has_a_scale_for() -> None:
    helper = HelperSpec("gpu", network="real-esrgan-x4plus")
    assert list(helper_sr(helper, gpu("l40s"), ("180p-720p", "360p-720p", "240p-500p"))) == ["180p-720p"]


def test_rates_that_are_said_come_with_the_boards_limit() -> None:
    speeds = helper_sr(HelperSpec("gpu", sr_rates={"180p-720p": 200.0}), gpu("l40s"), ("180p-720p",))
    assert (speeds["180p-720p"].frames_per_s, speeds["180p-720p"].power_w) == (200.0, 250.0)


def test_video_engines_as_in_the_application_notes() -> None:
    """NVIDIA Video Codec SDK 13.0, NVDEC and NVENC Application Notes: H.264, 1920 x 1080, per engine."""
    l40s, a100 = gpu("l40s"), gpu("a100-80g-sxm")
    assert video_s_per_frame(l40s, "decode", FULL_HD, 1) == pytest.approx(1 / 903)
    assert video_s_per_frame(l40s, "encode", FULL_HD, 3) == pytest.approx(1 / 652)
    assert video_s_per_frame(l40s, "encode", FULL_HD, 6) == pytest.approx(2 / 652), "two streams an engine"
    assert video_s_per_frame(l40s, "encode", 720, 1) == pytest.approx(1 / 652 / 1.5**2)
    assert video_s_per_frame(a100, "decode", FULL_HD, 5) == pytest.approx(1 / 771)
    assert "encode" not in a100.video, "the host encodes"
    assert video_s_per_frame(a100, "encode", FULL_HD, 9) == 1 / HOST_FRAMES_PER_S["encode"]


@pytest.mark.parametrize("name", GPUS)
def test_data_centre_boards_have_no_encoder(name: str) -> None:
    kinds = set(gpu(name).video)
    if name.startswith(("a100", "h100", "h20", "b200")):
        assert kinds == {"decode"}
    elif name == "mi300x":
        assert not kinds  # no rates are published
    else:
        assert kinds == {"decode", "encode"}
