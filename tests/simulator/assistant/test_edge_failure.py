"""The shipped scenario whose edge fails: where questions go meanwhile, and that the books close."""

from __future__ import annotations

from math import fsum
from typing import Any

import pytest

NAME = "cluster/edge_failure.yaml"


@pytest.mark.parametrize("placement", ["energy_aware", "latency_threshold", "qoe_aware"])
def test_nothing_is_placed_at_an_edge_that_is_down(shipped: Any, placement: str) -> None:
    scenario = shipped.load(NAME, [f"services.ask.policies.placement={placement}"])
    result = shipped.run(NAME, scenario)
    fault, asks = scenario.faults["noon"], result.asks["ask"]
    arrival_s = asks.column("arrival_s")
    meanwhile = (arrival_s >= fault.at) & (arrival_s < fault.at + fault.duration)
    places = asks.column("place")
    assert meanwhile.sum() > 10
    assert "edge" not in set(places[meanwhile])
    assert result.summary()["services"]["ask"]["requests"]["failed"] == 0


def test_energy_and_cost_are_the_sums_of_their_parts_with_a_failed_edge_paid_for(shipped: Any) -> None:
    summary = shipped.run(NAME, shipped.load(NAME)).summary()
    parts = summary["energy_j"]["devices"]
    assert summary["energy_j"]["total"] == pytest.approx(fsum(parts.values()))
    users = summary["users"]
    assert users["energy_per_user_j"]["own"] * users["count"] == pytest.approx(parts["phones"])
    assert users["energy_per_user_j"]["total"] * users["count"] == pytest.approx(summary["energy_j"]["total"])
    hours = summary["simulated_s"] / 3600.0
    cost = summary["accounting"]["cost"]
    assert cost["devices"]["edge_gpu"] == pytest.approx(2 * 1.0 * hours)
    assert cost["devices"]["cloud_gpu"] == pytest.approx(4 * 2.5 * hours)
    assert cost["total"] == pytest.approx(fsum(it for it in cost["devices"].values() if it is not None))
    carbon = summary["accounting"]["carbon_g"]["total"]
    assert carbon == pytest.approx(summary["energy_j"]["total"] / 3.6e6 * 400.0)
