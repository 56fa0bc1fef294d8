"""The summary of a run, computed from its records. Every definition stands here, once.

TTFT
    Time to first token: from a request's arrival to the end of the engine step that yields its first token.
E2E
    End-to-end latency: from arrival to the end of the step that yields the last token.
TPOT
    Time per output token: (E2E - TTFT) / (output tokens - 1); not defined for answers of one token.
QoE
    How closely streamed answers of two tokens and more keep to the timeline that the service's ``reader`` expects, 0 to
    1 (`simulator.metrics.text_qoe`); p10: nine answers of ten are at least that good.
Throughput
    Completed requests, or their output tokens, per second from the first arrival to the last completion.
Steady state
    With a ``warmup`` in the scenario, latencies, QoE and throughput are those of the requests that arrive after it
    (`simulator.metrics.steady_state`): from when on, how many requests are left out, whether that state was reached.
Attainment, goodput
    Where workloads have an ``slo``: share of their requests that keep it, of those of which that is known, and how many
    keep it per second, in all and by class (`simulator.metrics.slo_classes`).
Hit rate of a tier
    Prompt tokens found there at admission over all prompt tokens admitted; ``gpu`` is the prefix cache in GPU
    memory. A tier counts only what no faster one held. Found is not loaded: compute_only finds and computes.
KV transfer
    Where a service prefills apart: from a request's first token until its KV has a place to go to, how long it takes to
    go there, and its bytes, over the requests that latencies are over; each request's last transfer.
Busy share
    GPU time in engine steps over GPU time in all.

In a scenario with faults also (``faults``, see `simulator.metrics.faults`) failures, outages, slow-downs and down time
by kind of what they befall; for each service failures, slow-downs, down time and availability of replicas or phones;
of LLM services retries of requests that were lost with a replica, and the tokens of KV that those held.

Of an LLM service whose questions have dependency graphs, in means over those that were answered (``decoding``):

Generations, plan tokens, decoded tokens
    Sequences that an answer was decoded in; tokens decoded for planning, and in all.
Prompt tokens, prefill tokens
    Lengths of all their prompts; tokens of them that were computed, recomputation included.
Ideal speed-up
    Answer tokens over those on the longest path of the graph.
Visible dependencies
    Share of the graph's edges whose parent stood before the node when that was decoded; 1 without edges.
Quality
    A surrogate, see `simulator.metrics.quality_surrogate`.

Of an assistant, over the questions that were answered (TTFT, TPOT, E2E, QoE and throughput as above, with times on the
phone: way there and back included):

Places
    By place: share of the questions, mean TTFT and E2E, and mean energy of the phone.
Placed again
    Placements of questions that had failed somewhere else before.
Energy per ask
    What the phone spends on a question, on top of being awake: its accelerator (chip), its radio and the radio's tail.
    Of a failed placement too.
Quality
    Mean of what the scenario declares of the places: a surrogate.
Attainment, goodput
    As above, of the limits of its questions' workloads, with the times on the phone.
Bound
    Means of the least TTFT and E2E that any placement could have given each question, from unloaded latencies.
Prediction
    Mean distance of the TTFT that was predicted when the question was placed from what it came to.

Of a streaming service, over the viewers of all its sessions:

QoE
    Figure ``oasis`` of `simulator.streaming.qoe` per segment: effective bitrate in Mbit/s - 4.3 per second of stall -
    changes; ``figures`` are the means of all definitions that are known for the ladder. Start-up is in none of them.
Rebuffering
    Seconds for which playback stood still after it had begun.
Bitrate, effective bitrate
    Mean nominal bitrate of what was downloaded for the viewer; the same as it looks after super-resolution.
Energy
    Per phone and session, by component; fairness is Jain's index of the phones of a session, averaged over sessions.

With ``accounting`` in the scenario also, over all services (`simulator.metrics.accounting`):

Energy per user
    Energy of the run over its users: of their own phones, and of the infrastructure, which is all else.
Cost, cost per hour
    Of every unit for the time for which it was switched on, idle or not; cost per hour is that of an average hour of
    the run.
Carbon
    Energy of all devices times the given intensity; what making them took is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simulator.core import Table
from simulator.metrics.accounting import summarize_accounting
from simulator.metrics.answers import answer_figures
from simulator.metrics.asks import summarize_asks
from simulator.metrics.decoding import summarize_decoding
from simulator.metrics.faults import lost_work, service_faults, summarize_faults
from simulator.metrics.kv_transfer import summarize_kv_transfer
from simulator.metrics.registry import custom_figures
from simulator.metrics.slo_classes import summarize_slo
from simulator.metrics.steady_state import steady_state
from simulator.metrics.viewers import summarize_viewers
from simulator.scenario.assistant_spec import AssistantService
from simulator.scenario.fault_relations import TARGET_KINDS, target_kind
from simulator.scenario.spec import LlmService
from simulator.scenario.streaming_spec import StreamingService
from simulator.serving.build import replica_devices
from simulator.workloads.slo import SloClass

if TYPE_CHECKING:
    from simulator.world import RunResult

COMPLETED, FAILED = 1, 2


def summarize(result: RunResult) -> dict[str, Any]:
    """Return the summary of a run as plain data, ready for JSON."""
    scenario = result.scenario
    services: dict[str, Any] = {}
    for name, service in scenario.services.items():
        if isinstance(service, StreamingService):
            viewers = result.viewers[name]
            services[name] = {"kind": service.kind, **summarize_viewers(viewers)}
            if result.faults is not None:
                phones_s = float((viewers.column("session_end_s") - viewers.column("session_start_s")).sum())
                services[name]["faults"] = service_faults(result.faults, name, phones_s)
            continue
        if isinstance(service, AssistantService):
            figures = summarize_asks(
                result.asks[name], service, scenario.warmup, scenario.slo_classes(name), result.simulated_s
            )
            services[name] = {"kind": service.kind, **figures}
            continue
        services[name] = {
            "kind": service.kind,
            **service_figures(
                result.requests[name],
                service,
                scenario.warmup,
                scenario.slo_classes(name),
                result.simulated_s,
            ),
            "gpu_busy_share": _gpu_busy_share(result, service),
        }
        if result.faults is not None:
            replicas = len(replica_devices(service, scenario.devices))
            services[name]["faults"] = {
                **service_faults(result.faults, name, replicas * result.simulated_s),
                **lost_work(result.faults, result.requests[name], name),
            }
    for name, table in (result.requests | result.viewers | result.asks).items():
        services[name] |= custom_figures(services[name]["kind"], table)
    return {
        "scenario": scenario.name,
        "seed": result.seed,
        "simulated_s": result.simulated_s,
        "services": services,
        "storage": {
            name: {
                "read_bytes": totals.read_bytes,
                "written_bytes": totals.written_bytes,
                "busy_share": _share(totals.busy_s, result.simulated_s),
            }
            for name, totals in result.devices.items()
            if any(
                name in (*service.kv_tiers, service.cold_start.weights_from)
                for service in scenario.llm_services.values()
            )
        },
        **_faults(result),
        "energy_j": {
            "total": sum(totals.energy_j for totals in result.devices.values()),
            "devices": {name: totals.energy_j for name, totals in result.devices.items()},
        },
        **summarize_accounting(scenario, result.devices, result.simulated_s),
    }


def service_figures(
    table: Table,
    service: LlmService,
    warmup: float | str,
    classes: Mapping[str, SloClass],
    end_s: float = 0.0,
) -> dict[str, Any]:
    """Return the figures of an LLM service that derive from its requests; of an empty table: which there are.

    Parameters
    ----------
    table
        One row per request.
    service
        The service: its storage tiers, and the reader of its answers.
    warmup
        That of the scenario.
    classes
        Classes of its requests, by workload.
    end_s
        When the simulation ended, in s.
    """
    done = table.column("status") == COMPLETED
    steady = steady_state(table, warmup)
    admitted = table.column("admitted_s") >= 0.0
    graphs = "prompt_tokens" in table.schema
    prompts = float(table.column("prompt_tokens" if graphs else "input_tokens")[admitted].sum())
    found = {"gpu": float(table.column("resident_tokens").sum())}
    found |= {tier: float(table.column(f"found_{tier}_tokens").sum()) for tier in service.kv_tiers}
    return {
        **answer_figures(table, service.reader, steady.kept),
        "cache": {
            "hit_rate": {name: _share(tokens, prompts) for name, tokens in found.items()},
            "loaded_tokens": {
                tier: int(table.column(f"loaded_{tier}_tokens").sum()) for tier in service.kv_tiers
            },
            "computed_tokens": int(table.column("computed_tokens").sum()),
            "preemptions": int(table.column("preemptions").sum()),
        },
        **(
            {"kv_transfer": summarize_kv_transfer(table, done & steady.kept)}
            if "transfer_bytes" in table.schema
            else {}
        ),
        **({"decoding": summarize_decoding(table, done)} if graphs else {}),
        **({"slo": summarize_slo(table, classes, steady.kept, end_s)} if classes else {}),
        **({} if warmup == "none" else {"steady_state": steady.as_data()}),
    }


def _faults(result: RunResult) -> dict[str, Any]:
    """Return the figures of faults by kind of what the scenario lets fail; nothing where it has no faults."""
    if result.faults is None:
        return {}
    struck = {target_kind(fault, result.scenario.devices) for fault in result.scenario.faults.values()}
    kinds = [kind for kind in TARGET_KINDS if kind in struck]
    return {"faults": {kind: summarize_faults(result.faults, kind) for kind in kinds}}


def _gpu_busy_share(result: RunResult, service: LlmService) -> float | None:
    """Return the share of time in use of the devices that serve, weighed by the replicas on each."""
    placed = replica_devices(service, result.scenario.devices)
    weights = {gpus: placed.count(gpus) / len(placed) for gpus in dict.fromkeys(placed)}
    busy_s = sum(weight * result.devices[gpus].busy_s for gpus, weight in weights.items())
    return _share(busy_s, result.simulated_s)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0.0 else None
