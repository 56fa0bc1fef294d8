"""Folders of runs, comparisons, sweeps and searches that are damaged: exit status 2, naming the file or folder."""

import json
import shutil

import pyarrow
import pytest
from pyarrow import parquet

from simulator.cli import main

RUN = """\
version: 1
name: tiny
horizon: 60 s
devices:
  gpu: {profile: a100-80g-sxm, count: 1}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu}
workloads:
  work: {trace: synthetic, service: chat, requests: 5, rate: 4/s, input_tokens: 64, output_tokens: 4}
"""
SWEEP = "version: 1\nname: tiny\nbase: tiny.yaml\naxes: {workloads.work.rate: [2/s, 4/s]}\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole folder of each kind."""
    place = tmp_path_factory.mktemp("whole")
    (place / "tiny.yaml").write_text(RUN)
    (place / "sweep.yaml").write_text(SWEEP)
    scenario, sweep = str(place / "tiny.yaml"), str(place / "sweep.yaml")
    out = ["--quiet", "--out", str(place)]
    assert main(["run", scenario, *out]) == 0
    assert main(["compare", scenario, "--vary", "workloads.work.rate=2/s,4/s", *out]) == 0
    assert main(["sweep", sweep, *out]) == 0
    assert main(["capacity", scenario, "--slo", "ttft_s.p99<=2", "--quiet", "--out", str(place)]) == 0
    folders = {json.loads(it.read_text())["kind"]: it.parent for it in place.glob("*/manifest.json")}
    return {kind: folders[kind] for kind in ("run", "comparison", "sweep", "capacity")}


def gone(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_bytes(b"\xff\xfe\x00garbage")


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def a_list(path):
    path.write_text("[]")


def a_number(path):
    path.write_text("7")


def brackets(path):
    path.write_text("[" * 100_000)


def digits(path):
    path.write_text('{"format": ' + "9" * 5000 + "}")


def a_folder(path):
    path.unlink()
    path.mkdir()


def another_schema(path):
    parquet.write_table(pyarrow.table({"colour": ["red"]}), path)


def no_rows(path):
    parquet.write_table(pyarrow.table({"colour": pyarrow.array([], pyarrow.string())}), path)


def with_(**changes):
    def change(path):
        data = json.loads(path.read_text())
        for key, value in changes.items():
            if value is None:
                del data[key]
            else:
                data[key] = value
        path.write_text(json.dumps(data))

    change.__name__ = "with_" + "_".join(f"{key}_{value}" for key, value in changes.items())[:40]
    return change


TEXTS = [gone, empty, garbage, cut, a_list, a_number, brackets, digits, a_folder]
TABLES = [gone, empty, garbage, cut, a_folder, another_schema, no_rows]
MANIFESTS = [
    with_(format=99),
    with_(format="1"),
    with_(format=None),
    with_(kind="cake"),
    with_(kind=None),
    with_(kind=["run"]),
]
PLOT_OF = {"run": "ttft_cdf", "comparison": "ttft_cdf", "sweep": "sweep_lines", "capacity": "goodput"}


def cases():
    for kind in PLOT_OF:
        for spoil in (*TEXTS, *MANIFESTS):
            yield pytest.param(kind, "manifest.json", spoil, id=f"{kind}-manifest-{spoil.__name__}")
    for spoil in TEXTS:
        yield pytest.param("run", "summary.json", spoil, id=f"run-summary-{spoil.__name__}")
        yield pytest.param("run", "scenario.resolved.yaml", spoil, id=f"run-scenario-{spoil.__name__}")
    for spoil in TABLES:
        yield pytest.param("run", "requests.parquet", spoil, id=f"run-requests-{spoil.__name__}")
        yield pytest.param("sweep", "results.parquet", spoil, id=f"sweep-results-{spoil.__name__}")


@pytest.mark.parametrize(("kind", "file", "spoil"), cases())
@pytest.mark.parametrize("command", ["plot", "report"])
def test_damaged_folders(desk, whole, record_property, kind, file, spoil, command):
    folder = desk.folder / "it"
    shutil.copytree(whole[kind], folder)
    spoil(folder / file)
    argv = (
        ["plot", "it", PLOT_OF[kind], "-o", "out.svg"]
        if command == "plot"
        else ["report", "it", "-o", "out.html"]
    )
    status, said = desk.hetsim(*argv)
    assert "Traceback" not in said
    if (
        status == 0
    ):  # the command does without that file: a sweep may be under way, a folder hold several runs
        assert command == "plot" or spoil in (gone, a_folder) or file == "scenario.resolved.yaml"
        return
    assert status == 2, said
    assert said.startswith("it"), said
    assert sorted(it.name for it in desk.folder.iterdir()) == ["it"]
    record_property("malformed", "file")
