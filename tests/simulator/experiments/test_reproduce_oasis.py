"""The OASIS paper's tables beside ours, cells of one's own, and where we miss."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calibration.fits.phone_facts import S10_KJ, SR_FPS
from devices.errors import InputError
from simulator.cli import main
from simulator.core import Streams
from simulator.experiments.oasis_report import ALTERNATIVES, PLAIN_QOE, Headline, report_oasis
from simulator.experiments.oasis_settings import ASSUMED, energy_j, group, handsets
from simulator.experiments.reproduce_oasis import (
    EXPERIMENTS,
    FIGURES,
    LOW,
    notes,
    predict,
    published_cells,
    reproduce_oasis,
)
from simulator.policies.abr.fixed import Fixed
from simulator.policies.collaboration.mpbond import MpBond
from simulator.policies.collaboration.oasis import OasisWithRule
from simulator.streaming.group import simulate_group

Write = Callable[[str], Path]
Rows = dict[tuple[Any, ...], dict[str, Any]]

HEADER = "experiment,policy,devices,fps_total,skew,phone\n"


@pytest.fixture
def cells(tmp_path: Path) -> Write:
    """Write a cells file."""

    def write(text: str) -> Path:
        path = tmp_path / "cells.csv"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="module")
def ours() -> Rows:
    """Every published cell by what tells it apart."""
    rows: Rows = {}
    for row in reproduce_oasis():
        experiment, policy = row["experiment"], row["policy"]
        if experiment in ("energy", "download_only"):
            rows[experiment, row["phone"], row["devices"]] = row
        elif experiment == "qoe":
            rows[experiment, policy, row["devices"]] = row
        else:
            rows[experiment, policy, row.get("skew")] = row
    return rows


def test_published_cells_are_the_papers() -> None:
    rows = published_cells()
    known = [row for row in rows if row["experiment"] != "sched_network"]
    assert len(known) == 12 + 8 + 7 + 15
    assert sum("published_energy_j" in row for row in known) == 8
    unknown = [row for row in rows if row["experiment"] == "sched_network"]
    assert len(unknown) == 15
    assert not any(name.startswith("published") for row in unknown for name in row)


@pytest.mark.parametrize("devices", [1, 2, 3, 4, 5, 6])
def test_energy_of_the_controller_within_12_percent(ours: Rows, devices: int) -> None:
    row = ours["energy", "galaxy-s20-ultra", devices]
    assert row["energy_j"] == pytest.approx(row["published_energy_j"], rel=0.12)


def test_headline() -> None:
    alone, six = (predict({"experiment": "energy", "policy": "oasis", "devices": count}) for count in (1, 6))
    assert six["mean_energy_j"] / alone["energy_j"] == pytest.approx(0.4, abs=0.1)
    oasis, fixed = (
        predict({"experiment": "qoe", "policy": policy, "devices": 6})["qoe"]
        for policy in ("oasis", "mpbond_low")
    )
    assert 1.4 <= oasis / fixed <= 3.0
    assert 1.4 <= oasis / PLAIN_QOE <= 3.0


@pytest.mark.parametrize("devices", [5, 7])
def test_qoe_of_five_and_seven(ours: Rows, devices: int) -> None:
    for policy in ("oasis", "mpbond_low", "microcast_low"):
        row = ours["qoe", policy, devices]
        assert row["qoe"] == pytest.approx(row["published_qoe"], abs=0.1), policy
    best = ours["qoe", "oasis", devices]["qoe"]
    assert best > 0.1 + ours["qoe", "mpbond_low", devices]["qoe"]
    assert best > 0.1 + ours["qoe", "microcast_low", devices]["qoe"]


@pytest.mark.parametrize("devices", [3, 5, 7])
def test_qoe_without_collaboration(ours: Rows, devices: int) -> None:
    row = ours["qoe", "no_collaboration", devices]
    assert row["qoe"] == pytest.approx(row["published_qoe"], rel=0.07)


def test_qoe_of_three_under_oasis(ours: Rows) -> None:
    row = ours["qoe", "oasis", 3]
    assert row["qoe"] == pytest.approx(row["published_qoe"], abs=0.2)
    assert row["qoe"] > ours["qoe", "microcast_low", 3]["qoe"] > ours["qoe", "no_collaboration", 3]["qoe"]


@pytest.mark.xfail(
    strict=True,
    reason="-0.11 and -0.58 instead of -0.63 and -1.42: the three S20 Ultra do 32 frames/s, so that phones that need "
    "not wait for one another stall little, while OASIS's iterations wait for the slowest download (-0.38)",
)
def test_qoe_of_three_under_the_baselines(ours: Rows) -> None:
    oasis, mpbond, microcast = (
        ours["qoe", policy, 3]["qoe"] for policy in ("oasis", "mpbond_low", "microcast_low")
    )
    assert oasis > mpbond > microcast
    assert mpbond == pytest.approx(-0.63, abs=0.3)
    assert microcast == pytest.approx(-1.42, abs=0.3)


def test_abr_ablation(ours: Rows) -> None:
    rows = {key[1]: row for key, row in ours.items() if key[0] == "abr_ablation"}
    for policy, row in rows.items():
        assert row["qoe"] == pytest.approx(row["published_qoe"], abs=0.15), policy
        assert row["rebuffer_s"] == pytest.approx(row["published_rebuffer_s"], abs=5.0), policy
    qoe = {policy: row["qoe"] for policy, row in rows.items()}
    assert qoe["buffer_high"] < min(qoe["rate_high"], qoe["robust_mpc_high"])
    assert max(qoe["rate_high"], qoe["robust_mpc_high"]) < qoe["buffer_low"]
    assert qoe["buffer_low"] < min(qoe["rate_low"], qoe["robust_mpc_low"])
    assert max(qoe["rate_low"], qoe["robust_mpc_low"]) < qoe["oasis"]


@pytest.mark.parametrize("skew", [1.0, 2.0, 3.0, 4.0, 5.0])
def test_stall_of_oasis_under_skewed_sr_within_5_s(ours: Rows, skew: float) -> None:
    row = ours["sched_compute", "oasis", skew]
    assert row["rebuffer_s"] == pytest.approx(row["published_rebuffer_s"], abs=5.0)


MISSED = {
    (
        "mpbond",
        1.0,
    ): "4.6 s instead of 30: 33 frames/s are more than 30, and it loses 0.15 s of download a chunk",
    ("mpbond", 2.0): "9.5 s instead of 35",
    ("mpbond", 3.0): "31 s instead of 70",
    ("mpbond", 4.0): "70 s instead of 91",
    (
        "microcast",
        2.0,
    ): "9 s instead of 52: the window of four chunks does not hold up the fast phone before 3:1:1",
    ("microcast", 5.0): "202 s instead of 155: no part of the fast phone's time beyond the window is used",
}
"""Baselines' stalls that are off by more than 15 s, and why."""


