"""One or a few questions whose latency and energy can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from devices.catalogue import load_profile
from devices.phones import PhoneLlmRate, PhoneProfile, SocProfile
from simulator.metrics.summary import summarize
from simulator.policies.autoscaling.target_load import TargetLoad
from simulator.policies.placement.latency_threshold import LatencyThreshold
from simulator.policies.placement.one_place import CloudOnly, DeviceOnly, EdgeOnly
from simulator.scenario.assistant_spec import DevicePlace, Places, ServicePlace
from simulator.scenario.spec import ColdStart, DeviceSpec, LinkSpec
from simulator.scenario.streaming_spec import Npu, PhoneSpec
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED
from simulator.workloads.slo import SloClass
from simulator.world import simulate

WIFI_S, WIFI_OPERATION_S, WIFI_BYTES_PER_S = 3e-3, 100e-6, 65e6
"""Latency, time per operation and bandwidth of the catalogue's wifi-5."""


def asks(result: Any) -> dict[str, Any]:
    table = result.asks["ask"]
    order = table.column("request").argsort(kind="stable")
    return {name: table.column(name)[order] for name in table.schema}


def llm(model: str = "llama-3.2-3b") -> PhoneLlmRate:
    chip = load_profile("snapdragon-8-elite")
    assert isinstance(chip, SocProfile)
    return chip.llm[model]


@pytest.mark.parametrize(("tokens", "chunks"), [(1, 1), (128, 1), (129, 2), (4000, 32)])
def test_a_phone_takes_a_prompt_in_chunks_and_then_decodes_at_its_rate(
    town: Any, tokens: int, chunks: int
) -> None:
    found = asks(simulate(town.scenario(DeviceOnly(), [(1.0, tokens, 11)])))
    ttft_s = chunks * 88.2e-3
    e2e_s = ttft_s + 10 / 23.47
    assert found["first_token_s"][0] - 1.0 == pytest.approx(ttft_s, rel=1e-3)
    assert found["finish_s"][0] - 1.0 == pytest.approx(e2e_s, rel=1e-3)
    assert found["chip_j"][0] == pytest.approx(4.58 * e2e_s, rel=1e-3)
    assert found["radio_j"][0] == 0.0
    assert found["predicted_ttft_s"][0] == pytest.approx(ttft_s, rel=1e-3)
    assert found["least_e2e_s"][0] <= e2e_s


def test_a_phone_answers_one_question_after_the_other(town: Any) -> None:
    found = asks(simulate(town.scenario(DeviceOnly(), [(0.0, 100, 50), (0.1, 300, 20), (60.0, 10, 1)])))
    assert found["first_token_s"][1] == pytest.approx(found["finish_s"][0] + llm().ttft_s(300))
    assert found["first_token_s"][2] == pytest.approx(60.0 + llm().ttft_s(10))
    assert found["finish_s"][2] == found["first_token_s"][2]
    # what was predicted of the second one counts the wait
    waited_s = found["finish_s"][0] - 0.1
    assert found["predicted_ttft_s"][1] == pytest.approx(waited_s + llm().ttft_s(300))


def test_what_does_not_fit_into_the_context_is_refused(town: Any) -> None:
    result = simulate(town.scenario(DeviceOnly(), [(0.0, 4000, 96), (0.0, 4000, 97), (0.0, 5000, 1)]))
    found = asks(result)
    assert found["status"].tolist() == [COMPLETED, FAILED, FAILED]
    assert found["placements"].tolist() == [1, 1, 0]
    assert result.simulated_s == found["finish_s"][0]


def test_the_chip_may_be_that_of_the_phone(town: Any) -> None:
    places = Places(device=DevicePlace("phi-3.5-mini"))
    scenario = town.scenario(DeviceOnly(), [(0.0, 100, 20)], places=places)
    scenario = replace(
        scenario,
        devices={
            **scenario.devices,
            "phones": replace(scenario.devices["phones"], phone=PhoneSpec(npu=Npu("snapdragon-8-gen-3"))),
        },
    )
    chip = load_profile("snapdragon-8-gen-3")
    assert isinstance(chip, SocProfile)
    rate = chip.llm["phi-3.5-mini"]
    assert asks(simulate(scenario))["finish_s"][0] == pytest.approx(
        rate.chunk_s + 19 / rate.decode_tokens_per_s
    )


def test_a_service_answers_as_ever_and_the_network_comes_on_top(town: Any) -> None:
    scenario = town.scenario(EdgeOnly(), [(1.0, 1000, 50)])
    found, served = asks(simulate(scenario)), simulate(scenario).requests["chat"]
    there_s = WIFI_S + WIFI_OPERATION_S + 4000 / WIFI_BYTES_PER_S
    token_s = WIFI_S + WIFI_OPERATION_S + 250 / WIFI_BYTES_PER_S
    assert served.column("arrival_s")[0] == pytest.approx(1.0 + there_s)
    assert found["first_token_s"][0] == pytest.approx(served.column("first_token_s")[0] + token_s)
    assert found["finish_s"][0] == pytest.approx(served.column("finish_s")[0] + token_s)
    # alone it comes near the bound, which leaves out that a last wave of attention is not full
    edge = replace(scenario.assistants["ask"], places=Places(edge=town.places.edge))
    alone = replace(scenario, services={**scenario.services, "ask": edge}, links={"wifi": LinkSpec("wifi-5")})
    (row,) = (asks(simulate(alone)),)
    assert row["least_ttft_s"][0] == pytest.approx(row["first_token_s"][0] - 1.0, rel=0.1)
    assert row["least_e2e_s"][0] == pytest.approx(row["finish_s"][0] - 1.0, rel=0.1)


