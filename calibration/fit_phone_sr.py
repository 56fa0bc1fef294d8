"""Fit of the phone SR constants on Qualcomm AI Hub's published latencies.

Five constants per SoC (`simulator.streaming.sr_latency`) and the rate of 16-bit floats where there is one, by
`calibration.fits.regression`. The rows are the SR tiles of 128 x 128 pixels, both runtimes, and one large network
that exceeds the on-chip memory: the U-Net of AI Hub, 640 x 1280. It alone tells how fast off-chip memory is, so a
weak prior at `MEMORY_SHARE` of the datasheet holds that constant. Networks are held out whole, one by one.

``hetsim calibrate fit SOC --data FOLDER`` rebuilds a SoC's file (see `calibration.recipes.socs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.fits.regression import Array, Form, Regression, regress
from calibration.phone_socs import SOCS
from calibration.readers.aihub import read_networks, read_sr
from calibration.table import Measurement
from simulator.streaming.networks import Layer, convolution, load_network
from simulator.streaming.sr_latency import SrWork, sr_work

SR_TABLE = "aihub_sr_latency_by_device.csv"
NETWORKS_TABLE = "aihub_other_models_latency.csv"
"""AI Hub's tables."""

LARGE = "unet-segmentation"
"""The network of the fit that exceeds the on-chip memory; the others are SR at scale 4."""

NETWORKS = (
    "quicksrnet-small",
    "quicksrnet-medium",
    "quicksrnet-large",
    "xlsr",
    "sesr-m5",
    "real-esrgan-general",
    "real-esrgan-x4plus",
    "esrgan",
    LARGE,
)
"""Networks of the fit, as `calibration.readers.aihub` calls them."""

ALIAS = {"esrgan": "real-esrgan-x4plus"}
"""Networks of one architecture."""

OUTLIERS = {("xlsr", "float", "tflite")}
"""Rows left out: on every SoC this runtime takes two to three times as long as the other one."""

UNET_PX = (1280, 640)
"""Width and height of the U-Net's input."""

MEMORY_SHARE = 0.75
"""Centre of the prior on achieved over datasheet memory bandwidth."""

PRECISIONS = ("w8a8", "float")
"""Number formats; the rate of each is a constant of its name."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured latency."""

    network: str
    precision: str
    latency_s: float


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
        *read_sr(folder / SR_TABLE),
        *read_networks(folder / NETWORKS_TABLE),
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
    if network == LARGE:
        width, height = UNET_PX
        return sr_work(
            unet(), width, height, precision, on_chip_bytes, output_pixels=width * height, output_channels=2
        )
    layers = load_network(ALIAS.get(network, network), 4).layers
    return sr_work(layers, 128, 128, precision, on_chip_bytes, output_pixels=512 * 512)


def sr_form(rows: Sequence[Row], on_chip_bytes: float) -> Form:
    """Return the latency of `rows` in s as a form over the column ``row``, their indices."""
    kinds = {(row.network, row.precision) for row in rows}
    works = {kind: work(*kind, on_chip_bytes) for kind in kinds}

    def form(constants: Mapping[str, float], columns: Mapping[str, Array]) -> Array:
        speeds = {name: value for name, value in constants.items() if name not in PRECISIONS}
        latency_s = {kind: it.latency_s(ops_per_s=constants[kind[1]], **speeds) for kind, it in works.items()}
        picked = [rows[index] for index in columns["row"].astype(int)]
        return np.array([latency_s[row.network, row.precision] for row in picked])

    return form


def fit_soc(
    rows: Sequence[Row], on_chip_bytes: float, memory_bytes_per_s: float, bootstraps: int = 60
) -> Regression:
    """Fit one SoC.

    Parameters
    ----------
    rows
        Its measured latencies.
    on_chip_bytes
        Memory of its accelerator.
    memory_bytes_per_s
        Datasheet bandwidth of its memory.
    bootstraps
        Resamples of the networks behind the intervals.

    Returns
    -------
    Regression
        Constants of the SoC file by name, rates by precision.
    """
    # Centre and weight. They matter only where rows are silent.
    priors = {
        "overhead_s": (2e-4, 0.03),
        "tensor_bandwidth_bytes_per_s": (1e10, 0.03),
        "vector_bandwidth_bytes_per_s": (1.5e11, 0.1),
        "memory_bandwidth_bytes_per_s": (MEMORY_SHARE * memory_bytes_per_s, 0.2),
        "w8a8": (2e13, 0.01),
    }
    if any(row.precision == "float" for row in rows):
        priors["float"] = (6e12, 0.01)
    networks = [row.network for row in rows]
    return regress(
        sr_form(rows, on_chip_bytes),
        {"row": np.arange(len(rows), dtype=np.float64)},
        np.array([row.latency_s for row in rows]),
        {name: centre for name, (centre, _) in priors.items()},
        groups=networks,
        folds=len(set(networks)),
        bootstraps=bootstraps,
        priors=priors,
    )
