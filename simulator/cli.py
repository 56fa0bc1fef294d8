"""``hetsim``: the command line.

Only arguments are described here; the bodies are in `simulator.commands` and are imported when they are asked
for, so that ``hetsim --help`` is there at once. The result goes to stdout and is the same for the same input;
everything else goes to stderr. Exit status: 0, 1 where a simulation failed, 2 for bad input.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from devices.errors import InputError, SimulatorError

LISTS = ("policies", "devices", "models", "engines", "networks", "qoe", "scenarios", "metrics", "plots")
"""What `hetsim list` can show."""

STUDIES = ("cake", "serving", "phone_sr", "energy", "kv_load", "streaming", "oasis", "plato")
"""Published tables that `hetsim reproduce` can show beside ours."""

CALIBRATE_FIT, CALIBRATE_READ = "calibrate fit", "calibrate read"
"""Commands of two words."""

TABLE_KINDS = (
    "aiconfigurator",
    "vidur",
    "frontier",
    "splitwise",
    "llmservingsim",
    "aihub-sr",
    "aihub-networks",
    "aihub-llm",
    "ml-energy",
    "greenabr",
    "android-power",
    "transfers",
)
"""Published tables that `hetsim calibrate read` knows."""

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv
        What the user typed after ``hetsim``; None: the process's own arguments.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = parser().parse_args(_two_words(argv))
    except SystemExit as stop:  # argparse has said all: help, or what is wrong
        return int(stop.code or 0)
    arguments.argv = ["hetsim", *argv]
    module, _, name = arguments.body.partition(":")
    try:
        body = cast(Callable[[argparse.Namespace], int], getattr(importlib.import_module(module), name))
        status = body(arguments)
        sys.stdout.flush()
        return status
    except InputError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return BAD_INPUT
    except SimulatorError as error:
        print(f"hetsim: {type(error).__name__}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("hetsim: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader has gone, which is no fault; what is still in the buffer must not be written at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; ``body`` of its result is ``module:function``."""
    top = argparse.ArgumentParser(
        prog="hetsim",
        description="Simulate heterogeneous inference clusters: GPUs, storage tiers, links and policies.",
        epilog="SCENARIO is a YAML file or the name of one below ./scenarios, such as cake/single.",
        allow_abbrev=False,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, body: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
        )
        command.set_defaults(body=f"simulator.commands.{body}")
        return command

    run = add("run", "study:run", "one scenario; prints a summary table")
    run.add_argument("scenario", metavar="SCENARIO")
    _study_options(run)

    compare = add("compare", "study:compare", "the same arrivals under each variant of a scenario")
    compare.add_argument("scenario", metavar="SCENARIO")
    compare.add_argument(
        "--vary",
        metavar="PATH=V1,V2,...",
        action="append",
        required=True,
        help="values to compare, the first one being the baseline; several --vary: every combination",
    )
    _study_options(compare)

    _sweep_options(
        add(
            "sweep",
            "sweep:sweep",
            "every run of a design over a scenario's values; goes on where it was stopped",
        )
    )

    _capacity_options(
        add("capacity", "capacity:capacity", "the highest load that still keeps a service level objective")
    )

    validate = add("validate", "files:validate", "check scenario and sweep files")
    validate.add_argument(
        "files", metavar="FILE", nargs="+", help="scenario or sweep file, or the name of a scenario"
    )
    _set_option(validate)
    _json_option(validate)
    _quiet_option(validate)

    add("schema", "files:schema", "JSON Schema of scenario files, for editors")

    listing = add("list", "listing:show", "what there is: " + ", ".join(LISTS))
    listing.add_argument("what", choices=LISTS)
    _json_option(listing)

    cite = add("cite", "cite:cite", "every value that a scenario stands on, with its source")
    cite.add_argument("scenario", metavar="SCENARIO")
    _set_option(cite)
    _json_option(cite)

    plot = add("plot", "plots:plot", "draw a run or a comparison")
    plot.add_argument("folder", metavar="RUN", type=Path, help="folder that run or compare has written")
    plot.add_argument("kind", metavar="KIND", help="see `hetsim list plots`")
    plot.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        required=True,
        help="png, svg or pdf by the file's ending",
    )

    plot.add_argument("--service", metavar="NAME", help="where there are several: the one to show")
    plot.add_argument(
        "--session", metavar="N", type=_natural, help="playback and pipeline: which session (0)"
    )
    plot.add_argument(
        "--window",
        metavar=("FROM", "TO"),
        nargs=2,
        type=float,
        help="playback and pipeline: what part of it, in s (pipeline: the first 30 s)",
    )
    plot.add_argument(
        "--request",
        metavar="N",
        type=_natural,
        help="answer_gantt: which request (the first with several generations)",
    )

    reproduce = add("reproduce", "reproduce:reproduce", "a published table beside ours")
    reproduce.add_argument("study", metavar="STUDY", help=" | ".join(STUDIES))
    reproduce.add_argument(
        "--cells", metavar="CSV", type=Path, help="cells to predict instead of the published ones"
    )
    _json_option(reproduce)
    _quiet_option(reproduce)

    _calibrate_options(add("calibrate", "", "measure this machine; `all`: every benchmark"))
    _fit_options(add(CALIBRATE_FIT, "", "rebuild device and engine files from the tables that they stand on"))
    _read_options(add(CALIBRATE_READ, "", "read a published table into the schema of our measurements"))

    add("version", "files:version", "version of hetsim and of what it computes with")
    return top


