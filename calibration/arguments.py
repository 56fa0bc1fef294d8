"""What can be typed after ``hetsim calibrate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from simulator.commands.options import positive, quiet_option

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


def calibrate_options(command: argparse.ArgumentParser) -> None:
    """Of `hetsim calibrate BENCH...`."""
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
    command.add_argument("--threads", metavar="N", type=positive, help="CPU threads (default: torch's own)")
    command.add_argument(
        "--dir", metavar="DIR", type=Path, default=Path(), help="storage: where the file goes"
    )
    command.add_argument(
        "--file-mib",
        metavar="N",
        type=positive,
        default=1024,
        help="storage: its size in MiB (default 1024)",
    )
    command.add_argument("--buffered", action="store_true", help="storage: through the page cache")
    command.add_argument(
        "--repeats", metavar="N", type=positive, help="trials of a point at most (default 15)"
    )
    command.add_argument(
        "--point-s", metavar="S", type=positive, help="time for a point's trials (default 4)"
    )
    command.add_argument(
        "--limit-s", metavar="S", type=positive, help="start no further point after this time"
    )
    quiet_option(command)


def fit_options(command: argparse.ArgumentParser) -> None:
    """Of `hetsim calibrate fit`."""
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
    quiet_option(command)


def read_options(command: argparse.ArgumentParser) -> None:
    """Of `hetsim calibrate read`."""
    command.set_defaults(body="calibration.read_command:read")
    command.add_argument("kind", metavar="KIND", help=" | ".join(TABLE_KINDS))
    command.add_argument("path", metavar="PATH", type=Path, help="the table as its authors publish it")
    command.add_argument(
        "-o", "--output", metavar="CSV", type=Path, help="file to write, never over another (default: stdout)"
    )
    quiet_option(command)
