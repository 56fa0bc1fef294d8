"""Readers of network traces."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from devices.errors import InputError
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.trace_files import LATENCY_S, read_trace

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "network_traces"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a trace file."""

    def write(text: str) -> Path:
        path = tmp_path / "trace"
        path.write_text(text)
        return path

    return write


def test_sabre(write: Write) -> None:
    trace = read_trace(
        write(
            '[{"duration_ms": 1500, "bandwidth_kbps": 51, "latency_ms": 100},\n'
            ' {"duration_ms": 1000, "bandwidth_kbps": 0, "latency_ms": 20}]'
        )
    )
    assert trace == NetworkTrace("trace", (1.5, 1.0), (51e3, 0.0), (0.1, 0.02))


def test_two_columns_hold_from_the_line_above(write: Write) -> None:
    trace = read_trace(write("0.5 9.0\n1.5 2.0\n\n4.0\t0\n"))
    assert (trace.durations_s, trace.bandwidths_bps) == ((1.0, 2.5), (2e6, 0.0))
    assert trace.latencies_s == (LATENCY_S, LATENCY_S)
    assert trace.notes == ("trace records no latency: 80 ms assumed",)


def test_mahimahi_counts_packets_and_ends_with_the_last_one(write: Write) -> None:
    # 100 packets in the first 0.1 s, none in the second, two in the 50 ms that are left
    stamps = [*range(1, 101), 250, 250]
    trace = read_trace(write("\n".join(map(str, stamps)) + "\n"))
    assert trace.durations_s == (0.1, 0.1, 0.05)
    assert trace.bandwidths_bps == pytest.approx((12e6, 0.0, 480e3))
    packets = trace.mean_bps * trace.duration_s / 12_000
    assert packets == pytest.approx(len(stamps))


def test_mahimahi_at_0_ms(write: Write) -> None:
    trace = read_trace(write("0\n0\n10\n"))
    assert trace.durations_s == (0.01,)
    assert trace.bandwidths_bps == pytest.approx((3.6e6,))


