"""What happens at every interval: energy is booked, heat and battery are looked at, a row is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.core import Call, Environment
from simulator.streaming.group.energy import Component
from simulator.streaming.group.group import Group
from simulator.streaming.group.pipeline import Phone
from simulator.streaming.group.presence import Presence
from simulator.streaming.group.records import Records


class Ticks:
    """The slow things of a session.

    A phone looks at its temperature about once a second, so thresholds are found at ticks. So is an empty battery: the
    phone dies at the first tick at which it has drawn all, and what it drew until then is counted.
    """

    def __init__(
        self,
        env: Environment,
        group: Group,
        phones: Sequence[Phone],
        presence: Presence,
        records: Records,
        check_end: Callable[[], None],
    ) -> None:
        self._env, self._group, self._presence = env, group, presence
        self._phones = [phone for phone in phones if phone.spec.helper is None]
        self._records, self._check_end = records, check_end
        self._last_s = [phone.spec.joins_s for phone in phones]
        self._last_j = [0.0] * len(phones)
        self._played_s = [0.0] * len(phones)
        self._full_j = [phone.spec.battery_share * phone.spec.battery_j for phone in phones]
        self._call: Call | None = None
        self._ended = False

    def begin(self) -> None:
        """Start."""
        self._call = self._env.call_at(self._env._now + self._group.tick_s, self._tick)

    def end(self) -> None:
        """Book what is left and stop."""
        if self._call is not None:
            self._call.cancel()
        self._ended = True
        self._book_all(None)

    def _tick(self) -> None:
        self._call = self._env.call_at(self._env._now + self._group.tick_s, self._tick)
        spent_j: list[float] | None = [0.0] * len(self._full_j)
        for phone in self._phones:
            if phone.alive and phone.joined:
                phone_j = self._spent_j(phone)
                if phone_j >= self._full_j[phone.index]:
                    self._presence.remove(phone, "die")
                    spent_j = None  # it may have cost others something
                elif spent_j is not None:
                    spent_j[phone.index] = phone_j
        self._book_all(spent_j)
        self._check_end()
        if not self._ended:
            self._heat()

    def _book_all(self, spent_j: list[float] | None) -> None:
        """Book what all phones have drawn by now, where it is not known yet."""
        for phone in self._phones:
            if phone.alive and phone.joined:
                self._book(phone, self._spent_j(phone) if spent_j is None else spent_j[phone.index])

    def _heat(self) -> None:
        for phone in self._phones:
            if phone.alive and phone.joined:
                heat = phone.spec.thermal.state(phone.temperature_c, phone.heat)
                if heat is not phone.heat:
                    self._presence.heat(phone, heat)

    def last(self, phone: Phone) -> None:
        """Book what a phone that leaves or dies has drawn since it was last looked at, and switch it off."""
        if phone.joined and phone.spec.helper is None:
            self._book(phone, self._spent_j(phone))
            phone.meter.end(self._env._now)

    def _spent_j(self, phone: Phone) -> float:
        """Return all that a phone has drawn by now, decoding of what its viewer has seen included."""
        now_s, index, meter = self._env._now, phone.index, phone.meter
        meter.accrue(now_s)
        if phone.viewer is not None:
            played_s = phone.viewer.played_s(now_s)
            if played_s != self._played_s[index]:
                meter.spend(Component.DECODE, phone.spec.power.decode_w * (played_s - self._played_s[index]))
                self._played_s[index] = played_s
        return meter.total_j

    def _book(self, phone: Phone, total_j: float) -> None:
        """Bring the temperature up to now and write a row."""
        now_s, index = self._env._now, phone.index
        interval_s = now_s - self._last_s[index]
        if interval_s <= 0.0:
            return
        self._last_s[index] = now_s
        power_w = (total_j - self._last_j[index]) / interval_s
        self._last_j[index] = total_j
        phone.temperature_c = phone.spec.thermal.after(phone.temperature_c, power_w, interval_s)
        self._records.phones.append(
            phone.name,
            now_s,
            interval_s,
            power_w,
            phone.temperature_c,
            max(self._full_j[index] - total_j, 0.0),
            phone.viewer.buffer_s(now_s) if phone.viewer is not None else 0.0,
            phone.present,
            phone.heat,
            *phone.meter.energy_j,
        )
