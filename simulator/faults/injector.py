"""Lets the faults of a scenario happen to its GPUs, storage devices and links while the simulation runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import merge
from itertools import groupby, zip_longest
from math import inf, prod

from simulator.core import Environment, Table, WorkQueue
from simulator.faults.periods import MOST_FAULTS, Change, Faults, too_many
from simulator.faults.records import FAULTS
from simulator.scenario.spec import Scenario
from simulator.serving.replica import Replica
from simulator.serving.service import ServiceRuntime
from simulator.serving.storage import StorageDevice


class _Gpus:
    """One unit of a GPU device: a replica, SR for phones, or both; what is wrong with it at the moment."""

    def __init__(self, served: tuple[ServiceRuntime, Replica] | None, sr: WorkQueue | None) -> None:
        self.service = None if served is None else served[0]
        self.replica = None if served is None else served[1]
        self.sr = sr
        self.failures = 0
        self.since_s = 0.0
        self.speeds: dict[str, float] = {}

    def fail(self, now_s: float, returns: bool) -> int:
        """Fail, once more where it has failed already; return the tokens of KV that are lost."""
        if not self.failures:
            self.since_s = now_s
        self.failures += 1
        lost_tokens = 0
        if self.service is not None and self.replica is not None:
            self.service.catch_up()
            self.replica.uptime.damage(now_s, broken=True)
            lost_tokens = self.service.fail(self.replica, returns)
        if self.sr is not None:
            self.sr.fail(returns)
        return lost_tokens

    def repair(self, now_s: float) -> None:
        """End one failure."""
        self.failures -= 1
        if self.failures:
            return
        if self.service is not None and self.replica is not None:
            self.service.catch_up()
            self.replica.uptime.damage(now_s, broken=False)
            self.service.repair(self.replica)
        if self.sr is not None:
            self.sr.down_s += now_s - self.since_s
            self.sr.repair()

    def stop(self, now_s: float) -> None:
        """Book the time for which it has been down when the simulation stops."""
        if self.replica is not None:
            self.replica.uptime.book(now_s)
        if self.failures and self.sr is not None:
            self.sr.down_s += now_s - self.since_s

    def slow(self) -> None:
        """Go at the product of the speeds that are left."""
        speed = prod(self.speeds.values(), start=1.0)
        if self.replica is not None:
            self.replica.set_speed(speed)
        if self.sr is not None:
            self.sr.set_pace(speed)


class Injector:
    """Runs the simulation from one beginning or end of a fault to the next.

    Faults keep no clock alive: they come only as long as something else is still to happen or waits for a repair.

    Parameters
    ----------
    env
        The simulation's environment.
    scenario, faults
        What is simulated, and its faults.
    services, storage
        By name.
    processors
        SR on the units of those GPU devices that help phones, by name; replicas on the same device stand on the first.
    busy_until_s
        Time until which there will surely be something to do: that of the last arrival that is known.

    Raises
    ------
    InputError
        Where faults are so frequent that there would be more than `MOST_FAULTS` of one by then.
    """

    def __init__(
        self,
        env: Environment,
        scenario: Scenario,
        faults: Faults,
        services: Mapping[str, ServiceRuntime],
        storage: Mapping[str, StorageDevice],
        processors: Mapping[str, Sequence[WorkQueue]],
        busy_until_s: float = 0.0,
    ) -> None:
        self._env = env
        self._faults = faults
        self._services = services
        self._storage = storage
        self.records = Table(FAULTS)
        """One row per occurrence of a fault."""
        replicas: dict[str, list[tuple[ServiceRuntime, Replica]]] = {name: [] for name in processors}
        for name, service in scenario.llm_services.items():
            for phase in service.phases:
                for gpus in phase.pool:
                    replicas.setdefault(gpus, [])
            for replica in services[name].replicas:
                replicas[replica.gpus].append((services[name], replica))
        self._gpus = {
            name: [_Gpus(replica, sr) for replica, sr in zip_longest(mine, processors.get(name, ()))]
            for name, mine in replicas.items()
        }
        self._broken = dict.fromkeys(storage, 0)  # failures of a storage device that are not over
        self._present: dict[tuple[str, int], tuple[Change, int]] = {}  # what is not over, and the tokens lost
        self._number = dict.fromkeys(faults.specs, 0)  # how often each fault has come, all units together
        streams = []
        for name, spec in faults.specs.items():
            count = len(self._gpus.get(spec.device or "", ())) or 1
            units_struck = range(count) if spec.unit is None else (spec.unit,)
            if spec.link is not None or spec.device in self._gpus or spec.device in storage:
                if faults.expected(name, busy_until_s) * len(units_struck) > MOST_FAULTS:
                    raise too_many(name, busy_until_s)
                streams += [faults.changes(name, unit) for unit in units_struck]
        self._changes = merge(*streams, key=lambda change: change.time_s)

    def run(self, until: float | None) -> None:
        """Run to `until`, or until nothing is left to happen."""
        env = self._env
        for time_s, changes in groupby(self._changes, key=lambda change: change.time_s):
            if until is not None and time_s >= until:
                break
            env.run_before(time_s)
            if env.peek() == inf and not any(service.stranded for service in self._services.values()):
                break
            env.advance(time_s)
            for change in changes:
                if change.begins:
                    self._begin(change)
                else:
                    self._end(change)
            for service in self._services.values():
                service.recover()
        env.run(until=until)

    def close(self) -> None:
        """Record what is not over when the simulation stops."""
        now_s = self._env.now
        for units in self._gpus.values():
            for unit in units:
                unit.stop(now_s)
        for change, lost_tokens in self._present.values():
            self._record(change, now_s, lost_tokens)

    def _begin(self, change: Change) -> None:
        env, spec = self._env, self._faults.specs[change.fault]
        device = spec.device or ""
        self._log("fault", change)
        self._number[change.fault] += 1
        if self._number[change.fault] > MOST_FAULTS:
            raise too_many(change.fault, env.now)
        lost_tokens = 0
        if device in self._gpus:
            unit = self._gpus[device][change.unit]
            if spec.kind == "failure":
                lost_tokens = unit.fail(env.now, change.period.end_s < inf)
            else:
                assert spec.factor is not None
                unit.speeds[change.fault] = spec.factor
                unit.slow()
        elif device in self._storage and spec.kind == "failure":
            self._broken[device] += 1
            self._lose(self._storage[device])
        self._present[change.fault, change.unit] = change, lost_tokens

    def _end(self, change: Change) -> None:
        env, spec = self._env, self._faults.specs[change.fault]
        device = spec.device or ""
        self._log("repair", change)
        if device in self._gpus:
            unit = self._gpus[device][change.unit]
            if spec.kind == "failure":
                unit.repair(env.now)
            else:
                del unit.speeds[change.fault]
                unit.slow()
        elif device in self._storage and spec.kind == "failure":
            self._broken[device] -= 1
            if not self._broken[device]:
                self._storage[device].repair()
        begun, lost_tokens = self._present.pop((change.fault, change.unit))
        self._record(begun, env.now, lost_tokens)

    def _lose(self, device: StorageDevice) -> None:
        """Let a storage device fail, and whoever loads from it make do without."""
        device.fail()
        for service in self._services.values():
            tiers = service.tiers.tiers
            if device in tiers:
                for replica in service.replicas:
                    replica.lose_tier(tiers.index(device))

    def _record(self, change: Change, end_s: float, lost_tokens: int) -> None:
        spec = self._faults.specs[change.fault]
        target = spec.device or spec.link or ""
        struck = self._gpus[target][change.unit].service if target in self._gpus else None
        self.records.append(
            change.fault,
            spec.kind,
            target,
            "gpu" if target in self._gpus else "link" if spec.link is not None else "storage",
            change.unit,
            "" if struck is None else struck.name,
            -1,
            change.time_s,
            end_s,
            lost_tokens,
        )

    def _log(self, kind: str, change: Change) -> None:
        if self._env.log is not None:
            spec = self._faults.specs[change.fault]
            self._env.log.add(
                self._env.now,
                kind,
                f"{spec.device or spec.link}/{change.unit}",
                f"{change.fault} ({spec.kind})",
            )
