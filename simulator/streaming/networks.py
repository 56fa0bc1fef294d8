"""Super-resolution (SR) networks, layer by layer.

One file per network in ``simulator/streaming/catalog/networks``; the EDSR family comes by name, such as
``edsr-f32b5`` (32 features, 5 residual blocks). A file is a list of layers in the order of execution::

    - {conv: 3, in: 3, out: 32}                       # kernel, channels; its ReLU or clip costs nothing
    - {conv: 3, in: 32, out: 32, activation: prelu}   # an activation that the accelerator cannot fuse
    - {repeat: 5, layers: [...]}
    - {elementwise: 32, operands: 2}                  # an addition; operands 1: an activation, a resize
    - {shuffle: subpixels}                            # pixel shuffle: the output image's layout

Channels are a number or ``subpixels`` (3 scale**2); ``at`` is a layer's resolution over the input's: a number,
``scale`` or ``half`` (of the scale); ``times`` is how often a frame runs the layer with the same weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from devices.catalogue import unknown_name
from devices.document import Document, Path_, read_document
from devices.errors import Fault, InputError

_FOLDER = Path(__file__).parent / "catalog" / "networks"
_TEXTS = ("name", "title", "source", "url", "evidence")
_EDSR = re.compile(r"edsr-f([1-9][0-9]{0,3})b([1-9][0-9]{0,2})")

COLOURS = 3
"""Channels of an image."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation on feature maps."""

    kind: Literal["conv", "elementwise", "shuffle"]
    """``conv``: a convolution with its fused activation; ``shuffle``: pixel shuffle."""
    inputs: int
    """Input channels, of each operand where there are several."""
    outputs: int
    """Output channels."""
    kernel: int = 1
    """Width and height of a convolution's kernel."""
    groups: int = 1
    """Groups of a convolution."""
    operands: int = 1
    """Feature maps that an element-wise operation reads."""
    resolution: float = 1.0
    """Width and height over those of the network's input."""
    parameters: int = 0
    """Weights and biases."""
    times: int = 1
    """How often one frame runs it."""

    @property
    def macs_per_pixel(self) -> float:
        """Multiply-accumulates per pixel of the network's input."""
        if self.kind != "conv":
            return 0.0
        dense = self.kernel**2 * self.inputs * self.outputs / self.groups
        return dense * self.resolution**2 * self.times


@dataclass(frozen=True, slots=True)
class Network:
    """An SR network at one scale."""

    name: str
    """Catalogue name, such as ``quicksrnet-small``."""
    title: str
    """Name as its authors write it."""
    source: str
    """Where the layers are from."""
    url: str
    """Where that can be read."""
    evidence: Literal["published", "assumed"]
    """``assumed``: not every layer is public."""
    scale: int
    """Output width over input width."""
    layers: tuple[Layer, ...]
    """In the order of execution."""

    @property
    def parameters(self) -> int:
        """Weights and biases of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs_per_pixel(self) -> float:
        """Multiply-accumulates per pixel of the input."""
        return sum(layer.macs_per_pixel for layer in self.layers)


def network_names() -> list[str]:
    """Return the names of the catalogue's networks, in alphabetical order; the EDSR family is not listed."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def is_network(name: str) -> bool:
    """Return whether `load_network` knows a name."""
    return name in network_names() or _EDSR.fullmatch(name) is not None


@cache
def load_network(name: str, scale: int) -> Network:
    """Return a network at one scale.

    Parameters
    ----------
    name
        A name of `network_names`, or ``edsr-fFbB`` with F features and B blocks.
    scale
        Output width over input width, 1 or more.

    Raises
    ------
    InputError
        Where there is no such network (the message names the nearest), it has no such scale, or its file has
        faults.
    """
    if match := _EDSR.fullmatch(name):
        return edsr(int(match[1]), int(match[2]), scale)
    known = network_names()
    if name not in known:
        raise InputError(Fault(unknown_name("SR network", name, [*known, "edsr-f32b5"])))
    return read_network(_FOLDER / f"{name}.yaml", scale, f"simulator/streaming/catalog/networks/{name}.yaml")


def edsr(features: int, blocks: int, scale: int) -> Network:
    """Return EDSR in the form of MLPerf Mobile: the pixel shuffle follows the features directly.

    The original has a wider upsampler, a convolution to ``features * scale**2`` channels and one more at the
    output's resolution.
    """
    if not 1 <= scale <= 16:
        raise InputError(Fault(f"scale {scale} of edsr is out of range; allowed: 1 to 16"))
    body = convolution(3, features, features)
    add = Layer("elementwise", features, features, operands=2)
    subpixels = COLOURS * scale**2
    return Network(
        name=f"edsr-f{features}b{blocks}",
        title=f"EDSR, {features} features, {blocks} blocks",
        source="MLPerf Mobile, reference model EDSR (model.txt of f32b5 and f64b5)",
        url="https://github.com/mlcommons/mobile_open/tree/main/vision/edsr",
        evidence="published",
        scale=scale,
        layers=(
            convolution(3, COLOURS, features),
            *(body, body, add) * blocks,
            body,
            add,
            convolution(3, features, subpixels),
            Layer("shuffle", subpixels, COLOURS, resolution=scale),
        ),
    )


