"""Reads and writes of one file by block size and queue depth, past the page cache.

With fio where it is installed; else with as many threads as the queue is deep, each of which reads or writes one
block after another. The file is full of random bytes (a disk may skip zeros) and goes away at the end.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calibration.bench.harness import Options, Parameters, Point, Prepare
from devices.errors import Fault, InputError

REQUIRES: tuple[str, ...] = ()

BLOCKS = (4096, 32768, 131072, 2**19, 2**21, 2**23)
"""Block sizes in bytes."""

DEPTHS = (1, 4, 16)
"""Operations under way at a time."""

SEQUENTIAL_DEPTHS = (1, 16)

QUICK_FILE_BYTES = 2**26
TRIAL_S = {True: 0.1, False: 0.5}
"""Length of a trial, quick or not."""

ALIGNMENT = 4096
"""What direct I/O wants addresses and sizes to be multiples of."""


def grid(options: Options) -> list[tuple[str, Parameters]]:
    """Reads and writes, at random blocks and in sequence, by block size and queue depth."""
    blocks, depths, ordered = (
        ((4096, 2**20), (1, 4), ()) if options.quick else (BLOCKS, DEPTHS, SEQUENTIAL_DEPTHS)
    )
    return [
        (
            "storage",
            {
                "direction": direction,
                "pattern": pattern,
                "block_bytes": block,
                "queue_depth": depth,
                "tool": "fio" if shutil.which("fio") else "threads",
                "direct": "yes" if options.direct else "no",
            },
        )
        for direction in ("read", "write")
        for pattern, numbers in (("random", depths), ("sequential", ordered))
        for block in blocks
        for depth in numbers
    ]


@contextmanager
def session(options: Options) -> Iterator[Prepare]:
    """Make the file, prepare reads and writes in it, remove it."""
    size = min(options.file_bytes, QUICK_FILE_BYTES) if options.quick else options.file_bytes
    size = size // ALIGNMENT * ALIGNMENT
    seconds = TRIAL_S[options.quick]
    try:
        folder = tempfile.TemporaryDirectory(prefix="hetsim-storage-", dir=options.directory)
    except OSError as error:
        raise InputError(
            Fault(f"cannot make a file there: {error.strerror}", file=str(options.directory))
        ) from error
    with folder as name:
        if shutil.disk_usage(name).free < 2 * size:
            raise InputError(
                Fault(f"less than twice the file's {size} bytes are free", file=str(options.directory))
            )
        path = Path(name) / "data"
        _fill(path, size)
        if options.direct:
            _check_direct(path, options.directory)

        def prepare(_: str, parameters: Parameters) -> Point:
            block, depth = int(parameters["block_bytes"]), int(parameters["queue_depth"])
            if block > size:
                raise RuntimeError(f"the file of {size} bytes is smaller than one block")
            write, ordered = parameters["direction"] == "write", parameters["pattern"] == "sequential"
            if parameters["tool"] == "fio":
                command = _fio_command(path, size, block, depth, write, ordered, options.direct, seconds)
                return Point("bandwidth", "B/s", lambda: _fio_bandwidth(command))
            return Point(
                "bandwidth",
                "B/s",
                lambda: _threads_bandwidth(path, size, block, depth, write, ordered, options.direct, seconds),
            )

        yield prepare


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(0, size, 2**24):
            file.write(os.urandom(min(2**24, size - file.tell())))
        file.flush()
        os.fsync(file.fileno())


def _check_direct(path: Path, directory: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
        try:
            os.preadv(descriptor, [mmap.mmap(-1, ALIGNMENT)], 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        message = "this file system takes no direct I/O; choose another --dir, or --buffered"
        raise InputError(Fault(message, file=str(directory))) from error


def _fio_command(
    path: Path, size: int, block: int, depth: int, write: bool, ordered: bool, direct: bool, seconds: float
) -> list[str]:
    return [
        "fio",
        "--name=hetsim",
        f"--filename={path}",
        f"--size={size}",
        f"--bs={block}",
        f"--iodepth={depth}",
        f"--rw={'' if ordered else 'rand'}{'write' if write else 'read'}",
        "--ioengine=libaio",
        f"--direct={int(direct)}",
        f"--runtime={max(100, round(seconds * 1000))}ms",
        "--time_based",
        "--norandommap",
        "--output-format=json",
    ]


def _fio_bandwidth(command: list[str]) -> float:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"fio: {answer.stderr.strip() or answer.stdout.strip()}")
    job = json.loads(answer.stdout[answer.stdout.index("{") :])["jobs"][0]
    ways = (job["read"], job["write"])  # one of the two is idle
    return float(sum(way["io_bytes"] for way in ways) / max(way["runtime"] for way in ways) * 1e3)


def _threads_bandwidth(
    path: Path, size: int, block: int, depth: int, write: bool, ordered: bool, direct: bool, seconds: float
) -> float:
    """Return the bytes per second that `depth` threads move together."""
    flags = (os.O_RDWR if write else os.O_RDONLY) | (os.O_DIRECT if direct else 0)
    blocks = size // block
    moved, failures = [0] * depth, list[OSError]()
    descriptor = os.open(path, flags)

    def work(thread: int) -> None:
        buffer = mmap.mmap(-1, -(-block // ALIGNMENT) * ALIGNMENT)  # page-aligned, as direct I/O wants it
        view = memoryview(buffer)[:block]
        chance = random.Random(thread)
        number = thread
        try:
            while time.perf_counter() < end:
                offset = (number % blocks if ordered else chance.randrange(blocks)) * block
                moved[thread] += (
                    os.pwritev(descriptor, [view], offset) if write else os.preadv(descriptor, [view], offset)
                )
                number += depth
        except OSError as error:  # raised again by the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(depth)]
    try:
        start = time.perf_counter()
        end = start + seconds
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if write and not direct:
            os.fsync(descriptor)
        elapsed = time.perf_counter() - start
    finally:
        os.close(descriptor)
    if failures:
        raise RuntimeError(f"storage: {failures[0].strerror}")
    return sum(moved) / elapsed
