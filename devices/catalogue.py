"""The device catalogue: ``devices/catalog/*.yaml``, one file per device, a source for every value.

The form of a file is that of `devices.sourced`; its first line is ``kind:`` and one of `PROFILE_KINDS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from devices.errors import Fault, InputError
from devices.phones import PhoneProfile, SocProfile
from devices.profiles import EngineFit, GpuProfile, LinkProfile, Profile, StorageProfile
from devices.sourced import load_sourced, unknown_name

__all__ = [
    "PROFILE_KINDS",
    "engine_fit",
    "load_profile",
    "load_sourced",
    "nearest_version",
    "profile_names",
    "unknown_name",
]

PROFILE_KINDS: Mapping[str, type[Profile]] = {
    "gpu": GpuProfile,
    "storage": StorageProfile,
    "link": LinkProfile,
    "soc": SocProfile,
    "phone": PhoneProfile,
}
"""Profile class by the ``kind`` of a catalogue file."""

_FOLDER = Path(__file__).parent / "catalog"


def profile_names(kind: str | None = None) -> list[str]:
    """Return the names of the catalogue's devices in alphabetical order.

    Parameters
    ----------
    kind
        A key of `PROFILE_KINDS`; None: all.

    Raises
    ------
    InputError
        Where there is no such kind.
    """
    if kind is not None and kind not in PROFILE_KINDS:
        raise InputError(Fault(f"unknown kind of device {kind!r}; allowed: {', '.join(PROFILE_KINDS)}"))
    return sorted(name for name, its_kind in _kinds().items() if kind in (None, its_kind))


@cache
def load_profile(name: str) -> Profile:
    """Return the profile called `name`; a second call returns the same object.

    Raises
    ------
    InputError
        Where the catalogue has no such device (the message names the nearest), or its file has faults.
    """
    kinds = _kinds()
    if name not in kinds:
        raise InputError(Fault(unknown_name("device profile", name, kinds, "hetsim list devices")))
    return load_sourced(
        _FOLDER / f"{name}.yaml",
        PROFILE_KINDS[kinds[name]],
        name=f"devices/catalog/{name}.yaml",
        also=("kind",),
    )


@cache
def _kinds() -> dict[str, str]:
    # The kind stands in the first line, so that a list of names costs no YAML.
    kinds = {}
    for path in _FOLDER.glob("*.yaml"):
        with path.open(encoding="utf-8") as file:
            match = re.fullmatch(r"kind: (\w+)\n", file.readline())
        if match is None or match[1] not in PROFILE_KINDS:
            allowed = ", ".join(PROFILE_KINDS)
            raise InputError(
                Fault(f"the first line must be 'kind: ...' with one of {allowed}", file=path.name, line=1)
            )
        kinds[path.stem] = match[1]
    return kinds


def engine_fit(profile: GpuProfile, engine: str) -> tuple[EngineFit, str]:
    """Return what `engine` gets out of a GPU, and the engine whose numbers these are.

    A version that was not fitted falls back to the nearest older version of the same engine, else to the
    nearest newer one. An engine that was never fitted on this GPU falls back to the newest entry, whose
    efficiencies are those of kernels. The caller can compare the names and say so.

    Raises
    ------
    InputError
        Where the profile has no fitted engine at all.
    """
    if not profile.engines:
        raise InputError(Fault(f"GPU {profile.name!r} has no fitted engine"))
    used = nearest_version(engine, profile.engines)
    if used is None:
        used = max(profile.engines, key=lambda name: _version(name)[1])
    return profile.engines[used], used


def nearest_version(name: str, known: Iterable[str]) -> str | None:
    """Return the entry of `known` to use for the engine version `name`; None where the engine is unknown.

    Examples
    --------
    >>> nearest_version("vllm-0.10", ["vllm-0.6", "vllm-0.12"])
    'vllm-0.6'
    >>> nearest_version("vllm-0.5", ["vllm-0.6", "vllm-0.12"])
    'vllm-0.6'
    """
    family, version = _version(name)
    same = sorted((_version(entry)[1], entry) for entry in known if _version(entry)[0] == family)
    if not version or not same:
        return None
    older = [entry for number, entry in same if number <= version]
    return older[-1] if older else same[0][1]


def _version(name: str) -> tuple[str, tuple[int, ...]]:
    """Split ``vllm-0.12`` into its family and a version that compares; the latter is empty without one."""
    match = re.fullmatch(r"(.+)-v?([0-9]+(?:\.[0-9]+)*)", name)
    if match is None:
        return name, ()
    return match[1], tuple(int(part) for part in match[2].split("."))
