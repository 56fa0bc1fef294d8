"""Serving engines: the time that an engine version spends beyond what the GPU's kernels take.

One file per version in ``simulator/serving/catalog/engines``, every value with its source. What the version
gets out of a GPU's peak rates stands with the GPU (`devices.profiles.EngineFit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from devices.catalogue import catalogue_files, load_sourced, nearest_version, unknown_name
from devices.errors import Fault, InputError
from devices.evidence import Evidence
from devices.quantity import Count, Seconds

_FOLDER = Path(__file__).parent / "catalog" / "engines"


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """Overheads and defaults of one version of a serving engine."""

    name: str
    """Catalogue name, such as ``vllm-0.12``."""
    title: str
    """Name as people write it."""
    step_overhead_s: Seconds
    """CPU and scheduler time of an engine step that the GPU waits for."""
    layer_overhead_s: Seconds
    """Norms, activations, rotary embedding and launches, per layer and step."""
    tensor_parallel_overhead_s: Seconds
    """Extra time of a step when several GPUs take part."""
    allreduce_overhead_s: Seconds
    """Extra time of an all-reduce that is launched by itself, as in steps with prefill chunks; decodes alone run as
    one CUDA graph, for which the device's own time holds."""
    sequence_overhead_s: Seconds
    """Extra time of a step per decoding sequence: sampling, detokenisation and scheduling."""
    request_overhead_s: Seconds
    """Time of a request outside the engine's steps: HTTP, tokenisation and hand-over; part of its TTFT."""
    kv_load_overhead_s: Seconds
    """Constant time of a request that loads KV: connector look-up and hand-over."""
    default_token_budget: Count
    """Tokens per step unless the batching policy says otherwise."""
    default_max_sequences: Count
    """Sequences per step unless the batching policy says otherwise."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


def engine_names() -> list[str]:
    """Return the names of the catalogue's engines in alphabetical order."""
    return sorted(catalogue_files(_FOLDER, "engines"))


def engine_file(name: str) -> Path:
    """Return the file of the engine called `name`, which must be in the catalogue."""
    return catalogue_files(_FOLDER, "engines")[name]


def load_engine(name: str) -> EngineProfile:
    """Return the profile of the engine version `name`.

    A version that the catalogue lacks falls back to the nearest older one (else the nearest newer one): the
    returned profile's own name tells.

    Raises
    ------
    InputError
        Where the engine is unknown; the message names the nearest.
    """
    known = engine_names()
    used = nearest_version(name, known)
    if used is None:
        raise InputError(Fault(unknown_name("engine", name, known)))
    return _load(engine_file(used))


@cache
def _load(path: Path) -> EngineProfile:
    shown = f"simulator/serving/catalog/engines/{path.name}" if path.parent == _FOLDER else str(path)
    return load_sourced(path, EngineProfile, name=shown)


def forget_engines() -> None:
    """Read files again when they are next asked for: they have been rewritten."""
    _load.cache_clear()
