"""Playbacks from cells, and Sabre's runs beside ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from devices.errors import InputError
from simulator.cli import main
from simulator.experiments.playback_cells import FIGURES, OFFLINE_OPTIMUM, Inputs, rule_named
from simulator.experiments.reproduce_streaming import report_streaming, reproduce_streaming
from simulator.experiments.sabre_runs import CROSSCHECK, DATA_FOLDER, RESIDUE, data_folder, sabre_runs
from simulator.policies.registry import policies
from simulator.streaming.qoe import FIGURES as QOE
from simulator.streaming.qoe import PlayedSession

MANIFEST = {
    "segment_duration_ms": 2000,
    "bitrates_kbps": [500, 1000, 3000],
    "segment_sizes_bits": [[1_000_000, 2_000_000, 6_000_000]] * 20,
}
NETWORK = [{"duration_ms": 30_000, "bandwidth_kbps": 2000, "latency_ms": 100}]

Write = Callable[[str], Path]


@pytest.fixture
def cells(tmp_path: Path) -> Write:
    """Write a cells file beside a manifest and a trace that it names."""
    (tmp_path / "movie.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "network.json").write_text(json.dumps(NETWORK))
    (tmp_path / "oboe").write_text("0 2\n100 2\n")

    def write(text: str) -> Path:
        path = tmp_path / "cells.csv"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="module")
def crosscheck() -> tuple[list[dict[str, object]], list[str]]:
    """Sabre's runs, where they are."""
    if not (data_folder() / CROSSCHECK).exists():
        pytest.skip("Sabre's runs are not beside the project (../shared/data/crosscheck/sabre)")
    return reproduce_streaming()


def test_every_run_is_sabres(crosscheck: tuple[list[dict[str, object]], list[str]]) -> None:
    rows, _ = crosscheck
    assert len(rows) == 19
    for row in rows:
        assert row["other_levels"] == 0, row
        assert row["time_error_ms"] <= 0.5 + 1e-6, row  # Sabre's are rounded to 1 ms
        for figure in ("bitrate_kbps", "rebuffer_s", "score", "play_time_s"):
            assert row[figure] == pytest.approx(row[f"sabre_{figure}"], abs=5.1e-7), row
        assert row["same"] is True
    assert "19 of 19 runs are Sabre's" in report_streaming(rows)


def test_events_are_sabres_but_for_one_of_no_duration(
    crosscheck: tuple[list[dict[str, object]], list[str]],
) -> None:
    rows, notes = crosscheck
    other = [row for row in rows if row["rebuffer_events"] != row["sabre_rebuffer_events"]]
    assert [(row["case"], row["rule"], row["sabre_rebuffer_s"]) for row in other] == [("sample", "bola", 0.0)]
    assert RESIDUE in notes
    assert sum("starts over" in note for note in notes) == 1


def test_outputs_do_not_come_from_sabres_numbers(
    tmp_path: Path, crosscheck: tuple[list[dict[str, object]], list[str]]
) -> None:
    source = data_folder() / CROSSCHECK
    data = json.loads((source / "expected.json").read_text())
    data["runs"] = data["runs"][:1]
    data["runs"][0] |= {"score": 9.0, "rebuffer_s": 9.0, "qualities": [0] * 199}
    (tmp_path / "expected.json").write_text(json.dumps(data))
    for name in ("movie.json", "network.json"):
        (tmp_path / name).write_text((source / name).read_text())
    ((row,), _) = sabre_runs(tmp_path)
    first = crosscheck[0][0]
    assert [row[figure] for figure in FIGURES] == [first[figure] for figure in FIGURES]
    assert (row["same"], row["sabre_score"]) == (False, 9.0)
    assert "  NO\n" in report_streaming([row])


