"""Every notebook runs from a fresh kernel, and lies in the repository without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
QUESTIONS = {
    "cake_when_does_it_pay",
    "calibration_how_good",
    "oasis_how_many_phones",
    "plato_under_load",
    "sweep_in_five_minutes",
}
SMALL = "HETSIM_NOTEBOOK_SMALL"

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def outputs(notebook: Any, kind: str) -> list[Any]:
    """Return what the cells have put out of one type of content."""
    found = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data[kind] for output in found if kind in output.get("data", {})]


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def execute(path: Path, folder: Path) -> Any:
    """Return the notebook, executed with `folder` as the kernel's working directory; the file stays as it is."""
    notebook = read(path)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    return notebook


def check(notebook: Any) -> None:
    assert len(outputs(notebook, "image/png")) >= 2, "two plots"
    *_, answer = notebook.cells
    assert printed(answer).count("\n") >= 2, "the answer is printed by the last cell"
    assert not any(
        output.get("name") == "stderr" for cell in notebook.cells for output in cell.get("outputs", [])
    )


def test_there_is_a_notebook_for_each_question() -> None:
    assert {path.stem for path in NOTEBOOKS} == QUESTIONS


@every
def test_it_is_well_formed_and_stripped(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert 6 <= len(notebook.cells) <= 14
    for cell in notebook.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@every
def test_it_asks_one_question_and_ends_with_its_answer(path: Path) -> None:
    first, *others = read(path).cells
    title = first.source.splitlines()[0]
    assert title.startswith("# ") and title.endswith("?")
    texts = [cell.source for cell in others if cell.cell_type == "markdown"]
    assert any("stands on" in text for text in [first.source, *texts]), "the evidence is named"
    assert not any(text.startswith("# ") for text in texts), "one question only"
    assert others[-2].source.startswith("## Answer")


@every
def test_it_runs_in_the_small_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SMALL, "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    before = sorted(FOLDER.iterdir())
    check(execute(path, FOLDER))
    assert sorted(FOLDER.iterdir()) == before, "nothing is left beside the notebooks"


@pytest.mark.slow
@every
def test_it_runs_in_full_from_the_root(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SMALL, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    check(execute(path, ROOT))
