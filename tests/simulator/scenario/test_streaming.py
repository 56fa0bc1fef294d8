"""Streaming services in a scenario file: what is read, what is refused and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.document import dump_yaml
from devices.errors import InputError
from simulator.policies.collaboration.mpbond import MpBond
from simulator.policies.collaboration.oasis import Oasis
from simulator.scenario import load_text
from simulator.scenario.load import load, to_data

BASE = """\
version: 1
name: two-phones
devices:
  host: {profile: galaxy-s20-ultra, phone: {wwan: {trace: steady, bandwidth: 2 Mbit/s}}}
  guest: {profile: pixel-5, count: 2, phone: {battery: 50 %, joins: 10 s, away: [{start: 20 s, end: 30 s}]}}
services:
  video:
    kind: streaming
    phones: [host, guest]
    super_resolution: [180p-720p]
workloads:
  watch: {trace: video, service: video, segments: 30}
"""

SHIPPED = sorted((Path(__file__).parents[3] / "scenarios" / "oasis").glob("*.yaml"))


def faults_of(text: str, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_text(text, overrides, name="f.yaml")
    return "\n".join(map(str, caught.value.faults))


def test_what_is_read() -> None:
    scenario = load_text(BASE)
    service = scenario.streaming_services["video"]
    assert (service.phones, service.policies.collaboration, service.policies.abr) == (
        ("host", "guest"),
        Oasis(),
        None,
    )
    phone = scenario.devices["guest"].phone
    assert phone is not None
    assert (phone.battery, phone.joins, phone.away[0].start, phone.away[0].end) == (0.5, 10.0, 20.0, 30.0)
    name, video = scenario.videos["video"]
    assert (name, video.segments, [step.height for step in video.ladder]) == (
        "watch",
        30,
        [180, 360, 540, 720, 1080],
    )
    assert not scenario.llm_services and not scenario.request_workloads


def test_either_half_of_a_policy_can_be_another_ones() -> None:
    scenario = load_text(
        BASE,
        [
            "services.video.policies.collaboration=mpbond",
            "services.video.policies.abr={name: oasis, alpha: 2}",
        ],
    )
    policies = scenario.streaming_services["video"].policies
    assert (policies.collaboration, policies.abr) == (MpBond(), Oasis(alpha=2.0))


@pytest.mark.parametrize("text", [BASE, *(path.read_text() for path in SHIPPED)])
def test_a_resolved_scenario_reads_back_equal(text: str) -> None:
    scenario = load_text(text, ["services.video.policies.abr={name: oasis, alpha: 2}"])
    assert load_text(dump_yaml(to_data(scenario))) == scenario


def test_every_study_of_the_issue_has_its_scenario() -> None:
    assert {path.stem for path in SHIPPED} >= {
        "phones",
        "compute_skew",
        "network_skew",
        "abr_ablation",
        "networks",
        "flagship",
        "churn",
    }
    for path in SHIPPED:
        load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "phones: [host, guest]",
            "phones: [host, gest]",
            "f.yaml:9:20: services.video.phones.1: unknown device",
        ),
        ("phones: [host, guest]", "phones: [host, guest, host]", "'host' is listed twice"),
        ("profile: pixel-5", "profile: pixel-6", "devices.guest.profile: unknown device profile 'pixel-6'"),
        ("pixel-5, count: 2,", "pixel-5, memory: 8 GiB,", "memory: does not apply to a phone (pixel-5)"),
        (
            "profile: pixel-5, count: 2, phone: {battery: 50 %, joins: 10 s, away: [{start: 20 s, end: 30 s}]}",
            "profile: nvme-gen4",
            "services.video.phones.1: device 'guest' is of kind storage; allowed: devices of kind phone",
        ),
        (
            "phone: {wwan: {trace: steady, bandwidth: 2 Mbit/s}}",
            "count: 1",
            "services.video.phones: no phone has a WWAN: nobody could download anything",
        ),
        (
            "[180p-720p]",
            "[180p-2160p]",
            "super_resolution.0: no phone can run '180p-2160p'; they run: 180p-1080p",
        ),
        (
            "[180p-720p]",
            "[240p-720p]",
            "super_resolution.0: the ladder has no height 240p; it has: 180p, 360p",
        ),
        (
            "[180p-720p]",
            "[]\n    upper_bound: sr_only",
            "upper_bound: is sr_only, but super_resolution is empty",
        ),
        ("[180p-720p]", "[720p-180p]", "super_resolution.0: '720p-180p' is no combination"),
        ("[180p-720p]", "[180p-720p, 180p-720p]", "super_resolution.1: '180p-720p' is listed twice"),
        (
            "super_resolution: [180p-720p]",
            "super_resolution: [180p-720p]\n    policies: {collaboration: {name: mpbond, output_height: 1440}}",
            "services.video.policies.collaboration: 180p-1440p is not one of super_resolution (180p-720p)",
        ),
        (
            "super_resolution: [180p-720p]",
            "super_resolution: [180p-720p]\n    policies: {abr: {name: oasis_with_rule, output_height: 1080}}",
            "services.video.policies.abr: no combination of super_resolution plays 1080p (180p-720p)",
        ),
        (
            "[180p-720p]",
            "[180p-720p]\n    startup_chunks: 40",
            "startup_chunks: 40 chunks of 1 s are more than the",
        ),
        ("segments: 30", "heights: [180]", "workloads.watch.heights: has no meaning without path"),
        (
            "segments: 30",
            "ladder: [{bitrate: 300 kbit/s, height: 180, vmaf: 30}, {bitrate: 1 Mbit/s}]",
            "vmaf stands at some",
        ),
        ("battery: 50 %", "battery: 0", "devices.guest.phone.battery: is empty; allowed: above 0"),
        (
            "battery: 50 %",
            "thermal: {ambient_c: 45}",
            "devices.guest.phone.thermal: needs -60 <= ambient_c < throttle",
        ),
        ("battery: 50 %", "thermal: {time_constant: 0}", "thermal.time_constant: is 0 s; allowed: above 0 s"),
        ("joins: 10 s", "joins: 10 s, leaves: 5 s", "phone.leaves: is 5 s, not after joining at 10 s"),
        ("end: 30 s", "end: 15 s", "phone.away.0: from 20 to 15 s; allowed: rising"),
        ("battery: 50 %", "radio: 6g", "devices.guest.phone.radio: '6g' is not allowed"),
        ("battery: 50 %", "npu: {soc: snapdragon-9}", "unknown device profile 'snapdragon-9'"),
        ("battery: 50 %", "npu: {soc: qcs6490, network: quicksr}", "unknown SR network 'quicksr'"),
        (
            "trace: steady, bandwidth: 2 Mbit/s",
            "trace: synthetic, like: norway-4g",
            "unknown network 'norway-4g'; nearest: norway-3g",
        ),
        (
            "trace: steady, bandwidth: 2 Mbit/s",
            "trace: recorded, path: nowhere.json",
            "devices.host.phone.wwan.path: there is no file 'nowhere.json'",
        ),
        (
            "bandwidth: 2 Mbit/s",
            "bandwidth: -2 Mbit/s",
            "devices.host.phone.wwan.bandwidth: '-2 Mbit/s' is out of",
        ),
        (
            "segments: 30",
            "ladder: [{bitrate: 300 kbit/s, height: 180}, {bitrate: 200 kbit/s}]",
            "workloads.watch.ladder.1.bitrate: a ladder must rise",
        ),
        ("segments: 30", "segment: 0", "workloads.watch.segment: is 0.0 s; allowed: above 0 s"),
        (
            "trace: video, service: video, segments: 30",
            "trace: azure, service: video, path: pyproject.toml",
            "takes video",
        ),
        (
            "  watch: {trace",
            "  again: {trace: video, service: video}\n  watch: {trace",
            "plays several videos",
        ),
    ],
)
def test_what_is_refused_and_where(old: str, new: str, message: str) -> None:
    assert BASE.count(old) == 1
    assert message in faults_of(BASE.replace(old, new))


def test_a_combination_that_nobody_has_a_bitrate_for() -> None:
    text = BASE.replace("[180p-720p]", "[180p-360p]").replace("battery: 50 %", "sr_rates: {180p-360p: 60/s}")
    assert "services.video.effective_bitrates.180p-360p: is missing" in faults_of(text)
    said = "services.video.effective_bitrates={180p-360p: 500 kbit/s}"
    assert load_text(text, [said]).streaming_services["video"].effective_bitrates == {"180p-360p": 62500.0}


def test_the_half_that_is_not_used_may_be_fixed_to_anything() -> None:
    load_text(
        BASE,
        [
            "services.video.policies.collaboration={name: mpbond, output_height: 1440}",
            "services.video.policies.abr=oasis",
        ],
    )


def test_an_unknown_chip_is_one_fault() -> None:
    text = BASE.replace("wwan: {trace: steady", "npu: {soc: qcs649}, wwan: {trace: steady")
    assert faults_of(text).count("\n") == 0


def test_a_service_without_a_video() -> None:
    text = BASE.replace("service: video", "service: audio")
    with pytest.raises(InputError, match="unknown service 'audio'"):
        load_text(text)
