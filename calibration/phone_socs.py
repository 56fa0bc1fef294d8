"""What is known of each phone SoC before its fit: who measured it, and how fast its memory is on paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Soc:
    """What a SoC's fit starts from."""

    product: str
    """AI Hub's device that has it."""
    memory: str
    """Its memory and the width of its bus, in words."""
    memory_gb_per_s: float
    """Datasheet bandwidth of that, in decimal GB/s."""

    @property
    def memory_bytes_per_s(self) -> float:
        """Datasheet memory bandwidth in B/s."""
        return self.memory_gb_per_s * 1e9


SOCS: Mapping[str, Soc] = {
    "snapdragon-8-elite": Soc("Samsung Galaxy S25", "LPDDR5X-10600, 64 bit", 84.8),
    "snapdragon-8-gen-3": Soc("Samsung Galaxy S24", "LPDDR5X-9600, 64 bit", 76.8),
    "snapdragon-8-gen-2": Soc("QCS8550 (Proxy)", "LPDDR5X-8400, 64 bit", 67.2),
    "snapdragon-8-gen-1": Soc("QCS8450 (Proxy)", "LPDDR5-6400, 64 bit", 51.2),
    "snapdragon-7-gen-4": Soc("Snapdragon 7 Gen 4 QRD", "LPDDR5X-8400, 32 bit", 33.6),
    "qcs6490": Soc("Dragonwing RB3 Gen 2 Vision Kit", "LPDDR5-6400, 32 bit", 25.6),
    "q-6690": Soc("Dragonwing Q-6690 MTP", "LPDDR5-6400, 32 bit (assumed)", 25.6),
}
"""SoCs that AI Hub has measured, by catalogue name."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A SoC without rows of its own, scaled from one that has them by benchmarks that are not SR."""

    base: str
    """SoC that it is scaled from, a key of `SOCS`."""
    latencies_ms: Mapping[str, tuple[float, float]]
    """By test of MLPerf Mobile v5.0: mean latency of this SoC and of `base`, single stream, closed division."""
    memory_gb_per_s: float
    """Datasheet bandwidth of its memory, in decimal GB/s."""
    peers: tuple[str, ...]
    """SoCs with the same width of memory, whose share of the datasheet bandwidth it takes."""

    @property
    def ratios(self) -> list[float]:
        """This SoC's latency over that of `base`, by test."""
        return [ours / base for ours, base in self.latencies_ms.values()]

    @property
    def slowdown(self) -> float:
        """Geometric mean of `ratios`."""
        return math.exp(sum(map(math.log, self.ratios)) / len(self.ratios))


SCALED: Mapping[str, Scaled] = {
    "snapdragon-7s-gen-3": Scaled(
        "snapdragon-8-elite",
        {
            "image classification": (5.734, 0.756),
            "object detection": (1.796, 0.358),
            "segmentation": (2.612, 0.519),
            "language": (6.772, 1.541),
        },
        25.6,  # LPDDR5-6400, 32 bit
        ("snapdragon-7-gen-4", "qcs6490"),
    ),
}
"""SoCs that AI Hub has not measured, by catalogue name."""
