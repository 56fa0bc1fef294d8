"""What the constants of dense matrix products say of tables that they were not fitted to.

Vidur's products (another library and year), and the element-wise operations of a layer as bytes moved. Printed by
``python -m calibration.fits.gemm FOLDER``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from calibration.fits.gemm import TABLES, gemm_form, gemm_rows
from calibration.fits.regression import Array, Regression
from calibration.fits.tables import columns, gpu_profile, median_error, read, values
from calibration.table import Measurement
from simulator.serving.models import load_model

SAME_OPERATION = {"layernorm": "input_layernorm", "rotary_emb": "attn_rope", "act_fn": "mlp_act"}
"""Vidur's name of an operation by LLMServingSim's."""


def check(folder: Path, fits: Mapping[str, Regression]) -> None:
    """Print all checks of the bf16 fits by GPU on the tables in `folder`."""
    _check_vidur(folder, fits)
    for gpu in ("rtx-4090", "rtx-pro-6000"):
        rows = read(
            folder, "llmservingsim", TABLES[gpu][1].replace("[dp]e*", "dense").replace("*_tp", "*8B*_tp")
        )
        _check_element_wise(gpu, rows, fits[gpu].constants["memory_efficiency"])


def element_wise_bytes(row: Measurement) -> float:
    """Return the bytes that an element-wise operation of Vidur's or LLMServingSim's tables moves, 16-bit values.

    A norm reads and writes the hidden values, ``add`` reads two of them, rotary embedding works in place on queries
    and keys, the activation reads gate and up and writes their product.
    """
    model = load_model(str(row.parameters["model"]))
    shards = row.number("tensor_parallel")
    values_per_token = {
        "input_layernorm": 2.0 * model.hidden,
        "post_attention_layernorm": 2.0 * model.hidden,
        "add": 3.0 * model.hidden,
        "attn_rope": 2.0 * (model.attention_heads + model.kv_heads) * model.head_dim / shards,
        "mlp_act": 3.0 * model.ffn / shards,
    }
    layer = str(row.parameters["layer"])
    return 2.0 * row.number("tokens") * values_per_token[SAME_OPERATION.get(layer, layer)]


def _check_vidur(folder: Path, fits: Mapping[str, Regression]) -> None:
    """Vidur's products and element-wise operations from the constants of aiconfigurator's tables."""
    for gpu, short in (("a100-80g-sxm", "a100"), ("h100-80g-sxm", "h100")):
        profile, constants = gpu_profile(gpu), fits[gpu].constants
        bandwidth = profile.memory_bandwidth_bytes_per_s
        rows = read(folder, "vidur", f"{short}_*_mlp.csv.gz")
        products = gemm_rows(rows, "bf16", bandwidth)
        form = gemm_form("bf16", profile.peak_flops, bandwidth)
        errors = np.log(form(constants, columns(products, "m", "n", "k")) / values(products))
        tokens = columns(products, "m")["m"]
        for least, most in ((1, 64), (65, 512), (513, 4096)):
            part = errors[(tokens >= least) & (tokens <= most)]
            _say(f"Vidur on {gpu}, products of {least} to {most} rows", part)
        _check_element_wise(gpu, rows, constants["memory_efficiency"])


def _check_element_wise(gpu: str, measurements: Sequence[Measurement], memory_efficiency: float) -> None:
    """Norms, activations and so on: the bytes they move at the rate at which weights are read, and their least time."""
    rate = gpu_profile(gpu).memory_bandwidth_bytes_per_s * memory_efficiency
    operations: dict[str, list[Measurement]] = {}
    for row in measurements:
        if row.bench == "layer" and row.parameters["layer"] not in ("emb", "embedding", "final_layernorm"):
            operations.setdefault(str(row.parameters["layer"]), []).append(row)
    for name, rows in operations.items():
        large = [row for row in rows if row.number("tokens") >= 1024]
        moved = np.array([element_wise_bytes(row) for row in large])
        _say(f"{name} on {gpu}, from 1024 tokens, bytes alone", np.log(moved / rate / values(large)))
        small = values([row for row in rows if row.number("tokens") <= 16])
        print(f"  up to 16 tokens it takes {1e6 * np.median(small):.1f} us")


def _say(what: str, errors: Array) -> None:
    print(
        f"out of sample: {what}: {len(errors)} points, median error {100 * median_error(errors):.0f} %, "
        f"median ratio {np.exp(np.median(errors)):.2f}"
    )
