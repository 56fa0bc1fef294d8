"""The page: sections laid out as one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from simulator import __version__
from simulator.experiments.folders import whole_file
from simulator.html_report.found import sections
from simulator.html_report.section import Section
from simulator.html_report.tables import PAGE_ROWS
from simulator.viz.style import COLOURS, KNOWN


def write_report(folder: Path, output: Path) -> None:
    """Write the page of a folder, whole or not at all; the same folder always gives the same bytes.

    Parameters
    ----------
    folder
        The folder of a run, a comparison, a sweep or a capacity search, or one that holds several.
    output
        HTML file.

    Raises
    ------
    InputError
        Where the folder holds no study or one that cannot be read, or the file cannot be written.
    """
    text = page(folder.resolve().name, sections(folder))
    with whole_file(output) as unfinished:
        # half a surrogate pair, which JSON can hold, is no character
        unfinished.write_bytes(text.encode("utf-8", "replace"))


def page(title: str, studies: Sequence[Section]) -> str:
    """Return the page of these sections."""
    css, js = _asset("report.css"), _asset("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(css)}'; script-src '{_digest(js)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return _templates().get_template("page.html.j2").render(
        title=title, studies=studies, css=Markup(css), js=Markup(js), policy=policy, version=__version__,
        looks=_looks(), page_rows=PAGE_ROWS,
    )  # fmt: skip


def embedded(data: Any) -> Markup:
    """Return data as JSON that no HTML parser mistakes for markup."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def is_web(address: str) -> bool:
    """Whether an address may become a link: of the web, not a script."""
    return urlsplit(address).scheme in ("http", "https")


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("simulator.html_report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = embedded
    environment.tests["web"] = is_web
    return environment


def _asset(name: str) -> str:
    return (files("simulator.html_report") / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _looks() -> dict[str, Any]:
    """Return colours, markers and dashes of the plots, for the charts that the page's script draws."""
    return {
        "palette": list(COLOURS.values()),
        "known": {
            name: {
                "colour": look.colour,
                "marker": look.marker,
                "dash": "" if look.dash == "-" else " ".join(f"{1.5 * length:g}" for length in look.dash[1]),
            }
            for name, look in KNOWN.items()
        },
    }
