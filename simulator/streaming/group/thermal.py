"""How a phone heats up: one thermal resistance and one capacity, two thresholds with hysteresis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import exp


class Heat(IntEnum):
    """What the temperature allows."""

    COOL = 0
    """Full rate."""
    THROTTLED = 1
    """Super-resolution at a lower rate."""
    STOPPED = 2
    """No super-resolution until the phone has cooled down."""


@dataclass(frozen=True, slots=True)
class Thermal:
    """An RC model driven by the phone's power.

    The temperature T goes to ``ambient + resistance * power`` with the time constant. All values are assumed but the
    one anchor: a flagship at 7.3 W slows down after 300 s (phone profiles: ``throttle_after_s``). With the default
    time constant and thresholds that gives the resistance; 43 degrees is a customary limit of what a hand holds.
    """

    ambient_c: float = 25.0
    """Temperature of the surroundings and of the phone at the start."""
    resistance_k_per_w: float = 2.90
    """Warming per watt in the long run."""
    time_constant_s: float = 158.0
    """Time in which the distance to the final temperature falls to 37 %."""
    throttle_c: float = 43.0
    """From here on SR runs at `throttled_share`."""
    stop_c: float = 48.0
    """From here on no SR."""
    hysteresis_k: float = 2.0
    """How far below a threshold the phone must cool before its limit is lifted."""
    throttled_share: float = 0.64
    """SR rate of the throttled phone over that of the cool one."""

    def after(self, temperature_c: float, power_w: float, time_s: float) -> float:
        """Return the temperature after `time_s` at constant power; exact."""
        final_c = self.ambient_c + self.resistance_k_per_w * power_w
        return final_c + (temperature_c - final_c) * exp(-time_s / self.time_constant_s)

    def state(self, temperature_c: float, before: Heat) -> Heat:
        """Return what `temperature_c` allows, given what was allowed `before`."""
        if before is Heat.COOL and temperature_c < min(self.throttle_c, self.stop_c):
            return Heat.COOL
        for heat, threshold_c in ((Heat.STOPPED, self.stop_c), (Heat.THROTTLED, self.throttle_c)):
            if temperature_c >= threshold_c - (self.hysteresis_k if before >= heat else 0.0):
                return heat
        return Heat.COOL


def resistance_for(thermal: Thermal, power_w: float, time_s: float) -> float:
    """Return the resistance with which a phone that draws `power_w` throttles after `time_s`, in K/W."""
    warmed = 1.0 - exp(-time_s / thermal.time_constant_s)
    return (thermal.throttle_c - thermal.ambient_c) / (power_w * warmed)
