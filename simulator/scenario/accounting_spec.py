"""What a scenario's users and devices are booked with.

As in `simulator.scenario.spec`, field names are the keys of the YAML file and types carry the unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from devices.quantity import Count, KilogramsPerJoule, Price


@dataclass(frozen=True, slots=True)
class AccountingSpec:
    """Books for the summary: energy per user, and where they are given prices and carbon (docs/accounting.md)."""

    users: Count | None = None
    """How many people the services have; None: as many as there are phones."""
    carbon_intensity: KilogramsPerJoule | None = None
    """Carbon dioxide equivalent that comes with the electricity of all devices; None: no carbon is told."""
    prices: Mapping[str, Price] = field(default_factory=dict)
    """By device: price of having one unit of it (a GPU, a drive, a phone) switched on for an hour, in any currency.
    What has no price costs nothing; without any no cost is told."""
