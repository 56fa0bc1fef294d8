"""What a run costs: energy per user, prices of devices by the hour, carbon of the electricity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from devices.catalogue import load_profile
from devices.phones import PhoneProfile
from simulator.scenario.spec import Scenario

if TYPE_CHECKING:
    from simulator.totals import DeviceTotals

HOUR_S = 3600.0
GRAMS_PER_KILOGRAM = 1e3


def summarize_accounting(
    scenario: Scenario, devices: Mapping[str, DeviceTotals], simulated_s: float
) -> dict[str, Any]:
    """Return the blocks ``users`` and ``accounting`` of the summary; nothing where the scenario does not ask for them.

    Returns
    -------
    dict
        ``users``, where it is known how many there are: ``count``, and ``energy_per_user_j`` with ``own`` (the users'
        phones), ``infrastructure`` (all other devices) and ``total``. ``accounting``: ``cost`` of the run and
        ``cost_per_hour`` where there are prices, ``carbon_g`` where there is an intensity; each with its ``total`` and
        by ``devices``.
    """
    books = scenario.accounting
    if books is None:
        return {}
    figures: dict[str, Any] = {}
    own = {name for name in devices if _is_phone(scenario, name)}
    count = books.users or sum(scenario.devices[name].count or 1 for name in own)
    if count:
        own_j = sum(it.energy_j for name, it in devices.items() if name in own)
        others_j = sum(it.energy_j for name, it in devices.items() if name not in own)
        per_user = {"total": own_j + others_j, "own": own_j, "infrastructure": others_j}
        figures["users"] = {
            "count": count,
            "energy_per_user_j": {name: energy_j / count for name, energy_j in per_user.items()},
        }
    accounts: dict[str, Any] = {}
    if books.prices:
        priced = {name: it for name, it in devices.items() if name in books.prices}
        accounts["cost_per_hour"] = _booked(
            priced, lambda name, it: books.prices[name] * it.on_s / simulated_s if simulated_s else 0.0
        )
        accounts["cost"] = _booked(priced, lambda name, it: books.prices[name] * it.on_s / HOUR_S)
    intensity = books.carbon_intensity
    if intensity is not None:
        accounts["carbon_g"] = _booked(devices, lambda _, it: it.energy_j * intensity * GRAMS_PER_KILOGRAM)
    return figures | ({"accounting": accounts} if accounts else {})


def accounting_notes(scenario: Scenario) -> Iterator[str]:
    """Yield what the figures alone would hide."""
    books = scenario.accounting
    if (
        books is not None
        and books.prices
        and (free := [it for it in scenario.devices if it not in books.prices])
    ):
        yield f"accounting: no price is given for {', '.join(free)}: not part of the cost"


def _booked(
    devices: Mapping[str, DeviceTotals], share: Callable[[str, DeviceTotals], float]
) -> dict[str, Any]:
    by_device = {name: share(name, it) for name, it in devices.items()}
    return {"total": sum(by_device.values()), "devices": by_device}


def _is_phone(scenario: Scenario, device: str) -> bool:
    return isinstance(load_profile(scenario.devices[device].profile), PhoneProfile)
