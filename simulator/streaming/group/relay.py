"""Transmissions to and from an edge server that a group reaches over its controller's cellular radio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from simulator.core import Transfer
from simulator.streaming.group.chunks import Send

if TYPE_CHECKING:
    from simulator.streaming.group.phone_state import PhoneState
    from simulator.streaming.group.wlan import Wlan


class Relay:
    """One such transmission: over the link, and through the air between the controller and the others, side by side.

    It has arrived when both have. The controller sends or receives what passes the link once, and on the air once.

    Parameters
    ----------
    phones, wlan
        Of the session.
    sender, send
        Who sends what; the edge server is the sender or one of the receivers.
    on_done
        Called when all has arrived.
    """

    def __init__(
        self,
        phones: Sequence[PhoneState],
        wlan: Wlan,
        sender: int,
        send: Send,
        on_done: Callable[[Transfer], None],
    ) -> None:
        remote, controller = wlan.remote, wlan.controller
        self._on_done = on_done
        self._controller = phones[controller]
        self._down = sender in remote
        self._air_sender = phones[controller if self._down else sender]
        receivers = {controller if index in remote else index for index in send.receivers}
        self._air_receivers = [phones[index] for index in sorted(receivers - {self._air_sender.index})]
        reached = [phone.index for phone in self._air_receivers]
        self.air_s = send.bits / wlan.slowest_bps(self._air_sender.index, reached) if reached else 0.0
        """Air time that it needs."""
        channels = [remote[sender][0]] if self._down else []
        channels += [remote[index][1] for index in send.receivers if index in remote]
        self._controller.meter.cellular_on(wlan.channel.env._now)
        self._open = len(channels) + bool(reached)
        self._links = [channel.transfer(send.bits / 8.0, on_done=self._part_done) for channel in channels]
        self._air = wlan.send(self.air_s, self._part_done) if reached else None

    def _part_done(self, part: Transfer) -> None:
        self._open -= 1
        if not self._open:
            self._on_done(part)

    def drop(self, receiver: int, now_s: float) -> None:
        """Book what a receiver that goes has had."""
        for phone in self._air_receivers:
            if phone.index == receiver:
                phone.meter.wlan(now_s, self._passed_s(), sends=False)
        self._air_receivers = [phone for phone in self._air_receivers if phone.index != receiver]

    def book(self, now_s: float) -> None:
        """Book what has passed by now: at the end, or where it is given up."""
        if self._air is not None:
            self._air_sender.meter.wlan(now_s, self._passed_s(), sends=True)
            for phone in self._air_receivers:
                phone.meter.wlan(now_s, self._passed_s(), sends=False)
        passed_bytes = sum([link.progress_bytes() for link in self._links])
        self._controller.meter.cellular_off(now_s, passed_bytes, sent=not self._down)

    def cancel(self) -> None:
        """Stop all parts."""
        for part in (*self._links, *(() if self._air is None else (self._air,))):
            part.cancel()

    def _passed_s(self) -> float:
        return 0.0 if self._air is None else self._air.progress_bytes()
