"""Helpers are out of order with their GPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from simulator.streaming.group.pipeline import Phone


class GpuWatch:
    """Looks out for failures and repairs of the GPUs behind a session's helpers.

    Parameters
    ----------
    phones
        All of the session.
    changed
        Told each helper whose GPU has failed (True), or works again.
    """

    def __init__(self, phones: Iterable[Phone], changed: Callable[[Phone, bool], None]) -> None:
        self._helpers = [(phone, gpu) for phone in phones if (gpu := phone.processor) is not None]
        self._changed = changed
        self._down: set[int] = set()  # indices of helpers

    @property
    def awaits_repair(self) -> bool:
        """Whether a GPU is out of order that will be repaired."""
        return any(gpu.broken and not gpu.gone for _, gpu in self._helpers)

    def begin(self) -> None:
        """Tell what has failed already, and look out from now on."""
        for _, gpu in self._helpers:
            gpu.watchers.append(self._look)
        self._look()

    def end(self) -> None:
        """Look out no longer."""
        for _, gpu in self._helpers:
            gpu.watchers.remove(self._look)

    def _look(self) -> None:
        for phone, gpu in self._helpers:
            if gpu.broken != (phone.index in self._down):
                self._down ^= {phone.index}
                self._changed(phone, gpu.broken)
