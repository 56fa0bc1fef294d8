"""An answer that is decoded in several generations: which can start, and what they add up to."""

from __future__ import annotations

import math
from collections.abc import Sequence as Several
from typing import TYPE_CHECKING

from simulator.core import ARRIVAL
from simulator.policies.decoding import Generation, visible_edges
from simulator.policies.node_order import ReadyNode
from simulator.policies.registry import nonsense
from simulator.serving.prefix_ids import AnswerIds
from simulator.serving.replica_pool import ANYWHERE
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED, GenerationSequence, Sequence
from simulator.workloads.graphs import AnswerGraph

if TYPE_CHECKING:
    from simulator.serving.feed import Asker
    from simulator.serving.replica import Replica
    from simulator.serving.service import ServiceRuntime

GENERATIONS = {
    "request": "q",
    "workload": "text",
    "generation": "i",
    "node": "i",
    "decoded_by": "text",
    "replica": "i",
    "status": "B",
    "ready_s": "d",
    "admitted_s": "d",
    "first_token_s": "d",
    "finish_s": "d",
    "prompt_tokens": "q",
    "resident_tokens": "q",
    "computed_tokens": "q",
    "output_tokens": "q",
    "preemptions": "i",
    "plans": "B",
    "after": "text",
}
"""Columns of the table of generations. ``node`` is the first node that one decodes, -1 for none; ``decoded_by`` the
service that decoded it. ``prompt_tokens`` is the length of its prompt, of which ``resident_tokens`` were in GPU memory
when it was admitted and ``computed_tokens`` were prefilled (recomputation after a preemption or a fault counts again).
``after`` names what it waited for, as ``generation:tokens`` separated by spaces."""


