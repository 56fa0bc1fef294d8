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

    A phone looks at its temperature about once a second, so thresholds are found at ticks. Its battery is empty at
    the tick after the one at which the rest would last less than an interval; what is drawn beyond it, is not counted.
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
        self._env, self._group, self._phones, self._presence = env, group, phones, presence
        self._records, self._check_end = records, check_end
        self._last_s = 0.0
        self._last_j = [0.0] * len(phones)
        self._played_s = [0.0] * len(phones)
        self._full_j = [phone.spec.battery_share * phone.spec.battery_j for phone in phones]
        self._call: Call | None = None

    def begin(self) -> None:
        """Start."""
        self._call = self._env.call_at(self._group.tick_s, self._tick)

    def end(self) -> None:
        """Book what is left and stop."""
        if self._call is not None:
            self._call.cancel()
        self._look()

    def _tick(self) -> None:
        self._call = self._env.call_at(self._env._now + self._group.tick_s, self._tick)
        self._look()
        self._check_end()

    def _look(self) -> None:
        now_s = self._env._now
        interval_s = now_s - self._last_s
        if interval_s <= 0.0:
            return
        self._last_s = now_s
        for phone in self._phones:
            if phone.alive and phone.joined:
                self._book(phone, interval_s)

    def _book(self, phone: Phone, interval_s: float) -> None:
        now_s, index, thermal = self._env._now, phone.index, phone.spec.thermal
        meter, buffer_s = phone.meter, 0.0
        meter.accrue(now_s)
        if phone.viewer is not None:
            buffer_s = phone.viewer.buffer_s(now_s)
            played_s = phone.viewer.played_s(now_s)
            if played_s != self._played_s[index]:
                meter.spend(Component.DECODE, phone.spec.power.decode_w * (played_s - self._played_s[index]))
                self._played_s[index] = played_s
        total_j = meter.total_j
        power_w = (total_j - self._last_j[index]) / interval_s
        self._last_j[index] = total_j
        phone.temperature_c = thermal.after(phone.temperature_c, power_w, interval_s)
        battery_j = max(self._full_j[index] - total_j, 0.0)
        self._records.phones.append(
            phone.name,
            now_s,
            interval_s,
            power_w,
            phone.temperature_c,
            battery_j,
            buffer_s,
            phone.present,
            phone.heat,
            *meter.energy_j,
        )
        if battery_j <= 0.0:
            self._presence.remove(phone, "die")
            return
        heat = thermal.state(phone.temperature_c, phone.heat)
        if heat is not phone.heat:
            self._presence.heat(phone, heat)
