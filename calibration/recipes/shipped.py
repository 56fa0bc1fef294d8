"""Recipes of all shipped files, in the order in which they build on each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from calibration.recipes import engines, gpus, machines, phone_llm, phones, relatives, socs, storage
from calibration.recipes.recipe import Recipe, entries_of, shipped_document

RECIPES: tuple[Recipe, ...] = (
    *socs.RECIPES,
    *phone_llm.RECIPES,
    *storage.RECIPES,
    *gpus.RECIPES,
    *relatives.RECIPES,
    *engines.RECIPES,
    *relatives.SHARE_RECIPES,
    *phones.RECIPES,
    *machines.RECIPES,
)

CITED: Mapping[str, str] = {
    "h20: values.attention_efficiency": "one published reading",
    "b200-sxm: values.idle_w": "one published reading",
    "mi300x: values.idle_w": "one published reading",
    "wifi-5: values.bandwidth_bytes_per_s": "a published throughput",
    "*: sr.*": "read off a figure of the OASIS paper",
}
"""Values of kind fitted or measured that no recipe computes, as patterns, and why."""


def recipes_of(name: str) -> list[Recipe]:
    """Return the recipes that compute values of a file, in order."""
    return [recipe for recipe in RECIPES if name in recipe.computes]


def recipe_files() -> list[str]:
    """Return the files that have a recipe, in alphabetical order."""
    return sorted({name for recipe in RECIPES for name in recipe.computes})


def gaps(names: Iterable[str]) -> list[str]:
    """Return ``file: path`` of every value of kind fitted or measured that nothing computes, unless it is cited."""
    found = []
    for name in names:
        mine = recipes_of(name)
        for path, entry in entries_of(shipped_document(name)):
            value = f"{name}: {'.'.join(path)}"
            if (
                entry["kind"] in ("fitted", "measured")
                and not any(recipe.covers(name, path) for recipe in mine)
                and not any(fnmatchcase(value, pattern) for pattern in CITED)
            ):
                found.append(value)
    return found
