"""What notebooks call: results as frames, how they look, progress, plots."""

from __future__ import annotations

import dataclasses
import gc
import html.parser
import io
import json
import subprocess
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import simulator.experiments.execution
import simulator.world
from devices.errors import InputError, SimulatorError
from simulator.commands.scenarios import SHIPPED
from simulator.experiments.statistics import over_replications
from simulator.notebook.progress import progress
from simulator.notebook.tables import html_table, with_interval

KV, DISK = "services.chat.policies.kv_loading", "devices.disk.bandwidth"
TTFT, COLUMN = "services.chat.ttft_s.mean", "devices.disk.bandwidth (Gbit/s)"
FEW = {"workloads.chat.requests": 40}
SWEEP: dict[str, Any] = {"version": 1, "name": "t", "base": "cake/single", "axes": {KV: ("io_only", "cake")}}


class Cells(html.parser.HTMLParser):
    """Collects the texts of an HTML fragment and checks that its tags match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


@pytest.fixture(scope="module")
def compared() -> simulator.Comparison:
    vary = {
        "services.chat.policies.batching.token_budget": [256, 1024],
        "workloads.chat.rate": ["2/s", "8/s"],
    }
    return simulator.compare("bench/poisson", vary, replications=3, **FEW)


def test_scenarios_go_by_name_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert simulator.load("cake/single") == simulator.load(SHIPPED / "cake" / "single.yaml")
    assert simulator.run("cake/single").summary()["scenario"] == "cake-single"
    with pytest.raises(InputError, match="nearest: cake/single"):
        simulator.load("cake/singel")
    (tmp_path / "scenarios" / "cake").mkdir(parents=True)
    own = (SHIPPED / "cake" / "single.yaml").read_text().replace("name: cake-single", "name: own")
    (tmp_path / "scenarios" / "cake" / "single.yaml").write_text(own)
    assert simulator.load("cake/single").name == "own", "those of the working directory come first"


def test_units_stand_in_the_names_of_columns(compared: simulator.Comparison) -> None:
    frame = compared.frame()
    assert len(frame) == 12
    assert list(frame["workloads.chat.rate (/s)"].unique()) == [2.0, 8.0]
    assert frame["services.chat.policies.batching.token_budget"].map(type).eq(int).all()
    assert list(frame["services.chat.policies.batching.token_budget"].unique()) == [256, 1024]
    assert frame[TTFT].notna().all() and "services.chat.throughput.output_tokens_per_s" in frame


def test_axes_of_several_units_or_words_stay_as_they_were_written() -> None:
    found = simulator.compare("cake/single", {KV: ["io_only", "cake"], DISK: ["500 Mbit/s", "7 Gbit/s"]})
    assert list(found.frame()[DISK]) == ["500 Mbit/s", "7 Gbit/s"] * 2
    assert list(found.frame()[KV]) == ["io_only"] * 2 + ["cake"] * 2


def test_means_are_those_over_replications(compared: simulator.Comparison) -> None:
    means = compared.means(TTFT)
    assert list(means["replications"]) == [3] * 4
    for (_, row), variant in zip(means.iterrows(), compared.variants, strict=True):
        it = variant.statistics[TTFT]
        assert (row[TTFT], row[f"{TTFT}.half_width"]) == pytest.approx((it.mean, it.half_width))
    everything = compared.means()
    assert f"{TTFT}.half_width" in everything and len(everything.columns) > 40
    with pytest.raises(KeyError, match=r"nearest: services\.chat\.ttft_s\.mean"):
        compared.means("services.chat.ttft_s.meen")


def test_a_frame_is_a_copy(compared: simulator.Comparison) -> None:
    frame = compared.frame()
    frame[TTFT] = 0.0
    assert (compared.frame()[TTFT] > 0.0).all()


def test_differences_are_paired(compared: simulator.Comparison) -> None:
    paired = compared.paired()
    assert len(paired) == 3
    by_run = compared.frame().set_index(
        ["services.chat.policies.batching.token_budget", "workloads.chat.rate (/s)"]
    )
    each = by_run.loc[(1024.0, 2.0), TTFT].to_numpy() - by_run.loc[(256.0, 2.0), TTFT].to_numpy()
    expected = over_replications(list(each))
    row = paired[(paired["services.chat.policies.batching.token_budget"] == "1024")].iloc[0]
    assert (row[TTFT], row[f"{TTFT}.half_width"]) == pytest.approx((expected.mean, expected.half_width))


def test_differences_come_with_tests(compared: simulator.Comparison) -> None:
    table = compared.paired()
    columns = [name for name in table if name.endswith(".p_adjusted") and table[name].notna().any()]
    assert {name.removesuffix(".p_adjusted") for name in columns} == {it.path for it in compared.headlines}
    for (_, row), variant in zip(table.iterrows(), compared.variants[1:], strict=True):
        it = compared.differences(variant)[TTFT]
        expected = (it.p, compared.adjusted_p[variant.label, TTFT], it.narrower_by)
        assert tuple(row[f"{TTFT}{end}"] for end in (".p", ".p_adjusted", ".narrower_by")) == expected
    found = sum(p < 0.05 for p in compared.adjusted_p.values())
    texts = Cells(compared._repr_html_()).texts
    assert 0 < found == sum(text.endswith(" *") for text in texts)
    assert any(
        "* differs from 0 at 5 %" in text and f"all {len(compared.adjusted_p)} " in text for text in texts
    )


def test_notes_say_what_they_hold_for(compared: simulator.Comparison) -> None:
    first, *others = compared.variants
    noted = dataclasses.replace(
        first, outcomes=[dataclasses.replace(it, notes=("n",)) for it in first.outcomes]
    )
    texts = Cells(dataclasses.replace(compared, variants=[noted, *others])._repr_html_()).texts
    assert texts.count("n [256, 2/s]") == 1


def test_one_without_variants_is_a_comparison_too() -> None:
    found = simulator.compare("cake/single", {})
    assert len(found.means(TTFT)) == 1 and found.paired().empty
    assert "cake-single" in found._repr_html_()


def test_a_sweep_takes_a_mapping_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    axes = {KV: ("io_only", "cake"), DISK: {"low": "7 Gbit/s", "high": "100 Gbit/s"}}
    content = {**SWEEP, "design": "latin_hypercube", "samples": np.int64(4), "axes": axes}
    found = simulator.sweep(content, replications=2, **{"workloads.chat.input_tokens": 2048})
    assert found.folder == Path("runs") / "t-sweep" and len(found.frame()) == 8
    assert found.frame()[COLUMN].between(7.0, 100.0).all()
    assert "failure" not in found.frame()
    lines = sum(len(path.read_text().splitlines()) for path in found.folder.glob("results-*.jsonl"))
    again = simulator.sweep(content, replications=3, **{"workloads.chat.input_tokens": 2048})
    after = sum(len(path.read_text().splitlines()) for path in found.folder.glob("results-*.jsonl"))
    assert (lines, after, len(again.frame())) == (8, 12, 12)
    assert list(again.means(TTFT)["replications"]) == [3] * 4
    simulator.sweep(content, fresh=True)
    assert sum(len(path.read_text().splitlines()) for path in found.folder.glob("results-*.jsonl")) == 4


def test_a_mapping_is_the_same_sweep_as_a_file(tmp_path: Path) -> None:
    content = {**SWEEP, "base": str(SHIPPED / "cake" / "single.yaml")}
    (tmp_path / "t.yaml").write_text(json.dumps(content))
    simulator.sweep(tmp_path / "t.yaml", out=tmp_path / "file")
    simulator.sweep(content, out=tmp_path / "mapping")
    with ThreadPoolExecutor(2) as executor:
        simulator.sweep(content, out=tmp_path / "executor", executor=executor)
    for name in ("plan.jsonl", "results.parquet"):
        assert (
            len({(tmp_path / out / "t-sweep" / name).read_bytes() for out in ("file", "mapping", "executor")})
            == 1
        )


def test_points_of_a_sweep_are_paired(tmp_path: Path) -> None:
    budget, rate = "services.chat.policies.batching.token_budget", "workloads.chat.rate"
    axes = {budget: [256, 512, 1024], rate: ["2/s", "8/s"]}
    content = {**SWEEP, "base": "bench/poisson", "axes": axes, "replications": 4}
    found = simulator.sweep(content, out=tmp_path, **FEW)
    table = found.paired(budget, TTFT)
    assert list(table[budget]) == [512, 512, 1024, 1024] and list(table[f"{rate} (/s)"]) == [2, 8, 2, 8]
    runs = found.frame().set_index([budget, f"{rate} (/s)", "replication"])[TTFT]
    tests = [stats.ttest_rel(runs[of, at], runs[256, at]) for of in (512, 1024) for at in (2.0, 8.0)]
    low, high = np.array([it.confidence_interval() for it in tests]).T
    assert list(table[TTFT]) == pytest.approx((low + high) / 2)
    assert list(table[f"{TTFT}.half_width"]) == pytest.approx((high - low) / 2)
    assert list(table[f"{TTFT}.p"]) == pytest.approx([it.pvalue for it in tests])
    assert table[f"{TTFT}.p_adjusted"].min() == pytest.approx(min(1.0, 4 * min(it.pvalue for it in tests)))
    for baseline in ("8/s", 8.0, 8):
        other = found.paired(rate, TTFT, "services.chat.e2e_s.mean", baseline=baseline)
        assert list(other[f"{rate} (/s)"]) == [2.0] * 3
        assert list(other[TTFT]) == pytest.approx(
            [(runs[of, 2.0] - runs[of, 8.0]).mean() for of in (256, 512, 1024)]
        )
    assert f"{TTFT}.p" in found.paired(budget), "by default what tables show"
    with pytest.raises(KeyError, match=rf"nearest: {rate}"):
        found.paired("workloads.chat.rat")
    with pytest.raises(KeyError, match=r"nearest: services"):
        found.paired(rate, "services.chat.ttft_s.meen")
    with pytest.raises(InputError, match="both 3/s and another"):
        found.paired(rate, baseline="3/s")


def test_notes_of_a_sweep_s_runs_are_shown(tmp_path: Path) -> None:
    found = simulator.sweep({**SWEEP, "replications": 2}, out=tmp_path)
    [file] = found.folder.glob("results-*.jsonl")
    keys = {
        it["key"]: it["point"][KV]
        for it in map(json.loads, (found.folder / "plan.jsonl").read_text().splitlines())
    }
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    noted = [{**it, **({"notes": ["overloaded"]} if keys[it["key"]] == "cake" else {})} for it in lines]
    file.write_text("".join(json.dumps(it) + "\n" for it in noted))
    texts = Cells(simulator.sweep({**SWEEP, "replications": 2}, out=tmp_path)._repr_html_()).texts
    assert texts.count("overloaded [cake]") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replications": 0}, "replications: must be 1 or more, not 0"),
        ({"jobs": 0}, "jobs: must be 1 or more, not 0"),
        ({"vary": {KV: "cake"}}, r"vary: services\.chat\.policies\.kv_loading: 'cake' is no list"),
        ({"vary": {KV: 3}}, "3 is no list"),
    ],
)
def test_arguments_that_make_no_study_are_named(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    whole = {"vary": {KV: ["cake"]}, **arguments}
    with pytest.raises(InputError, match=message):
        simulator.compare("cake/single", **whole)
    with pytest.raises(InputError, match=message):
        simulator.capacity("bench/poisson", "ttft_s.p99<=1", **whole)
    if "vary" not in arguments:
        with pytest.raises(InputError, match=message):
            simulator.sweep(SWEEP, out=tmp_path, **arguments)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"design": "gird"}, "sweep: design: .*nearest: grid"),
        ({"base": "cake/singel"}, "nearest: cake/single"),
        ({"base": 3}, "sweep: base"),
        ({"axes": {KV: [object()]}}, "no value that a scenario could have"),
        ({"axes": {KV: ["cak"]}}, "nearest: cake"),
        ({"sampels": 2}, "sampels"),
    ],
)
def test_faults_of_a_mapping_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        simulator.sweep({**SWEEP, **change}, out=tmp_path)
    assert not any(tmp_path.iterdir())


def test_capacity_has_a_row_per_load_that_was_tried() -> None:
    budgets = {"services.chat.policies.batching.token_budget": [256, 1024]}
    found = simulator.capacity("bench/poisson", "ttft_s.p99<=1", budgets, loads=[3.0], replications=2, **FEW)
    frame, best = found.frame(), found.highest()
    assert set(frame["load_per_s"]) >= {3.0} and {"ttft_s.p99", "goodput_per_s", "attainment"} <= set(frame)
    assert len(best) == 2 and best["bounded"].all() and best["kept"].all()
    for (budget, rows), (_, row) in zip(
        frame.groupby("services.chat.policies.batching.token_budget", sort=False),
        best.iterrows(),
        strict=True,
    ):
        assert row["load_per_s"] == rows[rows["kept"]]["load_per_s"].max()
        assert f"{budget}: {row['load_per_s']:.4g}/s" in repr(found)
    assert frame["overloaded"].dtype == bool and not (frame["overloaded"] & frame["kept"]).any()
    texts = Cells(found._repr_html_()).texts
    assert {"ttft_s.p99", "replications_load"} <= set(texts)
    assert any("of them overloaded" in text for text in texts)
    assert simulator.plot(found, "goodput").axes


def test_an_slo_that_nothing_keeps_has_no_load() -> None:
    found = simulator.capacity("bench/poisson", "ttft_s.p99<=0.000001", **FEW)
    assert found.highest()["load_per_s"].isna().all() and "no load tried keeps it" in repr(found)
    Cells(found._repr_html_())


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> simulator.SweepResult:
    axes = {KV: ["io_only", "cake"], DISK: ["7 Gbit/s", "32 Gbit/s"]}
    return simulator.sweep({**SWEEP, "axes": axes, "replications": 2}, out=tmp_path_factory.mktemp("sweep"))


def test_tables_have_units_and_intervals(
    compared: simulator.Comparison, swept: simulator.SweepResult
) -> None:
    texts = Cells(compared._repr_html_()).texts
    assert {"token_budget", "rate (/s)", "chat.ttft_s.mean", "energy_j.total"} <= set(texts)
    assert sum(" ± " in text for text in texts) > 4 * 5
    assert any("assumed values" in text for text in texts), "what it stands on is said"
    assert any("95 % interval (Student t)" in text for text in texts)
    assert {"kv_loading", "bandwidth (Gbit/s)", "cake"} <= set(Cells(swept._repr_html_()).texts)
    assert "points 4" in repr(swept) and "\n" not in repr(compared)


def test_a_run_shows_its_figures_and_what_it_stands_on() -> None:
    run = simulator.run("bench/poisson", **FEW)
    texts = Cells(run._repr_html_()).texts
    assert {"chat", "40 requests", "ttft_s.mean"} <= set(texts)
    assert any("assumed values" in text for text in texts)
    assert "ttft_s.mean" in repr(run)
    streaming = simulator.run(
        "oasis/phones", **{"workloads.watch.sessions": 1, "workloads.watch.segments": 10}
    )
    assert {"6 viewers", "qoe.mean"} <= set(Cells(streaming._repr_html_()).texts)


def test_text_from_outside_is_escaped() -> None:
    frame = pd.DataFrame({"a<b": ["<script>"], "f": [1.5]})
    shown = html_table(frame, ["f"], "<i>", ["a & b"])
    assert "<script>" not in shown and "<i>" not in shown
    assert {"<script>", "a<b", "<i>", "a & b", "1.5"} <= set(Cells(shown).texts)


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (12.3456, 0.0512, "12.346 ± 0.051"),
        (12345.6, 321.0, "12,346 ± 321"),
        (-0.5, 0.25, "-0.50 ± 0.25"),
        (12.3456, float("nan"), "12.35"),
        (123456.0, float("nan"), "123,456"),
        (2.0, 0.0, "2 ± 0"),
        (float("nan"), float("nan"), "-"),
    ],
)
def test_an_interval_says_how_many_digits_count(mean: float, half: float, text: str) -> None:
    assert with_interval(mean, half) == text


def test_long_tables_say_what_they_leave_out() -> None:
    frame = pd.DataFrame({"a": range(100), "f": np.arange(100.0)})
    assert "60 rows more" in Cells(html_table(frame, ["f"], "t")).texts


def test_failed_runs_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def simulate(scenario: Any, *arguments: Any) -> Any:
        if scenario.workloads["chat"].input_tokens == 2048:
            raise SimulatorError("out of order")
        return simulator.world.simulate(scenario, *arguments)

    monkeypatch.setattr(simulator.experiments.execution, "simulate", simulate)
    axes = {"workloads.chat.input_tokens": [1024, 2048], KV: ["io_only", "cake"]}
    found = simulator.sweep({**SWEEP, "axes": axes}, out=tmp_path)
    failed = int((found.frame()["status"] == "failed").sum())
    assert failed == 2 and "failure" in found.frame()
    texts = Cells(found._repr_html_()).texts
    assert any(f"{failed} of 4 runs failed" in text for text in texts)
    assert found.means(TTFT)["replications"].sum() == 4 - failed


def test_what_can_be_plotted(
    compared: simulator.Comparison, swept: simulator.SweepResult, tmp_path: Path
) -> None:
    run = simulator.run("bench/poisson", **FEW)
    for what, kind in (
        (run, "ttft_cdf"),
        (run.folder, "ttft_cdf"),
        (compared, "latency_bars"),
        (swept, "sweep_lines"),
    ):
        picture, size = simulator.plot(what, kind)._repr_png_()  # type: ignore[attr-defined]
        assert picture.startswith(b"\x89PNG") and size["width"] > 200
    simulator.plot(compared, "latency_bars", tmp_path / "a" / "b.svg")
    assert (tmp_path / "a" / "b.svg").read_text().startswith("<?xml")
    with pytest.raises(InputError, match="unknown kind"):
        simulator.plot(run, "ttft")
    with pytest.raises(InputError, match="several runs"):
        simulator.plot(compared, "queue_and_kv")


def test_temporary_folders_go_with_what_is_in_them(tmp_path: Path) -> None:
    run = simulator.run("cake/single")
    compared = simulator.compare("cake/single", {KV: ["io_only", "cake"]})
    folders = [run.folder, compared.folder]
    assert all(folder is not None and folder.is_dir() for folder in folders)
    del run, compared
    gc.collect()
    assert not any(folder is not None and folder.exists() for folder in folders)
    kept = simulator.compare("cake/single", {KV: ["io_only", "cake"]}, out=tmp_path)
    folder = kept.folder
    del kept
    gc.collect()
    assert folder is not None and folder.is_dir()


def test_bad_input_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(InputError):
        simulator.compare("cake/single", {KV: ["cak"]})
    with pytest.raises(InputError):
        simulator.capacity("bench/poisson", "ttft_s.p98<=1", **FEW)
    assert not any(tmp_path.iterdir())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, wanted, expected in ((Terminal(), True, 2), (Terminal(), False, 0), (io.StringIO(), True, 0)):
        monkeypatch.setattr(sys, "stderr", stream)
        simulator.compare("cake/single", {KV: ["io_only", "cake"]}, progress=wanted)
        text = stream.getvalue()
        assert bool(text) == bool(expected)
        if expected:
            assert text.endswith("\n") and "[########################] 2/2 cake: " in text.split("\r")[-1]


@pytest.fixture
def jupyter(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Stand in for a kernel: what it displays and updates."""
    lines: list[str] = []

    class Handle:
        def update(self, shown: Any) -> None:
            lines.append(f"update {shown}")

    def display(shown: Any, display_id: bool) -> Handle:
        assert display_id
        lines.append(f"display {shown}")
        return Handle()

    shell = types.SimpleNamespace(kernel=object())
    module = types.SimpleNamespace(
        get_ipython=lambda: shell, display=types.SimpleNamespace(HTML=str, display=display)
    )
    monkeypatch.setitem(sys.modules, "IPython", module)
    return lambda: lines


