"""Workloads: readers of real traces and generators of synthetic ones, all giving `Requests`."""
