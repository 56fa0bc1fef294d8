"""Runs of answers in parts: stored and read back, compared, the same in every process."""

from __future__ import annotations

import json
from pathlib import Path

import simulator
from simulator.cli import main
from simulator.commands.scenarios import SHIPPED
from simulator.experiments.run_store import load_run

ALONE = str(SHIPPED / "plato" / "alone.yaml")
FEW = ("--set", "workloads.questions.requests=12")


def test_a_stored_run_gives_the_summary_again(tmp_path: Path) -> None:
    assert main(["run", ALONE, *FEW, "--quiet", "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    run = load_run(folder)
    assert run.recomputed_summary() == run.summary
    assert len(run.generations) == run.requests["generations"].sum()
    assert {"after", "ready_s", "decoded_by"} <= set(run.generations)


def test_tables_of_several_processes_are_those_of_one(tmp_path: Path, capsys) -> None:
    arguments = ["compare", ALONE, *FEW, "--vary", "services.chat.policies.decoding=autoregressive,sot,plato"]
    texts = []
    for jobs in ("1", "2"):
        out = tmp_path / jobs
        assert (
            main([*arguments, "--replications", "2", "--jobs", jobs, "--json", "--quiet", "--out", str(out)])
            == 0
        )
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    plato = json.loads(texts[0])[2]
    assert plato["variant"]["services.chat.policies.decoding"] == "plato"


def test_policies_are_asked_the_same_questions() -> None:
    runs = [
        simulator.run(
            ALONE, **{"workloads.questions.requests": 8, "services.chat.policies.decoding": policy}
        ).frame()
        for policy in ("autoregressive", "plato", "graph_oracle")
    ]
    for column in ("input_tokens", "answer_tokens", "critical_tokens", "edges"):
        assert len({tuple(run[column]) for run in runs}) == 1


def test_a_notebook_sees_generations() -> None:
    run = simulator.run(ALONE, **{"workloads.questions.requests": 3})
    generations = run.generations("chat")
    assert len(generations) == run.frame()["generations"].sum()
    assert (generations["ready_s"] <= generations["admitted_s"]).all()


def test_the_table_says_what_is_a_surrogate(tmp_path: Path, capsys) -> None:
    assert main(["run", ALONE, *FEW, "--quiet", "--out", str(tmp_path)]) == 0
    assert "Quality is a surrogate" in capsys.readouterr().out
