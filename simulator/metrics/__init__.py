"""Latency, throughput, cache and energy figures, all computed from records."""

from simulator.metrics.summary import LATENCIES, latency_columns, summarize

__all__ = ["LATENCIES", "latency_columns", "summarize"]
