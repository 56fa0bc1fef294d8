"""Fixtures of the workload tests: streams of a fixed seed, files made on the spot, the real traces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulator.core.streams import Streams
from simulator.workloads.build import build
from simulator.workloads.requests import Requests
from simulator.workloads.sources import SourceFile
from simulator.workloads.spec import WorkloadSpec

TRACES = Path(__file__).resolve().parents[4] / "shared" / "data" / "traces"


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str | bytes], SourceFile]:
    """Make a file of the given content, which messages call ``trace``."""

    def make(content: str | bytes) -> SourceFile:
        path = tmp_path / "trace.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return SourceFile(path, "trace", "workloads.chat.path")

    return make


@pytest.fixture
def make() -> Callable[..., Requests]:
    """Build a workload called ``chat`` under a seed."""

    def run(spec: WorkloadSpec, seed: int = 1, name: str = "chat") -> Requests:
        return build(spec, name, Streams(seed).stream, Path)

    return run


@pytest.fixture
def stream() -> Callable[[str], np.random.Generator]:
    """Streams of seed 1."""
    return Streams(1).stream


@pytest.fixture
def real() -> Callable[[str], Path]:
    """Find a file of the public traces, or skip the test."""

    def find(name: str) -> Path:
        path = TRACES / name
        if not path.exists():
            pytest.skip(f"the public trace {name} is not beside the project (../shared/data/traces)")
        return path

    return find
