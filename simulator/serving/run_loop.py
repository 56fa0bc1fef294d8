"""When a replica's runs of steps start and end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from simulator.core import STEP_END, STEP_START, Call, Environment
from simulator.serving.run import Run
from simulator.serving.scheduler import Scheduler
from simulator.serving.sequence import Sequence


class Gate(Protocol):
    """Who else uses the GPU (`simulator.serving.gpu_share.GpuShare`)."""

    def begin(self) -> float:
        """Return the share of the GPU that the run about to be formed has; 0: it must wait for `RunLoop.resume`."""

    def idle(self) -> None:
        """There is nothing to compute."""


class RunLoop:
    """One run after the other, as long as there is anything to compute.

    Parameters
    ----------
    env
        The simulation's environment.
    scheduler
        Forms the runs.
    layers
        Layers of the model: a step that overlaps with a load computes the last one when all has arrived.
    on_end
        Called at the end of a run; applies it, then calls `start`.
    """

    __slots__ = ("_call", "_env", "_layers", "_on_end", "_scheduler", "gate", "held", "run", "running")

    def __init__(
        self, env: Environment, scheduler: Scheduler, layers: int, on_end: Callable[[], None]
    ) -> None:
        self._env = env
        self._scheduler = scheduler
        self._layers = layers
        self._on_end = on_end
        self.run = Run()
        """The run under way."""
        self.running = False
        """Whether there is one, or one is about to be formed."""
        self.gate: Gate | None = None
        """Who else uses the GPU; None: nobody."""
        self.held = False
        """Whether the next run waits for the gate."""
        self._call: Call | None = (
            None  # end of the run; None while it waits for an overlapped load, or the gate
        )

    def computes(self, sequence: Sequence) -> bool:
        """Whether a sequence prefills in the run under way."""
        return any(chunk[0] is sequence for chunk in self.run.chunks)

    def poke(self) -> None:
        """Something new can be computed: see that the next step takes note of it."""
        run = self.run
        if not self.running:
            # The first step is formed after everything else that happens at this instant.
            self.running = True
            run.clear()
            self._call = self._env.call_at(self._env._now, self.start, STEP_START)
        elif run.left > 0 or run.yields:
            self.cut()

    def cut(self) -> None:
        """Let the run under way end with the step under way."""
        run = self.run
        if run.steps > 1 and self._call is not None:
            steps = run.step_at(self._env._now - run.start_s)
            if steps < run.steps:
                self._call.cancel()
                run.steps = steps
                self._schedule_end()

    def start(self) -> None:
        """Start the next run, if there is anything to compute, and a share of the GPU for it."""
        run, gate = self.run, self.gate
        if gate is not None:
            run.share = gate.begin()
            self.held = not run.share
            if self.held:
                self._call = None
                return
        if self._scheduler.form(run):
            run.start_s = self._env._now
            self._schedule_end()
        else:
            self.running = False
            self._call = None
            if gate is not None:
                gate.idle()

    def resume(self) -> None:
        """Form the run that the gate has held."""
        self.held = False
        self._call = self._env.call_at(self._env._now, self.start, STEP_START)

    def load_arrived(self) -> None:
        """A load that a sequence of the run overlaps with has arrived: the end may be known now."""
        if self._call is None:
            self._schedule_end()

    def abandon(self) -> None:
        """Take the run under way back, as if it had never been formed."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.run.clear()
        self.running = self.held = False
        if self.gate is not None:
            self.gate.idle()

    def _schedule_end(self) -> None:
        """Arm the end of the run; an overlapped load that is still under way arms it when it has arrived."""
        run = self.run
        end_s = run.start_s + run.duration_s(run.steps)
        for sequence, _ in run.chunks:
            if sequence.overlaps and sequence.load is not None:
                done_s = sequence.load.done_s
                if done_s is None:
                    self._call = None
                    return
                end_s = max(end_s, done_s + run.step_s / self._layers)
        self._call = self._env.call_at(end_s, self._on_end, STEP_END)
