"""Android power profiles: the currents that a phone's maker states for its components (JSON).

The file is an object by device; each device an object of currents in mA by component, numbers, lists (by level) or
objects (by state), with ``unit``, ``source`` and ``battery_mAh`` beside them. A profile is what Android's battery
statistics multiply times with. Values of one device often stand in another's profile, so two profiles that agree
need not be two measurements.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from calibration.readers.names import slug
from calibration.table import Measurement
from devices.errors import Fault, InputError
from devices.files import read_json

SOURCE = "Android power profiles of phones (vendor device trees)"

_ABOUT = ("source", "unit", "battery_mAh")
_UNIT = re.compile(r"mA(?: @(\d+(?:\.\d+)?)V)?")


def read(path: Path) -> Iterator[Measurement]:
    """Yield one current per component and state, in A.

    The parameter ``component`` joins the names on the way to the value with dots, as in ``modem.tx.4``;
    ``voltage_v`` is there where the unit names the voltage at which currents hold.
    """
    file = str(path)
    for name, entry in _mapping(read_json(path), "the file", file).items():
        profile = _mapping(entry, name, file)
        unit = _UNIT.fullmatch(str(profile.get("unit", "")))
        if unit is None:
            raise InputError(Fault(f"unit {profile.get('unit')!r} is not mA or mA @...V", name, file))
        voltage = {"voltage_v": float(unit[1])} if unit[1] else {}
        for component, current in _currents(profile, name, file):
            parameters: dict[str, float | str] = {"component": component, **voltage}
            yield Measurement(
                "component", slug(name), parameters, "current", "A", current * 1e-3, source=SOURCE
            )


def _currents(profile: Mapping[str, Any], name: str, file: str) -> Iterator[tuple[str, float]]:
    """Yield (component, mA) of a nested profile."""
    pending: list[tuple[str, Any]] = [
        (key.removesuffix("_mA"), profile[key]) for key in reversed([*profile]) if key not in _ABOUT
    ]
    while pending:
        key, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{key}.{inner}", one) for inner, one in reversed(value.items())]
        elif isinstance(value, list):
            pending += [(f"{key}.{level}", one) for level, one in reversed([*enumerate(value)])]
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(Fault(f"{value!r} is not a current in mA", f"{name}.{key}", file))
        elif value < 0:
            raise InputError(Fault(f"{value:g} mA is negative", f"{name}.{key}", file))
        else:
            yield key, float(value)


def _mapping(value: Any, name: str, file: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(Fault("must be an object", name, file))
    return value
