"""Quantities with units: ``80 GiB`` to an SI number, and type aliases that carry units and bounds.

Inside the project every number is in SI base units; this module is the only place where text becomes one.
SI prefixes are decimal, IEC prefixes (KiB, MiB, ...) binary, a bit is an eighth of a byte. Spelling counts:
``MB`` is not ``Mb``, so a unit in the wrong case is refused rather than guessed.

The markers at the end are plain data inside `typing.Annotated`; `simulator.scenario.validation` turns them
into checks and `simulator.scenario.schema` into JSON Schema.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated

# Decimal, so that "5 us" is the very float that 5e-6 is.
_LARGE = {prefix: Decimal(10) ** (3 * i) for i, prefix in enumerate(("", "k", "M", "G", "T", "P", "E"))}
_SMALL = {prefix: Decimal(10) ** (-3 * i) for i, prefix in enumerate(("m", "u", "n", "p"), start=1)}
_SMALL |= {"µ": _SMALL["u"], "μ": _SMALL["u"]}  # the micro sign and the Greek letter
_BINARY = {f"{prefix}i": Decimal(1024) ** i for i, prefix in enumerate("KMGTPE", start=1)}
_ANY = _SMALL | _LARGE
_ONE = Decimal(1)


def _prefixed(symbol: str, prefixes: Mapping[str, Decimal], scale: Decimal = _ONE) -> dict[str, Decimal]:
    return {prefix + symbol: factor * scale for prefix, factor in prefixes.items()}


_DATA = _prefixed("B", _LARGE | _BINARY) | _prefixed("bit", _LARGE | _BINARY, _ONE / 8)
_RATE = {f"{unit}/s": factor for unit, factor in _DATA.items()} | _prefixed("bps", _LARGE, _ONE / 8)
_PERIODS = {"s": _ONE, "min": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_TIME = _prefixed("s", _SMALL) | _PERIODS
_FREQUENCY = {f"{one}/{period}": _ONE / span for one in ("", "1") for period, span in _PERIODS.items()}
_OPERATIONS = {
    unit: factor
    for symbol in ("FLOP/s", "OP/s", "FLOPS", "OPS")
    for unit, factor in _prefixed(symbol, _LARGE).items()
}

UNITS: Mapping[str, Mapping[str, Decimal]] = MappingProxyType(
    {
        "B": _DATA,
        "B/s": _RATE,
        "s": _TIME,
        "FLOP/s": _OPERATIONS,
        "W": _prefixed("W", _ANY),
        "J": _prefixed("J", _ANY) | {"Wh": Decimal(3600), "kWh": Decimal(3_600_000)},
        "1/s": _FREQUENCY,
        "m": _prefixed("m", _ANY) | {"cm": _ONE / 100},
        "kg/J": {"g/kWh": _ONE / 3_600_000_000, "kg/kWh": _ONE / 3_600_000, "kg/MWh": _ONE / 3_600_000_000},
        "": {"%": _ONE / 100},
    }
)
"""Per SI unit (the key; empty for a ratio): how its multiples are spelt, and their size in that unit."""

EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "B": "80 GiB",
        "B/s": "32 Gbit/s",
        "s": "40 ms",
        "FLOP/s": "312 TFLOP/s",
        "W": "400 W",
        "J": "1.4 pJ",
        "1/s": "4/s",
        "m": "20 m",
        "kg/J": "350 g/kWh",
        "": "12.5 %",
    }
)
"""One way to write a quantity of each unit, for messages and the schema."""

_NAMES = {
    "B": "an amount of data",
    "B/s": "a bandwidth",
    "s": "a time",
    "FLOP/s": "a compute rate",
    "W": "a power",
    "J": "an energy",
    "1/s": "a rate of events",
    "m": "a length",
    "kg/J": "a carbon intensity",
    "": "a ratio",
}
_SHOWN = {
    "B": "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, Mbit, Gbit",
    "B/s": "B/s, MB/s, GB/s, MiB/s, GiB/s, Mbit/s, Gbit/s, Gibit/s",
    "s": "s, ms, us, ns, min, h, d",
    "FLOP/s": "FLOP/s, GFLOP/s, TFLOP/s, PFLOP/s, TOP/s",
    "W": "W, mW, kW, MW",
    "J": "J, pJ, nJ, mJ, kJ, kWh",
    "1/s": "/s, /min, /h, /d",
    "m": "m, km, cm, mm",
    "kg/J": "g/kWh, kg/kWh, kg/MWh",
    "": "%",
}

NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""Regular expression of a decimal number, shared with the schema."""
_TEXT = re.compile(rf"\s*(?P<number>{NUMBER})\s*(?P<unit>.*?)\s*", re.ASCII | re.DOTALL)


def number_and_unit(text: str) -> tuple[float, str] | None:
    """Return a quantity's two parts as they are written; its unit may be empty, and other text gives None."""
    match = _TEXT.fullmatch(text)
    if match is None or not math.isfinite(float(match["number"])):
        return None
    return float(match["number"]), match["unit"]


