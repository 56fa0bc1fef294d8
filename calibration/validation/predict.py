"""From a file of measurements to predictions: fit on the calibration rows, simulate the cells of the validation rows.

A request is simulated as what it is: one prompt whose KV lies in a storage device of the throttle's bandwidth, served
by an engine with the fitted step cost under the same KV-loading policy. The outcome of a validation row enters
nothing but the comparison.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from calibration.commands import SHAPE_KEYS, shape_of
from calibration.fits.frames import fit_frames, frame_seconds
from calibration.fits.processor import ProcessorFit, fit_processor, step_seconds
from calibration.fits.regression import Regression
from calibration.table import Measurement
from calibration.validation.real_cake import BENCH, BLOCK_TOKENS
from devices.errors import Fault, InputError
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.registry import find
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
from simulator.serving.models import ModelSpec
from simulator.serving.step_cost import StepCost
from simulator.workloads.arrival_spec import AtOnce
from simulator.workloads.spec import Stored, Synthetic
from simulator.world import simulate

UNUSED_MODEL, UNUSED_GPU = "llama-2-7b", "h100-80g-sxm"
"""A scenario names a model and a GPU; the step cost that is given brings its own instead."""

ROOM_BYTES = 64e9
"""Memory of the machine as far as a request is concerned: there is always room for its KV."""

CLOSE = 0.10
"""Policies whose TTFTs differ by less than this are not ranked."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One validation row and what was predicted for it."""

    row: Measurement
    """What was measured."""
    predicted: float
    """In the row's unit."""

    @property
    def error(self) -> float:
        """Relative error."""
        return self.predicted / self.row.value - 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """All that was measured with one number of threads."""

    threads: int
    """Threads that computed."""
    processor: ProcessorFit
    """The device, fitted on its calibration rows."""
    frames: Regression | None
    """The fit of SR frames; None where there were none."""
    predictions: tuple[Prediction, ...]
    """Every validation row, in file order."""

    def of(self, bench: str) -> list[Prediction]:
        """Return the predictions of one benchmark."""
        return [each for each in self.predictions if each.row.bench == bench]


def predict(rows: Sequence[Measurement]) -> list[Part]:
    """Fit and predict, for each number of threads by itself.

    Raises
    ------
    InputError
        Where rows of one role, or of one of the benchmarks that a fit takes, are missing.
    """
    counts = sorted({row.number("threads") for row in rows})
    parts = [_part(int(count), [row for row in rows if row.number("threads") == count]) for count in counts]
    if not parts:
        raise InputError(Fault("there is nothing to predict: the file has no rows"))
    return parts


def _part(threads: int, rows: Sequence[Measurement]) -> Part:
    fitted, unseen = (
        [row for row in rows if row.parameters.get("role") == role] for role in ("calibration", "validation")
    )
    if not unseen:
        raise InputError(Fault(f"there is nothing to predict: no validation rows of {threads} threads"))
    names = {str(row.parameters["model"]) for row in rows if "model" in row.parameters}
    if len(names) != 1:
        raise InputError(
            Fault(f"rows of exactly one model are wanted, found {', '.join(sorted(names)) or 'none'}")
        )
    model = model_named(names.pop())
    processor = fit_processor(fitted, model, cores=threads, memory_bytes=ROOM_BYTES)
    frames = [row for row in fitted if row.bench == "sr"]
    speeds = fit_frames(frames) if frames else None
    cost = processor.cost(model)
    predictions = tuple(Prediction(row, _predicted(row, cost, speeds)) for row in unseen)
    return Part(threads, processor, speeds, predictions)


def _predicted(row: Measurement, cost: StepCost, speeds: Regression | None) -> float:
    if row.bench == BENCH:
        return request_ttft_s(row.parameters, cost)
    if row.bench == "step":
        names = ("batch", "context_tokens", "chunk_tokens", "prefix_tokens")
        return step_seconds(cost, *(row.number(name) for name in names))
    if row.bench == "sr" and speeds is not None:
        size = (int(row.number(name)) for name in ("input_width_px", "input_height_px"))
        return frame_seconds(speeds.constants, str(row.parameters["network"]), *size)
    raise InputError(Fault(f"nothing predicts rows of {row.bench}"))


