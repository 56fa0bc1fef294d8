"""Who takes part: joining, range, leaving, dying, heat, and who runs the hotspot."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf

from simulator.core import Environment
from simulator.streaming.group.energy import Component
from simulator.streaming.group.flow import Flow
from simulator.streaming.group.group import Group
from simulator.streaming.group.pipeline import Phone
from simulator.streaming.group.thermal import Heat
from simulator.streaming.group.viewer import Viewer
from simulator.streaming.group.wlan import Wlan


class Presence:
    """Brings phones in and out during a session.

    Parameters
    ----------
    env, group, flow, wlan
        Of the session.
    new_viewer
        Makes the viewer of a phone that has come.
    """

    def __init__(
        self, env: Environment, group: Group, flow: Flow, wlan: Wlan, new_viewer: Callable[[Phone], Viewer]
    ) -> None:
        self._env, self._group, self._flow, self._wlan, self._new_viewer = env, group, flow, wlan, new_viewer
        self._phones = flow.phones
        self._connected = [False] * len(self._phones)
        self._away = [False] * len(self._phones)
        self._to_come = 0
        """Changes that are planned and could bring the session on."""

    @property
    def awaits_change(self) -> bool:
        """Whether something is planned, or a phone cools down, so that a session that stands may go on."""
        return self._to_come > 0 or any(
            phone.present and phone.heat is Heat.STOPPED for phone in self._phones
        )

    def begin(self) -> None:
        """Bring in the members from the start and plan the rest."""
        first = self._phones[self._group.controller]
        members = [phone for phone in self._phones if phone.spec.joins_s == 0.0]
        for phone in members:
            phone.joined = self._connected[phone.index] = True
        controller = first if first in members else next(iter(members), None)
        if controller is not None:
            self._control(controller)
        for phone in members:
            self._update(phone)
        for phone in self._phones:
            index, spec = phone.index, phone.spec
            if spec.joins_s > 0.0:
                self._plan(spec.joins_s, partial(self._join, phone))
            for time_s, x_m, y_m in spec.moves:
                self._plan(time_s, partial(self._move, phone, (x_m, y_m)))
            for start_s, end_s in spec.away_s:
                self._plan(start_s, partial(self._set_away, index, True))
                if end_s < inf:
                    self._plan(end_s, partial(self._set_away, index, False))
            if spec.leaves_s < inf:
                self._plan(spec.leaves_s, partial(self.remove, phone, "leave"))

    def _plan(self, time_s: float, change: Callable[[], None]) -> None:
        self._to_come += 1

        def happen() -> None:
            self._to_come -= 1
            change()

        self._env.call_at(time_s, happen)

    def _join(self, phone: Phone) -> None:
        if not phone.alive:
            return
        phone.joined = True
        phone.meter.begin(self._env._now)
        phone.viewer = self._new_viewer(phone)
        self._flow.log("join", phone.name)
        self._connect_later(phone)

    def _connect_later(self, phone: Phone) -> None:
        """Find the group and connect to it: the radio listens all the while."""
        self._connected[phone.index] = False
        wlan = self._group.wlan
        takes_s = wlan.discovery_s + wlan.connect_s
        phone.meter.spend(Component.WLAN, takes_s * phone.spec.power.wlan_receive_w)
        self._plan(self._env._now + takes_s, partial(self._connect, phone))

    def _connect(self, phone: Phone) -> None:
        self._connected[phone.index] = True
        self._update(phone)

    def _move(self, phone: Phone, position_m: tuple[float, float]) -> None:
        controller = self._controller()
        self._wlan.move(phone.index, position_m, controller.index if controller else phone.index)
        others = [other for other in self._phones if other.present and other is not phone]
        if phone is controller and not any(self._wlan.rate_bps(phone.index, other.index) for other in others):
            self._hand_over(phone)  # it has left the others behind, not they it
        for other in self._phones:
            self._update(other)

    def _set_away(self, index: int, away: bool) -> None:
        self._away[index] = away
        self._update(self._phones[index])

    def remove(self, phone: Phone, why: str) -> None:
        """Have a phone leave or die."""
        if not phone.alive:
            return
        phone.meter.accrue(self._env._now)
        phone.alive = False
        if phone.viewer is not None:
            phone.viewer.stop(self._env._now)
        self._flow.log(why, phone.name)
        if phone.present:
            self._update(phone)
        else:  # what it holds is lost too
            self._flow.exit(phone, for_good=True)

    def _controller(self) -> Phone | None:
        return next((phone for phone in self._phones if phone.controller), None)

    def _update(self, phone: Phone) -> None:
        """Make `present` what it should be, and let everybody know."""
        controller = self._controller()
        present = (
            phone.alive and phone.joined and self._connected[phone.index] and not self._away[phone.index]
        )
        if present and controller is None:
            self._control(phone)
        elif present and controller is not phone and controller is not None:
            present = self._wlan.rate_bps(controller.index, phone.index) > 0.0
        if present is phone.present:
            return
        phone.present = present
        if present:
            if phone.viewer is None:
                phone.viewer = self._new_viewer(phone)
            self._flow.log("enter", phone.name)
            self._flow.enter(phone)
            return
        self._flow.log("exit", phone.name)
        self._flow.exit(phone, for_good=not phone.alive)
        if phone.controller:
            self._hand_over(phone)

    def _control(self, phone: Phone) -> None:
        phone.controller = True
        phone.meter.hotspot(self._env._now, len(self._phones) > 1)
        self._wlan.handed_over(phone.index)
        self._flow.log("controller", phone.name)

    def _hand_over(self, phone: Phone) -> None:
        """Let the next phone open a hotspot; the others have to find and join it. A phone left alone stays as it is."""
        present = [other for other in self._phones if other.present and other is not phone]
        if not present and phone.present:
            return
        phone.controller = False
        phone.meter.hotspot(self._env._now, False)
        if not present:
            return
        self._control(present[0])
        for other in present[1:]:
            self._connect_later(other)
            self._update(other)

    def heat(self, phone: Phone, heat: Heat) -> None:
        """Have a phone be throttled, stopped or cool again."""
        phone.heat = heat
        self._flow.log(heat.name.lower(), phone.name)
        if heat is Heat.STOPPED:
            self._flow.too_hot(phone)
        else:
            self._flow.stage_free()
