"""Power of what the catalogue's handsets do, derived from published figures, each with its spread as a range.

No table has one phone's screen, codec, radios and super-resolution (SR) together, so a figure of another phone stands
in where there is none; it is marked assumed and its range spans what the sources say. What comes from where:

- playback: GreenABR's two phones, mean over the videos of a height; range from the lowest to the highest video mean;
- screen, decoder, Wi-Fi: currents that makers state in Android power profiles, of the Galaxy S10 and Pixel 5 from
  their device trees, of two more phones from the user's table. They hold at the nominal voltage, `NOMINAL_V` where
  the profile names none. The POCO F4's values other than Wi-Fi are those of the Pixel 5, so they count once;
- cellular: published fits of power against throughput. Whether their base includes the awake phone (up to
  `AWAKE_HIGH_W`) is not documented: the low end is the base without it;
- SR: energies of the OASIS paper, with and without SR; on an NPU, the Mobile AI challenge;
- encoder: no public figure found. Assumed.

Run ``python -m calibration.fits.phone_power FOLDER`` to print the figures, with ``--write FOLDER`` to put them
into the catalogue's phone files there.
"""

from __future__ import annotations

import statistics
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from calibration.command_line import data_parser, run
from calibration.device_file import Entry, format_device_file, with_entries
from calibration.fits.phone_facts import (
    AWAKE_HIGH_W,
    AWAKE_W,
    CELLULAR,
    DOWNLOAD_KJ,
    FRAMES,
    NOMINAL_V,
    NPU_FRAME_J,
    PHONES,
    PIXEL_5_MA,
    S10_KJ,
    S10_MA,
    S10_WIFI_V,
    S20_ULTRA_KJ,
    SOURCES,
    SR_FPS,
    WLAN_TAIL,
    Path_,
)
from calibration.readers.android_power import read as read_android
from calibration.readers.power import read_greenabr
from devices.document import read_document

CATALOG = Path(__file__).parents[2] / "devices" / "catalog"

STATES = ("idle", "rx", "tx")
"""Wi-Fi states of a power profile."""


def figure(
    value: float, unit: str, source: str, note: str, spread: Iterable[float] = (), kind: str = "assumed"
) -> Entry:
    """Return a figure whose range is that of `spread`; none where that is empty."""
    ends = sorted(spread)
    low, high = (ends[0], ends[-1]) if ends else (None, None)
    return Entry(value, unit, source, kind, note, low=low, high=high)


def playback(data: Path) -> dict[Path_, Entry]:
    """Return playback power by height, the same for every phone."""
    powers: dict[str, dict[int, dict[str, list[float]]]] = {"galaxy": {}, "xcover": {}}
    for phone, heights in powers.items():
        for row in read_greenabr(data / "power" / f"greenabr_playback_power_{phone}.csv"):
            videos = heights.setdefault(int(row.number("height_px")), {})
            videos.setdefault(str(row.parameters["video"]), []).append(row.value)
    note = "Mean of another Galaxy at 24 frames/s; range: means of single videos, down to those of an XCover"
    entries: dict[Path_, Entry] = {}
    for height, videos in powers["galaxy"].items():
        spread = [statistics.mean(one) for one in (*videos.values(), *powers["xcover"][height].values())]
        value = statistics.mean(power for one in videos.values() for power in one)
        entries["playback", f"{height}p", "power_w"] = figure(value, "W", "greenabr", note, spread)
    return entries


class Profiles:
    """Power of components in W by the names of the power profiles."""

    def __init__(self, data: Path) -> None:
        table: dict[str, dict[str, float]] = {}
        for row in read_android(data / "power" / "android_power_profiles.json"):
            volts = float(row.parameters.get("voltage_v", NOMINAL_V))
            table.setdefault(row.device, {})[str(row.parameters["component"])] = row.value * volts
        (self.sm8250,) = (powers for powers in table.values() if "wifi.active" in powers)
        (self.poco,) = (powers for powers in table.values() if "wifi.rx" in powers)
        self.pixel = {name: 1e-3 * current * NOMINAL_V for name, current in PIXEL_5_MA.items()}
        self.s10 = {
            name: 1e-3 * current * (S10_WIFI_V if name.startswith("wifi") else NOMINAL_V)
            for name, current in S10_MA.items()
        }


