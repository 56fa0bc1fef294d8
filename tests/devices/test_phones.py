"""Handsets and chips of the catalogue."""

from __future__ import annotations

from dataclasses import fields

import pytest

from devices.catalogue import load_profile, profile_names
from devices.phones import PhoneProfile, SocProfile

OASIS = {
    "pixel-5": (8.73, 3.84, 4.54, 3.06),
    "galaxy-s10": (14.84, 7.93, 8.84, 6.07),
    "galaxy-s20-ultra": (10.73, 5.30, 7.44, 4.38),
    "galaxy-s21-ultra": (12.43, 7.36, 6.97, 3.47),
    "galaxy-s22-plus": (11.22, 6.67, 6.99, 4.40),
}


def phone(name: str) -> PhoneProfile:
    profile = load_profile(name)
    assert isinstance(profile, PhoneProfile)
    return profile


@pytest.mark.parametrize(("name", "rates"), OASIS.items())
def test_sr_rates_are_those_of_the_oasis_paper(name: str, rates: tuple[float, ...]) -> None:
    keys = ("180p-720p", "180p-1080p", "360p-720p", "360p-1080p")
    assert tuple(phone(name).sr[key].frames_per_s for key in keys) == rates


@pytest.mark.parametrize("name", profile_names("phone"))
def test_phones_are_physical(name: str) -> None:
    profile = phone(name)
    assert 3_000 < profile.battery_j / 3.6 / 3.85 < 6_000  # mAh
    playback_w = [entry.power_w for entry in profile.playback.values()]
    assert playback_w == sorted(playback_w)
    assert profile.radio_tail_w < min(radio.base_w for radio in profile.radios.values())
    assert ("5g-low-down" in profile.radios) == (name != "galaxy-s10")


@pytest.mark.parametrize("name", profile_names("phone") + profile_names("soc"))
def test_every_section_has_evidence(name: str) -> None:
    profile = load_profile(name)
    assert isinstance(profile, PhoneProfile | SocProfile)
    sections = [getattr(profile, field.name) for field in fields(profile) if field.name != "evidence"]
    for section in sections:
        for entry in section.values() if isinstance(section, dict) else ():
            for value, evidence in entry.evidence.items():
                assert evidence.value == getattr(entry, value)
                assert evidence.note


def test_sr_energy_of_the_galaxy_s10_is_that_of_the_paper() -> None:
    # 9000 frames; published: 2.11, 3.49, 3.17 and 4.33 kJ, of which 0.42 and 0.50 kJ are the download
    profile = phone("galaxy-s10")
    published_j = {
        "180p-720p": 2110 - 420,
        "180p-1080p": 3490 - 500,
        "360p-720p": 3170 - 420,
        "360p-1080p": 4330 - 500,
    }
    for key, energy_j in published_j.items():
        assert 9000 / profile.sr[key].frames_per_s * profile.sr_w == pytest.approx(energy_j, rel=0.05)
