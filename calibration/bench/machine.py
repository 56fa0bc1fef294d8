"""The header of a table: hardware, software and date; nothing that names a host, a user or a folder."""

from __future__ import annotations

import datetime
import importlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from calibration.bench.harness import need
from calibration.readers import names

PACKAGES = ("hetsim", "torch", "onnxruntime", "numpy")
"""Packages whose versions the header gives, where installed."""

_PATH_OPTIONS = ("-o", "--output", "--dir")
"""Options whose values are paths; the header keeps the last part only."""


def header(
    device: str, name: str, command: Sequence[str], power: str, now: datetime.datetime
) -> dict[str, str]:
    """Return the header of a table measured on this machine.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda``.
    name
        What the rows call it.
    command
        What the user typed.
    power
        How power was read.
    now
        When; the date alone is kept, in UTC.
    """
    return {
        "device": name,
        "hardware": "; ".join([cpu(), *([gpu()] if device == "cuda" else [])]),
        "software": ", ".join(software(device)),
        "power": power,
        "load": f"{os.getloadavg()[0]:.1f} processes in the minute before",
        "date": now.astimezone(datetime.UTC).date().isoformat(),
        "command": shown_command(command),
        "source": "measured with hetsim calibrate",
        "licence": "Apache-2.0",
    }


def cpu(info: Path = Path("/proc/cpuinfo")) -> str:
    """Return model, cores that we may use, and memory of this machine."""
    model, family = platform.machine(), ""
    if info.is_file():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        entries = {key.strip(): value.strip() for key, _, value in lines}
        model = entries.get("model name", model)
        if {"cpu family", "model"} <= entries.keys():
            family = f" (family {entries['cpu family']}, model {entries['model']})"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}{family}, {cores} cores, {memory_bytes() / 2**30:.1f} GiB memory"


def memory_bytes() -> int:
    """Return the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gpu() -> str:
    """Return model, memory, multiprocessors and driver of the GPU in use."""
    torch = need("torch")
    found = torch.cuda.get_device_properties(0)
    text = (
        f"{found.name}, {found.total_memory / 2**30:.1f} GiB, {found.multi_processor_count} multiprocessors"
    )
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--id=0", "--query-gpu=driver_version,power.limit", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            driver, limit = (part.strip() for part in answer.stdout.strip().split(",")[:2])
            text += f", driver {driver}, power limit {limit}"
    return text


def software(device: str) -> list[str]:
    """Return the versions that a measurement may depend on."""
    found = [f"{platform.system()} {platform.release().split('-')[0]}", f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    try:
        torch = importlib.import_module("torch")
    except ImportError:  # copies, storage and network do without
        pass
    else:
        if device == "cuda":
            found.append(f"CUDA {torch.version.cuda}")
        else:
            found.append(f"torch on {torch.backends.cpu.get_cpu_capability()}")
        found.append(f"{torch.get_num_threads()} torch threads")
    if shutil.which("fio"):
        answer = subprocess.run(["fio", "--version"], capture_output=True, text=True, check=False)
        found.append(answer.stdout.strip().replace("-", " ", 1))
    return [entry for entry in found if entry]


def default_name(device: str) -> str:
    """Return what rows call this machine's `device` unless the user says otherwise: its model, as a name."""
    text = (
        str(need("torch").cuda.get_device_name(0)) if device == "cuda" else cpu().split(" (")[0].split(",")[0]
    )
    return names.gpu(text) if device == "cuda" else names.slug(text)


def shown_command(command: Sequence[str]) -> str:
    """Return a command line without folders."""
    shown: list[str] = []
    for word in command:
        option, equals, value = word.partition("=")
        if shown and shown[-1] in _PATH_OPTIONS:
            shown.append(_last_part(word))
        elif equals and option in _PATH_OPTIONS:
            shown.append(f"{option}={_last_part(value)}")
        else:
            shown.append(word)
    return " ".join(shown)


def _last_part(text: str) -> str:
    return Path(text).name or "."