@pytest.mark.parametrize("skew", [1.0, 2.0, 3.0, 4.0, 5.0])
@pytest.mark.parametrize("policy", ["mpbond", "microcast"])
def test_stall_of_baselines_under_skewed_sr(
    ours: Rows, policy: str, skew: float, request: pytest.FixtureRequest
) -> None:
    if (policy, skew) in MISSED:
        request.applymarker(pytest.mark.xfail(strict=True, reason=MISSED[policy, skew]))
    row = ours["sched_compute", policy, skew]
    assert row["rebuffer_s"] == pytest.approx(row["published_rebuffer_s"], abs=15.0)


@pytest.mark.parametrize("policy", ["mpbond", "microcast"])
def test_baselines_stall_more_the_more_sr_is_skewed(ours: Rows, policy: str) -> None:
    stalls = [ours["sched_compute", policy, float(skew)]["rebuffer_s"] for skew in range(1, 6)]
    assert stalls == sorted(stalls)
    for skew in range(2, 6):
        assert stalls[skew - 1] > ours["sched_compute", "oasis", float(skew)]["rebuffer_s"]
    assert stalls[4] > 8 * ours["sched_compute", "oasis", 5.0]["rebuffer_s"]


def test_energies_of_the_galaxy_s10(ours: Rows) -> None:
    """They are what the power of a phone with SR is fitted to, so that this is about the fit."""
    for name, kj in S10_KJ.items():
        row = {"experiment": "energy", "policy": "oasis", "phone": "galaxy-s10"}
        phones = group(row, Streams(0))
        (one,) = (combination for combination in phones.combinations if combination.name == name)
        policy = OasisWithRule(Fixed(0 if one.input_height == LOW[0] else 1), one.output_height)
        (result,) = simulate_group(phones, policy).phones.values()
        assert energy_j(result.energy_j, 300.0, sr=True) == pytest.approx(1e3 * kj, rel=0.05), name
    assert ours["download_only", "galaxy-s10", 1]["energy_j"] == pytest.approx(420.0, rel=0.1)
    # what does not grow with SR: the intercept of the four energies over their times
    times_s = [9000.0 / SR_FPS["galaxy-s10"][name] for name in S10_KJ]
    mean_s, mean_j = sum(times_s) / 4, 1e3 * sum(S10_KJ.values()) / 4
    slope = sum((t - mean_s) * (1e3 * kj - mean_j) for t, kj in zip(times_s, S10_KJ.values(), strict=True))
    slope /= sum((t - mean_s) ** 2 for t in times_s)
    assert mean_j - slope * mean_s > 420.0 + 100.0


