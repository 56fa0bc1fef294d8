"""Valid files, changed at random: each is read or refused by an `InputError`, and nothing else is ever raised."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.catalogue import load_sourced
from devices.errors import InputError
from devices.profiles import LinkProfile
from simulator.experiments.sweep_file import load_sweep
from simulator.scenario import load_text
from simulator.streaming.trace_files import read_trace
from simulator.streaming.video_files import read_video
from simulator.workloads.graph_reader import read_graphs
from simulator.workloads.readers import read_azure, read_csv, read_mooncake, read_sharegpt
from simulator.workloads.sources import SourceFile

FAST, SLOW = 75, 20_000
ODD = [
    "", "0", "-1", "1e400", "nan", ".inf", "9" * 40, "0x" + "f" * 4000, "null", "true", "[]", "{}", "[[", "}", '"', "'",
    ":", ",", "- ", "\n", "\r\n", "\t", "&a ", "*a", "!!a ", "<<: ", "#", "---\n", "%", "\ufeff",
    "\u202e", "é", "\0", "٣",
]  # fmt: skip
READERS = {
    "azure": read_azure,
    "mooncake": read_mooncake,
    "sharegpt": read_sharegpt,
    "csv": read_csv,
    "graph": read_graphs,
}


@st.composite
def changed(draw, text):
    """Return `text` after some changes: parts between marks deleted, doubled, moved or replaced by odd ones."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 30)))
        part = text[start:end]
        new = draw(st.sampled_from(["", part * 2, part[::-1], part.swapcase(), *ODD]) | st.text(max_size=3))
        text = text[:start] + new + text[end:]
    return text


def loaders(valid, folder):
    """Return each loader's valid text and what reads it, by name."""
    path = folder / "it"

    def of_file(read, name="it"):
        def go(text):
            (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
            read(folder / name)

        return go

    (folder / "scenario.yaml").write_text(valid["scenario"])
    found = {
        "scenario": (valid["scenario"], lambda text: load_text(text, folder=folder)),
        "sweep": (valid["sweep"], of_file(load_sweep, "sweep.yaml")),
        "device": (valid["device"], lambda text: load_sourced(text, LinkProfile, also=("kind",))),
    }
    for name, read in READERS.items():
        found[name] = (valid["traces"][name], of_file(lambda it, read=read: read(SourceFile(it))))
    for name, text in valid["networks"].items():
        found[name] = (text, of_file(read_trace))
    for name, text in valid["videos"].items():
        found[f"video.{name}"] = (text, of_file(read_video, f"video.{name}"))
    assert path.parent == folder
    return found


NAMES = [
    "scenario",
    "sweep",
    "device",
    *READERS,
    "sabre",
    "two_columns",
    "mahimahi",
    "irish",
    "video.json",
    "video.csv",
    "video.yaml",
]


def fuzz(text, read, examples):
    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(changed(text))
    def try_one(it):
        try:
            read(it)
        except InputError as error:
            assert error.faults
            assert all(fault.message and len(str(fault)) < 5000 for fault in error.faults)

    try_one()


@pytest.mark.parametrize("name", NAMES)
def test_changed_files_are_read_or_refused(valid, tmp_path, name):
    fuzz(*loaders(valid, tmp_path)[name], FAST)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_changed_files_are_read_or_refused(valid, tmp_path, name):
    fuzz(*loaders(valid, tmp_path)[name], SLOW)
