"""RobustMPC: MPC that discounts its prediction by how wrong it was of late."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from simulator.policies.abr.mpc import Mpc, MpcSession
from simulator.policies.abr.protocol import AbrSession, Download, Ladder
from simulator.policies.registry import register


@register("abr", "robust_mpc")
@dataclass(frozen=True, slots=True)
class RobustMpc(Mpc):
    """MPC with the predicted throughput divided by 1 + the largest relative error of the last predictions.

    Source: Yin et al., SIGCOMM 2015, as in Pensieve's test bed (SIGCOMM 2017): the errors are those of the
    undiscounted predictions, as many as `window`.
    """

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return _Session(self, ladder)


class _Session(MpcSession):
    def __init__(self, rule: RobustMpc, ladder: Ladder) -> None:
        super().__init__(rule, ladder)
        self._errors: deque[float] = deque(maxlen=rule.window)

    def predict_bps(self) -> float | None:
        mean_bps = self._mean.bps
        return None if mean_bps is None else mean_bps / (1.0 + max(self._errors, default=0.0))

    def downloaded(self, download: Download) -> None:
        predicted_bps = self._mean.bps
        if predicted_bps is not None:
            actual_bps = download.bits / download.time_s
            self._errors.append(abs(predicted_bps - actual_bps) / actual_bps)
        super().downloaded(download)
