"""What the documentation shows is what comes out: examples, commands, links, versions.

In the tutorial and the guides a block after ``<!-- file: NAME -->`` is written to that file; ``$ hetsim ...`` lines of
a ``console`` block are run, and their output (stdout; of a command that fails also stderr) is compared with what
follows them; ``>>>`` examples are doctests. ``...`` stands for anything. All of one document happens in order, in one
folder and in a process of its own, which is what running this file with a document's path does.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from simulator.cli import _two_words, main, parser

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")]
)
RUN = [ROOT / "docs/tutorial.md", *sorted(ROOT.glob("docs/guides/*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
BLOCK = re.compile(
    r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    file: str | None
    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for it in BLOCK.finditer(text):
        line = text.count("\n", 0, it.start("text"))
        yield Block(it["file"], it["language"], it["text"], line)


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Return each command of a ``console`` block and the output shown for it."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, shown = re.sub(r"\\\n\s*", "", part).partition("\n")
        yield command, shown


def execute(command: str, apart: bool) -> str:
    """Return what a ``hetsim`` command says, run in this process or in one of its own."""
    words = shlex.split(command)
    own = dict(word.split("=", 1) for word in words[: words.index("hetsim")])
    arguments = words[words.index("hetsim") + 1 :]
    if apart:
        process = subprocess.run(
            [sys.executable, "-m", "simulator.cli", *arguments],
            env=os.environ | own,
            capture_output=True,
            text=True,
            check=False,
        )
        status, out, err = process.returncode, process.stdout, process.stderr
    else:
        streams = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        os.environ.update(own)
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            status = main(arguments)
        os.environ.clear()
        os.environ.update(before)
        out, err = (stream.getvalue() for stream in streams)
    return out + err if status else out


def install(folder: Path) -> None:
    """Do what ``pip install --editable`` does for entry points: describe the package on the path of modules."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(groups))
    os.environ["PYTHONPATH"] = os.pathsep.join((str(folder.resolve()), os.environ.get("PYTHONPATH", "")))


def follow(page: Path) -> list[str]:
    """Do what a document says in the working directory; return where it does not turn out as shown."""
    faults: list[str] = []
    names: dict[str, object] = {}
    checker = doctest.OutputChecker()
    runner = doctest.DocTestRunner(checker, verbose=False, optionflags=FLAGS)
    apart = False
    sys.path.insert(0, str(Path.cwd()))
    for block in blocks(page):
        if block.file is not None:
            path = Path(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command, shown in commands(block.text):
                if command.startswith("pip install --editable "):
                    install(Path(command.split()[-1]))
                    apart = True
                    continue
                got = execute(command, apart)
                if not checker.check_output(shown, got, FLAGS):
                    faults.append(f"{page.name}:{block.line}: $ {command}\nshown:\n{shown}\nis:\n{got}")
        elif ">>> " in block.text:
            name = f"{page.name}:{block.line}"  # doctest tells tests apart by name
            test = doctest.DocTestParser().get_doctest(block.text, names, name, str(page), block.line)
            runner.run(test, out=faults.append, clear_globs=False)
            names = test.globs
    return faults


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_examples_come_out_as_shown(page: Path, tmp_path: Path) -> None:
    shown = [block for block in blocks(page) if block.language == "console" or ">>> " in block.text]
    assert shown, "a guide without an example that is run"
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    process = subprocess.run(
        [sys.executable, __file__, str(page)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr


def test_a_number_that_is_not_what_comes_out_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```console\n$ hetsim version\nhetsim 9.9.9 ...\n```\n\n```python\n>>> 1 + 1\n3\n```\n")
    first, *_ = faults = follow(page)
    assert "$ hetsim version" in first
    assert any("Expected:\n    3\nGot:\n    2" in fault for fault in faults)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ +(.+?) *$", text, re.M)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            dead.append(target)
    assert not dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_understood_and_scenarios_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for block in blocks(page):
        text = re.sub(r"^\$ ", "", re.sub(r"\\\n\s*", "", block.text), flags=re.M)
        for line in re.findall(r"^(?:[A-Z_]+=\S+ )*hetsim (.+)$", text, re.M):
            arguments = shlex.split(line, comments=True)
            if "$" in line or ">" in arguments:
                continue
            try:
                parser().parse_args(_two_words(arguments))
            except SystemExit:
                wrong.append(f"{line}: {capsys.readouterr().err.splitlines()[-1]}")
    assert not wrong
    named = set(re.findall(r"\bscenarios/[\w/]+\.yaml", page.read_text(encoding="utf-8")))
    assert not [name for name in named if not (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def test_citation_file(version: str) -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {
        "cff-version",
        "message",
        "title",
        "authors",
        "version",
        "license",
        "references",
    } <= citation.keys()
    assert citation["version"] == version
    assert citation["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert len(citation["references"]) == 3
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= reference.keys()


def test_changelog_has_an_entry_for_this_version(version: str) -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (entry,) = re.findall(rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert re.findall(r"^- ", entry, re.M)


if __name__ == "__main__":
    found = follow(Path(sys.argv[1]))
    print("\n".join(found))
    sys.exit(bool(found))
