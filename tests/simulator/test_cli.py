"""The command line as users meet it: through `main` and, where processes matter, through real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import simulator.experiments.execution
from devices.errors import SimulatorError
from simulator.cli import LISTS, main

ROOT = Path(__file__).parents[2]

SCENARIO = """\
version: 1
name: small
devices:
  gpu: {profile: a100-80g-sxm, count: 1}
  disk: {profile: nvme-gen4, bandwidth: 32 Gbit/s}
services:
  chat:
    kind: llm
    model: llama-2-7b
    gpus: gpu
    kv_tiers: [disk]
    policies: {kv_loading: cake}
workloads:
  chat:
    trace: synthetic
    service: chat
    rate: 2/s
    requests: 30
    input_tokens: 1024
    output_tokens: {distribution: uniform, low: 1, high: 32}
    stored: {tier: disk}
"""

KV_LOADING = "services.chat.policies.kv_loading"


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small scenario in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    return path


def hetsim(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "simulator.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False)


def test_two_processes_print_the_same_bytes(scenario: Path) -> None:
    runs = [
        hetsim("run", "small.yaml", "--json", "--out", f"out{number}", cwd=scenario.parent)
        for number in (1, 2)
    ]
    assert [run.returncode for run in runs] == [0, 0]
    assert runs[0].stdout == runs[1].stdout
    summary = json.loads(runs[0].stdout)
    assert summary["scenario"] == "small"
    assert summary["services"]["chat"]["requests"]["completed"] == 30
    folders = [next((scenario.parent / f"out{number}").iterdir()).name for number in (1, 2)]
    assert folders[0] == folders[1], "the folder's name is a function of the inputs"


def test_parallel_replications_print_what_serial_ones_print(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for jobs in ("1", "2"):
        arguments = ["--vary", f"{KV_LOADING}=compute_only,cake", "--replications", "2", "--jobs", jobs]
        assert main(["compare", str(scenario), *arguments, "--json"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_run_prints_a_table_and_says_where_the_folder_is(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(scenario)]) == 0
    out, err = capsys.readouterr()
    assert "TTFT" in out and "energy" in out
    assert max(map(len, out.splitlines())) <= 100
    folder = next(Path("runs").iterdir())
    assert f"written: {folder}" in err
    assert "assumed" in err
    summary = json.loads((folder / "summary.json").read_text())
    assert main(["run", str(scenario), "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == summary
    assert err == ""


def test_replications_have_means_and_intervals(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(scenario), "--replications", "3"]) == 0
    assert "±" in capsys.readouterr().out
    assert main(["run", str(scenario), "--replications", "3", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    means = [one["services"]["chat"]["ttft_s"]["mean"] for one in data["replications"]]
    estimate = data["statistics"]["services.chat.ttft_s.mean"]
    assert len(set(means)) == 3, "each replication has its own random numbers"
    assert estimate["mean"] == pytest.approx(sum(means) / 3)
    assert estimate["low"] < estimate["mean"] < estimate["high"]
    assert len(list(Path("runs").iterdir())) == 3


def test_replications_without_chance_say_so(capsys, tmp_path):
    arguments = ["run", "cake/single", "--replications", "2", "--quiet", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "All 2 replications are equal: nothing in this scenario is random." in capsys.readouterr().out


def test_the_seed_changes_the_arrivals(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for seed in ("1", "2", "1"):
        assert main(["run", str(scenario), "--json", "--seed", seed]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[2] != printed[1]


def test_bad_input_reports_every_fault_and_writes_nothing(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        SCENARIO.replace("llama-2-7b", "llama-2-7bb").replace("rate: 2/s", "rate: 2 GB").replace("seed", "")
    )
    scenario.write_text(text.replace("requests: 30", "request: 30"))
    assert main(["run", "small.yaml", "--set", "devices.disc.bandwidth=1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert any(
        line.startswith("small.yaml:9:12: services.chat.model: ") and "llama-2-7b" in line for line in lines
    )
    assert any(line.startswith("small.yaml:17:11: workloads.chat.rate: ") for line in lines)
    assert any(
        line.startswith("small.yaml:18:5: workloads.chat.request: ") and "requests" in line for line in lines
    )
    assert any("nearest: devices.disk" in line for line in lines)
    assert "Traceback" not in err
    assert [path.name for path in Path().iterdir()] == ["small.yaml"]


@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_malformed_trace_row_is_bad_input(
    scenario: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    Path("trace.csv").write_text("arrival_s,input_tokens,output_tokens\n0,10,1\n1,-3,1\n2,10,x\n")
    workload = "{trace: csv, service: chat, path: trace.csv}"
    arguments = [command, str(scenario), "--set", f"workloads.chat={workload}"]
    if command == "compare":
        arguments += ["--vary", f"{KV_LOADING}=cake,io_only"]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "trace.csv:3:1" in err and "trace.csv:4:1" in err
    assert err.count("trace.csv:3:1") == 1, "a fault that several variants share is told once"
    assert not Path("runs").exists()


def test_a_model_that_does_not_fit_is_bad_input(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(scenario), "--set", "services.chat.model=llama-2-70b"]) == 2
    assert "GiB short" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_an_output_folder_that_cannot_be_made_is_bad_input(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("taken").write_text("a file")
    for extra in ([], ["--vary", f"{KV_LOADING}=cake,io_only"]):
        command = "compare" if extra else "run"
        assert main([command, str(scenario), "--out", "taken", *extra]) == 2
        err = capsys.readouterr().err
        assert "taken" in err and "Traceback" not in err


def test_a_failed_simulation_is_data(
    scenario: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate = simulator.experiments.execution.simulate

    def broken(given: object, *rest: object) -> object:
        if "IoOnly" in repr(given):
            raise SimulatorError("the disk has fallen off")
        return simulate(given, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(simulator.experiments.execution, "simulate", broken)
    assert main(["compare", str(scenario), "--vary", f"{KV_LOADING}=cake,io_only", "--json"]) == 1
    out, err = capsys.readouterr()
    good, bad = json.loads(out)
    assert good["status"] == "succeeded" and good["summary"]
    assert bad["status"] == "failed" and bad["summary"] is None
    assert bad["failures"][0]["message"] == "the disk has fallen off"
    assert "the disk has fallen off" in err and "Traceback" not in err
    manifest = json.loads(next(Path("runs").glob("*/io_only/manifest.json")).read_text())
    assert manifest["status"] == "failed"
    assert "broken" in manifest["failure"]["traceback"]

    assert main(["run", str(scenario), "--set", f"{KV_LOADING}=io_only", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["failures"][0]["stage"] == "simulate"


def test_every_fault_of_every_variant_is_told(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--vary", f"{KV_LOADING}=cake,cakes", "--vary", "services.chat.modl=mistral-7b"]
    assert main(["compare", str(scenario), *arguments]) == 2
    err = capsys.readouterr().err
    assert "nearest: services.chat.model" in err and "cakes" in err
    assert main(["compare", str(scenario), "--vary", "seed=1,1", "--vary", "x"]) == 2
    assert "PATH=V1,V2" in capsys.readouterr().err
    assert main(["compare", str(scenario), "--vary", "seed=1,1"]) == 2
    assert "2 times" in capsys.readouterr().err


def test_values_with_commas_inside_brackets_stay_whole(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = "{name: cake, adaptive: false}"
    assert main(["compare", str(scenario), "--vary", f"{KV_LOADING}=cake,{policy}", "--json"]) == 0
    assert [row["variant"][KV_LOADING] for row in json.loads(capsys.readouterr().out)] == ["cake", policy]


def test_a_shipped_scenario_has_a_name(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("scenarios/study")
    folder.mkdir(parents=True)
    scenario.rename(folder / "small.yaml")
    assert main(["validate", "study/small"]) == 0
    assert capsys.readouterr().out == "study/small: valid\n"
    assert main(["list", "scenarios", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["study/small"]
    assert main(["run", "study/smal"]) == 2
    assert "nearest: study/small" in capsys.readouterr().err


def test_validate_reads_every_file_and_its_traces(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("wrong.yaml").write_text("version: 1\nname: x\n")
    assert main(["validate", "small.yaml", "wrong.yaml", "absent.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == "small.yaml: valid\n"
    assert "wrong.yaml:" in err and "absent.yaml" in err
    assert main(["validate", "wrong.yaml", "small.yaml", "--json"]) == 2
    wrong, good = json.loads(capsys.readouterr().out)
    assert good["valid"] and not wrong["valid"]
    assert {"devices", "services", "workloads"} <= {fault["path"] for fault in wrong["faults"]}


def test_schema_is_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "json-schema.org" in schema["$schema"]
    assert "cake_with_fallback" in json.dumps(schema)


@pytest.mark.parametrize("what", LISTS)
def test_every_list_has_a_table_and_json(
    what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["list", what]) == 0
    table = capsys.readouterr().out.splitlines()
    assert main(["list", what, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows and len(table) == len(rows) + 1
    assert table[0].split() == list(rows[0])


def test_cite_names_a_source_for_every_value(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", str(scenario), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert all(value["source"] and value["kind"] for value in data["values"])
    assert sum(data["counts"].values()) == len(data["values"])
    by_field = {(value["entry"], value["field"]): value for value in data["values"]}
    bandwidth = by_field["nvme-gen4", "read_bandwidth_bytes_per_s"]
    assert (bandwidth["kind"], bandwidth["value"]) == ("scenario", 4e9)
    assert data["models"][0]["name"] == "llama-2-7b"
    assert data["workloads"]

    assert main(["cite", str(scenario), "--set", "devices.gpu.memory=60 GiB"]) == 0
    out = capsys.readouterr().out
    assumed = sum(kind == "assumed" for kind in (value["kind"] for value in data["values"]))
    assert sum(line.startswith("! ") for line in out.splitlines()) == assumed
    assert "2 scenario" in out
    assert "[1] " in out


def test_cite_says_what_stands_in_for_an_engine_that_is_not_calibrated(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cite", str(scenario), "--set", "services.chat.engine=vllm-0.10"]) == 0
    assert "vllm-0.10 is not calibrated; overheads are those of vllm-0.6" in capsys.readouterr().out


def test_cite_tells_the_source_of_the_embedded_workload(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cite", str(scenario), "--set", "workloads.chat={trace: mooncake, service: chat}"]) == 0
    assert "embedded synthetic workload: figures derived from: Mooncake" in capsys.readouterr().out


def test_plot_of_a_comparison(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(scenario), "--vary", f"{KV_LOADING}=compute_only,cake"]) == 0
    folder = str(next(Path("runs").iterdir()))
    assert main(["plot", folder, "ttft_cdf", "-o", "plot.svg"]) == 0
    assert Path("plot.svg").read_bytes().startswith(b"<?xml")
    capsys.readouterr()
    assert main(["plot", folder, "ttft_cfd", "-o", "plot.gif"]) == 2
    err = capsys.readouterr().err
    assert "ttft_cdf" in err and ".gif" in err


def test_reproduce_predicts_given_cells(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("cells.csv").write_text(
        "model,gpu,num_gpus,bandwidth_gbps,prompt_tokens,share,kv_bits\n"
        "longalpaca-7b,a100-80g-sxm,1,32,8192,1,16\n"
    )
    assert main(["reproduce", "cake", "--cells", "cells.csv", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["model"] == "longalpaca-7b"
    assert row["speedup_over_io_only"] > 1 and row["speedup_over_compute_only"] > 1 and row["ttft_s"] > 0
    assert main(["reproduce", "cake", "--cells", "cells.csv"]) == 0
    assert "longalpaca-7b" in capsys.readouterr().out


def test_a_study_that_is_not_there_names_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "platypus"]) == 2
    err = capsys.readouterr().err
    assert "not part of this version" in err and "cake" in err and "plato" in err


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["run"], ["run", "x", "--seed", "-1"], ["run", "x", "--replications", "0"]]
)
def test_wrong_arguments_are_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_help_and_import_stay_light(tmp_path: Path) -> None:
    heavy = "{'numpy', 'pandas', 'scipy', 'matplotlib', 'pydantic', 'pyarrow', 'simpy'}"
    code = (
        "import sys, simulator; from simulator.cli import main; main(['--help']); "
        f"sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.stderr == b"" and done.returncode == 0
    assert b"compare" in done.stdout


def test_a_reader_that_goes_away_is_no_fault(scenario: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "simulator.cli", "schema"],
        cwd=scenario.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_interruption_leaves_nothing_behind(
    scenario: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulator.experiments.execution, "simulate", interrupted)
    assert main(["compare", str(scenario), "--vary", f"{KV_LOADING}=cake,io_only"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not Path("runs").exists()
