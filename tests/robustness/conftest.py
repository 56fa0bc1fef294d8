"""What every test of bad input shares: valid files to spoil, and the command line in-process."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.cli import main

GIB = 2**30

SCENARIO = (Path(__file__).parents[1] / "base.yaml").read_text(encoding="utf-8").partition("\n")[2]

SWEEP = """\
version: 1
name: few
base: scenario.yaml
design: grid
replications: 2
axes:
  devices.disk.bandwidth: [7 Gbit/s, 14 Gbit/s]
  services.chat.policies.kv_loading: [cake, io_only]
set: [horizon=60 s]
"""

DEVICE = """\
kind: link
name: own-link
title: A link of one's own
duplex: full
sources:
  sheet: {title: A datasheet, url: "https://example.org"}
values:
  bandwidth_bytes_per_s: {value: 100 Gbit/s, source: sheet, kind: datasheet}
  latency_s: {value: 2 us, source: sheet, kind: assumed, low: 1 us, high: 5 us}
  per_operation_s: {value: 1 us, source: sheet, kind: assumed}
  active_w: {value: 10 W, source: sheet, kind: datasheet}
"""

TRACES = {
    "azure": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:17:03.9799600,374,44\n"
        "2023-11-16 18:17:04.0319600,396,109\n"
    ),
    "mooncake": (
        '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}\n'
        '{"timestamp": 30, "input_length": 700, "output_length": 7, "hash_ids": [1, 3]}\n'
    ),
    "sharegpt": (
        "hardware,model,request_id,arrival_s,input_toks,output_toks\n"
        "a100,llama,0,0.0,30,12\n"
        "a100,llama,1,0.5,40,15\n"
    ),
    "csv": "arrival_s,input_tokens,output_tokens,hash_ids\n0,600,20,1 2\n1.5,500,30,1\n",
    "graph": (
        '{"arrival_s": 0.0, "prompt_tokens": 18, "category": "math", "plan_tokens": 40, "nodes": '
        '[{"id": "a", "tokens": 50}, {"id": "b", "tokens": 30, "parents": ["a"], "difficulty": 0.3}]}\n'
        '{"arrival_s": 0.8, "prompt_tokens": 11, "plan_tokens": 24, "nodes": [{"id": 1, "tokens": 60}]}\n'
    ),
}
"""A valid file of each format of request traces."""

NETWORKS = {
    "sabre": '[{"duration_ms": 1000, "bandwidth_kbps": 900, "latency_ms": 40},\n'
    ' {"duration_ms": 500, "bandwidth_kbps": 0, "latency_ms": 40}]\n',
    "two_columns": "0.0 1.2\n1.0 3.4\n2.0 0.5\n",
    "mahimahi": "1\n4\n4\n90\n250\n",
    "irish": "Timestamp,DL_bitrate\n2019.12.14_10.16.30,1200\n2019.12.14_10.16.31,900\n",
}
"""A valid file of each format of network traces."""

VIDEOS = {
    "json": '{"segment_duration_ms": 3000, "bitrates_kbps": [230, 477],\n'
    ' "segment_sizes_bits": [[690000, 1431000], [700000, 1400000]]}\n',
    "csv": "nominal_kbps,chunk_index_1based,size_bytes\n300,1,9000\n750,1,20000\n300,2,9100\n750,2,21000\n",
    "yaml": "segment: 1 s\nsegments: 5\nladder:\n  - {bitrate: 300 kbit/s, height: 180}\n"
    "  - {bitrate: 800 kbit/s, height: 360}\nvariation: 0.1\nseed: 1\n",
}
"""A valid manifest of a video, by ending."""

STREAMING = """\
version: 1
name: watching
devices:
  viewer: {{profile: galaxy-s20-ultra, phone: {{wwan: {network}}}}}
services:
  video:
    kind: streaming
    phones: [viewer]
    super_resolution: []
    policies: {{collaboration: {{name: no_sr, rule: bola}}}}
workloads:
  watch: {video}
"""

REQUESTS = """\
version: 1
name: traced
devices:
  gpu: {{profile: a100-80g-sxm, count: 1}}
services:
  chat: {{kind: llm, model: llama-2-7b, gpus: gpu}}
workloads:
  work: {{trace: {trace}, service: chat, path: {path}}}
"""


class Desk:
    """A folder to spoil files in, with the command line beside it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file; a text goes to disk as UTF-8, with its ends of lines as they are."""
        path = self.folder / name
        path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        return path

    def reads_requests(self, trace: str, path: str) -> str:
        """Write a scenario that reads a request trace, and return its path."""
        return str(self.write("scenario.yaml", REQUESTS.format(trace=trace, path=json.dumps(path))))

    def reads_network(self, path: str) -> str:
        """Write a scenario that reads a network trace, and return its path."""
        network, video = f"{{trace: recorded, path: {json.dumps(path)}}}", "{trace: video, service: video}"
        return str(self.write("scenario.yaml", STREAMING.format(network=network, video=video)))

    def reads_video(self, path: str) -> str:
        """Write a scenario that plays a manifest, and return its path."""
        video = f"{{trace: video, service: video, path: {json.dumps(path)}}}"
        network = "{trace: synthetic, like: norway-3g}"
        return str(self.write("scenario.yaml", STREAMING.format(network=network, video=video)))

    def hetsim(self, *argv: str) -> tuple[int, str]:
        """Run a command in this process; return its exit status and what it says on stderr."""
        self._capsys.readouterr()
        status = main(list(argv))
        return status, self._capsys.readouterr().err


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A folder of its own, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


Refused = Callable[..., str]


@pytest.fixture
def refused(desk: Desk, record_property: Callable[[str, object], None]) -> Refused:
    """A check that a command ends with exit status 2 and names the place of the fault."""

    def check(argv: list[str], file: str | Path, part: str = "", place: str | None = None) -> str:
        """Run; `place` is ``LINE:COLUMN`` or ``LINE``, "" where the file alone need be named, None: any place."""
        status, said = desk.hetsim(*argv)
        assert status == 2, said
        assert "Traceback" not in said
        assert len(said) < 100_000, "a message is to be read"
        name = re.escape(str(file))
        wanted = rf":{place}(:\d+)?: " if place else r":\d+:\d+: " if place is None else r"(:\d+:\d+)?: "
        assert re.search(rf"^{name}{wanted}", said, re.MULTILINE), said
        assert part in said, said
        positioned = bool(re.search(rf"^{name}:\d+:\d+: ", said, re.MULTILINE))
        record_property("malformed", "position" if positioned else "file")
        return said

    return check


def limited(
    *argv: str, folder: Path, bytes_: int = GIB, env: dict[str, str] | None = None
) -> tuple[int, str]:
    """Run hetsim in a process that may have so much memory; return exit status and stderr."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))

    done = subprocess.run(
        [sys.executable, "-m", "simulator.cli", *argv],
        cwd=folder,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=limit,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def within_memory(desk: Desk) -> Callable[..., tuple[int, str]]:
    """`limited` in the folder of the test."""

    def run(*argv: str, **options: Any) -> tuple[int, str]:
        return limited(*argv, folder=desk.folder, **options)

    return run


@pytest.fixture
def valid() -> dict[str, Any]:
    """Every valid text, by what it is."""
    return {
        "scenario": SCENARIO,
        "sweep": SWEEP,
        "streaming": STREAMING,
        "device": DEVICE,
        "traces": TRACES,
        "networks": NETWORKS,
        "videos": VIDEOS,
    }
