"""Energy by component is the integral of power, and nothing is counted twice."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from devices.catalogue import load_profile, profile_names
from devices.errors import InputError
from devices.phones import PhoneProfile
from simulator.policies.collaboration.abr_halves import FixedCombination
from simulator.policies.collaboration.idle_takes_next import IdleTakesNext
from simulator.policies.collaboration.no_collaboration import NoCollaboration
from simulator.streaming.group import (
    GroupPhone,
    Thermal,
    jain,
    phone,
    phone_power,
    phone_thermal,
    simulate_group,
)
from simulator.streaming.group.energy import Component, Meter
from simulator.streaming.group.thermal import Heat


def handset(name: str) -> PhoneProfile:
    profile = load_profile(name)
    assert isinstance(profile, PhoneProfile)
    return profile


def test_energy_of_one_phone_by_hand(lab: SimpleNamespace) -> None:
    group = lab.group([lab.phone("a", mbps=2.0)], 1)  # half a second of download, a second of SR
    result = simulate_group(group, NoCollaboration())
    figures, power = result.phones["a"], lab.POWER
    end_s = 0.5 + 0.02 + 1.0 + 0.04 + 1.0
    assert result.end_s == pytest.approx(end_s)
    tail_s = end_s - 0.5
    assert figures.energy_j == pytest.approx(
        {
            "cellular": 0.5 * power.cellular_w
            + 1e6 / 8 * power.cellular_j_per_byte
            + tail_s * power.cellular_tail_w,
            "wlan": 0.0,
            "decode": 2 * power.decode_w,  # once for SR, once to be seen
            "sr": power.sr_w * 1.0 - power.decode_w - power.encode_w,
            "encode": power.encode_w,
            "display": end_s * power.display_w,
            "rest": end_s * power.rest_w,
        }
    )


@pytest.mark.parametrize("tick_s", [0.3, 1.0, 7.0])
def test_energy_is_the_integral_of_power_whatever_the_interval(lab: SimpleNamespace, tick_s: float) -> None:
    phones = [lab.phone("a", mbps=4.0), lab.phone("b", mbps=1.0, fps=6.0), lab.phone("c", mbps=None)]
    group = lab.group(phones, 40, tick_s=tick_s)
    result = simulate_group(group, lab.Policy(IdleTakesNext))
    fine = simulate_group(replace(group, tick_s=0.05), lab.Policy(IdleTakesNext))
    table = result.intervals
    for name, figures in result.phones.items():
        mine = table.column("phone") == name
        integral_j = float(np.sum(table.column("power_w")[mine] * table.column("interval_s")[mine]))
        assert figures.total_j == pytest.approx(integral_j)
        assert figures.total_j == pytest.approx(fine.phones[name].total_j)
        assert figures.battery_j == pytest.approx(5e4 - integral_j)
        for component in Component:
            assert figures.energy_j[component.name.lower()] == pytest.approx(
                table.column(f"{component.name.lower()}_j")[mine][-1]
            )
        assert figures.energy_j["display"] == pytest.approx(lab.POWER.display_w * result.end_s)


def test_work_costs_the_same_wherever_it_is_done(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a", mbps=4.0), lab.phone("b", mbps=1.0, fps=6.0)]
    result = simulate_group(lab.group(phones, 40), lab.Policy(IdleTakesNext))
    power = lab.POWER
    processors = list(result.chunks.column("processor"))
    for name, fps in (("a", 10.0), ("b", 6.0)):
        figures, chunks = result.phones[name], processors.count(name)
        assert figures.energy_j["encode"] == pytest.approx(chunks * power.encode_w)
        assert figures.energy_j["decode"] == pytest.approx((chunks + 40) * power.decode_w)
        assert figures.energy_j["sr"] == pytest.approx(
            chunks * (power.sr_w * 10.0 / fps - power.decode_w - power.encode_w)
        )
        assert figures.energy_j["wlan"] > 0.0


def test_tails_are_cut_short_by_the_next_transfer(lab: SimpleNamespace) -> None:
    power = lab.POWER
    meter = Meter(power)
    meter.cellular_on(0.0)
    meter.cellular_off(1.0, 1000.0)
    meter.cellular_on(2.0)  # after one of three seconds of tail
    meter.cellular_off(4.0, 0.0)
    meter.accrue(20.0)
    assert meter.energy_j[Component.CELLULAR] == pytest.approx(
        3.0 * power.cellular_w + 1000.0 * power.cellular_j_per_byte + 4.0 * power.cellular_tail_w
    )


def test_the_awake_wlan_radio_is_not_counted_on_top_of_the_active_one(lab: SimpleNamespace) -> None:
    power = lab.POWER
    for looks_s in ([], [1.02, 1.06, 1.1, 1.5]):
        meter = Meter(power)
        meter.wlan(1.0, 0.1, sends=True)  # tail until 1.2, cut at 1.05
        for now_s in [time_s for time_s in looks_s if time_s < 1.15]:
            meter.accrue(now_s)
        meter.wlan(1.15, 0.1, sends=False)  # tail of 0.2 s
        meter.accrue(9.0)
        assert meter.energy_j[Component.WLAN] == pytest.approx(
            0.1 * power.wlan_send_w
            + 0.05 * power.wlan_awake_w
            + 0.1 * power.wlan_receive_w
            + 0.2 * power.wlan_awake_w
        )
    hotspot = Meter(power)
    hotspot.hotspot(0.0, True)
    hotspot.wlan(1.0, 0.25, sends=True)
    hotspot.accrue(4.0)
    assert hotspot.energy_j[Component.WLAN] == pytest.approx(
        0.25 * power.wlan_send_w + 3.75 * power.wlan_awake_w
    )


def test_what_was_sent_before_a_transmission_is_given_up_has_cost_energy(lab: SimpleNamespace) -> None:
    # a's result of 4 Mbit would take 0.5 s of air from 2.06 s on; b leaves at 2.31 s.
    phones = [lab.phone("a"), lab.phone("b", leaves_s=2.31)]
    result = simulate_group(lab.group(phones, 1), lab.Policy(lambda: lab.Script([(0, 0)])))
    power, sender, receiver = lab.POWER, result.phones["a"], result.phones["b"]
    assert result.air_busy_s == pytest.approx(0.25)
    assert sender.energy_j["wlan"] == pytest.approx(
        0.25 * power.wlan_send_w + (result.end_s - 0.25) * power.wlan_awake_w
    )
    assert receiver.energy_j["wlan"] == pytest.approx(0.25 * power.wlan_receive_w)


def test_temperature_follows_the_exponential_and_limits_have_hysteresis() -> None:
    thermal = Thermal(
        ambient_c=20.0, resistance_k_per_w=5.0, time_constant_s=100.0, throttle_c=40.0, stop_c=45.0
    )
    assert thermal.after(20.0, 6.0, 50.0) == pytest.approx(20.0 + 30.0 * (1.0 - exp(-0.5)))
    assert thermal.after(thermal.after(20.0, 6.0, 20.0), 6.0, 30.0) == pytest.approx(
        thermal.after(20.0, 6.0, 50.0)
    )
    assert thermal.state(39.9, Heat.COOL) is Heat.COOL
    assert thermal.state(40.0, Heat.COOL) is Heat.THROTTLED
    assert thermal.state(38.5, Heat.THROTTLED) is Heat.THROTTLED
    assert thermal.state(37.9, Heat.THROTTLED) is Heat.COOL
    assert thermal.state(45.0, Heat.COOL) is Heat.STOPPED
    assert thermal.state(43.5, Heat.STOPPED) is Heat.STOPPED
    assert thermal.state(42.9, Heat.STOPPED) is Heat.THROTTLED
    assert thermal.state(37.0, Heat.STOPPED) is Heat.COOL


@pytest.mark.parametrize("name", profile_names("phone"))
def test_power_of_a_handset_counts_nothing_twice(name: str) -> None:
    profile = handset(name)
    power = phone_power(profile)
    assert power.rest_w + power.display_w == pytest.approx(profile.idle_w)
    assert power.rest_w > 0.0
    lte_w = profile.radios["lte-down"].base_w
    assert power.cellular_w == pytest.approx(lte_w - profile.idle_w)
    assert phone_power(profile, radio_includes_idle=False).cellular_w == lte_w
    thermal = phone_thermal(profile)
    assert thermal.after(thermal.ambient_c, 7.3, profile.throttle_after_s) == pytest.approx(
        thermal.throttle_c
    )
    assert isinstance(phone(profile), GroupPhone)


def test_a_handset_without_that_radio_is_an_error() -> None:
    with pytest.raises(InputError, match="galaxy-s10: unknown radio '5g-low'"):
        phone_power(handset("galaxy-s10"), radio="5g-low")


def test_fairness_of_energy(lab: SimpleNamespace) -> None:
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain([0.0, 0.0]) == 1.0
    phones: list[Any] = [lab.phone("a", mbps=4.0), lab.phone("b", mbps=4.0)]
    equal = simulate_group(lab.group(phones, 20), lab.Policy(lambda: lab.Script([(0, 0), (1, 1)] * 10)))
    unequal = simulate_group(lab.group(phones, 20), lab.Policy(lambda: lab.Script([(0, 0)] * 20)))
    assert unequal.fairness < equal.fairness <= 1.0


def test_six_phones_are_simulated_within_the_time_of_a_few_events_per_chunk_and_phone(
    lab: SimpleNamespace,
) -> None:
    """300 chunks, six phones: less than 0.1 s of processor time, with room for a slower machine."""
    import time  # noqa: PLC0415

    phones = [lab.phone(f"p{number}", mbps=4.0, fps=4.0) for number in range(6)]
    group = lab.group(phones, 300, wlan=replace(lab.WLAN, near_bps=860e6))
    policy = lab.Policy(IdleTakesNext, FixedCombination(chunks=6))
    took_s = []
    for _ in range(5):
        began = time.process_time()
        assert simulate_group(group, policy).complete
        took_s.append(time.process_time() - began)
    assert min(took_s) < 0.2
