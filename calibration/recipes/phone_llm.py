"""Phone SoCs: rates of language models on the accelerator, from AI Hub's published performance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from calibration.device_file import Entry
from calibration.readers.aihub import read_llm
from calibration.recipes.recipe import Found, Path_, Recipe, Shelf
from devices.errors import Fault, InputError

TABLE = "phone/aihub_llm_by_device.csv"

MODELS: Mapping[str, tuple[str, str]] = {
    "llama-3.2-1b": ("llama-v3-2-1b-instruct", "w4a16"),
    "llama-3.2-3b": ("llama-v3-2-3b-instruct", "w4a16"),
    "llama-3.1-8b": ("llama-v3-1-8b-instruct", "w4a16"),
    "mistral-7b": ("mistral-7b-instruct-v0-3", "w4a16"),
    "phi-3.5-mini": ("phi-3-5-mini-instruct", "w4a16"),
    "llama-2-7b": ("llama-v2-7b-chat", "w4a16"),
}
"""By the name in our files: the model's name in AI Hub's table, and the precision that is taken."""

SOCS: Mapping[str, tuple[str, ...]] = {
    "snapdragon-8-elite": tuple(MODELS),
    "snapdragon-8-gen-3": ("phi-3.5-mini", "llama-2-7b"),
}
"""By SoC: the models that AI Hub has measured on it."""

STRESS_W = 0.06 * 5.0 * 3600.0 * 3.85 / 600.0
"""Power of a whole phone that runs a model on its accelerator: 6 % of 5,000 mAh at 3.85 V in 10 minutes."""
STRESS_LOW_W = STRESS_W * 5.5 / 6.0
AWAKE_W = 2.35
"""What the awake phone with its screen on draws of that (as in the files of handsets)."""
FLAGSHIP_W = 7.3
"""A flagship that super-resolves as hard as it can."""


def phone_llm(soc: str) -> Recipe:
    """Return the recipe of the language models of one SoC."""

    def run(data: Path, shelf: Shelf) -> Found:
        rows = [row for row in read_llm(data / TABLE) if row.device == soc]
        entries: dict[Path_, Entry] = {}
        for name in SOCS[soc]:
            slug, precision = MODELS[name]
            mine = [
                row
                for row in rows
                if row.parameters["model"] == slug
                and row.parameters["precision"] == precision
                and "derived" not in row.parameters
            ]
            values = {row.metric: row for row in mine}
            if set(values) != {"throughput", "ttft"} or len(mine) != 2:
                raise InputError(Fault(f"has not one row of {slug} in {precision} on {soc}", file=TABLE))
            ttft, rate = values["ttft"], values["throughput"]
            on = f"{slug}, {precision}, {ttft.parameters['runtime']}, on {ttft.parameters['product']}"
            chunk, context = (float(ttft.parameters[key]) for key in ("input_tokens", "context_tokens"))
            entries |= {
                ("llm", name, key): entry
                for key, entry in {
                    "chunk_s": Entry(
                        ttft.value, "s", "aihub_llm", "measured", f"Lower end of the TTFT range; {on}"
                    ),
                    "decode_tokens_per_s": Entry(rate.value, "1/s", "aihub_llm", "measured", on),
                    "chunk_tokens": Entry(
                        chunk,
                        "",
                        "aihub_llm",
                        "datasheet",
                        "As the model is compiled; its upper TTFT is so many chunks",
                    ),
                    "context_tokens": Entry(
                        context, "", "aihub_llm", "datasheet", "As the model is compiled"
                    ),
                    "power_w": _power(soc),
                }.items()
            }
        return Found({soc: entries})

    return Recipe(f"language models on {soc}", {soc: ("llm.*",)}, (TABLE,), run)


def _power(soc: str) -> Entry:
    note = "On top of the awake phone: 6 % of 5,000 mAh in 600 s of a 1.2B model, less 2.35 W; high: a flagship's SR"
    if soc != "snapdragon-8-elite":
        note = f"Of snapdragon-8-elite. {note}"
    return Entry(
        STRESS_W - AWAKE_W, "W", "stress", "assumed", note, low=STRESS_LOW_W - AWAKE_W, high=FLAGSHIP_W
    )


RECIPES = tuple(map(phone_llm, SOCS))
"""One for each SoC."""
