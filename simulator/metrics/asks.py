"""The summary of an assistant, computed from its asks; definitions stand in `simulator.metrics.summary`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.core import Table
from simulator.metrics.answers import answer_figures
from simulator.metrics.distribution import distribution
from simulator.metrics.slo_classes import summarize_slo
from simulator.metrics.steady_state import steady_state
from simulator.scenario.assistant_spec import AssistantService
from simulator.serving.sequence import COMPLETED
from simulator.workloads.slo import SloClass


def summarize_asks(
    asks: Table,
    service: AssistantService,
    warmup: float | str,
    classes: Mapping[str, SloClass],
    end_s: float = 0.0,
) -> dict[str, Any]:
    """Return the figures of an assistant; of an empty table: which there are.

    Parameters
    ----------
    asks
        One row per question (`simulator.assistant.runtime.ASKS`).
    service
        The assistant.
    warmup
        That of the scenario.
    classes
        Classes of its questions, by workload; they are promised to the phone, network and all.
    end_s
        When the simulation ended, in s.
    """
    steady = steady_state(asks, warmup)
    counted = (asks.column("status") == COMPLETED) & steady.kept
    place = asks.column("place")[counted]
    chip_j, radio_j = asks.column("chip_j")[counted], asks.column("radio_j")[counted]
    since = {it: asks.column(f"{it}_s")[counted] for it in ("arrival", "first_token", "finish")}
    e2e_s = since["finish"] - since["arrival"]
    return {
        **answer_figures(asks, service.reader, steady.kept),
        "places": {
            name: {
                "share": _share(place == name),
                "ttft_s": _mean((since["first_token"] - since["arrival"])[place == name]),
                "e2e_s": _mean(e2e_s[place == name]),
                "energy_j": _mean((chip_j + radio_j)[place == name]),
            }
            for name in ("device", "edge", "cloud")
            if getattr(service.places, name) is not None
        },
        "placed_again": int(np.maximum(asks.column("placements") - 1, 0).sum()),
        "quality_surrogate": _mean(asks.column("quality")[counted]),
        "energy_per_ask_j": {
            **distribution(chip_j + radio_j),
            "components": {"chip": _mean(chip_j), "radio": _mean(radio_j)},
        },
        "bound": {name: _mean(asks.column(f"least_{name}")[counted]) for name in ("ttft_s", "e2e_s")},
        "prediction": {
            "ttft_error_s": _mean(
                np.abs(asks.column("predicted_ttft_s")[counted] - (since["first_token"] - since["arrival"]))
            )
        },
        **({"slo": summarize_slo(asks, classes, steady.kept, end_s)} if classes else {}),
        **({} if warmup == "none" else {"steady_state": steady.as_data()}),
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if len(flags) else None
