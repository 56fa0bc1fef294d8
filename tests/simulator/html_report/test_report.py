"""The page as text: what it says of every kind of study, that it escapes, loads nothing and is the same again."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from devices.errors import InputError
from simulator.cli import main
from simulator.experiments.comparison import flatten
from simulator.experiments.statistics import Estimate
from simulator.html_report import plots, write_report
from simulator.html_report.explorer import explorer
from simulator.html_report.figures import OTHER, figures
from simulator.html_report.page import is_web
from simulator.html_report.tables import Column, table_of_figures
from simulator.viz import PLOT_KINDS

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.embedded: dict[str, str] = {}
        self._id = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._id = dict(attrs).get("id") or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.embedded[self._id] = data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def data(self, name: str):
        return json.loads(self.embedded[name])


@pytest.fixture(scope="module")
def whole(report: Path) -> str:
    return report.read_text(encoding="utf-8")


@pytest.fixture
def page_of(tmp_path: Path, undrawn: None):
    def build(folder: Path) -> Page:
        write_report(folder, tmp_path / "page.html")
        return Page((tmp_path / "page.html").read_text(encoding="utf-8"))

    return build


def folders(studies: Path, pattern: str) -> list[Path]:
    return sorted(studies.glob(pattern))


def test_markup_is_whole_and_ids_are_unique(whole):
    page = Page(whole)
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [
        attributes["href"][1:]
        for tag, attributes in page.elements
        if tag == "a" and attributes["href"][0] == "#"
    ]
    assert set(targets) <= set(ids)
    assert dict(page.elements)["html"] == {"lang": "en"}


def test_nothing_is_loaded_from_elsewhere(whole):
    for tag, attributes in Page(whole).elements:
        for name, value in attributes.items():
            if name == "src" or (name == "href" and tag != "a"):
                assert value.startswith("data:")
            assert not name.startswith("on") and name not in (
                "style",
                "action",
                "srcset",
                "poster",
                "background",
            )
        if tag == "a":
            assert re.match(r"#|https?://", attributes["href"])
    policy = next(it["content"] for _, it in Page(whole).elements if it.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert not re.search(r"url\(|@import", re.search(r"<style>(.*?)</style>", whole, re.S)[1])


def test_a_name_that_looks_like_markup_stays_a_name(whole, evil):
    page = Page(whole)
    assert evil not in whole
    assert evil in page.text
    assert not [it for tag, it in page.elements if tag == "img" and not it["src"].startswith("data:image/")]
    assert [it for tag, it in page.elements if tag == "script" and it.get("type") != "application/json"] == [
        {}
    ]
    assert any(evil in row[1] for row in page.data("s1-t1")["rows"])
    assert any(evil in label for label in page.data("s1-x")["labels"])


def test_only_addresses_of_the_web_become_links():
    assert is_web("https://example.org/a") and is_web("http://example.org")
    assert not any(map(is_web, ("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "", "//x")))


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(studies, undrawn, tmp_path):
    [run, *_] = folders(studies, "under-????????")
    pages = []
    for place in ("here", "there"):
        shutil.copytree(run, tmp_path / place / "run")
        write_report(tmp_path / place / "run", tmp_path / f"{place}.html")
        pages.append((tmp_path / f"{place}.html").read_bytes())
        assert str(tmp_path).encode() not in pages[-1]
    assert pages[0] == pages[1]
    assert sorted(it.name for it in tmp_path.iterdir()) == ["here", "here.html", "there", "there.html"]


def test_plots_are_embedded_and_the_same_again(studies):
    [run, *_] = folders(studies, "under-????????")
    first, again = (plots.draw(run, ["ttft_cdf", "playback"]) for _ in range(2))
    assert first == again
    assert [it.address.partition(",")[0] for it in first.drawn] == ["data:image/svg+xml;base64"]
    assert [kind for kind, _ in first.refused] == ["playback"]


def test_a_folder_of_several_has_a_section_for_each_and_contents(whole):
    page = Page(whole)
    kinds = re.findall(r'<p class="eyebrow">([^<]+)</p>', whole)
    assert kinds[:2] == ["Comparison", "Run"]
    assert sorted(kinds[2:5]) == ["Capacity search", "Run", "Sweep"]
    links = [it["href"] for tag, it in page.elements if tag == "a" and it["href"][0] == "#"]
    assert links[1:] == [f"#s{number + 1}" for number in range(len(kinds))]


def test_a_comparison_says_means_with_intervals_and_paired_differences(studies, page_of):
    [folder] = folders(studies, "*-compare-*")
    page = page_of(folder)
    stored = json.loads((folder / "comparison.json").read_text())
    means, differences = page.data("s1-t1"), page.data("s1-t2")
    assert len(means["rows"]) == len(stored) == 6
    assert len(differences["rows"]) == 5
    ttft = [
        it["title"].partition(" – ")[0] for tag, it in page.elements if tag == "th" and "title" in it
    ].index("services.chat.ttft_s.mean")
    it = stored[-1]["statistics"]["services.chat.ttft_s.mean"]
    value, half = map(float, means["rows"][-1][ttft].split(" ± "))
    assert value == pytest.approx(1e3 * it["mean"], rel=1e-2)
    assert half == pytest.approx(1e3 * (it["high"] - it["low"]) / 2, rel=1e-1)
    assert "± is half the 95 % interval (Student t) over 3 replications" in page.text
    assert differences["rows"][-1][2][0] in "+-"
    assert "hetsim compare tiny.yaml 'a b'" in page.text
    assert "assumed values" in page.text and "a100-80g-sxm" in page.text
    chart = page.data("s1-x")
    assert [(axis["title"], axis["numbers"] is not None) for axis in chart["axes"]] == [
        ("rate", True),
        ("description", False),
    ]
    assert all(len(figure["mean"]) == 6 and figure["half"] for figure in chart["figures"][:1])


def test_an_adjusted_p_value_stands_beside_its_difference(studies, page_of, tmp_path):
    [folder] = folders(studies, "*-compare-*")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    rows = json.loads((copy / "comparison.json").read_text())
    rows[1]["difference"]["services.chat.ttft_s.mean"]["p_adjusted"] = 0.0625
    (copy / "comparison.json").write_text(json.dumps(rows))
    page = page_of(copy)
    assert "TTFT mean: p, adj." in page.text
    assert "0.062" in page.data("s1-t2")["rows"][0]


def test_replications_of_a_run_are_one_study(studies, page_of):
    runs = folders(studies, "under-????????")
    assert len(runs) == 2
    summaries = [flatten(json.loads((run / "summary.json").read_text())) for run in runs]
    mean = sum(it["services.chat.e2e_s.mean"] for it in summaries) / 2
    page = page_of(studies)
    [row] = [row for row in page.data("s2-t1")["rows"] if row[4] == "services.chat.e2e_s.mean"]
    assert float(row[1].split(" ± ")[0]) == pytest.approx(1e3 * mean, rel=1e-2)
    assert (row[0], row[2]) == ("E2E mean", "ms")
    alone = page_of(runs[0])
    assert len(alone.data("s1-t1")["rows"]) > 10
    assert "±" not in json.dumps(alone.data("s1-t1"), ensure_ascii=False)
    assert json.loads((runs[0] / "manifest.json").read_text())["content_hash"] in alone.text


def test_notes_are_said_once_with_where_they_hold(studies, page_of, tmp_path):
    [folder] = folders(studies, "*-compare-*")
    shutil.copytree(folder, tmp_path / "comparison")
    entries = json.loads((tmp_path / "comparison" / "manifest.json").read_text())["variants"]
    for entry in entries[:2]:
        for run in entry["runs"]:
            file = tmp_path / "comparison" / run / "manifest.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | {"notes": ["overloaded"]}))
    text = page_of(tmp_path / "comparison").text
    assert text.count("overloaded") == 1
    assert f"overloaded [{entries[0]['label']} | {entries[1]['label']}]" in text


def test_notes_of_a_sweep_s_runs_are_said(studies, page_of, tmp_path):
    [folder] = folders(studies, "z/*-sweep")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    plan = [json.loads(line) for line in (copy / "plan.jsonl").read_text().splitlines()]
    noted = {it["key"] for it in plan if it["point"]["workloads.work.rate"] == "15/s"}
    for file in copy.glob("results-*.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        rows = [it | ({"notes": ["overloaded"]} if it["key"] in noted else {}) for it in rows]
        file.write_text("".join(json.dumps(it) + "\n" for it in rows))
    text = page_of(copy).text
    assert text.count("overloaded") == 1 and "overloaded [1, 15/s | 2, 15/s]" in text
    (copy / "plan.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"plan\.jsonl"):
        page_of(copy)


def test_definitions_can_be_reached_without_a_mouse(studies, page_of):
    [folder] = folders(studies, "*-compare-*")
    page = page_of(folder)
    assert "What the columns are" in page.text
    hints = {it["title"] for tag, it in page.elements if tag == "th" and "title" in it}
    assert len(hints) > 20 and "workloads.work.rate" in hints
    assert not [hint for hint in hints if " ".join(hint.split()) not in page.text]


def test_a_plot_s_text_says_whose_it_is(whole):
    texts = [it["alt"] for tag, it in Page(whole).elements if tag == "img"]
    assert len(set(texts)) == len(texts) == 5
    assert any(it.startswith("tiny: ") and '1/s, "harmless"; ' in it for it in texts)
    assert any(it.startswith("tiny: requests within the SLO") and it.endswith("points)") for it in texts)


def test_a_damaged_table_is_an_error_and_no_missing_plot(studies, tmp_path, capsys):
    [run, *_] = folders(studies, "under-????????")
    copy, output = tmp_path / "run", tmp_path / "page.html"
    shutil.copytree(run, copy)
    table = (copy / "requests.parquet").read_bytes()
    (copy / "requests.parquet").write_bytes(table[: len(table) // 2])
    assert main(["report", str(copy), "-o", str(output)]) == 2
    assert "requests.parquet: cannot be read" in capsys.readouterr().err
    assert not output.exists()


def test_a_sweep_has_points_and_runs(studies, page_of, tmp_path):
    [folder] = folders(studies, "z/*-sweep")
    page = page_of(folder)
    assert len(page.data("s1-t1")["rows"]) == 30
    assert len(page.data("s1-t2")["rows"]) == 60
    assert (
        page.elements.count(("th", {"scope": "row", "class": "n"}))
        + sum(it.get("scope") == "row" for _, it in page.elements)
        >= 80
    )  # both tables' first rows stand there without a script, and no more
    assert " ± " in page.data("s1-t1")["rows"][0][2]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "results.parquet").unlink()
    assert "has runs left to do: 60 of 60 are done" in page_of(copy).text
    (copy / "results.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"results\.parquet"):
        page_of(copy)


def test_a_capacity_search_says_loads_and_probes(studies, page_of, tmp_path):
    [folder] = folders(studies, "z/*-capacity-*")
    stored = json.loads((folder / "capacity.json").read_text())
    page = page_of(folder)
    assert [float(row[1]) for row in page.data("s1-t1")["rows"]] == pytest.approx(
        [it["load"] for it in stored], rel=1e-3
    )
    assert len(page.data("s1-t2")["rows"]) == sum(len(it["probes"]) for it in stored)
    assert "ttft_s.p99<=0.05" in page.text
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "capacity.json").write_text(
        '[{"variant": {}, "probes": [{"load": 2.0}, {"load": 4.0, "overloaded": true}],'
        ' "notes": ["services.chat: overloaded: so much"]}, {}]'
    )
    page = page_of(copy)
    assert page.data("s1-t2")["rows"] == [["2", "not kept"], ["4", "overloaded"]]
    assert "services.chat: overloaded: so much" in page.text


def test_a_failed_run_says_why(failed, page_of, tmp_path):
    failed(tmp_path / "broke")
    page = page_of(tmp_path / "broke")
    assert "simulate: ValueError: made to <fail>" in page.text
    assert "Traceback: line 7 & more" in page.text
    assert ("span", {"class": "badge", "data-kind": "failed"}) in page.elements


def test_what_was_not_drawn_is_said(whole):
    section = re.search(r'<section id="s1".*?</section>', whole, re.S)[0]
    drawn, refused = section.count("<figure>"), re.search(r"no data for \((\d+)\)", section)
    assert drawn > 1 and drawn + int(refused[1]) == len(PLOT_KINDS)


def test_a_plot_with_very_many_points_is_a_png(studies, monkeypatch):
    [run, *_] = folders(studies, "under-????????")
    monkeypatch.setattr(plots, "MOST_SVG_BYTES", 1000)
    [plot] = plots.draw(run, ["ttft_cdf"]).drawn
    assert plot.address.startswith("data:image/png;base64,iVBORw0KGgo")


@pytest.mark.parametrize(
    "change", ["absent", "empty", "no json", "no format", "other kind", "no scenario", "no summary"]
)
def test_what_cannot_be_read_is_an_error_with_its_file(studies, undrawn, tmp_path, capsys, change):
    [run, *_] = folders(studies, "under-????????")
    folder = tmp_path / "run"
    if change == "empty":
        folder.mkdir()
    elif change != "absent":
        shutil.copytree(run, folder)
    manifest = folder / "manifest.json"
    if change == "no json":
        manifest.write_text("{")
    elif change == "no format":
        manifest.write_text('{"kind": "run"}')
    elif change == "other kind":
        manifest.write_text('{"kind": "web app", "format": 1}')
    elif change == "no scenario":
        (folder / "scenario.resolved.yaml").unlink()
    elif change == "no summary":
        (folder / "summary.json").write_text("{")
    output = tmp_path / "out" / "page.html"
    assert main(["report", str(folder), "-o", str(output)]) == 2
    assert str(folder) in capsys.readouterr().err
    assert not output.exists()


def test_the_command_says_what_it_has_written(studies, undrawn, tmp_path, capsys):
    [run, *_] = folders(studies, "under-????????")
    output = tmp_path / "new" / "page.html"
    assert main(["report", str(run), "-o", str(output)]) == 0
    assert capsys.readouterr() == ("", f"written: {output}\n")
    assert main(["report", str(run), "-o", str(output.parent), "--quiet"]) == 2


def test_figures_have_groups_units_and_definitions():
    found = {it.path: it for it in figures([
        "energy_j.devices.disk_s", "services.a.ttft_s.p99", "services.a.throughput.requests_per_s",
        "services.a.cache.hit_rate.gpu_bytes", "services.a.decoding.quality_surrogate.low", "services.a.new_j.x",
        "storage.disk_s.read_bytes", "services.a.custom.late_share",
    ])}  # fmt: skip
    assert [found[it].unit for it in found] == ["s", "1/s", "share", "", "share", "J", "B", "J"]
    assert found["services.a.ttft_s.p99"].title == "TTFT p99"
    assert found["services.a.ttft_s.p99"].definition.startswith("time to first token")
    assert found["services.a.new_j.x"].group == OTHER
    assert [path for path, it in found.items() if it.surrogate] == [
        "services.a.decoding.quality_surrogate.low"
    ]
    several = figures(["services.a.ttft_s.p50", "services.b.ttft_s.p50"])
    assert [it.group for it in several] == ["a · Latency", "b · Latency"]


def test_surrogates_are_marked_and_missing_values_are_dashes():
    path = "services.a.decoding.quality_surrogate.low"
    rows = [{path: Estimate(0.25, None, 1)}, {}]
    table = table_of_figures("", [Column("policy")], [["a"], ["b"]], rows)
    assert table.columns[1].surrogate
    assert [row[1] for row in table.rows] == ["0.2500", "-"]
    data = explorer([{"policy": "a"}, {"policy": "b"}], rows)
    assert data["figures"][0]["title"].endswith("(surrogate)")
    assert data["figures"][0]["mean"] == [0.25, None]
    assert explorer([{}], rows[:1]) is None


def test_a_sweep_with_one_axis_is_reported(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    axes = {"workloads.work.rate": ["1/s", "2/s"]}
    file.write_text(json.dumps({"version": 1, "name": "one", "base": str(tiny), "axes": axes}))
    assert main(["sweep", str(file), "--out", str(tmp_path), "--quiet"]) == 0
    write_report(tmp_path / "one-sweep", tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size > 0
