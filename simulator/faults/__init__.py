"""Faults in the simulated world: when they come, and what they do."""
