"""SR networks against the sizes that their authors and Qualcomm AI Hub publish."""

from __future__ import annotations

import pytest

from devices.errors import InputError
from simulator.streaming.networks import load_network, network_names, read_network

PUBLISHED = {
    "quicksrnet-small": 33_260,  # 32.48 Ki
    "quicksrnet-medium": 61_000,
    "quicksrnet-large": 435_886,  # 425.67 Ki
    "xlsr": 28_000,
    "sesr-m5": 343_000,
    "real-esrgan-general": 1.21e6,
    "real-esrgan-x4plus": 16.7e6,
}

TINY = """\
name: tiny
title: Tiny
source: Nowhere
url: https://example.org
evidence: assumed
scales: [2]
layers:
  - {conv: 3, in: 3, out: 4, activation: prelu}
  - repeat: 2
    layers:
      - {conv: 3, in: 4, out: 4, groups: 2, times: 3}
  - {conv: 1, in: 4, out: subpixels, bias: false}
  - {shuffle: subpixels}
  - {elementwise: 3, operands: 2, at: scale}
"""


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_parameters_are_those_published(name: str, parameters: float) -> None:
    assert load_network(name, 4).parameters == pytest.approx(parameters, rel=3e-3)


def test_edsr_f32b5_is_mlperfs() -> None:
    network = load_network("edsr-f32b5", 2)
    assert network.parameters == 106_092
    # 960 x 540 pixels: 55 billion multiply-accumulates
    assert network.macs_per_pixel * 960 * 540 == pytest.approx(54.8e9, rel=1e-3)


def test_edsr_of_any_width_and_depth() -> None:
    wide, deep = load_network("edsr-f64b5", 2), load_network("edsr-f32b10", 2)
    small = load_network("edsr-f32b5", 2)
    assert deep.parameters - small.parameters == 10 * 9248
    assert 3.5 < wide.macs_per_pixel / small.macs_per_pixel < 4
    assert load_network("edsr-f32b5", 4).parameters > small.parameters


@pytest.mark.parametrize("name", network_names())
def test_channels_fit_together(name: str) -> None:
    scale = 4
    network = load_network(name, scale)
    assert network.name == name
    assert network.layers[0].inputs == 3
    made = {3}
    for layer in network.layers:
        assert layer.inputs % layer.groups == 0
        assert layer.resolution <= scale
        made.add(layer.outputs)
    assert 3 in {layer.outputs for layer in network.layers[-2:]}


def test_layers_of_a_file() -> None:
    network = read_network(TINY, 2, "tiny.yaml")
    kinds = [layer.kind for layer in network.layers]
    assert kinds == ["conv", "elementwise", "conv", "conv", "conv", "shuffle", "elementwise"]
    assert network.parameters == (27 * 4 + 4) + 4 + 2 * (9 * 4 * 4 // 2 + 4) + 4 * 12
    assert network.macs_per_pixel == 108 + 2 * 3 * 72 + 48
    assert network.layers[-1].resolution == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("conv: 3, in: 3", "conv: 0, in: 3", "tiny.yaml:8:12: layers.0.conv: 0 is not a whole number"),
        ("out: 4, activation", "of: 4, activation", "unknown key 'of'"),
        ("activation: prelu", "activation: gelu", "allowed: fused, prelu, leaky, sigmoid"),
        ("at: scale", "at: double", "allowed: a number above 0, scale, half"),
        ("shuffle: subpixels", "unshuffle: 3", "a layer has one of"),
        ("evidence: assumed", "evidence: guessed", "allowed: published, assumed"),
        ("scales: [2]", "scales: [3]", "tiny has no scale 2; allowed: 3"),
    ],
)
def test_faults_say_where(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_network(TINY.replace(old, new, 1), 2, "tiny.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["quicksrnet-smal", "edsr-f32", "edsr-f0b5"])
def test_unknown_networks_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="nearest: "):
        load_network(name, 2)
