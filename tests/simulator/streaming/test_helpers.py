"""Edge servers' GPUs in groups of phones: what they do, what they cost, who shares them."""

from __future__ import annotations

import numpy as np
import pytest

from devices.catalogue import load_profile
from devices.errors import InputError
from devices.profiles import GpuProfile
from simulator.experiments.evidence import citations
from simulator.scenario import load_text
from simulator.streaming.gpu_sr import predicted_sr
from simulator.streaming.networks import load_network
from simulator.world import RunResult, simulate

TEXT = """\
version: 1
name: edge
devices:
  phones: {profile: pixel-5, count: 4, phone: {wwan: {trace: steady, bandwidth: 1 Mbit/s}}}
  gpu: {profile: l40s}
links:
  line: {profile: ethernet-10g, latency: 20 ms}
services:
  video:
    kind: streaming
    phones: [phones]
    group_size: 2
    super_resolution: [180p-720p]
    helpers: {edge: {gpu: gpu, sr_rates: {180p-720p: 200/s}, download: line}}
workloads:
  watch: {trace: video, service: video, segments: 40}
"""
ALONE = "services.video.helpers={}"
BROUGHT = ["services.video.helpers.edge.download=null", "links={}"]
POLICIES = ("oasis", "mpbond", "microcast", "no_collaboration", "local_only", "no_sr")


def run(*overrides: str, text: str = TEXT) -> RunResult:
    return simulate(load_text(text, overrides))


def without_helper(*overrides: str) -> RunResult:
    text = "\n".join(
        line for line in TEXT.splitlines() if not line.startswith(("  gpu", "links", "  line", "    helpers"))
    )
    return run(*overrides, text=text)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_works_with_a_helper(policy: str) -> None:
    for extra in ([], BROUGHT):
        result = run(f"services.video.policies.collaboration={policy}", *extra)
        viewers = result.viewers["video"]
        assert sorted(viewers.column("phone")) == ["phones-1", "phones-2", "phones-3", "phones-4"]
        assert viewers.column("complete").all() and (viewers.column("played") == 40).all()
        for session in result.sessions["video"].values():
            assert set(session.chunks.column("chunk")) == set(range(40))
            assert "edge" not in set(session.intervals.column("phone")) | set(session.viewing.column("phone"))
        if extra:
            downloaders = {
                name for it in result.sessions["video"].values() for name in it.chunks.column("downloader")
            }
            assert "edge" not in downloaders


def test_a_helper_makes_the_video_better() -> None:
    without, brought, fetched = without_helper(), run(*BROUGHT), run()
    means = [
        [float(it.viewers["video"].column(name).mean()) for it in (without, brought, fetched)]
        for name in ("rebuffer_s", "sr_j", "cellular_j")
    ]
    assert means[0][0] > means[0][1] >= means[0][2]
    assert means[1][0] > 2.0 * means[1][1], "the phones are relieved of SR"
    assert means[2][1] > 2.0 * means[2][2], "and of downloads"


def test_the_energy_of_a_helper_is_its_gpus() -> None:
    result, gpu = run(), load_profile("l40s")
    assert isinstance(gpu, GpuProfile)
    chunks = [it.chunks for it in result.sessions["video"].values()]
    jobs = sum(int((it.column("processor") == "edge").sum()) for it in chunks)
    assert jobs
    busy_s = jobs * 30 / 200.0
    totals = result.devices["gpu"]
    assert totals.busy_s == pytest.approx(busy_s)
    assert totals.energy_j == pytest.approx(gpu.tdp_w * busy_s + gpu.idle_w * (result.simulated_s - busy_s))
    assert result.summary()["energy_j"]["devices"]["gpu"] == totals.energy_j  # type: ignore[index]
    assert any("helper edge" in note and "assumed" in note for note in result.notes)


