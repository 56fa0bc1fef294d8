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
from typing import NoReturn, cast

from calibration.arguments import CALIBRATE_FIT, CALIBRATE_READ, calibrate_options, fit_options, read_options
from devices.errors import InputError, SimulatorError, printable
from simulator.commands.options import (
    capacity_options,
    json_option,
    natural,
    output_option,
    plugin_option,
    quiet_option,
    set_option,
    study_options,
    sweep_options,
)
from simulator.policies.plugins import load_plugins

LISTS = ("policies", "devices", "models", "engines", "networks", "qoe", "scenarios", "metrics", "plots")
"""What `hetsim list` can show."""

STUDIES = ("cake", "serving", "phone_sr", "energy", "kv_load", "streaming", "oasis", "plato")
"""Published tables that `hetsim reproduce` can show beside ours."""

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
        if plugins := getattr(arguments, "plugins", ()):
            load_plugins(plugins)
        body = cast(Callable[[argparse.Namespace], int], getattr(importlib.import_module(module), name))
        status = body(arguments)
        sys.stdout.flush()
        return status
    except (SimulatorError, MemoryError, KeyboardInterrupt, OSError) as error:
        return _status_of(error)


def _status_of(error: BaseException) -> int:
    """Say what has gone wrong, as far as it is no bug, and return the exit status."""
    match error:
        case InputError():
            for fault in error.faults:
                print(fault, file=sys.stderr)
            return BAD_INPUT
        case KeyboardInterrupt():
            print("hetsim: interrupted", file=sys.stderr)
            return INTERRUPTED
        case BrokenPipeError():
            # the reader has gone, which is no fault; what is still in the buffer must not be written at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK
        case OSError():
            where = f"{error.filename}: " if error.filename is not None else ""
            print(printable(f"hetsim: {where}{error.strerror or error}"), file=sys.stderr)
        case MemoryError():
            print("hetsim: the memory does not suffice", file=sys.stderr)
        case _:
            print(printable(f"hetsim: {type(error).__name__}: {error}"), file=sys.stderr)
    return FAILED


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with arguments in printable characters."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; ``body`` of its result is ``module:function``."""
    top = _Parser(
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
    study_options(run)

    compare = add("compare", "study:compare", "the same arrivals under each variant of a scenario")
    compare.add_argument("scenario", metavar="SCENARIO")
    compare.add_argument(
        "--vary",
        metavar="PATH=V1,V2,...",
        action="append",
        required=True,
        help="values to compare, the first one being the baseline; several --vary: every combination",
    )
    study_options(compare)

    sweep_options(
        add(
            "sweep",
            "sweep:sweep",
            "every run of a design over a scenario's values; goes on where it was stopped",
        )
    )

    capacity_options(
        add("capacity", "capacity:capacity", "the highest load that still keeps a service level objective")
    )

    validate = add("validate", "files:validate", "check scenario and sweep files")
    validate.add_argument(
        "files", metavar="FILE", nargs="+", help="scenario or sweep file, or the name of a scenario"
    )
    set_option(validate)
    json_option(validate)
    quiet_option(validate)

    schema = add("schema", "files:schema", "JSON Schema of scenario or sweep files, for editors")
    schema.add_argument("kind", nargs="?", choices=("scenario", "sweep"), default="scenario")

    listing = add("list", "listing:show", "what there is: " + ", ".join(LISTS))
    listing.add_argument("what", choices=LISTS)
    json_option(listing)

    cite = add("cite", "cite:cite", "every value that a scenario stands on, with its source")
    cite.add_argument("scenario", metavar="SCENARIO")
    set_option(cite)
    json_option(cite)

    _plot_options(add("plot", "plots:plot", "draw a run, a comparison, a sweep or a capacity search"))

    timeline = add(
        "timeline", "timeline:timeline", "what ran where and when, as Chrome-trace JSON (Perfetto)"
    )
    timeline.add_argument("folder", metavar="RUN", type=Path, help="folder that run or compare has written")
    output_option(timeline, "JSON file to write")
    quiet_option(timeline)

    report = add("report", "report:report", "one self-contained HTML page of a folder")
    report.add_argument(
        "folder", metavar="FOLDER", type=Path, help="of a run, a comparison, a sweep, a search, or of several"
    )
    output_option(report, "HTML file to write")
    quiet_option(report)
    for command in (validate, listing, cite, timeline, report):
        plugin_option(command)

    reproduce = add("reproduce", "reproduce:reproduce", "a published table beside ours")
    reproduce.add_argument("study", metavar="STUDY", help=" | ".join(STUDIES))
    reproduce.add_argument(
        "--cells", metavar="CSV", type=Path, help="cells to predict instead of the published ones"
    )
    json_option(reproduce)
    quiet_option(reproduce)

    calibrate_options(add("calibrate", "", "measure this machine; `all`: every benchmark"))
    fit_options(add(CALIBRATE_FIT, "", "rebuild device and engine files from the tables that they stand on"))
    read_options(add(CALIBRATE_READ, "", "read a published table into the schema of our measurements"))

    _compile_options(
        add(
            "compile",
            "compiling:compiling",
            "make serving simulations two to three times as fast (needs a C compiler)",
        )
    )

    add("version", "files:version", "version of hetsim and of what it computes with")
    return top


def _two_words(argv: list[str]) -> list[str]:
    """Join the words of a command of two, which argparse does not know."""
    command = " ".join(argv[:2])
    return [command, *argv[2:]] if command in (CALIBRATE_FIT, CALIBRATE_READ) else argv


def _compile_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--remove", action="store_true", help="delete the compiled modules again")
    quiet_option(command)


def _plot_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="RUN", type=Path, help="folder that a command has written")
    command.add_argument("kind", metavar="KIND", help="see `hetsim list plots`")
    output_option(command, "png, svg or pdf by the file's ending")
    plugin_option(command)
    command.add_argument("--service", metavar="NAME", help="where there are several: the one to show")
    command.add_argument(
        "--session", metavar="N", type=natural, help="playback and pipeline: which session (0)"
    )
    command.add_argument(
        "--window",
        metavar=("FROM", "TO"),
        nargs=2,
        type=float,
        help="playback and pipeline: what part of it, in s (pipeline: the first 30 s)",
    )
    command.add_argument(
        "--request",
        metavar="N",
        type=natural,
        help="answer_gantt: which request (the first with several generations)",
    )
    command.add_argument(
        "--x",
        metavar="PATH",
        help="sweep_lines (the first axis of numbers) and sweep_effects (all): the axis to draw against; "
        "pareto: a figure",
    )
    command.add_argument(
        "--y",
        metavar="FIGURE",
        help="sweep_lines, sweep_effects, metric_bars, pareto and effects (several with commas): what to draw "
        "(hetsim list metrics)",
    )


if __name__ == "__main__":
    sys.exit(main())
