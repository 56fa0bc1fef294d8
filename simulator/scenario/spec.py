"""The scenario file as frozen dataclasses: what is simulated, never how.

Field names are the keys of the YAML file; their types carry the unit (`devices.quantity`), so that a value is
in SI base units from here on. A docstring stands under every field and becomes the JSON Schema's description.
Reading and checking live in `simulator.scenario.load`; nothing here knows of SimPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from devices.quantity import (
    Bytes,
    BytesPerSecond,
    Count,
    Multiple,
    NonNegativeCount,
    Pieces,
    Ratio,
    Seconds,
    Tagged,
)
from simulator.policies.autoscaling.fixed import Fixed
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.decoding.autoregressive import Autoregressive
from simulator.policies.kv_loading.compute_only import ComputeOnly
from simulator.policies.node_order.fifo import Fifo
from simulator.policies.queueing.fcfs import Fcfs
from simulator.policies.recovery.reroute import Reroute
from simulator.policies.registry import PolicyOf
from simulator.policies.routing.round_robin import RoundRobin
from simulator.scenario.accounting_spec import AccountingSpec
from simulator.scenario.assistant_spec import AssistantService
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.reader_spec import ReaderSpec
from simulator.scenario.streaming_spec import PhoneSpec, StreamingService
from simulator.workloads.slo import SloClass
from simulator.workloads.spec import GraphTrace, Questions, RequestSpec, VideoWorkload, WorkloadSpec


@dataclass(frozen=True, slots=True)
class BandwidthTrace:
    """Bandwidth that follows a file or a list of change points; it repeats when it ends."""

    path: str | None = None
    """CSV with a header and two columns: time_s, bandwidth_bytes_per_s. Relative to the scenario's folder."""
    times: tuple[Seconds, ...] = ()
    """Change points, ascending, the first one 0; the last one is the period."""
    values: tuple[BytesPerSecond, ...] = ()
    """Bandwidth from each change point on: one fewer than `times`."""


@dataclass(frozen=True, slots=True)
class BandwidthUniform:
    """Bandwidth drawn anew from a uniform distribution every `period`."""

    low: BytesPerSecond
    """Lower end of the distribution."""
    high: BytesPerSecond
    """Upper end of the distribution."""
    period: Seconds
    """Time between two draws; at least 1 ms."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device of the scenario: a catalogue profile, how many, and what differs from the profile."""

    profile: str
    """Name in the device catalogue (`hetsim list devices`)."""
    count: Pieces | None = None
    """How many GPUs; None: as many as the services need. For a storage device: drives striped together. For phones:
    how many alike; None: one."""
    memory: Bytes | None = None
    """GPUs: memory capacity instead of the profile's."""
    capacity: Bytes | None = None
    """Storage: capacity of the whole device instead of the profile's."""
    bandwidth: BytesPerSecond | BandwidthTrace | BandwidthUniform | None = None
    """Storage: read bandwidth instead of the profile's, constant or varying: of the whole device, or of each
    GPU's path where each has its own (DRAM over PCIe)."""
    write_bandwidth: BytesPerSecond | None = None
    """Storage: write bandwidth instead of the profile's, counted as `bandwidth` is."""
    latency: Seconds | None = None
    """Storage: delay before the first byte of a transfer instead of the profile's."""
    link: str | None = None
    """Storage: name of the link that every transfer crosses and shares with the other devices behind it."""
    sharing: Annotated[object, PolicyOf("gpu_sharing")] | None = None
    """GPUs that serve an LLM and help phones too: how either gets its share."""
    phone: PhoneSpec | None = None
    """Phones: network, battery, place, and when they are there; None: the defaults, with no network of their own."""


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """A link of the scenario, shared by every storage device that names it."""

    profile: str
    """Name in the device catalogue."""
    bandwidth: BytesPerSecond | BandwidthTrace | BandwidthUniform | None = None
    """Bandwidth of one direction instead of the profile's; constant or varying."""
    latency: Seconds | None = None
    """Delay of the first byte instead of the profile's."""


@dataclass(frozen=True, slots=True)
class LlmPolicies:
    """The exchangeable decisions of an LLM service: each a name, or a mapping with ``name`` and parameters."""

    batching: Annotated[object, PolicyOf("batching")] = field(default_factory=ChunkedPrefill)
    """Which tokens go into an engine step."""
    kv_loading: Annotated[object, PolicyOf("kv_loading")] = field(default_factory=ComputeOnly)
    """What to do with a prefix whose KV lies in a storage tier: compute it, load it, or both."""
    decoding: Annotated[object, PolicyOf("decoding")] = field(default_factory=Autoregressive)
    """How an answer is decoded."""
    node_order: Annotated[object, PolicyOf("node_order")] = field(default_factory=Fifo)
    """In which order the parts of answers that can be decoded in parallel enter the engine."""
    routing: Annotated[object, PolicyOf("routing")] = field(default_factory=RoundRobin)
    """Which replica serves a request."""
    queueing: Annotated[object, PolicyOf("queueing")] = field(default_factory=Fcfs)
    """Who of those that wait for a replica is admitted next."""
    recovery: Annotated[object, PolicyOf("recovery")] = field(default_factory=Reroute)
    """What becomes of a request whose GPU fails; without `faults` it is never asked."""
    autoscaling: Annotated[object, PolicyOf("autoscaling")] = field(default_factory=Fixed)
    """How many replicas are switched on."""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """What a replica that is switched on does before it takes requests."""

    startup: Seconds = 0.0
    """Time until it begins to load weights: machine, process, libraries."""
    weights_from: str | None = None
    """Storage device that the weights are read from, over its channel and link like all other reads; None: they take no
    time."""


