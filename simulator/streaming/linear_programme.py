"""A linear programme, written row by row, solved by SciPy's HiGHS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import TypeAlias

Term: TypeAlias = tuple[int, float]
"""A column and its factor."""


@dataclass(frozen=True, slots=True)
class Solution:
    """What came of it."""

    bound: float
    """No feasible point has a larger objective, but for the solver's tolerances."""
    closed: bool
    """Whether it is the optimum (to 0.01 %)."""
    values: list[float] | None
    """The best feasible point found, by column; None where there is none."""


class LinearProgramme:
    """Columns with bounds, rows with limits, and a gain per column that is to be maximised."""

    def __init__(self) -> None:
        self.gain: list[float] = []
        """What a unit of each column adds to the objective."""
        self._lower: list[float] = []
        self._upper: list[float] = []
        self._integral: list[int] = []
        self._columns: list[int] = []
        self._factors: list[float] = []
        self._ends: list[int] = [0]
        self._row_lower: list[float] = []
        self._row_upper: list[float] = []

    @property
    def integers(self) -> int:
        """Number of columns that are to be whole."""
        return sum(self._integral)

    def column(self, *, gain: float = 0.0, upper: float = inf, integral: bool = False) -> int:
        """Add an unknown between 0 and `upper`; return its number."""
        self.gain.append(gain)
        self._lower.append(0.0)
        self._upper.append(upper)
        self._integral.append(int(integral))
        return len(self.gain) - 1

    def at_most(self, terms: Iterable[Term], limit: float, *, least: float = -inf) -> None:
        """Add a row: the sum of the terms is at most `limit` and at least `least`; no column appears twice."""
        for column, factor in terms:
            self._columns.append(column)
            self._factors.append(factor)
        self._ends.append(len(self._columns))
        self._row_lower.append(least)
        self._row_upper.append(limit)

    def equal(self, terms: Iterable[Term], value: float) -> None:
        """Add a row: the sum of the terms is `value`."""
        self.at_most(terms, value, least=value)

    def maximise(self, whole: bool, time_limit_s: float) -> Solution:
        """Solve.

        Parameters
        ----------
        whole
            Whether integral columns must be whole; else they may be anything between their bounds.
        time_limit_s
            When the search for whole numbers stops. Without them it takes as long as it takes.
        """
        import numpy as np  # noqa: PLC0415 (with SciPy)
        from scipy.optimize import Bounds, LinearConstraint, linprog, milp  # noqa: PLC0415 (slow import)
        from scipy.sparse import csr_array, vstack  # noqa: PLC0415 (likewise)

        shape = (len(self._row_upper), len(self.gain))
        rows = csr_array((self._factors, self._columns, self._ends), shape=shape)
        if not whole:
            # Interior points: on long sessions with many phones the simplex method takes a hundred times as long.
            least, most = np.array(self._row_lower), np.array(self._row_upper)
            fixed = least == most
            below, above = np.isfinite(most) & ~fixed, np.isfinite(least) & ~fixed
            result = linprog(  # type: ignore[call-overload]  # its stubs know no sparse rows
                -np.array(self.gain),
                A_ub=vstack((rows[below], -rows[above])),
                b_ub=np.concatenate((most[below], -least[above])),
                A_eq=rows[fixed],
                b_eq=most[fixed],
                bounds=np.column_stack((self._lower, self._upper)),
                method="highs-ipm",
            )
            if result.status:
                raise ArithmeticError(f"the linear programme has no optimum: {result.message}")
            return Solution(-float(result.fun), True, [float(value) for value in result.x])
        result = milp(
            -np.array(self.gain),
            integrality=np.array(self._integral),
            bounds=Bounds(self._lower, self._upper),
            constraints=LinearConstraint(rows, self._row_lower, self._row_upper),
            options={"mip_rel_gap": 1e-4, "time_limit": time_limit_s},
        )
        bound = result.mip_dual_bound
        if bound is None or not np.isfinite(bound):
            return replace(self.maximise(False, time_limit_s), closed=False, values=None)
        values = None if result.x is None else [float(value) for value in result.x]
        return Solution(-float(bound), result.status == 0, values)
