"""KV of prompts on its way from the replicas that prefill to those that decode.

The replica that decodes pulls, as in DistServe (Zhong et al. 2024, arXiv:2401.09670): it reserves a prompt's blocks
first, and what finds none waits in the memory of the replica that has prefilled it, which takes in fewer prompts then.
Nothing that has crossed the link could fail to find room that way, and a burst is held where memory is not needed for
decodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.core import Channel, Transfer
from simulator.serving.sequence import Sequence

if TYPE_CHECKING:
    from simulator.serving.replica import Replica


class Handover:
    """A prefilled prompt, from its first token until its KV has come over.

    Parameters
    ----------
    sequence
        The request.
    source
        The replica that has prefilled it and holds its KV.
    channel
        The link between the two.
    n_bytes
        Its KV.
    on_over
        Told when all of it has come over.
    """

    __slots__ = (
        "_channel",
        "_on_over",
        "_transfer",
        "n_bytes",
        "private_blocks",
        "sequence",
        "shared",
        "source",
        "start_s",
        "target",
    )

    def __init__(
        self,
        sequence: Sequence,
        source: Replica,
        channel: Channel,
        n_bytes: float,
        on_over: Callable[[Handover], None],
    ) -> None:
        self.sequence = sequence
        self.source = source
        self.n_bytes = n_bytes
        self._channel = channel
        self._on_over = on_over
        self._transfer: Transfer | None = None
        self.start_s = -1.0
        """When the transfer began that is under way, or the last one."""
        self.target: Replica | None = None
        """The replica that is to decode it; None while there is none."""
        self.private_blocks = 0
        """KV blocks of the source that are not shared."""
        self.shared: list[int] = []
        """Hash ids of prefix blocks of the source."""

    def begin(self) -> None:
        """Send the KV: the target has reserved its blocks."""
        self.start_s = self._channel.env._now
        self._transfer = self._channel.transfer(self.n_bytes, on_done=self._done)

    def pause(self) -> None:
        """Stop sending: the target has no room any more. What has come over is lost."""
        if self._transfer is not None:
            self._transfer.cancel()
            self._transfer = None

    def leave_target(self) -> None:
        """Belong to no target any more: it has failed."""
        self.pause()
        self.target = None

    def lose(self) -> None:
        """The source has failed: there is nothing left to hand over."""
        target = self.target
        self.leave_target()
        if target is not None:
            target.withdraw(self.sequence)
        self.sequence.handover = None

    def give_up(self) -> None:
        """Nobody will ever decode it."""
        self.sequence.handover = None
        self.source.let_go(self)

    def _done(self, _transfer: Transfer) -> None:
        self._transfer = None
        self._on_over(self)