def parse_quantity(value: object, unit: str) -> float:
    """Return `value` in the SI unit `unit`.

    Parameters
    ----------
    value
        A number, already in `unit`, or a text of a number and a unit such as ``"32 Gbit/s"``.
    unit
        A key of `UNITS`: ``B``, ``B/s``, ``s``, ``FLOP/s``, ``W``, ``J``, ``1/s``, ``m``, ``kg/J``, or empty for a
        ratio.

    Raises
    ------
    ValueError
        Where `value` is neither, its unit is unknown or of another dimension, or it is not finite. The
        message says what is allowed and names the nearest unit.
    """
    expected = f"{_NAMES[unit]} such as {EXAMPLES[unit]!r}"
    if isinstance(value, str):
        match = _TEXT.fullmatch(value)
        if match is None:
            raise ValueError(f"{shown(value)} is not a quantity; expected {expected}")
        factor = _factor(match["unit"], unit, value)
        try:
            number = float(Decimal(match["number"]) * factor)
        except ArithmeticError:  # an exponent beyond what even Decimal holds
            number = math.inf
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    else:
        raise ValueError(f"{shown(value)} is not a quantity; expected {expected}")
    if not math.isfinite(number):
        raise ValueError(f"{shown(value)} is not a finite number; expected {expected}")
    return number


def _factor(spelling: str, unit: str, text: str) -> Decimal:
    known = UNITS[unit]
    if spelling in known:
        return known[spelling]
    allowed = f"allowed: {_SHOWN[unit]}"
    if not spelling:
        if unit == "":
            return _ONE
        raise ValueError(f"{text!r} has no unit; {allowed} (or a plain number in {unit})")
    near = nearest(spelling, known)
    hint = f"; nearest: {near}" if near else ""
    for other, spellings in UNITS.items():
        if spelling in spellings:
            raise ValueError(f"{text!r} is {_NAMES[other]}, not {_NAMES[unit]}; {allowed}{hint}")
    raise ValueError(f"unknown unit {shown(spelling)} in {shown(text)}; {allowed}{hint}")


def nearest(word: str, known: Mapping[str, object] | list[str] | tuple[str, ...]) -> str | None:
    """Return the entry of `known` that looks most like `word`, or None where nothing looks alike.

    A difference in case alone is a match before any other.
    """
    word = word[:100]
    for candidate in known:
        if candidate.lower() == word.lower():
            return candidate
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return close[0] if close else None


