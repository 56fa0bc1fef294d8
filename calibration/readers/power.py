"""Published power: ML.ENERGY's serving runs on GPUs, GreenABR's video playback on phones (CSV)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from calibration.readers import names
from calibration.readers.rows import HALF_IQR_PER_STD, csv_rows
from calibration.table import Measurement
from devices.errors import Fault, InputError

ML_ENERGY_SOURCE = "ML.ENERGY benchmark, Qwen3 dense models (published results)"
GREENABR_SOURCE = "GreenABR, playback power measurements"

_ML_ENERGY_METRICS = {
    "avg_power_watts": ("power", "W", 1.0),
    "energy_per_token_joules": ("energy_per_output_token", "J", 1.0),
    "energy_per_request_joules": ("energy_per_request", "J", 1.0),
    "output_throughput_tokens_per_sec": ("throughput", "tokens/s", 1.0),
    "median_itl_ms": ("tpot", "s", 1e-3),
}
"""Metric, unit and factor by column; all GPUs of a run together."""

_PHONES = ("galaxy", "xcover")


def read_ml_energy(path: Path) -> Iterator[Measurement]:
    """Yield power, energy, output rate and median time between tokens of every run, all its GPUs together.

    ``batch`` is the mean number of sequences in a step, which is seldom whole.
    """
    columns = ("model_id", "gpu_model", "task", "num_gpus", "tensor_parallel", "weight_precision")
    lengths = ("avg_batch_size", "max_num_seqs", "avg_output_len")
    for row in csv_rows(path, [*columns, *lengths, *_ML_ENERGY_METRICS]):
        parameters: dict[str, float | str] = {
            "model": names.model(row.text("model_id")),
            "task": row.text("task"),
            "gpus": row.positive("num_gpus"),
            "tensor_parallel": row.positive("tensor_parallel"),
            "precision": names.precision(row.text("weight_precision")),
            "batch": row.positive("avg_batch_size"),
            "max_batch": row.positive("max_num_seqs"),
            "output_tokens": row.positive("avg_output_len"),
        }
        device = names.gpu(row.text("gpu_model"))
        for column, (metric, unit, factor) in _ML_ENERGY_METRICS.items():
            value = row.positive(column) * factor
            yield Measurement("serving", device, parameters, metric, unit, value, source=ML_ENERGY_SOURCE)


def read_greenabr(path: Path) -> Iterator[Measurement]:
    """Yield a phone's power while it plays each video at each quality.

    The table gives milliwatts as mean and standard deviation of samples; the value is that mean, the spread
    that of a normal distribution. Rates are in kbit/s. The phone stands in the file's name.
    """
    phones = [phone for phone in _PHONES if phone in path.name.lower()]
    if not phones:
        raise InputError(Fault(f"the name must contain the phone: {', '.join(_PHONES)}", file=str(path)))
    columns = (
        "video",
        "Bitrate",
        "Height",
        "Width",
        "FPS",
        "power_mean",
        "power_std",
        "n",
        "motion",
        "quality",
    )
    for row in csv_rows(path, columns):
        yield Measurement(
            bench="playback",
            device=f"greenabr-{phones[0]}",
            parameters={
                "video": row.text("video"),
                "bitrate_bits_per_s": row.positive("Bitrate") * 1e3,
                "height_px": row.positive("Height"),
                "width_px": row.positive("Width"),
                "frames_per_s": row.positive("FPS"),
                "motion": row.real("motion"),
                "quality": row.real("quality"),
                "samples": row.positive("n"),
            },
            metric="power",
            unit="W",
            value=row.positive("power_mean") / 1e3,
            spread=HALF_IQR_PER_STD * row.amount("power_std") / 1e3,
            source=GREENABR_SOURCE,
        )
