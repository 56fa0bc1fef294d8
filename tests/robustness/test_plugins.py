"""What runs code, and what does not: plug-ins that were asked for, in every process; scenario files never."""

import importlib.metadata
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from distributed import LocalCluster

from simulator.policies import plugins, registry

PLUGIN = '''\
"""Loads a fixed share."""

from dataclasses import dataclass

from simulator.policies import register
from simulator.policies.kv_loading.protocol import LoadPlan, PlansOnce


@register("kv_loading", "{name}")
@dataclass(frozen=True, slots=True)
class Mine(PlansOnce):
    """Computes everything."""

    factor: float = 1.0

    def plan(self, view):
        {body}
'''
ALL = "return LoadPlan(compute_to=view.stored_tokens, load_from=view.stored_tokens)"


@pytest.fixture(autouse=True)
def none_before(monkeypatch):
    """No plug-in of another test, nor ours for the next one."""
    monkeypatch.setattr(plugins, "_loaded", {})
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith(("hetsim_plugin_", "mine_")):
            del sys.modules[name]


@pytest.fixture
def plugin(desk, valid):
    """Write a plug-in and a scenario that names its policy; forget it afterwards."""
    names = []

    def write(name, body=ALL):
        names.append(name)
        desk.write(f"{name}.py", PLUGIN.format(name=name, body=body))
        text = valid["scenario"].replace("kv_loading: cake", f"kv_loading: {name}")
        text = text.replace("arrivals: poisson", "stored: {tier: disk}")
        desk.write("scenario.yaml", text)

    yield write
    for name in names:
        registry._registry["kv_loading"].pop(name, None)


