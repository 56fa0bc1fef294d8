"""Readers of manifests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devices.errors import InputError
from simulator.streaming.video import Video
from simulator.streaming.video_files import read_video

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "video_manifests"

SABRE = """{
  "segment_duration_ms": 3000,
  "bitrates_kbps": [230, 331],
  "segment_sizes_bits": [
    [886360, 1180512],
    [382840, 662120],
    [718856, 1097088]
  ]
}
"""

SIZES = """track,nominal_kbps,chunk_index_1based,size_bytes
1,750,2,300
1,750,1,250
2,300,1,100
2,300,2,200
"""

LADDER = """
segment: 1 s
segments: 300
ladder:
  - {bitrate: 300 kbit/s, height: 180}
  - {bitrate: 1.8 Mbit/s, height: 540}
seed: 7
"""


def write(folder: Path, text: str, name: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_sabre_manifest(tmp_path: Path) -> None:
    video = read_video(write(tmp_path, SABRE, "movie.json"))
    sizes = ((886360.0, 1180512.0), (382840.0, 662120.0), (718856.0, 1097088.0))
    assert video == Video("movie", 3.0, (230e3, 331e3), sizes)
    assert (video.segments, video.levels, video.duration_s) == (3, 2, 9.0)
    assert video.heights == (0, 0)


def test_pensieve_sizes_are_bytes_and_levels_rise(tmp_path: Path) -> None:
    video = read_video(write(tmp_path, SIZES, "envivio.csv"))
    assert video == Video("envivio", 4.0, (300e3, 750e3), ((800.0, 2000.0), (1600.0, 2400.0)))


def test_ladder_with_vbr(tmp_path: Path) -> None:
    video = read_video(write(tmp_path, LADDER, "walk.yaml"))
    assert (video.name, video.segments, video.heights) == ("walk", 300, (180, 540))
    assert video.bitrates_bps == pytest.approx((300e3, 1.8e6))
    for level, bitrate_bps in enumerate(video.bitrates_bps):
        sizes = [segment[level] for segment in video.sizes_bits]
        mean = sum(sizes) / 300
        assert mean == pytest.approx(bitrate_bps)
        spread = (sum((size - mean) ** 2 for size in sizes) / 300) ** 0.5
        assert spread / mean == pytest.approx(0.18, rel=0.15)
    assert read_video(write(tmp_path, LADDER, "walk.yaml")) == video
    other = read_video(write(tmp_path, LADDER.replace("seed: 7", "seed: 8"), "walk.yaml"))
    assert other.sizes_bits != video.sizes_bits
    constant = read_video(write(tmp_path, LADDER + "variation: 0\nname: flat\n", "walk.yml"))
    assert constant.name == "flat"
    assert constant.sizes_bits == (constant.bitrates_bps,) * 300


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[230, 331]", "[331, 230]", "3:26: bitrates_kbps.1: a ladder must rise: level 1 has 230000 bit/s"),
        ("[230, 331]", "[230, 230]", "a ladder must rise"),
        ("[230, 331]", "[-230, 331]", "3:21: bitrates_kbps.0: a bitrate must be above 0"),
        ("[230, 331]", "[]", "bitrates_kbps: must be a list with at least one entry"),
        ("[382840, 662120]", "[382840]", "6:5: segment_sizes_bits.1: has 1 sizes; allowed: 2, one per level"),
        ("382840", "0", "6:5: segment_sizes_bits.1: the size at level 0 must be above 0 and finite"),
        ("382840", '"x"', "6:6: segment_sizes_bits.1.0: 'x' is no finite number"),
        ("3000", "0", "2:26: segment_duration_ms: must be above 0 ms"),
        ('"segment_duration_ms": 3000,', "", "1:1: has no segment_duration_ms"),
        ("[\n    [886360", "[\n    [886360,,", "5:13: is not JSON"),
        (SABRE, "[1]", "is no mapping with segment_duration_ms"),
    ],
)
def test_faults_of_sabre_manifests(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SABRE
    path = write(tmp_path, SABRE.replace(old, new), "movie.json")
    with pytest.raises(InputError) as caught:
        read_video(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size_bytes", "size_bits", ":1:1: column 'size_bytes' is missing; nearest: size_bits"),
        ("2,300,2,200\n", "", ":4:1: 300 kbit/s has no chunk 2 of 2"),
        ("2,300,2,200", "2,300,1,200", ":5:1: chunk 1 of 300 kbit/s stands twice"),
        ("2,300,2,200", "2,300,2,-200", ":5:1: size_bytes is '-200'"),
        ("2,300,2,200", "2,300,2,0", ":5:1: a bitrate and a size must be above 0"),
        ("2,300,2,200", "2,300,0,200", ":5:1: chunk_index_1based is '0'"),
        ("2,300,2,200", "2,300,2", ":5:1: row has 3 cells"),
        (SIZES, "nominal_kbps,chunk_index_1based,size_bytes\n", ":1:1: has no rows"),
    ],
)
def test_faults_of_pensieve_sizes(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SIZES
    path = write(tmp_path, SIZES.replace(old, new), "sizes.csv")
    with pytest.raises(InputError) as caught:
        read_video(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("300 kbit/s", "3 Mbit/s", ":6:15: ladder.1.bitrate: a ladder must rise"),
        ("300 kbit/s", "300 km", ":5:15: ladder.0.bitrate:"),
        ("bitrate: 300 kbit/s, ", "", ":5:5: ladder.0.bitrate: is missing"),
        (
            "height: 180",
            "hight: 180",
            ":5:27: ladder.0.hight: unknown key; allowed: bitrate, height; nearest",
        ),
        ("segments: 300", "segment_count: 300", "segment_count: unknown key"),
        ("segments: 300", "segments: 0", ":3:11: segments: 0 is out of range"),
        ("segment: 1 s", "segment: 0 s", ":2:10: segment: '0 s' is out of range"),
        ("seed: 7", "seed: x", "seed: 'x' is not a whole number"),
        ("seed: 7", "variation: 30", "variation: 30 is out of range"),
        ("seed: 7", "name: 7", "name: 7 is no text"),
        ("  - {bitrate: 300 kbit/s, height: 180}", "  - 300 kbit/s", "ladder.0: must be a mapping"),
        (LADDER, "segment: 1 s\nsegments: 3\nladder: 5\n", "ladder: must be a list of steps"),
        (LADDER, "[1]", "must be a mapping with segment"),
    ],
)
def test_faults_of_ladders(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in LADDER
    path = write(tmp_path, LADDER.replace(old, new), "walk.yaml")
    with pytest.raises(InputError) as caught:
        read_video(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_an_unknown_ending_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no manifest by its ending; allowed: \.json, \.csv"):
        read_video(write(tmp_path, SABRE, "movie.mpd"))
    for name in ("none.json", "none.csv", "none.yaml"):
        with pytest.raises(InputError, match=name):
            read_video(tmp_path / name)


def test_a_video_checks_itself() -> None:
    with pytest.raises(InputError) as caught:
        Video("bad", 0.0, (2.0, 1.0), ((1.0,), (1.0, float("nan"))), (1,))
    assert [fault.path for fault in caught.value.faults] == [
        "segment_s",
        "bitrates_bps[1]",
        "sizes_bits[0]",
        "sizes_bits[1]",
        "heights",
    ]


def test_public_manifests() -> None:
    if not DATA.exists():
        pytest.skip("the public manifests are not beside the project (../shared/data/video_manifests)")
    shapes = {
        name: (video.segments, video.levels, video.segment_s)
        for name in (
            "sabre_bbb.json",
            "sabre_bbb4k.json",
            "sabre_movie.json",
            "pensieve_envivio_chunks.csv",
        )
        for video in [read_video(DATA / name)]
    }
    assert shapes == {
        "sabre_bbb.json": (199, 10, 3.0),
        "sabre_bbb4k.json": (199, 6, 3.0),
        "sabre_movie.json": (199, 10, 3.0),
        "pensieve_envivio_chunks.csv": (49, 6, 4.0),
    }
    sizes = json.loads((DATA / "sabre_bbb.json").read_text())["segment_sizes_bits"]
    assert [list(row) for row in read_video(DATA / "sabre_bbb.json").sizes_bits] == sizes
