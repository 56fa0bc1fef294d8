"""Latency, throughput, cache and energy figures, all computed from records."""

from simulator.metrics.answers import LATENCIES, latency_columns
from simulator.metrics.summary import summarize

__all__ = ["LATENCIES", "latency_columns", "summarize"]
