"""The closed form of many engine steps gives what one step at a time gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simulator.workloads.arrival_spec import Closed, Poisson
from simulator.workloads.length_spec import Uniform
from simulator.workloads.spec import Sessions


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of columns whose values differ."""
    return [
        name
        for name, values in one.items()
        if len(values) != len(other[name])
        or not (
            (values == other[name]).all()
            if values.dtype == object
            else np.allclose(values, other[name], rtol=1e-9, atol=1e-12)
        )
    ]


def phases(result: Any) -> dict[str, Any]:
    """Return the columns of the pointers' table, request by request: rows of one instant come in any order."""
    table = result.pointers["chat"]
    columns = {name: table.column(name) for name in table.schema}
    # times differ by rounding, so that they settle the order last; a preempted request goes the same way twice
    keys = ("start_s", "to_token", "from_token", "tier", "generation", "request")
    order = np.lexsort([columns[key].astype(str) if key == "tier" else columns[key] for key in keys])
    return {name: values[order] for name, values in columns.items()}


def differences(lab: Any, scenario: Any) -> list[str]:
    """Return what differs between the two ways to run a scenario.

    So is energy: the board's power limit holds step by step.
    """
    fast = lab.run(scenario)
    fast_columns = lab.columns(fast)
    slow = lab.run(scenario, step_by_step=True)
    slow_columns = lab.columns(slow)
    found = differing(fast_columns, slow_columns)
    found += [f"pointers.{name}" for name in differing(phases(fast), phases(slow))]
    for name, totals in fast.devices.items():
        other = slow.devices[name]
        for field, tolerance in (
            ("busy_s", 1e-9),
            ("read_bytes", 0.0),
            ("written_bytes", 0.0),
            ("energy_j", 1e-9),
        ):
            one, two = getattr(totals, field), getattr(other, field)
            if abs(one - two) > tolerance * max(1.0, abs(two)):
                found.append(f"{name}.{field}: {one} and {two}")
    return found


def compare(lab: Any, seeds: range) -> None:
    """Memory is ample here, because the two may differ where it is not.

    Decodes reserve the blocks of a whole run at its start, so that cached prefixes can be evicted, and a request
    that arrives during the run refused, a run earlier than with single steps.
    """
    wrong = {seed: found for seed in seeds if (found := differences(lab, lab.random_scenario(seed)))}
    assert not wrong


def test_runs_of_steps_equal_single_steps(lab):
    compare(lab, range(400))


@pytest.mark.slow
def test_runs_of_steps_equal_single_steps_in_many_scenarios(lab):
    compare(lab, range(400, 6000))


def test_closed_loop_and_sessions_equal_single_steps(lab):
    closed = lab.synthetic(
        arrivals=Closed(concurrency=5),
        requests=40,
        input_tokens=Uniform(1, 900),
        output_tokens=Uniform(1, 60),
    )
    sessions = lab.synthetic(
        rate=2.0,
        arrivals=Poisson(),
        requests=40,
        input_tokens=Uniform(1, 900),
        output_tokens=Uniform(1, 60),
        sessions=Sessions(turns=4, think_time=0.3, shared_prefix_tokens=100),
    )
    for workload in (closed, sessions):
        for replicas in (1, 2):
            scenario = lab.scenario(workload, lab.llm(replicas=replicas, routing="least_loaded"))
            assert not differences(lab, scenario)


def test_closed_form_takes_few_runs(lab):
    """One request of one prefill chunk and 500 tokens is two runs, not 500."""
    result = lab.run(lab.scenario(lab.synthetic(requests=1, output_tokens=500)))
    assert len(result.intervals["chat"]) == 2
    slow = lab.run(lab.scenario(lab.synthetic(requests=1, output_tokens=500)), step_by_step=True)
    assert len(slow.intervals["chat"]) == 500
