"""From the catalogue to a group: phones from their profiles, combinations from a video's ladder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from devices.catalogue import unknown_name
from devices.errors import Fault, InputError
from devices.phones import PhoneProfile
from simulator.policies.collaboration.protocol import Combination
from simulator.streaming.group.phones import GroupPhone, PhonePower
from simulator.streaming.group.thermal import Thermal, resistance_for
from simulator.streaming.video import Video

ANCHOR_W = 7.3
"""Power of the flagship whose slowing down `PhoneProfile.throttle_after_s` tells."""


def phone_power(profile: PhoneProfile, radio: str = "lte", radio_includes_idle: bool = True) -> PhonePower:
    """Return what a handset draws, with no part counted twice.

    The profile's `idle_w` contains the lit screen; its `sr_w` contains decoding and encoding. Whether the power of
    the active cellular radio contains the awake phone is not documented at the source.

    Parameters
    ----------
    profile
        The handset.
    radio
        Technology of the WWAN, such as ``lte`` or ``5g-low``.
    radio_includes_idle
        Whether to take `idle_w` off the radio's power (assumed).

    Raises
    ------
    InputError
        Where the profile has no such radio.
    """
    down = f"{radio}-down"
    if down not in profile.radios:
        known = [name.removesuffix("-down") for name in profile.radios if name.endswith("-down")]
        raise InputError(Fault(f"{profile.name}: {unknown_name('radio', radio, known)}"))
    cellular = profile.radios[down]
    return PhonePower(
        rest_w=profile.idle_w - profile.display_w,
        display_w=profile.display_w,
        cellular_w=max(cellular.base_w - (profile.idle_w if radio_includes_idle else 0.0), 0.0),
        cellular_j_per_byte=cellular.joules_per_byte,
        cellular_tail_w=profile.radio_tail_w,
        cellular_tail_s=profile.radio_tail_s,
        wlan_receive_w=profile.radios["wlan-down"].base_w,
        wlan_send_w=profile.radios["wlan-up"].base_w,
        wlan_awake_w=profile.wlan_tail_w,
        wlan_tail_s=profile.wlan_tail_s,
        decode_w=profile.decode_w,
        encode_w=profile.encode_w,
        sr_w=profile.sr_w,
        cellular_send_j_per_byte=profile.radios[f"{radio}-up"].joules_per_byte,
    )


def phone_thermal(profile: PhoneProfile, base: Thermal | None = None) -> Thermal:
    """Return `base` (None: the default) with the resistance and the share that the profile's figures give."""
    base = base or Thermal()
    resistance = resistance_for(base, ANCHOR_W, profile.throttle_after_s)
    return replace(base, resistance_k_per_w=resistance, throttled_share=profile.throttled_share)


def phone(
    profile: PhoneProfile,
    *,
    radio: str = "lte",
    radio_includes_idle: bool = True,
    sr_frames_per_s: Mapping[str, float] | None = None,
    **fields: Any,
) -> GroupPhone:
    """Return a phone of a group.

    Parameters
    ----------
    profile
        The handset.
    radio, radio_includes_idle
        See `phone_power`.
    sr_frames_per_s
        SR rates by combination; None: those of the profile.
    fields
        Further fields of `GroupPhone`; ``name`` and ``wwan`` are needed unless the handset's name will do and there
        is no WWAN.
    """
    rates = {name: rate.frames_per_s for name, rate in profile.sr.items()}
    values: dict[str, Any] = {
        "name": profile.name,
        "wwan": None,
        "sr_frames_per_s": rates if sr_frames_per_s is None else sr_frames_per_s,
        "decode_s_per_s": profile.decode_s_per_s,
        "encode_s_per_s": profile.encode_s_per_s,
        "power": phone_power(profile, radio, radio_includes_idle),
        "battery_j": profile.battery_j,
        "thermal": phone_thermal(profile),
    }
    return GroupPhone(**{**values, **fields})


def with_overhead(made: GroupPhone, overhead_s: float, frames: float) -> GroupPhone:
    """Return a phone whose SR loses a time with each chunk, at no energy.

    Parameters
    ----------
    made
        The phone without that loss.
    overhead_s
        What it loses with each chunk.
    frames
        Frames of a chunk.
    """
    quick = made.sr_frames_per_s
    if not quick:
        return made
    rates = {name: frames / (frames / rate + overhead_s) for name, rate in quick.items()}
    fastest = max(quick, key=quick.__getitem__)  # of it the energy is the same, of others nearly
    sr_w = made.power.sr_w * (rates[fastest] / quick[fastest])
    return replace(made, sr_frames_per_s=rates, power=replace(made.power, sr_w=sr_w))


def combination(video: Video, name: str, quality_bps: float, output_bps: float | None = None) -> Combination:
    """Return the combination of a ladder that downloads one height and plays another.

    Parameters
    ----------
    video
        Its ladder must have the input height.
    name
        Such as ``180p-720p``.
    quality_bps
        Bitrate at which the plain video looks as good.
    output_bps
        Bitrate of the encoded result; None: that of the ladder's level of the output height.

    Raises
    ------
    InputError
        Where the name is none of that form, or the ladder lacks a height.
    """
    source, _, target = name.partition("-")
    heights = {f"{height}p": level for level, height in enumerate(video.heights) if height}
    if source not in heights or not target.removesuffix("p").isdigit() or source == target:
        raise InputError(
            Fault(f"combination {name!r}; allowed: HEIGHTp-HEIGHTp, from one of {', '.join(heights)}")
        )
    if output_bps is None:
        if target not in heights:
            raise InputError(
                Fault(f"combination {name!r}: the ladder has no {target}, so say its output bitrate")
            )
        output_bps = video.bitrates_bps[heights[target]]
    level = heights[source]
    return Combination(level, video.heights[level], int(target.removesuffix("p")), quality_bps, output_bps)