def screen_and_codec(phone: str, profiles: Profiles) -> dict[Path_, Entry]:
    """Return power of the awake phone, its screen, decoder and encoder."""
    own, source, other, kind = profiles.s10, "beyond1", "Of the Galaxy S10. ", "assumed"
    if phone == "pixel-5":
        own, source, other, kind = profiles.pixel, "redfin", "", "datasheet"
    elif phone == "galaxy-s10":
        other, kind = "", "datasheet"
    awake_w = own["screen.on"] + sum(own.get(f"cpu.{state}", 0.0) for state in ("suspend", "idle", "active"))
    screens = [
        profile["screen.on"] + share * profile["screen.full"]
        for profile in (profiles.s10, profiles.pixel, profiles.sm8250)
        for share in (0.0, 1.0)
    ]
    decoders = (profiles.s10["video"], profiles.pixel["video"], profiles.sm8250["dsp.video"])
    figures = {
        "idle_w": figure(
            AWAKE_W,
            "W",
            "radio",
            f"{other and 'Low: of the Galaxy S10. '}Middle of phones with the screen on, 2.2 to {AWAKE_HIGH_W:g} W; "
            "low: idle parts and darkest screen in the power profile",
            (awake_w, AWAKE_HIGH_W),
        ),
        "display_w": figure(
            own["screen.on"] + 0.5 * own["screen.full"],
            "W",
            source,
            f"{other}Half brightness assumed, current at {NOMINAL_V:g} V; range: three profiles, dark to bright",
            screens,
        ),
        "decode_w": figure(
            own["video"],
            "W",
            source,
            f"{other}What playing video adds to the lit screen, current at {NOMINAL_V:g} V; range: three profiles",
            decoders,
            kind,
        ),
        "encode_w": figure(
            own["video"],
            "W",
            "estimate",
            "As decoding; no public figure found. High: the camera application of the Galaxy S10, which encodes",
            (*decoders, profiles.s10["camera.avg"]),
        ),
        "encode_s_per_s": figure(
            0.5,
            "",
            "estimate",
            "Between the time to decode and real time, which a camera needs; published times contain the wait for SR",
            (0.15, 1.0),
        ),
    }
    return {("values", name): entry for name, entry in figures.items()}


def wlan(phone: str, profiles: Profiles) -> dict[Path_, Entry]:
    """Return power of the Wi-Fi radio by direction, and of the awake one without traffic."""
    source, kind, note = "beyond1", "assumed", f"Of the Galaxy S10: current while active, at {S10_WIFI_V:g} V"
    power = {state: profiles.s10[f"wifi.{state}"] for state in STATES}
    spreads = {state: [power[state], profiles.poco[f"wifi.{state}"]] for state in STATES}
    if phone == "galaxy-s10":
        kind, note = "datasheet", f"Current while active, at the profile's {S10_WIFI_V:g} V"
    elif phone == "pixel-5":
        source, power = "poco", {state: profiles.poco[f"wifi.{state}"] for state in STATES}
        note = "Its own profile leaves Wi-Fi out; of a phone whose profile shares its other values, at 3.7 V"
    # A profile that does not tell directions apart lies between the two of the others.
    spreads["rx"].append(profiles.sm8250["wifi.active"])
    tail_w, tail_s = WLAN_TAIL
    entries: dict[Path_, Entry] = {
        ("values", "wlan_tail_w"): figure(
            tail_w,
            "W",
            "huang",
            "802.11g phone; low: idle in the profile of the Galaxy S10, high: in that of the POCO F4",
            spreads["idle"],
        ),
        ("values", "wlan_tail_s"): figure(tail_s, "s", "huang", "802.11g phone"),
    }
    for direction, state in (("wlan-down", "rx"), ("wlan-up", "tx")):
        entries["radios", direction, "base_w"] = figure(power[state], "W", source, note, spreads[state], kind)
        entries["radios", direction, "joules_per_byte"] = figure(
            0.0, "J", source, "The profile knows the power of the active radio only"
        )
    return entries


def cellular(phone: str) -> dict[Path_, Entry]:
    """Return power of the cellular radio; the Galaxy S10 has no 5G."""
    old = "LTE, of another phone; high: an LTE phone of 2012 (Huang et al.)"
    entries: dict[Path_, Entry] = {
        ("values", "radio_tail_w"): figure(0.148, "W", "radio", old, (0.148, 1.06)),
        ("values", "radio_tail_s"): figure(6.2, "s", "radio", old, (6.2, 11.6)),
    }
    base_note = (
        f"Fit on another phone; low: without the awake phone's {AWAKE_HIGH_W:g} W, which it may include"
    )
    for name, (base_w, slope, older_slope) in CELLULAR.items():
        lte = name.startswith("lte")
        if not lte and phone == "galaxy-s10":
            continue
        entries["radios", name, "base_w"] = figure(
            base_w,
            "W",
            "radio",
            base_note + ("; LTE sources disagree about sevenfold" if lte else ""),
            (base_w - AWAKE_HIGH_W, base_w),
        )
        # W per Mbit/s over bytes per second of a Mbit/s
        entries["radios", name, "joules_per_byte"] = figure(
            slope * 8e-6,
            "J",
            "radio",
            "Fit on another phone" + ("; high: an LTE phone of 2012 (Huang et al.)" if older_slope else ""),
            (slope * 8e-6, older_slope * 8e-6) if older_slope else (),
        )
    return entries


