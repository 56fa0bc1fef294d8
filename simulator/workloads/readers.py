"""Readers of request traces: a file in, columns in the trace's own time out.

All of them report every faulty row of a file at once and accept none: a trace with a repaired row is no
longer the trace that was published. A request must have at least one prompt token and one answer token (no
row of the public Azure 2023, Mooncake and ShareGPT-300 files has fewer), and arrivals must not go backwards.
"""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np

from simulator.workloads.requests import Requests
from simulator.workloads.sources import LATEST_S, SourceFile, nearest, shorten

MOONCAKE_BLOCK_TOKENS = 512
"""Tokens per entry of ``hash_ids`` in the Mooncake traces."""

_MAX_ID = 2**63 - 1
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(\.\d+)?(?:Z|\+00:00)?")


class Rows:
    """Columns that grow row by row; a row with a faulty field (None) is left out."""

    def __init__(self, source: SourceFile) -> None:
        self._source = source
        self._arrival_s: list[float] = []
        self._input: list[int] = []
        self._output: list[int] = []
        self._ids: list[int] = []
        self._offsets: list[int] = [0]

    def add(
        self,
        line: int,
        arrival_s: float | None,
        input_tokens: int | None,
        output_tokens: int | None,
        ids: list[int] | None = None,
    ) -> None:
        """Take one row; note a fault where its arrival lies before the one above."""
        if arrival_s is None or input_tokens is None or output_tokens is None:
            return
        if self._arrival_s and arrival_s < self._arrival_s[-1]:
            before = self._arrival_s[-1]
            self._source.fault(
                f"arrives at {arrival_s:.9g} s, before the row above ({before:.9g} s); "
                "time must not go backwards",
                line,
            )
        self._arrival_s.append(arrival_s)
        self._input.append(input_tokens)
        self._output.append(output_tokens)
        if ids is not None:
            self._ids.extend(ids)
        self._offsets.append(len(self._ids))

    def requests(self, hash_block_tokens: int = 0) -> Requests:
        """Return the columns, or raise all faults of the file."""
        self._source.check()
        if not self._arrival_s:
            raise self._source.fail("the file has no rows of requests")
        hashed = hash_block_tokens > 0
        return Requests(
            arrival_s=np.array(self._arrival_s, np.float64),
            input_tokens=np.array(self._input, np.int64),
            output_tokens=np.array(self._output, np.int64),
            hash_block_tokens=hash_block_tokens,
            hash_ids=np.array(self._ids, np.int64) if hashed else None,
            hash_offsets=np.array(self._offsets, np.int64) if hashed else None,
        )


def read_azure(source: SourceFile) -> Requests:
    """Read an Azure LLM inference trace (CSV: TIMESTAMP, ContextTokens, GeneratedTokens).

    Returns
    -------
    Requests
        `arrival_s` counts from the first row; the seven fractional digits are kept.

    Raises
    ------
    InputError
        With every faulty row.
    """
    rows = Rows(source)
    first: tuple[datetime, float] | None = None
    for line, (stamp, context, generated) in source.table(("TIMESTAMP", "ContextTokens", "GeneratedTokens")):
        moment = _moment(source, stamp, line)
        arrival_s = None
        if moment is not None:
            first = first or moment
            # whole seconds and the fraction apart: datetime itself stops at microseconds
            arrival_s = (moment[0] - first[0]).total_seconds() + (moment[1] - first[1])
        rows.add(
            line,
            arrival_s,
            source.count(context, "ContextTokens", line),
            source.count(generated, "GeneratedTokens", line),
        )
    return rows.requests()


def _moment(source: SourceFile, stamp: str, line: int) -> tuple[datetime, float] | None:
    """Split a timestamp into a whole second and a fraction of one."""
    match = _TIMESTAMP.fullmatch(stamp.strip())
    try:
        if match:
            return datetime.fromisoformat(match[1]), float(match[2] or 0)
    except ValueError:
        pass  # a day or an hour that does not exist: the same fault as no timestamp at all
    source.fault(f"TIMESTAMP is {shorten(stamp)}; allowed: like 2023-11-16 18:17:03.9799600", line)
    return None


