"""Catalogue names for what published tables call devices, models and number formats.

A name that is not known here stays as the source writes it, in lower case with hyphens: a reader does not
guess.
"""

from __future__ import annotations

import re

_GPUS = {
    "nvidia-a100-sxm4-80gb": "a100-80g-sxm",
    "nvidia-h100-80gb-hbm3": "h100-80g-sxm",
    "nvidia-h200": "h200-sxm",
    "nvidia-b200": "b200-sxm",
    "nvidia-l40s": "l40s",
    "nvidia-geforce-rtx-4090": "rtx-4090",
    # Short names: Vidur's and splitwise's A100 and H100 are the 80 GB SXM boards of cloud machines.
    "a100": "a100-80g-sxm",
    "a100-80gb": "a100-80g-sxm",
    "h100": "h100-80g-sxm",
    "h100-80gb": "h100-80g-sxm",
    "b200": "b200-sxm",
    "rtx4090": "rtx-4090",
    "rtxpro6000": "rtx-pro-6000",
}

_SOCS = {
    "samsung-galaxy-s25": "snapdragon-8-elite",
    "samsung-galaxy-s24": "snapdragon-8-gen-3",
    "qcs8550-proxy": "snapdragon-8-gen-2",  # AI Hub runs the embedded part's models on its phone sibling
    "qcs8450-proxy": "snapdragon-8-gen-1",
    "dragonwing-rb3-gen-2-vision-kit": "qcs6490",
    "dragonwing-q-6690-mtp": "q-6690",
}

_NETWORKS = {
    "quicksrnetsmall": "quicksrnet-small",
    "quicksrnetmedium": "quicksrnet-medium",
    "quicksrnetlarge": "quicksrnet-large",
    "real-esrgan-general-x4v3": "real-esrgan-general",
}

_MODELS = {
    "llama2-70b": "llama-2-70b",
    "llama-2-7b-hf": "llama-2-7b",
    "llama-2-70b-hf": "llama-2-70b",
    "qwen3-30b-a3b-instruct-2507": "qwen3-30b-a3b",
}

_PRECISIONS = {"bfloat16": "bf16", "half": "fp16", "float16": "fp16", "fp8_block": "fp8-block"}

BYTES_PER_ELEMENT = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "fp8-block": 1.0, "int8": 1.0, "nvfp4": 0.5}
"""Size of one element by precision, scales left out."""


def slug(text: str) -> str:
    """`text` in lower case, hyphens for all that is not a letter, digit or dot."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def gpu(text: str) -> str:
    """Catalogue name of a GPU."""
    return _GPUS.get(slug(text), slug(text))


def soc(text: str) -> str:
    """Catalogue name of the SoC in a Qualcomm AI Hub device."""
    name = slug(text)
    return _SOCS.get(name, re.sub(r"-(qrd|crd|adp|evk|mtp|proxy)$", "", name))


def network(text: str) -> str:
    """Catalogue name of a super-resolution net."""
    return _NETWORKS.get(slug(text), slug(text))


def model(text: str) -> str:
    """Catalogue name of a language model; an organisation before a slash is dropped."""
    name = slug(text.rsplit("/", 1)[-1])
    return _MODELS.get(name, name)


def precision(text: str) -> str:
    """Short name of a number format."""
    return _PRECISIONS.get(text.lower(), text.lower())
