"""One self-contained HTML page of what commands have left in a folder; nothing here knows of a running simulation."""

from __future__ import annotations

__all__ = ["write_report"]

from simulator.html_report.page import write_report
