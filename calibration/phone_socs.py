"""What is known of each phone SoC before its fit, and the text of its file in the device catalogue."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Soc:
    """What a SoC's fit starts from."""

    title: str
    """Name as the vendor writes it."""
    product: str
    """AI Hub's device that has it."""
    on_chip_mib: int
    """Tightly coupled memory (VTCM) of its accelerator, in MiB."""
    on_chip_evidence: str
    """``datasheet`` or ``assumed``."""
    memory: str
    """Its memory and datasheet bandwidth, in words."""
    memory_gb_per_s: float
    """That bandwidth, in decimal GB/s."""
    has_float: bool = True
    """AI Hub has rows in 16-bit floats."""
    has_large: bool = True
    """AI Hub has rows of a network that exceeds the on-chip memory."""

    @property
    def on_chip_bytes(self) -> float:
        """On-chip memory in bytes."""
        return self.on_chip_mib * 2.0**20

    @property
    def memory_bytes_per_s(self) -> float:
        """Datasheet memory bandwidth in B/s."""
        return self.memory_gb_per_s * 1e9


SOCS: Mapping[str, Soc] = {
    "snapdragon-8-elite": Soc(
        "Snapdragon 8 Elite (SM8750)", "Samsung Galaxy S25", 8, "datasheet", "LPDDR5X-10600, 64 bit", 84.8
    ),
    "snapdragon-8-gen-3": Soc(
        "Snapdragon 8 Gen 3 (SM8650)", "Samsung Galaxy S24", 8, "datasheet", "LPDDR5X-9600, 64 bit", 76.8
    ),
    "snapdragon-8-gen-2": Soc(
        "Snapdragon 8 Gen 2 (SM8550)", "QCS8550 (Proxy)", 8, "datasheet", "LPDDR5X-8400, 64 bit", 67.2
    ),
    "snapdragon-8-gen-1": Soc(
        "Snapdragon 8 Gen 1 (SM8450)", "QCS8450 (Proxy)", 8, "datasheet", "LPDDR5-6400, 64 bit", 51.2
    ),
    "snapdragon-7-gen-4": Soc(
        "Snapdragon 7 Gen 4 (SM7750)",
        "Snapdragon 7 Gen 4 QRD",
        4,
        "assumed",
        "LPDDR5X-8400, 32 bit",
        33.6,
        has_float=False,
    ),
    "qcs6490": Soc(
        "QCS6490 (of the Snapdragon 778G's family)",
        "Dragonwing RB3 Gen 2 Vision Kit",
        2,
        "assumed",
        "LPDDR5-6400, 32 bit",
        25.6,
        has_float=False,
    ),
    "q-6690": Soc(
        "Dragonwing Q-6690",
        "Dragonwing Q-6690 MTP",
        2,
        "assumed",
        "LPDDR5-6400, 32 bit (assumed)",
        25.6,
        has_float=False,
        has_large=False,
    ),
}
"""SoCs that AI Hub has measured, by catalogue name."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A SoC without rows of its own, scaled from one that has them by benchmarks that are not SR."""

    title: str
    """Name as the vendor writes it."""
    base: str
    """SoC that it is scaled from, a key of `SOCS`."""
    latencies_ms: Mapping[str, tuple[float, float]]
    """By test of MLPerf Mobile v5.0: mean latency of this SoC and of `base`, single stream, closed division."""
    memory: str
    """Its memory, in words."""
    memory_gb_per_s: float
    """Datasheet bandwidth of that, in decimal GB/s."""
    peers: tuple[str, ...]
    """SoCs with the same width of memory, whose share of the datasheet bandwidth it takes."""
    on_chip_mib: int
    """On-chip memory in MiB, assumed."""

    @property
    def slowdown(self) -> float:
        """Geometric mean of this SoC's latencies over those of `base`."""
        logs = [math.log(ours / base) for ours, base in self.latencies_ms.values()]
        return math.exp(sum(logs) / len(logs))


