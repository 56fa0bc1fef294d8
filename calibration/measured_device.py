"""A device file from what ``hetsim calibrate`` has measured: the processor, and the engine that ran on it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from calibration.commands import SHAPE_KEYS, shape_of
from calibration.device_file import Entry, with_entries
from calibration.fits.processor import ProcessorFit, fit_processor
from calibration.fits.regression import BOUND_WIDTH, Regression
from calibration.recipes.recipe import fitted, unit_of
from calibration.table import Measurement, Table
from devices.errors import Fault, InputError
from devices.profiles import NUMBER_FORMATS
from simulator.serving.models import ModelSpec, load_model, model_names

BENCHES = ("gemm", "attention_prefill", "attention_decode", "step", "copy")
"""What a device file takes."""

VARIED = {
    "gemm": ("m", "rows"),
    "attention_prefill": ("new_tokens", "new tokens"),
    "attention_decode": ("context_tokens", "tokens of context"),
    "step": ("context_tokens", "tokens of context"),
}
"""What varies most in each benchmark that constants are fitted to: parameter, and its name in words."""

BOOTSTRAPS = 100
"""Resamples behind the intervals."""

MEASURED = {
    "memory_bytes": "As the operating system or the driver reports it",
    "memory_bandwidth_bytes_per_s": "Highest rate seen: of copies, which read and write, or of weights in products",
    "peak_flops": "Highest rate seen in matrix products",
    "multiprocessors": "Multiprocessors of a GPU, threads of a CPU",
}
"""Values that are what was seen, and how."""


@dataclass(frozen=True, slots=True)
class MeasuredDevice:
    """What was made of a machine's measurements."""

    device: dict[str, Any]
    """Document of the processor's file."""
    engine: dict[str, Any]
    """Document of the file of the engine whose steps were measured."""
    entries: Mapping[str, Mapping[tuple[str, ...], Entry]]
    """The values of both: ``device`` and ``engine``, by path."""
    fits: Mapping[str, Regression]
    """The regressions behind them."""
    faults: Sequence[str]
    """Why the fits describe no processor (`ProcessorFit.faults`); nothing where they do."""


def measured_device(tables: Sequence[Table], name: str, model_name: str = "") -> MeasuredDevice:
    """Fit a processor to its own measurements.

    Parameters
    ----------
    tables
        Tables that ``hetsim calibrate gemm attention step copy`` has written, of one machine and number format.
    name
        What the device shall be called.
    model_name
        Model whose steps count, where there are those of several.

    Raises
    ------
    InputError
        Where a benchmark is missing, or the tables are of several machines, number formats or models.
    """
    rows = [row for table in tables for row in table.rows if row.bench in BENCHES]
    formats = {_number_format(row) for row in rows if "precision" in row.parameters}
    models = {str(row.parameters["model"]) for row in rows if row.bench == "step"}
    _one("device", {row.device for row in rows})
    if model_name and model_name not in models:
        raise InputError(
            Fault(f"no steps of {model_name!r}, but of {', '.join(sorted(models)) or 'none'}", file="--model")
        )
    model_name = model_name or _one("model", models, "; --model chooses")
    number_format = _one("number format", formats)
    bits = NUMBER_FORMATS[number_format]
    rows = [
        replace(row, parameters={**row.parameters, "precision": number_format})
        if "precision" in row.parameters
        else row
        for row in rows
        if row.bench != "step" or row.parameters["model"] == model_name
    ]
    model = replace(_model(model_name), weight_bits=bits, kv_bits=bits)
    header = {key: value for table in tables for key, value in table.header.items()}
    fit = fit_processor(
        rows, model, cores=_cores(header), memory_bytes=_memory_bytes(header), bootstraps=BOOTSTRAPS
    )
    launch = str(next(row.parameters.get("launch", "eager") for row in rows if row.bench == "step"))
    engine = _engine_name(name, header)
    sources = {
        "measured": {
            "title": "Measured with hetsim calibrate on "
            + "; ".join(header[key] for key in ("hardware", "software", "date") if key in header)
        },
        "estimate": {"title": "Estimate of this project"},
    }
    device = {
        "kind": "gpu",
        "name": name,
        "title": header.get("hardware", name).split(";")[-1].strip(),
        "sources": sources,
    }
    engine_file = {
        "name": engine,
        "title": f"The transformer of calibration.bench.transformer on PyTorch, launched as {launch}",
        "sources": sources,
    }
    entries = _entries(fit, number_format, engine, {bench: _valid(rows, bench) for bench in VARIED})
    fits = {f"{name} {what.replace('_', ' ')}": one for what, one in fit.regressions.items()}
    return MeasuredDevice(
        with_entries(device, entries["device"]),
        with_entries(engine_file, entries["engine"]),
        entries,
        fits,
        fit.faults(),
    )


