"""What a phone draws, component by component, and what is left in its battery."""

from __future__ import annotations

from enum import IntEnum

from simulator.streaming.group.phones import PhonePower


class Component(IntEnum):
    """What energy is booked to; together they are all that the battery gives."""

    CELLULAR = 0
    WLAN = 1
    DECODE = 2
    SR = 3
    ENCODE = 4
    DISPLAY = 5
    REST = 6
    """The awake phone without its screen."""


class Meter:
    """Energy by component: the integral of power that is switched on and off, plus single amounts.

    Radio tails need no event: until when one lasts is known when it begins, and it is booked when next looked at.
    """

    __slots__ = (
        "_cellular_tail_until_s",
        "_cellular_uses",
        "_drawing",
        "_hotspot",
        "_power",
        "_since_s",
        "_watts",
        "_wlan_tail_from_s",
        "_wlan_tail_until_s",
        "energy_j",
    )

    def __init__(self, power: PhonePower) -> None:
        self.energy_j = [0.0] * len(Component)
        """Energy by component, up to the last change or `accrue`."""
        self._power = power
        self._watts = [0.0] * len(Component)
        self._drawing: list[int] = []  # components that draw anything
        self._since_s = 0.0
        self._cellular_tail_until_s = 0.0
        self._cellular_uses = 0  # transfers under way
        self._wlan_tail_from_s = self._wlan_tail_until_s = 0.0
        self._hotspot = False

    def begin(self, now_s: float) -> None:
        """Switch the phone on; before, nothing is drawn."""
        self.switch(now_s, Component.DISPLAY, self._power.display_w)
        self.switch(now_s, Component.REST, self._power.rest_w)

    def end(self, now_s: float) -> None:
        """Switch everything off for good."""
        self.accrue(now_s)
        self._watts = [0.0] * len(Component)
        self._drawing = []
        self._cellular_tail_until_s = self._wlan_tail_from_s = self._wlan_tail_until_s = now_s
        self._hotspot = False

    def accrue(self, now_s: float) -> None:
        """Book everything up to now."""
        since_s = self._since_s
        time_s = now_s - since_s
        if time_s <= 0.0:
            return
        energy, watts = self.energy_j, self._watts
        for component in self._drawing:
            energy[component] += watts[component] * time_s
        power = self._power
        if (until_s := self._cellular_tail_until_s) > since_s:
            energy[0] += power.cellular_tail_w * (min(now_s, until_s) - since_s)
        if (until_s := min(now_s, self._wlan_tail_until_s)) > self._wlan_tail_from_s:
            energy[1] += power.wlan_awake_w * (until_s - self._wlan_tail_from_s)
            self._wlan_tail_from_s = until_s
        self._since_s = now_s

    def switch(self, now_s: float, component: int, watts: float) -> None:
        """Add `watts` (below 0: take off) to what a component draws from now on."""
        self.accrue(now_s)
        drew = self._watts[component]
        self._watts[component] = draws = drew + watts
        if not drew or not draws:
            self._drawing = [index for index, it in enumerate(self._watts) if it]

    def spend(self, component: int, joules: float) -> None:
        """Book a single amount."""
        self.energy_j[component] += joules

    def cellular_on(self, now_s: float) -> None:
        """Begin to receive or send over the cellular radio, which is on once, whatever it does."""
        self._cellular_uses += 1
        if self._cellular_uses == 1:
            self.switch(now_s, Component.CELLULAR, self._power.cellular_w)
            self._cellular_tail_until_s = 0.0

    def cellular_off(self, now_s: float, n_bytes: float, sent: bool = False) -> None:
        """End it, after `n_bytes` received or, with `sent`, sent; where nothing else goes on, the tail begins."""
        power = self._power
        self._cellular_uses -= 1
        if not self._cellular_uses:
            self.switch(now_s, Component.CELLULAR, -power.cellular_w)
        self.energy_j[0] += n_bytes * (power.cellular_send_j_per_byte if sent else power.cellular_j_per_byte)
        if not self._cellular_uses:
            self._cellular_tail_until_s = now_s + power.cellular_tail_s

    def wlan(self, now_s: float, air_s: float, sends: bool) -> None:
        """Book a transfer that ends now and took `air_s` of the air; the tail begins anew.

        The power of the active radio replaces that of the awake one, which may have been booked already.
        """
        power = self._power
        if self._hotspot:
            awake_s = -air_s
        else:
            awake_s = min(now_s - air_s, self._wlan_tail_until_s) - self._wlan_tail_from_s
            self._wlan_tail_from_s = now_s
            self._wlan_tail_until_s = now_s + power.wlan_tail_s
        active_w = power.wlan_send_w if sends else power.wlan_receive_w
        self.energy_j[1] += active_w * air_s + power.wlan_awake_w * awake_s

    def hotspot(self, now_s: float, on: bool) -> None:
        """Begin or end to run the hotspot, whose radio never sleeps."""
        if on is not self._hotspot:
            self.switch(now_s, Component.WLAN, self._power.wlan_awake_w if on else -self._power.wlan_awake_w)
            self._hotspot = on
            self._wlan_tail_from_s = self._wlan_tail_until_s = now_s

    @property
    def total_j(self) -> float:
        """All energy so far."""
        return sum(self.energy_j)