SCALED: Mapping[str, Scaled] = {
    "snapdragon-7s-gen-3": Scaled(
        "Snapdragon 7s Gen 3 (SM7635)",
        "snapdragon-8-elite",
        {
            "image classification": (5.734, 0.756),
            "object detection": (1.796, 0.358),
            "segmentation": (2.612, 0.519),
            "language": (6.772, 1.541),
        },
        "LPDDR5-6400, 32 bit",
        25.6,
        ("snapdragon-7-gen-4", "qcs6490"),
        2,
    ),
}
"""SoCs that AI Hub has not measured, by catalogue name."""

_HEAD = """\
kind: soc
name: {name}
title: "{title}"
accelerator: Hexagon NPU

# Written by `python -m calibration.fit_phone_sr`; see there for the method.
sources:
  aihub:
    title: "Qualcomm AI Hub Models, published latencies of SR networks and of Unet-Segmentation on {product}"
    url: https://github.com/quic/ai-hub-models
{chip_source}
values:
  overhead_s:
{overhead}
  tensor_bandwidth_bytes_per_s:
{tensor}
  vector_bandwidth_bytes_per_s:
{vector}
  memory_bandwidth_bytes_per_s:
{memory}
  on_chip_bytes:
    value: {on_chip} MiB
    source: {chip_key}
    kind: {chip_kind}
    note: {chip_note}
  cross_validated_error:
    value: {error:.3f}
    source: aihub
    kind: fitted
    valid: networks like the {rows} rows of the fit, inputs of 128 x 128 pixels; larger inputs are extrapolated
    note: Median over networks of the relative error when the fit has not seen the network

precisions:
{rates}"""

_EXECUTORCH = """\
  vtcm:
    title: ExecuTorch, Qualcomm backend, table of SoCs with the size of their VTCM
    url: https://github.com/pytorch/executorch/blob/main/backends/qualcomm/serialization/qc_schema.py
"""
_ESTIMATE = """\
  estimate:
    title: Estimate of this project
"""


def soc_file(
    name: str,
    constants: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    cross_validated_error: float,
    rows: int,
) -> str:
    """Return the text of ``devices/catalog/NAME.yaml`` for a fitted SoC."""
    soc = SOCS[name]

    def entry(constant: str, scale: float, unit: str, note: str, kind: str = "fitted") -> str:
        low, high = (f"{end * scale:.4g} {unit}" for end in intervals[constant])
        value = f"{constants[constant] * scale:.4g} {unit}"
        lines = {"value": value, "source": "aihub", "kind": kind, "low": low, "high": high, "note": note}
        return "\n".join(f"    {key}: {text}" for key, text in lines.items())

    rates = ""
    for precision in ("w8a8", "float"):
        if precision in constants:
            fields = entry_at("ops_per_s", constants[precision], intervals[precision])
            rates += f"  {precision}:\n{fields}"
    published = soc.on_chip_evidence == "datasheet"
    memory_note = (
        f'"Weak prior at 75 % of the datasheet ({soc.memory}, {soc.memory_gb_per_s:g} GB/s); '
        'more than the datasheet means that the compiler keeps parts of large maps on chip"'
    )
    if not soc.has_large:
        memory_note = f'"No row exceeds the on-chip memory, so this is the prior: 75 % of {soc.memory}"'
    return _HEAD.format(
        name=name,
        title=soc.title,
        product=soc.product,
        chip_source=_EXECUTORCH if published else _ESTIMATE,
        overhead=entry("overhead_s", 1e6, "us", "Least squares on ln(ours / measured)"),
        tensor=entry(
            "tensor_bandwidth_bytes_per_s", 1e-9, "GB/s", "From 8-bit against 32-bit images of one network"
        ),
        vector=entry(
            "vector_bandwidth_bytes_per_s", 1e-9, "GB/s", "From networks with many unfused operations"
        ),
        memory=entry(
            "memory_bandwidth_bytes_per_s",
            1e-9,
            "GB/s",
            memory_note,
            "fitted" if soc.has_large else "assumed",
        ),
        on_chip=soc.on_chip_mib,
        chip_key="vtcm" if published else "estimate",
        chip_kind=soc.on_chip_evidence,
        chip_note="Vector tightly coupled memory of the accelerator"
        if published
        else "Not published for this chip; that of others of its class",
        error=cross_validated_error,
        rows=rows,
        rates=rates,
    )