def test_links_are_passed_one_after_the_other(town: Any) -> None:
    found = asks(simulate(town.scenario(CloudOnly(), [(0.0, 1000, 50)])))
    near = Places(cloud=ServicePlace("far", "5g-low", (), 0.9))
    without = asks(simulate(town.scenario(CloudOnly(), [(0.0, 1000, 50)], places=near)))
    cell_s = (0.015 + 1e-3 + 4000 / 37.5e6) + (0.015 + 1e-3 + 250 / 37.5e6)
    wan = simulate(town.scenario(CloudOnly(), [(0.0, 1000, 50)]))
    extra_s = found["first_token_s"][0] - without["first_token_s"][0]
    assert extra_s == pytest.approx(cell_s + 0.04, rel=0.01)
    assert wan.simulated_s == found["finish_s"][0]


def test_the_radio_pays_for_air_bytes_waiting_and_its_tail(town: Any) -> None:
    profile = load_profile("galaxy-s22-plus")
    assert isinstance(profile, PhoneProfile)
    up, down = profile.radios["5g-low-up"], profile.radios["5g-low-down"]
    for includes_idle in (True, False):
        scenario = town.scenario(CloudOnly(), [(0.0, 1000, 50)], radio_includes_idle=includes_idle)
        found = asks(simulate(scenario))
        idle_w = (profile.idle_w if includes_idle else 0.0) + profile.radio_tail_w
        send_s, token_s = 1e-3 + 4000 / 37.5e6, 1e-3 + 250 / 37.5e6
        energy_j = (up.base_w - idle_w) * send_s + up.joules_per_byte * 4000
        energy_j += (down.base_w - idle_w) * 50 * token_s + down.joules_per_byte * 50 * 250
        energy_j += profile.radio_tail_w * (found["finish_s"][0] + profile.radio_tail_s)
        assert found["radio_j"][0] == pytest.approx(energy_j, rel=1e-9)


def test_a_run_that_stops_books_what_had_happened(town: Any) -> None:
    rows = [(0.0, 100, 1000)]
    scenario = replace(town.scenario(DeviceOnly(), rows), horizon=2.0)
    found = asks(simulate(scenario))
    assert found["status"][0] == UNFINISHED
    assert found["first_token_s"][0] == pytest.approx(llm().chunk_s)
    assert found["chip_j"][0] == pytest.approx(2.0 * llm().power_w)
    early = asks(simulate(replace(town.scenario(EdgeOnly(), rows), horizon=1e-3)))
    assert early["first_token_s"][0] == -1.0
    late = asks(simulate(replace(town.scenario(EdgeOnly(), rows), horizon=2.0)))
    assert 0.0 < late["first_token_s"][0] < 2.0
    assert late["radio_j"][0] > early["radio_j"][0] > 0.0


def test_a_session_stays_with_its_phone(town: Any) -> None:
    from simulator.workloads.spec import Sessions  # noqa: PLC0415

    sessions = Sessions(turns=4, think_time=1.0)
    work = town.lab.synthetic("ask", rate=2.0, requests=10, sessions=sessions)
    scenario = town.scenario(EdgeOnly(), [(0.0, 1, 1)], phones=6)
    result = simulate(replace(scenario, workloads={"work": work}))
    found = asks(result)
    assert (found["status"] == COMPLETED).all()
    assert len(set(found["phone"].tolist())) > 2
    # later turns carry the earlier ones as their prefix, so that they find it at the edge
    assert result.requests["chat"].column("resident_tokens").sum() > 0


def test_questions_with_graphs_are_decoded_in_parts_where_that_is_done(town: Any) -> None:
    from random import Random  # noqa: PLC0415

    graphs = [town.lab.random_graph(Random(seed)) for seed in range(6)]
    work = town.lab.questions(graphs, service="ask")
    scenario = town.scenario(EdgeOnly(), [(0.0, 1, 1)])
    chat = town.lab.llm(decoding="plato")
    scenario = replace(scenario, services={**scenario.services, "chat": chat}, workloads={"work": work})
    result = simulate(scenario)
    assert (asks(result)["status"] == COMPLETED).all()
    assert len(result.generations["chat"]) > len(graphs)
    assert result.summary()["services"]["chat"]["decoding"]["generations"] > 1.0


