"""Fit of GPU power against what the GPU does: arithmetic and memory traffic, as published serving runs drew it.

The form is the one of `simulator.serving.step_cost`, so that a run of equal steps keeps its closed form::

    power_w = min(tdp_w, idle_w + joules_per_flop * FLOP/s + joules_per_byte * byte/s)

Rates are those of the measured runs, not ours: an error in a step's time must not end up in a constant of power.
``idle_w`` and ``tdp_w`` are the catalogue's. Alternatives that keep the closed form are fitted beside it (`FORMS`):
an energy of its own per byte of KV cache, and a power that a busy GPU draws whatever it does.

What the tables do not say is assumed: prompts of `PROMPT_TOKENS` (ML.ENERGY), an average over the prompt and all
output tokens (splitwise). Of splitwise's rows, those with prompts above `LONGEST_PROMPT` are left out: their average
falls to idle power, so that the run cannot have filled the interval that was averaged over. Peaks count only for
single prompts of `PEAK_PROMPT` tokens and more: shorter ones end before power can be sampled, and several are
computed with gaps between them, so that their mean rate is not that of the peak.

Run ``python -m calibration.fits.power FOLDER``; ``--cells FILE`` writes ML.ENERGY's rows as cells for ``hetsim
reproduce energy`` instead.
"""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.command_line import data_parser, run
from calibration.fits.regression import Array, Form, Regression, regress
from calibration.readers.power import read_ml_energy
from calibration.readers.splitwise import read as read_splitwise
from calibration.table import Measurement
from devices.catalogue import load_profile
from devices.profiles import GpuProfile
from simulator.serving.models import ModelSpec, load_model, model_names

ML_ENERGY = Path("power/ml_energy_qwen3_dense_dev.csv")
SPLITWISE = Path("gpu_microbench/splitwise/perf_model_tp4_tp8.csv")
"""Tables below the data folder."""

PROMPT_TOKENS = 300.0
"""Input tokens of a request of ML.ENERGY's (assumed): a question with options, a chat message. Half as many
would raise the energy per operation by 30 %, twice as many lower it by 40 %. All but one of the
rows whose batch memory limits have 690 to 880 tokens in flight per request, which prompts of 300 and answers of
unlike length would explain."""

LONGEST_PROMPT, PEAK_PROMPT = 2048, 512
"""Longest prompt of the rows of splitwise that take part, and shortest one whose peak does."""

BLOOM = ModelSpec(
    name="bloom-176b",
    title="BLOOM 176B",
    source="Model configuration of bigscience/bloom on the Hugging Face hub",
    url="https://huggingface.co/bigscience/bloom/blob/main/config.json",
    layers=70,
    hidden=14336,
    attention_heads=112,
    kv_heads=112,
    head_dim=128,
    ffn=38229,  # two matrices to 57,344 and back, counted as the three of a gated layer
    vocabulary=250880,
    context_tokens=2048,
    tied_embeddings=True,
)
"""A model of splitwise's that the catalogue lacks; its layers are not gated, so it is not served here."""

START: Mapping[str, float] = {
    "joules_per_flop": 1.5e-12,
    "joules_per_byte": 1.5e-10,
    "joules_per_kv_byte": 1.5e-10,
    "active_w": 20.0,
}
"""Where the search starts."""

FORMS: Mapping[str, tuple[str, ...]] = {
    "bytes": ("joules_per_flop", "joules_per_byte"),
    "kv_bytes": ("joules_per_flop", "joules_per_byte", "joules_per_kv_byte"),
    "active": ("joules_per_flop", "joules_per_byte", "active_w"),
}
"""Constants by form; `SHIPPED` is that of the catalogue."""

SHIPPED = "bytes"


@dataclass(frozen=True, slots=True)
class Work:
    """What one GPU of a group does per second in one phase, prompt or decode."""

    flops: float = 0.0
    """Floating-point operations per second."""
    weight_bytes: float = 0.0
    """Bytes of weights read per second."""
    kv_bytes: float = 0.0
    """Bytes of KV cache read per second."""


@dataclass(frozen=True, slots=True)
class PowerPoint:
    """One measured power of one GPU, and what the GPU did meanwhile."""

    power_w: float
    """Measured, per GPU."""
    decode: Work
    """While tokens are generated; where the table does not tell prompts apart, all there is."""
    prompt: Work = Work()
    """While the prompt is computed."""
    prompt_share: float = 0.0
    """Share of the averaged time that the prompt takes."""
    peak: bool = False
    """The value is the greater power of the two phases, not their average."""
    group: Hashable = ""
    """Points that are held out together: model and GPUs."""