def _two_words(argv: list[str]) -> list[str]:
    """Join the words of a command of two, which argparse does not know."""
    command = " ".join(argv[:2])
    return [command, *argv[2:]] if command in (CALIBRATE_FIT, CALIBRATE_READ) else argv


def _calibrate_options(command: argparse.ArgumentParser) -> None:
    command.set_defaults(body="calibration.commands:calibrate")
    command.epilog = (
        "See also `hetsim calibrate fit --help` (tables to device files) and `hetsim calibrate read --help` "
        "(published tables to our schema)."
    )
    command.add_argument(
        "benches",
        metavar="BENCH",
        nargs="+",
        help="gemm | attention | step | copy | storage | network | sr | all",
    )
    command.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="CSV to write, never over another (default: stdout)"
    )
    command.add_argument(
        "--device-file",
        metavar="NAME.yaml",
        type=Path,
        help="device file to fit to what was measured: needs gemm, attention, step and copy",
    )
    command.add_argument("--quick", action="store_true", help="a few small points: to see that all runs")
    command.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    command.add_argument(
        "--name", metavar="NAME", default="", help="catalogue name of the device in the table"
    )
    command.add_argument(
        "--precision",
        metavar="P1,P2,...",
        default="",
        help="fp32 (default of a CPU), bf16 (of a GPU), fp16",
    )
    command.add_argument(
        "--model",
        metavar="NAME",
        action="append",
        default=[],
        help="shape of gemm, attention and step; repeatable",
    )
    command.add_argument(
        "--shape",
        metavar="KEY=N,...",
        action="append",
        default=[],
        help="the same by layers, hidden, heads, ffn [kv_heads, head_dim, vocabulary]; repeatable",
    )
    command.add_argument(
        "--launch", choices=("graph", "eager"), help="CUDA graphs (default) or kernel by kernel"
    )
    command.add_argument("--threads", metavar="N", type=_positive, help="CPU threads (default: torch's own)")
    command.add_argument(
        "--dir", metavar="DIR", type=Path, default=Path(), help="storage: where the file goes"
    )
    command.add_argument(
        "--file-mib",
        metavar="N",
        type=_positive,
        default=1024,
        help="storage: its size in MiB (default 1024)",
    )
    command.add_argument("--buffered", action="store_true", help="storage: through the page cache")
    command.add_argument(
        "--repeats", metavar="N", type=_positive, help="trials of a point at most (default 15)"
    )
    command.add_argument(
        "--point-s", metavar="S", type=_positive, help="time for a point's trials (default 4)"
    )
    command.add_argument(
        "--limit-s", metavar="S", type=_positive, help="start no further point after this time"
    )
    _quiet_option(command)