def test_a_notebook_updates_one_line(
    jupyter: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress(3) as show:
        show(1, "a <b>")
        show(2, "c")
        show(3, "d")
    first, *others, last = jupyter()
    assert first.startswith("display ") and 'value="1" max="3"' in first and "1/3 a &lt;b&gt;" in first
    assert all(line.startswith("update ") for line in others)
    assert last.startswith("update ") and "3/3 d" in last, "the last state is always shown"
    with progress(None) as show:
        show(7, "loads tried")
    assert "progress" not in jupyter()[-1] and "7 loads tried" in jupyter()[-1]
    with progress(2):
        pass
    assert capsys.readouterr().err == ""


def test_every_study_tells_how_far_it_is(jupyter: Callable[[], list[str]], tmp_path: Path) -> None:
    simulator.sweep({**SWEEP, "replications": 2}, out=tmp_path)
    assert "4/4 runs" in jupyter()[-1]
    simulator.capacity("bench/poisson", "ttft_s.p99<=1", **FEW)
    assert "loads tried" in jupyter()[-1] and "kept" in jupyter()[-1]
    count = len(jupyter())
    simulator.sweep({**SWEEP, "replications": 2}, out=tmp_path, progress=False)
    assert len(jupyter()) == count


def test_importing_is_light() -> None:
    heavy = "{'numpy', 'pandas', 'scipy', 'matplotlib', 'pydantic', 'pyarrow', 'simpy', 'yaml', 'IPython'}"
    code = f"import sys, simulator; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", code], cwd=SHIPPED.parent, check=True)
    code = "import sys, simulator; simulator.run; sys.exit('IPython' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=SHIPPED.parent, check=True)
    assert {"load", "run", "compare", "sweep", "capacity", "plot"} <= set(dir(simulator))