def decode_work(model: ModelSpec, gpus: int, steps_per_s: float, batch: float, context: float) -> Work:
    """Return what each GPU does while `batch` sequences decode over `context` tokens each (dense models)."""
    head = model.vocabulary * model.hidden
    tokens_per_s = steps_per_s * batch
    return Work(
        flops=tokens_per_s
        * (2.0 * (model.layer_parameters + head) + context * _flops_per_pair(model))
        / gpus,
        weight_bytes=steps_per_s * 2.0 * (model.layer_parameters + head) / gpus,
        kv_bytes=tokens_per_s * context * model.kv_bytes_per_token / gpus,
    )


def prompt_work(
    model: ModelSpec, gpus: int, prompts_per_s: float, tokens: float, passes_per_s: float = 0.0
) -> Work:
    """Return what each GPU does while it computes prompts of `tokens` tokens, reading the weights once a pass."""
    head = model.vocabulary * model.hidden
    pairs = 0.5 * tokens * (tokens + 1)
    flops = 2.0 * (tokens * model.layer_parameters + head) + pairs * _flops_per_pair(model)
    return Work(
        flops=prompts_per_s * flops / gpus,
        weight_bytes=passes_per_s * 2.0 * (model.layer_parameters + head) / gpus,
    )


def _flops_per_pair(model: ModelSpec) -> float:
    return 4.0 * model.layers * model.attention_heads * model.head_dim


def ml_energy_points(path: Path, prompt_tokens: float = PROMPT_TOKENS) -> dict[str, list[PowerPoint]]:
    """Return the points of ML.ENERGY's table by GPU; prompts go into the only phase there is."""
    points: dict[str, list[PowerPoint]] = {}
    for gpu, parameters, values in _joined(read_ml_energy(path)):
        model, gpus = _model(str(parameters["model"])), int(float(parameters["tensor_parallel"]))
        batch, output = float(parameters["batch"]), float(parameters["output_tokens"])
        rate = values["throughput"]
        decode = decode_work(model, gpus, rate / batch, batch, prompt_tokens + 0.5 * output)
        prompts = prompt_work(model, gpus, rate / output, prompt_tokens)
        work = Work(decode.flops + prompts.flops, decode.weight_bytes, decode.kv_bytes)
        points.setdefault(gpu, []).append(
            PowerPoint(values["power"] / gpus, work, group=f"{model.name} on {gpus}")
        )
    return points


def splitwise_points(path: Path) -> dict[str, list[PowerPoint]]:
    """Return the points of splitwise's table by GPU: the average and the peak of every run with power."""
    points: dict[str, list[PowerPoint]] = {}
    for gpu, parameters, values in _joined(read_splitwise(path)):
        prompt, batch = float(parameters["input_tokens"]), float(parameters["batch"])
        if "average_power_share" not in values or prompt > LONGEST_PROMPT:
            continue
        model, gpus = _model(str(parameters["model"])), int(float(parameters["tensor_parallel"]))
        output, prompt_s = float(parameters["output_tokens"]), values["ttft"]
        decode = decode_work(model, gpus, 1.0 / values["tpot"], batch, prompt + 0.5 * output)
        prompts = prompt_work(model, gpus, batch / prompt_s, prompt, 1.0 / prompt_s)
        share = prompt_s / (prompt_s + (output - 1.0) * values["tpot"])
        for metric in ("average_power_share", "peak_power_share"):
            power_w = values[metric] * _gpu(gpu).tdp_w
            peak = metric.startswith("peak")
            if peak and (batch > 1 or prompt < PEAK_PROMPT):
                continue
            group = f"{model.name} on {gpus}"
            points.setdefault(gpu, []).append(PowerPoint(power_w, decode, prompts, share, peak, group))
    return points


def _joined(
    rows: Iterable[Measurement],
) -> list[tuple[str, Mapping[str, float | str], dict[str, float]]]:
    """Join the metrics of each measured point: device, parameters, value by metric."""
    joined: dict[Hashable, tuple[str, Mapping[str, float | str], dict[str, float]]] = {}
    for row in rows:
        key = (row.device, *row.parameters.items())
        joined.setdefault(key, (row.device, row.parameters, {}))[2][row.metric] = row.value
    return list(joined.values())


def _model(name: str) -> ModelSpec:
    return load_model(name) if name in model_names() else {BLOOM.name: BLOOM}[name]


