"""How long an engine step takes where the layers are spread over pipeline stages.

A step's tokens are dealt out to as many micro-batches of equal size as there are stages. They follow one another
through the stages, so that the first one's next token can begin when it has come through all of them and every stage
has done every micro-batch: after the time that one micro-batch takes through all layers, plus a hand-over per stage.
The output layer stands behind the last stage alone and is passed by all micro-batches in turn.

Chunks of one prompt may follow one another in the pipeline (as in the chunked pipeline parallelism of Mooncake, Qin et
al. 2024, arXiv 2407.00079). Assumed: micro-batches of equal cost, equal stages, and no time to fill and to drain the
pipeline where prompts begin and end.
"""

from __future__ import annotations

from simulator.serving.kernels import allreduce_s
from simulator.serving.step_cost import StepCost, summed_prefill_s
from simulator.serving.work import micro_batches


class PipelineCost(StepCost):
    """Time of engine steps on a pipeline of `stages` tensor-parallel groups (parameters: `StepCost`).

    A hand-over between two stages counts as an all-reduce of two GPUs, for which rates are known: it moves the same
    bytes once each way.
    """

    __slots__ = ()

    def _micro_batches(self, new: int) -> tuple[int, int]:
        return micro_batches(new + self.background_tokens, self.stages)

    def growth_s(self, new: int, context_growth: float) -> float:
        """Return by how much a step is longer than the one before it, as decodes have more to read."""
        return self.alpha_s * context_growth / self._micro_batches(new)[0]

    def chunk_growth_s(self, new: int, chunk: int) -> float:
        """Return by how much a step is longer than the one before it, as a prompt's next chunk has more to read."""
        batches, _ = self._micro_batches(new)
        return self.pair_s(-(-chunk // batches)) * chunk * chunk / batches

    def _linear_s(self, new: int) -> float:
        _, tokens = self._micro_batches(new)
        handover_bytes = tokens * self.model.hidden * self._activation_bytes
        return self._layers_s(tokens) + self.stages * allreduce_s(self.gpu, handover_bytes, 2)

    def _rows(self, decodes: int, batches: int) -> float:
        """Time of the output layer, which all micro-batches pass, and of what does not depend on contexts."""
        launch_s = self.model.layers * self.gpu.kv_read_launch_s if decodes else 0.0
        return launch_s + self.sequence_s * decodes + batches * self.head_s(max(1, -(-decodes // batches)))

    def step_s(self, new: int, decodes: int = 0, context_tokens: float = 0.0, pairs: float = 0.0) -> float:
        """Return the duration of one step in s (parameters: `StepCost.step_s`)."""
        batches, _ = self._micro_batches(new)
        time_s = self.fixed_s + self.linear_s(new) + self._rows(decodes, batches)
        time_s += self.alpha_s * context_tokens / batches
        if pairs:
            time_s += self._prefill_s(-(-(new - decodes) // batches), pairs / batches)
        return time_s

    def prefill_s(self, start: int, end: int, chunk: int) -> float:
        """Return the time to prefill tokens ``[start, end)`` alone, in chunks of `chunk` tokens, in s."""
        return summed_prefill_s(self, start, end, chunk)
