"""Tables of services to phones: shared video, and assistants."""

from __future__ import annotations

import math

from simulator.experiments.comparison import Variant
from simulator.experiments.report_llm import fault_groups, latency_groups, load_groups, slo_groups
from simulator.experiments.report_shown import Shown, phones
from simulator.experiments.tables import Group


def streaming_text(service: str, shown: Shown) -> str:
    """Return the tables of a streaming service."""
    prefix = f"services.{service}."
    bound = (
        [shown.column("bound", f"{prefix}qoe.upper_bound")] if shown.known(f"{prefix}qoe.upper_bound") else []
    )
    quality = [
        Group(
            "QoE per chunk",
            [*(shown.column(it, f"{prefix}qoe.{it}") for it in ("mean", "p50")), *bound],
        ),
        Group("stalls", [shown.column(it, f"{prefix}rebuffer_s.{it}", "s") for it in ("mean", "p90")]),
        Group("start-up", [shown.column("mean", f"{prefix}startup_s.mean", "s")]),
        Group(
            "kbit/s",
            [
                shown.column("nominal", f"{prefix}bitrate_kbps.mean"),
                shown.column("as seen", f"{prefix}effective_kbps.mean"),
            ],
        ),
        Group("chunks", [shown.column("with SR", f"{prefix}sr_share", "share")]),
        Group("viewers", [shown.column("saw all", f"{prefix}viewers.complete")]),
    ]
    energy = f"{prefix}energy_per_phone_j."
    components = [
        path
        for path in shown.paths()
        if path.startswith(f"{energy}components.") and shown.known(path, above=0.0)
    ]
    spent = [
        Group(
            "energy per phone",
            [
                shown.column("mean", f"{energy}mean", "J"),
                *(shown.column(path.rpartition(".")[2], path, "J") for path in components),
            ],
        ),
        Group("fairness", [shown.column("Jain", f"{prefix}energy_fairness")]),
        Group("battery left", [shown.column("least", f"{prefix}battery_share.least", "share")]),
    ]
    struck = fault_groups(prefix, shown, llm=False) if shown.known("faults.phone.failures") else []
    return "\n".join(
        (
            f"Service {service}: {_who(service, shown)}",
            shown.table(quality),
            shown.table(spent),
            *([shown.table(struck)] if struck else []),
        )
    )


def _who(service: str, shown: Shown) -> str:
    """Say who watches what, where the variants agree."""

    def watching(variant: Variant) -> str:
        return phones(variant, variant.scenario.streaming_services[service].phones)

    def sessions(variant: Variant) -> str:
        scenario, spec = variant.scenario, variant.scenario.streaming_services[service]
        members = sum(scenario.devices[name].count or 1 for name in spec.phones)
        groups = math.ceil(members / (spec.group_size or members))
        number = scenario.videos[service][1].sessions
        each = f"{number} sessions" if number > 1 else "one session"
        return each if groups == 1 else f"{groups} groups, {each} each"

    return shown.agreed((watching, sessions))


def assistant_text(service: str, shown: Shown) -> str:
    """Return the tables of an assistant."""
    prefix = f"services.{service}."
    energy = f"{prefix}energy_per_ask_j."
    shares = [it for it in ("device", "edge", "cloud") if f"{prefix}places.{it}.share" in shown.paths()]
    placed = [
        *load_groups(prefix, shown),
        Group("answered at", [shown.column(it, f"{prefix}places.{it}.share", "share") for it in shares]),
        Group("again", [shown.column("placed", f"{prefix}placed_again")]),
        Group("declared", [shown.column("quality", f"{prefix}quality_surrogate")]),
    ]
    worth = [
        Group("QoE", [shown.column("mean", f"{prefix}qoe.mean"), shown.column("p10", f"{prefix}qoe.p10")]),
        Group(
            "energy per ask",
            [
                shown.column("mean", f"{energy}mean", "J"),
                *(shown.column(it, f"{energy}components.{it}", "J") for it in ("chip", "radio")),
            ],
        ),
        Group(
            "least possible",
            [shown.column(it.upper(), f"{prefix}bound.{it}_s", "s") for it in ("ttft", "e2e")],
        ),
    ]
    tables = [shown.table(groups) for groups in (latency_groups(prefix, shown), placed, worth)]
    if shown.known(f"{prefix}slo.attainment"):
        tables.append(shown.table(slo_groups(prefix, shown)))
    asking = shown.agreed((lambda it: phones(it, it.scenario.assistants[service].phones),))
    return "\n".join((f"Service {service}: {asking}", *tables))
