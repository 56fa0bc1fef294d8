"""``hetsim calibrate BENCH...``: run benchmarks on this machine, write one table of what they measured, and a device
file that is fitted to it."""

from __future__ import annotations

import datetime
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import TextIO

from calibration.bench.harness import TORCH_TYPES, Options, Outcome, Plan, load_benches, need, run
from calibration.bench.machine import default_name, header, memory_bytes
from calibration.bench.power import power_reader
from calibration.bench.quantum import suspects
from calibration.table import Table, format_measurements, write_measurements
from devices.errors import Fault, InputError
from devices.quantity import nearest
from simulator.serving.models import ModelSpec, load_model

SMALL_SHAPE = "layers=8,hidden=1024,heads=16,kv_heads=4,ffn=2816,vocabulary=8192"
"""What a CPU measures unless told otherwise: small enough for it, and grouped heads as in today's models."""

TINY_SHAPE = "layers=2,hidden=256,heads=4,kv_heads=2,ffn=512,vocabulary=1024"
"""With ``--quick``."""

GPU_MODELS = ("llama-3.1-8b", "llama-2-13b")
"""What a GPU measures unless told otherwise."""

QUICK_PLAN = Plan(warmups=1, repeats=3, least=2, point_s=0.3, power_s=0.2)
MEMORY_SHARE = 0.4
"""Share of the device's memory that the buffers of one point may fill."""

FITTED = ("gemm", "attention", "step", "copy")
"""Benchmarks that a device file is fitted to."""

WITHOUT_PROCESSOR = {"storage", "network"}
"""Benchmarks to which it is all one which processor computes."""

SHAPE_KEYS = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocabulary")
"""Keys of ``--shape``."""


def calibrate(arguments: Namespace) -> int:
    """Measure; the table goes to ``-o``, else beside the device file, else to stdout. Status 1 where a point failed."""
    device_file: Path | None = arguments.device_file
    output: Path | None = arguments.output or (device_file and device_file.with_suffix(".csv"))
    if output is not None and output.exists():
        raise InputError(Fault("exists already; measurements are never overwritten", file=str(output)))
    if output is not None and not output.absolute().parent.is_dir():
        raise InputError(Fault("its folder does not exist", file=str(output)))
    if device_file is not None:
        check_device_file(arguments, device_file)
    benches = load_benches(arguments.benches)
    if arguments.threads:
        need("torch").set_num_threads(arguments.threads)
    options = options_of(arguments)
    watts, how = power_reader(options.device)
    name = arguments.name or default_name(options.device)
    head = header(options.device, name, arguments.argv, how, datetime.datetime.now(datetime.UTC))
    outcome = run(
        benches,
        options,
        plan_of(arguments),
        device=name,
        source=head["source"],
        watts=watts,
        progress=Progress(sys.stderr) if not arguments.quiet else lambda number, total, text: None,
    )
    head |= _incomplete(outcome)
    if output is None:
        sys.stdout.write(format_measurements(head, outcome.rows))
    else:
        write_measurements(output, head, outcome.rows)
        print(f"{output}: {len(outcome.rows)} rows")
    for failure in outcome.failed:
        print(f"hetsim: not measured: {failure}", file=sys.stderr)
    for warning in suspects(outcome.rows):
        print(f"hetsim: {warning}", file=sys.stderr)
    if outcome.left_out:
        print(f"hetsim: the time limit left out {outcome.left_out} points", file=sys.stderr)
    status = 1 if outcome.failed else 0
    if device_file is not None:
        from calibration.fit_command import write_device  # noqa: PLC0415 - imports scipy

        model = options.shapes[0].name  # where several were measured
        status |= write_device([Table(head, outcome.rows)], device_file, arguments.name, model)
    return status


def check_device_file(arguments: Namespace, device_file: Path) -> None:
    """Raise `InputError` where a device file could not be fitted or written once all is measured."""
    from calibration.fit_command import device_name  # noqa: PLC0415 - imports scipy

    device_name(device_file, arguments.name)
    if device_file.exists():
        raise InputError(Fault("exists already; it is not overwritten", file=str(device_file)))
    if "all" not in arguments.benches and (missing := [it for it in FITTED if it not in arguments.benches]):
        raise InputError(Fault(f"needs the benchmarks {', '.join(missing)} as well", file="--device-file"))
    if "," in arguments.precision:
        raise InputError(Fault("takes one precision", file="--device-file"))


def options_of(arguments: Namespace) -> Options:
    """Return the benchmarks' options; what the user leaves open follows from the device."""
    device = arguments.device or ("cuda" if _cuda() else "cpu")
    if not set(arguments.benches) - WITHOUT_PROCESSOR:
        device = "cpu"  # whatever was asked for
    if device == "cuda" and not _cuda():
        need("torch")
        raise InputError(Fault("torch finds no CUDA device on this machine", file="--device"))
    gpu = device == "cuda"
    return Options(
        device=device,
        quick=arguments.quick,
        precisions=_precisions(arguments.precision) or ("bf16" if gpu else "fp32",),
        shapes=_shapes(arguments, gpu),
        launch=arguments.launch or ("graph" if gpu else "eager"),
        memory_bytes=MEMORY_SHARE * (need("torch").cuda.mem_get_info()[1] if gpu else memory_bytes()),
        directory=arguments.dir,
        file_bytes=arguments.file_mib * 2**20,
        direct=not arguments.buffered,
    )


