"""Tables of LLM services: latencies, throughput, and what else a scenario lets happen to requests."""

from __future__ import annotations

from simulator.experiments.report_shown import Shown
from simulator.experiments.tables import Group
from simulator.metrics.quality_surrogate import WHAT

LATENCY_COLUMNS = {
    "TTFT": ("ttft_s", ("mean", "p50", "p90", "p99")),
    "TPOT": ("tpot_s", ("mean", "p50", "p99")),
    "E2E": ("e2e_s", ("mean", "p50", "p99")),
}
"""Heading -> metric of an LLM service and what is shown of it."""


def llm_text(service: str, shown: Shown) -> str:
    """Return the tables of an LLM service."""
    prefix = f"services.{service}."
    latency = latency_groups(prefix, shown)
    tiers = [path for path in shown.paths() if path.startswith(f"{prefix}cache.hit_rate.")]
    throughput = [
        *load_groups(prefix, shown),
        Group(
            "prompt tokens found", [shown.column(path.rpartition(".")[2], path, "share") for path in tiers]
        ),
        Group("GPU", [shown.column("busy", f"{prefix}gpu_busy_share", "share")]),
    ]
    if shown.known(left_out := f"{prefix}steady_state.left_out"):
        throughput.append(Group("warm-up", [shown.column("left out", left_out)]))
    preempted = f"{prefix}cache.preemptions"
    if shown.known(preempted, above=0.0):
        throughput.append(Group("KV lost", [shown.column("preemptions", preempted)]))
    parts = [
        f"Service {service}: {_what(service, shown)}",
        shown.table(latency),
        shown.table(throughput),
    ]
    if shown.known("faults.gpu.failures"):
        parts.append(shown.table(fault_groups(prefix, shown)))
    if shown.known(f"{prefix}kv_transfer.bytes"):
        parts.append(shown.table(_kv_transfer(f"{prefix}kv_transfer", shown)))
    if shown.known(f"{prefix}slo.attainment"):
        parts.append(shown.table(slo_groups(prefix, shown)))
    if shown.known(f"{prefix}decoding.generations"):
        parts.append(shown.table(_decoding(prefix, shown)))
        parts.append(f"Quality is a {WHAT}.\n")
    return "\n".join(parts)


def _what(service: str, shown: Shown) -> str:
    """Say what serves, where the variants agree."""
    return shown.agreed(
        (
            lambda it: it.scenario.llm_services[service].model,
            lambda it: " + ".join(
                it.scenario.devices[gpus].profile for gpus in it.scenario.llm_services[service].pool
            ),
            lambda it: it.scenario.llm_services[service].engine,
        ),
    )


def latency_groups(prefix: str, shown: Shown) -> list[Group]:
    """Return the columns of the latencies of answers."""
    return [
        Group(
            title, [shown.column(statistic, f"{prefix}{metric}.{statistic}", "s") for statistic in statistics]
        )
        for title, (metric, statistics) in LATENCY_COLUMNS.items()
    ]


def load_groups(prefix: str, shown: Shown) -> list[Group]:
    """Return the columns of what became of requests, and of their throughput."""
    counts = ["completed", "failed"]
    counts += [it for it in ("dropped", "unfinished") if shown.known(f"{prefix}requests.{it}", above=0.0)]
    throughput = {"requests": "requests_per_s", "tokens": "output_tokens_per_s"}
    return [
        Group("requests", [shown.column(it, f"{prefix}requests.{it}") for it in counts]),
        Group(
            "throughput (1/s)",
            [shown.column(it, f"{prefix}throughput.{of}") for it, of in throughput.items()],
        ),
    ]


def fault_groups(prefix: str, shown: Shown, *, llm: bool = True) -> list[Group]:
    """Return the columns that tell what faults have done to a service."""
    figures = f"{prefix}faults."
    groups = [
        Group(
            "replicas" if llm else "phones",
            [shown.column(it, f"{figures}{it}") for it in ("failures", "slowdowns")],
        ),
        Group("down", [shown.column("time", f"{figures}downtime_s", "s")]),
        Group("available", [shown.column("share", f"{figures}availability", "share")]),
    ]
    if llm:
        requests = [
            shown.column("retried", f"{figures}retries"),
            shown.column("failed", f"{prefix}requests.failed"),
        ]
        groups += [
            Group("requests", requests),
            Group("KV lost", [shown.column("tokens", f"{figures}lost_tokens")]),
        ]
    return groups


def _kv_transfer(prefix: str, shown: Shown) -> list[Group]:
    """Return the columns of what the KV of prompts takes from where it is computed to where it is used."""
    titles = {"KV waits": "wait_s", "KV transfer": "transfer_s"}
    return [
        *(
            Group(title, [shown.column(it, f"{prefix}.{figure}.{it}", "s") for it in ("mean", "p99")])
            for title, figure in titles.items()
        ),
        Group("KV moved", [shown.column("in all", f"{prefix}.bytes", "B")]),
    ]


def slo_groups(prefix: str, shown: Shown) -> list[Group]:
    """Return the columns that tell how often each class of requests has kept its objective."""
    classes = f"{prefix}slo.classes."
    names = dict.fromkeys(
        path.removeprefix(classes).partition(".")[0] for path in shown.paths() if path.startswith(classes)
    )
    shares = {"SLO kept": "attainment", "TTFT kept": "ttft_attainment", "TPOT kept": "tpot_attainment"}
    return [
        *(
            Group(title, [shown.column(name, f"{classes}{name}.{figure}", "share") for name in names])
            for title, figure in shares.items()
        ),
        Group("goodput (1/s)", [shown.column(name, f"{classes}{name}.goodput_per_s") for name in names]),
    ]


def _decoding(prefix: str, shown: Shown) -> list[Group]:
    """Return the columns that tell how answers with dependency graphs were decoded."""
    figures = f"{prefix}decoding."
    quality = f"{figures}quality_surrogate."
    return [
        Group("per answer", [shown.column("generations", f"{figures}generations")]),
        Group(
            "tokens per answer",
            [shown.column(it, f"{figures}{it}_tokens") for it in ("plan", "decoded", "prompt", "prefill")],
        ),
        Group("speed-up", [shown.column("ideal", f"{figures}ideal_speedup")]),
        Group("dependencies", [shown.column("seen", f"{figures}visible_dependencies", "share")]),
        Group(
            "net win rate over AR (surrogate)",
            [
                shown.column("mean", f"{quality}net_win_rate_over_ar"),
                *(shown.column(it, f"{quality}{it}") for it in ("low", "high")),
            ],
        ),
    ]