def _gpu(name: str) -> GpuProfile:
    profile = load_profile(name)
    assert isinstance(profile, GpuProfile)
    return profile


def power_form(idle_w: float, tdp_w: float) -> Form:
    """Return the power of points in W, as a function of constants (`FORMS`) and columns (`columns`)."""

    def phase(constants: Mapping[str, float], columns: Mapping[str, Array], name: str) -> Array:
        per_byte = constants["joules_per_byte"]
        work: Array = (
            constants["joules_per_flop"] * columns[f"{name}_flops"]
            + per_byte * columns[f"{name}_weight_bytes"]
            + constants.get("joules_per_kv_byte", per_byte) * columns[f"{name}_kv_bytes"]
        )
        limited: Array = np.minimum(tdp_w, idle_w + constants.get("active_w", 0.0) + work)
        return limited

    def form(constants: Mapping[str, float], columns: Mapping[str, Array]) -> Array:
        decode, prompt = (phase(constants, columns, name) for name in ("decode", "prompt"))
        share = columns["prompt_share"]
        power: Array = np.where(
            columns["peak"] > 0, np.maximum(decode, prompt), (1 - share) * decode + share * prompt
        )
        return power

    return form


def columns(points: Sequence[PowerPoint]) -> dict[str, Array]:
    """Return what the form takes, shape ``(points,)`` each."""
    table = {
        f"{phase}_{field}": [getattr(getattr(point, phase), field) for point in points]
        for phase in ("decode", "prompt")
        for field in Work.__slots__
    }
    table["prompt_share"] = [point.prompt_share for point in points]
    table["peak"] = [float(point.peak) for point in points]
    return {name: np.asarray(values, dtype=float) for name, values in table.items()}


def fit_power(
    gpu: str, points: Sequence[PowerPoint], form: str = SHIPPED, bootstraps: int = 200
) -> Regression:
    """Fit the constants of one form to the points of one GPU; models and group sizes are held out whole."""
    profile = _gpu(gpu)
    return regress(
        power_form(profile.idle_w, profile.tdp_w),
        columns(points),
        np.array([point.power_w for point in points]),
        {name: START[name] for name in FORMS[form]},
        groups=[point.group for point in points],
        bootstraps=bootstraps,
    )


def energy_cells(path: Path, prompt_tokens: float = PROMPT_TOKENS) -> list[dict[str, object]]:
    """Return ML.ENERGY's rows as cells of `simulator.experiments.reproduce_energy`: all GPUs of a group together."""
    return [
        {
            "model": parameters["model"],
            "gpu": gpu,
            "num_gpus": int(float(parameters["tensor_parallel"])),
            "precision": parameters["precision"],
            "engine": "vllm-0.12",
            "concurrency": round(float(parameters["batch"])),
            "input_tokens": int(prompt_tokens),
            "output_tokens": round(float(parameters["output_tokens"])),
            "measured_power_w": float(f"{values['power']:.3g}"),
            "measured_joules_per_token": float(f"{values['energy_per_output_token']:.3g}"),
            "measured_output_tokens_per_s": float(f"{values['throughput']:.3g}"),
            "task": parameters["task"],
        }
        for gpu, parameters, values in _joined(read_ml_energy(path))
    ]


def read_points(data: Path, prompt_tokens: float = PROMPT_TOKENS) -> dict[str, list[PowerPoint]]:
    """Return all points by GPU from the tables below `data`."""
    return splitwise_points(data / SPLITWISE) | ml_energy_points(data / ML_ENERGY, prompt_tokens)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the fits, or write the cells; return the exit status."""
    parser = data_parser("Fit GPU power on published serving runs.")
    parser.add_argument("--cells", type=Path, help="CSV to write ML.ENERGY's rows to, instead of a fit")
    return run(_run, parser, argv)


def _run(arguments: Namespace) -> None:
    if arguments.cells:
        rows = energy_cells(arguments.data / ML_ENERGY)
        with arguments.cells.open("x", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return
    for gpu, points in read_points(arguments.data).items():
        for form, names in FORMS.items():
            fit = fit_power(gpu, points, form)
            print(
                f"{gpu}, {form}: {len(points)} points, median error {100 * fit.median_error:.1f} %, "
                f"held out {100 * fit.cross_validated_error:.1f} %, worst {100 * fit.worst_error:.0f} %"
            )
            for name in names:
                value, low, high = fit.constants[name], fit.low[name], fit.high[name]
                print(f"  {name:20s} {value:10.4g}  ({low:.4g} to {high:.4g})")


if __name__ == "__main__":
    sys.exit(main())
