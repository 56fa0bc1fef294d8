"""From the storage devices and links of a scenario to their channels."""

from __future__ import annotations

import csv
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
from simulator.scenario.spec import BandwidthTrace, BandwidthUniform, DeviceSpec, LinkSpec
from simulator.serving.storage import StorageDevice

BandwidthSpec = float | BandwidthTrace | BandwidthUniform
"""What a scenario may say about a bandwidth."""


def build_bandwidth(
    spec: BandwidthSpec, name: str, streams: Streams, resolve: Callable[[str], Path]
) -> Bandwidth:
    """Return the bandwidth over time that a scenario describes; `name` is that of the device, for its stream."""
    if isinstance(spec, BandwidthUniform):
        return UniformBandwidth(spec.low, spec.high, spec.period, streams.stream(f"{name}/bandwidth"))
    if isinstance(spec, BandwidthTrace):
        times, values = (
            (spec.times, spec.values) if spec.path is None else read_bandwidth(resolve(spec.path), spec.path)
        )
        try:
            return TraceBandwidth(times[:-1], values, times[-1])
        except CoreError as error:
            raise InputError(Fault(str(error), f"devices.{name}.bandwidth")) from error
    return ConstantBandwidth(spec)


def read_bandwidth(path: Path, shown: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read a bandwidth trace: CSV with columns ``time_s,bandwidth_bytes_per_s``.

    The last row's time is the period; its bandwidth is not used.

    Raises
    ------
    InputError
        Naming file and row of everything that is wrong.
    """
    faults: list[Fault] = []
    times: list[float] = []
    values: list[float] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = [field.strip() for field in next(rows, [])]
        if header != ["time_s", "bandwidth_bytes_per_s"]:
            raise InputError(
                Fault(
                    f"header is {header}; allowed: time_s,bandwidth_bytes_per_s", file=shown, line=1, column=1
                )
            )
        for row in rows:
            try:
                time, value = (float(field) for field in row)
            except ValueError as error:
                faults.append(Fault(f"row {row}: {error}", file=shown, line=rows.line_num, column=1))
            else:
                times.append(time)
                values.append(value)
    if not faults and len(times) < 2:
        faults.append(Fault("a bandwidth trace needs at least two rows", file=shown))
    if faults:
        raise InputError(faults)
    return tuple(times), tuple(values[:-1])


def build_storage(
    env: Environment,
    name: str,
    spec: DeviceSpec,
    links: Mapping[str, LinkSpec],
    link_channels: dict[str, tuple[Channel, Channel]],
    ports: list[int],
    streams: Streams,
    resolve: Callable[[str], Path],
) -> StorageDevice:
    """Build one storage device.

    A device behind a link moves data at the rate of the narrower of the two: over the link's own channel, which
    it shares with every other such device, where the link is the narrower one, over its own channel otherwise.

    Parameters
    ----------
    link_channels
        Channels of links that are built already; this function adds to it.
    ports
        GPUs per port, for devices of which each GPU has its own.
    """
    profile = load_profile(spec.profile)
    if not isinstance(profile, StorageProfile):
        raise TypeError(f"{spec.profile} is not a storage device")
    count = spec.count or 1
    latency_s = profile.latency_s if spec.latency is None else spec.latency
    per_operation_s = profile.per_operation_s / count
    capacity = profile.capacity_bytes * count if spec.capacity is None else spec.capacity
    write_bytes_per_s = spec.write_bandwidth or profile.write_bandwidth_bytes_per_s * count
    read_spec = spec.bandwidth or profile.read_bandwidth_bytes_per_s * count

    if spec.link is not None:
        read = build_bandwidth(read_spec, name, streams, resolve)
        link = links[spec.link]
        link_profile = load_profile(link.profile)
        assert isinstance(link_profile, LinkProfile)
        link_bandwidth = build_bandwidth(
            link.bandwidth or link_profile.bandwidth_bytes_per_s, spec.link, streams, resolve
        )
        latency_s += link_profile.latency_s if link.latency is None else link.latency
        if link_bandwidth.mean_bytes_per_s <= read.mean_bytes_per_s:
            if spec.link not in link_channels:
                there = Channel(env, link_bandwidth, latency_s, link_profile.per_operation_s, spec.link)
                back = (
                    Channel(env, link_bandwidth, latency_s, link_profile.per_operation_s, spec.link)
                    if link_profile.duplex == "full"
                    else there
                )
                link_channels[spec.link] = (there, back)
            there, back = link_channels[spec.link]
            return StorageDevice(env, name, profile, capacity, [there], [back])

    groups = ports if profile.attachment == "per_gpu" else [1]
    readers, writers = [], []
    factor = 1.0
    for port, gpus in enumerate(groups):
        label = f"{name}/{port}" if len(groups) > 1 else name
        if isinstance(read_spec, BandwidthTrace | BandwidthUniform):
            read = build_bandwidth(read_spec, label, streams, resolve)
        else:
            read = ConstantBandwidth(read_spec * gpus)
        reader = Channel(env, read, latency_s, per_operation_s / gpus, label)
        readers.append(reader)
        if profile.duplex == "full":
            write = ConstantBandwidth(write_bytes_per_s * gpus)
            writers.append(Channel(env, write, latency_s, per_operation_s / gpus, f"{label}/write"))
        else:
            writers.append(reader)
            factor = read.mean_bytes_per_s / (write_bytes_per_s * gpus)
    return StorageDevice(env, name, profile, capacity, readers, writers, factor)
