"""Tiny scenarios that the tests of plots run once per module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simulator.experiments.compare import compare


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that runs variants of the module's ``SCENARIO``, each set of them once."""
    known: dict[str, Path] = {}
    base = tmp_path_factory.mktemp("runs")
    (base / "tiny.yaml").write_text(request.module.SCENARIO)

    def run(
        vary: dict[str, list[str]] | None = None, overrides: tuple[str, ...] = (), replications: int = 1
    ) -> Path:
        key = repr((vary, overrides, replications))
        if key not in known:
            out = base / str(len(known))
            compare(base / "tiny.yaml", vary or {}, overrides, replications=replications, out=out)
            [known[key]] = out.iterdir() if replications == 1 or vary else [out]
        return known[key]

    return run
