"""Convolutional super-resolution networks by input resolution, through torch and through onnxruntime.

Networks are described by their layers, weights are random. A frame goes in whole, batch of one. In torch, frames
and weights have their channels last, which convolutions prefer on CPUs as on GPUs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibration.bench.clocks import latency_trial
from calibration.bench.harness import Options, Parameters, Point, Prepare, Trial, need
from calibration.bench.transformer import Tensor, random_tensor

REQUIRES = ("torch",)

RESOLUTIONS = ((128, 128), (320, 180), (480, 270), (640, 360), (854, 480), (960, 540), (1280, 720))
"""Width and height of the frames that go in."""

QUICK_RESOLUTIONS = ((64, 36), (128, 72))


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution of kernel 3 that keeps the resolution."""

    inputs: int
    """Channels in."""
    outputs: int
    """Channels out."""
    relu: bool = False
    """An activation follows."""
    shuffle: int = 1
    """A pixel shuffle by this factor follows; the last layer alone has one."""
    keep: int = 0
    """How many residuals begin here: what goes in is kept for so many later `add`."""
    add: bool = False
    """A residual ends here: what was kept last is added to what comes out."""


def quicksrnet(channels: int, middle: int, scale: int) -> list[Conv]:
    """QuickSRNet (Berger et al., 2023): a plain chain, one pixel shuffle at its end.

    The large one's 1x1 convolution from input to end, 0.04 % of its weights, is left out.
    """
    return [
        Conv(3, channels, relu=True),
        *[Conv(channels, channels, relu=True)] * middle,
        Conv(channels, 3 * scale**2, shuffle=scale),
    ]


def edsr(channels: int, blocks: int, scale: int) -> list[Conv]:
    """EDSR (Lim et al., 2017) as MLPerf Mobile has it: residual blocks within one residual, then a pixel shuffle."""
    body = [Conv(channels, channels, relu=True, keep=1), Conv(channels, channels, add=True)] * blocks
    body[0] = replace(body[0], keep=2)
    return [
        Conv(3, channels),
        *body,
        Conv(channels, channels, add=True),
        Conv(channels, 3 * scale**2, shuffle=scale),
    ]


NETWORKS = {
    "quicksrnet-small": quicksrnet(32, 2, 4),
    "quicksrnet-medium": quicksrnet(32, 5, 4),
    "quicksrnet-large": quicksrnet(64, 11, 4),
    "edsr-f32b5": edsr(32, 5, 4),
    "edsr-f64b16": edsr(64, 16, 4),
}
"""Networks by catalogue name (`simulator.streaming.networks`), all for four times the width and height."""

SCALE = 4
CPU_MULTIPLY_ADDS = 60e9
"""What a frame may cost at most on a CPU: a second or so."""


def multiply_adds(network: list[Conv], pixels: int) -> int:
    """Return the multiply-adds of a frame of so many pixels; shuffles come last, so that all convolve these."""
    return sum(9 * conv.inputs * conv.outputs for conv in network) * pixels


def grid(options: Options) -> list[tuple[str, Parameters]]:
    """Networks by resolution and runtime; the heaviest frames are left to GPUs."""
    runtimes = ["torch"]
    # onnxruntime is measured at 32 bits, and on a GPU only in its GPU build
    if all(importlib.util.find_spec(package) for package in ("onnx", "onnxruntime")) and _provider(options):
        runtimes.append("onnxruntime")
    networks = ["quicksrnet-small", "edsr-f32b5"] if options.quick else list(NETWORKS)
    return [
        (
            "sr",
            {
                "network": network,
                "input_width_px": width,
                "input_height_px": height,
                "scale": SCALE,
                "runtime": runtime,
                "precision": precision,
            },
        )
        for runtime in runtimes
        for precision in (options.precisions if runtime == "torch" else ("fp32",))
        for network in networks
        for width, height in (QUICK_RESOLUTIONS if options.quick else RESOLUTIONS)
        if options.device == "cuda" or multiply_adds(NETWORKS[network], width * height) <= CPU_MULTIPLY_ADDS
    ]


