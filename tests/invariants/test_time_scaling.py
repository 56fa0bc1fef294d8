"""Time has no scale: all rates times k and all times divided by k give the same run, k times as fast.

Rates and times are told by the units of the fields: s, B/s, FLOP/s, 1/s and W (energies stay as they are). With k a
power of two nearly every float scales without rounding; what does not are the powers of the smooth maximum in a
product's time, and what times of equal value on paper then make of the last bit.

Groups of phones are left out: the WLAN's rates and latency, the seconds of the recorded intervals and of the radio
tails' bookkeeping, and frames per second are constants of the model, not of the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import devices.catalogue
import simulator.serving.engines
from simulator.scenario import shapes

POWER_OF_TIME = {"s": -1, "B/s": 1, "FLOP/s": 1, "1/s": 1, "W": 1}
"""Power of k by which values of a unit are multiplied."""

NAMES = [
    "bench/poisson.yaml",
    "cluster/experts.yaml",
    *(f"cake/{name}.yaml" for name in ("agents", "burst", "fluctuation", "mooncake", "single")),
    *(f"faults/{name}.yaml" for name in ("disk_failure", "gpu_failure", "link_outage", "straggler")),
    *(f"plato/{name}.yaml" for name in ("alone", "load", "memory", "mixed", "small_model", "stored_context")),
]


def scaled(instance: Any, k: float) -> Any:
    """Return a dataclass with every time, rate and power of it, at any depth, scaled."""
    hints = shapes.fields_of(type(instance))
    values = {
        field.name: _scaled(hints[field.name], getattr(instance, field.name), k)
        for field in fields(instance)
        if field.name != "evidence"
    }
    if "rate_scale" in values:  # of a trace, whose times are its own
        values["rate_scale"] *= k
    return replace(instance, **values)


def _scaled(annotation: Any, value: Any, k: float) -> Any:
    if is_dataclass(value):
        return scaled(value, k)
    if isinstance(value, Mapping):
        return {key: _scaled(_entry(annotation), it, k) for key, it in value.items()}
    if isinstance(value, tuple):
        return tuple(_scaled(_entry(annotation), it, k) for it in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    units = {quantity.unit for quantity in _quantities(annotation)}
    assert len(units) <= 1
    power = POWER_OF_TIME.get(next(iter(units), ""), 0)
    return value * k**power if power else value


def _entry(annotation: Any) -> Any:
    inner = annotation
    while shapes.choice_of(inner) is not None:
        inner = next(it for it in shapes.choice_of(inner).members.values() if it is not type(None))
    return getattr(inner, "__args__", (None,))[-1 if shapes.is_named(inner) else 0]


def _quantities(annotation: Any) -> list[Any]:
    """Return what an annotation, or the members of a choice, say on units."""
    if annotation is None:
        return []
    choice = shapes.choice_of(annotation)
    if choice is not None and not choice.key:
        return [it for member in choice.members.values() for it in _quantities(member)]
    quantity = shapes.quantity_of(annotation)
    return [] if quantity is None else [quantity]


def check(shipped: Any, name: str, overrides: list[str], k: float) -> None:
    scenario = shipped.load(name, overrides)
    plain = shipped.run(name, scenario)
    with pytest.MonkeyPatch.context() as patch:
        for module in (devices.catalogue, simulator.serving.engines):
            read = module._load
            patch.setattr(module, "_load", lambda *key, read=read: scaled(read(*key), k))
        fast = shipped.run(name, scaled(scenario, k))
    assert fast.simulated_s * k == pytest.approx(plain.simulated_s, rel=1e-9)
    for kind in ("requests", "intervals", "generations", "pointers"):
        for service, table in getattr(plain, kind).items():
            for column, type_ in table.schema.items():
                one, other = table.column(column), getattr(fast, kind)[service].column(column)
                if column.endswith("_s"):
                    other = np.where(other == -1.0, -1.0, other * k)  # -1: it did not happen
                if type_ == "d":
                    np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12, err_msg=f"{kind} {column}")
                else:
                    np.testing.assert_array_equal(other, one, err_msg=f"{kind} {column}")
    _check_faults(plain, fast, k)
    for device, totals in plain.devices.items():
        other = fast.devices[device]
        assert other.busy_s * k == pytest.approx(totals.busy_s, rel=1e-9)
        assert other.energy_j == pytest.approx(totals.energy_j, rel=1e-9)
        assert (other.read_bytes, other.written_bytes) == (totals.read_bytes, totals.written_bytes)


def _check_faults(plain: Any, fast: Any, k: float) -> None:
    if plain.faults is None:
        return
    for column in plain.faults.schema:
        one, other = plain.faults.column(column), fast.faults.column(column)
        if column.endswith("_s"):
            np.testing.assert_allclose(other * k, one, rtol=1e-9, err_msg=column)
        else:
            np.testing.assert_array_equal(other, one, err_msg=column)


@pytest.mark.parametrize("name", NAMES)
def test_time_has_no_scale(shipped: Any, name: str) -> None:
    check(shipped, name, [], 2.0)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 1000),
    k=st.sampled_from([2.0**-20, 0.25, 0.5, 4.0, 1024.0]),
    horizon=st.sampled_from(["null", "3 s", "11 s"]),
    engine=st.sampled_from(["vllm-0.6", "vllm-0.12"]),
)
def test_time_has_no_scale_in_random_settings(
    shipped: Any, name: str, seed: int, k: float, horizon: str, engine: str
) -> None:
    check(shipped, name, [f"seed={seed}", f"horizon={horizon}", f"services.chat.engine={engine}"], k)
