"""For how long a replica has been switched off, and for how long it was down while it was on."""

from __future__ import annotations


class Uptime:
    """Adds up the two; a replica that is off is not down, whatever is broken in it."""

    __slots__ = ("_broken", "_off", "_since_s", "down_s", "off_s")

    def __init__(self) -> None:
        self.off_s = 0.0
        """Time for which it has been switched off, in s."""
        self.down_s = 0.0
        """Time for which it has been on and out of order, in s."""
        self._off = self._broken = False
        self._since_s = 0.0

    def switch(self, now_s: float, *, off: bool) -> None:
        """Switch it off or on."""
        self.book(now_s)
        self._off = off

    def damage(self, now_s: float, *, broken: bool) -> None:
        """Let it be broken from now on, or whole."""
        self.book(now_s)
        self._broken = broken

    def book(self, now_s: float) -> None:
        """Bring both up to date."""
        if self._off:
            self.off_s += now_s - self._since_s
        elif self._broken:
            self.down_s += now_s - self._since_s
        self._since_s = now_s
