"""The scheduling half of OASIS: a maximum flow tells who may work for whom, then chunks go where they end earliest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from simulator.policies.collaboration.earliest_completion import earliest
from simulator.policies.collaboration.max_flow import max_flow, paths
from simulator.policies.collaboration.protocol import Assignment, ChunkView, Combination, GroupView, Stage

_combination = attrgetter("combination")


class FlowPlan:
    """What the maximum flow gives each phone, in chunks of one combination.

    Nodes are a source, the phones and a sink. From the source to a phone leads its WWAN, from a phone to one with a
    slower WWAN the link between them, to the sink a phone's SR. Broadcasts of results are not part of it.
    """

    def __init__(self, wwan: Sequence[float], sr: Sequence[float], links: Sequence[Sequence[float]]) -> None:
        """Solve.

        Parameters
        ----------
        wwan
            Download rate, by phone, in chunks/s; shape (phones,).
        sr
            SR rate, likewise; finite.
        links
            Rate from row to column, likewise; shape (phones, phones).
        """
        phones = range(len(wwan))
        source, sink = len(wwan), len(wwan) + 1
        capacities = [
            [links[i][j] if wwan[i] > wwan[j] else 0.0 for j in phones] + [0.0, sr[i]] for i in phones
        ]
        capacities += [[*wwan, 0.0, 0.0], [0.0] * (sink + 1)]
        self.flow = max_flow(capacities, source, sink)
        """Chunks/s along each edge; nodes are the phones, the source and the sink."""
        self.rates = [row[sink] for row in self.flow[:source]]
        """Chunks/s that each phone super-resolves: its SR rate, unless downloads limit it."""
        self.delays_s = [float("inf")] * len(wwan)
        """L: when the first chunk is with each phone, in s; infinity where it gets none."""
        self.downloaders: list[list[tuple[int, float]]] = [[] for _ in phones]
        """Who downloads for each phone, and how many chunks/s."""
        for nodes, rate in paths(self.flow, source, sink):
            downloader, processor = nodes[0], nodes[-1]
            delay_s = 1.0 / wwan[downloader]
            if downloader != processor:
                delay_s += 1.0 / links[downloader][processor]
            self.delays_s[processor] = min(self.delays_s[processor], delay_s)
            self.downloaders[processor].append((downloader, rate))


class OasisScheduler:
    """OASIS's scheduling half, for any ABR half.

    The rate that a chunk's completion is reckoned with is the phone's share of the flow. That is its SR rate wherever
    SR limits it, as in the paper; where downloads do, it gets no more than they bring (assumed).
    """

    waits_for_iteration = True

    def assign(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[Assignment]:
        """Give all chunks at once."""
        answer: list[Assignment] = []
        for combination, chunks in groupby(unassigned, _combination):
            give = self._super_resolved if combination.sr else self._plain
            answer += give(view, combination, list(chunks), answer)
        return answer

    def _plain(
        self,
        view: GroupView,
        combination: Combination,
        chunks: Sequence[ChunkView],
        given: Sequence[Assignment],
    ) -> list[Assignment]:
        """Without SR only downloads count."""
        rates = [phone.wwan_chunks_per_s(combination) if phone.present else 0.0 for phone in view.phones]
        held = [phone.queued(Stage.DOWNLOAD) for phone in view.phones]
        for assignment in given:
            held[assignment.downloader] += 1
        answer = []
        for chunk in chunks:
            if chunk.holders:
                phone = chunk.holders[0]
            elif any(rates):
                phone = earliest([0.0] * len(rates), rates, held)
                held[phone] += 1
            else:
                continue
            answer.append(Assignment(chunk.index, phone, phone))
        return answer

    def _super_resolved(
        self,
        view: GroupView,
        combination: Combination,
        chunks: Sequence[ChunkView],
        given: Sequence[Assignment],
    ) -> list[Assignment]:
        phones = view.phones
        able = [phone.sr_chunks_per_s(combination) if phone.present else 0.0 for phone in phones]
        wwan = [phone.wwan_chunks_per_s(combination) if phone.present else 0.0 for phone in phones]
        bits = view.plain[combination.level].quality_bps * view.segment_s
        links = [
            [
                view.wlan_bps(i, j) / bits if i != j and phones[i].present and phones[j].present else 0.0
                for j in range(len(phones))
            ]
            for i in range(len(phones))
        ]
        held = [phone.assigned() for phone in phones]
        for assignment in given:
            if assignment.processor >= 0:
                held[assignment.processor] += 1
        plan = FlowPlan(wwan, able, links)
        used = [[0.0] * len(phones) for _ in phones]  # chunks by processor and downloader
        answer = []
        for chunk in chunks:
            if chunk.holders:
                answer.append(_held(chunk, able, links, held))
            elif any(plan.rates):
                processor = earliest(plan.delays_s, plan.rates, held)
                counts = used[processor]
                downloader, _ = min(
                    plan.downloaders[processor], key=lambda one: (counts[one[0]] + 1.0) / one[1]
                )
                counts[downloader] += 1.0
                answer.append(Assignment(chunk.index, downloader, processor))
            else:
                continue
            held[answer[-1].processor] += 1
        return answer


def _held(
    chunk: ChunkView, able: Sequence[float], links: Sequence[Sequence[float]], held: Sequence[int]
) -> Assignment:
    """Give away a chunk that was downloaded already: from the holder with the fastest link."""
    delays_s, sources = [], []
    for phone in range(len(able)):
        source = phone
        if phone not in chunk.holders:
            source = max(chunk.holders, key=lambda holder: links[holder][phone])
        sources.append(source)
        rate = links[source][phone]
        delays_s.append(0.0 if source == phone else 1.0 / rate if rate else float("inf"))
    processor = earliest(delays_s, able, held)
    return Assignment(chunk.index, sources[processor], processor)