@dataclass(frozen=True, slots=True)
class PrefillSpec:
    """Replicas that do nothing but prefill, for a service whose own replicas then only decode (disaggregation)."""

    gpus: str
    """Name of the GPU device that prefills; it may be that of the service."""
    link: str
    """Name of the link over which KV goes to the replicas that decode; shared with all else that uses it."""
    replicas: NonNegativeCount = 1
    """How many; 0: none, so that the service's own replicas prefill too."""
    tensor_parallel: Count = 1
    """GPUs that share every layer of a replica."""
    pipeline_parallel: Count = 1
    """Stages among which a replica's layers are dealt out, each of `tensor_parallel` GPUs."""


@dataclass(frozen=True, slots=True)
class SpeculativeSpec:
    """Speculative decoding: a small model drafts tokens, the service's own verifies them."""

    draft_model: str
    """Name in the model catalogue; its weights and KV are in the memory of the same GPUs."""
    acceptance: Ratio
    """Chance that a drafted token is accepted, after those before it were. Assumed: what it is in truth hangs on the
    two models and on what is asked."""
    draft_tokens: Count = 4
    """Tokens that are drafted per step and sequence."""


@dataclass(frozen=True, slots=True)
class LlmService:
    """An LLM behind a continuous-batching engine."""

    kind: Literal["llm"]
    """Kind of service."""
    model: str
    """Name in the model catalogue (`hetsim list models`)."""
    gpus: str | Mapping[str, Pieces]
    """Name of the GPU device that serves it; or a pool of unlike ones: how many replicas by the name of each."""
    tensor_parallel: Count = 1
    """GPUs that share every layer of a replica, each holding a slice of it."""
    pipeline_parallel: Count = 1
    """Stages among which a replica's layers are dealt out, each of `tensor_parallel` GPUs."""
    expert_parallel: Count = 1
    """Mixture of experts: groups of a stage's GPUs among which whole experts are dealt out."""
    expert_imbalance: Multiple = 1.0
    """With `expert_parallel`: tokens on the busiest group over the mean of all groups, from 1 on. Assumed: what it is
    in truth hangs on the model and on what is asked."""
    replicas: Pieces | None = None
    """Independent copies; None: as many as the GPUs allow (one where their count is open too), or as `gpus` says."""
    prefill: PrefillSpec | None = None
    """Replicas that prefill for the ones above; None: those prefill too."""
    speculative: SpeculativeSpec | None = None
    """Several tokens per step and sequence; None: one."""
    engine: str = "vllm-0.12"
    """Serving engine and version whose overheads apply (`hetsim list engines`)."""
    precision: Literal["fp32", "fp16", "bf16", "fp8", "int8", "int4"] | None = None
    """Precision of weights instead of the model file's."""
    memory_utilization: Ratio = 0.9
    """Share of GPU memory that weights, activations and KV cache may take together."""
    activation_memory: Bytes = 2 * 2**30
    """GPU memory set aside for activations and work space, per GPU."""
    block_tokens: Count = 16
    """Tokens per paged KV block."""
    prefix_cache: bool = True
    """Share KV blocks of equal prefixes in GPU memory and keep those of finished requests. Without it blocks are
    shared only within an answer that is decoded in parts, and nothing is ever evicted: tiers hold what was stored
    beforehand, or written through."""
    kv_tiers: tuple[str, ...] = ()
    """Storage devices that hold KV evicted from GPU memory, fastest first."""
    kv_write: Literal["write_back", "write_through"] = "write_back"
    """``write_back``: a block goes to the next tier when evicted; ``write_through``: also once computed."""
    kv_bits: Literal[32, 16, 8, 3] | None = None
    """Bits per KV element in storage tiers; None: as in GPU memory."""
    dequantisation_s_per_token: Seconds = 0.0
    """GPU time to expand one loaded token's KV to the precision of the engine."""
    io_chunk_tokens: Count = 128
    """Tokens per storage operation."""
    background_share: Ratio = 0.0
    """Share of every step's token budget that work outside this scenario takes; below 1."""
    background_context_tokens: NonNegativeCount = 0
    """Context that each of those outside tokens attends to."""
    reader: ReaderSpec = field(default_factory=ReaderSpec)
    """Whom the answers are streamed to: what their QoE is held against."""
    cold_start: ColdStart = field(default_factory=ColdStart)
    """What it takes to switch a replica on, where `policies.autoscaling` is not fixed."""
    policies: LlmPolicies = field(default_factory=LlmPolicies)
    """The exchangeable decisions."""

    @property
    def pool(self) -> Mapping[str, int | None]:
        """Replicas by the GPU device that serves them; None: as many as its GPUs allow."""
        return {self.gpus: self.replicas} if isinstance(self.gpus, str) else self.gpus

    @property
    def phases(self) -> tuple[LlmService, ...]:
        """The service itself; where it prefills apart: the half that decodes, and the half that prefills.

        Prefixes are cached, and KV tiers used, by the half that prefills.
        """
        prefill = self.prefill
        if prefill is None or not prefill.replicas:
            return (self,)
        decoding = replace(self, prefill=None, prefix_cache=False, kv_tiers=())
        prefilling = replace(
            self,
            prefill=None,
            gpus=prefill.gpus,
            replicas=prefill.replicas,
            tensor_parallel=prefill.tensor_parallel,
            pipeline_parallel=prefill.pipeline_parallel,
        )
        return decoding, prefilling

    @property
    def replica_gpus(self) -> int:
        """GPUs that a replica takes."""
        return self.tensor_parallel * self.pipeline_parallel


