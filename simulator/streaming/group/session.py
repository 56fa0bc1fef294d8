"""A session of a group: iterations, decisions, pacing, and the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, inf

from simulator.core import STEP_START, Call, Environment
from simulator.policies.collaboration.abr_halves import AbrHalf
from simulator.policies.collaboration.protocol import Collaboration, Combination, Decision, IterationReport
from simulator.streaming.group.chunks import Chunk, Iteration
from simulator.streaming.group.decisions import checked_assignments, checked_decision
from simulator.streaming.group.downlink import Downlink, LinkDownloads, OwnNetwork
from simulator.streaming.group.flow import Flow
from simulator.streaming.group.group import Group
from simulator.streaming.group.pipeline import Phone
from simulator.streaming.group.presence import Presence
from simulator.streaming.group.records import Records
from simulator.streaming.group.shared import Shared, SharedLink
from simulator.streaming.group.ticks import Ticks
from simulator.streaming.group.viewer import Viewer
from simulator.streaming.group.wlan import Wlan
from simulator.streaming.network_trace import NetworkTrace

_SLACK_S = 1e-9
"""A buffer that has room but for rounding has room."""


class Session:
    """One session, which begins now. It is the policy's `GroupView`.

    Parameters
    ----------
    env
        The clock, which others may use too.
    group
        Phones and video, with times of that clock (`Group.starting_at`).
    shared
        What is there besides.
    half
        Whose ABR half decides.
    policy
        Whose scheduling half does.
    records
        Where it writes.
    on_end
        Called with the session when it has ended; it has nothing planned then.
    """

    def __init__(
        self,
        env: Environment,
        group: Group,
        shared: Shared,
        half: AbrHalf,
        policy: Collaboration,
        records: Records,
        on_end: Callable[[Session], None],
    ) -> None:
        self.env, self.group, self.records = env, group, records
        self._half, self._policy, self._on_end = half, policy, on_end
        self._abr, self._scheduler = half.abr(), policy.scheduler()
        video = group.video
        self.segment_s, self.chunks, self.buffer_cap_s = video.segment_s, video.segments, group.buffer_cap_s
        self.plain = group.plain
        self.next_chunk = 0
        self.reports: list[IterationReport] = []
        self.wlan = Wlan(
            env,
            group.wlan,
            [phone.position_m for phone in group.phones],
            group.controller,
            {
                index: shared.links[it.helper.access.name]
                for index, it in enumerate(group.phones)
                if it.helper is not None and it.helper.access is not None
            },
            [phone.wwan is not None for phone in group.phones],
        )
        self._flow = Flow(
            env,
            group,
            records,
            self._may_download_s,
            self._changed,
            self._on_delivered,
            self._on_complete,
            self._on_present_changed,
        )
        self.phones: list[Phone] = [
            Phone(
                env,
                index,
                spec,
                group,
                self.wlan,
                _downlink(env, spec.wwan, shared),
                None if spec.helper is None else shared.processors[spec.helper.gpu][spec.helper.unit],
                self._flow,
            )
            for index, spec in enumerate(group.phones)
        ]
        for phone in self.phones:
            phone.peers = self.phones
        self._flow.phones = self.phones
        self._presence = Presence(env, group, self._flow, self.wlan, self._new_viewer, self._on_removed)
        self._ticks = Ticks(env, group, self.phones, self._presence, records, self._check_end)
        self._open = 0  # iterations that have not ended
        self._iterations = 0
        self._reported_stalls_s = [0.0] * len(self.phones)
        self._due: Call | None = None
        self._gate: Call | None = None
        self._held: Decision | None = None  # what was decided, but is to wait
        self._held_until_s = 0.0
        self._end: Call | None = None
        self._close: Call | None = None
        self._limit_s = env._now + group.longest_s
        self.end_s = inf
        """When it ended."""

    def begin(self) -> None:
        """Bring in who is there from the start, and begin."""
        self._presence.begin()
        self._ticks.begin()
        self._changed()

    def stop(self) -> None:
        """Give it up now, if it has not ended: the simulation is over."""
        if self._close is None:
            self._finish()
        if self._close is not None and self._close.pending:
            self._close.cancel()
            self._leave()

    # What a policy sees

    @property
    def now_s(self) -> float:
        """What the clock shows."""
        return self.env._now

    @property
    def combinations(self) -> Sequence[Combination]:
        """Combinations that a present phone can run."""
        return [
            combination
            for combination in self.group.combinations
            if any(phone.present and phone.can_process(combination) for phone in self.phones)
        ]

    @property
    def buffer_s(self) -> float:
        """Least buffer of the present viewers."""
        present = [phone for phone in self.phones if phone.present and phone.viewer is not None]
        return min([phone.buffer_s for phone in present], default=0.0)

    def chunk_bits(self, chunk: int, combination: Combination) -> float:
        """Size of a chunk as downloaded."""
        return self.group.video.sizes_bits[chunk][combination.level]

    def wlan_bps(self, sender: int, receiver: int) -> float:
        """Rate of a link with the air to itself."""
        return self.wlan.rate_bps(sender, receiver)

    # Pacing

    def _may_download_s(self, chunk: int) -> float:
        """Return from when on a chunk may be downloaded; infinity: not known yet.

        The buffer of the present viewer who has played most must have room for it. One who has been away or stalled
        may thus hold more than the cap: to wait for that one would make all others stall.
        """
        now_s = self.env._now
        position_s = (chunk + 1) * self.segment_s - self.buffer_cap_s
        if position_s <= 0.0:
            return now_s
        at_s = inf
        for phone in self.phones:
            if phone.present and phone.viewer is not None:
                at_s = min(at_s, phone.viewer.reaches_s(position_s, now_s))
        return at_s if at_s > now_s + _SLACK_S else now_s

    def _new_viewer(self, phone: Phone) -> Viewer:
        """Return the viewer of a phone that comes now: it watches what the others do."""
        now_s = self.env._now
        positions_s = [
            other.viewer.position_s(now_s)
            for other in self.phones
            if other.viewer is not None and other.present
        ]
        first = min(ceil(max(positions_s, default=0.0) / self.segment_s), self.chunks)
        return Viewer(
            phone.name,
            first,
            self.chunks,
            self.segment_s,
            self.group.startup_chunks,
            now_s,
            self.records.viewing,
        )

    # Decisions

    def _changed(self) -> None:
        """Have the decisions looked at once, when all of this instant has happened."""
        if self._due is None and (self._flow.unassigned or self._may_begin()):
            self._due = self.env.call_at(self.env._now, self._decide, STEP_START)

    def _may_begin(self) -> bool:
        """Whether a next iteration is in order, apart from the buffers."""
        if self.next_chunk >= self.chunks or (self._gate is not None and self._gate.pending):
            return False
        if self._scheduler.waits_for_iteration:
            return not self._open and any(phone.present for phone in self.phones)
        return any(phone.present and phone.has_wwan and not len(phone.download) for phone in self.phones)

    def _decide(self) -> None:
        self._due = None
        unassigned = self._flow.unassigned
        while True:
            if unassigned:
                self._assign()
            if unassigned or not self._begin_iteration():
                return

    def _begin_iteration(self) -> bool:
        """Begin the next iteration, if it is in order and the buffers have room for its first chunk."""
        if not self._may_begin():
            return False
        now_s = self.env._now
        first = self.next_chunk
        allowed_s = self._may_download_s(first) if self._held is None else self._held_until_s
        if allowed_s > now_s:
            if allowed_s < inf:
                self._gate = self.env.call_at(allowed_s, self._changed)
            return False
        plain_first = self.group.plain_first
        decision, self._held = self._held, None
        if first < plain_first:
            decision = Decision(self.plain[0], plain_first - first)
        elif decision is None:
            decision = checked_decision(self._abr, self, self._half)
            if decision.wait_s:
                self._held, self._held_until_s = decision, now_s + decision.wait_s
                self._gate = self.env.call_at(self._held_until_s, self._changed)
                return False
        combination, chunks = decision.combination, min(decision.chunks, self.chunks - first)
        iteration = Iteration(
            self._iterations, combination, first, chunks, now_s, len(self.phones), first >= plain_first
        )
        self._iterations += 1
        self._open += 1
        self.next_chunk += chunks
        self._flow.log("iteration", "", first)
        for index in range(first, first + chunks):
            self._flow.add(Chunk(index, iteration, self.chunk_bits(index, combination), self.phones))
        return True

    def _assign(self) -> None:
        """Ask the scheduler until it gives none."""
        flow = self._flow
        self._give_up_sr()
        while flow.unassigned:
            pairs = checked_assignments(self._scheduler, self, flow.unassigned, flow.under_way, self._policy)
            if not pairs:
                return
            for chunk, assignment in pairs:
                flow.assign(chunk, assignment)

    def _give_up_sr(self) -> None:
        """Take unassigned chunks without SR where no present phone can do it."""
        present = [phone for phone in self.phones if phone.present]
        if not present:
            return
        known, able = None, True
        for chunk in self._flow.unassigned:
            combination = chunk.combination
            if combination is not known:
                known = combination
                able = not combination.sr or any(phone.can_process(combination) for phone in present)
            if not able:
                chunk.combination = self.plain[combination.level]
                self._flow.log("plain", "", chunk.index)

    def _on_delivered(self) -> None:
        for phone in self.phones:
            if phone.gated:
                phone.start_download()
        self._changed()
        if self.next_chunk == self.chunks:
            self._check_end()

    def _on_removed(self, phone: Phone) -> None:
        self._ticks.last(phone)

    def _on_present_changed(self) -> None:
        if self._gate is not None and self._held is None:
            self._gate.cancel()  # the buffers that count are others
        self._changed()

    def _on_complete(self, chunk: Chunk) -> None:
        iteration = chunk.iteration
        iteration.open -= 1
        if iteration.open:
            return
        self._open -= 1
        report = self._report(iteration)
        self.reports.append(report)
        if iteration.decided:
            self._abr.observe(report)
        self._changed()

    def _report(self, iteration: Iteration) -> IterationReport:
        now_s = self.env._now
        stall_s, buffer_s, before_s = 0.0, inf, self._reported_stalls_s
        for phone in self.phones:
            viewer, index = phone.viewer, phone.index
            if viewer is not None:
                stalled_s = viewer.stalled_s(now_s)
                if phone.present:
                    stall_s = max(stall_s, stalled_s - before_s[index])
                    buffer_s = min(buffer_s, viewer.buffer_s(now_s))
                before_s[index] = stalled_s
        return IterationReport(
            iteration.index,
            iteration.combination,
            iteration.first_chunk,
            iteration.chunks,
            iteration.start_s,
            now_s,
            stall_s,
            buffer_s if buffer_s < inf else 0.0,
            _rates(iteration.downloaded_bits, iteration.download_s),
            _rates(iteration.latency_s, iteration.downloads),
            _rates(iteration.sent_bits, iteration.air_s),
            _rates(iteration.processed, iteration.sr_s),
        )

    # The end

    def _check_end(self) -> None:
        """End where every viewer has played all, where nothing can go on, or where it takes too long."""
        now_s = self.env._now
        watching = [phone.viewer for phone in self.phones if phone.alive and phone.viewer is not None]
        ends_s = max([viewer.ends_s for viewer in watching], default=now_s)
        if self._due is None and not (self._flow.under_way() or self._presence.awaits_change):
            ended = ends_s <= now_s  # nothing is to be played, and nothing will come
        else:
            ended = now_s >= self._limit_s
        if (
            watching
            and self.next_chunk == self.chunks
            and all(viewer.ready == self.chunks for viewer in watching)
        ):
            ended = ends_s <= now_s
            if not ended and self._end is None:
                self._end = self.env.call_at(ends_s, self._look_again)
        if ended and self._close is None:
            self._finish()

    def _look_again(self) -> None:
        self._end = None
        self._check_end()

    def _finish(self) -> None:
        """Have nobody watch any longer, and close when what was to happen at this instant has happened."""
        self.end_s = now_s = self.env._now
        self._ticks.end()
        for phone in self.phones:
            viewer = phone.viewer
            if phone.alive and viewer is not None and viewer.stopped_s is None:
                viewer.stop(now_s)
        self._close = self.env.call_at(now_s, self._leave)

    def _leave(self) -> None:
        """Take back all that is planned: the clock goes on for others."""
        for call in (self._due, self._gate, self._end):
            if call is not None:
                call.cancel()
        self._presence.end()
        for phone in self.phones:
            phone.stop()
        self._on_end(self)


def _downlink(env: Environment, wwan: NetworkTrace | SharedLink | None, shared: Shared) -> Downlink | None:
    if isinstance(wwan, SharedLink):
        return LinkDownloads(shared.links[wwan.name][0])
    return None if wwan is None else OwnNetwork(env, wwan)


def _rates(amounts: Sequence[float], times_s: Sequence[float]) -> tuple[float, ...]:
    return tuple(
        [amount / time_s if time_s > 0.0 else 0.0 for amount, time_s in zip(amounts, times_s, strict=True)]
    )
