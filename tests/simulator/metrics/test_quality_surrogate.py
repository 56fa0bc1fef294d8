"""The quality surrogate: its anchors, its order, its range."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.metrics.decoding import visible_share
from simulator.metrics.quality_surrogate import Anchors, net_win_rate_over_ar, surrogate

ALL, NONE = np.array([1.0]), np.array([0.0])
PLANNED, UNPLANNED = np.array([True]), np.array([False])


def test_both_anchors_are_met():
    plato = net_win_rate_over_ar(ALL, PLANNED)[0]
    assert plato == pytest.approx(0.40)
    sot = net_win_rate_over_ar(NONE, PLANNED)[0]
    # Plato over SoT is the difference of their strengths
    between = np.tanh(np.arctanh(plato) - np.arctanh(sot))
    assert between == pytest.approx(0.90)


def test_autoregressive_decoding_is_the_origin():
    assert net_win_rate_over_ar(ALL, UNPLANNED)[0] == 0.0
    assert net_win_rate_over_ar(NONE, UNPLANNED)[0] == pytest.approx(-0.90)


def test_it_rises_with_what_is_seen_and_stays_within_bounds():
    visible = np.linspace(0.0, 1.0, 50)
    for planned in (True, False):
        rate = net_win_rate_over_ar(visible, np.full(50, planned), Anchors(0.3, 0.95))
        assert (np.diff(rate) > 0.0).all()
        assert (np.abs(rate) < 1.0).all()


def test_its_range_is_that_of_moved_anchors_and_it_says_what_it_is():
    data = surrogate(np.array([1.0, 0.0]), np.array([True, True]))
    assert data["low"] < data["net_win_rate_over_ar"] < data["high"]
    corner = [
        np.mean(net_win_rate_over_ar(np.array([1.0, 0.0]), np.array([True, True]), Anchors(a, b)))
        for a in (0.35, 0.45)
        for b in (0.85, 0.95)
    ]
    assert (data["low"], data["high"]) == pytest.approx((min(corner), max(corner)))
    assert "surrogate" in data["what"]
    assert "not a measurement" in data["what"]
    assert surrogate(np.array([]), np.array([], bool))["net_win_rate_over_ar"] is None


def test_an_answer_without_dependencies_has_seen_all_of_them():
    assert visible_share(np.array([0, 4]), np.array([0, 1])).tolist() == [1.0, 0.25]
