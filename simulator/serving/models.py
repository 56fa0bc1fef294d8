"""Model architectures: what an LLM's size in weights, KV cache and arithmetic follows from.

One file per model in ``simulator/serving/catalog/models``. The figures are those of the model's published
configuration; everything else derives from them. Norm weights and biases (below 0.1 %) are left out.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from devices.catalogue import unknown_name
from devices.document import read_document
from devices.errors import Fault, InputError

_FOLDER = Path(__file__).parent / "catalog" / "models"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Architecture of a decoder-only transformer with gated feed-forward layers."""

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
    """Width of one head."""
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
    tied_embeddings: bool = False
    """The output layer uses the embedding's weights."""
    weight_bits: int = 16
    """Bits per layer weight as published."""
    kv_bits: int = 16
    """Bits per element of the KV cache in GPU memory."""

    @property
    def kv_bytes_per_token(self) -> float:
        """Bytes of KV cache per token over all layers: a key and a value per KV head."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.kv_bits / 8

    @property
    def expert_parameters(self) -> int:
        """Parameters of one expert in one layer: gate, up and down."""
        return 3 * self.hidden * self.expert_ffn

    @property
    def layer_parameters(self) -> int:
        """Parameters of all layers together, every expert included."""
        return self.layers * (self._common_parameters + self.experts * self.expert_parameters)

    @property
    def active_layer_parameters(self) -> int:
        """Parameters of all layers together that one token meets: of the experts, those it is routed to."""
        return self.layers * (self._common_parameters + self.experts_per_token * self.expert_parameters)

    @property
    def _common_parameters(self) -> int:
        """Parameters of one layer that every token meets."""
        attention = 2 * self.hidden * self.head_dim * (self.attention_heads + self.kv_heads)
        feed_forward = 3 * self.hidden * (self.ffn + self.shared_expert_ffn)
        router = self.hidden * self.experts
        return attention + feed_forward + router

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
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
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
    return read_model(_FOLDER / f"{name}.yaml", f"simulator/serving/catalog/models/{name}.yaml")


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
        if model.attention_heads % max(1, model.kv_heads):
            faults.append(
                document.fault(("kv_heads",), f"must divide attention_heads ({model.attention_heads})")
            )
        if not model.experts_per_token <= model.experts or bool(model.experts) != bool(model.expert_ffn):
            message = "experts, experts_per_token (at most experts) and expert_ffn belong together"
            faults.append(document.fault(("experts",), message))
        if isinstance(source, Path) and model.name != source.stem:
            faults.append(document.fault(("name",), f"must be the file's name, {source.stem!r}"))
        if not faults:
            return model
    raise InputError(sorted(faults, key=lambda fault: (fault.line, fault.column)))


def _wrong(value: object, kind: Any) -> str:
    """Return what `value` should have been; empty where it is right."""
    if kind is int:
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return "" if whole else "a whole number of at least 0"
    if kind is bool:
        return "" if isinstance(value, bool) else "true or false"
    return "" if isinstance(value, str) and value else "a text"
