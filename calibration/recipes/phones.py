"""Handsets: the power of screen, codec, radios and super-resolution from published figures."""

from __future__ import annotations

from pathlib import Path

from calibration.fits.phone_facts import PHONES
from calibration.fits.phone_power import fit_phone_power
from calibration.recipes.recipe import Found, Recipe, Shelf

TABLES = (
    "power/greenabr_playback_power_galaxy.csv",
    "power/greenabr_playback_power_xcover.csv",
    "power/android_power_profiles.json",
)
COMPUTES = (
    "values.*_w",
    "values.*_tail_s",
    "values.encode_s_per_s",
    "values.sr_npu_frame_j",
    "radios.*",
    "playback.*",
)


def power(phone: str) -> Recipe:
    """Return the recipe of one handset."""

    def run(data: Path, shelf: Shelf) -> Found:
        return Found({phone: fit_phone_power(data)[phone]})

    return Recipe(f"power of {phone}", {phone: COMPUTES}, TABLES, run)


RECIPES = tuple(map(power, PHONES))
"""One for each handset."""
