"""The benchmark of sweeps: what it states."""

from __future__ import annotations

from simulator.bench.dispatch import Row, measure, report


def test_shares_and_dispatch_are_stated_per_number_of_processes() -> None:
    rows = measure(20, (1, 2), 1)
    assert [row.processes for row in rows] == [1, 2]
    assert all(0.0 < row.dispatch_s < row.wall_s for row in rows)


def test_the_table() -> None:
    rows = [Row("processes", 1, 10.0, 0.001), Row("processes", 2, 6.25, 0.0025)]
    header, one, two = report(1000, rows).splitlines()
    assert header.split("  ")[0] == "1,000 runs by"
    assert one.split() == ["1", "processes", "100", "100", "%", "1.00"]
    assert two.split() == ["2", "processes", "160", "80", "%", "2.50"]
