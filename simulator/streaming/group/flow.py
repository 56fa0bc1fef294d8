"""The way of each chunk: to its downloader, to its processor, to all viewers; and back when a phone is lost.

A chunk is *unassigned*, *pending* (phones are to finish it), or finished: phones have the result, which goes to every
present viewer that lacks it. A chunk becomes unassigned again where nobody present can go on with it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from operator import attrgetter

from simulator.core import Environment
from simulator.policies.collaboration.protocol import EVERYONE, Assignment
from simulator.streaming.group.chunks import Chunk, Kind, Send, Task, as_set, members
from simulator.streaming.group.group import Group
from simulator.streaming.group.pipeline import Phone
from simulator.streaming.group.records import Happening, Records

_order = attrgetter("index")


class Flow:
    """Chunks among the phones of a session.

    Parameters
    ----------
    env, group, records
        Of the session.
    may_download_s
        When the buffers have room for a chunk.
    changed
        Called when something happened after which a decision may be due.
    delivered
        Called when viewers got a chunk.
    completed
        Called when all present viewers have a chunk for the first time.
    present_changed
        Called when other phones are present or able than before.
    """

    def __init__(
        self,
        env: Environment,
        group: Group,
        records: Records,
        may_download_s: Callable[[int], float],
        changed: Callable[[], None],
        delivered: Callable[[], None],
        completed: Callable[[Chunk], None],
        present_changed: Callable[[], None],
    ) -> None:
        self.env, self.group, self.records = env, group, records
        self.may_download_s = may_download_s
        self.stage_free = changed
        self._delivered, self._completed = delivered, completed
        self._present_changed = present_changed
        self.phones: Sequence[Phone] = ()
        self.chunks: list[Chunk] = []
        """All that an iteration has taken up, in the order of the video."""
        self.unassigned: list[Chunk] = []
        """Those that nobody has been given, rising."""

    def log(self, what: str, phone: str = "", chunk: int = -1) -> None:
        """Note what happened."""
        self.records.log.append(Happening(self.env._now, what, phone, chunk))

    def add(self, chunk: Chunk) -> None:
        """Take up the next chunk of the video."""
        self.chunks.append(chunk)
        self.unassigned.append(chunk)

    def under_way(self) -> bool:
        """Whether any phone works on anything."""
        return any(
            stage.current is not None or stage.queue for phone in self.phones for stage in phone.stages
        )

    # Forward

    def assign(self, chunk: Chunk, assignment: Assignment) -> None:
        """Give an unassigned chunk to its phones."""
        self.unassigned.remove(chunk)
        chunk.unassigned = False
        chunk.downloader, chunk.processor = assignment.downloader, assignment.processor
        chunk.assigned_s = self.env._now
        chunk.attempts += 1
        if assignment.processor == EVERYONE:
            present = [it for it in self.phones if it.present and it.can_process(chunk.combination)]
            watching = [phone for phone in present if phone.spec.helper is None]
            able = [phone.index for phone in watching or present]
        else:
            able = [assignment.processor]
        chunk.pending |= as_set(able)
        for index in able:
            self.phones[index].unfinished += 1
        downloader = self.phones[chunk.downloader]
        self.log("assign", downloader.name, chunk.index)
        if chunk.held_by >> chunk.downloader & 1:
            self._pass_on(chunk)
        else:
            downloader.download.put(chunk)
            downloader.start_download()

    def downloading(self, chunk: Chunk, phone: Phone) -> None:
        """A download has begun."""
        self.log("download", phone.name, chunk.index)

    def downloaded(self, chunk: Chunk, phone: Phone) -> None:
        """A download has ended."""
        chunk.held_by |= 1 << phone.index
        self.log("downloaded", phone.name, chunk.index)
        self._pass_on(chunk)

    def _pass_on(self, chunk: Chunk) -> None:
        """Bring a downloaded chunk to those who process it."""
        source = self.phones[chunk.downloader]
        if not chunk.combination.sr:
            chunk.tasks.append(Task(chunk, source.index))
            self._finished(chunk, source)
            return
        absent = members(chunk.pending & ~chunk.held_by)
        for index in members(chunk.pending & chunk.held_by):
            self.phones[index].process(chunk)
        if absent:
            kind = Kind.SPREAD if chunk.processor == EVERYONE else Kind.FORWARD
            source.send(Send(kind, chunk, chunk.bits, absent))

    def decoding(self, task: Task, phone: Phone) -> None:
        """Work on a chunk has begun."""
        self.log("process", phone.name, task.index)

    def processed(self, task: Task, phone: Phone) -> None:
        """Work on a chunk has ended."""
        self.log("processed", phone.name, task.index)
        task.chunk.tasks.append(task)
        self._finished(task.chunk, phone)

    def sent(self, send: Send, phone: Phone) -> None:
        """A transmission has ended."""
        chunk = send.chunk
        if send.kind is Kind.RESULT:
            for index in send.receivers:
                chunk.sending &= ~(1 << index)
                chunk.results |= 1 << index
                self._deliver(chunk, self.phones[index])
            self._settle(chunk)
            self._delivered()
            return
        chunk.forward_end_s = self.env._now
        for index in send.receivers:
            chunk.held_by |= 1 << index
            self.log("forwarded", self.phones[index].name, chunk.index)
            if chunk.pending >> index & 1:  # else it has become too hot
                self.phones[index].process(chunk)

    def _finished(self, chunk: Chunk, phone: Phone) -> None:
        chunk.pending &= ~(1 << phone.index)
        phone.unfinished -= 1
        chunk.results |= 1 << phone.index
        self._deliver(chunk, phone)
        self._settle(chunk)
        self._delivered()

    def _deliver(self, chunk: Chunk, phone: Phone) -> None:
        viewer = phone.viewer
        if viewer is not None and not viewer.holds(chunk.index):
            viewer.deliver(chunk.index, self.env._now)

    def _settle(self, chunk: Chunk) -> None:
        """See that every present viewer has a chunk or is about to get it."""
        if not chunk.attempts or (chunk.pending and chunk.processor != EVERYONE):
            return
        coming = chunk.pending | chunk.sending
        missing = [
            phone.index
            for phone in self.phones
            if phone.present
            and phone.viewer is not None
            and not phone.viewer.holds(chunk.index)
            and not coming >> phone.index & 1
        ]
        source = self._source(chunk) if missing or chunk.unassigned else None
        if source is not None and chunk.unassigned:  # a phone that had been away brings the result back
            self.unassigned.remove(chunk)
            chunk.unassigned = False
            self.log("restore", source.name, chunk.index)
        if not missing:
            if not (chunk.pending or chunk.sending or chunk.complete or chunk.unassigned):
                self._complete(chunk)
        elif source is not None:
            chunk.sending |= as_set(missing)
            source.send(Send(Kind.RESULT, chunk, self._result_bits(chunk), missing))
        elif not chunk.pending and not chunk.unassigned:
            self._reopen(chunk)

    def _source(self, chunk: Chunk) -> Phone | None:
        """Return who sends a finished chunk: who made it, else the controller, else the first that has it."""
        having = [phone for phone in self.phones if phone.present and chunk.results >> phone.index & 1]
        return min(
            having,
            key=lambda phone: (phone.index != chunk.processor, not phone.controller, phone.index),
            default=None,
        )

    def _result_bits(self, chunk: Chunk) -> float:
        combination = chunk.combination
        return combination.output_bps * self.group.video.segment_s if combination.sr else chunk.bits

    def _complete(self, chunk: Chunk) -> None:
        chunk.complete = True
        now_s = self.env._now
        self.log("complete", "", chunk.index)
        combination = chunk.combination
        for task in chunk.tasks:
            self.records.chunks.append(
                chunk.index,
                chunk.iteration.index,
                combination.name,
                combination.level,
                combination.quality_bps,
                chunk.bits,
                self.phones[chunk.downloader].name,
                self.phones[task.phone].name,
                chunk.attempts,
                chunk.assigned_s,
                chunk.download_start_s,
                chunk.download_end_s,
                chunk.forward_end_s,
                task.decode_start_s,
                task.decode_end_s,
                task.sr_start_s,
                task.sr_end_s,
                task.encode_start_s,
                task.encode_end_s,
                now_s,
            )
        chunk.tasks.clear()
        if not chunk.counted:
            chunk.counted = True
            self._completed(chunk)

    # Back

    def _reopen(self, chunk: Chunk) -> None:
        """Take a chunk from everybody, for a new assignment; downloaded copies stay where they are."""
        for index in members(chunk.pending):
            self.phones[index].unfinished -= 1
        chunk.pending = 0
        for phone in self.phones:
            phone.drop_download(chunk)
            phone.drop_work(chunk)
            for send in [send for send in phone.transmit.items() if send.chunk is chunk]:
                phone.drop_send(send)
        chunk.sending = 0
        chunk.complete = False
        chunk.unassigned = True
        chunk.forward_end_s = float("nan")
        self.log("reassign", "", chunk.index)
        insort(self.unassigned, chunk, key=_order)

    def _give_up(self, chunk: Chunk, phone: Phone) -> None:
        """Let a phone not finish a chunk that it was to finish."""
        if chunk.processor != EVERYONE:
            self._reopen(chunk)
            return
        chunk.pending &= ~(1 << phone.index)
        phone.unfinished -= 1
        phone.drop_work(chunk)

    def yields(self, phone: Phone) -> bool:
        """Take back downloads that wait for room in the buffers, where that takes a chunk before them.

        Such a chunk has come back from somebody. Were these to go on waiting, the phone might be too busy to be given
        it, and both would wait for ever.
        """
        back = next((chunk.index for chunk in self.unassigned if chunk.attempts), None)
        waiting = [] if back is None else [chunk for chunk in phone.download.queue if chunk.index > back]
        if not waiting or any(chunk.assigned_s == self.env._now for chunk in waiting):
            return False  # nothing to yield to, or the policy knows
        for chunk in waiting:
            self._reopen(chunk)
        self.stage_free()
        return True

    def change(self, gone: Sequence[Phone]) -> None:
        """Go on with the phones that are present now; take back what those that have `gone` were to do."""
        for phone in gone:
            self._lose(phone)
        self._refresh()

    def _lose(self, phone: Phone) -> None:
        index = phone.index
        for sender in self.phones:
            for send in [send for send in sender.transmit.items() if index in send.receivers]:
                sender.drop_receiver(send, index)
                if send.kind is Kind.RESULT:
                    send.chunk.sending &= ~(1 << index)
        for chunk in phone.download.items():
            self._reopen(chunk)
        while len(phone.transmit):
            send = phone.transmit.items()[0]
            phone.drop_send(send)
            if send.kind is Kind.RESULT:
                send.chunk.sending &= ~as_set(send.receivers)
            elif send.chunk.pending:  # its processors wait for it in vain
                self._reopen(send.chunk)
        for chunk in self.chunks:
            if chunk.pending >> index & 1:
                self._give_up(chunk, phone)
            if not phone.alive:
                chunk.held_by &= ~(1 << index)
                chunk.results &= ~(1 << index)

    def too_hot(self, phone: Phone) -> None:
        """Take back the chunks that a phone has yet to super-resolve."""
        for chunk in self.chunks:
            if (
                chunk.pending >> phone.index & 1
                and chunk.combination.sr
                and not phone.has_super_resolved(chunk)
            ):
                self._give_up(chunk, phone)
        self._refresh()

    def _refresh(self) -> None:
        """Settle every chunk, and set idle stages to work: others are present or able now."""
        present = [phone for phone in self.phones if phone.present]
        if present:  # else nothing is known of who will be
            for chunk in self.chunks:
                self._settle(chunk)
        for phone in present:
            phone.start()
        self._present_changed()
