"""Hardware: what GPUs, storage tiers and links can do, with a source for every value.

The ground floor of the project: nothing here imports the simulator.
"""

from devices.catalogue import engine_fit, load_profile, load_sourced, profile_names
from devices.errors import Fault, InputError, SimulatorError
from devices.evidence import Evidence
from devices.profiles import EngineFit, GpuProfile, LinkProfile, Profile, StorageProfile

__all__ = [
    "EngineFit",
    "Evidence",
    "Fault",
    "GpuProfile",
    "InputError",
    "LinkProfile",
    "Profile",
    "SimulatorError",
    "StorageProfile",
    "engine_fit",
    "load_profile",
    "load_sourced",
    "profile_names",
]