def plan_of(arguments: Namespace) -> Plan:
    """Return how often a point is measured."""
    base = QUICK_PLAN if arguments.quick else Plan()
    repeats = arguments.repeats or base.repeats
    return Plan(
        warmups=base.warmups,
        repeats=repeats,
        least=min(base.least, repeats),
        point_s=arguments.point_s or base.point_s,
        limit_s=arguments.limit_s or base.limit_s,
        power_s=base.power_s,
    )


class Progress:
    """One line on a terminal, rewritten; elsewhere a line at every tenth of the way."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._start = time.monotonic()
        self._tenth = -1

    def __call__(self, number: int, total: int, text: str) -> None:
        elapsed = time.monotonic() - self._start
        line = f"{number}/{total} {elapsed:.0f} s {text}"
        if self._stream.isatty():
            bar = "#" * (20 * number // max(1, total))
            end = "\n" if number == total else ""
            self._stream.write(f"\r\x1b[K[{bar:20}] {line[:90]}{end}")
        elif (tenth := 10 * number // max(1, total)) > self._tenth:
            self._tenth = tenth
            self._stream.write(line.rstrip() + "\n")
        self._stream.flush()


def shape_of(text: str) -> ModelSpec:
    """Return the model that ``--shape`` describes, such as ``layers=8,hidden=1024,heads=16,ffn=2816``.

    ``kv_heads`` is as many as heads unless given, ``head_dim`` hidden / heads, ``vocabulary`` 32000.
    """
    given: dict[str, int] = {}
    faults = []
    for entry in text.split(","):
        key, _, value = entry.partition("=")
        if key not in SHAPE_KEYS:
            near = nearest(key, SHAPE_KEYS)
            faults.append(f"unknown key {key!r}" + (f"; nearest: {near}" if near else ""))
        elif not value.isdecimal() or not int(value):
            faults.append(f"{key} must be a whole number of at least 1, not {value!r}")
        else:
            given[key] = int(value)
    faults += [f"{key} is missing" for key in ("layers", "hidden", "heads", "ffn") if key not in given]
    if not faults:
        heads = given["heads"]
        given = {"kv_heads": heads, "head_dim": given["hidden"] // heads, "vocabulary": 32000} | given
        if given["heads"] % given["kv_heads"]:
            faults.append("kv_heads must divide heads")
        if given["head_dim"] % 2 or not given["head_dim"]:
            faults.append("head_dim must be even")
    if faults:
        raise InputError([Fault(fault, file="--shape") for fault in faults])
    letters = zip("lhakdfv", (given[key] for key in SHAPE_KEYS), strict=True)
    return ModelSpec(
        name="".join(f"{letter}{value}" for letter, value in letters),
        title=text,
        source="given on the command line",
        url="",
        context_tokens=0,
        layers=given["layers"],
        hidden=given["hidden"],
        attention_heads=given["heads"],
        kv_heads=given["kv_heads"],
        head_dim=given["head_dim"],
        ffn=given["ffn"],
        vocabulary=given["vocabulary"],
    )


def _shapes(arguments: Namespace, gpu: bool) -> tuple[ModelSpec, ...]:
    models = [name for text in arguments.model for name in text.split(",")]
    shapes = list(arguments.shape)
    if not models and not shapes:
        if arguments.quick or not gpu:
            shapes = [TINY_SHAPE if arguments.quick else SMALL_SHAPE]
        else:
            models = list(GPU_MODELS)
    specs = [*map(load_model, models), *map(shape_of, shapes)]
    experts = [spec.name for spec in specs if spec.experts]
    if experts:
        message = f"{', '.join(experts)}: mixtures of experts are not measured, dense models only"
        raise InputError(Fault(message, file="--model"))
    return tuple(specs)


def _precisions(text: str) -> tuple[str, ...]:
    names = tuple(text.split(",")) if text else ()
    wrong = [name for name in names if name not in TORCH_TYPES]
    if wrong:
        raise InputError(
            Fault(f"{', '.join(wrong)} is not one of {', '.join(TORCH_TYPES)}", file="--precision")
        )
    return names


def _cuda() -> bool:
    try:
        torch = need("torch")
    except InputError:  # copies, storage and network do without
        return False
    return bool(torch.cuda.is_available())


def _incomplete(outcome: Outcome) -> dict[str, str]:
    found = {}
    if outcome.failed:
        found["not measured"] = f"{len(outcome.failed)} points failed"
    if outcome.left_out:
        found["left out"] = f"{outcome.left_out} points, by the time limit"
    return found
