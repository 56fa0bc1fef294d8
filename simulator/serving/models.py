"""Model architectures: what an LLM's size in weights, KV cache and arithmetic follows from.

One file per model in ``simulator/serving/catalog/models``. The figures are those of the model's published
configuration; everything else derives from them. Norm weights and biases (below 0.1 %) are left out.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from devices.catalogue import catalogue_files, unknown_name
from devices.document import read_document
from devices.errors import Fault, InputError

_FOLDER = Path(__file__).parent / "catalog" / "models"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Architecture of a decoder-only transformer with gated feed-forward layers.

    Attention is that of separate heads (MHA, GQA) or, with `kv_latent`, multi-head latent attention (MLA): one
    narrow vector per token and layer is kept in place of keys and values, which are expanded from it
    (DeepSeek-AI, "DeepSeek-V2", arXiv 2405.04434).
    """

    name: str
    """Catalogue name, such as ``llama-2-7b``."""
    title: str
    """Name as its authors write it."""
    source: str
    """Where the figures are from."""
    url: str
    """Where that can be read."""
    layers: int
    """Transformer layers."""
    hidden: int
    """Width of the residual stream."""
    attention_heads: int
    """Query heads."""
    kv_heads: int
    """Key and value heads: as many as query heads in MHA, fewer in GQA."""
    head_dim: int
    """Width of one head of queries and keys."""
    ffn: int
    """Inner width of a dense feed-forward layer; 0 where all are experts."""
    vocabulary: int
    """Rows of the embedding."""
    context_tokens: int
    """Longest context that the model was made for."""
    experts: int = 0
    """Experts per layer; 0 in a dense model."""
    experts_per_token: int = 0
    """Experts that a token is routed to."""
    expert_ffn: int = 0
    """Inner width of one expert."""
    shared_expert_ffn: int = 0
    """Inner width of the experts that every token passes, together."""
    first_dense_layers: int = 0
    """Mixture of experts: layers at the front that have none, but a dense feed-forward layer of width `ffn`."""
    value_head_dim: int = 0
    """Width of one head of values; 0: as `head_dim`."""
    kv_latent: int = 0
    """MLA: width of the latent from which keys and values are expanded; 0: keys and values are kept themselves."""
    shared_key_dim: int = 0
    """MLA: the part of `head_dim` that is one key for all heads (it carries the position), kept with the latent."""
    query_latent: int = 0
    """MLA: width from which queries are expanded; 0: they are projected in one step."""
    tied_embeddings: bool = False
    """The output layer uses the embedding's weights."""
    weight_bits: int = 16
    """Bits per layer weight as published."""
    kv_bits: int = 16
    """Bits per element of the KV cache in GPU memory."""

    @property
    def kv_bytes_per_token(self) -> float:
        """Bytes of KV cache per token over all layers: a key and a value per KV head, or the latent."""
        return self.layers * self.kv_values * self.kv_bits / 8

    @property
    def kv_values(self) -> int:
        """Values that the KV cache holds per token and layer."""
        if self.kv_latent:
            return self.kv_latent + self.shared_key_dim
        return self.kv_heads * (self.head_dim + self.value_dim)

    @property
    def value_dim(self) -> int:
        """Width of one head of values."""
        return self.value_head_dim or self.head_dim

    @property
    def expert_layers(self) -> int:
        """Layers whose feed-forward part is a mixture of experts."""
        return self.layers - self.first_dense_layers if self.experts else 0

    @property
    def dense_layers(self) -> int:
        """Layers whose feed-forward part is dense."""
        return self.layers - self.expert_layers

    def attention_products(self, gpus: int = 1) -> list[tuple[float, float]]:
        """Return inputs and outputs of the matrix products around attention on one of `gpus` GPUs.

        The GPUs share the heads. What all heads have in common (the latents of MLA; a KV head where GPUs
        outnumber them) each GPU computes for itself.
        """
        hidden, heads = self.hidden, self.attention_heads / gpus
        query, output = heads * self.head_dim, (heads * self.value_dim, hidden)
        if not self.kv_latent:
            kv_heads = max(1.0, self.kv_heads / gpus)
            return [(hidden, query + kv_heads * (self.head_dim + self.value_dim)), output]
        first = self.kv_latent + self.shared_key_dim + (self.query_latent or query)
        expanded = heads * (self.head_dim - self.shared_key_dim + self.value_dim)
        products = [(hidden, first), (self.kv_latent, expanded), output]
        return [*products, (self.query_latent, query)] if self.query_latent else products

    @property
    def expert_parameters(self) -> int:
        """Parameters of one expert in one layer: gate, up and down."""
        return 3 * self.hidden * self.expert_ffn

    @property
    def layer_parameters(self) -> int:
        """Parameters of all layers together, every expert included."""
        return self._layer_parameters(self.experts)

    @property
    def active_layer_parameters(self) -> int:
        """Parameters of all layers together that one token meets: of the experts, those it is routed to."""
        return self._layer_parameters(self.experts_per_token)

    def _layer_parameters(self, experts: int) -> int:
        """Parameters of all layers together, `experts` of each mixture included."""
        attention = int(sum(inputs * outputs for inputs, outputs in self.attention_products()))
        router_and_shared = self.hidden * self.experts + 3 * self.hidden * self.shared_expert_ffn
        return (
            self.layers * attention
            + self.dense_layers * 3 * self.hidden * self.ffn
            + self.expert_layers * (router_and_shared + experts * self.expert_parameters)
        )

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embedding and, unless tied, of the output layer."""
        return self.vocabulary * self.hidden * (1 if self.tied_embeddings else 2)

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.layer_parameters + self.embedding_parameters

    @property
    def active_parameters(self) -> int:
        """Parameters that one token meets, embeddings counted whole as model cards do."""
        return self.active_layer_parameters + self.embedding_parameters

    def weight_bytes(self, bits: int | None = None) -> float:
        """Return the bytes of all weights with `bits` bits per layer weight (None: as published).

        Embedding and output layer stay at 16 bits, as engines keep them.
        """
        return self.layer_parameters * (bits or self.weight_bits) / 8 + 2 * self.embedding_parameters


def model_names() -> list[str]:
    """Return the names of the catalogue's models in alphabetical order."""
    return sorted(catalogue_files(_FOLDER, "models"))