def test_cells_from_a_file(cells: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = cells(
        "manifest,trace,rule,bandwidth_scale,label\n"
        "movie.json,network.json,fixed_0,,a\n"
        "movie.json,network.json,fixed_0,0.2,b\n"
        "movie.json,oboe,bola_e,1,c\n"
    )
    assert main(["reproduce", "streaming", "--cells", str(path), "--json"]) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert [row["label"] for row in rows] == ["a", "b", "c"]
    assert all(isinstance(row[figure], int | float) for row in rows for figure in FIGURES)
    # 1 Mbit over 2 Mbit/s after 0.1 s: 0.6 s; over 0.4 Mbit/s: 2.6 s, 0.6 s of standstill each
    assert (rows[0]["play_time_s"], rows[0]["rebuffer_events"]) == (pytest.approx(40.6), 0)
    assert (rows[1]["rebuffer_s"], rows[1]["rebuffer_events"]) == (pytest.approx(19 * 0.6), 19)
    assert rows[1]["bitrate_kbps"] == pytest.approx(500 * 40 / (2.6 + 11.4 + 40))
    assert captured.err.count("network.json (30 s) is shorter than the session: it starts over") == 1
    assert captured.err.count("oboe records no latency: 80 ms assumed") == 1


def test_cells_may_name_the_player(cells: Write) -> None:
    text = "manifest,trace,rule,player,max_buffer_s\nmovie.json,network.json,fixed_0,{},{}\n"
    ((pensieve,), _) = reproduce_streaming(cells(text.format("pensieve", "")))
    # the first segment is of the second level: 2 Mbit over 1.9 Mbit/s and 80 ms
    assert pensieve["rebuffer_s"] == pytest.approx(2 / 1.9 + 0.08)
    ((small,), _) = reproduce_streaming(cells(text.format("", 4)))
    ((large,), _) = reproduce_streaming(cells(text.format("sabre", 40)))
    assert small["play_time_s"] == pytest.approx(large["play_time_s"])


@pytest.mark.parametrize("player", ["sabre", "pensieve"])
def test_no_rule_beats_the_offline_optimum(cells: Write, player: str) -> None:
    rules = [name for name in policies("abr") if name != "fixed"] + ["fixed_0", "fixed_1", "fixed_2"]
    text = "".join(f"movie.json,network.json,{rule},0.5,{player}\n" for rule in [OFFLINE_OPTIMUM, *rules])
    path = cells("manifest,trace,rule,bandwidth_scale,player\n" + text)
    rows, notes = reproduce_streaming(path)
    inputs = Inputs(path.parent)

    def qoe(row: dict[str, object]) -> float:
        result = QOE["linear"].of(PlayedSession.of(inputs.play(row, {})))
        assert result is not None
        return result.session

    best, *others = map(qoe, rows)
    assert len(others) == len(rules) > 10
    assert best >= max(others)
    assert best > min(others)
    assert set(rows[0]) == set(rows[1]) >= set(FIGURES)
    [note] = [note for note in notes if OFFLINE_OPTIMUM in note]
    assert f"{OFFLINE_OPTIMUM} of movie over network.json: linear QoE {best:.6g}" in note
    assert ("start-up counted" in note) == (player == "pensieve")
    with pytest.raises(ValueError, match="unknown ABR rule"):
        rule_named(OFFLINE_OPTIMUM)  # it is no rule: it does not decide chunk by chunk


def test_report_of_cells(cells: Write) -> None:
    rows, _ = reproduce_streaming(cells("manifest,trace,rule\nmovie.json,oboe,rate\nmovie.json,oboe,bba\n"))
    lines = report_streaming(rows).splitlines()
    assert len(lines) == 3
    assert lines[0].split()[:3] == ["manifest", "trace", "rule"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("movie.json,network.json,bola_f,", "cells.csv:2:1: rule: unknown ABR rule 'bola_f'; nearest: bola"),
        ("movie.json,network.json,fixed,", "cells.csv:2:1: rule: unknown ABR rule 'fixed'; nearest: fixed_0"),
        ("movie.json,network.json,offline,", "unknown ABR rule 'offline'; nearest: offline_optimum"),
        ("movie.json,network.json,ofline_optimum,", "nearest: offline_optimum"),
        ("movie.json,network.json,fixed_3,", "cells.csv:2:1: fixed_3: movie has levels 0 to 2"),
        ("movie.json,network.json,bola,-1", "cells.csv:2:1: bandwidth_scale: '-1' is out of range"),
        ("movie.jsn,network.json,bola,1", "movie.jsn: is no manifest by its ending"),
        ("film.json,network.json,bola,1", "film.json: no such file"),
        ("movie.json,movie.json,bola,1", "movie.json:1:1: must be a list with at least one entry"),
    ],
)
def test_bad_cells(cells: Write, line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        reproduce_streaming(cells("manifest,trace,rule,bandwidth_scale\n" + line + "\n"))
    assert message in str(caught.value)


def test_a_buffer_too_small_for_a_segment(cells: Write) -> None:
    with pytest.raises(InputError, match=r"cells.csv:2:1: a buffer of 1 s has no room for a segment of 2 s"):
        reproduce_streaming(cells("manifest,trace,rule,max_buffer_s\nmovie.json,oboe,bola,1\n"))


def test_without_sabres_runs_the_message_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DATA_FOLDER, str(tmp_path))
    assert main(["reproduce", "streaming"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"set the environment variable {DATA_FOLDER}" in captured.err


def test_runs_in_another_layout(tmp_path: Path) -> None:
    (tmp_path / "expected.json").write_text('{"runs": [{"case": "a"}], "inputs": {}}')
    with pytest.raises(InputError, match="not laid out as outputs of Sabre are"):
        sabre_runs(tmp_path)
