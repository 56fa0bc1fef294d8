"""The seam between an LLM service and a decoding policy.

A policy turns a question into *generations*: sequences that the engine prefills and decodes like any other, each with a
prompt laid out in pieces and conditions under which it starts. Skeleton-of-Thought is one generation and then many;
Plato is a planner and nodes that start while it still writes. The engine knows generations and nothing of the policies:
which KV blocks two prompts share follows from their pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from simulator.policies.registry import PolicyError, nonsense
from simulator.workloads.graphs import AnswerGraph

QUESTION = "question"
"""Source of the piece that is the request's own prompt."""


class Piece(NamedTuple):
    """A part of a prompt."""

    source: str | int
    """`QUESTION`; the number of an earlier generation, whose output it is; `own_text`; any other text names
    instructions that are the same for every question."""
    tokens: int
    """Its length, at least 1."""
    start: int = 0
    """First token of the source that it holds."""

    @property
    def output_of(self) -> int | None:
        """Generation whose output it is; None where it is something else."""
        return self.source if isinstance(self.source, int) and self.source >= 0 else None


def own_text(number: int) -> int:
    """Return the source of text that was written for the prompt of generation `number` alone."""
    return -1 - number


@dataclass(frozen=True, slots=True)
class Generation:
    """A sequence that is decoded on the way to an answer."""

    prompt: tuple[Piece, ...]
    """What it reads, from the front. Prompts that begin alike share the KV of whole blocks."""
    tokens: int
    """What it decodes, at least 1."""
    after: tuple[tuple[int, int], ...] = ()
    """(earlier generation, tokens): it starts when each of them has decoded that many tokens."""
    nodes: tuple[int, ...] = ()
    """Nodes of the graph whose text it decodes, whole."""
    plans: bool = False
    """What it decodes is not part of the answer."""
    shares_kv: bool = True
    """Whether its KV blocks may be shared with other generations."""
    service: str = ""
    """LLM service that decodes it; empty: the one that was asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a decoding policy may see of a request whose answer is a graph."""

    prompt_tokens: int
    """Length of the request's own prompt."""
    graph: AnswerGraph
    """The answer. A policy that plans must let a planner decode a node's plan entry before it uses the node."""
    stored: bool = False
    """Whether the prompt has prefix blocks of its own, so that its KV may lie in a cache: then it must come first."""

    def opening(self, instructions: str, tokens: int) -> tuple[Piece, ...]:
        """Return the question and the instructions before or after it, so that most KV can be shared.

        Instructions that come first are shared by all questions; a question whose prefix may be cached must itself come
        first.
        """
        question = Piece(QUESTION, self.prompt_tokens)
        if not tokens:
            return (question,)
        said = Piece(instructions, tokens)
        return (question, said) if self.stored else (said, question)


class Decoding(Protocol):
    """A decoding policy: a frozen dataclass, registered with ``@register("decoding", NAME)``."""

    @property
    def services(self) -> tuple[str, ...]:
        """Other LLM services that it uses."""

    @property
    def call_overhead(self) -> float:
        """Time from the moment when a generation could start until the engine sees it, in s."""

    def generations(self, question: Question) -> Sequence[Generation] | None:
        """Return how to decode an answer, earlier generations first; None: one token after the other.

        Asked only for requests whose answer is a graph.
        """


def continued(generations: Sequence[Generation], parents: Sequence[int]) -> tuple[Piece, ...]:
    """Return the front of a prompt that holds the outputs of `parents` and shares as much KV as it can.

    It goes on where the parent with the longest text ended, prompt and output, and adds the outputs of the other
    parents that this one had not read.
    """
    lead = max(
        parents, key=lambda it: sum(piece.tokens for piece in generations[it].prompt) + generations[it].tokens
    )
    prompt = (*generations[lead].prompt, Piece(lead, generations[lead].tokens))
    held = {piece.source for piece in prompt}
    return prompt + tuple(Piece(it, generations[it].tokens) for it in parents if it not in held)


