"""What the phones of a device are called."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.scenario.spec import DeviceSpec


def phone_names(device: str, spec: DeviceSpec) -> Iterator[str]:
    """Yield the names of a device's phones: ``NAME``, or ``NAME-1`` and so on where there are several alike."""
    count = spec.count or 1
    yield from (device,) if count == 1 else (f"{device}-{number}" for number in range(1, count + 1))