def read_mooncake(source: SourceFile) -> Requests:
    """Read a Mooncake trace (JSONL: timestamp in ms, input_length, output_length, hash_ids).

    Returns
    -------
    Requests
        With the trace's ids of 512-token prefix blocks, one for each begun block of the prompt.

    Raises
    ------
    InputError
        With every faulty row.
    """
    rows = Rows(source)
    for line, row in source.json_rows(("timestamp", "input_length", "output_length", "hash_ids")):
        time_ms = source.number(row["timestamp"], "timestamp", line, 1e3 * LATEST_S)
        input_tokens = source.count(row["input_length"], "input_length", line)
        output_tokens = source.count(row["output_length"], "output_length", line)
        ids = block_ids(source, row["hash_ids"], line)
        if ids is not None and input_tokens is not None:
            blocks = -(-input_tokens // MOONCAKE_BLOCK_TOKENS)
            if len(ids) != blocks:
                source.fault(
                    f"hash_ids has {len(ids)} entries; {input_tokens} tokens in blocks of "
                    f"{MOONCAKE_BLOCK_TOKENS} need {blocks}",
                    line,
                )
        rows.add(line, None if time_ms is None else time_ms / 1e3, input_tokens, output_tokens, ids)
    return rows.requests(MOONCAKE_BLOCK_TOKENS)


def block_ids(source: SourceFile, ids: object, line: int) -> list[int] | None:
    """Return `ids` if it is a list of whole numbers that fit into 64 bits."""
    if (
        isinstance(ids, list)
        and set(map(type, ids)) <= {int}
        and (not ids or 0 <= min(ids) <= max(ids) <= _MAX_ID)
    ):
        return ids
    source.fault(f"hash_ids is {shorten(ids)}; allowed: a list of whole numbers from 0 to 2^63 - 1", line)
    return None


def check_cover(
    source: SourceFile, line: int, ids: list[int], input_tokens: int, output_tokens: int, block_tokens: int
) -> None:
    """Note a fault where the blocks `ids` do not cover the prompt, or go beyond the answer."""
    least = -(-input_tokens // block_tokens)
    most = -(-(input_tokens + output_tokens) // block_tokens)
    if not least <= len(ids) <= most:
        source.fault(
            f"hash_ids has {len(ids)} entries; {input_tokens} prompt tokens and {output_tokens} "
            f"answer tokens in blocks of {block_tokens} need {least} to {most}",
            line,
        )


def read_sharegpt(source: SourceFile, hardware: str | None = None, model: str | None = None) -> Requests:
    """Read one set-up of a ShareGPT-300 file.

    The CSV has the columns hardware, model, request_id, arrival_s, input_toks, output_toks.

    Parameters
    ----------
    source
        The file.
    hardware, model
        Set-up to keep; None: the first one of the file (of that hardware).

    Raises
    ------
    InputError
        With every faulty row of any set-up, or where no row belongs to the one asked for.
    """
    columns = ("hardware", "model", "request_id", "arrival_s", "input_toks", "output_toks")
    rows = Rows(source)
    setups: dict[tuple[str, str], None] = {}
    for line, (on, of, _, arrival, prompt, answer) in source.table(columns):
        setups[(on, of)] = None
        fields = (
            source.number(arrival, "arrival_s", line, LATEST_S),
            source.count(prompt, "input_toks", line),
            source.count(answer, "output_toks", line),
        )
        if on == (hardware if hardware is not None else on):
            hardware = on
            if of == (model if model is not None else of):
                model = of
                rows.add(line, *fields)
    if setups and (hardware, model) not in setups:
        there = ", ".join(" ".join(setup) for setup in setups)
        asked = " ".join(name for name in (hardware, model) if name is not None)
        source.fault(
            f"no row of {asked!r}{nearest(asked, [' '.join(setup) for setup in setups])}; there is: {there}"
        )
    return rows.requests()


def read_csv(source: SourceFile, hash_block_tokens: int = 512) -> Requests:
    """Read a plain CSV (arrival_s, input_tokens, output_tokens, and optionally hash_ids separated by spaces).

    Parameters
    ----------
    source
        The file.
    hash_block_tokens
        Tokens per entry of ``hash_ids``. A row's entries cover its prompt and may go on over its answer.

    Raises
    ------
    InputError
        With every faulty row.
    """
    rows = Rows(source)
    hashed = False
    for line, cells in source.table(("arrival_s", "input_tokens", "output_tokens"), optional=("hash_ids",)):
        arrival_s = source.number(cells[0], "arrival_s", line, LATEST_S)
        input_tokens = source.count(cells[1], "input_tokens", line)
        output_tokens = source.count(cells[2], "output_tokens", line)
        ids = None
        if len(cells) == 4:
            hashed = True
            ids = _split_ids(source, cells[3], line)
            if ids is not None and input_tokens is not None and output_tokens is not None:
                check_cover(source, line, ids, input_tokens, output_tokens, hash_block_tokens)
        rows.add(line, arrival_s, input_tokens, output_tokens, ids)
    return rows.requests(hash_block_tokens if hashed else 0)


def _split_ids(source: SourceFile, text: str, line: int) -> list[int] | None:
    """Return the ids of a cell; None, and a fault noted, where one is no whole number."""
    try:
        ids: object = [int(part) for part in text.split()]
    except ValueError:
        ids = text
    return block_ids(source, ids, line)