def check_generations(policy: Decoding, question: Question, generations: Sequence[Generation]) -> None:
    """Check that generations can be carried out and that no prompt holds what is not yet written.

    Raises
    ------
    PolicyError
        Naming the policy, the generation, and what is wrong.
    """

    wrong = partial(_nonsense, policy)
    _check_form(policy, generations)
    known: list[dict[int, int]] = []  # what each generation may read of earlier ones
    decoded: set[int] = set()
    for number, it in enumerate(generations):
        if it.tokens < 1:
            raise wrong(f"generation {number} decodes {it.tokens} tokens; allowed: 1 and more")
        reads: dict[int, int] = {}
        for earlier, tokens in it.after:
            if not 0 <= earlier < number or not 1 <= tokens <= generations[earlier].tokens:
                raise wrong(f"generation {number} waits for {tokens} tokens of generation {earlier}")
            for other, so_far in (*known[earlier].items(), (earlier, tokens)):
                reads[other] = max(reads.get(other, 0), so_far)
        if not it.prompt or any(piece.tokens < 1 or piece.start < 0 for piece in it.prompt):
            raise wrong(f"the prompt of generation {number} has a piece without tokens, or none")
        for piece in it.prompt:
            end = piece.start + piece.tokens
            source = piece.output_of
            if source is not None and end > reads.get(source, 0):
                raise wrong(f"generation {number} reads {end} tokens of {source} before they are written")
            if piece.source == QUESTION and end > question.prompt_tokens:
                raise wrong(
                    f"generation {number} reads {end} tokens of a question of {question.prompt_tokens}"
                )
        for node in it.nodes:
            if node in decoded:
                raise wrong(f"node {node} is decoded twice")
            decoded.add(node)
        known.append(reads)
    if decoded != set(range(len(question.graph))):
        raise wrong(f"it decodes nodes {sorted(decoded)} of an answer of {len(question.graph)} nodes")


def _nonsense(policy: object, message: str) -> PolicyError:
    return nonsense("decoding", policy, f"decided nonsense: {message}")


def _check_form(policy: Decoding, generations: object) -> None:
    """Check that these are generations, each of whole numbers and for a service that the policy uses."""
    if not isinstance(generations, Sequence) or not all(isinstance(it, Generation) for it in generations):
        raise _nonsense(policy, f"{generations!r} is no sequence of generations")
    if not generations:
        raise _nonsense(policy, "no generation at all")
    for number, it in enumerate(generations):
        if not _well_typed(it):
            raise _nonsense(
                policy, f"generation {number} is {it}; tokens, nodes and generations are whole numbers"
            )
        if it.service and it.service not in policy.services:
            allowed = ", ".join(policy.services) or "none"
            raise _nonsense(policy, f"generation {number} is for {it.service!r}; allowed: {allowed}")


def _well_typed(it: Generation) -> bool:
    """Whether the parts of a generation are of the types that are said above; a type checker sees no plug-in."""
    if not all(isinstance(part, tuple) for part in (it.prompt, it.after, it.nodes)):
        return False
    if not all(isinstance(piece, Piece) and isinstance(piece.source, str | int) for piece in it.prompt):
        return False
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in it.after):
        return False
    numbers = [it.tokens, *it.nodes]
    numbers += [number for piece in it.prompt for number in (piece.tokens, piece.start)]
    numbers += [number for pair in it.after for number in pair]
    return all(type(number) is int for number in numbers) and isinstance(it.service, str)


def visible_edges(graph: AnswerGraph, generations: Sequence[Generation] | None) -> int:
    """Return how many dependencies could be seen: the parent's text stood before the node when it was decoded."""
    if generations is None:
        return graph.edges
    seen = 0
    for it in generations:
        before = {
            node
            for piece in it.prompt
            if (source := piece.output_of) is not None
            and piece.start == 0
            and piece.tokens == generations[source].tokens
            for node in generations[source].nodes
        }
        for node in it.nodes:
            seen += sum(parent in before for parent in graph.parents[node])
            before.add(node)
    return seen
