"""One GPU between the engine steps of a replica and super-resolution (SR).

A sharing policy says how fast either goes while one or both have work. The fluid limit holds at the granularity of
engine steps: a step keeps the share that it has begun with, and until it ends SR gets what that leaves. So a step under
way is never stopped nor hurried; without a share the next one is held until the policy grants it one.
"""

from __future__ import annotations

from math import isfinite

from simulator.core import WorkQueue
from simulator.policies.gpu_sharing import GpuSharing, Shares
from simulator.policies.registry import nonsense
from simulator.serving.run_loop import RunLoop

ROUNDING = 1e-9
"""By how much two shares may exceed 1 together."""


class GpuShare:
    """Grants shares of a GPU.

    Parameters
    ----------
    policy
        Decides.
    loop
        Engine steps of the replica on that GPU.
    sr
        SR on it.

    Raises
    ------
    PolicyError
        Where the policy decides nonsense.
    """

    def __init__(self, policy: GpuSharing, loop: RunLoop, sr: WorkQueue) -> None:
        self._shares = {
            (llm, sr): _checked(policy, llm, sr) for llm, sr in ((True, False), (False, True), (True, True))
        }
        self._loop = loop
        self._sr = sr
        self._llm = 0.0  # what the step under way has; 0 without one
        loop.gate = self
        sr.on_turn = self._sr_turns
        self._sr_alone()

    def begin(self) -> float:
        """Return the share of the run of steps that is about to be formed; 0: it must wait for `RunLoop.resume`."""
        shares = self._shares[True, self._sr.busy]
        self._llm = shares.llm
        self._sr.set_share(shares.sr)
        return shares.llm

    def idle(self) -> None:
        """There is no engine step to run."""
        self._llm = 0.0
        self._sr_alone()

    def outlook(self) -> tuple[float, float]:
        """Return the share that engine steps would begin with now, and how long they would wait for it, in s.

        Where they get none beside SR that is the share without it, once it has done what it has by now.
        """
        shares = self._shares[True, self._sr.busy]
        if shares.llm:
            return shares.llm, 0.0
        return self._shares[True, False].llm, self._sr.left_s / shares.sr

    def _sr_alone(self) -> None:
        self._sr.set_share(self._shares[False, True].sr)

    def _sr_turns(self, busy: bool) -> None:
        """SR has got work, or has done all."""
        loop = self._loop
        if not loop.running:
            self._sr_alone()
            return
        shares = self._shares[True, busy]
        self._sr.set_share(min(shares.sr, 1.0 - self._llm))
        if shares.llm != self._llm:
            if loop.held:
                loop.resume()
            else:
                loop.cut()


def _checked(policy: GpuSharing, llm: bool, sr: bool) -> Shares:
    """Ask the policy about one case, and check what it says."""
    shares = policy.shares(llm, sr)
    if not isinstance(shares, Shares):
        raise nonsense("gpu_sharing", policy, f"decides {shares!r}; allowed: Shares")
    for share in (shares.llm, shares.sr):
        if not (type(share) in (int, float) and isfinite(share) and 0.0 <= share <= 1.0):
            raise nonsense("gpu_sharing", policy, f"gives a share of {share!r}; allowed: 0 to 1")
    if shares.llm + shares.sr > 1.0 + ROUNDING:
        raise nonsense(
            "gpu_sharing", policy, f"gives more than the whole GPU: {shares.llm!r} and {shares.sr!r}"
        )
    if not ((llm and shares.llm) or (sr and shares.sr)):
        raise nonsense("gpu_sharing", policy, f"gives nothing to who has work (LLM: {llm}, SR: {sr})")
    return shares