def request_ttft_s(parameters: Mapping[str, float | str], cost: StepCost) -> float:
    """Return the simulated TTFT of a request as `real_cake` rows describe it, in s."""
    table = simulate(request_scenario(parameters), costs={"chat": cost}).requests["chat"]
    return float(table.column("first_token_s")[0] - table.column("arrival_s")[0])


def request_scenario(parameters: Mapping[str, float | str]) -> Scenario:
    """Return the scenario of a request: one prompt, stored beforehand but for its last block."""
    chunk, io_chunk, prompt = (
        int(parameters[name]) for name in ("chunk_tokens", "io_chunk_tokens", "prompt_tokens")
    )
    # compute_only reads nothing, whatever the bandwidth
    bandwidth = float(parameters.get("bandwidth_bytes_per_s", 1e9))
    service = LlmService(
        kind="llm",
        model=UNUSED_MODEL,
        gpus="processor",
        block_tokens=BLOCK_TOKENS,
        kv_tiers=("disk",),
        io_chunk_tokens=io_chunk,
        policies=LlmPolicies(
            batching=ChunkedPrefill(token_budget=chunk),
            kv_loading=find("kv_loading", str(parameters["policy"]))(),
        ),
    )
    disk = DeviceSpec("ideal-store", bandwidth=bandwidth, capacity=1e15)
    request = Synthetic(
        trace="synthetic",
        service="chat",
        input_tokens=prompt,
        output_tokens=1,
        requests=1,
        arrivals=AtOnce(),
        stored=Stored("disk"),
        hash_block_tokens=BLOCK_TOKENS,
    )
    return Scenario(
        version=1,
        name="real-cake",
        devices={"processor": DeviceSpec(UNUSED_GPU), "disk": disk},
        services={"chat": service},
        workloads={"chat": request},
        record_intervals=False,
    )


def model_named(name: str) -> ModelSpec:
    """Return the 32-bit model that a name such as ``l8h512a8k4d64f1536v4096`` describes.

    Raises
    ------
    InputError
        Where the name is no such description.
    """
    match = re.fullmatch("".join(rf"{letter}(\d+)" for letter in "lhakdfv"), name)
    if match is None:
        raise InputError(Fault(f"{name!r} describes no shape, such as l8h512a8k4d64f1536v4096"))
    text = ",".join(f"{key}={value}" for key, value in zip(SHAPE_KEYS, match.groups(), strict=True))
    return replace(shape_of(text), kv_bits=32, weight_bits=32)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Order of two policies in one cell."""

    cell: str
    """Which prompt and bandwidth."""
    faster: str
    """Policy that was measured to be faster, by more than `CLOSE`."""
    slower: str
    """The other one."""
    right: bool
    """Whether the prediction says so too."""


def rankings(part: Part) -> Iterator[Ranking]:
    """Yield every pair of policies that differ in a cell, prompt by prompt and bandwidth by bandwidth."""
    requests = part.of(BENCH)
    cells = dict.fromkeys(
        (each.row.number("prompt_tokens"), each.row.parameters.get("bandwidth_bytes_per_s"))
        for each in requests
    )
    for prompt, bandwidth in cells:
        if bandwidth is None:
            continue
        here = {
            str(each.row.parameters["policy"]): each
            for each in requests
            if each.row.number("prompt_tokens") == prompt
            and each.row.parameters.get("bandwidth_bytes_per_s") in (None, bandwidth)
        }
        for faster, first in here.items():
            for slower, second in here.items():
                if first.row.value < (1.0 - CLOSE) * second.row.value:
                    cell = f"{prompt:.0f} tokens, {float(bandwidth) / 1e6:.3g} MB/s"
                    yield Ranking(cell, faster, slower, first.predicted < second.predicted)


def median_error(predictions: Sequence[Prediction]) -> float:
    """Return the median |relative error|."""
    return statistics.median(abs(each.error) for each in predictions)


def worst_error(predictions: Sequence[Prediction]) -> float:
    """Return the largest |relative error|."""
    return max(abs(each.error) for each in predictions)