def left_out_error(values: Sequence[float]) -> float:
    """Return the median relative error of the mean of all others as a prediction of each of `values`."""
    others = [(sum(values) - value) / (len(values) - 1) for value in values]
    return statistics.median(abs(mean / value - 1.0) for mean, value in zip(others, values, strict=True))


def super_resolution(phone: str) -> dict[Path_, Entry]:
    """Return the power of SR, decoding and encoding included, and the energy of a frame on an NPU."""
    s10 = [
        1e3 * (energy_kj - DOWNLOAD_KJ[pair.partition("-")[2]]) / FRAMES * SR_FPS["galaxy-s10"][pair]
        for pair, energy_kj in S10_KJ.items()
    ]
    s20 = 1e3 * (S20_ULTRA_KJ - DOWNLOAD_KJ["720p"]) / FRAMES * SR_FPS["galaxy-s20-ultra"]["180p-720p"]
    value, kind, error, valid = 0.5 * (statistics.mean(s10) + s20), "assumed", None, ""
    note = "Between what the paper's energies give for the Galaxy S10 and S20 Ultra; range: all of them"
    if phone == "galaxy-s10":
        value, kind, valid = statistics.mean(s10), "fitted", "180p and 360p to 720p and 1080p, GPU delegate"
        error = left_out_error(s10)
        note = (
            "Energy of a 5-minute video with SR minus download only, over its 9000 frames, times the SR rate; mean "
            "of four models; range: the models, and the S20 Ultra; error: each model against the mean of the others"
        )
    elif phone == "galaxy-s20-ultra":
        value = s20
        note = (
            "Controller alone, 180p to 720p: 2.55 kJ minus 0.42 kJ of downloading as on the Galaxy S10, over 9000 "
            "frames at 10.73 frames/s: one energy, less that of another phone, so that nothing can be held out; range: "
            "with the Galaxy S10's models"
        )
    return {
        ("values", "sr_w"): replace(
            figure(value, "W", "oasis", note, (*s10, s20), kind), valid=valid, error=error
        ),
        ("values", "sr_npu_frame_j"): figure(
            NPU_FRAME_J,
            "J",
            "mai",
            "0.2 W at 30 frames/s on a Dimensity 9000, the least of the challenge; high: this phone's GPU, decoding "
            "and encoding included",
            (NPU_FRAME_J, value / SR_FPS[phone]["180p-720p"]),
        ),
    }


def fit_phone_power(data: Path) -> dict[str, dict[Path_, Entry]]:
    """Return the derived figures by phone and path in its file, each with value, range, kind and note.

    Parameters
    ----------
    data
        Folder of the published tables: GreenABR and Android power profiles below ``power/``.
    """
    played, profiles = playback(data), Profiles(data)
    return {
        phone: {
            **screen_and_codec(phone, profiles),
            **super_resolution(phone),
            **cellular(phone),
            **wlan(phone, profiles),
            **played,
        }
        for phone in PHONES
    }


def phone_file(text: str, entries: Mapping[Path_, Entry]) -> str:
    """Return the text of a phone's file with `entries` in place and the sources that they name."""
    document = with_entries(read_document(text).data, entries)
    used = {entry.source for entry in entries.values()}
    document["sources"] |= {key: SOURCES[key] for key in SOURCES if key in used}
    return format_device_file(document)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures, and write them into phone files where asked; return the exit status."""
    parser = data_parser("Derive the power of phones from published figures.")
    parser.add_argument("--write", type=Path, help="folder for the phone files")
    return run(_run, parser, argv)


def _run(arguments: Namespace) -> None:
    for phone, entries in fit_phone_power(arguments.data).items():
        print(phone)
        for path, entry in entries.items():
            spread = "" if entry.low is None else f"({entry.low:.4g} to {entry.high:.4g})"
            print(
                f"  {'.'.join(path):34s} {entry.value:10.4g} {entry.unit:2s} {entry.kind:9s} {spread}".rstrip()
            )
        if arguments.write:
            text = phone_file((CATALOG / f"{phone}.yaml").read_text(encoding="utf-8"), entries)
            (arguments.write / f"{phone}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
