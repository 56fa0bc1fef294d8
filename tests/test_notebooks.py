"""Every notebook runs from a fresh kernel, and lies in the repository without outputs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SMALL = "HETSIM_NOTEBOOK_SMALL"

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def outputs(notebook: Any, kind: str) -> list[Any]:
    """Return what the cells have put out of one type of content."""
    found = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data[kind] for output in found if kind in output.get("data", {})]


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


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


NUMBER = r"(-?\d[\d,]*(?:\.\d+)?)"


def numbers(text: str, pattern: str) -> list[tuple[float, ...]]:
    """Return the numbers of each place in a text that fits; `N` in the pattern stands for one."""
    found = re.findall(pattern.replace("N", NUMBER), text)
    assert found, f"{pattern!r} is not in: {text}"
    return [
        tuple(float(one.replace(",", "")) for one in (it if isinstance(it, tuple) else (it,))) for it in found
    ]


def cake_pays_most_where_neither_baseline_is_far_ahead(text: str) -> None:
    of = numbers(text, r"Gbit/s of N to N; most, N times, at N Gbit/s, where io_only takes N times")
    assert len(of) == 2, "two GPUs"
    for low, high, gain, where, ratio in of:
        assert 1.2 < gain < 2.5 and low < where < high and 0.25 < ratio < 4.0


def a_group_is_better_than_one_phone(text: str) -> None:
    for policy in ("oasis", "mpbond"):
        [(alone, group)] = numbers(text, rf"{policy}: .*QoE N alone, N ±")
        assert group > alone
    spent = numbers(text, r"energy per phone N J alone, N J with")
    assert len(spent) == 3
    assert all(group < alone for alone, group in spent[:2]), "a phone super-resolves its share only"


def sot_pays_up_to_higher_loads_than_plato(text: str) -> None:
    speedups = numbers(text, r"(?:sot|plato): N ± \S+ times as fast at \S+, N ± \S+ at")
    [(sot_low, sot_high), (plato_low, plato_high)] = speedups
    assert sot_low > sot_high > plato_high and plato_low > max(1.0, plato_high)


def values_are_of_several_kinds_and_errors_finite(text: str) -> None:
    shares = {
        kind: share for share, kind in re.findall(r"(\d+)% are (assumed|fitted|datasheet|measured)", text)
    }
    assert 0 < float(shares["assumed"]) < 100 and sum(map(float, shares.values())) == pytest.approx(
        100, abs=2
    )
    [(error,)] = numbers(text, r"median cross-validated error N%")
    assert 0.0 < error < 25.0
    medians = numbers(text, r"off by N% in the median")
    assert len(medians) >= 5 and all(0.0 < median < 100.0 for (median,) in medians)


def a_sweep_that_goes_on_repeats_nothing(text: str) -> None:
    [(first, again, more)] = numbers(text, r"first: N runs; again: N more; .* instead of two: N more")
    assert first > 0 and again == 0 and more == first
    correlations = numbers(text, r"(?:rate|length|budget) \+?N")
    assert len(correlations) == 3 and all(abs(it) <= 1.0 for (it,) in correlations)


FACTS: dict[str, Callable[[str], None]] = {
    "cake_when_does_it_pay": cake_pays_most_where_neither_baseline_is_far_ahead,
    "calibration_how_good": values_are_of_several_kinds_and_errors_finite,
    "oasis_how_many_phones": a_group_is_better_than_one_phone,
    "plato_under_load": sot_pays_up_to_higher_loads_than_plato,
    "sweep_in_five_minutes": a_sweep_that_goes_on_repeats_nothing,
}
"""What each notebook must find, whatever its size, from what it prints."""


def test_there_is_a_notebook_for_each_question() -> None:
    assert {path.stem for path in NOTEBOOKS} == FACTS.keys()


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
    notebook = execute(path, FOLDER)
    check(notebook)
    FACTS[path.stem]("".join(map(printed, code_cells(notebook))))
    assert sorted(FOLDER.iterdir()) == before, "nothing is left beside the notebooks"


@pytest.mark.slow
@every
def test_it_runs_in_full_from_the_root(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SMALL, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = execute(path, ROOT)
    check(notebook)
    FACTS[path.stem]("".join(map(printed, code_cells(notebook))))
