"""Published figures that the power of phones is derived from (`calibration.fits.phone_power`), as their sources say."""

from __future__ import annotations

from collections.abc import Mapping

Path_ = tuple[str, ...]
"""Place of a value in a phone's file."""

PHONES = ("pixel-5", "galaxy-s10", "galaxy-s20-ultra", "galaxy-s21-ultra", "galaxy-s22-plus")
"""Handsets of the catalogue."""

NOMINAL_V = 3.85
"""Nominal voltage of a phone's battery, in V (assumed where a power profile names none)."""

AWAKE_W, AWAKE_HIGH_W = 2.35, 2.5
"""Power of awake phones with the screen on in the radio measurements: middle, and the upper end of 2.2 to 2.5 W."""

S10_MA: Mapping[str, float] = {
    "screen.on": 70.0,
    "screen.full": 311.0,
    "video": 172.0,
    "camera.avg": 417.0,
    "cpu.suspend": 4.99,
    "cpu.idle": 20.0,
    "wifi.idle": 1.0,
    "wifi.rx": 65.0,
    "wifi.tx": 265.0,
}
"""Currents of the Galaxy S10's power profile, in mA; `screen.full` is what the brightest screen adds."""

S10_WIFI_V = 3.6
"""Voltage that it names for Wi-Fi."""

PIXEL_5_MA: Mapping[str, float] = {
    "screen.on": 98.0,
    "screen.full": 470.0,
    "video": 25.0,
    "cpu.suspend": 5.6,
    "cpu.idle": 5.4,
    "cpu.active": 8.4,
}
"""Currents of the Pixel 5's power profile, in mA; it leaves Wi-Fi out."""

CELLULAR: Mapping[str, tuple[float, float, float]] = {
    "lte-down": (2.839, 11.5e-3, 52e-3),
    "lte-up": (2.926, 76.7e-3, 438e-3),
    "5g-low-down": (3.059, 11.5e-3, 0.0),
    "5g-low-up": (3.199, 32.2e-3, 0.0),
    "5g-mmwave-down": (5.237, 1.73e-3, 0.0),
    "5g-mmwave-up": (5.664, 8.88e-3, 0.0),
}
"""Base in W, slope in W per Mbit/s, and the slope of an older phone where there is one (Huang et al.)."""

WLAN_TAIL = (0.119, 0.238)
"""Power in W of a phone's Wi-Fi radio after a transfer, and seconds until it sleeps (Huang et al.)."""

FRAMES = 9000
"""Frames of the OASIS paper's video: five minutes at 30 frames/s."""

DOWNLOAD_KJ: Mapping[str, float] = {"720p": 0.42, "1080p": 0.50}
"""Energy of a Galaxy S10 that only downloads the video, screen excluded, by the height it is played at."""

S10_KJ: Mapping[str, float] = {"180p-720p": 2.11, "180p-1080p": 3.49, "360p-720p": 3.17, "360p-1080p": 4.33}
"""Its energy with SR."""

S20_ULTRA_KJ = 2.55
"""Energy of a Galaxy S20 Ultra alone, 180p to 720p."""

SR_FPS: Mapping[str, Mapping[str, float]] = {
    "pixel-5": {"180p-720p": 8.73},
    "galaxy-s10": {"180p-720p": 14.84, "180p-1080p": 7.93, "360p-720p": 8.84, "360p-1080p": 6.07},
    "galaxy-s20-ultra": {"180p-720p": 10.73},
    "galaxy-s21-ultra": {"180p-720p": 12.43},
    "galaxy-s22-plus": {"180p-720p": 11.22},
}
"""SR rates of the OASIS paper, in frames/s, where energies are derived with them."""

NPU_FRAME_J = 0.2 / 30
"""Least energy of a frame, 180p to 720p, in the Mobile AI challenge of 2022."""

SOURCES: Mapping[str, Mapping[str, str]] = {
    "oasis": {
        "title": "Jin et al., OASIS: Collaborative Neural-Enhanced Mobile Video Streaming (MMSys 2024)",
    },
    "greenabr": {
        "title": "Turkkan et al., GreenABR: energy-aware adaptive bitrate streaming (MMSys 2022), measured playback "
        "power",
    },
    "radio": {"title": "Fits of radio power against throughput on published measurements"},
    "beyond1": {
        "title": "Android power profile of the Galaxy S10 (LineageOS, android_device_samsung_beyond1lte)",
        "url": "https://github.com/LineageOS/android_device_samsung_beyond1lte",
    },
    "redfin": {
        "title": "Android power profile of the Pixel 5 (GrapheneOS, device_google_redfin)",
        "url": "https://github.com/GrapheneOS/device_google_redfin",
    },
    "poco": {
        "title": "Android power profile of the POCO F4 (1cecreamm, device_xiaomi_munch_decommon)",
        "url": "https://github.com/1cecreamm/device_xiaomi_munch_decommon",
    },
    "huang": {
        "title": "Huang et al., A Close Examination of Performance and Power Characteristics of 4G LTE Networks "
        "(MobiSys 2012)",
    },
    "mai": {
        "title": "Ignatov et al., Power Efficient Video Super-Resolution on Mobile NPUs with Deep Learning (2022)",
        "url": "https://arxiv.org/abs/2211.05256",
    },
    "estimate": {"title": "Estimate of this project"},
}
"""Sources by key in the phone files."""
