"""Times that are those of the scheduler: kernels that take equally long, several milliseconds, whatever they compute.

On a busy machine, threads of one kernel that wait for each other may sleep until the operating system's next turn: a
kernel of microseconds then takes 4, 8 or 16 ms. Such a point says nothing about the processor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from calibration.table import Measurement

LEAST_S = 4e-3
"""A turn of the scheduler takes about as long; shorter times are not suspected."""

ALIKE = 0.1
"""Relative difference up to which two times count as equal."""

WORK_RATIO = 4.0
"""Times that are equal are suspect where their work differs this much."""


def work(row: Mapping[str, float | str], bench: str) -> tuple[tuple[object, ...], float] | None:
    """Return what points must share to be compared, and the work of a point; None: not a kernel whose work is known.

    Products are compared at equal rows: with few rows they take as long as reading the weights.
    """

    def number(name: str) -> float:
        return float(row[name])

    kept = (row.get("precision"), row.get("launch"), row.get("head_dim"))
    if bench == "gemm":
        return (bench, *kept, number("m")), number("n") * number("k")
    if bench == "attention_prefill":
        new = number("new_tokens")
        return (bench, *kept), number("batch") * number("heads") * new * (number("prefix_tokens") + 0.5 * new)
    if bench == "attention_decode":
        return (bench, *kept), number("batch") * number("kv_heads") * number("context_tokens")
    return None


def suspects(rows: Iterable[Measurement]) -> list[str]:
    """Return a warning for each kind of kernel whose fastest points take equally long although their work differs."""
    groups: dict[tuple[object, ...], list[tuple[float, float]]] = {}
    for row in rows:
        if row.unit == "s" and (found := work(row.parameters, row.bench)):
            groups.setdefault(found[0], []).append((row.value, found[1]))
    warnings = []
    for key, points in groups.items():
        least = min(time_s for time_s, _ in points)
        alike = [(time_s, size) for time_s, size in points if time_s <= (1 + ALIKE) * least]
        sizes = [size for _, size in alike]
        if least >= LEAST_S and max(sizes) >= WORK_RATIO * min(sizes):
            warnings.append(
                f"{key[0]}: {len(alike)} points take {1e3 * least:.1f} ms alike although their work differs "
                f"{max(sizes) / min(sizes):.0f}-fold: rather a turn of the scheduler than the kernel; measure on a "
                "quiet machine, or with --threads 1"
            )
    return warnings
