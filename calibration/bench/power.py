"""Mean electrical power while something runs, where the machine lets one read it."""

from __future__ import annotations

import importlib
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from calibration.bench.harness import Trial, Watts

_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
"""Energy counter of the first processor package (Intel, and AMD from Zen on)."""

_SMI = ["nvidia-smi", "--id=0", "--query-gpu=power.draw", "--format=csv,noheader,nounits"]


def power_reader(device: str) -> tuple[Watts | None, str]:
    """Return what reads the power of `device` (``cpu`` or ``cuda``), and how, in words."""
    if device == "cpu":
        energy_j = rapl_energy_j()
        how = "RAPL energy counter of package 0" if energy_j else "not readable (no RAPL counter)"
        return (counter_watts(energy_j) if energy_j else None), how
    if energy_j := nvml_energy_j():
        return counter_watts(energy_j), "NVML energy counter"
    if shutil.which("nvidia-smi"):
        return _smi_watts, "nvidia-smi, power.draw every 100 ms, median"
    return None, "not readable (neither pynvml nor nvidia-smi)"


def counter_watts(energy_j: Callable[[], float], now: Callable[[], float] = time.perf_counter) -> Watts:
    """Return a reader of mean power from a counter of joules."""

    def watts(trial: Trial, seconds: float) -> float:
        _keep_running(trial, seconds / 4, now)  # clocks and temperature settle
        start, start_j = now(), energy_j()
        _keep_running(trial, seconds * 3 / 4, now)
        return (energy_j() - start_j) / (now() - start)

    return watts


def rapl_energy_j(path: Path = _RAPL) -> Callable[[], float] | None:
    """Return the processor's energy counter; None where it is absent or not ours to read."""

    def energy_j() -> float:
        return int(path.read_text()) / 1e6

    try:
        energy_j()
    except OSError:
        return None
    return energy_j


def nvml_energy_j() -> Callable[[], float] | None:
    """Return the first GPU's energy counter through pynvml; None where either is absent."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(0)
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError:
        return None
    return lambda: float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3


def _smi_watts(trial: Trial, seconds: float) -> float:
    _keep_running(trial, seconds / 4, time.perf_counter)
    with subprocess.Popen([*_SMI, "-lms", "100"], stdout=subprocess.PIPE, text=True) as smi:
        _keep_running(trial, seconds * 3 / 4, time.perf_counter)
        smi.terminate()
        output, _ = smi.communicate()
    readings = [float(line) for line in output.splitlines() if line.strip()]
    if not readings:
        raise RuntimeError("nvidia-smi gave no power reading")
    return statistics.median(readings)


def _keep_running(trial: Trial, seconds: float, now: Callable[[], float]) -> None:
    end = now() + seconds
    while now() < end:
        trial()
