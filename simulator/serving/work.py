"""What an engine step of a model does on one GPU of a tensor-parallel group: products, bytes, pairs; no times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from simulator.serving.kernels import tiled
from simulator.serving.models import ModelSpec


class Product(NamedTuple):
    """Matrix products of one shape."""

    layers: int
    """Layers that have it."""
    inputs: float
    """Inputs of the layer, the length of the sums."""
    outputs: float
    """Outputs of the layer on this GPU."""
    rows: float
    """Rows that come in."""
    padded_rows: float
    """Rows that are computed, parts of tiles as whole ones."""
    experts: float = 0.0
    """Experts that the rows are routed to, with a matrix each; 0: a dense product."""


def products(
    model: ModelSpec,
    tokens: int,
    tensor_parallel: int,
    tile: int,
    expert_parallel: int = 1,
    expert_imbalance: float = 1.0,
) -> Iterator[Product]:
    """Yield the matrix products of the layers of a step over `tokens` tokens.

    Parameters
    ----------
    model
        Architecture.
    tokens
        Tokens of the step.
    tensor_parallel
        GPUs that share every layer.
    tile
        Rows of a tile of dense products.
    expert_parallel
        Groups of those GPUs among which whole experts are dealt out; a group slices its experts.
    expert_imbalance
        Rows on the busiest group over the mean of all: the others wait for it.
    """
    hidden, tp, padded = model.hidden, tensor_parallel, tiled(tokens, tile)
    for inputs, outputs in model.attention_products(tp):
        yield Product(model.layers, inputs, outputs, tokens, padded)
    for layers, width in (
        (model.dense_layers, model.ffn / tp),
        (model.expert_layers, model.shared_expert_ffn / tp),
    ):
        if layers and width:
            yield Product(layers, hidden, 2.0 * width, tokens, padded)
            yield Product(layers, width, hidden, tokens, padded)
    if layers := model.expert_layers:
        yield Product(layers, hidden, model.experts, tokens, padded)
        touched = touched_experts(model, tokens) / expert_parallel
        routed = tokens * model.experts_per_token / expert_parallel
        if expert_parallel > 1:
            routed *= expert_imbalance
        padded, width = touched * tiled(routed / touched), model.expert_ffn / (tp / expert_parallel)
        yield Product(layers, hidden, 2.0 * width, routed, padded, touched)
        yield Product(layers, width, hidden, routed, padded, touched)


def micro_batches(tokens: int, stages: int) -> tuple[int, int]:
    """Return into how many micro-batches a step over `tokens` tokens is cut for a pipeline, and the largest one's size.

    One per stage, so that all are busy, where there are as many tokens.
    """
    batches = max(1, min(stages, tokens))
    return batches, -(-tokens // batches)


def touched_experts(model: ModelSpec, tokens: int) -> float:
    """Return the experts per layer that at least one token is routed to, on average (uniform routing assumed)."""
    if not model.experts:
        return 0.0
    return model.experts * (1.0 - (1.0 - model.experts_per_token / model.experts) ** tokens)


def read_parameters(model: ModelSpec, tokens: int) -> float:
    """Return the layer weights that a step over `tokens` tokens reads, all GPUs of the group together."""
    untouched = model.experts - touched_experts(model, tokens)
    return model.layer_parameters - untouched * model.expert_layers * model.expert_parameters


def elementwise_values(model: ModelSpec, tensor_parallel: int) -> float:
    """Return the values that the element-wise operations of a step read and write per token on one GPU.

    In each layer two norms with the residual added (two read and two written each), rotary embedding of queries
    and keys in place, what the KV cache keeps stored, and the gate (two read, one written); as fused kernels do it.
    Where there are experts, a token's outputs of all of them are read again and summed.
    """
    layers, tp = model.layers, tensor_parallel
    turned = (model.attention_heads + model.kv_heads) / tp * (model.shared_key_dim or model.head_dim)
    stored = kv_copies(model, tp) / tp * model.kv_values
    inner = model.dense_layers * model.ffn + model.expert_layers * (
        model.shared_expert_ffn + model.experts_per_token * model.expert_ffn
    )
    summed = model.expert_layers * (model.experts_per_token + 1.0) * model.hidden
    return layers * (8.0 * model.hidden + 2.0 * turned + 2.0 * stored) + 3.0 * inner / tp + summed


def flops_per_pair(model: ModelSpec) -> float:
    """Return the floating-point operations of a query-key pair over all layers and heads."""
    return 2.0 * model.layers * model.attention_heads * (model.head_dim + model.value_dim)


def chunk_pairs(position: int, tokens: int) -> float:
    """Return the query-key pairs of a causal chunk of `tokens` tokens that starts at `position`."""
    return tokens * (position + 0.5 * (tokens + 1))


def kv_copies(model: ModelSpec, tensor_parallel: int) -> float:
    """Return how many GPUs of a group keep the same KV: all of them in MLA, else where they outnumber the KV heads."""
    return tensor_parallel / (1.0 if model.kv_latent else min(tensor_parallel, model.kv_heads))


def kv_bytes_per_token_per_group(model: ModelSpec, tensor_parallel: int) -> float:
    """Return the KV bytes that a tensor-parallel group keeps per token, copies counted."""
    return model.kv_bytes_per_token * kv_copies(model, tensor_parallel)


def kv_streams(model: ModelSpec, tensor_parallel: int) -> float:
    """Return the streams of KV that decode attention reads per sequence on one GPU: one per layer and KV head."""
    return model.layers * (1.0 if model.kv_latent else max(1.0, model.kv_heads / tensor_parallel))
