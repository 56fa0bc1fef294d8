"""Bandwidths by mechanism and block size, collected from published measurements (CSV).

Rates are decimal GB/s; block sizes are KiB. The table describes each path in words: they stay as the
parameters ``path`` and ``mechanism``, and decide under which bench a row falls.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from calibration.readers import names
from calibration.readers.rows import csv_rows
from calibration.table import Measurement

SOURCE = "Collected bandwidth measurements"

_STORES = ("nvme", "ssd", "nfs", "3fs", "object storage")
_NETWORKS = ("rdma", "dram->dram", "8x400g", "transfer engine")


def read(path: Path) -> Iterator[Measurement]:
    """Yield one bandwidth per row; each names its own source."""
    for row in csv_rows(path, ("source", "path", "mechanism", "block_KB", "GBps")):
        route, mechanism = row.text("path"), row.text("mechanism")
        bench, direction = _route(route, mechanism)
        parameters: dict[str, float | str] = {"path": route, "mechanism": mechanism, "direction": direction}
        if row.has("block_KB"):
            parameters["block_bytes"] = row.positive("block_KB") * 1024
        yield Measurement(
            bench=bench,
            device=_device(bench, route, row.text("source")),
            parameters=parameters,
            metric="bandwidth",
            unit="B/s",
            value=row.positive("GBps") * 1e9,
            source=row.text("source"),
        )


def _route(route: str, mechanism: str) -> tuple[str, str]:
    """Bench and direction of a path such as ``NVMe->GPU 4 SSD``."""
    words = route.lower()
    if any(store in words for store in _STORES):
        to_store = "write" in words or any(f"->{store}" in words for store in _STORES)
        return "storage", "write" if to_store else "read"
    if any(network in f"{words} {mechanism.lower()}" for network in _NETWORKS):
        return "network", "read"
    if "bidirectional" in words:
        return "copy", "both"
    return "copy", "d2h" if words.startswith("gpu->") else "h2d"


def _device(bench: str, route: str, source: str) -> str:
    """The GPU of a copy (which board of its kind, the sources do not say); else the source's own set-up."""
    if bench == "copy":
        for gpu in ("H100", "H200", "H20", "A100", "L40S"):
            if gpu in route:
                return gpu.lower()
    return names.slug(source.split("(", maxsplit=1)[0])
