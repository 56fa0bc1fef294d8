"""Downloads over a link of the scenario: shared with other phones, other groups, and loads of KV."""

from __future__ import annotations

import re

import numpy as np
import pytest

from devices.errors import InputError
from simulator.scenario import load_text
from simulator.world import RunResult, simulate

TEXT = """\
version: 1
name: cell
devices:
  handset: {profile: galaxy-s20-ultra, count: 1, phone: {wwan: {trace: link, link: cell}}}
links:
  cell: {profile: ethernet-10g, bandwidth: 3 Mbit/s, latency: 40 ms}
services:
  video: {kind: streaming, phones: [handset], group_size: 1}
workloads:
  watch: {trace: video, service: video, segments: 30}
"""
CHAT = """\
  chat: {trace: synthetic, service: chat, requests: 1, arrivals: at_once, input_tokens: 4000, output_tokens: 1,
    stored: {tier: remote}}
"""


def run(*overrides: str, text: str = TEXT) -> RunResult:
    return simulate(load_text(text, overrides))


def mean(result: RunResult, name: str) -> float:
    return float(np.mean(result.viewers["video"].column(name)))


def test_alone_on_a_link_is_as_on_a_network_of_its_own() -> None:
    shared = run()
    own = run(text=re.sub(r"links:\n.*\n", "", TEXT.replace(
        "{trace: link, link: cell}", "{trace: steady, bandwidth: 3 Mbit/s, latency: 40 ms}")))  # fmt: skip
    for name in ("startup_s", "rebuffer_s", "cellular_j", "energy_j", "qoe_oasis", "session_end_s"):
        assert mean(shared, name) == pytest.approx(mean(own, name), rel=1e-4), name  # 20 us of each transfer


def test_groups_share_what_the_link_brings() -> None:
    """Without SR, at a level above what is there, the downloads of all groups take their bits over the bandwidth."""
    fixed = (
        "services.video.policies={collaboration: no_sr, abr: {name: no_sr, rule: {name: fixed, level: 3}}}"
    )
    for count in (1, 2, 5):
        result = run(fixed, f"devices.handset.count={count}")
        bits = sum(it.chunks.column("bits").sum() for it in result.sessions["video"].values())
        last_s = max(it.chunks.column("download_end_s").max() for it in result.sessions["video"].values())
        assert bits == pytest.approx(count * 30 * 2.5e6)
        if count > 1:
            assert last_s == pytest.approx(bits / 3e6 + 30 * 0.04, abs=0.05 * last_s)
        starts = [it.chunks.column("download_start_s") for it in result.sessions["video"].values()]
        assert all(np.array_equal(it, starts[0]) for it in starts), "alike groups have alike shares"


def test_videos_and_loads_of_kv_hold_each_other_up() -> None:
    text = TEXT.replace("devices:\n", "devices:\n  gpu: {profile: a100-80g-sxm}\n"
                        "  remote: {profile: remote-tcp-25g, link: cell}\n")  # fmt: skip
    chat = "  chat: {kind: llm, model: llama-2-7b, gpus: gpu, kv_tiers: [remote], policies: {kv_loading: io_only}}\n"
    text = text.replace("services:\n", f"services:\n{chat}") + CHAT
    wide = "links.cell.bandwidth=200 Mbit/s"
    alone = re.sub(r"  handset.*\n|  video.*\n|  watch.*\n", "", text)
    ttft_s = [
        it.summary()["services"]["chat"]["ttft_s"]["mean"]  # type: ignore[index]
        for it in (run(wide, text=alone), run(wide, text=text))
    ]
    assert ttft_s[1] > ttft_s[0]
    downloads_s = [
        float((chunks.column("download_end_s") - chunks.column("download_start_s")).max())
        for it in (run(wide), run(wide, text=text))
        for chunks in (it.sessions["video"][0].chunks,)
    ]
    assert downloads_s[1] - 0.04 == pytest.approx(2.0 * (downloads_s[0] - 0.04), rel=0.02), "two on the link"


def test_an_outage_of_the_link_stops_all_downloads() -> None:
    faults = "faults:\n  out: {link: cell, kind: outage, at: 5 s, duration: 20 s}\n"
    calm, struck = run("devices.handset.count=2"), run("devices.handset.count=2", text=TEXT + faults)
    for session in struck.sessions["video"].values():
        ends = session.chunks.column("download_end_s")
        assert not ((ends > 5.0) & (ends < 25.0)).any()
    assert mean(struck, "rebuffer_s") > mean(calm, "rebuffer_s") + 10.0


def test_what_is_wrong_with_a_link_is_said() -> None:
    with pytest.raises(InputError, match=r"devices\.handset\.phone\.wwan\.link: .*nearest: cell"):
        run("devices.handset.phone.wwan.link=sell")
    with pytest.raises(InputError, match=r"services\.video\.upper_bound: .*handset share a link"):
        run("services.video.upper_bound=any")
    with pytest.raises(InputError, match="no device or place uses it"):
        run("devices.handset.phone.wwan={trace: steady, bandwidth: 3 Mbit/s}")
