"""A phone at work: five stages side by side, each with a queue of its own.

Download, decode, SR, encode and transmit run at the same time on different chunks. Decode, SR and encode also overlap
on one chunk, frame by frame: SR starts with the first decoded frame, and the last frame is encoded one frame's time
after its SR. So a chunk passes them in little more than the time of the slowest one. With ``pipelined=False`` a phone
does one thing at a time.
"""

from __future__ import annotations

from math import inf, ulp
from typing import TYPE_CHECKING, Protocol

from simulator.core import Call, Environment, Transfer, WorkQueue
from simulator.streaming.group.chunks import Chunk, Send, Task
from simulator.streaming.group.downlink import Downlink
from simulator.streaming.group.energy import Component
from simulator.streaming.group.phone_state import PhoneState
from simulator.streaming.group.phones import GroupPhone
from simulator.streaming.group.relay import Relay
from simulator.streaming.group.thermal import Heat

if TYPE_CHECKING:
    from simulator.streaming.group.group import Group
    from simulator.streaming.group.wlan import Wlan


class Outcome(Protocol):
    """Where a phone reports what it has done, and asks when it may download."""

    def may_download_s(self, chunk: int) -> float:
        """Return from when on the buffers have room for a chunk; infinity where that is not known yet."""
        ...

    def yields(self, phone: Phone) -> bool:
        """Take back downloads that wait for room in the buffers, where that takes a chunk before them."""
        ...

    def downloading(self, chunk: Chunk, phone: Phone) -> None:
        """A download has begun."""
        ...

    def downloaded(self, chunk: Chunk, phone: Phone) -> None:
        """A download has ended."""
        ...

    def decoding(self, task: Task, phone: Phone) -> None:
        """Work on a chunk has begun."""
        ...

    def processed(self, task: Task, phone: Phone) -> None:
        """Work on a chunk has ended."""
        ...

    def sent(self, send: Send, phone: Phone) -> None:
        """A transmission has ended."""
        ...

    def stage_free(self) -> None:
        """A stage has ended its work."""
        ...