def _entries(
    fit: ProcessorFit, number_format: str, engine: str, valid: Mapping[str, str]
) -> dict[str, dict[tuple[str, ...], Entry]]:
    """Return the values of the device's file and of the engine's, by path."""
    gemm, prefill, decode, steps = ((fit.regressions[bench], valid[bench]) for bench in VARIED)
    return {
        "device": {
            **_part(("values",), fit.profile, prefill, decode),
            **_part(("gemm", number_format), fit.profile.gemm[number_format], gemm),
            **_part(("engines", engine), fit.share, steps),
        },
        "engine": _part(("values",), fit.engine, steps),
    }


def _part(path: tuple[str, ...], part: Any, *fits: tuple[Regression, str]) -> dict[tuple[str, ...], Entry]:
    """Return the entries of a profile or of a part of one: fitted, seen, or not measured at all."""
    entries: dict[tuple[str, ...], Entry] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if not isinstance(value, int | float):
            continue
        unit = unit_of(field.name)
        found = next((one for one in fits if field.name in one[0].constants), None)
        if found is not None:
            fit, valid = found
            note = f"Fitted to {len(fit.errors)} points; median error {100 * fit.median_error:.1f} %"
            entry = fitted(fit, field.name, unit, "measured", note, valid)
            side = fit.on_bound.get(field.name)
            if side and fit.high[field.name] - fit.low[field.name] <= BOUND_WIDTH * value:
                note = f"{note}; the {side} that it can be, so that the resamples give no interval"
                entry = Entry(value, unit, "measured", "assumed", note, valid=valid)
        elif field.name in MEASURED:
            entry = Entry(value, unit, "measured", "measured", MEASURED[field.name])
        else:
            entry = Entry(value, unit, "estimate", "assumed", "Not measured")
        entries[*path, field.name] = entry
    return entries


def _valid(rows: Sequence[Measurement], bench: str) -> str:
    """Return the range of what varies most in a benchmark, in words."""
    parameter, words = VARIED[bench]
    sizes = [row.number(parameter) for row in rows if row.bench == bench]
    return f"{min(sizes):g} to {max(sizes):g} {words}"


def _number_format(row: Measurement) -> str:
    precision = str(row.parameters["precision"])
    return "bf16" if precision == "fp16" else precision


def _one(what: str, names: set[str], hint: str = "") -> str:
    if len(names) != 1:
        raise InputError(
            Fault(f"rows of exactly one {what} are wanted, found {', '.join(sorted(names)) or 'none'}{hint}")
        )
    return next(iter(names))


def _model(name: str) -> ModelSpec:
    """Return a model of the catalogue, or the one that a name such as ``l8h512a8k4d64f1536v4096`` describes."""
    if name in model_names():
        return load_model(name)
    match = re.fullmatch("".join(rf"{letter}(\d+)" for letter in "lhakdfv"), name)
    if match is None:
        raise InputError(Fault(f"model {name!r} is neither in the catalogue nor a shape"))
    return shape_of(",".join(f"{key}={value}" for key, value in zip(SHAPE_KEYS, match.groups(), strict=True)))


def _memory_bytes(header: Mapping[str, str]) -> float:
    """Return the memory that the header's hardware names last: the GPU's where there is one."""
    sizes = re.findall(r"([\d.]+) GiB", header.get("hardware", ""))
    if not sizes:
        raise InputError(Fault("the header names no memory, such as 'hardware: ..., 16.0 GiB memory'"))
    return float(sizes[-1]) * 2**30


def _cores(header: Mapping[str, str]) -> int:
    """Return how many units computed: multiprocessors of a GPU, else threads of PyTorch."""
    for key, unit in (("hardware", "multiprocessors"), ("software", "torch threads"), ("hardware", "cores")):
        if match := re.search(rf"(\d+) {unit}", header.get(key, "")):
            return int(match[1])
    raise InputError(Fault("the header names no cores, such as 'hardware: ..., 2 cores, ...'"))


def _engine_name(device: str, header: Mapping[str, str]) -> str:
    """Return the name of the engine whose overheads were measured: PyTorch on that device, and its version."""
    match = re.search(r"torch (\d+\.\d+)", header.get("software", ""))
    return f"torch-{device}-{match[1] if match else '2.0'}"
