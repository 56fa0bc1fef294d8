"""Run folders: whole or absent, recomputable, named by what the run depends on."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from devices.errors import InputError
from simulator.experiments.compare import compare
from simulator.experiments.folders import is_leftover, slug, whole_file, whole_folder
from simulator.experiments.identity import identify
from simulator.experiments.run_store import (
    Effort,
    Failure,
    load_run,
    write_run,
)
from simulator.metrics import registry as metric_registry
from simulator.policies import registry as policy_registry
from simulator.scenario.load import Resolver, load_text
from simulator.world import simulate

SCENARIO = """\
version: 1
name: two-services
devices:
  gpu: {profile: a100-80g-sxm, count: 2}
  disk: {profile: nvme-gen4}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu, replicas: 1, kv_tiers: [disk], policies: {kv_loading: cake}}
  draft: {kind: llm, model: mistral-7b, gpus: gpu, replicas: 1}
workloads:
  chat: {trace: synthetic, service: chat, rate: 2/s, requests: 8, input_tokens: 512, output_tokens: 8,
         stored: {tier: disk}}
  draft: {trace: synthetic, service: draft, rate: 2/s, requests: 5, input_tokens: 64, output_tokens: 4}
"""

HERE = Resolver(Path())


def stored(folder: Path, text: str = SCENARIO) -> Path:
    scenario = load_text(text)
    result = simulate(scenario)
    write_run(
        folder,
        scenario,
        0,
        identify(scenario, HERE),
        Effort(0.5, 1000, result.events),
        ["hetsim", "run"],
        result,
    )
    return folder


def test_a_stored_run_says_what_it_was(tmp_path: Path) -> None:
    run = load_run(stored(tmp_path / "run"))
    assert run.manifest["status"] == "succeeded"
    assert run.manifest["command"] == ["hetsim", "run"]
    assert {"python", "hetsim", "numpy", "simpy"} <= run.manifest["versions"].keys()
    assert (run.manifest["seed"], run.manifest["replication"]) == (0, 0)
    assert (run.manifest["wall_s"], run.manifest["peak_memory_bytes"]) == (0.5, 1000)
    assert run.manifest["events"] == run.result().events > 13  # more than one for each request
    assert "devices/catalog/nvme-gen4.yaml" in run.manifest["files"]
    assert run.scenario == load_text(SCENARIO)


def test_tables_hold_every_service_and_null_where_a_service_lacks_a_tier(tmp_path: Path) -> None:
    run = load_run(stored(tmp_path / "run"))
    requests = run.requests
    assert requests["service"].value_counts().to_dict() == {"chat": 8, "draft": 5}
    loaded = requests.groupby("service", observed=True)["loaded_disk_tokens"]
    assert loaded.count().to_dict() == {"chat": 8, "draft": 0}
    devices = run.devices
    assert set(devices["device"]) == {"gpu"} and set(devices["service"]) == {"chat", "draft"}
    assert (devices["end_s"] > devices["start_s"]).all() and (devices["energy_j"] > 0).all()
    assert list(run.totals["device"]) == ["gpu", "disk"]


def test_every_figure_can_be_recomputed_from_the_folder(tmp_path: Path) -> None:
    run = load_run(stored(tmp_path / "run"))
    assert run.recomputed_summary() == run.summary == simulate(load_text(SCENARIO)).summary()


def test_without_intervals_the_table_is_empty_but_there(tmp_path: Path) -> None:
    run = load_run(stored(tmp_path / "run", SCENARIO + "record_intervals: false\n"))
    assert len(run.devices) == 0 and "energy_j" in run.devices
    assert run.recomputed_summary() == run.summary


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    folder = stored(tmp_path / "run")
    (folder / "summary.json").write_text("spoilt")
    stored(folder)
    assert load_run(folder).summary["scenario"] == "two-services"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    final = tmp_path / "new" / "run"
    with pytest.raises(RuntimeError), whole_folder(final) as unfinished:
        (unfinished / "part").write_text("x")
        assert is_leftover(unfinished) and not final.exists()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == [], "nor is the parent that was made for it"
    with whole_folder(final) as unfinished:
        (unfinished / "part").write_text("x")
    assert [path.name for path in final.parent.iterdir()] == ["run"]
    assert not is_leftover(final)
    with pytest.raises(RuntimeError), whole_folder(final):
        raise RuntimeError
    assert (final / "part").read_text() == "x", "what was there stays where the new one fails"


def test_a_failed_run_is_data(tmp_path: Path) -> None:
    scenario = load_text(SCENARIO)
    failure = Failure("simulate", "SimulatorError", "no more disk", "Traceback ...")
    write_run(tmp_path / "run", scenario, 0, identify(scenario, HERE), Effort(0.1, None), [], failure)
    run = load_run(tmp_path / "run")
    assert run.manifest["status"] == "failed"
    assert run.manifest["failure"]["traceback"] == "Traceback ..."
    assert run.scenario == scenario
    with pytest.raises(InputError, match="no more disk"):
        _ = run.summary


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, "no readable manifest.json"),
        ("{", "no readable manifest.json"),
        ('{"kind": "comparison", "format": 1}', "holds a comparison, not a run"),
        ('{"kind": "run", "format": 99}', "format 99"),
        ("[]", "file of another program"),
    ],
)
def test_what_is_no_run_folder_is_refused(tmp_path: Path, manifest: str | None, message: str) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match=message):
        load_run(tmp_path)


def test_the_identity_covers_the_code_of_plug_ins(tmp_path, monkeypatch):
    """A policy and a metric of somebody else's: their code counts, ours is stood for by the version."""
    plain = identify(load_text(SCENARIO), HERE).content_hash
    file = tmp_path / "their_plug_in.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from simulator.policies.kv_loading.cake import Cake\n"
        "@dataclass(frozen=True)\nclass Theirs(Cake):\n    pass\n"
        "def late(requests):\n    return 0.0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    their = importlib.import_module("their_plug_in")
    scenario = load_text(SCENARIO)
    service = scenario.llm_services["chat"]
    policies = replace(service.policies, kv_loading=their.Theirs())
    changed = replace(scenario, services={**scenario.services, "chat": replace(service, policies=policies)})
    monkeypatch.setitem(policy_registry._registry["kv_loading"], "theirs", their.Theirs)
    hashes = [plain, identify(changed, HERE).content_hash]
    file.write_text(file.read_text() + "# another line\n")
    hashes.append(identify(changed, HERE).content_hash)
    monkeypatch.setitem(
        metric_registry._registry, ("llm", "late"), metric_registry.Metric("late", "llm", their.late)
    )
    hashes.append(identify(scenario, HERE).content_hash)
    file.write_text(file.read_text() + "# one more\n")
    hashes.append(identify(scenario, HERE).content_hash)
    assert len(set(hashes)) == len(hashes)
    monkeypatch.undo()
    assert identify(scenario, HERE).content_hash == plain


