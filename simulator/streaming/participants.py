"""From a scenario's devices of kind phone to the phones of a group: rates, power, networks, comings and goings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np

from devices.catalogue import load_profile
from devices.errors import Fault, InputError
from devices.phones import PhoneProfile
from devices.profiles import GpuProfile
from simulator.scenario.spec import DeviceSpec, Scenario
from simulator.scenario.streaming_spec import (
    HelperSpec,
    LinkNetwork,
    Network,
    PhoneSpec,
    RecordedNetwork,
    SteadyNetwork,
    StreamingService,
    ThermalSpec,
)
from simulator.streaming.gpu_sr import FULL_HD, helper_sr, video_s_per_frame
from simulator.streaming.group import (
    NO_POWER,
    GroupPhone,
    Helper,
    PhonePower,
    SharedLink,
    Thermal,
    phone,
    phone_thermal,
    with_overhead,
)
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.phone_names import phone_names
from simulator.streaming.sr_rates import combination_heights, sr_frames_per_s
from simulator.streaming.synthetic_trace import load_cellular, markov_trace
from simulator.streaming.trace_files import read_trace, trace_paths

SYNTHETIC_S = 1800.0
"""Length of a synthetic trace before it repeats."""

FRAMES_PER_S = 30.0
"""Of every video."""


class Participants:
    """The phones of a streaming service, session by session.

    Parameters
    ----------
    scenario, service
        The service and all around it.
    segment_s
        Duration of a chunk.
    resolve
        Turns a path of the scenario into a file.

    Raises
    ------
    InputError
        Where a recorded network cannot be read.
    """

    def __init__(
        self,
        scenario: Scenario,
        service: StreamingService,
        segment_s: float,
        resolve: Callable[[str], Path],
    ) -> None:
        self._service = service
        self._frames = FRAMES_PER_S * segment_s
        self._devices = {name: scenario.devices[name] for name in service.phones}
        self._gpus = {name: scenario.devices[helper.gpu] for name, helper in service.helpers.items()}
        self._recorded = {
            name: _read(wwan, resolve)
            for name, device in self._devices.items()
            if isinstance(wwan := (device.phone or PhoneSpec()).wwan, RecordedNetwork)
        }
        self.unit_of: dict[str, tuple[str, int]] = {
            phone: (name, unit)
            for name, device in self._devices.items()
            for unit, phone in enumerate(phone_names(name, device))
        }
        """By phone (``NAME``, or ``NAME-1`` and so on where there are several alike): device, and number in it."""
        self.device_of = {phone: device for phone, (device, _) in self.unit_of.items()}
        """Device of the scenario by phone."""
        names = list(self.unit_of)
        size = service.group_size or len(names)
        self.groups = [names[first : first + size] for first in range(0, len(names), size)]
        """Names of the phones of each group: as many as make a group, in the order of the devices."""

    def phones(
        self, stream: Callable[[str], np.random.Generator], group: int, turn: int
    ) -> tuple[GroupPhone, ...]:
        """Return the phones of one session, and after them its helpers.

        Parameters
        ----------
        stream
            Gives the random generator of a named stream: networks are drawn from ``PHONE/wwan/TURN``.
        group
            Number of the group.
        turn
            Number of the session among those of its group.
        """
        phones = (
            self._phone(device, name, self._devices[device], stream(f"{name}/wwan/{turn}"))
            for name in self.groups[group]
            for device in (self.device_of[name],)
        )
        helpers = (self._helper(name, spec, group) for name, spec in self._service.helpers.items())
        return (*phones, *helpers)

    def _phone(self, device: str, name: str, spec: DeviceSpec, rng: np.random.Generator) -> GroupPhone:
        profile = load_profile(spec.profile)
        assert isinstance(profile, PhoneProfile)
        has, service = spec.phone or PhoneSpec(), self._service
        rates = sr_frames_per_s(has, profile, service)
        made = phone(
            profile,
            radio=has.radio,
            radio_includes_idle=service.radio_includes_idle,
            name=name,
            wwan=None if has.wwan is None else _network(has.wwan, rng, self._recorded.get(device, ())),
            sr_frames_per_s=rates,
            battery_share=has.battery,
            thermal=_thermal(has.thermal, profile),
            position_m=(has.x, has.y),
            moves=tuple((move.at, move.x, move.y) for move in has.moves),
            joins_s=has.joins,
            leaves_s=inf if has.leaves is None else has.leaves,
            away_s=tuple((it.start, inf if it.end is None else it.end) for it in has.away),
        )
        if has.npu:
            made = replace(made, power=_npu_power(made.power, profile, rates))
        return with_overhead(made, has.sr_overhead, self._frames)

    def _helper(self, name: str, spec: HelperSpec, group: int) -> GroupPhone:
        gpu, units = load_profile(self._gpus[name].profile), self._gpus[name].count or 1
        assert isinstance(gpu, GpuProfile)
        speeds = helper_sr(spec, gpu, self._service.super_resolution)
        heights = [combination_heights(it) or (FULL_HD, FULL_HD) for it in speeds] or [(FULL_HD, FULL_HD)]
        streams = -(-len(self.groups) // units)
        return GroupPhone(
            name=name,
            wwan=None if spec.download is None else SharedLink(spec.download),
            sr_frames_per_s={it: speed.frames_per_s for it, speed in speeds.items()},
            # of the highest pictures, as a stage has one speed
            decode_s_per_s=FRAMES_PER_S * video_s_per_frame(gpu, "decode", max(heights)[0], streams),
            encode_s_per_s=FRAMES_PER_S
            * video_s_per_frame(gpu, "encode", max(it[1] for it in heights), streams),
            power=NO_POWER,
            battery_j=inf,
            position_m=(spec.x, spec.y),
            helper=Helper(
                spec.gpu,
                group % units,
                {it: speed.power_w for it, speed in speeds.items()},
                None if spec.access is None else SharedLink(spec.access),
            ),
        )


def _thermal(spec: ThermalSpec, profile: PhoneProfile) -> Thermal:
    found = phone_thermal(profile)  # its resistance is that at the anchor, whatever the surroundings here
    return replace(
        found,
        ambient_c=spec.ambient_c,
        throttle_c=spec.throttle_c,
        stop_c=spec.stop_c,
        time_constant_s=spec.time_constant,
        resistance_k_per_w=spec.resistance_scale * found.resistance_k_per_w,
    )


def _npu_power(power: PhonePower, profile: PhoneProfile, rates: Mapping[str, float]) -> PhonePower:
    """Return the power of a phone whose accelerator spends `PhoneProfile.sr_npu_frame_j` on a frame.

    That figure is of the cheapest combination; others are taken to cost as much more as they are slower (assumed).
    """
    if not rates:
        return power
    fastest = max(rates.values())
    codec_w = (power.decode_w + power.encode_w) * fastest / FRAMES_PER_S  # counted in `PhonePower.sr_w`
    return replace(power, sr_w=profile.sr_npu_frame_j * fastest + codec_w)


def _read(spec: RecordedNetwork, resolve: Callable[[str], Path]) -> tuple[NetworkTrace, ...]:
    place = resolve(spec.path)
    files = trace_paths(place)
    if not files:
        raise InputError(Fault("the folder holds no trace", file=spec.path))
    traces = [read_trace(path) for path in files]
    if not place.is_dir():
        return tuple(traces)
    return tuple(  # what holds for all files is said once
        replace(trace, notes=tuple(note.replace(trace.name, spec.path) for note in trace.notes))
        for trace in traces
    )


def _network(
    spec: Network, rng: np.random.Generator, recorded: tuple[NetworkTrace, ...]
) -> NetworkTrace | SharedLink:
    if isinstance(spec, LinkNetwork):
        return SharedLink(spec.link)
    if isinstance(spec, SteadyNetwork):
        return NetworkTrace("steady", (1.0,), (8.0 * spec.bandwidth,), (spec.latency,))
    if isinstance(spec, RecordedNetwork):
        trace = recorded[int(rng.integers(len(recorded)))]
        drawn_s = rng.uniform(0.0, trace.duration_s)
        trace = trace.starting_at(drawn_s if spec.start is None else spec.start)
        return trace.scaled(spec.scale)
    return markov_trace(load_cellular(spec.like), rng, SYNTHETIC_S, spec.scale)
