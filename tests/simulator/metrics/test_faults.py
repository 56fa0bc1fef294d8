"""Figures of faults: by hand, by kind of what was struck, of viewers that never started; where they are shown."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.cli import main
from simulator.core import Table
from simulator.faults import injector, periods
from simulator.faults.records import FAULTS
from simulator.metrics.faults import service_faults, summarize_faults
from simulator.scenario.load import load_text
from simulator.world import simulate

EVERYTHING = """\
version: 1
name: everything
devices:
  gpu: {profile: a100-80g-sxm, count: 2}
  store: {profile: remote-rdma-100g, link: lan}
  handset: {profile: galaxy-s20-ultra, count: 3, phone: {wwan: {trace: steady, bandwidth: 4 Mbit/s}}}
links:
  lan: {profile: ethernet-25g}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu, kv_tiers: [store], policies: {kv_loading: cake}}
  watch: {kind: streaming, phones: [handset], policies: {collaboration: oasis}}
workloads:
  work: {trace: synthetic, service: chat, input_tokens: 512, output_tokens: 200, rate: 2/s, requests: 20}
  video: {trace: video, service: watch, segments: 30, sessions: 2}
faults:
  crash: {device: gpu, kind: failure, at: 2 s, duration: 1 s}
  again: {device: gpu, unit: 1, kind: failure, at: 2.5 s, duration: 1 s}
  slow: {device: gpu, unit: 0, kind: slowdown, factor: 0.5, at: 1 s, duration: 1 s}
  drop: {link: lan, kind: outage, at: 1 s, duration: 2 s}
  thin: {link: lan, kind: slowdown, factor: 0.1, at: 5 s, duration: 1 s}
  dead: {device: store, kind: failure, at: 3 s, duration: 0.5 s}
  gone: {device: handset, unit: 2, kind: failure, at: 0 s}
  hot: {device: handset, unit: 0, kind: slowdown, factor: 0.5, at: 5 s, duration: 1 s}
