"""What the header of a table says, and what it must not say."""

from __future__ import annotations

import datetime
import getpass
import platform
import socket
from pathlib import Path

from calibration.bench.machine import cpu, default_name, header, memory_bytes, shown_command
from calibration.bench.power import rapl_energy_j

NOON = datetime.datetime(2025, 3, 1, 12, tzinfo=datetime.UTC)


def test_header_has_hardware_software_and_date() -> None:
    head = header("cpu", "some-cpu", ["hetsim", "calibrate", "copy"], "not readable", NOON)
    assert set(head) == {
        "device",
        "hardware",
        "software",
        "power",
        "load",
        "date",
        "command",
        "source",
        "licence",
    }
    assert head["device"] == "some-cpu"
    assert head["date"] == "2025-03-01"
    assert head["command"] == "hetsim calibrate copy"
    assert f"Python {platform.python_version()}" in head["software"]
    assert "cores" in head["hardware"]
    assert f"{memory_bytes() / 2**30:.1f} GiB" in head["hardware"]


def test_header_names_neither_host_nor_user_nor_folders(tmp_path: Path) -> None:
    command = ["hetsim", "calibrate", "storage", "--dir", str(tmp_path), f"--output={tmp_path}/a.csv"]
    text = " ".join(header("cpu", default_name("cpu"), command, "none", NOON).values())
    words = text.replace("=", " ").split()
    assert socket.gethostname() not in words
    assert getpass.getuser() not in words
    assert str(tmp_path) not in text
    assert str(Path.home()) + "/" not in text
    assert "--output=a.csv" in text


def test_paths_of_a_command_lose_their_folders() -> None:
    command = ["hetsim", "-o", "/somewhere/x.csv", "--dir=/mnt/disk", "--dir", "."]
    assert shown_command(command) == "hetsim -o x.csv --dir=disk --dir ."


def test_cpu_model_is_read_from_cpuinfo(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor : 0\nmodel name : Imagined 9000\ncpu family : 25\nmodel : 1\n\nprocessor : 1\n"
    )
    assert cpu(info).startswith("Imagined 9000 (family 25, model 1), ")


def test_without_cpuinfo_the_architecture_stands_in(tmp_path: Path) -> None:
    assert cpu(tmp_path / "absent").startswith(platform.machine())


def test_energy_counter_is_read_in_joules_where_there_is_one(tmp_path: Path) -> None:
    counter = tmp_path / "energy_uj"
    assert rapl_energy_j(counter) is None
    counter.write_text("2500000\n")
    energy_j = rapl_energy_j(counter)
    assert energy_j is not None
    assert energy_j() == 2.5
