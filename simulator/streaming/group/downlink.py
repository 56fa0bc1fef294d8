"""Where a phone's downloads come from: a network of its own, or a link that it shares with others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from simulator.core import Call, Channel, Environment, Transfer
from simulator.streaming.network_trace import NetworkTrace


class Downlink(Protocol):
    """Brings one chunk at a time."""

    @property
    def first_byte_s(self) -> float:
        """When the first byte of the last download begun arrives."""

    def begin(self, bits: float, on_done: Callable[[], None]) -> Call | Transfer:
        """Begin a download now; `on_done` is called when all has arrived, unless what is returned is cancelled."""

    def arrived_bytes(self) -> float:
        """Return how much of the download under way has arrived by now."""


class OwnNetwork:
    """A network that the phone has to itself: when a download ends is known when it begins."""

    __slots__ = ("_env", "_trace", "first_byte_s")

    def __init__(self, env: Environment, trace: NetworkTrace) -> None:
        self._env, self._trace = env, trace
        self.first_byte_s = 0.0

    def begin(self, bits: float, on_done: Callable[[], None]) -> Call:
        """Begin a download now."""
        env, trace = self._env, self._trace
        self.first_byte_s = trace.first_byte_s(env._now)
        return env.call_at(trace.last_byte_s(self.first_byte_s, bits), on_done)

    def arrived_bytes(self) -> float:
        """Return how much of the download under way has arrived by now."""
        now_s = self._env._now
        return self._trace.bandwidth.integral(self.first_byte_s, now_s) if now_s > self.first_byte_s else 0.0


class LinkDownloads:
    """Downloads that are transfers on a shared channel."""

    __slots__ = ("_channel", "_transfer", "first_byte_s")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._transfer: Transfer | None = None
        self.first_byte_s = 0.0

    def begin(self, bits: float, on_done: Callable[[], None]) -> Transfer:
        """Begin a download now."""
        channel = self._channel
        self.first_byte_s = channel.env._now + channel.latency_s
        self._transfer = transfer = channel.transfer(bits / 8.0, on_done=lambda _: on_done())
        return transfer

    def arrived_bytes(self) -> float:
        """Return how much of the download under way has arrived by now."""
        return 0.0 if self._transfer is None else self._transfer.progress_bytes()
