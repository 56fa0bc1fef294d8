"""What a policy decides, checked: an answer that makes no sense is an error that names the policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING

from simulator.policies.collaboration.protocol import (
    EVERYONE,
    Assignment,
    ChunkScheduler,
    Combination,
    Decision,
    GroupAbr,
)
from simulator.policies.registry import PolicyError, nonsense
from simulator.streaming.group.chunks import Chunk

if TYPE_CHECKING:
    from simulator.streaming.group.session import Session


def checked_decision(abr: GroupAbr, session: Session, policy: object) -> Decision:
    """Ask the ABR half, which `policy` has made.

    Raises
    ------
    PolicyError
        Where the combination is none that the group has, no present phone can run it, or there is no chunk.
    """
    try:
        decision = abr.decide(session)
    except PolicyError as error:  # its own, or that of a rule which it asks
        raise _nonsense(policy, f"cannot decide: {error}") from error
    if not isinstance(decision, Decision) or not isinstance(decision.combination, Combination):
        raise _nonsense(policy, f"decided {decision!r}; a Decision on a Combination is expected")
    combination = decision.combination
    if combination not in (session.group.combinations if combination.sr else session.plain):
        raise _nonsense(policy, f"decided on a combination that the session does not have: {combination}")
    if type(decision.chunks) is not int or decision.chunks < 1:
        raise _nonsense(policy, f"decided on {decision.chunks!r} chunks; allowed: whole numbers from 1 on")
    if not isinstance(decision.wait_s, int | float) or not 0.0 <= decision.wait_s < inf:
        raise _nonsense(policy, f"decided to wait for {decision.wait_s!r} s; allowed: at least 0 and finite")
    return decision


def checked_assignments(
    scheduler: ChunkScheduler,
    session: Session,
    unassigned: Sequence[Chunk],
    under_way: Callable[[], bool],
    policy: object,
) -> list[tuple[Chunk, Assignment]]:
    """Ask the scheduling half, which `policy` has made; return its assignments with their chunks.

    Raises
    ------
    PolicyError
        Where a chunk is not unassigned or is given twice, a phone is absent or cannot do it, or nothing is given
        although nothing is under way and a phone could do it.
    """
    by_index = {chunk.index: chunk for chunk in unassigned}
    pairs: list[tuple[Chunk, Assignment]] = []
    given = scheduler.assign(session, tuple(unassigned))
    if not isinstance(given, Sequence) or not all(_well_typed(it) for it in given):
        raise _nonsense(policy, f"answered {given!r}; a sequence of Assignments of whole numbers is expected")
    for assignment in given:
        chunk = by_index.pop(assignment.chunk, None)
        if chunk is None:
            raise _nonsense(policy, f"gave chunk {assignment.chunk} away, which is not unassigned")
        if fault := _fault(assignment, chunk, session):
            raise _nonsense(policy, f"assigned chunk {chunk.index}: {fault}")
        pairs.append((chunk, assignment))
    if not pairs and not under_way() and _feasible(unassigned[0], session):
        raise _nonsense(
            policy,
            f"gives chunk {unassigned[0].index} to nobody although nothing is under "
            "way: the session would stand for ever",
        )
    return pairs


def _nonsense(policy: object, what: str) -> PolicyError:
    return nonsense("collaboration", policy, what)


def _well_typed(assignment: object) -> bool:
    """Whether it is an assignment whose chunk and phones are numbers of such; a type checker sees no plug-in."""
    if not isinstance(assignment, Assignment):
        return False
    return all(isinstance(it, int) for it in (assignment.chunk, assignment.downloader, assignment.processor))


def _fault(assignment: Assignment, chunk: Chunk, session: Session) -> str | None:
    """Return what is wrong with an assignment; None where nothing is."""
    for index in (assignment.downloader, assignment.processor):
        if index != EVERYONE and not 0 <= index < len(session.phones):
            return f"there is no phone {index}"
    if assignment.downloader == EVERYONE:
        return "not everyone downloads it"
    downloader, holders = session.phones[assignment.downloader], chunk.holders
    if not downloader.present:
        return f"downloader {downloader.name} is absent"
    if holders and assignment.downloader not in holders:
        return f"{downloader.name} does not hold it, but {', '.join(session.phones[i].name for i in holders)}"
    if not holders and not downloader.has_wwan:
        return f"downloader {downloader.name} has no WWAN"
    return _processing_fault(assignment, chunk, session)


def _processing_fault(assignment: Assignment, chunk: Chunk, session: Session) -> str | None:
    """Return what is wrong with who processes."""
    if not chunk.combination.sr:
        same = assignment.processor == assignment.downloader
        return None if same else "without SR the processor is the downloader, who sends it on"
    if assignment.processor == EVERYONE:
        return None
    processor = session.phones[assignment.processor]
    if not processor.present:
        return f"processor {processor.name} is absent"
    if not processor.can_process(chunk.combination):
        return f"{processor.name} cannot run {chunk.combination.name} now"
    return None


def _feasible(chunk: Chunk, session: Session) -> bool:
    """Whether a present phone could bring a chunk, and one could process it."""
    present = [phone for phone in session.phones if phone.present]
    if not chunk.holders and not any(phone.has_wwan for phone in present):
        return False
    return not chunk.combination.sr or any(phone.can_process(chunk.combination) for phone in present)