def shown(value: object) -> str:
    """Return `value` as a message shows it: never longer than a line."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "an empty value", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 256:  # Python does not even write the longest ones
        return "a number of more than 77 digits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """Return `value`, in the SI unit `unit`, as people read it: so many digits and a decimal prefix.

    Examples
    --------
    >>> format_quantity(2**32, "B/s")
    '4.29 GB/s'
    >>> format_quantity(0.0388, "s")
    '38.8 ms'
    """
    if not math.isfinite(value):
        return f"{value} {unit}".strip()
    rounded = float(f"{value:.{digits}g}")
    if unit == "":
        return f"{float(f'{value * 100:.{digits}g}'):g} %"
    if unit == "1/s":
        return f"{rounded:g}/s"
    if unit == "kg/J":
        return f"{float(f'{value * 3.6e9:.{digits}g}'):g} g/kWh"
    size = abs(rounded)
    if unit == "s" and size >= 120:  # minutes and hours where a count of seconds is hard to read
        spelling = "min" if size < 7200 else "h"
        factor = float(_PERIODS[spelling])
    else:
        prefixes = _LARGE if unit in ("B", "B/s", "FLOP/s") else _SMALL if unit == "s" else _ANY
        steps = {prefix + unit: float(step) for prefix, step in prefixes.items() if prefix.isascii()} | {
            unit: 1.0
        }
        spelling = max(
            (name for name, step in steps.items() if step <= size), key=steps.__getitem__, default=unit
        )
        factor = steps[spelling]
    return f"{float(f'{rounded / factor:.{digits}g}'):g} {spelling}"


@dataclass(frozen=True, slots=True)
class Quantity:
    """Marker in ``Annotated[float, Quantity(...)]``: the unit of a field and the values that make sense."""

    unit: str = ""
    """SI unit, a key of `UNITS`; empty for a ratio or a count."""
    low: float = 0.0
    """Least value allowed."""
    high: float = math.inf
    """Greatest value allowed."""
    above_low: bool = False
    """`low` itself is not allowed."""
    below_high: bool = False
    """`high` itself is not allowed."""
    whole: bool = False
    """Only whole numbers, which stay `int`."""

    def parse(self, value: object) -> float:
        """Return `value` in SI units (an `int` where `whole`), checked against the bounds.

        Raises
        ------
        ValueError
            Where it is no such quantity or out of bounds; the message says what is allowed.
        """
        number = self._whole(value) if self.whole else parse_quantity(value, self.unit)
        excluded = (self.above_low and number == self.low) or (self.below_high and number == self.high)
        if excluded or not self.low <= number <= self.high:
            raise ValueError(f"{shown(value)} is out of range; allowed: {self.allowed()}")
        return number

    def allowed(self) -> str:
        """Return the allowed range in words."""
        low = f"{self.low:g} {self.unit}".strip()
        if self.unit == "" and not self.whole and self.high == 1 and not self.below_high:
            return "0 to 1 (or 0 % to 100 %)"
        lower = f"above {low}" if self.above_low else f"at least {low}"
        noun = "a whole number, " if self.whole else ""
        if math.isinf(self.high):
            return noun + lower
        upper = "below" if self.below_high else "at most"
        return f"{noun}{lower} and {upper} {self.high:g} {self.unit}".strip()

    def _whole(self, value: object) -> int:
        # YAML 1.2 reads 1e6 as a float, so whole floats count as whole numbers; texts and booleans do not.
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValueError(f"{shown(value)} is not a whole number; allowed: {self.allowed()}")


# The upper bounds refuse slips such as a unit applied twice. They lie orders of magnitude above the largest
# machine built.
Bytes = Annotated[float, Quantity("B", high=1e21)]
"""Amount of data, 0 to 1 ZB."""
BytesPerSecond = Annotated[float, Quantity("B/s", low=1e-3, high=1e18)]
"""Bandwidth, from 1 mB/s (with less nothing would ever arrive) up to 1 EB/s."""
Seconds = Annotated[float, Quantity("s", high=1e12)]
"""Time, 0 to 1e12 s (some 30,000 years)."""
Period = Annotated[float, Quantity("s", low=1e-3, high=1e9)]
"""Time between two occurrences, 1 ms to 1e9 s."""
Flops = Annotated[float, Quantity("FLOP/s", high=1e21)]
"""Compute rate; 0 means that the hardware lacks the number format."""
Watts = Annotated[float, Quantity("W", high=1e9)]
"""Power, 0 to 1 GW."""
Joules = Annotated[float, Quantity("J", high=1e15)]
"""Energy, 0 to 1 PJ."""
PerSecond = Annotated[float, Quantity("1/s", low=1e-12, high=1e9)]
"""Rate of events, from one in some 30,000 years up."""
Metres = Annotated[float, Quantity("m", low=-1e7, high=1e7)]
"""Coordinate, within 10,000 km of the origin."""
KilogramsPerJoule = Annotated[float, Quantity("kg/J", high=1e-6)]
"""Carbon intensity of electricity, 0 to 3600 g/kWh."""
Price = Annotated[float, Quantity("", high=1e9)]
"""What something costs, in any currency, 0 to 1e9."""
Ratio = Annotated[float, Quantity("", high=1.0)]
"""Share, 0 to 1."""
PositiveRatio = Annotated[float, Quantity("", high=1.0, above_low=True)]
"""Share, above 0 and up to 1."""
RatioBelowOne = Annotated[float, Quantity("", high=1.0, below_high=True)]
"""Share that leaves something, 0 and below 1."""
OpenRatio = Annotated[float, Quantity("", high=1.0, above_low=True, below_high=True)]
"""Share that is something and leaves something, above 0 and below 1."""
Multiple = Annotated[float, Quantity("", low=0.01, high=100.0)]
"""How many times as much, 0.01 to 100."""
Weight = Annotated[float, Quantity("", high=1e6)]
"""Weight of one goal among several, 0 to 1e6."""
NonNegative = Annotated[float, Quantity("", high=1e9)]
"""Weight relative to others, 0 to 1e9."""
Variation = Annotated[float, Quantity("", high=2.0)]
"""Standard deviation over mean, 0 to 2."""
Pairs = Annotated[float, Quantity("", high=1e9)]
"""How many query-key pairs, 0 to 1e9; on average, so not whole."""
OptionalRate = Annotated[float, Quantity("B/s", high=1e18)]
"""Bandwidth of what may be absent: 0 to 1 EB/s."""
Growth = Annotated[float, Quantity("", high=3.0)]
"""Exponent of a growth law, 0 (none) to 3."""
Exponent = Annotated[float, Quantity("", low=1.0, high=20.0)]
"""Exponent of a smooth maximum, 1 (a sum) to 20 (nearly a maximum)."""
Count = Annotated[int, Quantity("", low=1, high=1e9, whole=True)]
"""How many, 1 to 1e9."""
Pieces = Annotated[int, Quantity("", low=1, high=1e5, whole=True)]
"""How many of a thing that is simulated one by one, 1 to 100,000."""
NonNegativeCount = Annotated[int, Quantity("", high=1e9, whole=True)]
"""How many, 0 to 1e9."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """Marker in ``Annotated[A | B, Tagged("trace")]``: the literal field `key` tells the members apart."""

    key: str
    """Field that every member has, a `Literal` of one text each."""
    shorthand: bool = False
    """A bare text stands for a mapping with that text under `key` and nothing else."""
