"""Three further results of the Cake paper beside ours: the burst, the fluctuation, and where Cake loses.

The paper's settings are not all known to us; what is assumed stands in each case's label. Nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simulator.experiments.reproduce_cake import (
    BASELINES,
    GBIT_BYTES_PER_S,
    cell_scenario,
    cell_ttft_s,
    log_rmse,
    takes_part_in_fit,
)
from simulator.policies.batching.fluctuating_budget import FluctuatingBudget
from simulator.policies.kv_loading.cake import Cake
from simulator.scenario.spec import BandwidthUniform, LlmPolicies, Scenario
from simulator.serving.build import step_cost
from simulator.workloads.arrival_spec import AtOnce
from simulator.workloads.length_spec import Evenly
from simulator.workloads.spec import Synthetic
from simulator.world import simulate

BURST_S = {"first come, first served": 1.50, "Cake's priority": 1.19}
"""Published: when one 16K-token request and 22 short ones have all finished, in s."""

NO_FIT = "*"
"""Marks a published cell that no constant was fitted to."""

MEETING_TOKEN, MEETING_S = 9500, 1.2
"""Published: where and when the pointers meet under fluctuation."""


@dataclass(frozen=True, slots=True)
class Case:
    """One published figure beside ours."""

    label: str
    """What it is, with what is assumed."""
    published: float | None
    """The paper's figure; None where it only states an order."""
    ours: float
    """Our figure."""
    unit: str
    """Unit of both."""

    @property
    def error(self) -> float | None:
        """Relative error of ours; None where nothing is published."""
        return None if self.published is None else self.ours / self.published - 1.0


def cell(model: str, gpu: str, num_gpus: int, bandwidth_gbps: float, share: float = 1.0) -> dict[str, Any]:
    """Return a cell of a 16K-token prompt as `reproduce_cake` reads it."""
    return {
        "model": model,
        "gpu": gpu,
        "num_gpus": num_gpus,
        "bandwidth_gbps": bandwidth_gbps,
        "prompt_tokens": 16384,
        "share": share,
        "kv_bits": 16,
    }


def with_policies(scenario: Scenario, policies: LlmPolicies) -> Scenario:
    """Return the scenario with other policies for its service."""
    service = replace(scenario.llm_services["chat"], policies=policies)
    return replace(scenario, services={"chat": service})


def burst_s(model: str, num_gpus: int, bandwidth_gbps: float, adaptive: bool) -> float:
    """Return when one 16K-token request and 22 short ones (32 to 448 tokens, evenly) have all finished, in s."""
    base = cell_scenario(cell(model, "a100-80g-sxm", num_gpus, bandwidth_gbps), "cake")
    base = with_policies(base, LlmPolicies(kv_loading=Cake(adaptive=adaptive)))
    short = Synthetic(
        trace="synthetic",
        service="chat",
        input_tokens=Evenly(32, 448),
        output_tokens=1,
        requests=22,
        arrivals=AtOnce(),
        delay=1e-3,
    )
    result = simulate(replace(base, workloads={**base.workloads, "short": short}))
    return float(result.requests["chat"].column("finish_s").max())


def fluctuation(kv_bits: int, seeds: int = 40, period_s: float = 0.1) -> tuple[float, float, float, float]:
    """Return token and time at which the pointers meet: means over seeds, then standard deviations."""
    base = cell_scenario(cell("longalpaca-7b", "a100-80g-sxm", 1, 25.0), "cake")
    base = with_policies(base, LlmPolicies(kv_loading=Cake(), batching=FluctuatingBudget(1, 512)))
    service = replace(base.llm_services["chat"], kv_bits=kv_bits)  # type: ignore[arg-type]
    disk = replace(base.devices["disk"], bandwidth=BandwidthUniform(1.0, 25 * GBIT_BYTES_PER_S, period_s))
    base = replace(base, services={"chat": service}, devices={**base.devices, "disk": disk})
    meetings = []
    for seed in range(seeds):
        table = simulate(replace(base, seed=seed)).requests["chat"]
        meetings.append((float(table.column("computed_tokens")[0]), float(table.column("first_token_s")[0])))
    values = np.array(meetings)
    means, deviations = values.mean(axis=0), values.std(axis=0, ddof=1)
    return float(means[0]), float(means[1]), float(deviations[0]), float(deviations[1])


