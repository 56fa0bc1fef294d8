"""A JSON file under scrutiny: its data, and every fault found in it with its place."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from devices.document import Document, Path_, read_document
from devices.errors import Fault, InputError
from simulator.workloads.sources import FAULTS_LISTED, LARGEST, SourceFile, shorten


class JsonFile:
    """The data of a file, and its faults until `check` raises them together.

    JSON is read by the standard library, which is fast; only where something is wrong the file is read again with the
    place of every value.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        Where it cannot be read or is not JSON.
    """

    def __init__(self, path: Path) -> None:
        self._name = str(path)
        source = SourceFile(path)
        self._text = source.text()
        try:
            self.data: Any = json.loads(self._text)
        except json.JSONDecodeError as error:
            raise source.fail(f"is not JSON: {error.msg}", error.lineno, error.colno) from None
        except RecursionError:
            raise source.fail("is nested too deeply") from None
        except ValueError:  # Python reads some thousand digits at most
            raise source.fail("has a number of too many digits") from None
        self._faults: list[tuple[Path_, str]] = []

    def fault(self, path: Path_, message: str) -> None:
        """Note what is wrong with the value at `path`."""
        self._faults.append((path, message))

    def number(self, entry: Any, key: str, path: Path_) -> float:
        """Return a number of the mapping `entry`, which stands at `path`; NaN where it is missing or none."""
        if isinstance(entry, dict) and key in entry:
            return self._finite(entry[key], (*path, key))
        self.fault(path, f"has no {key}" if isinstance(entry, dict) else f"is no mapping with {key}")
        return math.nan

    def items(self, value: Any, path: Path_) -> list[Any]:
        """Return `value`, which stands at `path`, if it is a list with entries; else an empty one."""
        if isinstance(value, list) and value:
            return value
        self.fault(path, "must be a list with at least one entry")
        return []

    def numbers(self, value: Any, path: Path_) -> list[float]:
        """Return a list of numbers, which stands at `path`; entries that are none are NaN."""
        return [self._finite(entry, (*path, index)) for index, entry in enumerate(self.items(value, path))]

    def _finite(self, value: Any, path: Path_) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST:
            return float(value)
        self.fault(path, f"{shorten(value)} is no finite number; allowed: up to {LARGEST:g}")
        return math.nan

    def check(self) -> None:
        """Raise `InputError` with every fault noted so far, by line, if there is one."""
        if not self._faults:
            return
        try:
            document = read_document(self._text, self._name)
        except (
            InputError
        ):  # JSON that is no YAML 1.2, such as one with a tab or a duplicate key in the wrong place
            document = Document(self._name, self.data, {})
        faults = [document.fault(path, message) for path, message in self._faults[:FAULTS_LISTED]]
        if unlisted := len(self._faults) - len(faults):
            faults.append(Fault(f"and {unlisted:,} more faults", file=self._name))
        raise InputError(faults)
