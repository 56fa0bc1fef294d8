"""Effects of factors in a factorial design: known ones are found, and they add up."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simulator.experiments.factorial import design_values, factorial_effects, together


def design(replications: int, *effects: tuple[tuple[int, ...], float], factors: int = 3) -> np.ndarray:
    """Return values to which each set of factors adds its effect where all of them are on; 10 where none is."""
    values = np.full((replications, *(2,) * factors), 10.0)
    for point in product((0, 1), repeat=factors):
        values[:, *point] += sum(effect for chosen, effect in effects if all(point[it] for it in chosen))
    return values


def test_known_effects_are_found() -> None:
    values = design(4, ((0,), -3.0), ((1,), 2.0), ((0, 2), 1.0), ((0, 1, 2), -8.0))
    found = {it.factors: (it.alone.mean, it.average.mean) for it in factorial_effects(values)}
    assert [*found] == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    assert found == {
        (0,): (-3.0, -3.0 + 1.0 / 2.0 - 8.0 / 4.0),
        (1,): (2.0, 2.0 - 8.0 / 4.0),
        (2,): (0.0, 1.0 / 2.0 - 8.0 / 4.0),
        (0, 1): (0.0, -8.0 / 2.0),
        (0, 2): (1.0, 1.0 - 8.0 / 2.0),
        (1, 2): (0.0, -8.0 / 2.0),
        (0, 1, 2): (-8.0, -8.0),
    }
    assert together(values).mean == -8.0
    assert together(values).half_width == 0.0


@pytest.mark.parametrize("factors", [1, 2, 3, 4])
def test_intervals_are_those_of_paired_t_tests(factors: int) -> None:
    values = np.random.default_rng(factors).normal(size=(9, *(2,) * factors))
    effects = factorial_effects(values)
    assert len(effects) == 2**factors - 1
    pairs = [(effects[0].alone, values[:, 1, *(0,) * (factors - 1)] - values[:, 0, *(0,) * (factors - 1)])]
    rest = tuple(range(1, factors))
    pairs.append((effects[0].average, values[:, 1].mean(axis=rest) - values[:, 0].mean(axis=rest)))
    for estimate, differences in pairs:
        interval = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
        data = estimate.as_data()
        assert (data["low"], data["high"]) == pytest.approx((interval.low, interval.high))


def test_averages_are_the_coefficients_of_a_regression() -> None:
    """Of -1/2 and 1/2 for off and on, whose products are orthogonal."""
    values = np.random.default_rng(3).normal(size=(5, 2, 2, 2))
    points = np.array([*product((-0.5, 0.5), repeat=3)])
    effects = factorial_effects(values)
    columns = [points[:, list(it.factors)].prod(axis=1) for it in effects]
    fitted, *_ = np.linalg.lstsq(
        np.column_stack([np.ones(8), *columns]), values.mean(axis=0).ravel(), rcond=None
    )
    assert [it.average.mean for it in effects] == pytest.approx(fitted[1:].tolist())


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_effects_add_up_to_what_all_do_together(factors: int, replications: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(replications, *(2,) * factors))
    total = sum(it.alone.mean or 0.0 for it in factorial_effects(values))
    assert total == pytest.approx(together(values).mean, abs=1e-9)


@given(st.floats(0.1, 1e6), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_factors_that_do_nothing_to_one_another_have_no_interaction(
    start: float, first: float, second: float
) -> None:
    values = design(3, ((0,), first), ((1,), second), factors=2) + start
    interaction = factorial_effects(values)[2].alone
    assert (interaction.mean, interaction.half_width) == (0.0, 0.0), "not even by rounding"


def test_replications_without_all_points_are_left_out() -> None:
    rows = [
        {"a": a, "b": b, "replication": replication, "y": 10.0 * replication + (a == "on") + 2.0 * b}
        for replication in (0, 1, 2)
        for b in (0, 1)
        for a in ("off", "on")
        if (replication, a, b) != (1, "on", 1)
    ]
    frame = pd.DataFrame(rows).sample(frac=1.0, random_state=1)
    values = design_values(frame, [("a", ["off", "on"]), ("b", [0, 1])], "y")
    assert values.tolist() == [[[0.0, 2.0], [1.0, 3.0]], [[20.0, 22.0], [21.0, 23.0]]]
    frame.loc[frame.index[-1], "y"] = None
    broken = design_values(frame, [("a", ["off", "on"]), ("b", [0, 1])], "y")
    assert len(broken) == len(values) - (frame["replication"].iloc[-1] != 1)
