"""What a phone's radio spends on questions that are answered elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from devices.phones import PhoneProfile


@dataclass(frozen=True, slots=True)
class RadioDraw:
    """Power of one radio, on top of the awake phone."""

    send_w: float
    """While it sends, on top of `awake_w`."""
    send_j_per_byte: float
    """Energy of each byte sent, on top of that."""
    receive_w: float
    """While it receives, on top of `awake_w`."""
    receive_j_per_byte: float
    """Energy of each byte received, on top of that."""
    awake_w: float
    """Awake without traffic: while it waits for an answer, and in its tail."""
    tail_s: float
    """How long it stays awake after the last byte."""

    def send_j(self, air_s: float, n_bytes: float) -> float:
        """Return the energy of `n_bytes` sent in `air_s` of the air."""
        return self.send_w * air_s + self.send_j_per_byte * n_bytes

    def receive_j(self, air_s: float, n_bytes: float) -> float:
        """Return the energy of `n_bytes` received in `air_s` of the air."""
        return self.receive_w * air_s + self.receive_j_per_byte * n_bytes


def radio_draw(profile: PhoneProfile, radio: str, includes_idle: bool) -> RadioDraw:
    """Return what a handset's radio draws.

    Parameters
    ----------
    profile
        The handset.
    radio
        ``wlan``, or a technology of cellular networks, such as ``5g-low``.
    includes_idle
        Whether to take `PhoneProfile.idle_w` off the power of a cellular radio (not documented at the source: assumed).
    """
    up, down = profile.radios[f"{radio}-up"], profile.radios[f"{radio}-down"]
    if radio == "wlan":
        idle_w, awake_w, tail_s = 0.0, profile.wlan_tail_w, profile.wlan_tail_s
    else:
        idle_w = profile.idle_w if includes_idle else 0.0
        awake_w, tail_s = profile.radio_tail_w, profile.radio_tail_s
    return RadioDraw(
        max(up.base_w - idle_w - awake_w, 0.0),
        up.joules_per_byte,
        max(down.base_w - idle_w - awake_w, 0.0),
        down.joules_per_byte,
        awake_w,
        tail_s,
    )


class RadioMeter:
    """Time for which one radio of a phone is awake, shared out over the questions that keep it so.

    It is awake while any question is under way, and for the tail after the last one. Time with several questions is
    shared equally; a tail belongs to the question before it, as far as no later one begins meanwhile. The shares add up
    to the time awake, exactly.
    """

    __slots__ = ("_open", "_paid_until_s", "_shared_s", "_since_s", "draw")

    def __init__(self, draw: RadioDraw) -> None:
        self.draw = draw
        """The radio's power."""
        self._open = 0
        self._since_s = 0.0
        self._paid_until_s = 0.0  # end of the tail that is booked already
        self._shared_s = 0.0  # what a question under way all the time would have been given so far

    def begin(self, now_s: float) -> float:
        """A question begins; return the mark that `end` needs."""
        self._share(now_s)
        self._open += 1
        return self._shared_s

    def end(self, now_s: float, mark: float) -> float:
        """It ends; return its share of the energy of the awake radio, in J."""
        self._share(now_s)
        self._open -= 1
        awake_s = self._shared_s - mark
        if not self._open:
            until_s = now_s + self.draw.tail_s
            awake_s += until_s - max(now_s, self._paid_until_s)
            self._paid_until_s = until_s
        return self.draw.awake_w * awake_s

    def _share(self, now_s: float) -> None:
        since_s = max(self._since_s, self._paid_until_s)
        if self._open and now_s > since_s:
            self._shared_s += (now_s - since_s) / self._open
        self._since_s = now_s
