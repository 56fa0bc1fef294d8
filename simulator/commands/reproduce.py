"""``hetsim reproduce``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from simulator.cli import STUDIES
from simulator.experiments.evidence import assumed_note
from simulator.experiments.run_store import to_json


def reproduce(arguments: Namespace) -> int:
    """Print a published table beside ours."""
    if arguments.study not in STUDIES:
        message = f"{arguments.study!r} is not part of this version; there is: {', '.join(STUDIES)}"
        raise InputError(Fault(message, file="STUDY"))
    rows, report, notes = STUDY[arguments.study](arguments.cells)
    if not arguments.quiet:
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    sys.stdout.write(to_json(rows) if arguments.json else report().rstrip("\n") + "\n")
    return 0


Answer = tuple[list[dict[str, Any]], Callable[[], str], list[str]]
"""Rows, their text, and what a reader must know."""


def cake(cells: Path | None) -> Answer:
    """Reproduce the Cake paper's speed-ups."""
    from simulator.experiments.cake_cases import report_cake  # noqa: PLC0415 (slow imports)
    from simulator.experiments.reproduce_cake import (  # noqa: PLC0415
        cell_scenario,
        notes,
        reproduce_cake,
    )

    rows = reproduce_cake(cells)
    assumed = assumed_note(cell_scenario(row, "cake") for row in rows)
    return rows, lambda: report_cake(rows), notes(rows) + assumed


def serving(cells: Path | None) -> Answer:
    """Reproduce measured latencies of serving engines."""
    from simulator.experiments.reproduce_serving import (  # noqa: PLC0415 (slow imports)
        cell_scenario,
        fallbacks,
        report_serving,
        reproduce_serving,
    )

    rows = reproduce_serving(cells)
    assumed = assumed_note(cell_scenario(row) for row in rows)
    return rows, lambda: report_serving(rows), fallbacks(rows) + assumed


def phone_sr(cells: Path | None) -> Answer:
    """Reproduce published latencies of super-resolution on phones."""
    from simulator.experiments.reproduce_phone_sr import (  # noqa: PLC0415 (slow imports)
        notes,
        report_phone_sr,
        reproduce_phone_sr,
    )

    rows = reproduce_phone_sr(cells)
    return rows, lambda: report_phone_sr(rows), notes(rows)


def energy(cells: Path | None) -> Answer:
    """Reproduce measured power of serving engines."""
    from simulator.experiments.reproduce_energy import (  # noqa: PLC0415 (slow imports)
        cell_scenario,
        notes,
        report_energy,
        reproduce_energy,
    )

    rows = reproduce_energy(cells)
    assumed = assumed_note(cell_scenario(row) for row in rows)
    return rows, lambda: report_energy(rows), notes(rows) + assumed


def kv_load(cells: Path | None) -> Answer:
    """Reproduce measured times to load a stored prefix or to compute it."""
    from simulator.experiments.reproduce_kv_load import (  # noqa: PLC0415 (slow imports)
        LOADING,
        cell_scenario,
        notes,
        report_kv_load,
        reproduce_kv_load,
    )

    rows = reproduce_kv_load(cells)
    assumed = assumed_note(cell_scenario(row, LOADING) for row in rows)
    return rows, lambda: report_kv_load(rows), notes(rows) + assumed


def streaming(cells: Path | None) -> Answer:
    """Reproduce playbacks of Sabre, an existing simulator of players."""
    from simulator.experiments.reproduce_streaming import (  # noqa: PLC0415 (slow imports)
        report_streaming,
        reproduce_streaming,
    )

    rows, notes = reproduce_streaming(cells)
    return rows, lambda: report_streaming(rows), notes


def oasis(cells: Path | None) -> Answer:
    """Reproduce the OASIS paper's groups of phones."""
    from simulator.experiments.oasis_report import report_oasis  # noqa: PLC0415 (slow imports)
    from simulator.experiments.reproduce_oasis import notes, reproduce_oasis  # noqa: PLC0415

    rows = reproduce_oasis(cells)
    return rows, lambda: report_oasis(rows, published=cells is None), notes(rows)


def plato(cells: Path | None) -> Answer:
    """Reproduce the figures of Plato and Skeleton-of-Thought."""
    from simulator.experiments.plato_report import report_plato  # noqa: PLC0415 (slow imports)
    from simulator.experiments.reproduce_plato import notes, reproduce_plato  # noqa: PLC0415

    rows = reproduce_plato(cells)
    return rows, lambda: report_plato(rows, published=cells is None), notes(rows)


STUDY: dict[str, Callable[[Path | None], Answer]] = {
    "cake": cake,
    "serving": serving,
    "phone_sr": phone_sr,
    "energy": energy,
    "kv_load": kv_load,
    "streaming": streaming,
    "oasis": oasis,
    "plato": plato,
}
"""Studies by name."""
