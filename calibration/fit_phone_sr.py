"""Fit of the phone SR constants on Qualcomm AI Hub's published latencies, and the SoC files they stand in.

Five constants per SoC (`simulator.streaming.sr_latency`) and the rate of 16-bit floats where there is one, in
logarithms, by least squares with a soft loss on ln(ours / measured). The rows are the SR tiles of 128 x 128
pixels, both runtimes, and one large network that exceeds the on-chip memory: the U-Net of AI Hub, 640 x 1280.
It alone tells how fast off-chip memory is, so a weak prior at `MEMORY_SHARE` of the datasheet holds that constant.

Run ``python -m calibration.fit_phone_sr TABLES_FOLDER`` to print the fits, with ``--write FOLDER`` to write the
SoC files; the folder holds AI Hub's two CSV files.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from calibration.phone_socs import SCALED, SOCS, Soc, scaled_file, soc_file
from calibration.readers.aihub import read_networks, read_sr
from calibration.table import Measurement
from simulator.streaming.networks import Layer, convolution, load_network
from simulator.streaming.sr_latency import SrWork, sr_work

NETWORKS = (
    "quicksrnet-small",
    "quicksrnet-medium",
    "quicksrnet-large",
    "xlsr",
    "sesr-m5",
    "real-esrgan-general",
    "real-esrgan-x4plus",
    "esrgan",
    "unet-segmentation",
)
"""Networks of the fit, as `calibration.readers.aihub` calls them; all but the last are SR at scale 4."""

ALIAS = {"esrgan": "real-esrgan-x4plus"}
"""Networks of one architecture."""

OUTLIERS = {("xlsr", "float", "tflite")}
"""Rows left out: on every SoC this runtime takes two to three times as long as the other one."""

UNET_PX = (1280, 640)
"""Width and height of the U-Net's input."""

MEMORY_SHARE = 0.75
"""Centre of the prior on achieved over datasheet memory bandwidth."""

SOFT = 0.1
"""Residuals beyond this count linearly."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured latency."""

    network: str
    precision: str
    latency_s: float


@dataclass(frozen=True, slots=True)
class SocFit:
    """Constants of one SoC with their intervals and errors."""

    constants: Mapping[str, float]
    """By name, in the units of the SoC file."""
    intervals: Mapping[str, tuple[float, float]]
    """Bootstrap interval of each constant, 5 % to 95 %."""
    errors: Mapping[tuple[str, str], tuple[float, float]]
    """By network and precision: relative error of the fit, and of the fit without that network."""

    @property
    def cross_validated_error(self) -> float:
        """Median relative error of networks left out."""
        return float(np.median([abs(unseen) for _, unseen in self.errors.values()]))


def unet() -> tuple[Layer, ...]:
    """Return the layers of the U-Net of AI Hub (milesial's, transposed convolutions)."""
    channels = (64, 128, 256, 512, 1024)
    layers: list[Layer] = []
    inputs = 3
    for depth, outputs in enumerate(channels):
        at = 2.0**-depth
        layers += [convolution(3, inputs, outputs, at), convolution(3, outputs, outputs, at)]
        if depth < 4:
            layers.append(Layer("elementwise", outputs, outputs, resolution=at))  # pooling
        inputs = outputs
    for depth in (3, 2, 1, 0):
        outputs, at = channels[depth], 2.0**-depth
        # A 2x2 transposed convolution of stride 2: one tap per output pixel.
        layers += [
            convolution(1, 2 * outputs, outputs, at),
            Layer("elementwise", 2 * outputs, 2 * outputs, resolution=at),  # concatenation
            convolution(3, 2 * outputs, outputs, at),
            convolution(3, outputs, outputs, at),
        ]
    return (*layers, convolution(1, 64, 2))


def read_rows(folder: Path) -> dict[str, list[Row]]:
    """Return the rows of the fit by SoC, from AI Hub's CSV files in `folder`."""
    tables: Iterable[Measurement] = (
        *read_sr(folder / "aihub_sr_latency_by_device.csv"),
        *read_networks(folder / "aihub_other_models_latency.csv"),
    )
    names = {soc.product: name for name, soc in SOCS.items()}
    rows: dict[str, list[Row]] = {name: [] for name in SOCS}
    for it in tables:
        network, precision, runtime, processor, product = (
            str(it.parameters[key]) for key in ("network", "precision", "runtime", "processor", "product")
        )
        if (
            product in names
            and network in NETWORKS
            and processor == "npu"
            and runtime in ("tflite", "qnn_dlc")
            and (network, precision, runtime) not in OUTLIERS
        ):
            rows[names[product]].append(Row(network, precision, it.value))
    return rows


