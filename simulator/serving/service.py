"""An LLM service at run time: its replicas, the router before them, and the records of its requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.core import Channel, Environment, Table
from simulator.policies.decoding import Decoding, Question, check_generations
from simulator.policies.node_order import NodeOrder
from simulator.policies.recovery import Recovery
from simulator.policies.routing import Routing
from simulator.serving.answer import GENERATIONS, Answer
from simulator.serving.autoscaler import Autoscaler
from simulator.serving.feed import Asker
from simulator.serving.handover import Handover
from simulator.serving.kv_tiers import KvTiers
from simulator.serving.prefill import PrefillStage
from simulator.serving.prefix_ids import Instructions
from simulator.serving.replica import Replica
from simulator.serving.replica_pool import ANYWHERE, ReplicaPool
from simulator.serving.rescue import Rescues
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED, GenerationSequence, Sequence
from simulator.workloads.graphs import AnswerGraph

GRAPH_COLUMNS = {
    "category": "text",
    "answer_tokens": "q",
    "generations": "i",
    "plan_tokens": "q",
    "decoded_tokens": "q",
    "prompt_tokens": "q",
    "edges": "i",
    "visible_edges": "i",
    "planned": "B",
    "critical_tokens": "q",
}
"""Further columns of a service whose requests have dependency graphs: tokens of the answer as the graph has it (a
policy may make more of them, which are its ``output_tokens``; 0: this request has no graph); generations that the
answer was decoded in; tokens decoded for planning and in all; lengths of all their prompts; dependencies, and those
whose parent stood before the node when it was decoded; whether there was a plan; answer tokens on the longest path of
the graph."""


HANDOVER_COLUMNS = {
    "prefill_replica": "i",
    "transfer_start_s": "d",
    "transfer_end_s": "d",
    "transfer_bytes": "d",
}
"""Further columns of a service that prefills apart: the replica that has prefilled the request last; when the last
transfer of its KV to a replica that decodes began (blocks were reserved there) and ended, and its bytes; -1 where there
was none, as for answers of one token."""


def request_schema(
    tiers: list[str], graphs: bool = False, faults: bool = False, handovers: bool = False
) -> dict[str, str]:
    """Return the columns of a request's row and their types (see `simulator.core.records.Table`).

    Times are in s of simulated time, -1 where they did not happen. ``found_<tier>_tokens`` counts what lay in a
    tier at admission, ``loaded_<tier>_tokens`` what was loaded from it; a request that was preempted counts again, as
    does one that was lost with its GPU. ``retries``, where the scenario has faults, says how often that was made good.
    """
    columns = {
        "request": "q",
        "workload": "text",
        "replica": "i",
        "status": "B",
        "arrival_s": "d",
        "admitted_s": "d",
        "first_token_s": "d",
        "finish_s": "d",
        "input_tokens": "q",
        "output_tokens": "q",
        "resident_tokens": "q",
        "computed_tokens": "q",
        "preemptions": "i",
    }
    for tier in tiers:
        columns[f"found_{tier}_tokens"] = "q"
        columns[f"loaded_{tier}_tokens"] = "q"
    if faults:
        columns["retries"] = "i"
    if handovers:
        columns |= HANDOVER_COLUMNS
    return columns | GRAPH_COLUMNS if graphs else columns


class ServiceRuntime:
    """Feeds requests to replicas and records what became of them.

    Parameters
    ----------
    env
        The simulation's environment.
    name
        Name of the service in the scenario.
    routing
        Policy that picks a replica.
    tiers
        Its storage tiers.
    decoding, node_order
        Policies for requests whose answer is a dependency graph.
    instructions
        Ids of prefix blocks of generations.
    request_overhead_s
        Time from a request's arrival until the router sees it.
    recovery
        Policy for requests that are lost with a GPU.
    graphs
        Whether requests have graphs, so that their rows have `GRAPH_COLUMNS` and there is a table of generations.
    faults
        Whether anything may fail, so that rows tell of retries.
    prefills_apart
        Whether other replicas prefill than decode, so that rows have `HANDOVER_COLUMNS`.
    """

    def __init__(
        self,
        env: Environment,
        name: str,
        routing: Routing,
        tiers: KvTiers,
        decoding: Decoding,
        node_order: NodeOrder,
        instructions: Instructions,
        request_overhead_s: float,
        recovery: Recovery,
        graphs: bool = False,
        faults: bool = False,
        prefills_apart: bool = False,
    ) -> None:
        self.env = env
        self.request_overhead_s = request_overhead_s
        self.name = name
        self.pool = ReplicaPool(routing)
        self.rescues = Rescues(self.pool, recovery, self._send, self._give_up)
        self._recovery = recovery
        self.tiers = tiers
        self.decoding = decoding
        self.node_order = node_order
        self.instructions = instructions
        self.peers: dict[str, ServiceRuntime] = {}
        """All LLM services by name, for answers of which another one decodes a part."""
        self.tier_names = [tier.name for tier in tiers.tiers]
        self.intervals: Table | None = None
        """One row per run of engine steps; None where the scenario does not keep them."""
        self.pointers: Table | None = None
        """One row per phase in which a pointer of a prompt moved (`simulator.serving.pointers.POINTERS`); likewise."""
        self.records = Table(request_schema(self.tier_names, graphs, faults, prefills_apart))
        """One row per request, in order of completion."""
        self.generations = Table(GENERATIONS) if graphs else None
        """One row per generation of an answer that has several, in order of completion; None: no answer has."""
        self.autoscaler: Autoscaler | None = None
        """Switches replicas on and off; None: all are on, always."""
        self.prefill: PrefillStage | None = None
        """Replicas that prefill for those of the pool (see `prefill_apart`); None: those do it themselves."""
        self.arrived = 0
        self.oversized = 0
        """Requests that are longer than the whole KV cache of a replica."""
        self._open: dict[Sequence, _Open] = {}
        self._faults = faults

    def prefill_apart(
        self, pool: ReplicaPool, channel: Channel, token_bytes: float
    ) -> Callable[[Replica, Sequence], None]:
        """Have other replicas prefill, and send KV of `token_bytes` per token over `channel`; return what to tell."""
        rescues = Rescues(pool, self._recovery, self._send_to_prefill, self._give_up)
        self.rescues.again = rescues
        self.prefill = PrefillStage(pool, rescues, self.rescues, channel, token_bytes, self._handed_over)
        return self.prefill.prefilled

    def submit(self, sequence: Sequence, feed: Asker, graph: AnswerGraph | None = None) -> None:
        """Take a request that arrives now; `graph` is its answer."""
        self.arrived += 1
        if self.autoscaler is not None:
            self.autoscaler.wake()
        if self.env.log is not None:
            sequence.name = f"{feed.workload}/{sequence.index}"
            self.env.log.add(sequence.arrival_s, "arrive", sequence.name)
        if graph is not None:
            question = Question(sequence.input_tokens, graph, bool(sequence.hash_ids))
            generations = self.decoding.generations(question)
            if generations is not None:
                check_generations(self.decoding, question, generations)
                self._submit_answer(Answer(self, sequence, feed, graph, generations))
                return
        it = _Open(feed, ANYWHERE, graph)
        self._open[sequence] = it
        if not all(pool.fits(sequence) for pool in self._pools):
            self.oversized += 1
            self.close_request(sequence, FAILED)
            return
        first = self.rescues if self.prefill is None else self.prefill.rescues
        first.resume(sequence)

    def _send(self, sequence: Sequence, choice: int) -> None:
        if isinstance(sequence, GenerationSequence):
            sequence.answer.placed(sequence, choice)
        else:
            self._open[sequence].replica = choice
        self.pool.replicas[choice].submit(sequence)

    def _send_to_prefill(self, sequence: Sequence, choice: int) -> None:
        assert self.prefill is not None
        self._open[sequence].prefill_replica = choice
        self.prefill.pool.replicas[choice - len(self.pool.replicas)].submit(sequence)

    def _give_up(self, sequence: Sequence) -> None:
        if sequence.handover is not None:
            sequence.handover.give_up()
        if isinstance(sequence, GenerationSequence):
            sequence.answer.give_up()
        else:
            self.close_request(sequence, FAILED)

    def _handed_over(self, handover: Handover) -> None:
        it = self._open[handover.sequence]
        it.transfer_start_s, it.transfer_end_s = handover.start_s, self.env._now
        it.transfer_bytes = handover.n_bytes

    # ---------------------------------------------------------------- replicas, and their faults

    @property
    def _pools(self) -> tuple[ReplicaPool, ...]:
        return (self.pool,) if self.prefill is None else (self.pool, self.prefill.pool)

    @property
    def _rescues(self) -> tuple[Rescues, ...]:
        return (self.rescues,) if self.prefill is None else (self.rescues, self.prefill.rescues)

    @property
    def replicas(self) -> list[Replica]:
        """All replicas in the order of their numbers: those that decode, then those that only prefill."""
        return [replica for pool in self._pools for replica in pool.replicas]

    def catch_up(self) -> None:
        """Take the decisions that the autoscaler has put off, before anything changes for its replicas."""
        if self.autoscaler is not None:
            self.autoscaler.catch_up()

    def fail(self, replica: Replica, returns: bool) -> int:
        """Let a replica fail (see `Rescues.fail`)."""
        return self._rescues[replica.index >= len(self.pool.replicas)].fail(replica, returns)

    def repair(self, replica: Replica) -> None:
        """Let a replica be whole again that has failed."""
        self._pools[replica.index >= len(self.pool.replicas)].repair(replica)

    @property
    def stranded(self) -> bool:
        """Whether anybody waits for a replica to be up."""
        return any(it.stranded for it in self._rescues)

    def recover(self) -> None:
        """Decide on who was lost and who waits (see `Rescues.recover`)."""
        for it in self._rescues:
            it.recover()

    # ---------------------------------------------------------------- answers in parts, and records

    def _submit_answer(self, answer: Answer) -> None:
        request = answer.request
        request.output_tokens = sum(it.tokens for it in answer.generations if not it.plans)
        self._open[request] = _Open(answer.feed, ANYWHERE, answer.graph, answer)
        if not answer.start():
            self.oversized += 1
            self.close_request(request, FAILED)

    def workload_of(self, sequence: Sequence) -> str:
        """Return the workload that a sequence under way comes from."""
        if isinstance(sequence, GenerationSequence):
            return sequence.answer.feed.workload
        return self._open[sequence].feed.workload

    def progress(self, sequence: GenerationSequence, tokens: int) -> None:
        """Tell an answer that one of its generations has decoded `tokens` tokens."""
        sequence.answer.progressed(sequence, tokens)

    def finish(self, sequence: Sequence) -> None:
        """Take note of a sequence that has been decoded to its end."""
        if not isinstance(sequence, GenerationSequence):
            self.close_request(sequence, COMPLETED)
        else:
            sequence.answer.finished(sequence)

    def close_request(self, request: Sequence, status: int) -> None:
        """Record a request that is completed or has failed, and release what waits for it; once."""
        it = self._open.pop(request, None)
        if it is not None:
            self._record(request, it, status)
            it.feed.finished(request, status)
            if self.autoscaler is not None and not self._open:
                self.autoscaler.rest()

    @property
    def outstanding_requests(self) -> int:
        """Requests that have arrived and are not answered."""
        return len(self._open)

    def stop(self) -> None:
        """Book the steps that have ended when the run stops; of all services before any of them is closed."""
        for replica in self.replicas:
            replica.stop()
        if self.autoscaler is not None:
            self.autoscaler.stop()

    def close(self) -> int:
        """Record what is still under way when the run stops; return how many requests that are."""
        unfinished = len(self._open)
        for sequence, it in self._open.items():
            status = UNFINISHED
            if it.answer is not None:
                it.answer.cut_off()
                status = FAILED if it.answer.failed else UNFINISHED
            self._record(sequence, it, status)
        self._open.clear()
        return unfinished

    def _record(self, sequence: Sequence, it: _Open, status: int) -> None:
        further: list[float | str] = []
        for found, loaded in zip(sequence.found_tokens, sequence.loaded_tokens, strict=True):
            further += (found, loaded)
        if self._faults:
            further.append(sum(it.take_retries(sequence) for it in self._rescues))
        replica = it.replica if it.answer is None else it.answer.place
        if self.prefill is not None:
            further += (it.prefill_replica, it.transfer_start_s, it.transfer_end_s, it.transfer_bytes)
            if replica == ANYWHERE:  # it came no further than where it was prefilled
                replica = it.prefill_replica
        if self.generations is not None:
            further += it.graph_columns(sequence)
        self.records.append(
            sequence.index,
            it.feed.workload,
            replica,
            status,
            sequence.arrival_s,
            sequence.admitted_s,
            sequence.first_token_s,
            self.env._now if status == COMPLETED else -1.0,
            sequence.input_tokens,
            sequence.output_tokens,
            sequence.resident_tokens,
            sequence.computed_tokens,
            sequence.preemptions,
            *further,
        )


@dataclass(slots=True)
class _Open:
    """A request that is under way."""

    feed: Asker
    replica: int
    graph: AnswerGraph | None = None
    answer: Answer | None = None
    prefill_replica: int = ANYWHERE
    transfer_start_s: float = -1.0
    transfer_end_s: float = -1.0
    transfer_bytes: float = -1.0

    def graph_columns(self, request: Sequence) -> tuple[int | str, ...]:
        """Return the values of `GRAPH_COLUMNS`."""
        if self.answer is not None:
            return self.answer.totals()
        graph = self.graph
        edges = graph.edges if graph is not None else 0
        return (
            graph.category if graph is not None else "",
            graph.answer_tokens if graph is not None else 0,
            1,
            0,
            request.output_tokens,
            request.input_tokens,
            edges,
            edges,
            False,
            graph.critical_tokens if graph is not None else 0,
        )
