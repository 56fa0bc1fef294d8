"""``python -m simulator.bench``: the tables of ``make bench``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from devices.errors import SimulatorError
from simulator.bench.baseline import compared, read_baseline, write_baseline
from simulator.bench.cases import CASES
from simulator.bench.limits import judged
from simulator.bench.measure import Row, measure_apart
from simulator.compiled import compile_engine, copy_packages


def main(argv: Sequence[str] | None = None) -> int:
    """Measure a copy of the engine, then the same with its inner modules compiled; compare both with the baseline."""
    parser = argparse.ArgumentParser(prog="python -m simulator.bench", description=main.__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="times that a case is measured (default 5)")
    parser.add_argument("--case", default="", metavar="TEXT", help="only cases with this in their name")
    parser.add_argument("--interpreted", action="store_true", help="do not compile")
    parser.add_argument(
        "--json", type=Path, default=Path("runs/bench.json"), help="gets the rows (default runs/bench.json)"
    )
    parser.add_argument("--write-baseline", action="store_true", help="make what is measured the baseline")
    arguments = parser.parse_args(argv)
    cases = [case for case in CASES if arguments.case in case.name]
    if not cases:
        parser.error(f"no case has {arguments.case!r} in its name")
    baseline = read_baseline()
    measured: dict[str, list[Row]] = {}
    with TemporaryDirectory() as name:
        root = copy_packages(Path(name))
        for engine in ("interpreted",) if arguments.interpreted else ("interpreted", "compiled"):
            if engine == "compiled" and not _compiled(root):
                break
            measured[engine] = [measure_apart(root, case, arguments.repeats) for case in cases]
            print(f"{engine} engine, costs in bare SimPy timeouts: medians of {arguments.repeats}\n")
            print(compared(measured[engine], baseline.get(engine, {})))
            print(judged(measured[engine]), flush=True)
    file: Path = arguments.json
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = {engine: [asdict(row) for row in rows] for engine, rows in measured.items()}
    file.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    if arguments.write_baseline:
        write_baseline(measured)
    return 0


def _compiled(root: Path) -> bool:
    """Compile the copy; say why where that cannot be."""
    try:
        compile_engine(root)
    except SimulatorError as error:
        print(f"the compiled engine is not measured: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
