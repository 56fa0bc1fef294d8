"""From stored runs to the data of a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from devices.catalogue import load_profile
from devices.errors import Fault, InputError
from devices.profiles import LinkProfile, StorageProfile
from simulator.experiments.compare import COMPARISON
from simulator.experiments.run_store import MANIFEST, StoredRun, load_run, read_manifest
from simulator.experiments.statistics import over_replications
from simulator.metrics.summary import COMPLETED, LATENCIES
from simulator.policies.registry import name_of
from simulator.scenario.spec import Scenario
from simulator.serving.memory import kv_capacity_blocks
from simulator.viz.latency import STATISTICS, latency_bars, ttft_cdf
from simulator.viz.load import queue_and_kv
from simulator.viz.resources import energy_bars, tier_traffic
from simulator.viz.study import BANDWIDTH, speedup_heatmap, ttft_against_bandwidth
from simulator.viz.style import footnote

GBIT_BYTES = 1e9 / 8


@dataclass(frozen=True, slots=True)
class _Study:
    """The runs of a folder, ready to be drawn."""

    folder: Path
    """Where they lie."""
    variants: Mapping[str, Sequence[StoredRun]]
    """Runs that succeeded by the label of their variant, one per replication."""
    failed: Sequence[str]
    """Labels of variants of which a run has failed."""
    service: str
    """The service that is shown."""

    def fault(self, message: str) -> InputError:
        return InputError(Fault(message, file=str(self.folder)))

    def summaries(self, label: str) -> list[dict[str, Any]]:
        """Return the service's part of the summary of each run of a variant."""
        return [run.summary["services"][self.service] for run in self.variants[label]]


def draw(folder: Path, kind: str, service: str | None) -> Figure:
    """Return the figure of one of `simulator.viz.PLOT_KINDS` (see `simulator.viz.plot`)."""
    study = _load(folder, service)
    figure = _DRAW[kind](study)
    if study.failed:
        footnote(figure, f"Without failed runs of: {', '.join(study.failed)}")
    return figure


def _load(folder: Path, service: str | None) -> _Study:
    runs: dict[str, list[StoredRun]] = {}
    if (folder / COMPARISON).is_file():
        for variant in read_manifest(folder, "comparison")["variants"]:
            runs[variant["label"]] = [load_run(folder / name) for name in variant["runs"]]
    elif (folder / MANIFEST).is_file():
        runs[""] = [load_run(folder)]
    else:
        for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
            runs[manifest.parent.name] = [load_run(manifest.parent)]
    variants = {
        label: whole
        for label, several in runs.items()
        if (whole := [run for run in several if "failure" not in run.manifest])
    }
    failed = [
        label or folder.name for label, several in runs.items() if len(several) > len(variants.get(label, ()))
    ]
    if not variants:
        what = (
            "every run in it has failed"
            if failed
            else "is no run: neither it nor a folder in it has a manifest.json"
        )
        raise InputError(Fault(what, file=str(folder)))
    scenarios = [run.scenario for several in variants.values() for run in several]
    names = sorted(set.intersection(*(set(scenario.services) for scenario in scenarios)))
    if service is None and len(names) == 1:
        service = names[0]
    if service not in names:
        asked = "several services" if service is None else f"no service {service!r} in every run"
        raise InputError(Fault(f"has {asked}; allowed: {', '.join(names) or 'none'}", file=str(folder)))
    if "" in variants:  # a single run carries the name of its policy, and with it the policy's colour
        variants = {_policy(scenarios[0], service): variants[""]}
    return _Study(folder, variants, failed, service)


def _policy(scenario: Scenario, service: str) -> str:
    return name_of("kv_loading", scenario.services[service].policies.kv_loading)


def _ttft_cdf(study: _Study) -> Figure:
    return ttft_cdf(
        {
            label: np.concatenate([_ttft_s(run, study) for run in runs])
            for label, runs in study.variants.items()
        }
    )


def _ttft_s(run: StoredRun, study: _Study) -> Any:
    rows = run.requests[(run.requests["service"] == study.service) & (run.requests["status"] == COMPLETED)]
    return (rows["first_token_s"] - rows["arrival_s"]).to_numpy(dtype=float)


def _latency_bars(study: _Study) -> Figure:
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


def _by_bandwidth(study: _Study) -> pd.DataFrame:
    """Return one row per run: policy, GPU, share, bandwidth of the tier that was varied, mean TTFT."""
    runs = [run for several in study.variants.values() for run in several]
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
        service = run.scenario.services[study.service]
        gpu = run.scenario.devices[service.gpus].profile
        rows.append(
            {
                "policy": _policy(run.scenario, study.service),
                "gpu": f"{service.tensor_parallel} × {gpu}",
                "share": 1.0 - service.background_share,
                BANDWIDTH: speed[varied[0]] / GBIT_BYTES,
                "ttft_s": run.summary["services"][study.service]["ttft_s"]["mean"],
            }
        )
    return pd.DataFrame(rows).dropna(subset=["ttft_s"])


def _tier_speeds(scenario: Scenario, study: _Study) -> dict[str, float]:
    """Return the read bandwidth of each storage tier in bytes per s, the link before it considered."""
    speeds: dict[str, float] = {}
    for tier in scenario.services[study.service].kv_tiers:
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


def _ttft_against_bandwidth(study: _Study) -> Figure:
    frame = _by_bandwidth(study)
    if frame["share"].nunique() > 1:
        frame["gpu"] += [f", {100.0 * share:.4g} %" for share in frame["share"]]
    return ttft_against_bandwidth(frame)


def _speedup_heatmap(study: _Study) -> Figure:
    frame = _by_bandwidth(study)
    known = set(frame["policy"])
    over = [name for name in ("io_only", "compute_only") if name in known]
    if "cake" not in known or not over:
        found = ", ".join(sorted(known))
        raise study.fault(f"has runs under {found}; needed: cake, and io_only or compute_only")
    return speedup_heatmap(frame, over)


def _queue_and_kv(study: _Study) -> Figure:
    runs = [run for several in study.variants.values() for run in several]
    if len(runs) > 1:
        names = ", ".join(run.folder.name for run in runs)
        raise study.fault(f"holds several runs; allowed: one of its run folders ({names})")
    run = runs[0]
    intervals = run.devices[run.devices["service"] == study.service]
    if not len(intervals):
        raise study.fault("has no row per run of engine steps; the scenario needs record_intervals: true")
    service = run.scenario.services[study.service]
    return queue_and_kv(
        intervals,
        run.requests[run.requests["service"] == study.service],
        kv_capacity_blocks(service, run.scenario.devices[service.gpus]),
    )


def _tier_traffic(study: _Study) -> Figure:
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
    return tier_traffic(pd.DataFrame(rows).groupby(["variant", "tier"], sort=False, as_index=False).mean())


def _energy_bars(study: _Study) -> Figure:
    return energy_bars(
        {
            label: {
                device: float(np.mean([run.summary["energy_j"]["devices"][device] for run in runs]))
                for device in runs[0].summary["energy_j"]["devices"]
            }
            for label, runs in study.variants.items()
        }
    )


_DRAW: Mapping[str, Callable[[_Study], Figure]] = {
    "ttft_cdf": _ttft_cdf,
    "latency_bars": _latency_bars,
    "ttft_against_bandwidth": _ttft_against_bandwidth,
    "speedup_heatmap": _speedup_heatmap,
    "queue_and_kv": _queue_and_kv,
    "tier_traffic": _tier_traffic,
    "energy_bars": _energy_bars,
}
