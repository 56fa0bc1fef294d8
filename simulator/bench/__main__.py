"""``python -m simulator.bench``: the tables of ``make bench``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from devices.errors import SimulatorError
from simulator.bench.cases import cases
from simulator.bench.measure import measure, report
from simulator.compiled import compile_engine, copy_packages, is_compiled


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the engine as it stands here, and a copy with its inner modules compiled; compare with the last time."""
    parser = argparse.ArgumentParser(prog="python -m simulator.bench", description=main.__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("runs/bench.json"),
        help="file with the rows of the last time, and then of this time (default runs/bench.json)",
    )
    parser.add_argument("--as-it-is", action="store_true", help="no compiled copy")
    arguments = parser.parse_args(argv)
    file: Path = arguments.json
    before: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    now = {}
    for name in _engines(arguments.as_it_is):
        print(f"{name} engine, costs in bare SimPy timeouts\n", flush=True)
        now[name] = (
            measure(arguments.repeats, cases()) if name == _here() else _of_a_compiled_copy(arguments.repeats)
        )
        print(report(now[name], before.get(name, ())), flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(before | now, indent=2) + "\n", encoding="utf-8")
    return 0


def _here() -> str:
    return "compiled" if is_compiled() else "interpreted"


def _engines(as_it_is: bool) -> list[str]:
    return [_here()] if as_it_is or is_compiled() else ["interpreted", "compiled"]


def _of_a_compiled_copy(repeats: int) -> list[dict[str, Any]]:
    """Return the rows of a copy that is compiled, in a process of its own; none, and why, where it cannot be."""
    with TemporaryDirectory() as name:
        root = copy_packages(Path(name))
        try:
            compile_engine(root)
        except SimulatorError as error:
            print(error, file=sys.stderr)
            return []
        rows = root / "rows.json"
        command = [
            sys.executable,
            "-m",
            "simulator.bench",
            "--as-it-is",
            "--json",
            str(rows),
            "--repeats",
            str(repeats),
        ]
        subprocess.run(
            command, cwd=root, env={**os.environ, "PYTHONPATH": name}, stdout=subprocess.DEVNULL, check=True
        )
        found: list[dict[str, Any]] = json.loads(rows.read_text(encoding="utf-8"))["compiled"]
        return found


if __name__ == "__main__":
    sys.exit(main())