def work(network: str, precision: str, on_chip_bytes: float) -> SrWork:
    """Return what one inference of a network of the fit takes."""
    if network == "unet-segmentation":
        width, height = UNET_PX
        return sr_work(
            unet(), width, height, precision, on_chip_bytes, output_pixels=width * height, output_channels=2
        )
    layers = load_network(ALIAS.get(network, network), 4).layers
    return sr_work(layers, 128, 128, precision, on_chip_bytes, output_pixels=512 * 512)


def fit_soc(rows: Sequence[Row], soc: Soc, bootstraps: int = 40) -> SocFit:
    """Fit one SoC.

    Parameters
    ----------
    rows
        Its measured latencies.
    soc
        What is known of it beforehand.
    bootstraps
        Resamples of the networks behind the intervals.
    """
    works = {
        (row.network, row.precision): work(row.network, row.precision, soc.on_chip_bytes) for row in rows
    }
    constants = _search(rows, works, soc)
    networks = sorted({row.network for row in rows})
    errors = {}
    for network in networks:
        unseen = _search([row for row in rows if row.network != network], works, soc)
        for precision in sorted({row.precision for row in rows if row.network == network}):
            key = (network, precision)
            logs = [math.log(row.latency_s) for row in rows if (row.network, row.precision) == key]
            measured = math.exp(sum(logs) / len(logs))
            errors[key] = (
                _latency_s(works[key], precision, constants) / measured - 1,
                _latency_s(works[key], precision, unseen) / measured - 1,
            )
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(bootstraps):
        drawn = rng.choice(networks, len(networks))
        sample = [row for network in drawn for row in rows if row.network == network]
        samples.append(_search(sample, works, soc, start=constants))
    intervals = {
        name: (
            min(value, float(np.quantile([value, *(sample[name] for sample in samples)], 0.05))),
            max(value, float(np.quantile([value, *(sample[name] for sample in samples)], 0.95))),
        )
        for name, value in constants.items()
    }
    return SocFit(constants, intervals, errors)


def _search(
    rows: Sequence[Row],
    works: Mapping[tuple[str, str], SrWork],
    soc: Soc,
    start: Mapping[str, float] | None = None,
) -> dict[str, float]:
    # Priors: name -> centre and weight, in residuals per unit of logarithm. They matter only where rows are silent.
    priors = {
        "overhead_s": (2e-4, 0.03),
        "tensor_bandwidth_bytes_per_s": (1e10, 0.03),
        "vector_bandwidth_bytes_per_s": (1.5e11, 0.1),
        "memory_bandwidth_bytes_per_s": (MEMORY_SHARE * soc.memory_bytes_per_s, 0.2),
        "w8a8": (2e13, 0.01),
    }
    if soc.has_float:
        priors["float"] = (6e12, 0.01)
    names = list(priors)
    centres = np.log([priors[name][0] for name in names])
    weights = np.array([priors[name][1] for name in names])

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        constants = dict(zip(names, np.exp(logs).tolist(), strict=True))
        errors = [
            math.log(_latency_s(works[row.network, row.precision], row.precision, constants) / row.latency_s)
            for row in rows
        ]
        return np.concatenate([errors, weights * (logs - centres)])

    origin = centres if start is None else np.log([start[name] for name in names])
    solution = least_squares(residuals, origin, loss="soft_l1", f_scale=SOFT)
    return dict(zip(names, np.exp(solution.x).tolist(), strict=True))


def _latency_s(work: SrWork, precision: str, constants: Mapping[str, float]) -> float:
    speeds = {name: value for name, value in constants.items() if name not in ("w8a8", "float")}
    return work.latency_s(ops_per_s=constants[precision], **speeds)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the fits, and write the SoC files where asked."""
    parser = argparse.ArgumentParser(description="Fit phone SR latency on AI Hub's tables.")
    parser.add_argument("tables", type=Path, help="folder with AI Hub's CSV files")
    parser.add_argument("--write", type=Path, help="folder for the SoC files")
    arguments = parser.parse_args(argv)
    fits = {}
    for name, rows in read_rows(arguments.tables).items():
        fit = fits[name] = fit_soc(rows, SOCS[name])
        print(f"{name}: median error of unseen networks {100 * fit.cross_validated_error:.1f} %")
        for constant, value in fit.constants.items():
            low, high = fit.intervals[constant]
            print(f"  {constant:30s} {value:10.4g}  ({low:.4g} to {high:.4g})")
        for (network, precision), (seen, unseen) in fit.errors.items():
            print(f"  {network:20s} {precision:6s} {100 * seen:+6.1f} %  left out {100 * unseen:+6.1f} %")
        if arguments.write:
            text = soc_file(name, fit.constants, fit.intervals, fit.cross_validated_error, len(rows))
            (arguments.write / f"{name}.yaml").write_text(text, encoding="utf-8")
    constants = {name: fit.constants for name, fit in fits.items()}
    for name, scaled in SCALED.items():
        print(f"{name}: {scaled.slowdown:.2f} times as slow as {scaled.base}")
        if arguments.write:
            text = scaled_file(name, constants)
            (arguments.write / f"{name}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
