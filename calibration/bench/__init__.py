"""Micro-benchmarks that run on real hardware.

Each module of this package is one benchmark: `grid` says which points it measures, `point` prepares one of them.
What is common to all (warm-up, repeats, clocks, header, power) stands in `harness`, `clocks`, `machine` and
`power`.
"""