def convolution(
    kernel: int, inputs: int, outputs: int, resolution: float = 1.0, *, groups: int = 1, bias: bool = True
) -> Layer:
    """Return a convolution with the parameters that follow from its shape."""
    parameters = kernel**2 * inputs * outputs // groups + (outputs if bias else 0)
    return Layer("conv", inputs, outputs, kernel, groups, 1, resolution, parameters)


def read_network(source: str | Path, scale: int, name: str = "") -> Network:
    """Read one network file (a `Path`) or its text (a `str`), called `name` in messages.

    Raises
    ------
    InputError
        Where the network has no such scale, or with the first fault of the file and its file:line:column.
    """
    document = read_document(source, name)
    reader = _Reader(document, scale)
    data = reader.mapping((), required=(*_TEXTS, "scales", "layers"))
    if data["evidence"] not in ("published", "assumed"):
        raise reader.error(("evidence",), f"{data['evidence']!r}; allowed: published, assumed")
    if scale not in data["scales"]:
        allowed = ", ".join(str(one) for one in data["scales"])
        raise InputError(Fault(f"{data['name']} has no scale {scale}; allowed: {allowed}"))
    layers = tuple(reader.layers(("layers",)))
    return Network(**{key: data[key] for key in _TEXTS}, scale=scale, layers=layers)


class _Reader:
    """Turns the entries of one file into layers; the first fault ends it."""

    def __init__(self, document: Document, scale: int) -> None:
        self.document = document
        self.scale = scale

    def mapping(
        self, path: Path_, required: Sequence[str], optional: Sequence[str] = ()
    ) -> Mapping[str, Any]:
        data = self.document.at(path)
        if not isinstance(data, dict):
            raise self.error(path, "must be a mapping")
        for key in data:
            if key not in (*required, *optional):
                raise self.error((*path, key), unknown_name("key", key, (*required, *optional)))
        for key in required:
            if key not in data:
                raise self.error(path, f"{key} is missing")
        return data

    def layers(self, path: Path_) -> Iterator[Layer]:
        for number, entry in enumerate(self.document.at(path)):
            place = (*path, number)
            if isinstance(entry, dict) and "repeat" in entry:
                self.mapping(place, ("repeat", "layers"))
                for _ in range(self.whole((*place, "repeat"))):
                    yield from self.layers((*place, "layers"))
            elif isinstance(entry, dict) and "conv" in entry:
                yield from self.conv(place)
            elif isinstance(entry, dict) and "elementwise" in entry:
                self.mapping(place, ("elementwise",), ("operands", "at", "times"))
                channels = self.channels((*place, "elementwise"))
                yield Layer(
                    "elementwise",
                    channels,
                    channels,
                    operands=self.whole((*place, "operands"), 1),
                    resolution=self.resolution(place),
                    times=self.whole((*place, "times"), 1),
                )
            elif isinstance(entry, dict) and "shuffle" in entry:
                self.mapping(place, ("shuffle",))
                yield Layer(
                    "shuffle", self.channels((*place, "shuffle")), COLOURS, resolution=float(self.scale)
                )
            else:
                raise self.error(place, "a layer has one of: conv, elementwise, shuffle, repeat")

    def conv(self, path: Path_) -> Iterator[Layer]:
        data = self.mapping(path, ("conv", "in", "out"), ("groups", "at", "bias", "times", "activation"))
        outputs, resolution = self.channels((*path, "out")), self.resolution(path)
        times, groups = self.whole((*path, "times"), 1), self.whole((*path, "groups"), 1)
        kernel, inputs = self.whole((*path, "conv")), self.channels((*path, "in"))
        dense = convolution(
            kernel, inputs, outputs, resolution, groups=groups, bias=data.get("bias", True) is not False
        )
        yield Layer("conv", inputs, outputs, kernel, groups, 1, resolution, dense.parameters, times)
        activation = data.get("activation", "fused")
        if activation not in ("fused", "prelu", "leaky", "sigmoid"):
            raise self.error((*path, "activation"), f"{activation!r}; allowed: fused, prelu, leaky, sigmoid")
        if activation != "fused":
            slopes = outputs if activation == "prelu" else 0
            yield Layer(
                "elementwise", outputs, outputs, resolution=resolution, parameters=slopes, times=times
            )

    def channels(self, path: Path_) -> int:
        value = self.document.at(path)
        return COLOURS * self.scale**2 if value == "subpixels" else self.whole(path)

    def resolution(self, path: Path_) -> float:
        value = self.document.at(path).get("at", 1)
        named = {"scale": float(self.scale), "half": self.scale / 2}
        if value in named:
            return named[value]
        if isinstance(value, int | float) and value > 0:
            return float(value)
        raise self.error((*path, "at"), f"{value!r}; allowed: a number above 0, scale, half")

    def whole(self, path: Path_, default: int | None = None) -> int:
        if default is not None and path[-1] not in self.document.at(path[:-1]):
            return default
        value = self.document.at(path)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.error(path, f"{value!r} is not a whole number of at least 1")
        return value

    def error(self, path: Path_, message: str) -> InputError:
        return InputError(self.document.fault(path, message))