def entry_at(field: str, value: float, interval: tuple[float, float]) -> str:
    """Return the lines of a rate below a precision, in TOP/s."""
    low, high = interval
    return (
        f"    {field}:\n      value: {value / 1e12:.4g} TOP/s\n      source: aihub\n      kind: fitted\n"
        f"      low: {low / 1e12:.4g} TOP/s\n      high: {high / 1e12:.4g} TOP/s\n"
        "      note: Least squares on ln(ours / measured)\n"
    )


def scaled_file(name: str, constants: Mapping[str, Mapping[str, float]]) -> str:
    """Return the text of ``devices/catalog/NAME.yaml`` for a SoC that is scaled from another one.

    Parameters
    ----------
    name
        A key of `SCALED`.
    constants
        Fitted constants by SoC, as `calibration.fit_phone_sr` finds them.
    """
    soc = SCALED[name]
    base = constants[soc.base]
    ratios = [ours / base_ms for ours, base_ms in soc.latencies_ms.values()]
    shares = [
        constants[peer]["memory_bandwidth_bytes_per_s"] / SOCS[peer].memory_bytes_per_s for peer in soc.peers
    ]
    share = math.exp(sum(math.log(one) for one in shares) / len(shares))

    def entry(indent: int, value: float, unit: str, *, power: int, note: str) -> str:
        ends = sorted(value * (ratio / soc.slowdown) ** power for ratio in ratios)
        lines = {
            "value": f"{value:.4g} {unit}",
            "source": "mlperf",
            "kind": "assumed",
            "low": f"{ends[0]:.4g} {unit}",
            "high": f"{ends[-1]:.4g} {unit}",
            "note": note,
        }
        return "".join(f"{' ' * indent}{key}: {text}\n" for key, text in lines.items())

    def rate(constant: str, scale: float, unit: str, indent: int = 4) -> str:
        note = (
            f"That of {soc.base} over {soc.slowdown:.2f}, "
            "the geometric mean slowdown of four tests, SR not among them"
        )
        return entry(indent, base[constant] / soc.slowdown * scale, unit, power=-1, note=note)

    overhead = entry(
        4, base["overhead_s"] * soc.slowdown * 1e6, "us", power=1, note=f"Likewise {soc.slowdown:.2f} times"
    )
    memory = soc.memory_gb_per_s * share
    return f"""\
kind: soc
name: {name}
title: "{soc.title}"
accelerator: Hexagon NPU

# Written by `python -m calibration.fit_phone_sr`; see there for the method. No SR latency of this chip went in.
sources:
  mlperf:
    title: "MLPerf Mobile v5.0 results, closed division, Qualcomm: SD7SG3 and SD8Elite"
    url: https://github.com/mlcommons/mobile_results_v5.0
  anandtech:
    title: "AnandTech, Qualcomm Adds Snapdragon 7s Gen 3 (memory: {soc.memory})"
    url: https://www.anandtech.com/show/21534
  estimate:
    title: Estimate of this project

values:
  overhead_s:
{overhead}  tensor_bandwidth_bytes_per_s:
{rate("tensor_bandwidth_bytes_per_s", 1e-9, "GB/s")}  vector_bandwidth_bytes_per_s:
{rate("vector_bandwidth_bytes_per_s", 1e-9, "GB/s")}  memory_bandwidth_bytes_per_s:
    value: {memory:.4g} GB/s
    source: anandtech
    kind: assumed
    low: {0.5 * soc.memory_gb_per_s:.4g} GB/s
    high: {soc.memory_gb_per_s:.4g} GB/s
    note: "{100 * share:.0f} % of the datasheet's {soc.memory_gb_per_s:g} GB/s, as fitted on {" and ".join(soc.peers)}"
  on_chip_bytes:
    value: {soc.on_chip_mib} MiB
    source: estimate
    kind: assumed
    note: Not published for this chip; that of others of its class
  cross_validated_error:
    value: 0.3
    source: estimate
    kind: assumed
    note: No fit of its own; the least and greatest slowdown differ from the mean by -18 % and +41 %

precisions:
  w8a8:
    ops_per_s:
{rate("w8a8", 1e-12, "TOP/s", 6)}"""
