"""Which studies a folder holds, and the sections that tell of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from devices.errors import Fault, InputError
from devices.files import read_bytes, read_json
from simulator.experiments.run_store import MANIFEST, SCENARIO
from simulator.html_report.capacity import section_of_capacity
from simulator.html_report.plots import draw
from simulator.html_report.runs import section_of_comparison, section_of_runs
from simulator.html_report.section import Section, understanding
from simulator.html_report.sweeps import section_of_sweep
from simulator.viz import PLOT_KINDS

LEVELS = 3
"""How far below the folder that is reported on studies are looked for."""

_SECTIONS = {
    "comparison": section_of_comparison,
    "sweep": section_of_sweep,
    "capacity": section_of_capacity,
}


def sections(folder: Path) -> list[Section]:
    """Return a section for each study in a folder, in the order of their folders' names.

    Parameters
    ----------
    folder
        The folder of a run, a comparison, a sweep or a capacity search; or one that holds several, or holds folders
        that do. Run folders of one scenario beside one another are one study: its replications.

    Raises
    ------
    InputError
        Where there is no such folder, no study in it, or one that cannot be read.
    """
    if not folder.is_dir():
        raise InputError(Fault("no such folder", file=str(folder)))
    if (folder / MANIFEST).is_file():
        return [_section([folder], _kind(folder), folder.resolve().name)]
    found = list(_below(folder, folder, LEVELS))
    if not found:
        raise InputError(
            Fault(f"holds no study: neither it nor a folder in it has a {MANIFEST}", file=str(folder))
        )
    return found


def _below(folder: Path, top: Path, levels: int) -> Iterator[Section]:
    inner = sorted(it for it in folder.iterdir() if it.is_dir() and not it.name.startswith("."))
    replications: dict[bytes, list[Path]] = {}
    studies: list[tuple[list[Path], str]] = []
    here: list[Section] = []
    deeper: list[Path] = []
    for place in inner:
        if not (place / MANIFEST).is_file():
            if levels > 1:
                deeper.append(place)
            continue
        kind = _kind(place)
        if kind != "run":
            studies.append(([place], kind))
            continue
        scenario = read_bytes(place / SCENARIO)
        if scenario not in replications:
            replications[scenario] = []
            studies.append((replications[scenario], kind))
        replications[scenario].append(place)
    for folders, kind in studies:
        name = folders[0].relative_to(top).as_posix()
        here.append(
            _section(folders, kind, name if len(folders) == 1 else f"{name} and {len(folders) - 1} more")
        )
    yield from here
    if len(here) > 1:
        yield from _together(folder, top, here)
    for place in deeper:
        yield from _below(place, top, levels - 1)


def _together(folder: Path, top: Path, members: list[Section]) -> Iterator[Section]:
    """Yield a section with the plots that need several studies, where there is one."""
    drawn = {plot.kind for member in members for plot in member.plots.drawn}
    plots = draw(folder, [kind for kind in PLOT_KINDS if kind not in drawn])
    if plots.drawn:
        plots.refused.clear()  # each member has said what it lacks
        place = folder.relative_to(top).as_posix()
        name = top.resolve().name if place == "." else place
        status = "failed" if any(member.status == "failed" for member in members) else "succeeded"
        note = f"plots of all {len(members)} studies in this folder together"
        yield Section("group", name, name, status, notes=[note], plots=plots)


def _kind(folder: Path) -> str:
    with understanding(folder / MANIFEST):
        manifest = read_json(folder / MANIFEST)
        kind, _ = manifest["kind"], manifest["format"]
    if not isinstance(kind, str) or (kind != "run" and kind not in _SECTIONS):
        known = ", ".join(["run", *_SECTIONS])
        raise InputError(Fault(f"holds a {kind!r}; allowed: {known}", file=str(folder)))
    return kind


def _section(folders: list[Path], kind: str, name: str) -> Section:
    return section_of_runs(folders, name) if kind == "run" else _SECTIONS[kind](folders[0], name)
