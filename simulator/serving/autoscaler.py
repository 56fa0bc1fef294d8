"""Switches replicas of a service on and off, as a policy decides.

A replica that is switched on starts up, reads its weights, and takes requests from then on. One that is switched off
takes no more requests, answers those that it has, and is off at the first decision that finds it empty.

There is a decision every period. While no request is under way they are put off: they are taken, each as of its own
time, when a request comes, a fault changes what there is, or the run ends. So they keep no run alive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from simulator.core import Call, Environment
from simulator.policies.autoscaling import Autoscaling, PoolView
from simulator.policies.registry import nonsense
from simulator.serving.replica import Replica
from simulator.serving.replica_pool import ReplicaPool
from simulator.serving.storage import StorageDevice

WEIGHT_OPERATION_BYTES = 16 * 2**20
"""Size of a read of weights (assumed: large enough that the delay per operation does not count)."""


class Autoscaler:
    """Keeps as many replicas of a pool on as its policy wants.

    Parameters
    ----------
    env
        The simulation's environment.
    pool
        The service's replicas.
    policy
        Says how many should be on; its `minimum` is a number.
    startup_s
        Time until a replica that is switched on begins to load weights.
    weights_bytes
        Weights of one replica.
    weights_from
        Storage device that they are read from; None: they take no time.
    first_port
        Port of the first replica.
    outstanding
        Returns the requests that have arrived and are not answered.
    on_up
        Told when another replica takes requests.
    """

    def __init__(
        self,
        env: Environment,
        pool: ReplicaPool,
        policy: Autoscaling,
        startup_s: float,
        weights_bytes: float,
        weights_from: StorageDevice | None,
        first_port: int,
        outstanding: Callable[[], int],
        on_up: Callable[[], None],
    ) -> None:
        self._env = env
        self._pool = pool
        self._policy = policy
        self._startup_s = startup_s
        self._weights_bytes = weights_bytes
        self._weights_from = weights_from
        self._first_port = first_port
        self._outstanding = outstanding
        self._on_up = on_up
        self._off: set[int] = set()
        self._starting: dict[int, float] = {}  # since when
        self._draining: dict[int, Replica] = {}  # the first one to be emptied first
        self._wanted: deque[tuple[float, int]] = deque()  # when, and how many; of the settling time
        self._busy_s = [0.0] * len(pool.replicas)  # at the last decision
        self._decided_s = 0.0
        self._next_s: float | None = None  # when the next decision is due; None: nothing would change
        self._call: Call | None = None  # which takes it; None where it is put off
        for replica in pool.replicas[policy.minimum or 0 :]:
            pool.close(replica)
            self._off.add(replica.index)
            replica.uptime.switch(env.now, off=True)

    def wake(self) -> None:
        """A request arrives: decide from now on."""
        if self._call is None:
            self.catch_up()
            if self._next_s is None:
                # At once where nobody can take it; else what it asks of the pool shows by the end of a period.
                self._next_s = self._env.now + (self._policy.period if self._pool.up else 0.0)
                self._note_busy(self._env.now)
            self._call = self._env.call_at(self._next_s, self._decide_now)

    def rest(self) -> None:
        """No request is under way: put decisions off, unless somebody is starting, who keeps the clock going anyway."""
        if self._call is not None and not self._starting:
            self._call.cancel()
            self._call = None

    def catch_up(self) -> None:
        """Take the decisions that have been put off up to now."""
        while self._call is None and self._next_s is not None and self._next_s <= self._env.now:
            self._decide(self._next_s)

    def _decide_now(self) -> None:
        self._call = None
        assert self._next_s is not None
        self._decide(self._next_s)
        if self._next_s is not None and (self._outstanding() or self._starting):
            self._call = self._env.call_at(self._next_s, self._decide_now)

    def _decide(self, now: float) -> None:
        """Ask the policy as of a time, and switch on and off accordingly."""
        pool, policy = self._pool, self._policy
        for replica in list(self._draining.values()):
            if not replica.outstanding_tokens:
                del self._draining[replica.index]
                replica.fail()  # forgets its KV; it has no request
                self._off.add(replica.index)
                replica.uptime.switch(now, off=True)
        serving = list(pool.up)
        outstanding = self._outstanding()
        view = PoolView(
            len(pool.replicas),
            len(serving),
            len(self._starting),
            outstanding,
            self._utilisation(serving, now),
        )
        wanted = policy.replicas(view)
        if type(wanted) is not int or not (policy.minimum or 0) <= wanted <= view.most:
            allowed = f"{policy.minimum}..{view.most}"
            raise nonsense("autoscaling", policy, f"wants {wanted!r} replicas; allowed: {allowed}")
        self._wanted.append((now, wanted))
        while self._wanted[0][0] < now - policy.settle:
            self._wanted.popleft()
        target = max(it for _, it in self._wanted)
        have = len(serving) + len(self._starting)
        self._scale_up(wanted - have, now)
        self._scale_down(serving, have - target)
        self._note_busy(now)
        again = outstanding or self._starting or self._draining or target > wanted
        self._next_s = now + policy.period if again else None

    def _scale_up(self, more: int, now: float) -> None:
        """Take back who is being emptied first, then switch on who is off and not broken."""
        for replica in list(self._draining.values())[: max(0, more)]:
            del self._draining[replica.index]
            self._pool.open(replica)
            more -= 1
        for index in [it for it in sorted(self._off) if not self._pool.is_broken(it)][: max(0, more)]:
            replica = self._pool.replicas[index]
            self._off.discard(index)
            replica.uptime.switch(now, off=False)
            self._starting[index] = self._env.now
            starts_s = max(now + self._startup_s, self._env.now)  # a decision that was put off may be late
            self._env.call_at(starts_s, partial(self._load, replica))

    def _scale_down(self, serving: list[Replica], fewer: int) -> None:
        """Empty those that have the least to do, of these the last ones."""
        if fewer > 0:
            for replica in sorted(serving, key=lambda it: (it.outstanding_tokens, -it.index))[:fewer]:
                self._draining[replica.index] = replica
                self._pool.close(replica)

    def _load(self, replica: Replica) -> None:
        """Read the weights of a replica that has started up."""
        if self._weights_from is None:
            self._started(replica)
        else:
            self._weights_from.read_bytes += self._weights_bytes
            self._weights_from.read(
                self._first_port + replica.index,
                self._weights_bytes,
                WEIGHT_OPERATION_BYTES,
                partial(self._started, replica),
            )

    def _started(self, replica: Replica) -> None:
        self._starting.pop(replica.index, None)
        self._pool.open(replica)
        self._on_up()

    def until_up_s(self, replica: Replica) -> float:
        """Return how long a closed replica would take to be up if it were wanted from now on, in s.

        That is what is left of starting up and of reading its weights from idle storage; nothing for one that is being
        emptied, which is taken back. That a decision may be a period away is left out.
        """
        index = replica.index
        if index in self._draining:
            return 0.0
        starting_s = self._startup_s
        if self._weights_from is not None:
            port = self._first_port + index
            starting_s += self._weights_from.estimate_s(
                port, self._weights_bytes, WEIGHT_OPERATION_BYTES, idle=True
            )
        since_s = self._starting.get(index, self._env.now)
        return max(0.0, starting_s - (self._env.now - since_s))

    def stop(self) -> None:
        """Bring everything up to date where the simulation stops."""
        self.catch_up()
        for replica in self._pool.replicas:
            replica.uptime.book(self._env.now)

    def _utilisation(self, serving: list[Replica], now: float) -> float:
        """Return the share of the time since the last decision for which those that serve were computing."""
        elapsed_s = now - self._decided_s
        if not serving or elapsed_s <= 0.0:
            return 0.0
        busy_s = sum(it.busy_until_now_s() - self._busy_s[it.index] for it in serving)
        return min(1.0, busy_s / elapsed_s / len(serving))

    def _note_busy(self, now: float) -> None:
        self._decided_s = now
        self._busy_s = [it.busy_until_now_s() for it in self._pool.replicas]
