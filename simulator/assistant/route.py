"""The way from a phone to a service and back, over links of the scenario."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.core import Channel, Transfer

LONGEST_S = 3600.0
"""What a transfer over a link that is down is predicted to take: nobody knows when it will be back."""


class Route:
    """Links one behind the other; a prompt is on the next one when all of it has come through the one before.

    Prompts are transfers and share the links with everything else on them. The tokens of an answer are so few bytes
    that they are not: each is as late as it takes a link to pass it, none overtakes another, and no event is spent.

    Parameters
    ----------
    links
        Channels there and back of each link, from the phone on; none: prompts and tokens are there at once.
    """

    __slots__ = ("_back", "_there")

    def __init__(self, links: Sequence[tuple[Channel, Channel]]) -> None:
        self._there = [there for there, _ in links]
        self._back = [back for _, back in links]

    def send(self, n_bytes: float, on_arrival: Callable[[float], None]) -> None:
        """Send a prompt; `on_arrival` is told for how long it was on the first link, the radio's, latency left out."""
        self._hop(0, n_bytes, 0.0, on_arrival)

    def _hop(self, number: int, n_bytes: float, air_s: float, on_arrival: Callable[[float], None]) -> None:
        if number == len(self._there):
            on_arrival(air_s)
            return
        channel = self._there[number]
        start_s = channel.env._now + channel.latency_s

        def passed(_transfer: Transfer) -> None:
            on_first_s = channel.env._now - start_s if number == 0 else air_s
            self._hop(number + 1, n_bytes, on_first_s, on_arrival)

        channel.transfer(n_bytes, on_done=passed)

    def predicted_s(self, n_bytes: float) -> float:
        """Return how long a prompt would take at the rates of this moment; at most `LONGEST_S` on each link."""
        return sum(
            channel.latency_s + _seconds(_work(channel, n_bytes), channel.predicted_rate())
            for channel in self._there
        )

    def token_s(self, n_bytes: float) -> float:
        """Return how late a token of an answer is at the rates of this moment; at most `LONGEST_S` on each link."""
        return sum(
            channel.latency_s + _seconds(_work(channel, n_bytes), channel.bandwidth.rate(channel.env._now))
            for channel in self._back
        )

    def air_s(self, n_bytes: float, sends: bool) -> float:
        """Return how long bytes are on the first link, the radio's, at its mean bandwidth and alone."""
        links = self._there if sends else self._back
        return _work(links[0], n_bytes) / links[0].bandwidth.mean_bytes_per_s if links else 0.0

    def delivered_s(
        self, first_s: float, last_s: float, tokens: int, token_bytes: float
    ) -> tuple[float, float]:
        """Return when the first and the last token of an answer are on the phone.

        Parameters
        ----------
        first_s, last_s
            When the service has made them, the others at an even pace between; they may lie in the past.
        tokens, token_bytes
            Tokens of the answer, and bytes of each.
        """
        for channel in reversed(self._back):
            work = _work(channel, token_bytes)
            time_for = channel.bandwidth.time_for
            # The last one waits where the link is slower than the pace: for all those before it.
            last_s = max(time_for(last_s, work), time_for(first_s, tokens * work)) + channel.latency_s
            first_s = time_for(first_s, work) + channel.latency_s
        return first_s, last_s

    def least_s(self, n_bytes: float) -> float:
        """Return the least time that a prompt takes: alone, at the links' peak."""
        return _least_s(self._there, n_bytes)

    def least_token_s(self, n_bytes: float) -> float:
        """Return the least time that a token is late."""
        return _least_s(self._back, n_bytes)


def _least_s(channels: Sequence[Channel], n_bytes: float) -> float:
    return sum(it.latency_s + _work(it, n_bytes) / it.bandwidth.peak_bytes_per_s for it in channels)


def _work(channel: Channel, n_bytes: float) -> float:
    """Return the work of one operation on a channel, in bytes; none without bytes, as in `Channel.transfer`."""
    return n_bytes + channel.operation_overhead_bytes if n_bytes else 0.0


def _seconds(work: float, bytes_per_s: float) -> float:
    return min(work / bytes_per_s, LONGEST_S) if bytes_per_s > 0.0 else LONGEST_S