def test_groups_share_a_unit_or_have_their_own() -> None:
    slow = "services.video.helpers.edge.sr_rates={180p-720p: 45/s}"
    both, own = (run(slow, f"devices.gpu.count={count}") for count in (1, 2))

    def sr_s(result: RunResult) -> np.ndarray:
        columns = [it.chunks for it in result.sessions["video"].values()]
        return np.concatenate([
            (it.column("sr_end_s") - it.column("sr_start_s"))[it.column("processor") == "edge"] for it in columns
        ])  # fmt: skip

    np.testing.assert_allclose(sr_s(own), 30 / 45)
    assert sr_s(both).max() > 1.5 * 30 / 45, "jobs wait for those of the other group"
    assert both.devices["gpu"].busy_s <= both.simulated_s


def test_a_helper_out_of_reach_takes_no_part() -> None:
    far = run("services.video.helpers.edge.x=500")
    without = without_helper()
    for name in ("qoe_oasis", "energy_j", "rebuffer_s", "session_end_s"):
        np.testing.assert_array_equal(
            far.viewers["video"].column(name), without.viewers["video"].column(name)
        )
    assert far.devices["gpu"].busy_s == 0.0


def test_a_helper_can_bring_what_no_phone_can() -> None:
    helpless = ["devices.phones.phone.wwan=null", "devices.phones.phone.sr_rates={}"]
    for policy in ("oasis", "mpbond", "microcast"):
        result = run(*helpless, f"services.video.policies.collaboration={policy}")
        assert result.viewers["video"].column("complete").all()
    with pytest.raises(InputError, match="no phone has a WWAN"):
        run(*helpless, "services.video.policies.collaboration=no_collaboration")