@contextmanager
def session(options: Options) -> Iterator[Prepare]:
    """Prepare networks with random weights on random frames."""
    torch = need("torch")

    def prepare(name: str, parameters: Parameters) -> Point:
        network = NETWORKS[str(parameters["network"])]
        size = (1, 3, int(parameters["input_height_px"]), int(parameters["input_width_px"]))
        if parameters["runtime"] == "onnxruntime":
            trial = _onnx_trial(network, size, _provider(options), torch.get_num_threads())
        else:
            trial = _torch_trial(network, size, str(parameters["precision"]), options)
        return Point("latency", "s", trial, power=True)

    with torch.inference_mode():
        yield prepare


def _torch_trial(
    network: list[Conv], size: tuple[int, int, int, int], precision: str, options: Options
) -> Trial:
    channels_last = need("torch").channels_last

    def tensor(shape: tuple[int, ...], scale: float) -> Tensor:
        return random_tensor(shape, precision, options.device, scale)

    weights = [
        (
            tensor((conv.outputs, conv.inputs, 3, 3), (9 * conv.inputs) ** -0.5).to(
                memory_format=channels_last
            ),
            tensor((conv.outputs,), 0.1),
        )
        for conv in network
    ]
    frame = tensor(size, 1.0).to(memory_format=channels_last)
    return latency_trial(
        lambda call: apply(network, weights, frame), options.device, graph=options.launch == "graph"
    )


def apply(network: list[Conv], weights: list[tuple[Tensor, Tensor]], frame: Tensor) -> Tensor:
    """Return what a network makes of a frame ``[1, 3, height, width]``; `weights`: weight and bias per layer."""
    functional = need("torch.nn.functional")
    image, kept = frame, []
    for conv, (weight, bias) in zip(network, weights, strict=True):
        kept += [image] * conv.keep
        image = functional.conv2d(image, weight, bias, padding=1)
        if conv.relu:
            image = functional.relu(image)
        if conv.add:
            image = image + kept.pop()
        if conv.shuffle > 1:
            image = functional.pixel_shuffle(image, conv.shuffle)
    return image


def _provider(options: Options) -> str:
    """Return onnxruntime's provider for the device; empty where this build has none."""
    wanted = "CUDAExecutionProvider" if options.device == "cuda" else "CPUExecutionProvider"
    return wanted if wanted in need("onnxruntime").get_available_providers() else ""


def _onnx_trial(network: list[Conv], size: tuple[int, int, int, int], provider: str, threads: int) -> Trial:
    runtime = need("onnxruntime")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = runtime.InferenceSession(onnx_model(network, size), settings, providers=[provider])
    frame = np.random.default_rng(0).standard_normal(size, np.float32)
    # the frame goes to the device and the result comes back within the trial, so the wall clock is the right one
    return latency_trial(lambda call: session.run(None, {"x0": frame}), "cpu")


def onnx_model(network: list[Conv], size: tuple[int, int, int, int]) -> bytes:
    """Return a network with random weights as an ONNX file; its input is called ``x0``."""
    onnx = need("onnx")
    make, numpy_helper = need("onnx.helper"), need("onnx.numpy_helper")
    chance = np.random.default_rng(0)
    nodes: list[Any] = []
    weights: list[Any] = []
    kept: list[str] = []
    image = "x0"

    def node(kind: str, inputs: list[str], **settings: Any) -> str:
        nodes.append(make.make_node(kind, inputs, [f"x{len(nodes) + 1}"], **settings))
        return f"x{len(nodes)}"

    for number, conv in enumerate(network):
        scale = (9 * conv.inputs) ** -0.5
        values = chance.standard_normal((conv.outputs, conv.inputs, 3, 3), np.float32) * np.float32(scale)
        weights.append(numpy_helper.from_array(values, f"w{number}"))
        weights.append(numpy_helper.from_array(np.zeros(conv.outputs, np.float32), f"b{number}"))
        kept += [image] * conv.keep
        image = node("Conv", [image, f"w{number}", f"b{number}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        if conv.relu:
            image = node("Relu", [image])
        if conv.add:
            image = node("Add", [image, kept.pop()])
        if conv.shuffle > 1:
            image = node("DepthToSpace", [image], blocksize=conv.shuffle, mode="CRD")
    float32 = onnx.TensorProto.FLOAT
    graph = make.make_graph(
        nodes,
        "sr",
        [make.make_tensor_value_info("x0", float32, list(size))],
        [make.make_tensor_value_info(image, float32, None)],
        weights,
    )
    # versions that every onnxruntime of the extra reads
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
