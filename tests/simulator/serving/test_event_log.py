"""What happens to requests, as the log tells it."""

from __future__ import annotations

import pytest

from simulator.core import EventLog
from simulator.experiments.cake_cases import cell
from simulator.experiments.reproduce_cake import cell_scenario
from simulator.world import simulate


def logged(policy: str) -> tuple[EventLog, float]:
    log = EventLog()
    scenario = cell_scenario(cell("longalpaca-7b", "a100-80g-sxm", 1, 32.0), policy)
    table = simulate(scenario, log=log).requests["chat"]
    return log, float(table.column("first_token_s")[0])


def kinds(log: EventLog) -> list[str]:
    return [entry.kind for entry in log]


def test_a_request_that_is_computed() -> None:
    log, first_token_s = logged("compute_only")
    assert kinds(log) == ["arrive", "admit", "first_token", "finish"]
    assert log.times("arrive") == [("chat/0", 0.0)]
    assert log.times("finish") == [("chat/0", first_token_s)]


def test_two_pointers_meet_once() -> None:
    log, first_token_s = logged("cake")
    assert kinds(log) == ["arrive", "admit", "load", "meet", "first_token", "finish"]
    (load,) = [entry for entry in log if entry.kind == "load"]
    (meet,) = [entry for entry in log if entry.kind == "meet"]
    assert load.detail == 16368  # all but the last block, which is computed
    assert isinstance(meet.detail, int) and 0 < meet.detail < 16368
    # In the time until the meeting the disk delivers what the back pointer has brought, and less than a step more.
    delivered = meet.time_s * 4 * 2**30 / (512 * 1024)
    assert meet.detail <= delivered < meet.detail + 128 + 0.1 * 8192
    assert meet.time_s < first_token_s


def test_loading_alone_takes_bytes_over_bandwidth() -> None:
    log, _ = logged("io_only")
    (meet,) = log.times("meet")
    assert meet == ("chat/0", pytest.approx(16368 * 512 * 1024 / (4 * 2**30)))


def test_without_a_log_nothing_changes() -> None:
    scenario = cell_scenario(cell("longalpaca-7b", "a100-80g-sxm", 1, 32.0), "cake")
    assert simulate(scenario).summary() == simulate(scenario, log=EventLog()).summary()
