"""Attainment and goodput by class, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.core import Table
from simulator.metrics.slo_classes import summarize_slo
from simulator.workloads.slo import SloClass

COLUMNS = {
    "workload": "text", "status": "B", "arrival_s": "d", "first_token_s": "d", "finish_s": "d", "output_tokens": "q"
}  # fmt: skip
CLASSES = {"people": SloClass("interactive", 1, ttft=1.0, tpot=0.1), "jobs": SloClass(ttft=5.0)}


def summary(*rows, end_s=100.0, kept=None, classes=CLASSES):
    """Summarize rows of (workload, status, arrival, first token, finish, tokens)."""
    table = Table(COLUMNS)
    for row in rows:
        table.append(*row)
    return summarize_slo(table, classes, np.ones(len(rows), bool) if kept is None else kept, end_s)


def test_each_limit_and_both():
    found = summary(
        ("people", 1, 0.0, 1.0, 2.0, 11),  # both kept, to the limit
        ("people", 1, 0.0, 1.5, 2.0, 11),  # late
        ("people", 1, 0.0, 0.5, 9.0, 11),  # slow
        ("people", 1, 0.0, 0.9, 0.9, 1),  # one token: any TPOT is kept
        ("jobs", 1, 0.0, 4.0, 90.0, 11),
        ("others", 1, 0.0, 80.0, 90.0, 11),  # has no class
    )
    assert found["attainment"] == pytest.approx(3 / 5)
    assert found["goodput_per_s"] == pytest.approx(3 / 90)
    assert found["classes"]["interactive"] == {
        "requests": 4, "attainment": 0.5, "ttft_attainment": 0.75, "tpot_attainment": 0.75, "goodput_per_s": 2 / 90
    }  # fmt: skip
    assert found["classes"]["jobs"]["attainment"] == 1.0


def test_what_failed_has_missed_and_what_is_under_way_counts_where_it_is_late():
    rows = [
        ("people", 2, 0.0, -1.0, -1.0, 11),  # failed
        ("people", 0, 99.5, -1.0, -1.0, 11),  # not late yet: unknown
        ("people", 0, 90.0, -1.0, -1.0, 11),  # late
        ("people", 0, 99.0, 99.9, -1.0, 11),  # TTFT known and kept; of TPOT, not
    ]
    found = summary(*rows)["classes"]["interactive"]
    assert (found["requests"], found["attainment"], found["goodput_per_s"]) == (2, 0.0, None)
    assert found["ttft_attainment"] == pytest.approx(1 / 3)
    assert found["tpot_attainment"] == 0.0


def test_workloads_may_share_a_class_and_what_is_left_out_does_not_count():
    classes = {"a": SloClass("one", ttft=1.0), "b": SloClass("one", ttft=2.0)}
    rows = [("a", 1, 0.0, 1.5, 2.0, 2), ("b", 1, 0.0, 1.5, 2.0, 2), ("b", 1, 0.0, 9.0, 9.5, 2)]
    found = summary(*rows, classes=classes, kept=np.array([True, True, False]))
    assert list(found["classes"]) == ["one"]
    assert found["attainment"] == 0.5


def test_nothing_is_known_of_no_requests():
    found = summary()
    assert found["attainment"] is None
    assert found["classes"]["interactive"]["requests"] == 0
