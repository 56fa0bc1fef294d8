"""What the kernel fits take from published tables: which files, which rows, as columns.

The folder is the one that holds ``aiconfigurator``, ``vidur``, ``frontier`` and ``llmservingsim``; nothing of it is
part of this project.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

from calibration.fits.regression import Array, Regression
from calibration.readers import read_table
from calibration.table import Measurement
from devices.catalogue import load_profile
from devices.errors import Fault, InputError
from devices.profiles import GpuProfile

FORMATS = {"fp16": "bf16"}
"""Number format of the catalogue by precision of a table, where they differ: fp16 costs what bf16 does."""


def read(folder: Path, kind: str, *patterns: str) -> list[Measurement]:
    """Return the trusted rows of the tables of one kind (`calibration.readers.READERS`) that match `patterns`.

    Rows that are marked as impossible, or belong to a series that is (see `calibration.readers.suspects`), are left
    out, and rows of no tokens.

    Raises
    ------
    InputError
        Where a pattern matches no file.
    """
    rows: list[Measurement] = []
    for pattern in patterns:
        paths = sorted((folder / kind).glob(pattern))
        if not paths:
            raise InputError(Fault(f"no table {pattern}", file=str(folder / kind)))
        rows += [row for path in paths for row in read_table(kind, path) if not is_suspect(row)]
    return rows


def is_suspect(row: Measurement) -> bool:
    """Whether a reader has marked the row or its series."""
    return bool(row.parameters.get("suspect") or row.parameters.get("suspect_series"))


def number_format(row: Measurement) -> str:
    """Number format of a row as the catalogue names it."""
    precision = str(row.parameters.get("precision"))
    return FORMATS.get(precision, precision)


def columns(rows: Sequence[Measurement], *names: str) -> dict[str, Array]:
    """Return numeric parameters as arrays of shape ``(rows,)``."""
    return {name: np.array([row.number(name) for row in rows]) for name in names}


def values(rows: Sequence[Measurement]) -> Array:
    """Return what was measured, shape ``(rows,)``."""
    return np.array([row.value for row in rows])


def stratified(
    rows: Sequence[Measurement], count: int, stratum: Callable[[Measurement], Hashable], seed: int = 0
) -> list[Measurement]:
    """Return at most about `count` rows, as many of each stratum where it has so many; always the same ones."""
    strata: dict[Hashable, list[Measurement]] = {}
    for row in rows:
        strata.setdefault(stratum(row), []).append(row)
    rng = np.random.default_rng(seed)
    sizes = np.array([len(members) for members in strata.values()])
    share = int(sizes.max())  # of each stratum
    while share > 1 and np.minimum(sizes, share).sum() > count:
        share = min(share - 1, int(share * 0.95))
    return [
        members[index]
        for members in strata.values()
        for index in sorted(rng.permutation(len(members))[:share].tolist())
    ]


def gpu_profile(name: str) -> GpuProfile:
    """Return a GPU of the catalogue."""
    profile = load_profile(name)
    if not isinstance(profile, GpuProfile):
        raise InputError(Fault(f"{name} is no GPU"))
    return profile


def median_error(errors: Array | Iterable[float]) -> float:
    """Median relative error of ln(ours / measured)."""
    return float(np.median(np.abs(np.expm1(np.asarray(errors, dtype=np.float64)))))


def describe(title: str, fit: Regression) -> str:
    """Return the lines that print a fit: errors, then constants with their intervals."""
    relative = np.abs(np.expm1(fit.errors))
    lines = [
        f"{title}: {len(fit.errors)} points, median error {100 * fit.median_error:.1f} %, "
        f"held out {100 * fit.cross_validated_error:.1f} %, nine of ten below {100 * np.quantile(relative, 0.9):.0f} %"
    ]
    lines += [
        f"  {name:42s} {value:10.4g}  ({fit.low[name]:.4g} to {fit.high[name]:.4g})"
        for name, value in fit.constants.items()
    ]
    return "\n".join(lines)
