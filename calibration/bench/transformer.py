"""A decoder-only transformer with random weights and a real KV cache, as an engine would run it.

One step takes one new token of each of `batch` decoding sequences, then a chunk of one sequence's prompt behind a
prefix whose KV is already there. The dense layers work on all new tokens together; attention works on the decodes
and on the chunk apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calibration.bench.harness import need, torch_type
from simulator.serving.models import ModelSpec

Tensor = Any
"""A torch tensor; torch is imported only where one is made."""


def random_tensor(shape: tuple[int, ...], precision: str, device: str, scale: float = 1.0) -> Tensor:
    """Return a tensor of normally distributed values; they repeat after a million, which is quick to fill."""
    torch = need("torch")
    tensor = torch.empty(shape, dtype=torch_type(precision), device=device)
    flat = tensor.view(-1)
    seed = (torch.randn(min(2**20, flat.numel()), device=device) * scale).to(tensor.dtype)
    whole = flat.numel() // seed.numel() * seed.numel()
    flat[:whole].view(-1, seed.numel())[:] = seed
    flat[whole:] = seed[: flat.numel() - whole]
    return tensor


def causal_mask(new: int, context: int, precision: str, device: str) -> Tensor:
    """Return what lets the last `new` of `context` tokens see themselves and all before them.

    None where the new tokens are all there are (attention is plainly causal then) or there is only one.
    """
    if new in (1, context):
        return None
    torch = need("torch")
    if device == "cuda":  # read by the flash kernel; no mask is ever made
        return need("torch.nn.attention.bias").causal_lower_right(new, context)
    ones = torch.full((new, context), float("-inf"), dtype=torch_type(precision))
    return ones.triu(context - new + 1)


def prefill_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Attention of a chunk; ``[1, heads, new, d]`` over ``[1, kv_heads, context, d]``, `mask` of `causal_mask`."""
    attend = need("torch.nn.functional").scaled_dot_product_attention
    causal = mask is None and query.shape[2] > 1
    grouped = query.shape[1] != key.shape[1]
    return attend(query, key, value, attn_mask=mask, is_causal=causal, enable_gqa=grouped)


