"""Small studies of every kind, one of them with a name that would run if it were taken for markup."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from devices.errors import Fault, InputError
from simulator.cli import main
from simulator.experiments.compare import compare
from simulator.experiments.identity import Identity
from simulator.experiments.run_store import Effort, Failure, write_run
from simulator.html_report import plots, write_report
from simulator.scenario.load import load

SCENARIO = """
version: 1
name: tiny
devices: {gpu: {profile: a100-80g-sxm, count: 2}}
services: {chat: {kind: llm, model: llama-2-7b, gpus: gpu, engine: vllm-0.6}}
workloads: {work: {service: chat, trace: synthetic, requests: 30, rate: 4/s, input_tokens: 200, output_tokens: 10}}
"""

EVIL = "</script><img src=x onerror=window.owned=1>"


@pytest.fixture(scope="session")
def evil() -> str:
    """A name that would run if it were taken for markup."""
    return EVIL


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "tiny.yaml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture(scope="session")
def studies(tiny: Path, failed: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a comparison, replications of a run, and deeper a sweep, a capacity search and a failed run."""
    out = tmp_path_factory.mktemp("all") / "studies"
    names = [json.dumps(EVIL), json.dumps("harmless")]
    vary = {"workloads.work.rate": ["1/s", "4/s", "16/s"], "description": names}
    compare(tiny, vary, replications=3, out=out, command=["hetsim", "compare", "tiny.yaml", "a b"])
    compare(tiny, {}, ["name=under"], replications=2, out=out)
    sweep = tiny.with_name("sweep.yaml")
    axes = {"services.chat.replicas": [1, 2], "workloads.work.rate": [f"{it}/s" for it in range(1, 16)]}
    sweep.write_text(
        json.dumps({"version": 1, "name": "grid", "base": str(tiny), "axes": axes, "replications": 2})
    )
    deeper = str(out / "z")
    assert main(["sweep", str(sweep), "--out", deeper, "--quiet"]) == 0
    slo = ["--slo", "ttft_s.p99<=0.05", "--out", deeper, "--quiet"]
    assert main(["capacity", str(tiny), *slo, "--vary", "services.chat.replicas=1,2"]) == 0
    failed(out / "z" / "broke")
    return out


@pytest.fixture(scope="session")
def failed(tiny: Path) -> Callable[[Path], None]:
    """A function that writes the folder of a run that has failed."""
    failure = Failure("simulate", "ValueError", "made to <fail>", "Traceback: line 7 & more")

    def write(folder: Path) -> None:
        effort, identity = Effort(1.0, None), Identity("0" * 64, {})
        write_run(folder, load(tiny), 0, identity, effort, ["hetsim", "run"], failure)

    return write


@pytest.fixture(scope="session")
def report(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all studies, with some of their plots."""
    output = tmp_path_factory.mktemp("page") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        only(patch, "ttft_cdf", "latency_bars", "sweep_lines", "goodput")
        write_report(studies, output)
    return output


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plots."""
    only(monkeypatch)


def only(patch: pytest.MonkeyPatch, *kinds: str) -> None:
    """Draw these plots only: they take most of the time."""
    plot = plots.plot

    def refuse(folder: Path, kind: str, output: Path) -> None:
        if kind not in kinds:
            raise InputError(Fault("left out"))
        plot(folder, kind, output)

    patch.setattr(plots, "plot", refuse)
