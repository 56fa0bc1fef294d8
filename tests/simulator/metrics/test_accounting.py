"""What a run costs: energy per user, prices by the hour, carbon; and how a scenario asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from devices.errors import InputError
from simulator.metrics.catalogue import HIGHER, LOWER, METRICS, NEITHER, described
from simulator.scenario.load import load_text
from simulator.world import RunResult, simulate

PLACE = """
version: 1
name: place
devices:
  gpu: {profile: a100-80g-sxm, count: 2}
  disk: {profile: nvme-gen4}
  phones: {profile: pixel-5, count: 3, phone: {wwan: {trace: synthetic, like: oboe}}}
services:
  chat: {kind: llm, model: llama-3.1-8b, gpus: gpu, kv_tiers: [disk]}
  video: {kind: streaming, phones: [phones]}
workloads:
  chats: {trace: synthetic, service: chat, rate: 4/s, requests: 20, input_tokens: 500, output_tokens: 50}
  watch: {trace: video, service: video, segments: 10}
"""
BOOKS = "accounting: {carbon_intensity: 360 g/kWh, prices: {gpu: 2.5, disk: 0.1}}\n"


def run(text: str) -> RunResult:
    return simulate(load_text(text))


@pytest.fixture(scope="module")
def result() -> RunResult:
    return run(PLACE + BOOKS)


@pytest.fixture(scope="module")
def summary(result: RunResult) -> dict[str, Any]:
    return result.summary()


def test_energy_is_divided_among_users(summary: dict[str, Any]) -> None:
    energy_j, users = summary["energy_j"], summary["users"]
    per_user = users["energy_per_user_j"]
    assert users["count"] == 3
    assert per_user["own"] == pytest.approx(energy_j["devices"]["phones"] / 3)
    assert per_user["own"] + per_user["infrastructure"] == pytest.approx(per_user["total"])
    assert per_user["total"] * 3 == pytest.approx(energy_j["total"])
    assert per_user["own"] > 0 < per_user["infrastructure"]


def test_units_are_paid_for_while_they_are_on(summary: dict[str, Any]) -> None:
    accounts, hours = summary["accounting"], summary["simulated_s"] / 3600
    assert accounts["cost_per_hour"]["devices"] == pytest.approx({"gpu": 5.0, "disk": 0.1})
    assert accounts["cost_per_hour"]["total"] == pytest.approx(5.1)
    assert accounts["cost"]["devices"] == pytest.approx({"gpu": 5.0 * hours, "disk": 0.1 * hours})
    assert accounts["cost"]["total"] == pytest.approx(5.1 * hours)


def test_what_was_switched_off_is_not_paid_for(result: RunResult) -> None:
    gpu = result.devices["gpu"]
    assert gpu.on_s == 2 * result.simulated_s
    object.__setattr__(gpu, "on_s", 0.5 * gpu.on_s)
    try:
        assert result.summary()["accounting"]["cost_per_hour"]["devices"]["gpu"] == pytest.approx(2.5)  # type: ignore[index]
    finally:
        object.__setattr__(gpu, "on_s", 2 * result.simulated_s)


def test_carbon_follows_energy(summary: dict[str, Any]) -> None:
    carbon_g, energy_j = summary["accounting"]["carbon_g"], summary["energy_j"]
    assert carbon_g["total"] == pytest.approx(energy_j["total"] * 360 / 3.6e6)
    assert carbon_g["devices"] == pytest.approx(
        {name: it * 360 / 3.6e6 for name, it in energy_j["devices"].items()}
    )


def test_a_device_without_a_price_is_named(result: RunResult) -> None:
    assert "accounting: no price is given for phones: not part of the cost" in result.notes


def test_nothing_is_booked_where_nothing_is_asked_for(summary: dict[str, Any]) -> None:
    without = run(PLACE).summary()
    assert not {"users", "accounting"} & set(without)
    assert without == {name: it for name, it in summary.items() if name not in ("users", "accounting")}


def test_parts_are_told_by_themselves() -> None:
    assert "accounting" not in run(PLACE + "accounting: {}\n").summary()
    priced = run(PLACE + "accounting: {prices: {phones: 1}}\n").summary()
    assert set(priced["accounting"]) == {"cost_per_hour", "cost"}  # type: ignore[call-overload]
    assert priced["accounting"]["cost_per_hour"]["total"] == pytest.approx(3.0)  # type: ignore[index]
    many = run(PLACE + "accounting: {users: 100}\n").summary()
    assert many["users"]["count"] == 100  # type: ignore[index]


def test_users_without_phones_are_only_known_if_told() -> None:
    lines = [it for it in PLACE.splitlines() if not it.strip().startswith(("phones:", "video:", "watch:"))]
    cloud = "\n".join(lines) + "\n"
    assert "users" not in run(cloud + BOOKS).summary()
    users: Any = run(cloud + "accounting: {users: 4}\n").summary()["users"]
    assert users["energy_per_user_j"]["own"] == 0.0 < users["energy_per_user_j"]["infrastructure"]


@pytest.mark.parametrize(
    ("books", "said"),
    [
        ("{prices: {gpus: 1}}", "14:23: accounting.prices.gpus: unknown device 'gpus'; nearest: gpu"),
        ("{prices: {gpu: -1}}", "accounting.prices.gpu: -1 is out of range; allowed: at least 0"),
        ("{carbon_intensity: 350 g}", "unknown unit 'g' in '350 g'; allowed: g/kWh, kg/kWh, kg/MWh"),
        ("{carbon_intensity: 350}", "350 is out of range"),  # in kg/J: no electricity is so dirty
        ("{users: 0}", "accounting.users: 0 is out of range"),
        ("{price: {}}", "accounting.price: unknown key 'price'; nearest: prices"),
        ("[]", "accounting: a list is not a mapping"),
    ],
)
def test_what_cannot_be_booked_is_refused_with_its_place(books: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_text(f"{PLACE}accounting: {books}\n")
    text = str(caught.value)
    assert said in text and text.startswith("<text>:14:")


def test_reader_is_checked_with_its_place() -> None:
    wrong = PLACE.replace(
        "kv_tiers: [disk]", "kv_tiers: [disk], reader: {ttft: -1 s, tokens_per_s: 0, pace: 1}"
    )
    with pytest.raises(InputError) as caught:
        load_text(wrong)
    text = str(caught.value)
    for said in ("reader.ttft: ", "reader.tokens_per_s: 0 is out of range", "unknown key 'pace'"):
        assert said in text


def test_every_metric_has_a_direction() -> None:
    assert {better for _, _, better, _ in METRICS} == {HIGHER, LOWER, NEITHER}
    for path, better in {
        "services.chat.ttft_s.p99": LOWER,
        "services.chat.throughput.requests_per_s": HIGHER,
        "services.chat.qoe.mean": HIGHER,
        "services.video.qoe.figures.oasis": HIGHER,
        "services.video.qoe.upper_bound": NEITHER,
        "services.video.viewers.gone": LOWER,
        "services.chat.requests.arrived": NEITHER,
        "accounting.cost_per_hour.total": LOWER,
        "users.energy_per_user_j.own": LOWER,
        "energy_j.devices.gpu": LOWER,
    }.items():
        assert described(path).better == better, path


def test_every_figure_of_a_summary_is_in_the_catalogue(summary: dict[str, Any]) -> None:
    from simulator.experiments.comparison import flatten  # noqa: PLC0415

    unknown = {path for path in flatten(summary) if not described(path).definition}
    assert unknown <= {"simulated_s"}
