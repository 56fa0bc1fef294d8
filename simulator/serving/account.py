"""What a replica has done: time, energy, steps and tokens, and the rows that tell of them."""

from __future__ import annotations

from simulator.core.records import Table
from simulator.serving.admission import AdmissionQueue
from simulator.serving.batch import Batch
from simulator.serving.kv_cache import BlockPool
from simulator.serving.pointers import Pointers
from simulator.serving.run import Run
from simulator.serving.sequence import Sequence
from simulator.serving.step_energy import StepEnergy


class RunAccount:
    """Books runs of engine steps when they have ended.

    Parameters
    ----------
    index
        Number of the replica.
    energy
        Energy of its steps.
    batch, queue, pool
        What a row tells of besides the run.
    intervals
        Table that gets a row per run (`simulator.serving.build.INTERVALS`); None: nothing is recorded.
    pointers
        Record of where the pointers of prompts were; None: nothing is recorded.
    """

    __slots__ = (
        "_batch",
        "_energy",
        "_index",
        "_intervals",
        "_pointers",
        "_pool",
        "_queue",
        "busy_j",
        "busy_s",
        "computed_tokens",
        "gpu_s",
        "steps",
    )

    def __init__(
        self,
        index: int,
        energy: StepEnergy,
        batch: Batch,
        queue: AdmissionQueue,
        pool: BlockPool,
        intervals: Table | None,
        pointers: Pointers | None,
    ) -> None:
        self._index = index
        self._energy = energy
        self._batch = batch
        self._queue = queue
        self._pool = pool
        self._intervals = intervals
        self._pointers = pointers
        self.busy_s = 0.0
        """Time spent in engine steps."""
        self.gpu_s = 0.0
        """The same by the share of the GPU that the steps had."""
        self.busy_j = 0.0
        """Energy of engine steps, idle power during them included."""
        self.steps = 0
        """Engine steps done."""
        self.computed_tokens = 0
        """Tokens computed, decodes and recomputation included."""

    def book(self, run: Run, steps: int, end_s: float) -> None:
        """Book the first `steps` steps of a run, which have ended at `end_s`, before the decodes advance by them."""
        decodes = self._batch.decodes
        n = len(decodes.heap)
        duration_s = end_s - run.start_s
        energy_j = self._energy.run_j(
            steps,
            run.step_s if steps > 1 else duration_s,  # an overlapped load may have drawn a single step out
            run.growth_s,
            run.new,
            decodes.context_tokens,
            decodes.growth_tokens(),
            run.pairs,
            sum(take * take for _, take in run.chunks) if steps > 1 else 0.0,
            run.share,
            n,
        )
        self.busy_s += duration_s
        self.gpu_s += duration_s * run.share
        self.busy_j += energy_j
        self.steps += steps
        self.computed_tokens += steps * run.new
        if self._intervals is not None:
            self._intervals.append(
                self._index,
                run.start_s,
                end_s,
                steps,
                n,
                steps * (run.new - n),
                len(self._queue.waiting),
                len(self._batch.admitted),
                self._pool.used_blocks,
                energy_j,
            )

    def book_ended(self, run: Run, now_s: float, most: int) -> int:
        """Book the steps of a run under way that have ended, `most` at most, and return how many."""
        steps = min(run.ended_steps(now_s - run.start_s), most)
        if steps:
            end_s = run.start_s + run.duration_s(steps)
            self.book(run, steps, end_s)
            for sequence, take in run.chunks:
                self.prefilled(sequence, run, take * steps, end_s)
        return steps

    def prefilled(self, sequence: Sequence, run: Run, tokens: int, end_s: float) -> None:
        """Book `tokens` tokens of a sequence, from its position on, which the run has prefilled until `end_s`."""
        if self._pointers is not None:
            self._pointers.computed(sequence, run.start_s, end_s, tokens)
        sequence.computed_tokens += tokens
