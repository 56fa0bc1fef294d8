"""The record of both pointers agrees with what the requests say was computed and loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest


def faults(lab: Any, scenario: Any) -> list[str]:
    """Return what does not agree."""
    result = lab.run(scenario)
    requests = lab.columns(result)
    table = result.pointers["chat"]
    rows = {name: table.column(name) for name in table.schema}
    tokens = rows["to_token"] - rows["from_token"]
    n = len(requests["request"])
    computed = rows["tier"] == ""
    sums = {"computed_tokens": computed} | {
        f"loaded_{tier}_tokens": rows["tier"] == tier for tier in scenario.services["chat"].kv_tiers
    }
    found = []
    done = requests["status"] == 1  # what is still being loaded at a horizon counts in the rows only
    for column, mine in sums.items():
        total = np.bincount(rows["request"][mine], tokens[mine], n)
        if column == "computed_tokens" and not np.array_equal(total, requests[column]):
            found.append(column)
        if not np.array_equal(total[done], requests[column][done]) or (total < requests[column]).any():
            found.append(column)
    if (tokens[computed] <= 0).any() or (tokens < 0).any():
        found.append("a row that goes backwards, or a phase without tokens")
    if (rows["replica"] != requests["replica"][rows["request"]]).any():
        found.append("replica")
    if (rows["start_s"] < requests["admitted_s"][rows["request"]]).any():
        found.append("a phase before the admission")
    if (rows["end_s"] > result.simulated_s).any() or (rows["end_s"] < rows["start_s"]).any():
        found.append("times")
    return found


@pytest.mark.parametrize("tight", [False, True])
def test_rows_add_up_to_what_was_computed_and_loaded(lab: Any, tight: bool) -> None:
    scenarios = {seed: lab.random_scenario(seed, tight) for seed in range(150)}
    assert not {seed: found for seed, it in scenarios.items() if (found := faults(lab, it))}


def test_a_prefill_that_others_interrupt_has_a_row_per_phase(lab: Any) -> None:
    long_alone = lab.run(lab.scenario(lab.trace([[0.0, 6000, 2]])))
    [tokens] = long_alone.pointers["chat"].column("to_token")
    assert tokens == 6000, "many steps, one phase"
    preempted = 0
    for seed in range(40):
        result = lab.run(lab.random_scenario(seed, tight=True))
        again = lab.columns(result)["preemptions"].sum()
        table = result.pointers["chat"]
        front = table.column("request")[table.column("tier") == ""]
        assert len(front) >= len(set(front)) + (again > 0)
        preempted += int(again)
    assert preempted


def test_nothing_is_kept_where_intervals_are_not(lab: Any) -> None:
    result = lab.run(replace(lab.random_scenario(1), record_intervals=False))
    assert result.pointers == {} == result.intervals
