"""Linear programmes: known optima, and both solvers against each other and against enumeration."""

from __future__ import annotations

import random
from itertools import product
from math import inf

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from simulator.streaming.linear_programme import LinearProgramme

Row = tuple[list[tuple[int, float]], float, float]


def a_programme(
    gains: list[float], uppers: list[float], rows: list[Row], integral: bool = False
) -> LinearProgramme:
    programme = LinearProgramme()
    for gain, upper in zip(gains, uppers, strict=True):
        programme.column(gain=gain, upper=upper, integral=integral)
    for terms, limit, least in rows:
        programme.at_most(terms, limit, least=least)
    return programme


def drawn(draw: random.Random, columns: int) -> tuple[list[float], list[float], list[Row]]:
    """A programme of which 0 is feasible, with limits of both kinds and equalities."""
    gains = [draw.uniform(-1.0, 3.0) for _ in range(columns)]
    uppers = [float(draw.randint(1, 4)) for _ in range(columns)]
    rows: list[Row] = []
    for _ in range(draw.randint(1, 5)):
        chosen = draw.sample(range(columns), draw.randint(1, columns))
        terms = [(column, draw.uniform(-1.0, 3.0)) for column in chosen]
        rows.append((terms, draw.uniform(0.5, 6.0), draw.choice([-inf, -draw.uniform(0.0, 2.0)])))
    pair = draw.sample(range(columns), 2)
    rows.append(([(pair[0], 1.0), (pair[1], -1.0)], 0.0, 0.0))
    return gains, uppers, rows


def test_by_hand() -> None:
    # max 3x + 2y, x + y <= 4, x + 3y <= 6, x <= 3: the corner (3, 1)
    programme = a_programme(
        [3.0, 2.0], [3.0, inf], [([(0, 1.0), (1, 1.0)], 4.0, -inf), ([(0, 1.0), (1, 3.0)], 6.0, -inf)]
    )
    solution = programme.maximise(False, 1.0)
    assert solution.bound == pytest.approx(11.0)
    assert solution.closed
    assert solution.values == pytest.approx([3.0, 1.0])


def test_whole_numbers_by_hand() -> None:
    # a knapsack of 10: 6 + 3 (15 + 8), not the richest per weight (5: 13) with 3; shares would bring 13 + 5/6 * 15
    weights, gains = [6.0, 5.0, 3.0], [15.0, 13.0, 8.0]
    programme = a_programme(gains, [1.0] * 3, [(list(enumerate(weights)), 10.0, -inf)], integral=True)
    assert programme.integers == 3
    whole, shares = programme.maximise(True, 10.0), programme.maximise(False, 10.0)
    assert whole.bound == pytest.approx(23.0)
    assert whole.values == pytest.approx([1.0, 0.0, 1.0])
    assert shares.bound == pytest.approx(13.0 + 8.0 + 15.0 * 2.0 / 6.0)


@pytest.mark.parametrize("seed", range(25))
def test_interior_points_and_simplex_agree(seed: int) -> None:
    gains, uppers, rows = drawn(random.Random(seed), 12)
    programme = a_programme(gains, uppers, rows)
    found = programme.maximise(False, 1.0)
    matrix = np.zeros((len(rows), 12))
    for row, (terms, _, _) in enumerate(rows):
        for column, factor in terms:
            matrix[row, column] = factor
    least, most = [row[2] for row in rows], [row[1] for row in rows]
    simplex = milp(
        -np.array(gains),
        integrality=np.zeros(12),
        bounds=Bounds(0.0, uppers),
        constraints=LinearConstraint(matrix, least, most),
    )
    assert found.bound == pytest.approx(-simplex.fun, abs=1e-8)
    assert found.values is not None
    values = np.array(found.values)
    assert found.bound == pytest.approx(values @ gains)
    assert (values >= -1e-9).all() and (values <= np.array(uppers) + 1e-9).all()
    assert (matrix @ values <= np.array(most) + 1e-7).all()
    assert programme.maximise(False, 1.0) == found


def test_lower_limits_of_rows_hold() -> None:
    # max -x, 1 <= x + y <= 3, y <= 0.25
    programme = a_programme([-1.0, 0.0], [inf, 0.25], [([(0, 1.0), (1, 1.0)], 3.0, 1.0)])
    assert programme.maximise(False, 1.0).bound == pytest.approx(-0.75)
    assert programme.maximise(True, 1.0).bound == pytest.approx(-0.75)
    open_above = a_programme([-1.0], [inf], [([(0, 2.0)], inf, 1.0)])
    assert open_above.maximise(False, 1.0).bound == pytest.approx(-0.5)


@pytest.mark.parametrize("seed", range(15))
def test_whole_numbers_are_the_best_of_all(seed: int) -> None:
    gains, uppers, rows = drawn(random.Random(seed), 5)
    programme = a_programme(gains, uppers, rows, integral=True)
    best = max(
        sum(gain * value for gain, value in zip(gains, values, strict=True))
        for values in product(*[range(int(upper) + 1) for upper in uppers])
        if all(
            least - 1e-9 <= sum(factor * values[column] for column, factor in terms) <= limit + 1e-9
            for terms, limit, least in rows
        )
    )
    whole, shares = programme.maximise(True, 10.0), programme.maximise(False, 10.0)
    assert whole.closed
    assert whole.bound == pytest.approx(best, rel=1e-4, abs=1e-6)
    assert whole.bound <= shares.bound + 1e-6


def test_what_has_no_optimum_is_an_error() -> None:
    with pytest.raises(ArithmeticError, match="no optimum"):
        a_programme([1.0], [inf], [([(0, -1.0)], 1.0, -inf)]).maximise(False, 1.0)
    with pytest.raises(ArithmeticError, match="no optimum"):
        a_programme([1.0], [1.0], [([(0, 1.0)], 3.0, 3.0)]).maximise(False, 1.0)
