"""Who takes part: joining, range, leaving, dying, heat, and who runs the hotspot.

Some facts about a phone change one at a time: where it is, whether it lives, whether it is connected. Which phones are
present follows from all of them together. It is worked out after each change and handed on whole, so that nobody sets
to work on a group that is only half brought up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf, prod

from simulator.core import Call, Environment
from simulator.streaming.group.energy import Component
from simulator.streaming.group.flow import Flow
from simulator.streaming.group.gpu_watch import GpuWatch
from simulator.streaming.group.group import Group
from simulator.streaming.group.pipeline import Phone
from simulator.streaming.group.thermal import Heat
from simulator.streaming.group.viewer import Viewer
from simulator.streaming.group.wlan import Wlan


class Presence:
    """Brings phones in and out during a session.

    A phone is present while it is connected to the controller's hotspot and in its range. A phone that comes back
    finds the hotspot that it knows at once; one that it does not know takes time to find and to join.

    Parameters
    ----------
    env, group, flow, wlan
        Of the session.
    new_viewer
        Makes the viewer of a phone that has come.
    removed
        Called when a phone has left or died.
    """

    def __init__(
        self,
        env: Environment,
        group: Group,
        flow: Flow,
        wlan: Wlan,
        new_viewer: Callable[[Phone], Viewer],
        removed: Callable[[Phone], None],
    ) -> None:
        self._env, self._group, self._flow, self._wlan = env, group, flow, wlan
        self._new_viewer, self._removed = new_viewer, removed
        self._phones = flow.phones
        self._controller: Phone | None = None
        """Who runs the hotspot, or ran it last."""
        self._connected = [False] * len(self._phones)
        """By phone: whether it knows the controller's hotspot."""
        self._connecting = [False] * len(self._phones)
        self._away = [0] * len(self._phones)
        """By phone: reasons for which it is out of range or out of order."""
        self._slow: list[list[float]] = [[] for _ in self._phones]
        """By phone: shares of its SR speed that faults leave at present."""
        self._gpus = GpuWatch(self._phones, self._gpu_changed)
        self._to_come = 0
        """Changes that are planned and could bring the session on."""
        self._calls: list[Call] = []
        """All that is planned."""

    @property
    def awaits_change(self) -> bool:
        """Whether a session that stands may go on: something is planned, a phone cools down, a GPU is repaired."""
        stopped = any(phone.present and phone.heat is Heat.STOPPED for phone in self._phones)
        return self._to_come > 0 or stopped or self._gpus.awaits_repair

    def begin(self) -> None:
        """Bring in the members from the start and plan the rest."""
        first = self._phones[self._group.controller]
        start_s = self._env._now
        members = [phone for phone in self._phones if phone.spec.joins_s <= start_s]
        for phone in members:
            phone.joined = True
            phone.meter.begin(start_s)
        if phones := [phone for phone in members if phone.spec.helper is None]:
            self._control(first if first in phones else phones[0])
            for phone in members:
                self._connected[phone.index] = True
        self._gpus.begin()
        self._update()
        for phone in self._phones:
            spec = phone.spec
            if spec.joins_s > start_s:
                self._plan(spec.joins_s, partial(self._join, phone))
            for time_s, x_m, y_m in spec.moves:
                self._plan(time_s, partial(self._move, phone, (x_m, y_m)))
            for from_s, until_s in spec.away_s:
                self._plan(from_s, partial(self._set_away, phone, True))
                if until_s < inf:
                    self._plan(until_s, partial(self._set_away, phone, False))
            for from_s, until_s in spec.failed_s:  # no change to wait for: it brings nothing on
                self._call_at(from_s, partial(self._fail, phone, until_s))
            for from_s, until_s, share in spec.slow_sr:
                self._call_at(from_s, partial(self._slow_sr, phone, share))
                if until_s < inf:
                    self._call_at(until_s, partial(self._quick_sr, phone, share))
            if spec.leaves_s < inf:
                self._plan(spec.leaves_s, partial(self.remove, phone, "leave"))

    def end(self) -> None:
        """Take back all that is planned."""
        for call in self._calls:
            call.cancel()
        self._gpus.end()

    def _call_at(self, time_s: float, change: Callable[[], None]) -> None:
        self._calls.append(self._env.call_at(time_s, change))

    def _plan(self, time_s: float, change: Callable[[], None]) -> None:
        self._to_come += 1

        def happen() -> None:
            self._to_come -= 1
            change()

        self._call_at(time_s, happen)

    # Changes

    def _join(self, phone: Phone) -> None:
        if not phone.alive:
            return
        phone.joined = True
        phone.meter.begin(self._env._now)
        phone.viewer = self._new_viewer(phone)
        self._flow.log("join", phone.name)
        self._update()

    def _connect_later(self, phone: Phone) -> None:
        """Find the hotspot and connect to it: the radio listens all the while. One without others does not look."""
        self._connecting[phone.index] = True
        phone.meter.switch(self._env._now, Component.WLAN, phone.spec.power.wlan_receive_w)
        wlan = self._group.wlan
        takes_s = wlan.discovery_s + wlan.connect_s if len(self._phones) > 1 else 0.0
        self._plan(self._env._now + takes_s, partial(self._connect, phone))

    def _connect(self, phone: Phone) -> None:
        self._connecting[phone.index] = False
        if not phone.alive:
            return
        phone.meter.switch(self._env._now, Component.WLAN, -phone.spec.power.wlan_receive_w)
        self._connected[phone.index] = True
        self._update()

    def _move(self, phone: Phone, position_m: tuple[float, float]) -> None:
        controller = self._controller or phone
        self._wlan.move(phone.index, position_m, controller.index)
        if phone is controller:
            others = [other for other in self._phones if other.present and other is not phone]
            behind = [other for other in others if not self._wlan.in_range(phone.index, other.index)]
            if 2 * len(behind) > len(others):
                self._hand_over(behind)  # it has left the others behind, not they it
        self._update()

    def _set_away(self, phone: Phone, away: bool) -> None:
        self._away[phone.index] += 1 if away else -1
        self._update()

    def _fail(self, phone: Phone, end_s: float) -> None:
        """Have a phone be out of order until `end_s`; switched off for good where that is infinity."""
        if end_s == inf:
            self.remove(phone, "fail")
        elif phone.alive:
            self._flow.log("fault", phone.name)
            self._plan(end_s, partial(self._repair, phone))
            self._set_away(phone, True)

    def _repair(self, phone: Phone) -> None:
        if phone.alive:
            self._flow.log("repair", phone.name)
        self._set_away(phone, False)

    def _gpu_changed(self, phone: Phone, failed: bool) -> None:
        self._flow.log("fault" if failed else "repair", phone.name)
        self._set_away(phone, failed)

    def _slow_sr(self, phone: Phone, share: float) -> None:
        """Have SR be slower from the next chunk on; the one under way is finished as it began."""
        self._flow.log("fault", phone.name)
        self._slow[phone.index].append(share)
        phone.sr_speed = prod(self._slow[phone.index], start=1.0)

    def _quick_sr(self, phone: Phone, share: float) -> None:
        self._flow.log("repair", phone.name)
        self._slow[phone.index].remove(share)
        phone.sr_speed = prod(self._slow[phone.index], start=1.0)

    def remove(self, phone: Phone, why: str) -> None:
        """Have a phone leave or die."""
        if not phone.alive:
            return
        phone.alive = False
        if phone.viewer is not None:
            phone.viewer.stop(self._env._now)
        self._flow.log(why, phone.name)
        self._update(phone)
        self._removed(phone)

    def heat(self, phone: Phone, heat: Heat) -> None:
        """Have a phone be throttled, stopped or cool again."""
        phone.heat = heat
        self._flow.log(heat.name.lower(), phone.name)
        if heat is Heat.STOPPED:
            self._flow.too_hot(phone)
        else:
            self._flow.stage_free()

    # What follows from them

    def _here(self, phone: Phone) -> bool:
        """Whether a phone would be present but for the connection."""
        return phone.alive and phone.joined and not self._away[phone.index]

    def _update(self, removed: Phone | None = None) -> None:
        """Make everybody's presence what it should be, then let the chunks follow; `removed` has just gone."""
        phones, controller = self._phones, self._controller
        if controller is None or not self._here(controller):
            self._hand_over([phone for phone in phones if self._connected[phone.index] and self._here(phone)])
            controller = self._controller
        gone = [phone for phone in phones if phone.present and not self._belongs(phone)]
        come = [phone for phone in phones if not phone.present and self._belongs(phone)]
        for phone in gone:
            phone.present = False
            self._flow.log("exit", phone.name)
        for phone in come:
            if phone.spec.helper is None:
                phone.viewer = phone.viewer or self._new_viewer(phone)
        for phone in come:
            phone.present = True
            self._flow.log("enter", phone.name)
        for phone in phones:
            index = phone.index
            if self._connected[index] or self._connecting[index] or not self._here(phone):
                continue
            if controller is None or not controller.present or self._wlan.in_range(controller.index, index):
                self._connect_later(phone)
        if removed is not None and removed not in gone:
            gone.append(removed)  # what it holds is lost too
        if gone or come:
            self._flow.change(gone)

    def _belongs(self, phone: Phone) -> bool:
        controller = self._controller
        return (
            controller is not None
            and self._here(controller)
            and self._connected[phone.index]
            and self._here(phone)
            and self._wlan.in_range(controller.index, phone.index)
        )

    def _control(self, phone: Phone) -> None:
        self._controller = phone
        phone.controller = True
        phone.meter.hotspot(self._env._now, len(self._phones) > 1)
        self._wlan.handed_over(phone.index)
        self._flow.log("controller", phone.name)

    def _hand_over(self, candidates: Sequence[Phone]) -> None:
        """Let another phone open a hotspot, which the others have to find and join.

        It is the one that reaches most of the candidates, those that were present first. Where there is none, the
        controller stays what it is: nobody notices. Helpers have no hotspot.
        """
        candidates = [phone for phone in candidates if phone.spec.helper is None]
        if not candidates:
            return
        before = self._controller
        if before is not None:
            before.controller = False
            before.meter.hotspot(self._env._now, False)
        in_range = self._wlan.in_range
        self._control(
            max(
                candidates,
                key=lambda phone: (
                    phone.present,
                    sum([in_range(phone.index, other.index) for other in candidates]),
                    -phone.index,
                ),
            )
        )
        self._connected = [phone.controller for phone in self._phones]
