"""Command line: measure on this machine and predict, or predict from a file of measurements."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from calibration.command_line import run
from calibration.commands import Progress
from calibration.table import read_measurements, write_measurements
from calibration.validation.measure import full_study, measure, quick_study
from calibration.validation.predict import predict
from calibration.validation.report import draw, report
from devices.errors import Fault, InputError
from simulator.viz import FORMATS

COMMAND = "python -m calibration.validation"


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 done, 1 some points could not be measured, 2 bad input."""
    return run(_run, _parser(), argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument(
        "--from", dest="table", type=Path, metavar="CSV", help="predict from this file; measure nothing"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a small model and few points: to see that all runs"
    )
    parser.add_argument(
        "--threads", type=_counts, default=[1], metavar="N[,N...]",
        help="computing threads, one study each; 1 leaves a core of two to the thread that reads (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="CSV", help="write the measurements to this new file"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help=f"predicted against measured: {', '.join(FORMATS)}"
    )
    parser.add_argument(
        "--dir", type=Path, help="where the stored prefix goes (default: the system's temporary folder)"
    )
    return parser


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1 thread is needed")
    return counts


def _run(arguments: argparse.Namespace) -> int:
    output, plot = arguments.output, arguments.plot
    if output is not None and output.exists():
        raise InputError(Fault("exists already; measurements are never overwritten", file=str(output)))
    for path in (output, plot):
        if path is not None and not path.absolute().parent.is_dir():
            raise InputError(Fault("its folder does not exist", file=str(path)))
    if plot is not None and plot.exists():
        raise InputError(Fault("exists already", file=str(plot)))
    if plot is not None and plot.suffix[1:].lower() not in FORMATS:
        raise InputError(Fault(f"unknown ending; allowed: {', '.join(FORMATS)}", file=str(plot)))
    failed: list[str] = []
    if arguments.table is not None:
        rows = read_measurements(arguments.table).rows
    else:
        study = quick_study() if arguments.quick else full_study()
        folder = arguments.dir or Path(tempfile.gettempdir())
        command = [COMMAND, *(["--quick"] if arguments.quick else [])]
        command += ["--threads", ",".join(map(str, arguments.threads))]
        head, outcome = measure(study, arguments.threads, folder, command, Progress(sys.stderr))
        rows, failed = outcome.rows, outcome.failed
        if failed:
            head["not measured"] = f"{len(failed)} points failed"
        if output is not None:
            write_measurements(output, head, rows)
    parts = predict(rows)
    print(report(parts))
    if plot is not None:
        draw(parts, plot)
    for failure in failed:
        print(f"not measured: {failure}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
