"""Scenario files: strict reading, every fault at once, and writing back.

A file is read by `simulator.scenario.load.load`, not repeated here so that the module keeps its name. The
dataclasses are in `simulator.scenario.spec`; the JSON Schema for editors is `simulator.scenario.schema`.
"""

from simulator.scenario.load import load_text, resolver, to_data
from simulator.scenario.spec import Scenario

__all__ = ["Scenario", "load_text", "resolver", "to_data"]