def _fit_options(command: argparse.ArgumentParser) -> None:
    command.set_defaults(body="calibration.fit_command:fit")
    command.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="device or engine of the catalogue; `all`: every one with a fit",
    )
    command.add_argument("--data", metavar="FOLDER", type=Path, help="folder of the published tables")
    command.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        type=Path,
        help="folder for the files, never over others (with --from: the file)",
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument(
        "--check", action="store_true", help="exit 1 where a shipped file differs from what is found"
    )
    what.add_argument(
        "--in-place",
        action="store_true",
        help="write the shipped files anew, one fit after the other, as later ones build on earlier ones",
    )
    command.add_argument("--plots", metavar="DIR", type=Path, help="residual plots of the fits")
    command.add_argument(
        "--gaps", action="store_true", help="list fitted values that nothing rebuilds, and stop"
    )
    command.add_argument(
        "--from",
        metavar="CSV",
        type=Path,
        action="append",
        default=[],
        dest="tables",
        help="table of `hetsim calibrate` to fit instead; repeatable, all of one machine",
    )
    command.add_argument("--name", metavar="NAME", default="", help="with --from: what the device is called")
    command.add_argument(
        "--model",
        metavar="NAME",
        default="",
        help="with --from: model whose steps count, where there are several",
    )
    _quiet_option(command)


def _read_options(command: argparse.ArgumentParser) -> None:
    command.set_defaults(body="calibration.read_command:read")
    command.add_argument("kind", metavar="KIND", help=" | ".join(TABLE_KINDS))
    command.add_argument("path", metavar="PATH", type=Path, help="the table as its authors publish it")
    command.add_argument(
        "-o", "--output", metavar="CSV", type=Path, help="file to write, never over another (default: stdout)"
    )
    _quiet_option(command)


def _sweep_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("sweep", metavar="SWEEP", help="sweep file (docs/sweeps.md)")
    command.add_argument(
        "--dry-run", action="store_true", help="count the runs and estimate the time, then stop"
    )
    command.add_argument("--fresh", action="store_true", help="forget what has been done before")
    command.add_argument(
        "--shard", metavar="k/N", default="1/1", help="only every N-th run, from the k-th on"
    )
    command.add_argument("--replications", metavar="N", type=_positive, help="instead of the file's")
    _set_option(command)
    _jobs_option(command)
    _out_option(command)
    _json_option(command)
    _quiet_option(command)


def _capacity_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("scenario", metavar="SCENARIO")
    command.add_argument(
        "--slo",
        metavar="TERMS",
        required=True,
        help="such as 'ttft_s.p99<=2,tpot_s.p99<=0.05' (hetsim list metrics)",
    )
    command.add_argument("--workload", metavar="NAME", help="whose rate is changed; default: the only one")
    command.add_argument(
        "--vary",
        metavar="PATH=V1,V2,...",
        action="append",
        default=[],
        help="search for each of these values",
    )
    _repetition_options(command)


def _study_options(command: argparse.ArgumentParser) -> None:
    _repetition_options(command)
    _out_option(command)


def _repetition_options(command: argparse.ArgumentParser) -> None:
    _set_option(command)
    command.add_argument("--seed", metavar="N", type=_natural, help="root of every random stream")
    command.add_argument(
        "--replications", metavar="N", type=_positive, default=1, help="independent repetitions (default 1)"
    )
    _jobs_option(command)
    _json_option(command)
    _quiet_option(command)


def _jobs_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--jobs", metavar="N", type=_positive, default=1, help="processes (default 1)")


def _out_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("runs"), help="where run folders go (default runs/)"
    )


def _set_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change one value of the scenario; may be given several times",
    )


def _json_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print exactly one JSON value")


def _quiet_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quiet", action="store_true", help="no progress and no notes on stderr")


def _natural(text: str) -> int:
    return _whole(text, 0)


def _positive(text: str) -> int:
    return _whole(text, 1)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from {least} on is expected")
    return number


if __name__ == "__main__":
    sys.exit(main())
