"""Exchangeable decisions: one folder per decision, one file per policy."""

from simulator.policies.registry import PolicyError, find, name_of, policies, register

__all__ = ["PolicyError", "find", "name_of", "policies", "register"]
