"""What each device of a scenario did over a whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devices.catalogue import load_profile
from devices.phones import PhoneProfile
from devices.profiles import GpuProfile
from simulator.core import WorkQueue
from simulator.scenario.spec import Scenario
from simulator.serving.service import ServiceRuntime
from simulator.serving.storage import StorageDevice

if TYPE_CHECKING:
    from simulator.assistant.runtime import AssistantRuntime
    from simulator.streaming.service import StreamingRuntime


@dataclass(frozen=True, slots=True, eq=False)
class DeviceTotals:
    """What one device did over the whole run."""

    busy_s: float
    """Time in use, averaged over its units; of a phone: of super-resolution and language models."""
    energy_j: float
    """Energy, idle power included; what a phone spends on questions is on top of the awake phone."""
    read_bytes: float = 0.0
    """Bytes loaded from it (storage)."""
    written_bytes: float = 0.0
    """Bytes written to it (storage)."""
    on_s: float = 0.0
    """Time for which it was switched on, summed over its units: what is paid for, whether idle, busy or failed."""


def totals_by_device(
    scenario: Scenario,
    services: Mapping[str, ServiceRuntime],
    storage: Mapping[str, StorageDevice],
    streaming: Mapping[str, StreamingRuntime],
    assistants: Mapping[str, AssistantRuntime],
    processors: Mapping[str, Sequence[WorkQueue]],
    end_s: float,
) -> dict[str, DeviceTotals]:
    """Add up what the devices of a scenario did until `end_s`, by name.

    Parameters
    ----------
    scenario
        What was simulated.
    services, storage, streaming, assistants
        Its LLM services, storage devices, streaming services and assistants, by name, at their end.
    processors
        SR on the units of those GPU devices that help phones, by name.
    end_s
        Simulated time at the end.
    """
    totals: dict[str, DeviceTotals] = {}
    for name, device in scenario.devices.items():
        if name in storage:
            tier = storage[name]
            totals[name] = DeviceTotals(
                tier.busy_s(),
                tier.energy_j(),
                tier.read_bytes,
                tier.written_bytes,
                (device.count or 1) * end_s,
            )
            continue
        profile = load_profile(device.profile)
        if isinstance(profile, PhoneProfile):
            totals[name] = _phone_totals(name, streaming, assistants, (device.count or 1) * end_s)
            continue
        assert isinstance(profile, GpuProfile)
        step_gpu_s = busy_gpu_s = busy_j = down_gpu_s = off_gpu_s = 0.0
        used = 0
        for service in services.values():
            for replica in service.replicas:
                if replica.gpus == name:
                    profile = replica.cost.gpu
                    step_gpu_s += replica.account.busy_s * replica.cost.gpus
                    busy_gpu_s += replica.account.gpu_s * replica.cost.gpus
                    busy_j += replica.account.busy_j
                    down_gpu_s += replica.uptime.down_s * replica.cost.gpus
                    off_gpu_s += replica.uptime.off_s * replica.cost.gpus
                    used += replica.cost.gpus
        units = processors.get(name, ())
        down_gpu_s += sum(unit.down_s for unit in units[used:])  # replicas stand on the first ones
        gpus = device.count or max(used, len(units))
        on_gpu_s = gpus * end_s - off_gpu_s
        # a failed one draws nothing; steps have their idle power with them, SR has not
        idle_j = profile.idle_w * max(0.0, on_gpu_s - step_gpu_s - down_gpu_s)
        busy_gpu_s += sum(unit.used_s for unit in units)
        busy_j += sum(unit.work_j for unit in units)
        totals[name] = DeviceTotals(busy_gpu_s / gpus, busy_j + idle_j, on_s=on_gpu_s)
    return totals


def _phone_totals(
    device: str,
    streaming: Mapping[str, StreamingRuntime],
    assistants: Mapping[str, AssistantRuntime],
    on_s: float,
) -> DeviceTotals:
    """Return the time of SR and language models per phone, and the energy of all of a device's phones."""
    busy_s = energy_j = 0.0
    phones = 0
    for run in streaming.values():
        mine = run.viewers.column("device") == device
        busy_s += float(run.viewers.column("sr_busy_s")[mine].sum())
        energy_j += float(run.viewers.column("energy_j")[mine].sum())
        phones = max(phones, len(set(run.viewers.column("phone")[mine])))
    for assistant in assistants.values():
        asking = [phone for phone in assistant.phones if phone.device == device]
        busy_s += sum(phone.busy_s for phone in asking)
        energy_j += sum(phone.energy_j for phone in asking)
        phones = max(phones, len(asking))
    return DeviceTotals(busy_s / max(phones, 1), energy_j, on_s=on_s)
