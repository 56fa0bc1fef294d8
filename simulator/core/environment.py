"""The clock: a SimPy environment with exact-time callbacks and a faster main loop.

Order of events
---------------
Events run by (time, priority, sequence): earlier time first, then the smaller priority, then the one that was
scheduled first. At one instant the phases are therefore

====================  ========  ==================================================================
priority              value     what runs
====================  ========  ==================================================================
``URGENT``            0         SimPy's process starts and interrupts; the stop of ``run(until=t)``
``NORMAL``            1         SimPy's timeouts and triggered events; calls without a priority
``TRANSFER_DONE``     2         transfers that complete
``STEP_END``          3         engine steps that end: they see every transfer completed by then
``ARRIVAL``           4         requests that arrive: they are routed on the state after those steps
``STEP_START``        5         engine steps that are formed: they see every arrival of the instant
====================  ========  ==================================================================

What a phase triggers at the same instant (an event that succeeds is ``NORMAL``) runs before any later phase,
so a process that waits for a transfer has been resumed before a step that ends then looks at it.
``run(until=t)`` stops before anything that happens at `t`, as in SimPy.

Two times that are equal on paper may differ in the last bit (0.1 + 0.2 is after 0.3): give both events the
same float, which `Environment.call_at` keeps as it is, where the order matters.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from types import MethodType
from typing import Any, Final

import simpy
from simpy.core import EmptySchedule, StopSimulation
from simpy.events import AllOf, AnyOf, Event, EventPriority, Process, Timeout

from simulator.core.errors import CoreError
from simulator.core.event_log import EventLog

URGENT: Final = 0
NORMAL: Final = 1
TRANSFER_DONE: Final = 2
STEP_END: Final = 3
ARRIVAL: Final = 4
STEP_START: Final = 5


class Call(list[Callable[[], None] | None]):
    """A pending call of `Environment.call_at`.

    It is a list of one, the function: built in C, that costs half as much as an object with ``__init__``.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """Never make the call; without effect once it was made. The entry goes when it comes up."""
        self[0] = None

    @property
    def pending(self) -> bool:
        """Whether the call is still to be made."""
        return self[0] is not None


class Environment(simpy.Environment):
    """A `simpy.Environment` that can also call a function at an exact time.

    Processes, timeouts, resources and stores work unchanged. Three things differ: time is a float, ``run``
    inlines the loop, and ``run(until=t)`` ends at exactly `t`.

    Parameters
    ----------
    initial_time_s
        Where the clock starts.
    """

    def __init__(self, initial_time_s: float = 0.0) -> None:
        super().__init__(float(initial_time_s))
        self.log: EventLog | None = None
        """Where whoever has this clock writes what happens; None, the default: nowhere."""
        # SimPy binds these early only for instances of its own class. (By attribute, not through __dict__:
        # once that exists, CPython reads every attribute of the environment more slowly.)
        for name, kind in (
            ("process", Process),
            ("timeout", Timeout),
            ("event", Event),
            ("all_of", AllOf),
            ("any_of", AnyOf),
        ):
            setattr(self, name, MethodType(kind, self))

    def call_at(self, time_s: float, function: Callable[[], None], priority: int = NORMAL) -> Call:
        """Call `function` at `time_s`.

        The time is kept bit for bit: no ``now + (time_s - now)``. Exceptions of `function` leave ``run``.

        Parameters
        ----------
        time_s
            Absolute simulated time, not before now and finite.
        function
            Takes no arguments; its result is ignored.
        priority
            Order among events of the same time, see the module's table.

        Returns
        -------
        Call
            A handle that can cancel it.

        Raises
        ------
        CoreError
            Where `time_s` is in the past, infinite or NaN.
        """
        if not self._now <= time_s < inf:
            raise CoreError(f"cannot call {function!r} at {time_s!r} s: the clock stands at {self._now!r} s")
        call = Call((function,))
        heappush(self._queue, (time_s, priority, next(self._eid), call))  # type: ignore[misc]
        return call

    def count_events(self) -> int:
        """Return how many events and calls have been planned, those that were cancelled included; ask at the end.

        That is the next number of the sequence that orders them, which asking takes away.
        """
        return next(self._eid)

    def peek(self) -> float:
        """Return the time of the next event or call that will happen; infinity if there is none."""
        queue = self._queue
        while queue:
            event: object = queue[0][3]
            if type(event) is not Call or event[0] is not None:
                return queue[0][0]
            heappop(queue)
        return inf

    def step(self) -> None:
        """Process the next event or call.

        Raises
        ------
        simpy.core.EmptySchedule
            Where there is none.
        """
        if self.peek() == inf:
            raise EmptySchedule
        event: object = self._queue[0][3]
        if type(event) is Call:
            self._now = heappop(self._queue)[0]
            function = event[0]
            event[0] = None
            function()  # type: ignore[misc]  # peek has dropped the cancelled ones
        else:
            super().step()

    def run_before(self, time_s: float) -> None:
        """Run all that happens before `time_s`; the clock stays at the last of it, unlike after ``run(until)``."""
        while self.peek() < time_s:
            self.step()

    def advance(self, time_s: float) -> None:
        """Set the clock to `time_s`, before which nothing may be left to happen.

        Raises
        ------
        CoreError
            Where that is not so, or `time_s` is in the past.
        """
        if not self._now <= time_s <= self.peek():
            raise CoreError(f"cannot set the clock from {self._now!r} s to {time_s!r} s")
        self._now = time_s

    def run(self, until: float | Event | None = None) -> Any:
        """Run until there is nothing left, until a time, or until an event.

        Parameters
        ----------
        until
            None: until nothing is left. A time: up to it, leaving out what happens at it. An event: until it
            has been processed.

        Returns
        -------
        object
            The value of the event `until`, else None.

        Raises
        ------
        ValueError
            Where the time is not after now.
        RuntimeError
            Where nothing is left and the event has not happened.
        """
        if until is not None:
            if not isinstance(until, Event):
                until = self._stop_event(float(until))
            elif until.callbacks is None:
                return until.value
            until.callbacks.append(StopSimulation.callback)
        queue = self._queue
        pop = heappop
        kind = Call
        event: Any
        try:
            while queue:
                time_s, _, _, event = pop(queue)
                if type(event) is kind:
                    function = event[0]
                    if function is not None:  # a cancelled call does not even move the clock
                        self._now = time_s
                        event[0] = None
                        function()
                    continue
                self._now = time_s
                callbacks, event.callbacks = event.callbacks, None
                for callback in callbacks:
                    callback(event)
                if not event._ok and not hasattr(event, "_defused"):
                    # As in SimPy: a failure that nobody handles ends the run, with a traceback of its own.
                    failure = type(event._value)(*event._value.args)
                    failure.__cause__ = event._value
                    raise failure
        except StopSimulation as stop:
            if type(event) is not kind and callback is not callbacks[-1]:
                # Callbacks after the one that stopped us run first when the simulation goes on.
                event.callbacks = callbacks[callbacks.index(callback) + 1 :]
                self.schedule(event, EventPriority(-1))
            return stop.args[0] if stop.args else None
        if until is not None:
            raise RuntimeError(f'No scheduled events left but "until" event was not triggered: {until}')
        return None

    def _stop_event(self, time_s: float) -> Event:
        """Put an event into the queue that comes before all others of `time_s`, at exactly that time."""
        if not time_s > self._now:
            raise ValueError(
                f"until ({time_s}) must be greater than the current simulation time ({self._now})"
            )
        stop = Event(self)
        stop._ok = True
        stop._value = None
        heappush(self._queue, (time_s, EventPriority(URGENT), next(self._eid), stop))
        return stop
