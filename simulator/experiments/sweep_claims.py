"""Who may go on with a sweep: the newest driver of a shard, and of each chunk the worker that took it last.

A driver is a folder ``.driver-<k>-of-<N>-<token>`` beside the results. A worker that begins a chunk leaves a marker
there, and goes on for as long as the marker exists. The marker goes when another worker begins the same chunk, because
this one was taken for lost; when the driver knows what the chunk came to, which may be later than its end, as what a
worker returns can be lost with it; and with the whole folder when another driver begins. A driver takes its folder
along when it ends, so that a sweep that has ended has none.

All of it is files that exist or do not, under names that are used once: that holds on network file systems too.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


@contextmanager
def charge(folder: Path, shard: tuple[int, int]) -> Iterator[Path]:
    """Take charge of a shard until the end of the context, away from whoever had it; give the driver's folder.

    Other shards of as many stay as they are; drivers that cut the plan into another number of shards lose theirs.

    Parameters
    ----------
    folder
        The sweep's folder, which exists.
    shard
        (k, N).
    """
    number, of = shard
    mine = folder / f".driver-{number}-of-{of}-{secrets.token_hex(4)}"
    mine.mkdir()
    for other in folder.glob(".driver-*"):
        of_another_shard = fnmatch(other.name, f".driver-*-of-{of}-*") and not fnmatch(
            other.name, f".driver-{number}-of-*"
        )
        if other != mine and not of_another_shard:
            _remove(other)
    try:
        yield mine
    finally:
        _remove(mine)


def _remove(driver: Path) -> None:
    ended = driver.with_name(f".driver-ended-{secrets.token_hex(4)}")
    try:
        driver.rename(ended)  # all at once: no worker can leave a marker while others are being deleted
    except FileNotFoundError:
        return  # another start was quicker
    shutil.rmtree(ended, ignore_errors=True)  # where another start deletes it too, it is gone all the same


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to go on with a chunk."""

    marker: Path
    """Exists while it holds."""
    was_begun: bool
    """Whether another worker had begun the chunk before, of which the driver has not heard."""

    @property
    def holds(self) -> bool:
        """Whether neither another driver nor another worker has taken over."""
        return self.marker.exists()


def claim(driver: Path, chunk: str) -> Claim | None:
    """Claim a chunk, away from whoever had it; None where its driver is in charge no more.

    Parameters
    ----------
    driver
        The driver's folder.
    chunk
        Identity of the chunk among those of the driver.
    """
    marker = driver / f"{chunk}-{secrets.token_hex(4)}"
    try:
        marker.touch(exist_ok=False)
    except FileNotFoundError:
        return None
    others = [other for other in driver.glob(f"{chunk}-*") if other != marker]
    for other in others:
        other.unlink(missing_ok=True)
    return Claim(marker, bool(others))


def release(driver: Path, chunk: str) -> None:
    """End every claim on a chunk; its driver does that once it knows what the chunk came to."""
    for marker in driver.glob(f"{chunk}-*"):
        marker.unlink(missing_ok=True)