def decode_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of one new token per sequence; ``[batch, heads, 1, d]`` over ``[batch, kv_heads, context, d]``.

    Heads that share a key-value head stand as rows of one matrix: all of them see every key.
    """
    batch, heads, _, width = query.shape
    kv_heads = key.shape[1]
    rows = query.reshape(batch, kv_heads, heads // kv_heads, width)
    attended = need("torch.nn.functional").scaled_dot_product_attention(rows, key, value)
    return attended.reshape(batch, heads, 1, width)


@dataclass(frozen=True, slots=True)
class StepBatch:
    """What one step works on: decoding sequences, a chunk of a prompt, or both."""

    tokens: Tensor
    """Ids ``[decodes + new]``: one per decoding sequence first, then the chunk's."""
    decodes: Tensor = None
    """KV cache of the decoding sequences, of which each has `context` tokens so far; None: there are none."""
    context: int = 0
    """Tokens before the new one, of every decoding sequence."""
    chunk: Tensor = None
    """KV cache of the sequence that prefills, `prefix` tokens of which are there; None: there is no chunk."""
    prefix: int = 0
    """Tokens before the chunk."""
    mask: Tensor = None
    """`causal_mask` of the chunk."""

    @property
    def decoding(self) -> int:
        """Sequences that decode."""
        return 0 if self.decodes is None else int(self.decodes.shape[2])

    @property
    def new(self) -> int:
        """Tokens of the chunk."""
        return len(self.tokens) - self.decoding

    def attention(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Store key and value ``[tokens, kv_heads, d]`` and return what the queries attend to, token by token."""
        attended = []
        count = self.decoding
        if self.decodes is not None:
            keys, values = self.decodes[layer]
            keys[:, :, self.context] = key[:count]
            values[:, :, self.context] = value[:count]
            seen = slice(0, self.context + 1)
            rows = decode_attention(query[:count].unsqueeze(2), keys[:, :, seen], values[:, :, seen])
            attended.append(rows.reshape(count, -1))
        if self.chunk is not None:
            keys, values = self.chunk[layer]
            new, seen = slice(self.prefix, self.prefix + self.new), slice(0, self.prefix + self.new)
            keys[0, :, new] = key[count:].transpose(0, 1)
            values[0, :, new] = value[count:].transpose(0, 1)
            chunk = query[count:].transpose(0, 1).unsqueeze(0)
            rows = prefill_attention(chunk, keys[:, :, seen], values[:, :, seen], self.mask)
            attended.append(rows[0].transpose(0, 1).reshape(self.new, -1))
        return attended


class Transformer:
    """Weights of a model of a given shape, and its step.

    Parameters
    ----------
    shape
        Architecture; dense feed-forward layers only.
    precision
        Number format of weights, activations and KV.
    device
        ``cpu`` or ``cuda``.
    context_tokens
        Longest context that a step may have (size of the table of rotations).
    """

    def __init__(self, shape: ModelSpec, precision: str, device: str, context_tokens: int) -> None:
        self.shape, self.precision, self.device = shape, precision, device
        torch = need("torch")
        heads = shape.attention_heads + 2 * shape.kv_heads
        inner = shape.attention_heads * shape.head_dim

        def weight(rows: int, columns: int) -> Tensor:
            return random_tensor((rows, columns), precision, device, scale=columns**-0.5)

        self.layers = [
            {
                "qkv": weight(heads * shape.head_dim, shape.hidden),
                "out": weight(shape.hidden, inner),
                "gate_up": weight(2 * shape.ffn, shape.hidden),
                "down": weight(shape.hidden, shape.ffn),
            }
            for _ in range(shape.layers)
        ]
        self.embedding = random_tensor((shape.vocabulary, shape.hidden), precision, device)
        self.head = self.embedding if shape.tied_embeddings else weight(shape.vocabulary, shape.hidden)
        self.norm = torch.ones(shape.hidden, dtype=torch_type(precision), device=device)
        angles = torch.outer(
            torch.arange(context_tokens, dtype=torch.float32),
            10000.0 ** (-torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim),
        ).repeat(1, 2)
        self.cosine = angles.cos().to(self.norm)
        self.sine = angles.sin().to(self.norm)

    def cache(self, batch: int, context_tokens: int) -> Tensor:
        """Return a KV cache ``[layers, 2, batch, kv_heads, context_tokens, head_dim]`` full of random values."""
        shape = self.shape
        size = (shape.layers, 2, batch, shape.kv_heads, context_tokens, shape.head_dim)
        return random_tensor(size, self.precision, self.device)

    def step(self, batch: StepBatch) -> Tensor:
        """Run one step and return the logits of the decodes and of the chunk's last token."""
        torch = need("torch")
        functional = torch.nn.functional
        shape = self.shape
        heads = [shape.attention_heads, shape.kv_heads]
        decodes = batch.decoding
        positions = torch.cat(
            (
                torch.full((decodes,), batch.context, device=self.device),
                torch.arange(batch.prefix, batch.prefix + batch.new, device=self.device),
            )
        )
        cosine, sine = self.cosine[positions].unsqueeze(1), self.sine[positions].unsqueeze(1)
        hidden = functional.embedding(batch.tokens, self.embedding)
        for number, layer in enumerate(self.layers):
            normed = functional.rms_norm(hidden, (shape.hidden,), self.norm)
            projected = functional.linear(normed, layer["qkv"]).view(len(batch.tokens), -1, shape.head_dim)
            turned, value = projected.split([sum(heads), shape.kv_heads], dim=1)
            first, second = turned.chunk(2, dim=-1)
            turned = turned * cosine + torch.cat((-second, first), dim=-1) * sine
            query, key = turned.split(heads, dim=1)
            attended = torch.cat(batch.attention(number, query, key, value))
            hidden = hidden + functional.linear(attended, layer["out"])
            normed = functional.rms_norm(hidden, (shape.hidden,), self.norm)
            gate, up = functional.linear(normed, layer["gate_up"]).chunk(2, dim=-1)
            hidden = hidden + functional.linear(functional.silu(gate) * up, layer["down"])
        asked = torch.cat((hidden[:decodes], hidden[decodes:][-1:]))
        return functional.linear(functional.rms_norm(asked, (shape.hidden,), self.norm), self.head)
