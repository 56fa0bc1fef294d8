"""What placement policies decide on given predictions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.policies.placement import Ask, PlaceView
from simulator.policies.placement.energy_aware import EnergyAware
from simulator.policies.placement.latency_threshold import LatencyThreshold
from simulator.policies.placement.one_place import CloudOnly, DeviceOnly, EdgeOnly
from simulator.policies.placement.qoe_aware import QoeAware

ASK = Ask(100, 101, ())


def place(name: str, ttft_s: float, tpot_s: float, energy_j: float, quality: float = 0.5) -> PlaceView:
    return PlaceView(
        name, ttft_s, tpot_s, energy_j, quality, 101, lambda ttft, tpot, tokens: 1.0 / (1.0 + ttft)
    )


DEVICE = place("device", 0.5, 0.05, 20.0)
EDGE = place("edge", 0.1, 0.02, 1.0, 0.7)
CLOUD = place("cloud", 0.2, 0.01, 2.0, 0.9)
PLACES = (DEVICE, EDGE, CLOUD)


@pytest.mark.parametrize(
    ("policy", "name"), [(DeviceOnly(), "device"), (EdgeOnly(), "edge"), (CloudOnly(), "cloud")]
)
def test_one_place_or_none(policy: DeviceOnly | EdgeOnly | CloudOnly, name: str) -> None:
    assert policy.place(ASK, PLACES) == name
    assert policy.place(ASK, [it for it in PLACES if it.name != name]) is None
    assert policy.needs == (name,)


def test_latency_threshold_takes_the_nearest_place_that_is_quick_enough() -> None:
    assert LatencyThreshold(ttft=1.0, tpot=0.1).place(ASK, PLACES) == "device"
    assert LatencyThreshold(ttft=0.3, tpot=0.1).place(ASK, PLACES) == "edge"
    assert LatencyThreshold(ttft=1.0, tpot=0.015).place(ASK, PLACES) == "cloud"
    assert LatencyThreshold(ttft=0.0, tpot=0.0).place(ASK, PLACES) == "cloud"  # 1.2 s in all, the edge 2.1 s


def test_energy_aware_spends_least_among_those_that_are_quick_enough() -> None:
    assert EnergyAware(patience=1.0).place(ASK, PLACES) == "cloud"
    assert EnergyAware(patience=2.0).place(ASK, PLACES) == "edge"
    cheap = replace(DEVICE, energy_j=0.1)
    assert EnergyAware(patience=2.0).place(ASK, (cheap, EDGE, CLOUD)) == "edge"
    assert EnergyAware(patience=10.0).place(ASK, (cheap, EDGE, CLOUD)) == "device"
    assert EnergyAware(patience=0.5).place(ASK, PLACES) == "cloud"


def test_qoe_aware_weighs_what_it_is_told_to() -> None:
    nothing = {"qoe": 0.0, "quality": 0.0, "per_joule": 0.0, "per_second": 0.0}

    def chosen(**weights: float) -> str | None:
        return QoeAware(**{**nothing, **weights}).place(ASK, PLACES)

    assert chosen(qoe=1.0) == "edge"
    assert chosen(quality=1.0) == "cloud"
    assert chosen(per_joule=1.0) == "edge"
    assert chosen(per_second=1.0) == "cloud"
    assert chosen() == "device"  # all are worth the same
    mixed = QoeAware(qoe=1.0, quality=2.0, per_joule=0.1, per_second=0.2)
    assert mixed.score(EDGE) == pytest.approx(1 / 1.1 + 2 * 0.7 - 0.1 - 0.2 * 2.1)
