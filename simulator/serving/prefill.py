"""The half of a disaggregated service that prefills."""

from __future__ import annotations

from collections.abc import Callable

from simulator.core import Channel
from simulator.serving.handover import Handover
from simulator.serving.replica import Replica
from simulator.serving.replica_pool import ReplicaPool
from simulator.serving.rescue import Rescues
from simulator.serving.sequence import Sequence


class PrefillStage:
    """Replicas that compute prompts and first tokens, and hand KV over to those that decode.

    Parameters
    ----------
    pool
        These replicas.
    rescues
        Who was lost with one of them, or waits for one.
    decoders
        Sends a prefilled request to a replica that decodes, as soon as one is up.
    channel
        The link from these to those.
    token_bytes
        KV of a token.
    on_over
        Told each handover that has ended well, before the request goes on.
    """

    __slots__ = ("_channel", "_decoders", "_on_over", "_token_bytes", "pool", "rescues")

    def __init__(
        self,
        pool: ReplicaPool,
        rescues: Rescues,
        decoders: Rescues,
        channel: Channel,
        token_bytes: float,
        on_over: Callable[[Handover], None],
    ) -> None:
        self.pool = pool
        self.rescues = rescues
        self._decoders = decoders
        self._channel = channel
        self._token_bytes = token_bytes
        self._on_over = on_over

    def prefilled(self, source: Replica, sequence: Sequence) -> None:
        """A prompt is computed, and the next token of its answer: look for a replica that decodes the others."""
        n_bytes = sequence.prefill_to * self._token_bytes
        handover = Handover(sequence, source, self._channel, n_bytes, self._over)
        sequence.handover = handover
        source.set_aside(handover)
        self._decoders.resume(sequence)

    def _over(self, handover: Handover) -> None:
        sequence, target = handover.sequence, handover.target
        assert target is not None
        self._on_over(handover)
        sequence.handover = None
        handover.source.let_go(handover)
        target.receive(sequence)
