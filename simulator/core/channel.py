"""The shared channel: a link, a disk or a bus that its transfers share in proportion to their weights.

Processor sharing by virtual time: V grows at bandwidth(t) / (sum of active weights), so that every active
transfer gains work at weight * dV. A transfer that joins at V is done when V has grown by work / weight: this
*tag* never changes, whoever comes and goes. The tags are in a heap; a change costs O(log n), a transfer two
changes, whatever their number of operations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush
from math import fsum, inf

from simulator.core.bandwidth import Bandwidth, ConstantBandwidth
from simulator.core.environment import TRANSFER_DONE, Call, Environment
from simulator.core.errors import CoreError
from simulator.core.transfer import Transfer, operations_of

_Entry = tuple[float, int, Transfer]
"""Entry of a channel's heap: (tag, order of joining, transfer)."""


def _live(entry: _Entry) -> bool:
    """Whether an entry is its transfer's present one: not ended, and not shortened since."""
    return entry[2]._active and entry[2]._tag == entry[0]


class Channel:
    """Bandwidth shared by the transfers that are on it.

    A transfer of n operations of b bytes that is alone takes
    ``latency_s + n * (per_operation_s + b / bandwidth)`` where the bandwidth is constant. Where it varies,
    the overhead of an operation is the work that ``per_operation_s`` makes at the mean bandwidth: it takes
    longer when the bandwidth is low, and it is shared like bytes.

    Parameters
    ----------
    env
        The clock.
    bandwidth
        Bytes per second over time.
    latency_s
        Delay before a transfer joins the channel; it does not occupy it.
    per_operation_s
        Channel time that each operation costs beyond its bytes.
    name
        For messages.

    Raises
    ------
    CoreError
        For a negative or infinite `latency_s` or `per_operation_s`.

    Notes
    -----
    At any time at most one call of the channel is pending in the event queue, plus one for each transfer in
    its latency. A newcomer that only delays the next completion leaves that call where it is; it finds
    nothing to do then and is made again at the right time.
    """

    def __init__(
        self,
        env: Environment,
        bandwidth: Bandwidth,
        latency_s: float = 0.0,
        per_operation_s: float = 0.0,
        name: str = "channel",
    ) -> None:
        for what, value in (("latency_s", latency_s), ("per_operation_s", per_operation_s)):
            if not 0.0 <= value < inf:
                raise CoreError(f"channel {name!r}: {what} must be at least 0 and finite, not {value!r}")
        self.env = env
        self.bandwidth = bandwidth
        self.latency_s = latency_s
        self.name = name
        self.operation_overhead_bytes: float = per_operation_s * bandwidth.mean_bytes_per_s
        """Work of each operation beyond its bytes."""
        self.active = 0
        """Transfers that share the channel now: past their latency, not ended."""
        self._constant = bandwidth.mean_bytes_per_s if isinstance(bandwidth, ConstantBandwidth) else 0.0
        self._heap: list[_Entry] = []  # also entries of cancelled and shortened transfers, see `_live`
        self._joined = 0
        self._weights = 0.0  # of the active transfers
        self._virtual = 0.0  # V at `_since_s`
        self._since_s: float = env._now
        self._changes = 0  # of V since it was last counted from 0
        self._end_s = inf  # when the first of the heap is done
        self._call: Call | None = None
        self._call_s = inf
        self._busy_s = 0.0
        self._active_s = 0.0
        self._moved_bytes = 0.0

    def transfer(
        self,
        n_bytes: float,
        operation_bytes: float | None = None,
        weight: float = 1.0,
        on_done: Callable[[Transfer], None] | None = None,
    ) -> Transfer:
        """Start a transfer now.

        Parameters
        ----------
        n_bytes
            Bytes to move. Without bytes it is done after the latency.
        operation_bytes
            Bytes per operation, the last may be smaller; None: one operation for all.
        weight
            Share of the channel relative to the others'.
        on_done
            Called with the transfer when it is done, in the phase ``TRANSFER_DONE`` of that instant.

        Raises
        ------
        CoreError
            For negative, infinite or NaN bytes, and where `operation_bytes` or `weight` is not above 0.
        """
        transfer = Transfer(self, n_bytes, operation_bytes, weight, on_done)
        if not n_bytes:
            transfer._call = self.env.call_at(
                transfer._join_s, partial(self._finish, [transfer]), TRANSFER_DONE
            )
        elif self.latency_s:
            transfer._call = self.env.call_at(transfer._join_s, partial(self._join, transfer))
        else:
            self._join(transfer)
        return transfer

    @property
    def busy_s(self) -> float:
        """Time so far with at least one active transfer."""
        return self._busy_s + (self.env._now - self._since_s if self.active else 0.0)

    @property
    def active_s(self) -> float:
        """Integral of `active` over time so far; divided by that time, the mean number (Little)."""
        return self._active_s + (self.env._now - self._since_s) * self.active

    @property
    def moved_bytes(self) -> float:
        """Bytes that have arrived so far, those of unfinished and cancelled transfers included."""
        running = (entry[2].progress_bytes() for entry in self._heap if _live(entry))
        return fsum((self._moved_bytes, *running))

    def predicted_rate(self, weight: float = 1.0) -> float:
        """Return the bytes per second that a newcomer of that weight would get now."""
        return self.bandwidth.rate(self.env._now) * weight / (self._weights + weight)

    def estimate_s(
        self, n_bytes: float, operation_bytes: float, idle: bool = False, after_s: float = 0.0
    ) -> float:
        """Return how long a new transfer would take, in s.

        Parameters
        ----------
        n_bytes, operation_bytes
            As in `transfer`.
        idle
            Assume an idle channel at its mean bandwidth; otherwise the bandwidth as it will be, shared all
            the while with the transfers that are active now.
        after_s
            Time from now until it would start.
        """
        work = n_bytes + operations_of(n_bytes, operation_bytes) * self.operation_overhead_bytes
        if idle:
            return self.latency_s + work / self.bandwidth.mean_bytes_per_s
        start_s = self.env._now + after_s
        return self.bandwidth.time_for(start_s + self.latency_s, work * (1.0 + self._weights)) - start_s

    def reach_s(self, transfer: Transfer, work: float) -> float:
        """Return when `transfer` has done `work` more if the present ones stay; see `Transfer`."""
        weights = self._weights + (0.0 if transfer._active else transfer.weight)
        start_s = max(self.env._now, transfer._join_s)
        return self.bandwidth.time_for(start_s, work * weights / transfer.weight)

    def virtual_now(self) -> float:
        """Return V now. Looking does not change any later result, not by a bit."""
        now = self.env._now
        if now == self._since_s or not self.active:
            return self._virtual
        if now == self._end_s:
            return self._heap[0][0]
        return self._virtual + self.bandwidth.integral(self._since_s, now) / self._weights

    def predict_end_s(self, transfer: Transfer) -> float:
        """Return when `transfer` will be done if none joins and none is cancelled; see `Transfer`."""
        if self._heap and self._heap[0][2] is transfer:
            return self._end_s
        virtual, weights, start_s = self.virtual_now(), self._weights, self.env._now
        others = sorted(entry for entry in self._heap if _live(entry) and entry[2] is not transfer)
        if transfer._active:
            tag = transfer._tag
        else:  # in its latency: let the others have the channel until it joins
            lead = self.bandwidth.integral(start_s, transfer._join_s)
            start_s = transfer._join_s
            first = 0
            for tag, _, other in others:
                cost = (tag - virtual) * weights
                if cost > lead:
                    virtual += lead / weights
                    break
                lead -= cost
                virtual = tag
                weights -= other.weight
                first += 1
            others = others[first:]
            tag = virtual + transfer._work / transfer.weight
        # By then every other one has gained up to the same V, or all that it had left.
        gains = [(min(other_tag, tag) - virtual) * other.weight for other_tag, _, other in others]
        return self.bandwidth.time_for(start_s, fsum((*gains, (tag - virtual) * transfer.weight)))

    def remove(self, transfer: Transfer) -> None:
        """Take a transfer that has not ended off the channel; use `Transfer.cancel`."""
        now = self.env._now
        transfer._moved_bytes = transfer.progress_bytes()
        transfer.cancelled = True
        if transfer._active:
            self._advance(now)
            self._leave(transfer)
            self._moved_bytes += transfer._moved_bytes
            self._rearm()
        elif transfer._call is not None:
            transfer._call.cancel()
        transfer.ended_s = now
        if transfer._event is not None:
            transfer._event.succeed(transfer)

    def retag(self, transfer: Transfer, work: float) -> None:
        """Give a transfer that has not ended less work in all; use `Transfer.shorten`."""
        less_work = transfer._work - work
        transfer._work = work
        if not transfer._active:
            return
        self._advance(self.env._now)
        tag = transfer._tag - less_work / transfer.weight
        if tag < transfer._tag:  # else its entry would be there twice
            transfer._tag = tag
            self._joined += 1
            heappush(self._heap, (tag, self._joined, transfer))
            self._rearm()

    def _join(self, transfer: Transfer) -> None:
        """Let a transfer share the channel from now on."""
        self._advance(self.env._now)
        transfer._active = True
        transfer._tag = tag = self._virtual + transfer._work / transfer.weight
        self._joined += 1
        heappush(self._heap, (tag, self._joined, transfer))
        self._weights += transfer.weight
        self.active += 1
        self._rearm()

    def _leave(self, transfer: Transfer) -> None:
        """Take an active transfer's share away; `_rearm` must follow."""
        transfer._active = False
        self._weights -= transfer.weight
        self.active -= 1

    def _advance(self, now: float) -> None:
        """Bring V and the sums up to now."""
        since = self._since_s
        if now == since:
            return
        active = self.active
        if active:
            elapsed = now - since
            if now == self._end_s:
                self._virtual = self._heap[0][0]  # what it must be, whatever rounding would make of it
            else:
                work = elapsed * self._constant if self._constant else self.bandwidth.integral(since, now)
                self._virtual += work / self._weights
            self._busy_s += elapsed
            self._active_s += elapsed * active
            self._changes += 1
            if self._changes > 64 + 2 * active:
                self._recount()
        self._since_s = now

    def _recount(self) -> None:
        """Count V from 0 again and drop cancelled transfers, so that neither rounding nor garbage piles up.

        A channel that never empties would otherwise add ever smaller steps to an ever larger V.
        """
        virtual = self._virtual
        heap = []
        for entry in self._heap:
            if _live(entry):
                _, order, transfer = entry
                transfer._tag -= virtual
                heap.append((transfer._tag, order, transfer))
        heapify(heap)
        self._heap = heap
        self._weights = fsum(transfer.weight for _, _, transfer in heap)
        self._virtual = 0.0
        self._changes = 0

    def _rearm(self) -> None:
        """Compute when the next transfer is done, V being that of now, and see to being called no later."""
        heap = self._heap
        while heap and not _live(heap[0]):
            heappop(heap)
        call = self._call
        if not heap:
            self._virtual = self._weights = 0.0
            self._changes = 0
            self._end_s = inf
            if call is not None:
                call.cancel()
                self._call = None
            return
        tag, _, first = heap[0]
        if self.active == 1:
            self._weights = first.weight
        work = (tag - self._virtual) * self._weights
        if work <= 0.0:  # below: V has passed the tag by rounding
            end_s = self._since_s
        elif self._constant:
            end_s = self._since_s + work / self._constant
        else:
            end_s = self.bandwidth.time_for(self._since_s, work)
        self._end_s = end_s
        if call is None or end_s < self._call_s:
            if call is not None:
                call.cancel()
            self._call_s = end_s
            self._call = self.env.call_at(end_s, self._wake, TRANSFER_DONE)

    def _wake(self) -> None:
        """Finish the transfers that are done now; where others have delayed the first, come back for it."""
        end_s = self._end_s
        if self.env._now < end_s:
            self._call_s = end_s
            self._call = self.env.call_at(end_s, self._wake, TRANSFER_DONE)
            return
        self._call = None
        self._advance(end_s)
        heap = self._heap
        virtual = heap[0][0]
        finished = []
        while heap and heap[0][0] <= virtual:
            transfer = heappop(heap)[2]
            if transfer._active:
                self._leave(transfer)
                finished.append(transfer)
        self._rearm()
        self._finish(finished)

    def _finish(self, finished: list[Transfer]) -> None:
        """Mark transfers that end together, then tell whom it concerns, who may use the channel at once."""
        for transfer in finished:
            transfer.done = True
            transfer.ended_s = self.env._now
            transfer._moved_bytes = transfer.bytes
            self._moved_bytes += transfer.bytes
        for transfer in finished:
            if transfer._event is not None:
                transfer._event.succeed(transfer)
            if transfer.on_done is not None:
                transfer.on_done(transfer)
