"""``hetsim list``."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

from devices.catalogue import PROFILE_KINDS, load_profile, profile_names
from devices.document import read_document
from devices.errors import InputError
from devices.phones import SocProfile
from devices.profiles import GpuProfile, LinkProfile, StorageProfile
from devices.quantity import format_quantity
from simulator.commands.scenarios import FOLDER, scenario_names
from simulator.experiments.run_store import to_json
from simulator.experiments.tables import text_table
from simulator.metrics.catalogue import METRICS, NEITHER

Rows = list[dict[str, Any]]


def show(arguments: Namespace) -> int:
    """Print what there is of one sort."""
    rows = _LISTS[arguments.what]()
    if arguments.json:
        sys.stdout.write(to_json(rows))
    elif rows:
        columns = list(rows[0])
        cells = [[str(row[column]) for column in columns] for row in rows]
        sys.stdout.write(text_table(columns, cells, left=len(columns)))
    return 0


def _policies() -> Rows:
    from simulator.policies.registry import DECISIONS, policies  # noqa: PLC0415 (imports every policy)

    return [
        {
            "decision": decision,
            "name": name,
            "parameters": ", ".join(
                field.name if field.default is MISSING else f"{field.name}={json.dumps(field.default)}"
                for field in fields(policy)
                if field.init
            ),
            "description": (policy.__doc__ or "").strip().partition("\n")[0],
        }
        for decision in DECISIONS
        for name, policy in policies(decision).items()
    ]


def _devices() -> Rows:
    rows = []
    for kind in PROFILE_KINDS:
        for name in profile_names(kind):
            profile = load_profile(name)
            if isinstance(profile, GpuProfile):
                size, rate = profile.memory_bytes, profile.memory_bandwidth_bytes_per_s
            elif isinstance(profile, StorageProfile):
                size, rate = profile.capacity_bytes, profile.read_bandwidth_bytes_per_s
            elif isinstance(profile, LinkProfile):
                size, rate = 0.0, profile.bandwidth_bytes_per_s
            elif isinstance(profile, SocProfile):
                size, rate = profile.on_chip_bytes, profile.memory_bandwidth_bytes_per_s
            else:
                size, rate = 0.0, 0.0
            rows.append(
                {
                    "kind": kind,
                    "name": name,
                    "capacity": format_quantity(size, "B") if size else "",
                    "bandwidth": format_quantity(rate, "B/s") if rate else "",
                    "title": profile.title,
                }
            )
    return rows


def _models() -> Rows:
    from simulator.serving.models import load_model, model_names  # noqa: PLC0415

    models = [load_model(name) for name in model_names()]
    return [
        {
            "name": model.name,
            "parameters": f"{model.parameters / 1e9:.1f} billion",
            "weights": format_quantity(model.weight_bytes(), "B"),
            "kv_per_token": format_quantity(model.kv_bytes_per_token, "B"),
            "context_tokens": model.context_tokens,
            "title": model.title,
        }
        for model in models
    ]


def _engines() -> Rows:
    from simulator.serving.engines import engine_names, load_engine  # noqa: PLC0415

    engines = [load_engine(name) for name in engine_names()]
    return [
        {
            "name": engine.name,
            "step_overhead": format_quantity(engine.step_overhead_s, "s"),
            "token_budget": int(engine.default_token_budget),
            "max_sequences": int(engine.default_max_sequences),
            "title": engine.title,
        }
        for engine in engines
    ]


def _networks() -> Rows:
    from simulator.streaming.synthetic_trace import cellular_names, load_cellular  # noqa: PLC0415 (brings numpy)

    networks = [load_cellular(name) for name in cellular_names()]
    return [
        {
            "name": network.name,
            "mean": f"{network.mean_bps() / 1e6:.2f} Mbit/s",
            "latency": format_quantity(network.latency_s, "s"),
            "outages": format_quantity(network.outage_share(), ""),
            "like": network.title,
        }
        for network in networks
    ]


def _qoe() -> Rows:
    from simulator.streaming.qoe import FIGURES  # noqa: PLC0415 (brings numpy)

    return [{"name": name, "definition": it.title, "source": it.source} for name, it in FIGURES.items()]


def _scenarios() -> Rows:
    rows = []
    for name in scenario_names():
        path = FOLDER / f"{name}.yaml"
        try:
            data = read_document(path).data
            described = str(data.get("description", "")) if isinstance(data, dict) else "not a scenario"
        except InputError:
            described = f"has faults: hetsim validate {path}"
        rows.append({"name": name, "description": " ".join(described.split())})
    return rows


def _metrics() -> Rows:
    from simulator.metrics.registry import metrics  # noqa: PLC0415 (brings numpy)

    own = [(f"custom.{it.name}", "by name", NEITHER, f"{it.kind}: {it.definition}") for it in metrics()]
    return [
        {"name": name, "unit": unit, "better": better, "definition": definition}
        for name, unit, better, definition in (*METRICS, *own)
    ]


def _plots() -> Rows:
    from simulator.viz import PLOT_KINDS  # noqa: PLC0415 (brings matplotlib)

    return [{"kind": kind, "description": description} for kind, description in PLOT_KINDS.items()]


_LISTS: dict[str, Callable[[], Rows]] = {
    "policies": _policies,
    "devices": _devices,
    "models": _models,
    "engines": _engines,
    "networks": _networks,
    "qoe": _qoe,
    "scenarios": _scenarios,
    "metrics": _metrics,
    "plots": _plots,
}