"""


def test_overlapping_faults_of_one_unit_count_once() -> None:
    table = Table(FAULTS)
    for kind, unit, session, start_s, end_s in (
        ("failure", 0, -1, 1.0, 4.0),
        ("failure", 0, -1, 2.0, 3.0),
        ("outage", 0, -1, 3.5, 5.0),
        ("failure", 1, -1, 1.0, 2.0),
        ("failure", 1, 0, 1.0, 2.0),
        ("slowdown", 1, -1, 0.0, 9.0),
    ):
        table.append("it", kind, "gpu", "gpu", unit, "chat", session, start_s, end_s, 0)
    assert summarize_faults(table, "gpu") == {"failures": 4, "outages": 1, "slowdowns": 1, "downtime_s": 6.0}
    assert summarize_faults(table, "link") == {"failures": 0, "outages": 0, "slowdowns": 0, "downtime_s": 0.0}
    figures = service_faults(table, "chat", 24.0)
    assert figures == {"failures": 4, "slowdowns": 1, "downtime_s": 6.0, "availability": 0.75}
    assert service_faults(table, "other", 0.0)["availability"] is None


def test_every_kind_has_its_figures() -> None:
    result = simulate(load_text(EVERYTHING))
    summary: Any = result.summary()
    sessions = sum(it.end_s - it.start_s for it in result.sessions["watch"].values())
    assert summary["faults"] == {
        "gpu": {"failures": 3, "outages": 0, "slowdowns": 1, "downtime_s": 2.5},
        "storage": {"failures": 1, "outages": 0, "slowdowns": 0, "downtime_s": 0.5},
        "phone": {"failures": 2, "outages": 0, "slowdowns": 2, "downtime_s": pytest.approx(sessions)},
        "link": {"failures": 0, "outages": 1, "slowdowns": 1, "downtime_s": 2.0},
    }
    chat, watch = (summary["services"][name]["faults"] for name in ("chat", "watch"))
    assert {name: chat[name] for name in ("failures", "slowdowns", "downtime_s")} == {
        "failures": 3,
        "slowdowns": 1,
        "downtime_s": 2.5,
    }
    assert chat["availability"] == pytest.approx(1 - 2.5 / (2 * result.simulated_s))
    assert watch["failures"] == 2
    assert watch["availability"] == pytest.approx(2 / 3)


def test_who_never_started_has_no_figures_of_viewing() -> None:
    figures: Any = simulate(load_text(EVERYTHING)).summary()["services"]["watch"]
    assert figures["viewers"]["never_started"] == 2
    assert figures["viewers"]["watched"] == 4
    dead = EVERYTHING.replace("handset, unit: 2,", "handset,")
    result = simulate(load_text(dead))
    figures = result.summary()["services"]["watch"]
    assert figures["viewers"]["never_started"] == figures["viewers"]["gone"] == 6
    for name in ("rebuffer_s", "startup_s", "qoe"):
        assert figures[name]["mean"] is None
    assert figures["rebuffer_events"] is figures["switches"] is None
    assert figures["faults"]["availability"] == 0.0


def test_the_tables_show_what_can_fail(tmp_path, capsys) -> None:
    file = tmp_path / "it.yaml"
    file.write_text(EVERYTHING)
    assert main(["run", str(file), "--quiet", "--out", str(tmp_path / "runs")]) == 0
    text = capsys.readouterr().out
    for heading in ("replicas ", "phones ", "available (%)", "retried", "storage faults", "link down (s)"):
        assert heading in text
    calm = EVERYTHING[: EVERYTHING.index("faults:")]
    file.write_text(calm)
    assert main(["run", str(file), "--quiet", "--out", str(tmp_path / "calm")]) == 0
    text = capsys.readouterr().out
    assert "available" not in text
    assert "faults" not in text


LONG = """\
version: 1
name: long
devices:
  gpu: {profile: a100-80g-sxm}
  disk: {profile: nvme-gen4, latency: 1 ms}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu, kv_tiers: [disk], policies: {kv_loading: io_only}}
workloads:
  work:
    {trace: synthetic, service: chat, input_tokens: 512, output_tokens: 2, rate: 1/h, requests: 3, stored: {tier: disk}}
faults:
  crash: {device: gpu, kind: failure, mtbf: 2 ms, mttr: 1 ms}
"""


def test_faults_that_come_too_often_for_so_long_are_refused_at_once(tmp_path, capsys) -> None:
    file = tmp_path / "long.yaml"
    file.write_text(LONG)
    assert main(["run", str(file), "--quiet", "--out", str(tmp_path / "runs")]) == 2
    assert "faults.crash.mtbf: comes more than 1,000,000 times" in capsys.readouterr().err
    capped = load_text(LONG.replace("faults:", "horizon: 2 s\nfaults:"))
    assert 500 < len(simulate(capped).faults or ()) < 900  # 667 are expected


@pytest.mark.parametrize(
    "fault",
    ["{device: gpu, kind: slowdown, factor: 0.001, mtbf: 1 ms, mttr: 1 ms}",
     "{device: disk, kind: slowdown, factor: 1e-6, mtbf: 1 ms, mttr: 1 s}"],
)  # fmt: skip
def test_faults_that_turn_out_to_come_too_often_end_the_run(fault, monkeypatch) -> None:
    """Where nobody could know beforehand how long there would be something to do."""
    for module in (injector, periods):
        monkeypatch.setattr(module, "MOST_FAULTS", 50)
    text = LONG[: LONG.index("  crash:")].replace(
        "rate: 1/h, requests: 3", "arrivals: {process: at_once}, requests: 3"
    )
    with pytest.raises(periods.InputError, match=r"faults.it.mtbf: comes more than 50 times within"):
        simulate(load_text(f"{text}  it: {fault}\n"))