def hetsim(desk, *argv):
    """Run in a process of its own: what a plug-in does to it stays there."""
    done = subprocess.run(
        [sys.executable, "-m", "simulator.cli", *argv],
        cwd=desk.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_plug_in_that_was_not_asked_for_is_unknown(refused, plugin):
    plugin("mine_unasked")
    refused(["validate", "scenario.yaml"], "scenario.yaml", "'mine_unasked' is not allowed", "16:55")


def test_a_file_makes_its_policy_known_to_every_command_and_process(desk, plugin):
    plugin("mine")
    asked = ("--plugin", "mine.py")
    assert desk.hetsim("validate", "scenario.yaml", *asked) == (0, "")
    assert desk.hetsim("run", "scenario.yaml", "--out", "runs", *asked, "--quiet") == (0, "")
    (manifest,) = (desk.folder / "runs").glob("*/manifest.json")
    assert json.loads(manifest.read_text())["command"][-3:-1] == ["--plugin", "mine.py"]
    desk.write("sweep.yaml", "version: 1\nname: s\nbase: scenario.yaml\naxes: {seed: [1, 2]}\n")
    assert desk.hetsim("sweep", "sweep.yaml", "--jobs", "2", "--out", "runs", *asked, "--quiet") == (0, "")
    assert (
        desk.hetsim(
            "compare",
            "scenario.yaml",
            "--vary",
            "seed=1,2",
            "--jobs",
            "2",
            "--out",
            "runs",
            *asked,
            "--quiet",
        )[0]
        == 0
    )


def test_a_module_makes_its_policy_known(desk, plugin, monkeypatch):
    plugin("mine_module")
    monkeypatch.syspath_prepend(str(desk.folder))
    assert desk.hetsim("validate", "scenario.yaml", "--plugin", "mine_module") == (0, "")


def test_workers_that_share_no_memory_know_the_plug_ins(desk, plugin):
    """Started anew rather than forked, as on other systems."""
    plugin("mine_spawned")
    desk.write(
        "go.py",
        "import multiprocessing, sys\n"
        "from simulator.cli import main\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    sys.exit(main(['run', 'scenario.yaml', '--jobs', '2', '--replications', '2', '--quiet', '--out', 'runs',"
        " '--plugin', 'mine_spawned.py']))\n",
    )
    done = subprocess.run(
        [sys.executable, "go.py"], cwd=desk.folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_workers_of_a_cluster_know_the_plug_ins(desk, plugin):
    plugin("mine_remote")
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", processes=True
    ) as cluster:
        address = cluster.scheduler_address
        with ThreadPoolExecutor() as pool:
            argv = [
                "run",
                "scenario.yaml",
                "--dask",
                address,
                "--quiet",
                "--out",
                "runs",
                "--plugin",
                "mine_remote.py",
            ]
            status, _, said = pool.submit(hetsim, desk, *argv).result()
    assert (status, said) == (0, "")


@pytest.mark.parametrize(
    ("content", "said", "line"),
    [
        ("x = 1\n1 / 0\n", "ZeroDivisionError: division by zero", 2),
        ("def f(:\n", "SyntaxError", 1),
        ("import no_such_module_at_all\n", "No module named 'no_such_module_at_all'", 1),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3", 2),
        ("\n\nraise KeyError('x')\n", "KeyError: 'x'", 3),
        (
            "from simulator.policies import register\n@register('kv_loadin', 'x')\nclass A: ...\n",
            "unknown decision",
            None,
        ),
        (
            "from simulator.policies import register\n@register('kv_loading', 'x')\nclass A: ...\n",
            "not a dataclass",
            None,
        ),
    ],
)
def test_a_plug_in_that_cannot_be_imported_is_named_with_the_line(desk, content, said, line):
    path = desk.write(f"broken{abs(hash(content))}.py", content)
    status, err = desk.hetsim("list", "policies", "--plugin", path.name)
    assert status == 2
    assert said in err
    assert path.name in err
    assert "Traceback" not in err
    if line:
        assert err.startswith(f"{path}:{line}:")


@pytest.mark.parametrize("plugin", ["none.py", "no_such_module", "", ".", "a/b.py", "../x", "x.yaml"])
def test_a_plug_in_that_is_not_there(desk, plugin):
    status, err = desk.hetsim("list", "policies", "--plugin", plugin)
    assert status == 2
    assert f"plug-in {plugin!r} cannot be imported" in err


def test_an_installed_plug_in_that_cannot_be_imported_is_named(desk, monkeypatch):
    entry = importlib.metadata.EntryPoint("ours", "no_such_package.policies", registry.ENTRY_POINT_GROUP)
    registry._load.cache_clear()
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    status, err = desk.hetsim("list", "policies")
    assert status == 2
    assert "plug-in 'ours = no_such_package.policies' cannot be imported" in err
    monkeypatch.undo()
    registry._load.cache_clear()


HOSTILE = [
    "!!python/object/apply:os.system ['touch hacked']",
    "!!python/object/new:os.system ['touch hacked']",
    "!!python/module:hacked",
    "!!python/name:os.system ''",
    "$(touch hacked)",
    "`touch hacked`",
    "{{ ''.__class__ }}",
    "hacked:Policy",
    "hacked/Policy",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_scenario_runs_no_code(desk, valid, value):
    desk.write("hacked.py", "open('hacked', 'w').close()\n")
    quoted = value if value.startswith("!!") else json.dumps(value)
    for old in (
        "kv_loading: cake",
        "model: llama-2-13b",
        "profile: nvme-gen4",
        "name: base",
        "arrivals: poisson",
    ):
        text = valid["scenario"].replace(old, f"{old.split(':')[0]}: {quoted}")
        desk.write("s.yaml", text)
        assert desk.hetsim("validate", "s.yaml")[0] == 2
        assert desk.hetsim("validate", "s.yaml", "--set", f"description={value}")[0] == 2
    assert not (desk.folder / "hacked").exists()


NAMES = [
    "../../x",
    "/tmp/x",
    "..",
    ".",
    "-rf",
    "a/b",
    "a\\b",
    "x" * 5000,
    "CON",
    "nul.",
    "a\nb",
    "\u202ex",
    ".hidden",
    "~",
    "$HOME",
    "%00",
    "é" * 100,
]


@pytest.mark.parametrize("name", NAMES, ids=[ascii(it)[:12] for it in NAMES])
def test_names_write_nothing_outside(desk, valid, name):
    """The name of a scenario or sweep, and the values of a comparison, become names of folders."""
    work = desk.folder / "work"
    work.mkdir()
    os.chdir(work)
    before = sorted(desk.folder.rglob("*"))
    lines = valid["scenario"].replace("name: base", f"name: {json.dumps(name)}")
    (work / "s.yaml").write_text(lines, encoding="utf-8")
    sweep = f"version: 1\nname: {json.dumps(name)}\nbase: s.yaml\naxes: {{description: [{json.dumps(name)}, b]}}\n"
    (work / "sweep.yaml").write_text(sweep, encoding="utf-8")
    desk.hetsim("run", "s.yaml", "--out", "runs", "--quiet")
    desk.hetsim("sweep", "sweep.yaml", "--out", "runs", "--quiet")
    text = valid["scenario"]
    (work / "s.yaml").write_text(text)
    desk.hetsim(
        "compare", "s.yaml", "--vary", f"description={json.dumps(name)},b", "--out", "runs", "--quiet"
    )
    new = [it for it in desk.folder.rglob("*") if it not in before]
    allowed = {work / "s.yaml", work / "sweep.yaml", work / "runs"}
    assert [it for it in new if it not in allowed and work / "runs" not in it.parents] == []
    assert (work / "runs").is_dir()
