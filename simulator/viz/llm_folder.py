"""From stored runs of an LLM service to the data of a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from devices.catalogue import load_profile
from devices.profiles import LinkProfile, StorageProfile
from simulator.experiments.run_store import StoredRun
from simulator.experiments.statistics import over_replications
from simulator.metrics.answers import LATENCIES
from simulator.metrics.summary import COMPLETED
from simulator.scenario.spec import Scenario
from simulator.serving.build import replica_places
from simulator.serving.memory import kv_capacity_blocks
from simulator.viz.bands import estimates
from simulator.viz.latency import STATISTICS, latency_bars, latency_cdf
from simulator.viz.load import queue_and_kv
from simulator.viz.resources import tier_traffic
from simulator.viz.runs import Study, policy_label
from simulator.viz.study import BANDWIDTH, speedup_heatmap, ttft_against_bandwidth

GBIT_BYTES = 1e9 / 8


def _cdf(latency: str) -> Callable[[Study], Figure]:
    """Return what draws the distribution of one latency."""

    def draw(study: Study) -> Figure:
        return latency_cdf(
            latency,
            {
                label: np.concatenate([_latencies_s(run, study, latency) for run in runs])
                for label, runs in study.variants.items()
            },
        )

    return draw


def _latencies_s(run: StoredRun, study: Study, latency: str) -> Any:
    done = run.requests[(run.requests["service"] == study.service) & (run.requests["status"] == COMPLETED)]
    if latency == "tpot_s":  # an answer of one token has none
        done = done[done["output_tokens"] > 1]
        spans_s = (done["finish_s"] - done["first_token_s"]) / (done["output_tokens"] - 1)
    else:
        spans_s = done["first_token_s" if latency == "ttft_s" else "finish_s"] - done["arrival_s"]
    return spans_s.to_numpy(dtype=float)


def _latency_bars(study: Study) -> Figure:
    means: dict[str, dict[str, dict[str, float | None]]] = {}
    intervals: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for label in study.variants:
        means[label], intervals[label] = {}, {}
        for latency in LATENCIES:
            estimates = {
                statistic: over_replications([one[latency][statistic] for one in study.summaries(label)])
                for statistic in STATISTICS
            }
            means[label][latency] = {statistic: it.mean for statistic, it in estimates.items()}
            intervals[label][latency] = {
                statistic: (it.mean - it.half_width, it.mean + it.half_width)
                for statistic, it in estimates.items()
                if it.mean is not None and it.half_width is not None
            }
    return latency_bars(means, intervals)


def _by_bandwidth(study: Study) -> pd.DataFrame:
    """Return one row per run: policy, GPU, share, bandwidth of the tier that was varied, mean TTFT."""
    runs = study.runs
    speeds = [_tier_speeds(run.scenario, study) for run in runs]
    tiers = [tier for tier in speeds[0] if all(tier in one for one in speeds)]
    varied = [tier for tier in tiers if len({one[tier] for one in speeds}) > 1]
    if len(varied) != 1:
        what = (
            f"several storage bandwidths ({', '.join(varied)})" if varied else "no constant storage bandwidth"
        )
        raise study.fault(
            f"its runs differ by {what}; allowed: exactly one, as with --vary devices.<tier>.bandwidth"
        )
    rows = []
    for run, speed in zip(runs, speeds, strict=True):
        service = run.scenario.llm_services[study.service]
        gpu = " + ".join(run.scenario.devices[name].profile for name in service.pool)
        rows.append(
            {
                "policy": policy_label(run.scenario, study.service),
                "gpu": f"{service.replica_gpus} × {gpu}",
                "share": 1.0 - service.background_share,
                BANDWIDTH: speed[varied[0]] / GBIT_BYTES,
                "ttft_s": run.summary["services"][study.service]["ttft_s"]["mean"],
            }
        )
    return pd.DataFrame(rows).dropna(subset=["ttft_s"])


def _tier_speeds(scenario: Scenario, study: Study) -> dict[str, float]:
    """Return the read bandwidth of each storage tier in bytes per s, the link before it considered."""
    speeds: dict[str, float] = {}
    for tier in scenario.llm_services[study.service].kv_tiers:
        device = scenario.devices[tier]
        profile = load_profile(device.profile)
        assert isinstance(profile, StorageProfile)
        rates = [device.bandwidth or profile.read_bandwidth_bytes_per_s * (device.count or 1)]
        if device.link is not None:
            link = scenario.links[device.link]
            wire = load_profile(link.profile)
            assert isinstance(wire, LinkProfile)
            rates.append(link.bandwidth or wire.bandwidth_bytes_per_s)
        constant = [rate for rate in rates if isinstance(rate, int | float)]
        if len(constant) == len(rates):  # one that changes over time has no place on this axis
            speeds[tier] = min(constant)
    return speeds


def _ttft_against_bandwidth(study: Study) -> Figure:
    frame = _by_bandwidth(study)
    if frame["share"].nunique() > 1:
        frame["gpu"] += [f", {100.0 * share:.4g} %" for share in frame["share"]]
    return ttft_against_bandwidth(frame)


def _speedup_heatmap(study: Study) -> Figure:
    frame = _by_bandwidth(study)
    known = set(frame["policy"])
    over = [name for name in ("io_only", "compute_only") if name in known]
    if "cake" not in known or not over:
        found = ", ".join(sorted(known))
        raise study.fault(f"has runs under {found}; needed: cake, and io_only or compute_only")
    return speedup_heatmap(frame, over)


def _queue_and_kv(study: Study) -> Figure:
    run = study.only_run()
    intervals = run.devices[run.devices["service"] == study.service]
    if not len(intervals):
        raise study.fault("has no row per run of engine steps; the scenario needs record_intervals: true")
    service = run.scenario.llm_services[study.service]
    places = replica_places(service, run.scenario.devices)
    apart = len(service.phases) > 1  # then a request is at two replicas, one after the other
    return queue_and_kv(
        intervals,
        None if apart else run.requests[run.requests["service"] == study.service],
        [kv_capacity_blocks(phase, run.scenario.devices[name]) for phase, name in places],
    )


def _tier_traffic(study: Study) -> Figure:
    rows = []
    for label, runs in study.variants.items():
        for run in runs:
            storage = run.summary["storage"]
            for tier, rate in run.summary["services"][study.service]["cache"]["hit_rate"].items():
                moved = storage.get(tier, {})
                rows.append(
                    {
                        "variant": label,
                        "tier": tier,
                        "read_bytes": moved.get("read_bytes", np.nan),
                        "written_bytes": moved.get("written_bytes", np.nan),
                        "hit_rate": np.nan if rate is None else rate,
                    }
                )
    frame, by = pd.DataFrame(rows), ["variant", "tier"]
    columns = [estimates(frame, by, str(name)).set_index(by) for name in frame if name not in by]
    return tier_traffic(pd.concat(columns, axis=1).reset_index())


LLM_FIGURES: Final[Mapping[str, Callable[[Study], Figure]]] = MappingProxyType(
    {
        **{f"{latency.removesuffix('_s')}_cdf": _cdf(latency) for latency in LATENCIES},
        "latency_bars": _latency_bars,
        "ttft_against_bandwidth": _ttft_against_bandwidth,
        "speedup_heatmap": _speedup_heatmap,
        "queue_and_kv": _queue_and_kv,
        "tier_traffic": _tier_traffic,
    }
)
"""What can be drawn of an LLM service."""
