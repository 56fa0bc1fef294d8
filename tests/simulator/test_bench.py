"""The benchmark: what it states, per request and per session."""

from __future__ import annotations

import pytest

from simulator.bench import measure as measuring
from simulator.bench.cases import Case, poisson, watched_alone, watched_together
from simulator.bench.measure import measure, report
from simulator.world import simulate


def test_costs_are_stated_in_timeouts_of_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "yardstick_s", lambda: 1e-6)
    served = Case("poisson", "request", 20, lambda: simulate(poisson(1, 20)))
    rows = measure(1, [served, watched_together(1), watched_alone("bola", 2)])
    for row, unit in zip(rows, ("request", "session", "session"), strict=True):
        assert row[f"timeouts_per_{unit}"] * row[f"{unit}s_per_cpu_s"] == pytest.approx(1e6)
    assert [row["case"] for row in rows[1:]] == [
        "oasis, 6 phones, 300 chunks",
        "bola, 48 segments over norway-3g",
    ]
    requests, sessions = report(rows).split("\n\n")
    assert requests.splitlines()[0].split("  ")[-1] == sessions.splitlines()[0].split("  ")[-1]
    assert ("timeouts/request" in requests, "timeouts/session" in sessions) == (True, True)
    assert (len(requests.splitlines()), len(sessions.splitlines())) == (2, 3)
    assert "session" not in report(rows[:1])
    assert rows[1]["timeouts_per_chunk"] * 6 * 300 == pytest.approx(rows[1]["timeouts_per_session"])
    twice = [{**rows[0], "timeouts_per_request": rows[0]["timeouts_per_request"] / 2}]
    assert "2.00" in report(rows[:1], twice).splitlines()[1].split()
    assert "times before" in report(rows[:1], twice).splitlines()[0]