ServiceSpec = Annotated[LlmService | StreamingService | AssistantService, Tagged("kind")]


def reached(services: Mapping[str, ServiceSpec], name: str) -> tuple[str, ...]:
    """Return the LLM services that requests addressed to service `name` may come to: itself, or those of its places."""
    service = services.get(name)
    if isinstance(service, AssistantService):
        places = [place.service for _, place in service.places.services()]
        return tuple(it for it in dict.fromkeys(places) if isinstance(services.get(it), LlmService))
    return (name,) if isinstance(service, LlmService) else ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One complete, validated scenario."""

    version: Literal[1]
    """Version of the file format."""
    name: str
    """Name of the scenario; it becomes part of the run folder's name."""
    devices: Mapping[str, DeviceSpec]
    """Devices by name."""
    services: Mapping[str, ServiceSpec]
    """Services by name."""
    workloads: Mapping[str, WorkloadSpec]
    """Workloads by name."""
    links: Mapping[str, LinkSpec] = field(default_factory=dict)
    """Links by name."""
    faults: Mapping[str, FaultSpec] = field(default_factory=dict)
    """What fails, drops or slows down, by name; nothing does without (docs/faults.md)."""
    accounting: AccountingSpec | None = None
    """What users and devices are booked with; None: the summary tells nothing of it."""
    horizon: Seconds | None = None
    """Simulated time at which the run stops; None: when every request has finished."""
    warmup: Seconds | Literal["none", "mser5"] = "none"
    """What latencies and throughput of LLM services leave out: requests that arrive before this time; ``mser5``: what
    comes before the steady state, which is looked for by MSER-5 (docs/statistics.md); ``none``: nothing."""
    seed: NonNegativeCount = 0
    """Root of every random stream."""
    description: str = ""
    """One or two sentences on what the scenario is for."""
    record_intervals: bool = True
    """Keep one row per run of engine steps (queue, KV occupancy, energy over time)."""

    @property
    def llm_services(self) -> dict[str, LlmService]:
        """Services of kind llm by name."""
        return {name: it for name, it in self.services.items() if isinstance(it, LlmService)}

    @property
    def streaming_services(self) -> dict[str, StreamingService]:
        """Services of kind streaming by name."""
        return {name: it for name, it in self.services.items() if isinstance(it, StreamingService)}

    @property
    def assistants(self) -> dict[str, AssistantService]:
        """Services of kind assistant by name."""
        return {name: it for name, it in self.services.items() if isinstance(it, AssistantService)}

    @property
    def request_workloads(self) -> dict[str, RequestSpec]:
        """Workloads of requests by name."""
        return {name: it for name, it in self.workloads.items() if not isinstance(it, VideoWorkload)}

    def slo_classes(self, service: str) -> dict[str, SloClass]:
        """Return the classes of a service's requests, by workload; those that have none are left out."""
        return {
            name: it.slo
            for name, it in self.request_workloads.items()
            if it.service == service and it.slo is not None
        }

    @property
    def graph_services(self) -> frozenset[str]:
        """LLM services that are asked questions whose answers are dependency graphs."""
        return frozenset(
            service
            for it in self.workloads.values()
            if isinstance(it, GraphTrace | Questions)
            for service in reached(self.services, it.service)
        )

    @property
    def videos(self) -> dict[str, tuple[str, VideoWorkload]]:
        """By streaming service: the name of its workload, and the workload."""
        return {
            it.service: (name, it) for name, it in self.workloads.items() if isinstance(it, VideoWorkload)
        }
