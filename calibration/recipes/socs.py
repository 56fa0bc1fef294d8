"""Phone SoCs: rates and bandwidths of super-resolution networks from AI Hub's latencies, or from a relative's."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from calibration.device_file import Entry
from calibration.fit_phone_sr import (
    LARGE,
    MEMORY_SHARE,
    NETWORKS_TABLE,
    PRECISIONS,
    SR_TABLE,
    UNET_PX,
    fit_soc,
    read_rows,
    work,
)
from calibration.phone_socs import SCALED, SOCS
from calibration.recipes.recipe import Fit, Found, Path_, Recipe, Shelf, fitted, unit_of
from devices.phones import SocProfile

FOLDER = "phone"
COMPUTES = (
    "values.overhead_s",
    "values.*_bandwidth_bytes_per_s",
    "values.cross_validated_error",
    "precisions.*",
)

TILES = "inputs of 128 x 128 pixels; larger ones are extrapolated"
"""Where all but the memory bandwidth holds."""

NOTES = {
    "overhead_s": "Least squares on ln(ours / measured)",
    "tensor_bandwidth_bytes_per_s": "From 8-bit against 32-bit images of one network",
    "vector_bandwidth_bytes_per_s": "From networks with many unfused operations",
}


def fitted_soc(name: str) -> Recipe:
    """Return the recipe of a SoC that AI Hub has measured."""
    soc = SOCS[name]

    def run(data: Path, shelf: Shelf) -> Found:
        rows = read_rows(data / FOLDER)[name]
        profile = shelf.profile(name)
        assert isinstance(profile, SocProfile)
        fit = fit_soc(rows, profile.on_chip_bytes, soc.memory_bytes_per_s)
        share = f"{100 * MEMORY_SHARE:.0f} %"
        entries: dict[Path_, Entry] = {
            ("values", constant): fitted(fit, constant, unit_of(constant), "aihub", note, TILES)
            for constant, note in NOTES.items()
        }
        memory = fitted(
            fit,
            "memory_bandwidth_bytes_per_s",
            "B/s",
            "aihub",
            f"Weak prior at {share} of the datasheet ({soc.memory}, {soc.memory_gb_per_s:g} GB/s); more than the "
            "datasheet means that the compiler keeps parts of large maps on chip",
            f"from one network of {UNET_PX[0]} x {UNET_PX[1]} pixels",
        )
        if all(row.network != LARGE for row in rows):
            note = f"No row exceeds the on-chip memory, so this is the prior: {share} of {soc.memory}"
            memory = replace(memory, kind="assumed", note=note, error=None, valid="")
        entries["values", "memory_bandwidth_bytes_per_s"] = memory
        low, high = fit.cross_validated_interval()
        entries["values", "cross_validated_error"] = Entry(
            fit.cross_validated_error,
            "",
            "aihub",
            "fitted",
            "Median over the rows of the relative error of a fit that has not seen the row's network; interval: rows "
            "drawn anew",
            low=low,
            high=high,
            error=fit.cross_validated_error,
            valid=f"networks like the {len(rows)} rows of the fit; {TILES}",
        )
        for precision in PRECISIONS:
            if precision in fit.constants:
                entries["precisions", precision, "ops_per_s"] = fitted(
                    fit, precision, "OP/s", "aihub", NOTES["overhead_s"], TILES
                )
        latencies_s = np.array([row.latency_s for row in rows])
        operations = [work(row.network, row.precision, profile.on_chip_bytes).ops.sum() for row in rows]
        axes = (latencies_s, "Measured latency (s)", np.array(operations) / 1e9, "Billion operations")
        return Found({name: entries}, {f"SR networks on {name}": Fit(fit, *axes)})

    inputs = (f"{FOLDER}/{SR_TABLE}", f"{FOLDER}/{NETWORKS_TABLE}")
    return Recipe(f"SR networks on {name}", {name: COMPUTES}, inputs, run)


def scaled_soc(name: str) -> Recipe:
    """Return the recipe of a SoC that is scaled from another one by benchmarks that are not SR."""
    soc = SCALED[name]

    def run(data: Path, shelf: Shelf) -> Found:
        base = shelf.profile(soc.base)
        assert isinstance(base, SocProfile)

        def entry(value: float, unit: str, power: int, note: str) -> Entry:
            low, high = sorted(
                value * (ratio / soc.slowdown) ** power for ratio in (min(soc.ratios), max(soc.ratios))
            )
            return Entry(value, unit, "mlperf", "assumed", note, low, high)

        def rate(value: float, unit: str) -> Entry:
            note = (
                f"That of {soc.base} over {soc.slowdown:.2f}, the geometric mean slowdown of four tests, SR not "
                "among them"
            )
            return entry(value / soc.slowdown, unit, -1, note)

        shares = []
        for peer in soc.peers:
            profile = shelf.profile(peer)
            assert isinstance(profile, SocProfile)
            shares.append(profile.memory_bandwidth_bytes_per_s / SOCS[peer].memory_bytes_per_s)
        share = math.exp(sum(map(math.log, shares)) / len(shares))
        datasheet = soc.memory_gb_per_s * 1e9
        return Found(
            {
                name: {
                    ("values", "overhead_s"): entry(
                        base.overhead_s * soc.slowdown, "s", 1, f"Likewise {soc.slowdown:.2f} times"
                    ),
                    ("values", "tensor_bandwidth_bytes_per_s"): rate(
                        base.tensor_bandwidth_bytes_per_s, "B/s"
                    ),
                    ("values", "vector_bandwidth_bytes_per_s"): rate(
                        base.vector_bandwidth_bytes_per_s, "B/s"
                    ),
                    ("values", "memory_bandwidth_bytes_per_s"): Entry(
                        share * datasheet,
                        "B/s",
                        "anandtech",
                        "assumed",
                        f"{100 * share:.0f} % of the datasheet's {soc.memory_gb_per_s:g} GB/s, as fitted on "
                        f"{' and '.join(soc.peers)}",
                        low=0.5 * datasheet,
                        high=datasheet,
                    ),
                    ("precisions", "w8a8", "ops_per_s"): rate(base.precisions["w8a8"].ops_per_s, "OP/s"),
                }
            }
        )

    computes = ("values.overhead_s", "values.*_bandwidth_bytes_per_s", "precisions.*")
    return Recipe(f"{name} as {soc.base} and slower", {name: computes}, (), run)


RECIPES = (*map(fitted_soc, SOCS), *map(scaled_soc, SCALED))
"""All of them, those that others are scaled from first."""
