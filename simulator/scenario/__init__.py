"""Scenario files: strict reading, every fault at once, and writing back.

The dataclasses are in `simulator.scenario.spec`; the JSON Schema for editors is `simulator.scenario.schema`.
"""

from simulator.scenario.load import dump_scenario, load_scenario, load_text, resolver, to_data
from simulator.scenario.spec import Scenario

__all__ = ["Scenario", "dump_scenario", "load_scenario", "load_text", "resolver", "to_data"]
