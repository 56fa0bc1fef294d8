"""Streaming services as a scenario runs them: figures, tables, comparisons, networks by path."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from devices.errors import InputError
from simulator.cli import main
from simulator.core import Streams
from simulator.experiments.compare import compare
from simulator.experiments.run_store import load_run
from simulator.metrics.viewers import summarize_viewers
from simulator.notebook import run as run_notebook
from simulator.scenario import load_text
from simulator.scenario.load import Resolver
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.qoe import PlayedSession, figure
from simulator.streaming.service import StreamedVideo
from simulator.world import RunResult, simulate

TEXT = """\
version: 1
name: group
devices:
  host: {profile: galaxy-s20-ultra, phone: {wwan: {trace: steady, bandwidth: 3 Mbit/s}}}
  guest: {profile: pixel-5, count: 2}
services:
  video: {kind: streaming, phones: [host, guest], super_resolution: [180p-720p, 360p-720p]}
workloads:
  watch: {trace: video, service: video, segments: 40, sessions: 2}
"""
HERE = Resolver(Path())


def run(*overrides: str, text: str = TEXT) -> RunResult:
    return simulate(load_text(text, overrides))


def test_every_phone_of_every_session_has_a_row() -> None:
    viewers = run().viewers["video"]
    assert viewers.column("session").tolist() == [0, 0, 0, 1, 1, 1]
    assert viewers.column("phone").tolist() == ["host", "guest-1", "guest-2"] * 2
    assert viewers.column("device").tolist() == ["host", "guest", "guest"] * 2
    assert viewers.column("complete").all() and (viewers.column("played") == 40).all()


def test_a_viewers_qoe_is_that_of_its_chunks() -> None:
    result = run()
    session, viewers = result.sessions["video"][0], result.viewers["video"]
    quality = dict(zip(session.chunks.column("chunk"), session.chunks.column("quality_bps"), strict=True))
    level = dict(zip(session.chunks.column("chunk"), session.chunks.column("level"), strict=True))
    mine = session.viewing.column("phone") == "guest-1"
    watched = session.viewing.column("chunk")[mine]
    video = StreamedVideo(result.scenario, "video", Streams(0), HERE).video
    played = PlayedSession(
        video.bitrates_bps,
        [level[chunk] for chunk in watched],
        session.viewing.column("stall_s")[mine],
        measured={"effective_mbps": [quality[chunk] / 1e6 for chunk in watched]},
    )
    for name in ("oasis", "linear", "log", "yin"):
        qoe = figure(name).of(played)
        assert qoe is not None
        assert viewers.column(f"qoe_{name}")[1] == pytest.approx(qoe.per_segment, rel=1e-12)
    assert isnan(viewers.column("qoe_hd")[1]), "defined for another ladder"


def test_energy_of_devices_is_that_of_their_phones() -> None:
    result = run()
    viewers = result.viewers["video"]
    energy_j = viewers.column("energy_j")
    components = sum(
        viewers.column(f"{name}_j")
        for name in ("cellular", "wlan", "decode", "sr", "encode", "display", "rest")
    )
    np.testing.assert_allclose(components, energy_j)
    for device, totals in result.devices.items():
        assert totals.energy_j == pytest.approx(energy_j[viewers.column("device") == device].sum())
    summary = result.summary()
    assert summary["energy_j"]["total"] == pytest.approx(energy_j.sum())  # type: ignore[index]


def test_a_run_is_a_function_of_its_scenario_and_seed() -> None:
    text = TEXT.replace("trace: steady, bandwidth: 3 Mbit/s", "trace: synthetic, like: norway-3g")
    first, again = (json.dumps(run(text=text).summary()) for _ in range(2))
    assert first == again
    assert json.dumps(run("seed=1", text=text).summary()) != first
    viewers = run(text=text).viewers["video"]
    assert viewers.column("end_s")[0] != viewers.column("end_s")[3], "another session, another network"


def test_policies_see_the_same_networks() -> None:
    text = TEXT.replace("trace: steady, bandwidth: 3 Mbit/s", "trace: synthetic, like: norway-3g")

    def network(policy: str) -> NetworkTrace | None:
        scenario = load_text(text, [f"services.video.policies.collaboration={policy}"])
        return StreamedVideo(scenario, "video", Streams(0), HERE).group(1).phones[0].wwan

    assert network("oasis") == network("mpbond")


def test_the_summary_is_what_the_contract_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "group.yaml"
    path.write_text(TEXT)
    assert main(["run", str(path), "--json", "--quiet", "--out", str(tmp_path / "runs")]) == 0
    summary = json.loads(capsys.readouterr().out)
    service = summary["services"]["video"]
    assert service["kind"] == "streaming" and service["sessions"] == {"played": 2, "complete": 2}
    for name in ("qoe", "rebuffer_s", "bitrate_kbps"):
        assert set(service[name]) >= {"mean", "p50", "p90", "p99"}
    assert set(summary["energy_j"]["devices"]) == {"host", "guest"}


def test_a_stored_run_gives_its_summary_again(tmp_path: Path) -> None:
    path = tmp_path / "group.yaml"
    path.write_text(TEXT)
    comparison = compare(path, {}, out=tmp_path / "runs")
    (name,) = comparison.variants[0].folders
    stored = load_run(tmp_path / "runs" / name)
    assert stored.recomputed_summary() == stored.summary
    assert len(stored.viewers) == 6 and set(stored.chunks["session"]) == {0, 1}
    assert len(stored.viewing) == 2 * 3 * 40
    assert set(stored.phones["phone"]) == {"host", "guest-1", "guest-2"}
    assert not (stored.folder / "requests.parquet").exists()


def test_viewers_are_paired_across_variants(tmp_path: Path) -> None:
    path = tmp_path / "group.yaml"
    path.write_text(TEXT)
    comparison = compare(path, {"services.video.policies.collaboration": ["oasis", "mpbond"]})
    difference = comparison.differences(comparison.variants[1])
    means = [it.statistics["services.video.energy_per_phone_j.mean"].mean for it in comparison.variants]
    assert None not in means
    found = difference["services.video.energy_per_phone_j.mean"].mean
    assert found == pytest.approx(means[1] - means[0])  # type: ignore[operator]


def test_no_policy_beats_the_upper_bound_of_its_session() -> None:
    for policy in ("oasis", "mpbond", "microcast", "local_only"):
        viewers = run(
            f"services.video.policies.collaboration={policy}", "services.video.upper_bound=sr_only"
        ).viewers
        bound, qoe = (viewers["video"].column(name) for name in ("upper_bound", "qoe_oasis"))
        assert (qoe <= bound).all()
        later_s = viewers["video"].column("startup_s")[:3] - viewers["video"].column("startup_s")[:3].min()
        np.testing.assert_allclose(bound[:3] - bound[:3].min(), 4.3 / 40 * later_s, atol=1e-12)


def test_llm_and_streaming_services_share_a_scenario() -> None:
    text = TEXT.replace("devices:\n", "devices:\n  gpu: {profile: a100-80g-sxm}\n")
    text = text.replace("services:\n", "services:\n  chat: {kind: llm, model: llama-2-7b, gpus: gpu}\n")
    text += "  chat: {trace: synthetic, service: chat, requests: 3, arrivals: at_once, input_tokens: 9,\n"
    text += "         output_tokens: 4}\n"
    alone, summary = run().summary(), run(text=text).summary()
    assert summary["services"]["video"] == alone["services"]["video"]  # type: ignore[index]
    assert summary["services"]["chat"]["requests"]["completed"] == 3  # type: ignore[index]
    assert summary["energy_j"]["devices"].keys() == {"gpu", "host", "guest"}  # type: ignore[index]


def test_recorded_networks_by_file_and_by_folder(tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.txt").write_text("".join(f"{s} {number}\n" for s in range(1, 60)))

    def networks(path: Path, extra: str = "") -> list[NetworkTrace | None]:
        wwan = f"devices.host.phone.wwan={{trace: recorded, path: '{path}'{extra}}}"
        streamed = StreamedVideo(load_text(TEXT, [wwan]), "video", Streams(0), HERE)
        return [streamed.group(session).phones[0].wwan for session in range(8)]

    means = {round(it.mean_bps / 1e6, 6) for it in networks(folder) if it}
    assert means == {1.0, 2.0}, "each session draws a file"
    doubled = networks(folder / "1.txt", ", start: 0 s, scale: 2")
    assert {(it.mean_bps, it.duration_s) for it in doubled if it} == {(2e6, doubled[0].duration_s)}  # type: ignore[union-attr]
    assert len({it.durations_s for it in networks(folder / "1.txt") if it}) > 1, "each session has its start"
    notes = run(
        f"devices.host.phone.wwan={{trace: recorded, path: '{folder / '1.txt'}', start: 0 s}}",
        "workloads.watch.segments=80",
    ).notes
    assert sum("start over" in note for note in notes) == 1


def test_a_network_that_starts_later_is_the_same_network() -> None:
    trace = NetworkTrace("n", (2.0, 3.0, 5.0), (1e6, 2e6, 4e6), (0.1, 0.2, 0.3))
    for start_s in (0.0, 0.7, 2.0, 4.9, 5.0, 9.99, 10.0, 23.0):
        later = trace.starting_at(start_s)
        assert later.duration_s == pytest.approx(10.0) and later.mean_bps == pytest.approx(trace.mean_bps)
        for time_s, bits in ((0.0, 1e6), (1.3, 9e6), (8.0, 3e7)):
            expected = trace.last_byte_s(start_s + time_s, bits) - start_s
            assert later.last_byte_s(time_s, bits) == pytest.approx(expected)


def test_a_manifest_needs_heights_for_sr(tmp_path: Path) -> None:
    manifest = tmp_path / "v.json"
    sizes = [[3e5, 8e5]] * 20
    manifest.write_text(
        json.dumps({"segment_duration_ms": 1000, "bitrates_kbps": [300, 800], "segment_sizes_bits": sizes})
    )
    path = f"workloads.watch.path='{manifest}'"
    with pytest.raises(
        InputError, match=r"super_resolution\.0: 180p-720p: v has no level of 180p; it has none: give"
    ):
        run(path)
    with pytest.raises(InputError, match=r"workloads\.watch\.heights: 1 heights for the 2 levels"):
        run(path, "workloads.watch.heights=[180]")
    with_sr = run(path, "workloads.watch.heights=[180, 360]")
    assert (with_sr.viewers["video"].column("sr_share") == 1.0).all()
    plain = run(path, "services.video.super_resolution=[]", "services.video.policies.collaboration=no_sr")
    assert (plain.viewers["video"].column("sr_share") == 0.0).all()


def test_vmaf_and_ssim_of_a_ladder_give_their_figures() -> None:
    ladder = (
        "workloads.watch.ladder=[{bitrate: 300 kbit/s, height: 180, vmaf: 30, ssim_db: 9}, "
        "{bitrate: 800 kbit/s, height: 360, vmaf: 60, ssim_db: 12}]"
    )
    fixed = "services.video.policies.collaboration=mpbond"
    viewers = run(ladder, fixed, "services.video.super_resolution=[180p-720p]").viewers["video"]
    assert viewers.column("effective_bps")[0] == 450e3
    stall_s = viewers.column("rebuffer_s")[0] / 40
    share = (450 - 300) / (800 - 300)  # where the plain ladder looks as good
    assert viewers.column("qoe_vmaf")[0] == pytest.approx(0.8469 * (30 + share * 30) - 28.796 * stall_s)
    assert viewers.column("qoe_ssim")[0] == pytest.approx(9 + share * 3 - 20 * stall_s)


def test_time_lost_with_each_chunk_slows_sr_at_the_same_energy() -> None:
    quick, slow = (
        run("workloads.watch.sessions=1", f"devices.host.phone.sr_overhead={time}").viewers["video"]
        for time in ("0 s", "500 ms")
    )
    assert slow.column("sr_busy_s")[0] > quick.column("sr_busy_s")[0]
    policy = "services.video.policies.collaboration=no_collaboration"
    alone = [
        run(policy, "workloads.watch.sessions=1", f"devices.host.phone.sr_overhead={time}").viewers["video"]
        for time in ("0 s", "500 ms")
    ]
    assert alone[1].column("sr_j")[0] == pytest.approx(alone[0].column("sr_j")[0], rel=1e-9)
    lost_s = alone[1].column("sr_busy_s")[0] - alone[0].column("sr_busy_s")[0]
    assert lost_s == pytest.approx(40 * 0.5)


def test_a_bound_over_sr_is_not_claimed_for_plain_chunks() -> None:
    viewers = run("services.video.policies.collaboration=no_sr", "services.video.upper_bound=sr_only").viewers
    assert np.isnan(viewers["video"].column("upper_bound")).all()


def test_who_never_played_counts_nowhere_but_in_energy() -> None:
    text = TEXT.replace("count: 2}", "phone: {joins: 5000 s}}").replace("sessions: 2", "sessions: 1")
    viewers = run(text=text).viewers["video"]
    summary = summarize_viewers(viewers)
    assert summary["viewers"]["watched"] <= len(viewers)
    assert summary["qoe"]["mean"] is not None


def test_a_notebook_gets_viewers_and_chunks_as_frames(tmp_path: Path) -> None:
    path = tmp_path / "group.yaml"
    path.write_text(TEXT)
    done = run_notebook(path)
    viewers, chunks = done.viewers(), done.chunks("video", session=1)
    assert list(viewers["phone"].unique()) == ["host", "guest-1", "guest-2"]
    assert set(viewers["service"]) == {"video"}
    assert sorted(chunks["chunk"].unique()) == list(range(40))
    with pytest.raises(KeyError, match="no service None of this kind; there are: none"):
        done.frame()


def test_a_hot_day_throttles_and_stops_phones() -> None:
    hot = ["devices.host.phone.thermal={ambient_c: 38, time_constant: 20 s, resistance_scale: 2}"]
    cool, warm = run("workloads.watch.segments=200"), run("workloads.watch.segments=200", *hot)
    happened = {entry.what for entry in warm.sessions["video"][0].log if entry.phone == "host"}
    assert {"throttled", "stopped"} <= happened
    assert not {entry.what for entry in cool.sessions["video"][0].log} & {"throttled", "stopped"}
    assert warm.viewers["video"].column("end_s")[0] > cool.viewers["video"].column("end_s")[0]
    assert warm.viewers["video"].column("complete").all()
