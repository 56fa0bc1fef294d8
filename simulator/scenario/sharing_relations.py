"""GPUs that serve an LLM and help phones: who may, and what the scenario must say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from devices.catalogue import profile_names
from devices.document import Path_
from simulator.policies.autoscaling.fixed import Fixed
from simulator.scenario.references import Problem
from simulator.scenario.spec import DeviceSpec, LlmService, ServiceSpec
from simulator.scenario.streaming_spec import StreamingService


def check_sharing(
    devices: Mapping[str, DeviceSpec], services: Mapping[str, ServiceSpec]
) -> Iterator[Problem]:
    """Yield the problems of GPUs with two uses, and of `DeviceSpec.sharing` where there are none."""
    for name, device in devices.items():
        served = {
            user: service
            for user, service in services.items()
            if isinstance(service, LlmService) and any(name in phase.pool for phase in service.phases)
        }
        helpers: list[Path_] = [
            ("services", user, "helpers", helper, "gpu")
            for user, service in services.items()
            if isinstance(service, StreamingService)
            for helper, spec in service.helpers.items()
            if spec.gpu == name
        ]
        if device.sharing is None:
            for helper in helpers if served else ():
                message = f"{name!r} serves {', '.join(served)} too: devices.{name}.sharing must say how they share it"
                yield Problem(helper, message)
        elif not (served and helpers):
            yield Problem(
                ("devices", name, "sharing"),
                f"is for a GPU that serves an LLM and helps phones; {name!r} does not do both",
                key=True,
            )
        elif device.profile in profile_names("gpu"):
            yield from _replicas(name, device, served, devices)


def _replicas(
    name: str,
    device: DeviceSpec,
    served: Mapping[str, LlmService],
    devices: Mapping[str, DeviceSpec],
) -> Iterator[Problem]:
    """Yield a problem for each service whose replicas cannot share a unit of a GPU device each."""
    from simulator.serving.build import replica_devices  # noqa: PLC0415 (it imports the scenario's spec)

    need = 0
    for user, service in served.items():
        for phase, place in zip(
            service.phases, (("services", user), ("services", user, "prefill")), strict=False
        ):
            if name in phase.pool and phase.replica_gpus > 1:
                message = f"a replica takes {phase.replica_gpus} GPUs; allowed on a shared GPU: 1"
                key = "tensor_parallel" if phase.tensor_parallel > 1 else "pipeline_parallel"
                yield Problem((*place, key), message)
        if not isinstance(service.policies.autoscaling, Fixed):
            message = f"switches replicas off that share {name!r} with helpers; allowed: fixed"
            yield Problem(("services", user, "policies", "autoscaling"), message)
        if all(gpus in devices for phase in service.phases for gpus in phase.pool):
            need += sum(gpus == name for gpus in replica_devices(service, devices))
    if need > (device.count or 1):
        message = f"has {need} replicas, each of which shares a GPU of its own; count is {device.count or 1}"
        yield Problem(("devices", name), message)