class Phone(PhoneState):
    """A phone that works.

    Parameters
    ----------
    env, index, spec, group, wlan
        As for `PhoneState`.
    downlink
        Where its downloads come from; None: it has no WWAN.
    processor
        What does its SR, of whole chunks; None: it does that itself, frame by frame.
    outcome
        Whom it reports to.
    """

    def __init__(
        self,
        env: Environment,
        index: int,
        spec: GroupPhone,
        group: Group,
        wlan: Wlan,
        downlink: Downlink | None,
        processor: WorkQueue | None,
        outcome: Outcome,
    ) -> None:
        super().__init__(env, index, spec, group, wlan)
        self._downlink, self.processor, self._outcome = downlink, processor, outcome
        self._side_by_side = group.pipelined or processor is not None
        self._frame_by_frame = group.pipelined and processor is None
        self.gated = False
        """Whether a download waits for room in the buffers, and it takes a delivery to know when there will be."""
        self._gate: Call | None = None
        power = spec.power
        self._decode_w = power.decode_w / spec.decode_s_per_s
        self._codec_j = (power.decode_w + power.encode_w) * group.video.segment_s
        self._encode_w = self._sr_w = 0.0

    def process(self, chunk: Chunk) -> None:
        """Take a chunk that is here into decoding, SR and encoding."""
        self.decode.put(Task(chunk, self.index))
        self.start_decode()

    def _blocked(self) -> bool:
        """Whether a phone that does one thing at a time does one."""
        return not self._side_by_side and any(stage.current is not None for stage in self.stages)

    def start(self) -> None:
        """Set to work whatever can, what is nearest to the end first."""
        if self.transmit.queue:
            self.start_transmit()
        if self.encode.queue:
            self.start_encode()
        if self.sr.queue:
            self.start_sr()
        if self.decode.queue:
            self.start_decode()
        if self.download.queue:
            self.start_download()

    def start_download(self) -> None:
        """Begin the first download that waits, if the stage is free and the buffers have room."""
        server = self.download
        if server.current is not None or not server.queue or self._blocked():
            return
        now_s = self.env._now
        allowed_s = self._outcome.may_download_s(server.queue[0].index)
        if allowed_s == inf and self._outcome.yields(self):
            return
        self.gated = allowed_s == inf
        if self._gate is not None:
            self._gate.cancel()
            self._gate = None
        if allowed_s > now_s:
            if not self.gated:
                self._gate = self.env.call_at(allowed_s, self.start_download)
            return
        chunk = server.current = server.queue.pop(0)
        downlink = self._downlink
        assert downlink is not None
        chunk.download_start_s = now_s
        server.call = downlink.begin(chunk.bits, self._downloaded)
        self.meter.cellular_on(now_s)
        self._outcome.downloading(chunk, self)

    def _downloaded(self) -> None:
        server, now_s = self.download, self.env._now
        chunk, server.current = server.current, None
        assert chunk is not None
        assert self._downlink is not None
        chunk.download_end_s = now_s
        self.meter.cellular_off(now_s, chunk.bits / 8.0)
        start_s, first_s = chunk.download_start_s, self._downlink.first_byte_s
        # over an enormous bandwidth it may end in the instant in which it began
        self._wwan_bps.add(chunk.bits / max(now_s - first_s, ulp(now_s)))
        self._latency_s.add(first_s - start_s)
        iteration, index = chunk.iteration, self.index
        iteration.downloads[index] += 1
        iteration.downloaded_bits[index] += chunk.bits
        iteration.latency_s[index] += first_s - start_s
        iteration.download_s[index] += now_s - first_s
        self._outcome.downloaded(chunk, self)
        self._freed()

    def start_decode(self) -> None:
        """Begin to decode; SR can begin with the first frame."""
        server = self.decode
        if server.current is not None or not server.queue or self._blocked():
            return
        task = server.current = server.queue.pop(0)
        task.decode_start_s = now_s = self.env._now
        task.decode_end_s = server.ends_s = now_s + self._decode_s
        server.call = self.env.call_at(server.ends_s, self._decoded)
        self.meter.switch(now_s, Component.DECODE, self._decode_w)
        self._outcome.decoding(task, self)
        if self._frame_by_frame:
            task.ready_s = now_s + self._decode_s / self._frames
            self.sr.put(task)
            self.start_sr()

    def _decoded(self) -> None:
        task, self.decode.current = self.decode.current, None
        assert task is not None
        self.meter.switch(self.env._now, Component.DECODE, -self._decode_w)
        if not self._frame_by_frame:
            task.ready_s = self.env._now
            self.sr.put(task)
        self._freed()

    def start_sr(self) -> None:
        """Begin SR; encoding can begin with the first frame."""
        server = self.sr
        if server.current is not None or not server.queue or self._blocked():
            return
        task = server.current = server.queue.pop(0)
        now_s = self.env._now
        cool_s = self._sr_s[task.chunk.combination.name]
        if self.processor is not None:
            task.sr_start_s = now_s
            server.ends_s = now_s + cool_s / self._sr_ratio.mean  # as far as that is known
            assert self.spec.helper is not None
            power_w = self.spec.helper.sr_w[task.chunk.combination.name]
            server.call = self.processor.run(cool_s, power_w, self._super_resolved)
            return
        slow = self.sr_speed * (self.spec.thermal.throttled_share if self.heat is Heat.THROTTLED else 1.0)
        frame_s = cool_s / slow / self._frames
        task.sr_start_s = max(now_s, task.ready_s)
        task.sr_end_s = max(task.sr_start_s + cool_s / slow, task.decode_end_s + frame_s)
        server.ends_s = task.sr_end_s
        server.call = self.env.call_at(task.sr_end_s, self._super_resolved)
        # A throttled phone takes longer at less power: the energy of a frame is taken to be the same.
        energy_j = max(self.spec.power.sr_w * cool_s - self._codec_j, 0.0)
        self._sr_w = energy_j / (task.sr_end_s - now_s)
        self.meter.switch(now_s, Component.SR, self._sr_w)
        if self._frame_by_frame:
            task.ready_s = task.sr_start_s + frame_s
            self.encode.put(task)
            self.start_encode()

    def _super_resolved(self) -> None:
        task, self.sr.current = self.sr.current, None
        assert task is not None
        self.meter.switch(self.env._now, Component.SR, -self._sr_w)
        if self.processor is not None:
            task.sr_end_s = self.env._now
        took_s = task.sr_end_s - task.sr_start_s
        self._sr_ratio.add(self._sr_s[task.chunk.combination.name] / took_s)
        task.chunk.iteration.processed[self.index] += 1
        task.chunk.iteration.sr_s[self.index] += took_s
        if not self._frame_by_frame:
            task.ready_s = self.env._now
            self.encode.put(task)
        self._freed()

    def start_encode(self) -> None:
        """Begin to encode."""
        server = self.encode
        if server.current is not None or not server.queue or self._blocked():
            return
        task = server.current = server.queue.pop(0)
        now_s = self.env._now
        task.encode_start_s = max(now_s, task.ready_s)
        end_s = max(task.encode_start_s + self._encode_s, task.sr_end_s + self._encode_s / self._frames)
        if not self._frame_by_frame:
            end_s = now_s + self._encode_s
        task.encode_end_s = server.ends_s = end_s
        server.call = self.env.call_at(end_s, self._encoded)
        self._encode_w = self.spec.power.encode_w * self._group.video.segment_s / (end_s - now_s)
        self.meter.switch(now_s, Component.ENCODE, self._encode_w)

    def _encoded(self) -> None:
        task, self.encode.current = self.encode.current, None
        assert task is not None
        self.meter.switch(self.env._now, Component.ENCODE, -self._encode_w)
        self._outcome.processed(task, self)
        self._freed()

    def send(self, send: Send) -> None:
        """Queue a transmission."""
        self.transmit.put(send)
        self.start_transmit()

    def start_transmit(self) -> None:
        """Begin the first transmission that waits."""
        server = self.transmit
        if server.current is not None or not server.queue or self._blocked():
            return
        send = server.current = server.queue.pop(0)
        remote = self.wlan.remote
        if remote and (self.index in remote or any(index in remote for index in send.receivers)):
            server.ends_s = self.env._now + self.air_s(send)
            server.call = send.relay = relay = Relay(self.peers, self.wlan, self.index, send, self._sent)
            send.air_s = relay.air_s
            return
        send.air_s = self.air_s(send)
        server.ends_s = self.env._now + self.wlan.profile.latency_s + send.air_s
        server.call = self.wlan.send(send.air_s, self._sent)

    def _sent(self, _transfer: Transfer) -> None:
        send, self.transmit.current = self.transmit.current, None
        assert send is not None
        now_s = self.env._now
        if send.relay is not None:
            send.relay.book(now_s)
        else:
            self.meter.wlan(now_s, send.air_s, sends=True)
            for receiver in send.receivers:
                self.peers[receiver].meter.wlan(now_s, send.air_s, sends=False)
        send.chunk.iteration.sent_bits[self.index] += send.bits
        send.chunk.iteration.air_s[self.index] += send.air_s
        self._outcome.sent(send, self)
        self._freed()

    def _freed(self) -> None:
        self.start()
        self._outcome.stage_free()

    # Giving up

    def stop(self) -> None:
        """Leave all work unfinished and plan nothing more."""
        if self._gate is not None:
            self._gate.cancel()
        for stage in self.stages:
            stage.stop()

    def drop_download(self, chunk: Chunk) -> None:
        """Give up the download of a chunk."""
        now_s = self.env._now
        if self.download.current is chunk:
            assert self._downlink is not None
            self.download.stop()
            self.meter.cellular_off(now_s, self._downlink.arrived_bytes())
        elif chunk in self.download.queue:
            self.download.queue.remove(chunk)

    def has_super_resolved(self, chunk: Chunk) -> bool:
        """Whether the SR of a chunk is over, and only its encoding is not."""
        return any(task.chunk is chunk and task.sr_end_s <= self.env._now for task in self.encode.items())

    def drop_work(self, chunk: Chunk) -> None:
        """Give up decoding, SR and encoding of a chunk."""
        now_s = self.env._now
        for server, component, watts in (
            (self.decode, Component.DECODE, self._decode_w),
            (self.sr, Component.SR, self._sr_w),
            (self.encode, Component.ENCODE, self._encode_w),
        ):
            if server.current is not None and server.current.chunk is chunk:
                server.stop()
                self.meter.switch(now_s, component, -watts)
            server.queue = [task for task in server.queue if task.chunk is not chunk]

    def drop_receiver(self, send: Send, receiver: int) -> None:
        """Have a phone not receive a transmission any longer; without receivers it is given up."""
        if self.transmit.current is send and send.relay is not None:
            send.relay.drop(receiver, self.env._now)
        elif self.transmit.current is send:
            self.peers[receiver].meter.wlan(self.env._now, self._sent_s(), sends=False)
        send.receivers.remove(receiver)
        if not send.receivers:
            self.drop_send(send)

    def drop_send(self, send: Send) -> None:
        """Give up a transmission."""
        if self.transmit.current is not send:
            self.transmit.queue.remove(send)
            return
        now_s = self.env._now
        if send.relay is not None:
            self.transmit.stop()
            send.relay.book(now_s)
            return
        air_s = self._sent_s()
        self.transmit.stop()
        self.meter.wlan(now_s, air_s, sends=True)
        for receiver in send.receivers:
            self.peers[receiver].meter.wlan(now_s, air_s, sends=False)

    def _sent_s(self) -> float:
        """Return the air time that the transmission under way has had."""
        transfer = self.transmit.call
        assert isinstance(transfer, Transfer)
        return transfer.progress_bytes()
