"""The device catalogue: ``devices/catalog/*.yaml``, one file per device, a source for every value.

The form of a file is that of `devices.sourced`; its first line is ``kind:`` and one of `PROFILE_KINDS`. Device files
of one's own, such as ``hetsim calibrate`` writes, lie in the folders that the environment variable `OWN_FOLDERS`
names; a name of the catalogue cannot be taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from devices.errors import Fault, InputError
from devices.files import reading
from devices.phones import PhoneProfile, SocProfile
from devices.profiles import KERNELS_ALONE, EngineFit, GpuProfile, LinkProfile, Profile, StorageProfile
from devices.sourced import load_sourced, unknown_name

__all__ = [
    "PROFILE_KINDS",
    "catalogue_files",
    "engine_fit",
    "engine_version",
    "forget_profiles",
    "load_profile",
    "load_sourced",
    "nearest_version",
    "profile_file",
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

OWN_FOLDERS = "HETSIM_DEVICES"
"""Environment variable: folders with further device files, separated as in ``PATH``. Their subfolders ``engines`` and
``models`` hold files of serving engines and of models."""

_FOLDER = Path(__file__).parent / "catalog"

LONGEST_LINE = 100
"""Characters of a first line that are looked at."""


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
    return sorted(name for name, (its_kind, _) in _files().items() if kind in (None, its_kind))


def profile_file(name: str) -> Path:
    """Return the file of the profile called `name`.

    Raises
    ------
    InputError
        Where there is no such device; the message names the nearest.
    """
    known = _files()
    if name not in known:
        raise InputError(Fault(unknown_name("device profile", name, known, "hetsim list devices")))
    return known[name][1]


def load_profile(name: str) -> Profile:
    """Return the profile called `name`; a second call returns the same object.

    Raises
    ------
    InputError
        Where there is no such device (the message names the nearest), or its file has faults.
    """
    return _load(name, profile_file(name))


@cache
def _load(name: str, path: Path) -> Profile:
    return load_sourced(path, PROFILE_KINDS[_files()[name][0]], name=_shown(path), also=("kind",))


def _files() -> Mapping[str, tuple[str, Path]]:
    """Return kind and file of every device by name."""
    return _kinds(os.environ.get(OWN_FOLDERS, ""))


def catalogue_files(shipped: Path, subfolder: str = "") -> dict[str, Path]:
    """Return the YAML files of a catalogue by name: those shipped, and those of the user's own folders.

    Parameters
    ----------
    shipped
        Folder of this project.
    subfolder
        Subfolder of the user's folders that belongs to this catalogue.

    Raises
    ------
    InputError
        Where one of the user's folders does not exist, or a name is taken.
    """
    return dict(_scan(shipped, subfolder, os.environ.get(OWN_FOLDERS, "")))


@cache
def _scan(shipped: Path, subfolder: str, own_folders: str) -> Mapping[str, Path]:
    found = {path.stem: path for path in sorted(shipped.glob("*.yaml"))}
    for folder in (Path(part) for part in own_folders.split(os.pathsep) if part):
        if not folder.is_dir():
            raise InputError(Fault(f"{folder} is not a folder", file=OWN_FOLDERS))
        for path in sorted((folder / subfolder).glob("*.yaml")):
            if path.stem in found:
                raise InputError(Fault(f"{path.stem!r} is the name of another file", file=str(path), line=1))
            found[path.stem] = path
    return found


@cache
def _kinds(own_folders: str) -> Mapping[str, tuple[str, Path]]:
    # The kind stands in the first line, so that a list of names costs no YAML.
    found: dict[str, tuple[str, Path]] = {}
    for name, path in _scan(_FOLDER, "", own_folders).items():
        with reading(path, _shown(path)), path.open(encoding="utf-8") as file:
            match = re.fullmatch(r"kind: (\w+)\n", file.readline(LONGEST_LINE))
        if match is None or match[1] not in PROFILE_KINDS:
            message = f"the first line must be 'kind: ...' with one of {', '.join(PROFILE_KINDS)}"
            raise InputError(Fault(message, file=_shown(path), line=1))
        found[name] = match[1], path
    return found


def _shown(path: Path) -> str:
    """Return what messages call a file."""
    return f"devices/catalog/{path.name}" if path.parent == _FOLDER else str(path)


def forget_profiles() -> None:
    """Read files again when they are next asked for: they have been rewritten."""
    for cached in (_load, _scan, _kinds):
        cached.cache_clear()


def engine_fit(profile: GpuProfile, engine: str) -> tuple[EngineFit, str]:
    """Return what `engine` gets out of a GPU's kernels, and the engine whose numbers these are.

    A version that was not fitted falls back to the nearest older version of the same engine, else to the
    nearest newer one. An engine that was never fitted on this GPU runs its kernels at the rates of the tables:
    `KERNELS_ALONE` and an empty name. The caller can compare the names and say so.
    """
    used = nearest_version(engine, profile.engines)
    return (KERNELS_ALONE, "") if used is None else (profile.engines[used], used)


def nearest_version(name: str, known: Iterable[str]) -> str | None:
    """Return the entry of `known` to use for the engine version `name`; None where the engine is unknown.

    Examples
    --------
    >>> nearest_version("vllm-0.10", ["vllm-0.6", "vllm-0.12"])
    'vllm-0.6'
    >>> nearest_version("vllm-0.5", ["vllm-0.6", "vllm-0.12"])
    'vllm-0.6'
    """
    known = list(known)
    if name in known:
        return name
    family, version = engine_version(name)
    same = sorted((engine_version(entry)[1], entry) for entry in known if engine_version(entry)[0] == family)
    if not version or not same:
        return None
    older = [entry for number, entry in same if number <= version]
    return older[-1] if older else same[0][1]


def engine_version(name: str) -> tuple[str, tuple[int, ...]]:
    """Return family and version of an engine's name, such as ``("vllm", (0, 12))``; without a version it is empty."""
    match = re.fullmatch(r"(.+)-v?([0-9]+(?:\.[0-9]+)*)", name)
    if match is None:
        return name, ()
    return match[1], tuple(int(part) for part in match[2].split("."))