def test_the_hash_depends_on_what_a_run_depends_on() -> None:
    scenario = load_text(SCENARIO)
    base = identify(scenario, HERE).content_hash
    assert identify(load_text("# a comment\n" + SCENARIO), HERE).content_hash == base
    assert identify(scenario, HERE, replication=1).content_hash != base
    assert identify(replace(scenario, seed=1), HERE).content_hash != base
    assert identify(load_text(SCENARIO.replace("requests: 8", "requests: 9")), HERE).content_hash != base


def test_the_hash_follows_a_trace_s_content_and_not_its_place(tmp_path: Path) -> None:
    rows = "arrival_s,input_tokens,output_tokens\n0,10,1\n1,20,2\n"
    hashes = []
    for folder, content in (("a", rows), ("b", rows.replace("\n", "\r\n")), ("c", rows.replace("20", "21"))):
        trace = tmp_path / folder / "trace.csv"
        trace.parent.mkdir()
        trace.write_text(content, newline="")
        text = f"""\
version: 1
name: traced
devices: {{gpu: {{profile: a100-80g-sxm}}}}
services: {{chat: {{kind: llm, model: llama-2-7b, gpus: gpu}}}}
workloads: {{chat: {{trace: csv, service: chat, path: {json.dumps(str(trace))}}}}}
"""
        hashes.append(identify(load_text(text), HERE).content_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_run_folder_stands_under_its_name_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    comparison = compare(path, {}, out=tmp_path / "runs", command=["x"])
    [folder] = (tmp_path / "runs").iterdir()
    assert folder.name == f"two-services-{identify(load_text(SCENARIO), HERE).short}"
    assert load_run(folder).summary == comparison.variants[0].outcomes[0].summary
    assert isinstance(load_run(folder).requests, pd.DataFrame)


def test_a_slug_is_a_file_name() -> None:
    assert slug("cake, 32 Gbit/s") == "cake-32-Gbit-s"
    assert slug("../..") == "run"
    assert len(slug("x" * 500)) <= 80


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    file = tmp_path / "new" / "file"
    with pytest.raises(RuntimeError), whole_file(file) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    for text in ("first", "second"):
        with whole_file(file) as unfinished:
            unfinished.write_text(text)
    with pytest.raises(InputError, match="file: cannot be written"), whole_file(file):
        raise OSError(28, "No space left on device")
    assert [it.read_text() for it in file.parent.iterdir()] == ["second"]


def test_nothing_is_written_below_a_folder_that_has_been_given_up(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "all") as given_up:
        raise RuntimeError
    with pytest.raises(InputError, match="is there no more"), whole_folder(given_up / "run"):
        pass
    assert not list(tmp_path.iterdir())
