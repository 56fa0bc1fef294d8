"""From the storage devices and links of a scenario to their channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from devices.catalogue import load_profile
from devices.errors import Fault, InputError
from devices.profiles import LinkProfile, StorageProfile
from simulator.core import (
    Bandwidth,
    Channel,
    ConstantBandwidth,
    CoreError,
    Environment,
    Streams,
    TraceBandwidth,
    UniformBandwidth,
)
from simulator.core.scaled_bandwidth import ScaledBandwidth
from simulator.faults.periods import Faults
from simulator.scenario.spec import BandwidthTrace, BandwidthUniform, DeviceSpec, LinkSpec
from simulator.serving.storage import Path as ChannelPath
from simulator.serving.storage import StorageDevice
from simulator.workloads.sources import LATEST_S, SourceFile

BandwidthSpec = float | BandwidthTrace | BandwidthUniform
"""What a scenario may say about a bandwidth."""


def build_bandwidth(
    spec: BandwidthSpec, name: str, streams: Streams, resolve: Callable[[str], Path], factor: float = 1.0
) -> Bandwidth:
    """Return `factor` times the bandwidth that a scenario describes; `name` is that of the device's stream."""
    if isinstance(spec, BandwidthUniform):
        rng = streams.stream(f"{name}/bandwidth")
        return UniformBandwidth(spec.low * factor, spec.high * factor, spec.period, rng)
    if isinstance(spec, BandwidthTrace):
        times, values = (
            (spec.times, spec.values)
            if spec.path is None
            else read_bandwidth(SourceFile(resolve(spec.path), spec.path))
        )
        try:
            return TraceBandwidth(times[:-1], [value * factor for value in values], times[-1])
        except CoreError as error:
            raise InputError(Fault(str(error), f"devices.{name}.bandwidth")) from error
    return ConstantBandwidth(spec * factor)


def _with_faults(bandwidth: Bandwidth, faults: Faults, *, device: str = "", link: str = "") -> Bandwidth:
    """Return a bandwidth as the faults of a device or link leave it."""
    factors = faults.bandwidth_factors(device=device, link=link)
    return bandwidth if factors is None else ScaledBandwidth(bandwidth, factors)


def read_bandwidth(source: SourceFile) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read a bandwidth trace: CSV with columns ``time_s,bandwidth_bytes_per_s``.

    The last row's time is the period; its bandwidth is not used.

    Raises
    ------
    InputError
        Naming file and row of everything that is wrong.
    """
    times: list[float] = []
    values: list[float] = []
    line = 1
    for line, (at, value) in source.table(("time_s", "bandwidth_bytes_per_s")):
        time_s = source.number(at, "time_s", line, LATEST_S)
        bytes_per_s = source.number(value, "bandwidth_bytes_per_s", line)
        if time_s is None or bytes_per_s is None:
            continue
        if not times and time_s != 0.0:
            source.fault(f"time_s is {time_s:.9g}; the first row's must be 0", line)
        if times and time_s <= times[-1]:
            source.fault(f"time_s is {time_s:.9g}, not above that of the row before ({times[-1]:.9g})", line)
        times.append(time_s)
        values.append(bytes_per_s)
    source.check()
    if len(times) < 2:
        raise source.fail("a bandwidth trace needs at least two rows", line)
    if not any(values[:-1]):
        raise source.fail("every bandwidth is 0, so that nothing could ever be moved", line)
    return tuple(times), tuple(values[:-1])


def build_link(
    env: Environment,
    name: str,
    spec: LinkSpec,
    streams: Streams,
    faults: Faults,
    resolve: Callable[[str], Path],
) -> tuple[Channel, Channel]:
    """Build the channels of a link, there and back; the same one twice where it is half duplex."""
    profile = load_profile(spec.profile)
    if not isinstance(profile, LinkProfile):
        raise TypeError(f"{spec.profile} is not a link")
    bandwidth = build_bandwidth(spec.bandwidth or profile.bandwidth_bytes_per_s, name, streams, resolve)
    bandwidth = _with_faults(bandwidth, faults, link=name)
    latency_s = profile.latency_s if spec.latency is None else spec.latency
    there = Channel(env, bandwidth, latency_s, profile.per_operation_s, name)
    if profile.duplex == "half":
        return there, there
    return there, Channel(env, bandwidth, latency_s, profile.per_operation_s, f"{name}/back")


def build_storage(
    env: Environment,
    name: str,
    spec: DeviceSpec,
    links: Mapping[str, tuple[Channel, Channel]],
    ports: list[int],
    streams: Streams,
    faults: Faults,
    resolve: Callable[[str], Path],
) -> StorageDevice:
    """Build one storage device.

    Every transfer of a device behind a link occupies both, the device's channel and the link's (see `Tandem`).

    Parameters
    ----------
    links
        Channels of the scenario's links, there and back.
    ports
        GPUs per port, for devices of which each GPU has its own path.
    """
    profile = load_profile(spec.profile)
    if not isinstance(profile, StorageProfile):
        raise TypeError(f"{spec.profile} is not a storage device")
    count = spec.count or 1
    latency_s = profile.latency_s if spec.latency is None else spec.latency
    capacity = profile.capacity_bytes * count if spec.capacity is None else spec.capacity
    write_bytes_per_s = spec.write_bandwidth or profile.write_bandwidth_bytes_per_s * count
    read_spec = spec.bandwidth or profile.read_bandwidth_bytes_per_s * count
    there, back = links[spec.link] if spec.link is not None else (None, None)

    readers: list[ChannelPath] = []
    writers: list[ChannelPath] = []
    factor = 1.0
    groups = ports if profile.attachment == "per_gpu" else [1]
    for port, gpus in enumerate(groups):
        label = f"{name}/{port}" if len(groups) > 1 else name
        # The GPUs of a group load their own shares of the KV over their own paths at the same time.
        read = build_bandwidth(read_spec, label, streams, resolve, gpus)
        read = _with_faults(read, faults, device=name)
        per_operation_s = profile.per_operation_s / (count * gpus)
        reader = writer = Channel(env, read, latency_s, per_operation_s, label)
        if profile.duplex == "full":
            write = _with_faults(ConstantBandwidth(write_bytes_per_s * gpus), faults, device=name)
            writer = Channel(env, write, latency_s, per_operation_s, f"{label}/write")
        else:
            factor = read.mean_bytes_per_s / (write_bytes_per_s * gpus)
        readers.append((reader,) if there is None else (reader, there))
        writers.append((writer,) if back is None else (writer, back))
    return StorageDevice(env, name, profile, count, capacity, readers, writers, factor)
