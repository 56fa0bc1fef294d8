"""Options that several commands share, each described once."""

from __future__ import annotations

import argparse
from pathlib import Path


def sweep_options(command: argparse.ArgumentParser) -> None:
    """Of `hetsim sweep`."""
    command.add_argument(
        "sweep",
        metavar="SWEEP",
        help="sweep file (docs/sweeps.md), or the name of one such as sweeps/bandwidth",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="count the runs and estimate the time, then stop"
    )
    command.add_argument("--fresh", action="store_true", help="forget what has been done before")
    command.add_argument(
        "--shard", metavar="k/N", default="1/1", help="only every N-th run, from the k-th on"
    )
    command.add_argument("--replications", metavar="N", type=positive, help="instead of the file's")
    seed_option(command)
    set_option(command)
    executor_options(command)
    out_option(command)
    json_option(command)
    quiet_option(command)


def capacity_options(command: argparse.ArgumentParser) -> None:
    """Of `hetsim capacity`."""
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
    command.add_argument(
        "--loads",
        metavar="L1,L2,...",
        default="",
        help="loads of the goodput curve beside those that the search tries",
    )
    repetition_options(command)
    out_option(command)


def study_options(command: argparse.ArgumentParser) -> None:
    """Of `hetsim run` and `hetsim compare`."""
    repetition_options(command)
    out_option(command)


def repetition_options(command: argparse.ArgumentParser) -> None:
    """What is repeated, and where."""
    set_option(command)
    seed_option(command)
    command.add_argument(
        "--replications", metavar="N", type=positive, default=1, help="independent repetitions (default 1)"
    )
    executor_options(command)
    json_option(command)
    quiet_option(command)


def executor_options(command: argparse.ArgumentParser) -> None:
    """Where runs are done, and with which code of one's own."""
    plugin_option(command)
    where = command.add_mutually_exclusive_group()
    where.add_argument("--jobs", metavar="N", type=positive, default=1, help="processes (default 1)")
    where.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="scheduler of dask.distributed, such as tcp://host:8786 (extra `dask`; docs/scaling.md)",
    )


def plugin_option(command: argparse.ArgumentParser) -> None:
    """Code of one's own."""
    command.add_argument(
        "--plugin",
        metavar="FILE.py|MODULE",
        action="append",
        default=[],
        dest="plugins",
        help="Python code that registers policies or metrics; may be given several times",
    )


def out_option(command: argparse.ArgumentParser) -> None:
    """Where folders go."""
    command.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("runs"), help="where run folders go (default runs/)"
    )


def output_option(command: argparse.ArgumentParser, what: str) -> None:
    """Which file is written."""
    command.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help=what)


def set_option(command: argparse.ArgumentParser) -> None:
    """Values that are changed."""
    command.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change one value of the scenario; may be given several times",
    )


def seed_option(command: argparse.ArgumentParser) -> None:
    """What is random."""
    command.add_argument("--seed", metavar="N", type=natural, help="root of every random stream")


def json_option(command: argparse.ArgumentParser) -> None:
    """One JSON value instead of text."""
    command.add_argument("--json", action="store_true", help="print exactly one JSON value")


def quiet_option(command: argparse.ArgumentParser) -> None:
    """Nothing on stderr but errors."""
    command.add_argument("--quiet", action="store_true", help="no progress and no notes on stderr")


def natural(text: str) -> int:
    """Read a whole number from 0 on."""
    return _whole(text, 0)


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    return _whole(text, 1)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from {least} on is expected")
    return number
