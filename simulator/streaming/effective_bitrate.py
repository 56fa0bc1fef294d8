"""Effective bitrate: what bitrate without super-resolution (SR) would look as good as an SR output.

NAS, NEMO and OASIS put SR into a bitrate-based QoE this way: the quality of the SR output (PSNR, SSIM or VMAF) is
looked up on the quality-rate curve of the plain ladder, and the bitrate found there counts as the one played.

Sources: Yeo et al., "Neural Adaptive Content-aware Internet Video Delivery", OSDI 2018; Yeo et al., "NEMO",
MobiCom 2020; Jin et al., "OASIS", MMSys 2024.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from devices.errors import Fault, InputError

OASIS_EFFECTIVE_BPS: Mapping[tuple[int, int], float] = MappingProxyType(
    {(180, 720): 0.45e6, (180, 1080): 0.60e6, (360, 720): 1.00e6, (360, 1080): 1.80e6}
)
"""Effective bitrate of OASIS's SR models, (input height, output height) -> bit/s.

*Inferred* from the QoE values of the OASIS paper, which does not state its quality-rate curve: they are inputs
of low confidence, of two digits, and hold for its ladder (300 kbit/s at 180p to 4300 kbit/s at 1080p) alone.
"""


@dataclass(frozen=True, slots=True)
class QualityRateCurve:
    """Quality of the plain ladder over its bitrate, linear between its points.

    Raises
    ------
    InputError
        Where there are fewer than two points, as many qualities as bitrates are not there, or either does not
        rise: the curve could not be inverted.
    """

    bitrates_bps: tuple[float, ...]
    """Bitrate of each level, rising, bit/s."""
    qualities: tuple[float, ...]
    """Its quality in any unit (dB of PSNR, VMAF), rising."""

    def __post_init__(self) -> None:
        if len(self.bitrates_bps) != len(self.qualities) or len(self.qualities) < 2:
            raise InputError(
                Fault(
                    "a quality-rate curve needs at least two points, each with a bitrate and a quality, not "
                    f"{len(self.bitrates_bps)} bitrates and {len(self.qualities)} qualities"
                )
            )
        for name, values in (("bitrates", self.bitrates_bps), ("qualities", self.qualities)):
            if not all(low < high for low, high in pairwise(values)):
                raise InputError(Fault(f"the {name} of a quality-rate curve must rise, not {list(values)}"))

    def effective_bps(self, quality: float) -> float:
        """Return the bitrate at which the plain ladder reaches `quality`, bit/s.

        Above the last point it is the last bitrate and below the first one the first: the curve says nothing of
        what lies outside.
        """
        place = min(max(bisect_left(self.qualities, quality), 1), len(self.qualities) - 1)
        low, high = self.qualities[place - 1 : place + 1]
        share = min(max((quality - low) / (high - low), 0.0), 1.0)
        slow, fast = self.bitrates_bps[place - 1 : place + 1]
        return slow + share * (fast - slow)
