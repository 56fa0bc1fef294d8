"""From a scenario to its results: build the simulated world, run it, collect the records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from devices.errors import SimulatorError
from simulator.assembly import World, assemble
from simulator.core import Environment, EventLog, Streams, Table
from simulator.faults.injector import Injector
from simulator.faults.periods import Faults
from simulator.metrics.accounting import accounting_notes
from simulator.metrics.cautions import cautions
from simulator.metrics.summary import summarize
from simulator.policies.decoding import Decoding
from simulator.policies.decoding.autoregressive import Autoregressive
from simulator.scenario.spec import Scenario
from simulator.serving.models import load_model
from simulator.serving.sequence import FAILED
from simulator.serving.step_cost import StepCost
from simulator.totals import DeviceTotals, totals_by_device

if TYPE_CHECKING:
    from simulator.streaming.group import GroupResult


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """Everything that one run has left behind; every metric derives from it."""

    scenario: Scenario
    """What was simulated."""
    seed: int
    """Root of the random streams."""
    replication: int
    """Number of the replication."""
    simulated_s: float
    """Simulated time at the end."""
    requests: dict[str, Table]
    """Per LLM service: one row per request (`simulator.serving.service.request_schema`)."""
    intervals: dict[str, Table]
    """Per LLM service: one row per run of engine steps (`simulator.serving.build.INTERVALS`)."""
    generations: dict[str, Table]
    """Per LLM service whose requests have dependency graphs: one row per generation
    (`simulator.serving.answer.GENERATIONS`)."""
    devices: dict[str, DeviceTotals]
    """Per device: totals."""
    notes: tuple[str, ...]
    """What a reader must know, such as that a workload is a synthetic stand-in."""
    viewers: dict[str, Table] = field(default_factory=dict)
    """Per streaming service: one row per session and phone (`simulator.streaming.viewing.VIEWER_COLUMNS`)."""
    sessions: dict[str, dict[int, GroupResult]] = field(default_factory=dict)
    """Per streaming service and number of the session: chunks, viewing, phones over time and the log; empty where they
    were not kept (see `simulator.experiments.run_store`)."""
    pointers: dict[str, Table] = field(default_factory=dict)
    """Per LLM service: one row per phase in which KV of a prompt was computed or loaded
    (`simulator.serving.pointers.POINTERS`); kept where `intervals` are."""
    asks: dict[str, Table] = field(default_factory=dict)
    """Per assistant: one row per question (`simulator.assistant.runtime.ASKS`)."""
    faults: Table | None = None
    """One row per occurrence of a fault (`simulator.faults.records.FAULTS`); None where the scenario has none."""
    events: int = 0
    """Events of the clock: what the run took, as its wall time is, and no figure of what was simulated."""

    def summary(self) -> dict[str, object]:
        """Return the summary of the run as plain data: a pure function of scenario, seed and version."""
        return summarize(self)


def simulate(
    scenario: Scenario,
    replication: int = 0,
    resolve: Callable[[str], Path] = Path,
    step_by_step: bool = False,
    costs: Mapping[str, StepCost] = MappingProxyType({}),
    log: EventLog | None = None,
) -> RunResult:
    """Run one scenario.

    Parameters
    ----------
    scenario
        What to simulate.
    replication
        Number of the replication: another one has other random numbers.
    resolve
        Turns a path of the scenario into a file (see `simulator.scenario.load.resolver`).
    step_by_step
        Advance one engine step at a time: slow, for checks of the closed form.
    costs
        Step costs by service, with model and GPU, instead of the catalogue's: for fits and sensitivity studies.
    log
        Gets an entry for everything that happens to a request; None: nothing is logged.

    Raises
    ------
    InputError
        For bad files or a scenario that cannot be built.
    SimulatorError
        Where a policy decides nonsense or the run ends with requests that can never be answered.
    """
    env = Environment()
    env.log = log
    streams = Streams(scenario.seed, replication)
    faults = Faults(scenario.faults, streams)
    world = assemble(env, scenario, streams, faults, resolve, step_by_step, costs)
    for feed in world.feeds:
        feed.start()
    for runtime in world.streaming.values():
        runtime.start()
    injector = None
    if scenario.faults:
        last_s = max((feed.last_known_s for feed in world.feeds), default=0.0)
        busy_until_s = last_s if scenario.horizon is None else min(last_s, scenario.horizon)
        injector = Injector(
            env, scenario, faults, world.services, world.storage, world.processors, busy_until_s
        )
        injector.run(scenario.horizon)
        injector.close()
    else:
        env.run(until=scenario.horizon)
    for service in world.services.values():
        service.stop()
    for runtime in world.streaming.values():
        runtime.stop()
        if injector is not None:
            injector.records.extend(runtime.faults)
    for name, asked in (world.services | world.assistants).items():
        unfinished = asked.close()
        if unfinished and scenario.horizon is None:
            raise SimulatorError(
                f"service {name!r} has stopped with {unfinished} requests that it never answered"
            )
    ends_s = [session.end_s for run in world.streaming.values() for session in run.sessions.values()]
    end_s = env.now if world.services or world.assistants else max(ends_s, default=env.now)
    return RunResult(
        scenario=scenario,
        seed=scenario.seed,
        replication=replication,
        simulated_s=end_s,
        requests={name: service.records for name, service in world.services.items()},
        intervals={
            name: service.intervals
            for name, service in world.services.items()
            if service.intervals is not None
        },
        generations={
            name: service.generations
            for name, service in world.services.items()
            if service.generations is not None
        },
        devices=totals_by_device(
            scenario,
            world.services,
            world.storage,
            world.streaming,
            world.assistants,
            world.processors,
            end_s,
        ),
        notes=(
            *world.notes,
            *accounting_notes(scenario),
            *_outcome_notes(scenario, world),
            *(
                note
                for name, service in (world.services | world.assistants).items()
                for note in cautions(scenario, name, service.records)
            ),
            *(note for run in world.streaming.values() for note in run.notes),
        ),
        viewers={name: run.viewers for name, run in world.streaming.items()},
        sessions={name: run.sessions for name, run in world.streaming.items()},
        pointers={
            name: service.pointers for name, service in world.services.items() if service.pointers is not None
        },
        asks={name: assistant.records for name, assistant in world.assistants.items()},
        faults=None if injector is None else injector.records,
        events=env.count_events(),
    )


def _outcome_notes(scenario: Scenario, world: World) -> Iterator[str]:
    """Say what the figures alone would hide."""
    for name, assistant in scenario.assistants.items():
        for device in assistant.phones:
            phone, place = scenario.devices[device].phone, assistant.places.device
            own = None if phone is None or phone.npu is None else phone.npu.soc
            if place is not None and own is not None and place.soc_of(phone) != own:
                yield (
                    f"services.{name}: questions on {device} are answered at the rates of {place.soc_of(phone)}, as "
                    f"places.device.soc says, while its npu is that of {own}"
                )
    for name, runtime in world.services.items():
        records = runtime.records
        if runtime.oversized:
            yield (
                f"services.{name}: {runtime.oversized} requests are longer than the whole KV cache of a replica: failed"
            )
        given_up = int((records.column("status") == FAILED).sum()) - runtime.oversized
        if given_up:
            yield f"services.{name}: {given_up} requests were lost to faults and not rescued: failed"
        service = scenario.llm_services[name]
        if name not in scenario.graph_services and not isinstance(service.policies.decoding, Autoregressive):
            yield (
                f"services.{name}: its requests have no dependency graphs, so that all are decoded one token after "
                "the other, whatever policies.decoding says"
            )
        decoding: Decoding = service.policies.decoding  # type: ignore[assignment]
        for other in decoding.services:
            yield (
                f"services.{other}: decodes parts of the answers of {name}, which are counted there; the quality "
                "surrogate does not count the size of its model"
            )
        model = load_model(service.model)
        for gpu in {it.gpus: it.cost.gpu for it in runtime.replicas if not it.cost.gpu.tdp_w}.values():
            yield f"services.{name}: the power of {gpu.name} is not known; its energy is left out (0 J)"
        tokens = records.column("input_tokens") + records.column("output_tokens")
        beyond = int((tokens > model.context_tokens).sum())
        if beyond:
            yield (
                f"services.{name}: {beyond} requests exceed the {model.context_tokens} tokens of context that "
                f"{model.name} was trained for; they are simulated all the same"
            )