def test_it_goes_where_the_group_goes() -> None:
    """Who runs the hotspot leaves: the helper has to find and join that of the next one."""
    result = run(
        "devices.phones.phone.leaves=20 s",
        "services.video.group_size=null",
        "workloads.watch.segments=90",
        text=TEXT.replace(
            "  gpu:",
            "  stays: {profile: pixel-5, phone: {wwan: {trace: steady, bandwidth: 1 Mbit/s}}}\n  gpu:",
        ).replace("phones: [phones]", "phones: [phones, stays]"),
    )
    session = result.sessions["video"][0]
    assert ("controller", "stays") in [(it.what, it.phone) for it in session.log]
    last = session.chunks.column("processor")[session.chunks.column("sr_start_s") > 30.0]
    assert "edge" in set(last) and session.phones["stays"].played == 90


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("services.video.helpers.edge.gpu=phones", r"helpers\.edge\.gpu: .*of kind gpu"),
        ("services.video.helpers.edge.gpu=gpo", r"helpers\.edge\.gpu: .*nearest: gpu"),
        ("services.video.helpers.edge.download=lime", r"helpers\.edge\.download: .*nearest: line"),
        ("services.video.helpers.edge.sr_rates={720p: 9/s}", r"sr_rates\.720p: is no combination"),
        ("services.video.helpers.edge.network=xlsr", r"helpers\.edge: needs network .* or sr_rates"),
        ("services.video.helpers={edge: {gpu: gpu, download: line}}", r"needs network .* or sr_rates"),
        ("services.video.helpers={edge: {gpu: gpu, network: xlsrr}}", r"network: .*nearest: xlsr"),
        ("services.video.upper_bound=any", "knows no helpers"),
        ("services.video.helpers={phones-1: {gpu: gpu, sr_rates: {}, download: line}}", "name of a phone too"),
        ("faults={broken: {device: gpu, unit: 1, kind: failure, at: 3 s}}", r"unit: is 1; gpu has 1 units"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_helper_is_said(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(override)


OVER_5G = [
    "services.video.helpers.edge.access=line",
    "links.line.bandwidth=40 Mbit/s",
    "devices.phones.phone.radio=5g-low",
]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_helper_behind_a_link_works_with_every_policy(policy: str) -> None:
    result = run(f"services.video.policies.collaboration={policy}", *OVER_5G)
    viewers = result.viewers["video"]
    assert viewers.column("complete").all() and (viewers.column("played") == 40).all()


def test_what_a_helper_behind_a_link_gets_and_gives_crosses_the_link_once() -> None:
    """The phone alone: a chunk to super-resolve goes up, its result comes down; that costs the phone by the byte."""
    alone = [
        *OVER_5G,
        "services.video.group_size=1",
        "devices.phones.count=1",
        "services.video.helpers.edge.download=null",
    ]
    quick = "links.line.bandwidth=4 Gbit/s"
    result, quicker = run(*alone), run(*alone, quick)
    session = result.sessions["video"][0]
    chunks = session.chunks
    helped = chunks.column("processor") == "edge"
    assert helped.sum() > 10 and (chunks.column("downloader") == "phones").all()
    forward_s = (chunks.column("forward_end_s") - chunks.column("download_end_s"))[helped]
    least_s = 0.02 + chunks.column("bits")[helped] / 40e6
    assert (forward_s >= least_s - 1e-9).all() and forward_s.min() == pytest.approx(least_s.min(), rel=1e-3)
    assert session.air_busy_s == 0.0, "nobody else to send it on to"
    ends = [it.sessions["video"][0].chunks.column("complete_s").max() for it in (result, quicker)]
    assert ends[1] < ends[0]
    wifi = run(*alone[3:], "services.video.group_size=1", "devices.phones.count=1", "links={}")
    cellular_j = [it.viewers["video"].column("cellular_j")[0] for it in (wifi, result)]
    assert cellular_j[1] > cellular_j[0], "over Wi-Fi the cellular radio only downloads"


def test_only_a_controller_with_a_cellular_radio_reaches_a_link() -> None:
    text = TEXT.replace("  gpu:", "  host: {profile: pixel-5}\n  gpu:").replace(
        "phones: [phones]", "phones: [host, phones]"
    )
    result = run(*OVER_5G, "services.video.group_size=null", text=text)
    assert result.devices["gpu"].busy_s == 0.0


@pytest.mark.parametrize("policy", ["oasis", "mpbond", "microcast"])
def test_whoever_controls_brings_the_helper_along(policy: str) -> None:
    text = TEXT.replace(
        "  gpu:",
        "  stays: {profile: pixel-5, count: 2, phone: {wwan: {trace: steady, bandwidth: 1 Mbit/s}}}\n  gpu:",
    ).replace("phones: [phones]", "phones: [phones, stays]")
    for leaves_s in (3.0, 5.2, 7.7, 11.1, 20.3):
        result = run(
            *OVER_5G, f"devices.phones.phone.leaves={leaves_s} s", "services.video.group_size=null",
            "workloads.watch.segments=70", f"services.video.policies.collaboration={policy}", text=text,
        )  # fmt: skip
        session = result.sessions["video"][0]
        for name, phone in session.phones.items():
            assert min(phone.energy_j.values()) >= 0.0
            mine = session.intervals.column("phone") == name
            drawn_j = float(
                session.intervals.column("power_w")[mine] @ session.intervals.column("interval_s")[mine]
            )
            assert phone.total_j == pytest.approx(drawn_j)
        assert session.phones["stays-1"].played == session.phones["stays-2"].played == 70
        late = session.chunks.column("sr_start_s") > leaves_s + 6.0
        if policy == "oasis":
            assert "edge" in set(session.chunks.column("processor")[late])


def test_a_predicted_helper_draws_what_its_layers_take() -> None:
    text = TEXT.replace("sr_rates: {180p-720p: 200/s}", "network: edsr-f64b16")
    result = run(text=text)
    gpu = load_profile("l40s")
    assert isinstance(gpu, GpuProfile)
    speed = predicted_sr(gpu, load_network("edsr-f64b16", 4), 320, 180)
    jobs = sum(
        int((it.chunks.column("processor") == "edge").sum()) for it in result.sessions["video"].values()
    )
    busy_s = jobs * 30 / speed.frames_per_s
    assert result.devices["gpu"].busy_s == pytest.approx(busy_s)
    assert result.devices["gpu"].energy_j == pytest.approx(
        gpu.idle_w * result.simulated_s + speed.power_w * busy_s
    )
    assert any("predicted from the layers of edsr-f64b16, not measured" in note for note in result.notes)


def test_a_helper_stands_on_the_rates_of_its_video_engines() -> None:
    cited = {it.field for it in citations(load_text(TEXT, []))}
    assert {"video.decode.frames_per_s", "video.encode.engines"} <= cited