def model_file(name: str) -> Path:
    """Return the file of the model called `name`, which must be in the catalogue."""
    return catalogue_files(_FOLDER, "models")[name]


def load_model(name: str) -> ModelSpec:
    """Return the model called `name`; a second call returns the same object.

    Raises
    ------
    InputError
        Where the catalogue has no such model (the message names the nearest), or its file has faults.
    """
    known = model_names()
    if name not in known:
        raise InputError(Fault(unknown_name("model", name, known, "hetsim list models")))
    return _load(model_file(name))


@cache
def _load(path: Path) -> ModelSpec:
    shown = f"simulator/serving/catalog/models/{path.name}" if path.parent == _FOLDER else str(path)
    return read_model(path, shown)


def read_model(source: str | Path, name: str = "") -> ModelSpec:
    """Read one model file (a `Path`) or its text (a `str`), called `name` in messages.

    Raises
    ------
    InputError
        With every fault at once and its file:line:column: a field that is missing, unknown or of the wrong
        type, heads that do not group, a mixture of experts half described.
    """
    document = read_document(source, name)
    data = document.data
    if not isinstance(data, dict):
        raise InputError(document.fault((), "must be a mapping"))
    types = get_type_hints(ModelSpec)
    required = {field.name for field in fields(ModelSpec) if field.default is MISSING}
    faults = [
        document.fault((key,), unknown_name("key", key, types), key=True) for key in data if key not in types
    ]
    faults += [document.fault((key,), "is missing", key=True) for key in sorted(required - data.keys())]
    for key in data.keys() & types.keys():
        if wrong := _wrong(data[key], types[key]):
            faults.append(document.fault((key,), f"{data[key]!r} is not {wrong}"))
    if not faults:
        model = ModelSpec(**data)
        faults += [document.fault((key,), message) for key, message in _contradictions(model)]
        if isinstance(source, Path) and model.name != source.stem:
            faults.append(document.fault(("name",), f"must be the file's name, {source.stem!r}"))
        if not faults:
            return model
    raise InputError(sorted(faults, key=lambda fault: (fault.line, fault.column)))


def _contradictions(model: ModelSpec) -> list[tuple[str, str]]:
    """Return what does not fit together: a key of the model's file and what is wrong with it."""
    found: list[tuple[str, str]] = []
    if model.attention_heads % max(1, model.kv_heads):
        found.append(("kv_heads", f"must divide attention_heads ({model.attention_heads})"))
    if not model.experts_per_token <= model.experts or bool(model.experts) != bool(model.expert_ffn):
        message = "experts, experts_per_token (at most experts) and expert_ffn belong together"
        found.append(("experts", message))
    if model.first_dense_layers > model.layers or (model.first_dense_layers and not model.experts):
        found.append(("first_dense_layers", f"is for mixtures of experts; at most layers ({model.layers})"))
    if model.experts and bool(model.ffn) != bool(model.first_dense_layers):
        found.append(("ffn", "of a mixture of experts is that of its first_dense_layers; 0 without them"))
    for key in ("shared_key_dim", "query_latent"):
        if getattr(model, key) and not model.kv_latent:
            found.append((key, "is for latent attention, which needs kv_latent"))
    if model.shared_key_dim and model.shared_key_dim >= model.head_dim:
        found.append(("shared_key_dim", f"must be below head_dim ({model.head_dim})"))
    return found


def _wrong(value: object, kind: Any) -> str:
    """Return what `value` should have been; empty where it is right."""
    if kind is int:
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return "" if whole else "a whole number of at least 0"
    if kind is bool:
        return "" if isinstance(value, bool) else "true or false"
    return "" if isinstance(value, str) and value else "a text"