def test_a_closed_loop_goes_on_when_the_answer_is_on_the_phone(town: Any) -> None:
    from simulator.workloads.arrival_spec import Closed  # noqa: PLC0415

    work = town.lab.synthetic("ask", arrivals=Closed(concurrency=2), requests=9)
    scenario = town.scenario(CloudOnly(), [(0.0, 1, 1)])
    found = asks(simulate(replace(scenario, workloads={"work": work})))
    starts, ends = sorted(found["arrival_s"]), sorted(found["finish_s"])
    assert starts[2:] == ends[:-2]


@pytest.mark.parametrize("tokens", [1, 2, 200])
def test_predicted_qoe_is_that_of_the_metric(town: Any, tokens: int) -> None:
    """Also where nothing is late, which is not computed, and of one token, for which the metric has no value."""
    from simulator.assistant.build import _qoe  # noqa: PLC0415
    from simulator.metrics.text_qoe import text_qoe  # noqa: PLC0415

    service = town.assistant(EdgeOnly())
    for ttft_s in (0.5, 1.0, 1.5, 100.0):
        for tpot_s in (0.01, 1 / 5.3, 0.2, 3.0):
            expected = float(text_qoe(ttft_s, tpot_s, max(tokens, 2), service.reader))
            assert _qoe(service)(ttft_s, tpot_s, tokens) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("startup_s", [0.0, 7.5])
def test_a_service_that_is_switched_off_is_predicted_to_start_first(town: Any, startup_s: float) -> None:
    off = town.lab.llm(autoscaling=TargetLoad(minimum=0), cold_start=ColdStart(startup=startup_s))
    asleep = town.scenario(EdgeOnly(), [(1.0, 1000, 50)], expected_answer_tokens=50)
    asleep = replace(asleep, services={**asleep.services, "chat": off})
    found = asks(simulate(asleep))
    awake = asks(simulate(town.scenario(EdgeOnly(), [(1.0, 1000, 50)], expected_answer_tokens=50)))
    assert found["predicted_ttft_s"][0] == pytest.approx(startup_s + awake["predicted_ttft_s"][0])
    assert found["first_token_s"][0] == pytest.approx(startup_s + awake["first_token_s"][0])


def test_what_is_predicted_of_a_start_counts_the_reading_of_weights(town: Any) -> None:
    start = ColdStart(startup=3.0, weights_from="disk")
    off = town.lab.llm(autoscaling=TargetLoad(minimum=0), cold_start=start)
    asleep = town.scenario(EdgeOnly(), [(5.0, 100, 10)], expected_answer_tokens=10)
    disk = DeviceSpec("nvme-gen4", bandwidth=1e9)
    asleep = replace(
        asleep, services={**asleep.services, "chat": off}, devices={**asleep.devices, "disk": disk}
    )
    found = asks(simulate(asleep))
    assert found["predicted_ttft_s"][0] > 3.0 + 13.0  # 13 GB of weights at 1 GB/s
    assert found["first_token_s"][0] - 5.0 == pytest.approx(found["predicted_ttft_s"][0], rel=1e-3)


def test_a_run_says_where_the_chip_is_not_that_of_the_phone(town: Any) -> None:
    scenario = town.scenario(DeviceOnly(), [(0.0, 100, 20)])

    def notes(own: str) -> list[str]:
        phone = replace(scenario.devices["phones"], phone=PhoneSpec(npu=Npu(own)))
        found = simulate(replace(scenario, devices={**scenario.devices, "phones": phone})).notes
        return [it for it in found if "places.device.soc" in it]

    assert "snapdragon-8-gen-1" in notes("snapdragon-8-gen-1")[0]
    assert not notes("snapdragon-8-elite")


def test_a_policy_that_goes_by_predictions_wakes_a_service_where_the_phone_is_slower(town: Any) -> None:
    off = town.lab.llm(autoscaling=TargetLoad(minimum=0), cold_start=ColdStart(startup=2.0))
    places = Places(device=DevicePlace("llama-3.2-3b", "snapdragon-8-elite"), edge=town.places.edge)
    rows = [(0.0, 4000, 50), (100.0, 100, 50)]
    scenario = town.scenario(LatencyThreshold(ttft=0.1), rows, places=places, expected_answer_tokens=50)
    scenario = replace(scenario, services={**scenario.services, "chat": off})
    assert asks(simulate(scenario))["place"].tolist() == [
        "edge",
        "device",
    ]  # 32 and 1 chunk of 88 ms on the phone


def test_the_objective_of_questions_is_counted_at_the_phone(town: Any) -> None:
    rows = [(0.0, 100, 50), (60.0, 3000, 50), (120.0, 100, 500)]
    scenario = town.scenario(DeviceOnly(), rows)
    promised = SloClass("people", ttft=1.0, tpot=1.0)
    scenario = replace(scenario, workloads={"work": replace(scenario.workloads["work"], slo=promised)})
    result = simulate(scenario)
    slo, found = summarize(result)["services"]["ask"]["slo"], asks(result)
    assert (found["first_token_s"] - found["arrival_s"] <= 1.0).tolist() == [True, False, True]
    assert slo["attainment"] == pytest.approx(2 / 3)
    assert slo["classes"]["people"]["tpot_attainment"] == 1.0
    assert slo["goodput_per_s"] == pytest.approx(2 / found["finish_s"][2])
