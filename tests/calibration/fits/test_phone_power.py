"""The phones' power figures are what the published tables yield, with ranges that hold them."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.device_file import Entry
from calibration.fits.phone_facts import PHONES
from calibration.fits.phone_power import CATALOG, fit_phone_power, phone_file
from calibration.readers.android_power import read
from devices.catalogue import load_profile, profile_names
from devices.errors import InputError
from devices.evidence import Evidence
from devices.phones import PhoneProfile

DATA = Path(__file__).parents[4] / "shared" / "data"

needs_tables = pytest.mark.skipif(
    not (DATA / "power" / "android_power_profiles.json").is_file(),
    reason=f"the published tables are not at {DATA}",
)


def phone(name: str) -> PhoneProfile:
    profile = load_profile(name)
    assert isinstance(profile, PhoneProfile)
    return profile


def evidence(profile: PhoneProfile, path: tuple[str, ...]) -> Evidence:
    if path[0] == "values":
        return profile.evidence[path[1]]
    section, key, field = path
    found: Evidence = getattr(profile, section)[key].evidence[field]
    return found


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[tuple[str, ...], Entry]]:
    return fit_phone_power(DATA)


def test_every_handset_is_covered() -> None:
    assert sorted(PHONES) == profile_names("phone")


@needs_tables
@pytest.mark.parametrize("name", PHONES)
def test_rebuilt_figures_are_those_of_the_catalogue(
    name: str, figures: dict[str, dict[tuple[str, ...], Entry]]
) -> None:
    profile = phone(name)
    for path, entry in figures[name].items():
        stated = evidence(profile, path)
        assert stated.value == pytest.approx(entry.value, rel=1e-3), path
        for end in ("low", "high"):
            rebuilt, ours = getattr(entry, end), getattr(stated, end)
            assert (ours is None) == (rebuilt is None), path
            assert rebuilt is None or ours == pytest.approx(rebuilt, rel=1e-3), path
        assert (stated.kind, stated.note) == (entry.kind, entry.note), path


@needs_tables
@pytest.mark.parametrize("name", PHONES)
def test_rebuilt_files_are_those_of_the_catalogue(
    name: str, figures: dict[str, dict[tuple[str, ...], Entry]]
) -> None:
    text = (CATALOG / f"{name}.yaml").read_text(encoding="utf-8")
    assert phone_file(text, figures[name]) == text


@pytest.mark.parametrize("name", PHONES)
def test_ranges_hold_their_values_and_parts_fit_the_whole(name: str) -> None:
    profile = phone(name)
    every = list(profile.evidence.values())
    for section in (profile.playback, profile.radios):
        every += [one for entry in section.values() for one in entry.evidence.values()]
    for one in every:
        assert one.low is None or one.low <= one.value
        assert one.high is None or one.high >= one.value
    assert profile.decode_w + profile.encode_w < profile.sr_w
    assert profile.display_w < profile.idle_w
    assert profile.sr_npu_frame_j < profile.sr_w / profile.sr["180p-720p"].frames_per_s
    assert {"wlan-down", "wlan-up", "lte-down", "lte-up"} <= profile.radios.keys()
    assert profile.radios["wlan-up"].base_w > profile.radios["wlan-down"].base_w > profile.wlan_tail_w


@needs_tables
def test_currents_of_power_profiles() -> None:
    rows = list(read(DATA / "power" / "android_power_profiles.json"))
    by_name = {(row.device, row.parameters["component"]): row for row in rows}
    assert len(by_name) == len(rows) == 33
    transmit = by_name["xiaomi-munch-poco-f4-sd870", "modem.tx.4"]
    assert transmit.value == pytest.approx(0.471)
    assert transmit.parameters["voltage_v"] == 3.7
    assert "voltage_v" not in by_name["xiaomi-sm8250-common-sd865-870", "wifi.active"].parameters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": {"unit": "mA", }}', "is not JSON"),
        ('{"a": [1]}', "must be an object"),
        ('{"a": {"unit": "A", "x": 1}}', "is not mA"),
        ('{"a": {"unit": "mA", "x": {"tx": [1, -2]}}}', "a.x.tx.1: -2 mA is negative"),
        ('{"a": {"unit": "mA", "x": "much"}}', "is not a current"),
        ('{"a": {"unit": "mA", "x": true}}', "is not a current"),
    ],
)
def test_faulty_power_profiles(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "profiles.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        list(read(path))
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