class Answer:
    """The generations of one request.

    Parameters
    ----------
    service
        Runtime of the service that was asked.
    request
        The request; sums over its generations are kept there.
    feed
        Workload that it comes from.
    graph
        The answer as a graph.
    generations
        What the decoding policy made of it.
    """

    __slots__ = (
        "_ahead",
        "_bound",
        "_ids",
        "_missing",
        "_places",
        "_readers",
        "_running",
        "_sequences",
        "_watchers",
        "failed",
        "feed",
        "generations",
        "graph",
        "request",
        "service",
    )

    def __init__(
        self,
        service: ServiceRuntime,
        request: Sequence,
        feed: Asker,
        graph: AnswerGraph,
        generations: Several[Generation],
    ) -> None:
        self.service = service
        self.request = request
        self.feed = feed
        self.graph = graph
        self.generations = generations
        self._ids = AnswerIds(service.instructions, request.hash_ids)
        self._missing = [len(it.after) for it in generations]  # conditions that do not hold yet
        # per generation: (tokens, who waits for them), the fewest tokens last
        self._watchers: list[list[tuple[int, int]]] = [[] for _ in generations]
        self._ahead = [it.tokens for it in generations]
        for number in range(len(generations) - 1, -1, -1):
            for earlier, tokens in generations[number].after:
                self._watchers[earlier].append((tokens, number))
                self._ahead[earlier] = max(self._ahead[earlier], tokens + self._ahead[number])
        for watchers in self._watchers:
            watchers.sort(reverse=True)
        # per generation: who has its output in the prompt
        self._readers: list[list[int]] = [[] for _ in generations]
        for number, it in enumerate(generations):
            for source in {piece.output_of for piece in it.prompt} - {None}:
                self._readers[source].append(number)  # type: ignore[index]
        self._sequences: dict[int, GenerationSequence] = {}  # of generations that have not ended
        self._places: dict[str, int] = {}  # replica by service: all generations go to the same one
        self._bound: set[str] = set()  # services at whose replica some wait until it is repaired
        self._running: set[int] = set()  # generations that are at a replica
        self.failed = False
        """Whether it was given up. What is still decoded for it ends in vain."""

    @property
    def place(self) -> int:
        """Replica of the service that was asked; -1 where it decodes nothing."""
        return self._places.get(self.service.name, -1)

    def start(self) -> bool:
        """Submit what needs nothing; False, and nothing submitted, where a generation could never be served."""
        for number in range(len(self.generations)):
            sequence = self._sequences[number] = self._sequence(number)
            runtime = self._runtime(number)
            if runtime.name not in self._places:
                self._places[runtime.name] = runtime.pool.route(sequence)
            if not self._replica(number).kv.fits_alone(sequence):
                return False
        self._submit([number for number, missing in enumerate(self._missing) if not missing])
        return True

    def placed(self, sequence: GenerationSequence, replica: int) -> None:
        """A generation goes to this replica, and all others of its service with it."""
        service = self._runtime(sequence.generation).name
        self._places[service] = replica
        self._bound.discard(service)
        self._running.add(sequence.generation)

    def progressed(self, sequence: GenerationSequence, tokens: int) -> None:
        """A generation has decoded `tokens` tokens: start what has waited for them."""
        if self.failed:
            return
        watchers = self._watchers[sequence.generation]
        ready = []
        while watchers and watchers[-1][0] <= tokens:
            _, waiting = watchers.pop()
            self._missing[waiting] -= 1
            if not self._missing[waiting]:
                ready.append(waiting)
        self._submit(ready)

    def finished(self, sequence: GenerationSequence) -> None:
        """A generation has ended, and the answer where it was the last one."""
        number = sequence.generation
        self._running.remove(number)
        self._end(number, COMPLETED)
        if not self.failed:
            self._pin(number)
            self.progressed(sequence, sequence.output_tokens)
        self._settle()

    def cut_off(self) -> None:
        """The simulation stops: record what has begun and not ended."""
        for number in list(self._sequences):
            self._end(number, FAILED if self.failed else UNFINISHED)

    # ---------------------------------------------------------------- faults

    def lost(self, sequence: GenerationSequence) -> None:
        """A generation's replica has failed. What was decoded stays, its KV does not."""
        self._running.remove(sequence.generation)

    def goes_on(self, sequence: GenerationSequence, replica: int) -> None:
        """A lost generation, and all others of its service, go on at this replica once it is up, or at `ANYWHERE`."""
        service = self._runtime(sequence.generation).name
        self._places[service] = replica
        if replica == ANYWHERE:
            self._bound.discard(service)
        else:
            self._bound.add(service)

    def wanted(self, sequence: GenerationSequence) -> int:
        """Return the replica that a generation goes to: none that is down, unless others wait for that one already."""
        runtime = self._runtime(sequence.generation)
        replica = self._places[runtime.name]
        return replica if runtime.name in self._bound or runtime.pool.is_up(replica) else ANYWHERE

    def give_up(self) -> None:
        """Have failed. What other services decode of it goes on to its end, in vain; all else is over."""
        self.failed = True
        for number in list(self._sequences):
            if number not in self._running:
                self._end(number, FAILED)
        self._settle()

    # ---------------------------------------------------------------- figures

    def totals(self) -> tuple[str, int, int, int, int, int, int, int, int, int]:
        """Return the columns of `simulator.serving.service.GRAPH_COLUMNS` of this request."""
        graph, generations = self.graph, self.generations
        return (
            graph.category,
            graph.answer_tokens,
            len(generations),
            sum(it.tokens for it in generations if it.plans),
            sum(it.tokens for it in generations),
            sum(piece.tokens for it in generations for piece in it.prompt),
            graph.edges,
            visible_edges(graph, generations),
            any(it.plans for it in generations),
            graph.critical_tokens,
        )

    def _runtime(self, number: int) -> ServiceRuntime:
        other = self.generations[number].service
        return self.service.peers[other] if other else self.service

    def _replica(self, number: int) -> Replica:
        runtime = self._runtime(number)
        return runtime.pool.replicas[self._places[runtime.name]]

    def _sequence(self, number: int) -> GenerationSequence:
        it = self.generations[number]
        runtime = self._runtime(number)
        stops = sorted({tokens for tokens, _ in self._watchers[number] if tokens < it.tokens})
        order = self.service.node_order
        rank = order.key(ReadyNode(it.tokens, self._ahead[number])) if it.after else None
        if it.after and not (isinstance(rank, int | float) and -math.inf < rank < math.inf):
            raise nonsense("node_order", order, f"decided the key {rank!r}; allowed: finite numbers")
        sequence = GenerationSequence(
            self,
            number,
            sum(piece.tokens for piece in it.prompt),
            it.tokens,
            self._ids.of(number, it),
            len(runtime.tier_names),
            stops,
            rank,
            order.ahead_of_requests,
        )
        if self.request.name:
            sequence.name = f"{self.request.name}/{number}"
        return sequence

    def _submit(self, numbers: list[int]) -> None:
        env = self.service.env
        for number in numbers:
            if self.failed:  # with the one before, where no replica will ever be up again
                return
            sequence = self._sequences[number]
            overhead_s = self.service.decoding.call_overhead if self.generations[number].after else 0.0
            if overhead_s:
                env.call_at(env._now + overhead_s, lambda it=sequence: self._enter(it), ARRIVAL)  # type: ignore[misc]
            else:
                self._enter(sequence)

    def _enter(self, sequence: GenerationSequence) -> None:
        if self.failed:
            return
        sequence.arrival_s = self.service.env._now
        self._runtime(sequence.generation).rescues.resume(sequence)

    def _end(self, number: int, status: int) -> None:
        """A generation is over: let go of what is kept for it, and record it if it has begun."""
        sequence = self._sequences.pop(number)
        self._replica(number).kv.unpin(sequence)
        if sequence.arrival_s >= 0.0:
            self._record(number, sequence, status)

    def _settle(self) -> None:
        """Close the request where nothing is left of it."""
        if not self._sequences:
            self.service.close_request(self.request, FAILED if self.failed else COMPLETED)

    def _pin(self, ended: int) -> None:
        """Keep in memory what generations still to be admitted will go on from."""
        replica = self._replica(ended)
        for reader in self._readers[ended]:
            sequence = self._sequences.get(reader)
            if (
                sequence is not None
                and sequence.admitted_s < 0.0
                and sequence.hash_ids
                and self._replica(reader) is replica
            ):
                replica.kv.unpin(sequence)
                replica.kv.pin(sequence, sequence.hash_ids)

    def _record(self, number: int, sequence: GenerationSequence, status: int) -> None:
        """Add a generation to the request's sums and to the table of generations."""
        request = self.request
        it = self.generations[number]
        request.resident_tokens += sequence.resident_tokens
        request.computed_tokens += sequence.computed_tokens
        request.preemptions += sequence.preemptions
        if self._runtime(number) is self.service:
            for tier, tokens in enumerate(sequence.loaded_tokens):
                request.loaded_tokens[tier] += tokens
                request.found_tokens[tier] += sequence.found_tokens[tier]
        if sequence.admitted_s >= 0.0 and not 0.0 <= request.admitted_s <= sequence.admitted_s:
            request.admitted_s = sequence.admitted_s
        first_s = sequence.first_token_s
        if first_s >= 0.0 and not it.plans and not 0.0 <= request.first_token_s <= first_s:
            request.first_token_s = first_s
        table = self.service.generations
        if table is not None:
            table.append(
                request.index,
                self.feed.workload,
                number,
                it.nodes[0] if it.nodes else -1,
                self._runtime(number).name,
                self._places[self._runtime(number).name],
                status,
                sequence.arrival_s,
                sequence.admitted_s,
                first_s,
                self.service.env._now if status == COMPLETED else -1.0,
                sequence.input_tokens,
                sequence.resident_tokens,
                sequence.computed_tokens,
                sequence.output_tokens,
                sequence.preemptions,
                it.plans,
                " ".join(f"{earlier}:{tokens}" for earlier, tokens in it.after),
            )
