"""A group of phones that share the downloads, the super-resolution and the energy of one video."""

from simulator.streaming.group.build import combination, phone, phone_power, phone_thermal, with_overhead
from simulator.streaming.group.energy import Component
from simulator.streaming.group.group import Group
from simulator.streaming.group.phones import NO_POWER, GroupPhone, Helper, PhonePower
from simulator.streaming.group.records import GroupResult, Happening, PhoneResult, jain
from simulator.streaming.group.shared import Shared, SharedLink
from simulator.streaming.group.simulate import GroupRun, simulate_group
from simulator.streaming.group.thermal import Heat, Thermal
from simulator.streaming.group.wlan import HOTSPOT, WIFI_DIRECT, WlanProfile

__all__ = [
    "HOTSPOT",
    "NO_POWER",
    "WIFI_DIRECT",
    "Component",
    "Group",
    "GroupPhone",
    "GroupResult",
    "GroupRun",
    "Happening",
    "Heat",
    "Helper",
    "PhonePower",
    "PhoneResult",
    "Shared",
    "SharedLink",
    "Thermal",
    "WlanProfile",
    "combination",
    "jain",
    "phone",
    "phone_power",
    "phone_thermal",
    "simulate_group",
    "with_overhead",
]