def test_published_numbers_are_no_source(cells: Write) -> None:
    text = "experiment,policy,devices,skew,published_qoe,published_rebuffer_s\n"
    row = "sched_compute,mpbond,3,4,{},{}\n"
    first, other = (reproduce_oasis(cells(text + row.format(*numbers)))[0] for numbers in ((1, 2), (-9, 400)))
    assert [first[name] for name in FIGURES] == [other[name] for name in FIGURES]


UNSEEN = [
    "qoe,microcast_high,4,,,",
    "qoe,oasis,6,,,",
    "energy,oasis,4,,,pixel-5",
    "energy,oasis,2,,,galaxy-s22-plus",
    "abr_ablation,oasis,2,20,,",
    "abr_ablation,robust_mpc_low,,32.5,,",
    "sched_compute,microcast_high,3,60,2.5,",
    "sched_network,oasis,3,33,5,",
    "sched_network,no_collaboration,,,,",
    "download_only,oasis,5,,,galaxy-s10",
]


def test_cells_that_nobody_has_seen(cells: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = cells(HEADER.strip() + ",label\n" + "".join(f"{line},x\n" for line in UNSEEN))
    assert main(["reproduce", "oasis", "--cells", str(path), "--json"]) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert [row["policy"] for row in rows] == [line.split(",")[1] for line in UNSEEN]
    assert {row["experiment"] for row in rows} == set(EXPERIMENTS)
    for row in rows:
        assert row["label"] == "x"
        assert all(isinstance(row[name], float) for name in FIGURES)
        assert row["energy_j"] > 100.0
        assert row["rebuffer_s"] >= 0.0
        assert 0.45 - 1e-9 <= row["bitrate_mbps"] <= 2.5
    assert "(assumed)" in captured.err


def test_more_frames_never_hurt() -> None:
    for policy in ("oasis", "rate_high", "buffer_low"):
        row = {"experiment": "abr_ablation", "policy": policy}
        qoe = [predict({**row, "fps_total": float(fps)})["qoe"] for fps in (15, 20, 25, 30, 40)]
        assert qoe == sorted(qoe), policy


def test_a_phone_takes_the_last_place() -> None:
    row = {"experiment": "energy", "policy": "oasis", "devices": 3}
    assert handsets(row) == ("galaxy-s20-ultra",) * 3
    assert handsets({**row, "phone": "pixel-5"}) == ("galaxy-s20-ultra", "galaxy-s20-ultra", "pixel-5")
    assert handsets({**row, "devices": 1, "phone": "pixel-5"}) == ("pixel-5",)
    assert len(handsets({**row, "devices": 9})) == 9
    shared, alone = (
        predict({**row, "devices": devices, "phone": "pixel-5"})["energy_j"] for devices in (5, 1)
    )
    assert shared < 0.4 * alone


def test_assumptions_matter() -> None:
    row = {"experiment": "sched_compute", "policy": "oasis", "skew": 5.0}
    stall_s = {title: predict(row, 1, assumed)["rebuffer_s"] for title, assumed in ALTERNATIVES.items()}
    assert stall_s["no loss per chunk"] < 5.0 < stall_s["as assumed"]
    assert stall_s["playback begins after the first iteration"] < 1.0
    assert ASSUMED.ahead == MpBond().ahead


def test_reports(cells: Write, ours: Rows) -> None:
    rows = reproduce_oasis(cells(HEADER + "download_only,oasis,2,,,\nsched_network,mpbond,3,33,2,\n"))
    lines = report_oasis(rows, published=False).splitlines()
    assert [line.split()[0] for line in lines if line] == [
        "Scheduler",
        "policy",
        "mpbond",
        "Energy",
        "policy",
        "oasis",
    ]
    text = report_oasis(list(ours.values()), published=False)
    assert "-9.6%" in text.split("Energy of one phone, 180p to 720p")[1]


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a report's summary, unwrapped."""
    text = report_oasis(rows, published=False).split("Targets met and missed")[1]
    return text.replace("\n  ", " ").splitlines()[1:]


def test_summary_counts_targets(ours: Rows) -> None:
    lines = summary(list(ours.values()))
    assert any("galaxy-s20-ultra 6 of 6 (worst -9.6%; 1 fitted)" in line for line in lines)
    assert any("order of policies as published at devices 5, 7, wrong at devices 3" in line for line in lines)
    assert any(line.startswith("- abr_ablation: QoE within 0.15: 7 of 7 (") for line in lines)
    (compute,) = (line for line in lines if line.startswith("- sched_compute"))
    assert "oasis 5 of 5" in compute
    assert "mpbond 0 of 5 (worst -39.4 s)" in compute
    assert compute.endswith("as published at skew 3, 4, 5, wrong at skew 1, 2")


def test_summary_follows_the_rows() -> None:
    cell = {"experiment": "sched_compute", "skew": 2.0, "published_rebuffer_s": 10.0}
    rows = [
        {**cell, **dict.fromkeys(FIGURES, 1.0), "policy": policy, "rebuffer_s": stall_s}
        for policy, stall_s in (("oasis", 4.0), ("mpbond", 14.0))
    ]
    # published as equal: no order to compare
    assert summary(rows) == [
        "- sched_compute: stall within 5 s: oasis 0 of 1 (worst -6.0 s), mpbond 1 of 1 (worst +4.0 s)"
    ]
    rows[0]["published_rebuffer_s"] = 7.0
    assert summary(rows)[0].endswith("; order of policies as published at skew 2")
    rows[0]["rebuffer_s"] = 14.0
    assert summary(rows)[0].endswith("; order of policies wrong at skew 2")


def test_skewed_networks_have_no_target(ours: Rows) -> None:
    rows = [row for row in ours.values() if row["experiment"] == "sched_network"]
    note = "sched_network: no published figure is known here; oasis stalls more than mpbond in 4 of 5 cells"
    assert notes(rows)[-1].startswith(note)
    assert notes(rows)[-1].endswith("because it waits for the last chunk of each iteration")
    assert "Targets" not in report_oasis(rows, published=False)
    assert summary(list(ours.values()))[-1] == f"- {notes(rows)[-1]}"
    never = [{**row, "rebuffer_s": 0.0} for row in rows]
    assert notes(never)[-1].endswith("oasis stalls more than mpbond in 0 of 5 cells")
    known = [{**row, "published_rebuffer_s": 1.0} for row in rows]
    assert not any("no published figure" in note for note in notes(known))


def test_headline_names_the_phone_alone() -> None:
    text = Headline.predicted().text()
    alone = predict({"experiment": "qoe", "policy": "oasis", "devices": 1})["qoe"]
    assert f"over one phone that super-resolves alone under OASIS ({alone:.2f})" in text
    assert "no percentage of a QoE below zero" in text
    assert "2 of the 3" in Headline.predicted().met()


def test_columns_that_play_no_part_are_said(cells: Write) -> None:
    rows = reproduce_oasis(cells(HEADER + "energy,oasis,1,30,,\n"))
    assert notes(rows)[-1] == "energy takes no fps_total: it is not used"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("qoe,oasys,3,,,", "cells.csv:2:1: policy: unknown policy 'oasys'; nearest: oasis"),
        ("qeo,oasis,3,,,", "cells.csv:2:1: experiment: unknown experiment 'qeo'; nearest: qoe"),
        ("qoe,rate_high,3,,,", "cells.csv:2:1: policy 'rate_high' is none of qoe; allowed: oasis, mpbond"),
        (
            "abr_ablation,mpbond,3,,,",
            "policy 'mpbond' is none of abr_ablation; allowed: buffer_high, buffer_low",
        ),
        ("qoe,oasis,,,,", "cells.csv:2:1: qoe needs devices"),
        ("qoe,oasis,0,,,", "cells.csv:2:1: devices: '0' is out of range"),
        ("sched_compute,oasis,3,33,-1,", "cells.csv:2:1: skew: '-1' is out of range"),
        ("sched_compute,oasis,3,much,1,", "cells.csv:2:1: fps_total: could not convert"),
        (
            "energy,oasis,3,,,galaxy-s11",
            "cells.csv:2:1: phone: unknown phone 'galaxy-s11'; nearest: galaxy-s10",
        ),
        ("energy,oasis,3,,,qcs6490", "cells.csv:2:1: phone: unknown phone 'qcs6490'"),
    ],
)
def test_bad_cells(cells: Write, line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        reproduce_oasis(cells(HEADER + line + "\n"))
    assert message in str(caught.value)


def test_bad_cells_leave_with_2(cells: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = cells(HEADER + "qoe,oasys,3,,,\nenergy,oasis,3,,9e9,\n")
    assert main(["reproduce", "oasis", "--cells", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cells.csv:2:1" in captured.err
    assert "cells.csv:3:1" in captured.err
