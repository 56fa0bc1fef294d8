"""What phones can do: the SoC's neural accelerator, and the handset around it.

Two kinds of catalogue file, because one chip sits in many handsets and studies report one or the other: a
`SocProfile` predicts the latency of a super-resolution (SR) network from its layers
(`simulator.streaming.sr_latency`) and holds rates of language models; a `PhoneProfile` holds what was measured on a
handset as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from devices.evidence import Evidence
from devices.quantity import Bytes, BytesPerSecond, Count, Flops, Joules, PerSecond, Ratio, Seconds, Watts


@dataclass(frozen=True, slots=True)
class NpuRate:
    """What an accelerator achieves in one number format."""

    ops_per_s: Flops
    """Achieved rate of convolutions whose data are on chip; a multiply-accumulate is two operations."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


@dataclass(frozen=True, slots=True)
class PhoneLlmRate:
    """How fast the accelerator runs one language model, for one question at a time.

    The prompt is taken in chunks of one compiled length, each of which takes the same time however full it is.
    """

    chunk_s: Seconds
    """Time of one chunk of the prompt."""
    chunk_tokens: Count
    """Tokens of a chunk."""
    decode_tokens_per_s: PerSecond
    """Tokens of the answer per second, after the first one."""
    context_tokens: Count
    """Most tokens of prompt and answer together."""
    power_w: Watts
    """Power of the chip and its memory meanwhile, on top of the awake phone."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""

    def ttft_s(self, input_tokens: int) -> float:
        """Return the time from the start of a prompt to the first token of its answer, in s."""
        return -(-input_tokens // self.chunk_tokens) * self.chunk_s


@dataclass(frozen=True, slots=True)
class SocProfile:
    """A phone's chip: SR and language models on its neural accelerator."""

    name: str
    """Catalogue name, such as ``snapdragon-8-gen-3``."""
    title: str
    """Name as the vendor writes it."""
    accelerator: str
    """The processor that runs the network."""
    overhead_s: Seconds
    """Time of an inference that does nothing."""
    tensor_bandwidth_bytes_per_s: BytesPerSecond
    """Rate at which the network's input and output images are taken in, laid out anew and handed back."""
    vector_bandwidth_bytes_per_s: BytesPerSecond
    """Rate of element-wise operations (additions, PReLU), bytes read and written together."""
    memory_bandwidth_bytes_per_s: BytesPerSecond
    """Rate of the feature maps that do not fit on chip, and of weights."""
    on_chip_bytes: Bytes
    """On-chip memory that holds feature maps."""
    cross_validated_error: Ratio
    """Median relative error of the latency of networks that the fit has not seen."""
    precisions: Mapping[str, NpuRate]
    """Rates by number format: ``w8a8`` and, where the accelerator has it, ``float`` (16 bit)."""
    llm: Mapping[str, PhoneLlmRate] = field(default_factory=dict)
    """Rates of language models by name, such as ``llama-3.2-3b``; none where nobody has published any."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


@dataclass(frozen=True, slots=True)
class SrRate:
    """How fast a handset super-resolves frames from one height to another."""

    frames_per_s: PerSecond
    """Frames per second, one stream, nothing else running."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


@dataclass(frozen=True, slots=True)
class PlaybackPower:
    """Power of playing video of one height."""

    power_w: Watts
    """Power of decoding and showing it, as the source counts it."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


@dataclass(frozen=True, slots=True)
class RadioPower:
    """Power of one radio in one direction: ``base_w`` while active, and energy per byte on top."""

    base_w: Watts
    """Power while the radio is active; may include the phone's idle power (see the note)."""
    joules_per_byte: Joules
    """Energy of each byte on top of that; 0 where only the power of the active radio is known."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


@dataclass(frozen=True, slots=True)
class PhoneProfile:
    """A handset: battery, power of what it does, and SR as measured on it."""

    name: str
    """Catalogue name, such as ``galaxy-s10``."""
    title: str
    """Name as the vendor writes it."""
    sr_network: str
    """Network that `sr` was measured with, a name of the SR catalogue."""
    battery_j: Joules
    """Energy of a full battery."""
    idle_w: Watts
    """Power of the awake phone that does nothing else."""
    display_w: Watts
    """Power of the screen alone; part of `idle_w` where the screen is on."""
    sr_w: Watts
    """Power of SR with its decoding and encoding, on top of download and screen."""
    sr_npu_frame_j: Joules
    """Energy of SR of one frame from 180p to 720p on a neural accelerator, where there is one."""
    decode_s_per_s: Ratio
    """Time to decode one second of video of 30 frames, as a share of that second."""
    decode_w: Watts
    """Power of decoding video as fast as it plays, on top of the screen; part of `sr_w` and `playback`."""
    encode_s_per_s: Ratio
    """Time to encode one second of video of 30 frames, as a share of that second."""
    encode_w: Watts
    """Power of encoding video as fast as it plays; part of `sr_w`."""
    radio_tail_w: Watts
    """Power of the cellular radio after a transfer, until it sleeps."""
    radio_tail_s: Seconds
    """How long that lasts."""
    wlan_tail_w: Watts
    """Power of the Wi-Fi radio that is awake without traffic: after a transfer, or always as a hotspot."""
    wlan_tail_s: Seconds
    """How long it stays awake after a transfer where it may sleep."""
    throttle_after_s: Seconds
    """Sustained SR after which the phone is hot."""
    throttled_share: Ratio
    """SR rate of the hot phone over that of the cool one."""
    sr: Mapping[str, SrRate]
    """SR rates by input and output height, such as ``180p-720p``."""
    playback: Mapping[str, PlaybackPower]
    """Playback power by height, such as ``720p``."""
    radios: Mapping[str, RadioPower]
    """Radio power by technology and direction, such as ``lte-down`` and ``wlan-up``."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""
