"""What engine steps cost in energy on a tensor-parallel group of GPUs.

Power is idle power, plus energy per floating-point operation, plus energy per byte of memory traffic, held at the
board's limit.
"""

from __future__ import annotations

import math
from functools import lru_cache

from devices.profiles import NUMBER_FORMATS, GpuProfile
from simulator.serving.models import ModelSpec
from simulator.serving.work import (
    flops_per_pair,
    kv_bytes_per_token_per_group,
    micro_batches,
    read_parameters,
)


class StepEnergy:
    """Energy of engine steps for one model on one replica's GPUs.

    Parameters are those of `simulator.serving.step_cost.StepCost`; `stages` is the number of pipeline stages, each of
    which reads its weights once per micro-batch.
    """

    __slots__ = ("context_j", "idle_w", "limit_w", "pair_j", "step_j")

    def __init__(
        self,
        model: ModelSpec,
        gpu: GpuProfile,
        tensor_parallel: int,
        number_format: str,
        background_tokens: int,
        background_pairs: float,
        stages: int = 1,
    ) -> None:
        self.idle_w = gpu.idle_w * tensor_parallel * stages
        """Power of the group when nothing runs, in W."""
        self.limit_w = gpu.tdp_w * tensor_parallel * stages
        """Most that the boards of the group may draw, in W."""
        self.pair_j = flops_per_pair(model) * gpu.joules_per_flop
        """Energy per query-key pair above idle, in J."""
        self.context_j = kv_bytes_per_token_per_group(model, tensor_parallel) * gpu.joules_per_byte
        """Energy per cached token that a decode reads, above idle, in J."""
        width = NUMBER_FORMATS[number_format] / 8
        head_bytes = model.vocabulary * model.hidden * max(2.0, width)
        token_j = 2.0 * model.active_layer_parameters * gpu.joules_per_flop
        background_j = background_pairs * self.pair_j

        @lru_cache(maxsize=1 << 12)
        def step_j(new: int) -> float:
            tokens = new + background_tokens
            batches, size = micro_batches(tokens, stages)
            read_bytes = batches * (read_parameters(model, size) * width + head_bytes)
            return read_bytes * gpu.joules_per_byte + tokens * token_j + background_j

        self.step_j = step_j
        """``step_j(new)``: energy of a step above idle but for attention, in J."""

    def constant_j(self, new: int, decodes: int) -> float:
        """Return the energy of a step above idle but for attention, in J."""
        return float(self.step_j(new))

    def run_j(
        self,
        steps: int,
        step_s: float,
        growth_s: float,
        new: int,
        context_tokens: float,
        context_growth: float,
        pairs: float,
        pairs_growth: float,
        share: float = 1.0,
        decodes: int = 0,
    ) -> float:
        """Return the energy of the group over equal steps, idle power included, in J.

        Parameters
        ----------
        steps
            Number of steps.
        step_s, growth_s
            Duration of the first step, and by how much each further one is longer.
        new
            Tokens that each step computes.
        context_tokens, context_growth
            Tokens that decodes read in the first step, and how many more in each further one.
        pairs, pairs_growth
            Query-key pairs of prefill chunks in the first step, and how many more in each further one.
        decodes
            Sequences that decode.
        share
            Share of the GPU that the steps have, and thereby of what the board may draw above idle.

        Notes
        -----
        Each step's power is held at the board limit. Work and limit are both linear in the number of the step, so
        that one of them is the smaller up to where they cross and the other one from there.
        """
        spare_w = share * (self.limit_w - self.idle_w)
        work_j = self.constant_j(new, decodes) + context_tokens * self.context_j + pairs * self.pair_j
        work_growth_j = context_growth * self.context_j + pairs_growth * self.pair_j
        limit_j, limit_growth_j = spare_w * step_s, spare_w * growth_s
        triangle = 0.5 * steps * (steps - 1)
        idle_j = self.idle_w * (steps * step_s + growth_s * triangle)
        over_j, over_growth_j = work_j - limit_j, work_growth_j - limit_growth_j
        if over_j <= 0.0 and over_j + over_growth_j * (steps - 1) <= 0.0:
            return idle_j + steps * work_j + work_growth_j * triangle
        if over_j >= 0.0 and over_j + over_growth_j * (steps - 1) >= 0.0:
            return idle_j + steps * limit_j + limit_growth_j * triangle
        first = min(steps, math.ceil(-over_j / over_growth_j))  # steps on this side of the crossing
        rest, early = steps - first, 0.5 * first * (first - 1)
        here, here_growth, there, there_growth = (
            (work_j, work_growth_j, limit_j, limit_growth_j)
            if over_j < 0.0
            else (limit_j, limit_growth_j, work_j, work_growth_j)
        )
        return idle_j + first * here + here_growth * early + rest * there + there_growth * (triangle - early)
