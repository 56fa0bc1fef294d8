"""Regression in logarithms: known constants come back, outliers do not move them, groups are held out whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from calibration.fits.regression import regress

TRUTH = {"base_s": 3e-6, "per_byte_s": 1e-9}


def line(constants, table):
    return constants["base_s"] + constants["per_byte_s"] * table["size"]


@dataclass
class Points:
    size: np.ndarray
    measured: np.ndarray
    groups: list[int]

    def fit(self, **options):
        start = {"base_s": 1e-5, "per_byte_s": 1e-8}
        options = {"groups": self.groups, "bootstraps": 0} | options
        return regress(line, {"size": self.size}, self.measured, start, **options)


def points(noise=0.05, group_noise=0.0, seed=0, count=600, groups=40):
    rng = np.random.default_rng(seed)
    size = 10.0 ** rng.uniform(1, 6, count)
    group = rng.integers(groups, size=count)
    shift = rng.normal(0, group_noise, groups)[group]
    measured = line(TRUTH, {"size": size}) * np.exp(rng.normal(0, noise, count) + shift)
    return Points(size, measured, group.tolist())


def test_known_constants_come_back():
    fit = points(noise=0.0).fit()
    assert fit.constants == pytest.approx(TRUTH, rel=1e-6)
    assert fit.median_error < 1e-6 > fit.cross_validated_error
    assert fit.worst_error < 1e-6


def test_outliers_do_not_move_them():
    table = points()
    table.measured[::10] *= 8.0
    assert table.fit().constants == pytest.approx(TRUTH, rel=0.03)


def test_intervals_cover_the_truth_as_often_as_they_say():
    covered = total = 0
    for seed in range(25):
        fit = points(group_noise=0.1, seed=seed, count=200, groups=20).fit(bootstraps=60, folds=2)
        for name, value in TRUTH.items():
            assert fit.low[name] <= fit.constants[name] <= fit.high[name]
            covered += fit.low[name] <= value <= fit.high[name]
            total += 1
    assert 0.72 <= covered / total <= 1.0  # 90 % but for few groups and few trials


def test_groups_are_held_out_whole():
    """One group that a constant fits on its own looks well predicted only if the fit has seen it."""
    size = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 2.0])
    measured = np.array([1.0, 1.0, 1.0, 1.0, 5.0, 5.0])

    def form(constants, table):
        return np.where(table["size"] > 1.5, constants["large"], constants["small"])

    start = {"small": 2.0, "large": 2.0}
    fit = regress(form, {"size": size}, measured, start, groups=["a", "a", "b", "b", "c", "c"], bootstraps=0)
    assert np.allclose(fit.errors, 0, atol=1e-6)
    # Without group c nothing pulls `large` from where the fit to all has left it; with a prior it goes there.
    fit = regress(
        form,
        {"size": size},
        measured,
        start,
        groups=["a", "a", "b", "b", "c", "c"],
        bootstraps=0,
        priors={"large": (2.0, 0.01)},
    )
    assert fit.errors[-1] == pytest.approx(0, abs=1e-3)
    assert fit.held_out[-1] == pytest.approx(np.log(2 / 5), abs=1e-3)
    assert np.allclose(fit.held_out[:4], 0, atol=1e-3)


def test_a_weight_counts_like_repeats():
    table = points(count=60, groups=8)
    counts = np.where(np.arange(60) < 20, 3.0, 1.0)
    repeated = np.repeat(np.arange(60), counts.astype(int))
    weighted = table.fit(weights=counts)
    again = Points(table.size[repeated], table.measured[repeated], [table.groups[i] for i in repeated]).fit()
    assert weighted.constants == pytest.approx(again.constants, rel=1e-4)


def test_bounds_and_priors_hold():
    bounded = points().fit(bounds={"base_s": (4e-6, 1e-4)})
    assert bounded.constants["base_s"] == pytest.approx(4e-6, rel=1e-6)
    pulled = points().fit(priors={"base_s": (6e-6, 1e4)})
    assert pulled.constants["base_s"] == pytest.approx(6e-6, rel=1e-3)


def test_the_same_points_give_the_same_numbers():
    first, second = (points(group_noise=0.1).fit(bootstraps=5) for _ in range(2))
    assert first.constants == second.constants
    assert (first.low, first.high) == (second.low, second.high)
    assert (first.held_out == second.held_out).all()


@pytest.mark.parametrize(
    ("measured", "groups"),
    [([], []), ([1.0, -1.0], [0, 1]), ([1.0, np.nan], [0, 1]), ([1.0, 2.0], [0, 0])],
    ids=["no points", "not positive", "not a number", "one group"],
)
def test_what_cannot_be_fitted_is_refused(measured, groups):
    with pytest.raises(ValueError, match="a regression needs"):
        Points(np.ones(len(measured)), np.array(measured), groups).fit()