def cases() -> Iterator[Case]:
    """Yield the cases in order."""
    for model, num_gpus, bandwidth in (
        ("longalpaca-13b", 2, 56.0),
        ("longalpaca-7b", 1, 32.0),
        ("longalpaca-7b", 1, 25.0),
    ):
        for (order, published), adaptive in zip(BURST_S.items(), (False, True), strict=True):
            label = f"burst, {order} (assumed: {model}, {num_gpus}x a100-80g-sxm, {bandwidth:g} Gbit/s)"
            yield Case(label, published, burst_s(model, num_gpus, bandwidth, adaptive), "s")
    for bits in (16, 8):
        token, time_s, token_sd, time_sd = fluctuation(bits)
        setting = f"assumed: {bits}-bit KV, bandwidth redrawn every 0.1 s, mean of 40 draws"
        yield Case(
            f"fluctuation, meeting token ({setting}, sd {token_sd:.0f})", MEETING_TOKEN, token, "tokens"
        )
        yield Case(f"fluctuation, meeting time ({setting}, sd {time_sd:.2f} s)", MEETING_S, time_s, "s")
    for share in (0.125, 0.25):
        row = cell("llama-3.1-70b", "a100-80g-sxm", 2, 32.0, share)
        scenario = cell_scenario(row, "cake")
        step_s = step_cost(scenario.llm_services["chat"], scenario.devices["gpu"]).step_s(
            round(512 * share), pairs=16384.0
        )
        io_s = cell_ttft_s(row, "io_only")
        for policy in ("cake", "cake_with_fallback"):
            label = (
                f"70B, share {share:g}, 32 Gbit/s: TTFT of {policy} less io_only (one step is {step_s:.3f} s)"
            )
            yield Case(label, None, cell_ttft_s(row, policy) - io_s, "s")


def report_cake(rows: list[dict[str, Any]]) -> str:
    """Return the table of cells, the log-rmse and, after the published cells, the further cases as text."""
    lines = [
        f"{'model':15s} {'GPUs':>16s} {'share':>6s} {'Gbit/s':>6s} {'tokens':>6s} {'KV':>3s} "
        f"{'over I/O-only':>15s} {'over compute-only':>18s} {'TTFT':>8s}",
        f"{'':56s} {'paper':>8s} {'ours':>6s} {'paper':>11s} {'ours':>6s} {'s':>8s}",
    ]
    for row in rows:
        published = [row.get(f"published_over_{baseline}") for baseline in BASELINES]
        shown = ["-" if value is None else f"{value:.2f}" for value in published]
        mark = "" if takes_part_in_fit(row) or published == [None, None] else f" {NO_FIT}"
        lines.append(
            f"{row['model']:15s} {row['num_gpus']:>2d}x{row['gpu']:>13s} {row['share']:6.3g} "
            f"{row['bandwidth_gbps']:6g} {row['prompt_tokens']:6d} {row['kv_bits']:3d} "
            f"{shown[0]:>8s} {row['speedup_over_io_only']:6.2f} {shown[1]:>11s} "
            f"{row['speedup_over_compute_only']:6.2f} {row['ttft_s']:8.3f}{mark}"
        )
    if not any("published_over_io_only" in row for row in rows):
        return "\n".join(lines)
    groups = {"13B": [r for r in rows if r["model"] == "longalpaca-13b"]}
    groups["other models"] = [r for r in rows if r["model"] != "longalpaca-13b"]
    lines.append("")
    for (name, group), target in zip(groups.items(), (0.06, 0.10), strict=True):
        lines.append(
            f"log-rmse, {name}: {log_rmse(group):.3f} (target at most {target:.2f}, {len(group)} cells)"
        )
    unseen = [row for row in groups["other models"] if not takes_part_in_fit(row)]
    if unseen:
        seen = [row for row in groups["other models"] if takes_part_in_fit(row)]
        names = ", ".join(dict.fromkeys(row["model"] for row in unseen))
        lines.append(
            f"log-rmse, other models without {names}: {log_rmse(seen):.3f} ({len(seen)} cells); {names} alone, in no "
            f"fit: {log_rmse(unseen):.3f}"
        )
    lines.append(
        f"Six constants of vllm-0.6, per GPU and version, were fitted to the cells without {NO_FIT}; none belongs to a "
        "cell"
    )
    lines += ["", "Further results (the paper's settings are not all stated; what is assumed is named)"]
    for case in cases():
        paper = "" if case.published is None else f"paper {case.published:g}, "
        error = "" if case.error is None else f" ({100 * case.error:+.1f} %)"
        lines.append(f"- {case.label}: {paper}ours {case.ours:.4g} {case.unit}{error}")
    return "\n".join(lines)