def test_irish_5g(write: Write) -> None:
    trace = read_trace(
        write("Timestamp,State,DL_bitrate\n2019.12.16_13.40.04,D,72\n2019.12.16_13.40.05,I,0\n")
    )
    assert (trace.durations_s, trace.bandwidths_bps) == ((1.0, 1.0), (72e3, 0.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n4 5 6\n", ":1:1: is no network trace: a first line of 3 columns"),
        ("0 1\n1 -2\n", ":2:1: the bandwidth in Mbit/s is '-2'; allowed: finite numbers from 0"),
        ("0 1\n1 x\n2 nan\n", ":3:1: the bandwidth in Mbit/s is 'nan'"),
        ("0 1\n1 2 3\n", ":2:1: has 3 columns; allowed: 'seconds Mbit/s'"),
        ("0 1\n2 1\n2 1\n", ":3:1: 2 s is not after the line above (2 s)"),
        ("0 1\n1 0\n2 0\n", ":1:1: every bandwidth is 0"),
        ("3 1\n", ":1:1: needs two lines or more"),
        ("1\n5\n4\n", ":3:1: 4 ms is before the line above (5 ms)"),
        ("1\n2.5\n", ":2:1: '2.5' is no whole number of milliseconds"),
        ("1\n-3\n", ":2:1: '-3' is no whole number"),
        ("0\n0\n", ":2:1: all packets pass at 0 ms"),
        ("Timestamp,UL_bitrate\na,1\n", ":1:1: column 'DL_bitrate' is missing; nearest: UL_bitrate"),
        ("Timestamp,DL_bitrate\na,1\nb,-\n", ":3:1: DL_bitrate in kbit/s is '-'"),
        ("Timestamp,DL_bitrate\na,1\nb,2,3\n", ":3:1: row has 3 cells; the header has 2"),
        (
            "Timestamp,DL_bitrate\na,1\nb,-5\n",
            ":3:1: DL_bitrate in kbit/s is '-5'; allowed: finite numbers from 0",
        ),
        ("Timestamp,DL_bitrate\na,0\nb,0\n", ":3:1: every bandwidth is 0"),
        ('[{"duration_ms": 9, "bandwidth_kbps": 0, "latency_ms": 1}]', ":1:2: 0: every bandwidth is 0"),
        ("Timestamp,DL_bitrate\n", ":1:1: has no rows"),
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("[", ":1:2: is not JSON"),
        ("[]", ":1:1: must be a list with at least one entry"),
        ("{}", "must be a list"),
    ],
)
def test_faults_name_file_and_line(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(InputError) as caught:
        read_trace(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ('"duration_ms": 0, "bandwidth_kbps": 5, "latency_ms": 0', "2:2: 1: a duration must be above 0"),
        ('"duration_ms": 9, "bandwidth_kbps": -5, "latency_ms": 0', "a bandwidth must be at least 0"),
        ('"duration_ms": 9, "bandwidth_kbps": 5, "latency_ms": -1', "a latency must be at least 0"),
        ('"duration_ms": 9, "bandwidth_kbps": "5", "latency_ms": 0', "1.bandwidth_kbps: '5' is no finite"),
        ('"duration_ms": 9, "bandwidth_kbps": NaN, "latency_ms": 0', "nan is no finite number"),
        ('"duration_ms": 9, "latency_ms": 0', "2:2: 1: has no bandwidth_kbps"),
    ],
)
def test_faults_of_sabre_traces(write: Write, second: str, message: str) -> None:
    path = write('[{"duration_ms": 1, "bandwidth_kbps": 1, "latency_ms": 1},\n {' + second + "}]")
    with pytest.raises(InputError) as caught:
        read_trace(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:2:")


def test_every_fault_at_once(write: Write) -> None:
    with pytest.raises(InputError) as caught:
        read_trace(write("0 1\n" + "1 -1\n" * 30))
    assert len(caught.value.faults) == 21
    assert "and 10 more faults" in str(caught.value)


def test_a_missing_file_names_the_nearest(write: Write, tmp_path: Path) -> None:
    write("1 2\n2 3\n")
    with pytest.raises(InputError, match="no such file; nearest: trace"):
        read_trace(tmp_path / "trac")


@pytest.mark.parametrize(
    ("archive", "traces", "mean_s", "mean_mbps"),
    [
        ("norway_3g.tar.gz", 80, 262.7, 1.28),  # weighted by time; by samples it is 1.52
        ("sabre_4Glogs.tar.gz", 40, 450.9, 31.4),
        ("irish_5G-production-dataset.zip", 83, 2273.6, 10.4),
    ],
)
def test_public_traces(tmp_path: Path, archive: str, traces: int, mean_s: float, mean_mbps: float) -> None:
    if not (DATA / archive).exists():
        pytest.skip(f"{archive} is not beside the project (../shared/data/network_traces)")
    found = [read(tmp_path, content) for content in contents(DATA / archive)]
    assert len(found) == traces
    assert sum(trace.duration_s for trace in found) / traces == pytest.approx(mean_s, rel=1e-3)
    assert sum(trace.mean_bps for trace in found) / traces / 1e6 == pytest.approx(mean_mbps, rel=0.05)


def contents(archive: Path) -> list[bytes]:
    """The traces in an archive."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as folder:
            names = [name for name in folder.namelist() if name.endswith(".csv") and "__MACOSX" not in name]
            return [folder.read(name) for name in names]
    with tarfile.open(archive) as folder:
        files = [folder.extractfile(member) for member in folder if member.isfile()]
        return [(file or io.BytesIO()).read() for file in files]


def read(folder: Path, content: bytes) -> NetworkTrace:
    path = folder / "trace"
    path.write_bytes(content)
    return read_trace(path)
