"""Prefix caches in GPU memory and storage against a model that does one request after the other."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from simulator.scenario.spec import DeviceSpec
from simulator.serving.kv_cache import BlockPool
from simulator.serving.memory import kv_capacity_blocks
from simulator.workloads.spec import Stored

BLOCK = 64
"""Tokens per prefix block: four KV blocks of 16."""


class Model:
    """LRU caches: `room` KV blocks of 16 tokens in GPU memory, then tiers of so many prefix blocks."""

    def __init__(self, room: int, tiers: list[int], keep: bool, through: bool) -> None:
        self.room, self.keep, self.through = room, keep, through
        self.gpu: OrderedDict[int, None] = OrderedDict()
        self.tiers: list[OrderedDict[int, None]] = [OrderedDict() for _ in tiers]
        self.sizes = tiers
        self.under_way: list[list[int]] = []

    def store(self, blocks: list[int], tier: int = 0) -> None:
        """Insert into a tier; what falls out goes on to the next, as one batch."""
        if not blocks or tier == len(self.tiers):
            return
        out = []
        for block in blocks:
            held = self.tiers[tier]
            held[block] = None
            held.move_to_end(block)
            while len(held) > self.sizes[tier]:
                out.append(held.popitem(last=False)[0])
        self.store(out, tier + 1)

    def write(self, blocks: list[int]) -> None:
        """Begin to write what no tier holds; it is there when the present instant is over."""
        self.under_way.append([block for block in blocks if not any(block in tier for tier in self.tiers)])

    def pass_time(self) -> None:
        for blocks in self.under_way:
            self.store(blocks)
        self.under_way.clear()

    def evict(self, held: set[int], kv_blocks: int) -> None:
        """Make room for `kv_blocks` beside what the request holds of the cache."""
        out = []
        while len(self.gpu) * BLOCK // 16 + kv_blocks > self.room:
            block = next(block for block in self.gpu if block not in held)
            del self.gpu[block]
            out.append(block)
        self.write(out)

    def look_up(self, blocks: list[int]) -> list[int]:
        """Return the tokens that a load of this rest of a prefix finds in each tier."""
        found = [0] * len(self.tiers)
        for block in blocks:
            where = next((i for i, tier in enumerate(self.tiers) if block in tier), None)
            if where is None:
                break
            found[where] += BLOCK
        for block in blocks if sum(found) else ():
            for tier in self.tiers:
                if block in tier:
                    tier.move_to_end(block)
        return found

    def serve(self, tokens: int, answer: int, ids: list[int]) -> tuple[int, list[int]]:
        """Serve one request; return resident tokens and tokens found per tier."""
        prefix = ids[: (tokens - 1) // BLOCK]
        resident = next((i for i, block in enumerate(prefix) if block not in self.gpu), len(prefix))
        found = self.look_up(prefix[resident:])
        held = set(prefix[:resident])
        own = -(-tokens // 16) - resident * BLOCK // 16
        self.evict(held, own)
        self.pass_time()
        mine = list(prefix[:resident])
        for last in (tokens, tokens + answer - 1):  # the prompt's blocks, then the answer's
            if last > tokens:
                self.evict(held, -(-last // 16) - len(held) * BLOCK // 16)
                self.pass_time()
            new = [block for block in ids[: last // BLOCK] if block not in held and block not in self.gpu]
            for block in new:
                self.gpu[block] = None
            held.update(new)
            mine += new
            if self.through:
                self.write(new)
        self.pass_time()
        for block in reversed(mine):
            self.gpu.move_to_end(block)
            if not self.keep:
                del self.gpu[block]
        return resident * BLOCK, found


def sequential(rng: random.Random, n: int, answers: tuple[int, ...] = (1, 2, 40, 200)) -> list[list[Any]]:
    """Requests far apart, whose prompts grow from a few common beginnings; some ids go on over the answer."""
    rows: list[list[Any]] = []
    fresh = 10_000
    known: list[list[int]] = [[]]
    for i in range(n):
        front = rng.choice(known)[: rng.randint(0, 12)]
        ids = front + list(range(fresh, fresh + rng.randint(1, 6)))
        fresh += 10
        tokens = len(ids) * BLOCK - rng.choice([0, 0, 1, 30, 63])
        answer = rng.choice(answers)
        if rng.random() < 0.5:
            ids = ids + list(range(fresh, fresh + (tokens + answer) // BLOCK - len(ids)))
            fresh += 10
        known.append(ids)
        rows.append([100.0 * i, tokens, answer, ids])
    return rows


@pytest.mark.parametrize("seed", range(40))
def test_hits_and_contents_equal_the_model(lab, seed):
    rng = random.Random(seed)
    names = ["dram", "disk", "remote"][: rng.choice([0, 1, 2, 3])]
    keep, through = rng.random() < 0.85, rng.random() < 0.3
    block_bytes = BLOCK * 512 * 1024
    sizes = [rng.choice([3, 10, 40]) for _ in names]
    devices = {
        name: DeviceSpec(
            "ideal-store", capacity=size * block_bytes + 1, bandwidth=1e15, write_bandwidth=1e15, latency=0.0
        )
        for name, size in zip(names, sizes, strict=True)
    }
    service = lab.llm(
        "io_only",
        kv_tiers=tuple(names),
        kv_write="write_through" if through else "write_back",
        prefix_cache=keep,
    )
    # Written through, the prompt's blocks and those that give way to the answer share the channel, so that which
    # of them is stored first would hang on their sizes.
    rows = sequential(rng, 80, answers=(1,) if through else (1, 2, 40, 200))
    scenario = lab.scenario(
        lab.trace(rows, hash_block_tokens=BLOCK),
        service,
        memory=rng.choice([18.1e9, 18.4e9, 20e9]),
        tiers=devices,
    )
    columns = lab.columns(lab.run(scenario))
    model = Model(kv_capacity_blocks(service, scenario.devices["gpu"]), sizes, keep, through)
    expected = [model.serve(*row[1:]) for row in rows]
    assert (columns["status"] == 1).all()
    assert columns["resident_tokens"].tolist() == [resident for resident, _ in expected]
    for i, name in enumerate(names):
        found = [tokens[i] for _, tokens in expected]
        assert columns[f"found_{name}_tokens"].tolist() == found
        assert columns[f"loaded_{name}_tokens"].tolist() == found
    runtime = lab.services["chat"]
    assert list(runtime.replicas[0].kv.pool._idle) == list(model.gpu)
    for tier, held in zip(runtime.tiers.tiers, model.tiers, strict=True):
        assert list(tier.held) == list(held)
        assert tier.held_bytes <= tier.capacity_bytes


@pytest.mark.interpreted
def test_written_bytes_are_those_of_the_blocks_that_left_gpu_memory(lab, monkeypatch):
    evicted: list[int] = []
    make_room = BlockPool.make_room

    def spy(self: Any, blocks: int) -> bool:
        before = list(self._references)
        possible = make_room(self, blocks)
        evicted.extend(block for block in before if block not in self._references)
        return possible

    monkeypatch.setattr(BlockPool, "make_room", spy)
    rows = sequential(random.Random(3), 120)
    service = lab.llm("compute_only", kv_tiers=("disk",), kv_bits=8)
    scenario = lab.scenario(
        lab.trace(rows, hash_block_tokens=BLOCK),
        service,
        memory=18.1e9,
        tiers={"disk": DeviceSpec("ideal-store", capacity=1e15)},
    )
    result = lab.run(scenario)
    assert len(evicted) > 20
    # Once stored, a block stays: evicted again, it is not written again.
    assert result.devices["disk"].written_bytes == len(set(evicted)) * BLOCK * 512 * 1024 / 2
    assert result.devices["disk"].read_bytes == 0.0


def test_write_through_stores_prompt_and_answer_once(lab):
    ids = list(range(10))
    rows = [(0.0, 8 * BLOCK, 2 * BLOCK + 1, ids), (60.0, 8 * BLOCK, 2 * BLOCK + 1, ids)]
    service = lab.llm("io_only", kv_tiers=("disk",), kv_write="write_through")
    scenario = lab.scenario(
        lab.trace(rows, hash_block_tokens=BLOCK), service, tiers={"disk": DeviceSpec("nvme-gen4")}
    )
    result = lab.run(scenario)
    assert result.devices["disk"].written_bytes == 10 * BLOCK * 512 * 1024
    # The prompt is a whole number of blocks, but its last token is computed, so its last block is not a hit.
    assert lab.columns(result)["resident_tokens"].tolist() == [0, 7 * BLOCK]


def test_a_block_is_found_only_when_its_write_has_completed(lab):
    ids = list(range(9))
    slow = DeviceSpec("ideal-store", write_bandwidth=8 * BLOCK * 512 * 1024 / 10.0)  # ten seconds for them
    service = lab.llm("io_only", kv_tiers=("disk",), kv_write="write_through", prefix_cache=False)
    rows = [(time_s, 8 * BLOCK + 1, 1, ids) for time_s in (0.0, 9.0, 12.0)]
    workload = lab.trace(rows, hash_block_tokens=BLOCK)
    scenario = lab.scenario(workload, service, tiers={"disk": slow})
    columns = lab.columns(lab.run(scenario))
    assert columns["found_disk_tokens"].tolist() == [0, 0, 8 * BLOCK]


def test_services_and_workloads_do_not_share_prefixes(lab):
    """Two services over one disk, and two workloads of one service, all with the same ids."""
    ids = list(range(8))
    rows = [[0.0, 8 * BLOCK, 1, ids]]
    later = [[50.0, 8 * BLOCK, 1, ids], [100.0, 8 * BLOCK, 1, ids]]
    service = lab.llm("io_only", kv_tiers=("disk",), kv_write="write_through")
    scenario = lab.scenario(
        {
            "one": lab.trace(rows, "a", hash_block_tokens=BLOCK),
            "two": lab.trace(later, "a", hash_block_tokens=BLOCK),
            "three": lab.trace(later, "b", hash_block_tokens=BLOCK),
        },
        tiers={"disk": DeviceSpec("nvme-gen4")},
        services={"a": service, "b": service},
    )
    result = lab.run(scenario)
    table = result.requests["a"]
    order = np.argsort(table.column("arrival_s"))
    assert table.column("workload")[order].tolist() == ["one", "two", "two"]
    assert table.column("resident_tokens")[order].tolist() == [0, 0, 7 * BLOCK]
    assert lab.columns(result, "b")["resident_tokens"].tolist() == [0, 7 * BLOCK]
    for name in ("a", "b"):
        assert (lab.columns(result, name)["found_disk_tokens"] == 0).all()
    assert len(lab.services["a"].tiers.tiers[0].held) == 3 * 8


def test_stored_prompts_that_do_not_fit_are_reported(lab):
    workload = lab.synthetic(requests=4, input_tokens=640, stored=Stored("disk"))
    capacity = 2 * 640 * 512 * 1024
    result = lab.run(
        lab.scenario(
            workload,
            lab.llm("io_only", kv_tiers=("disk",)),
            tiers={"disk": DeviceSpec("ideal-store", capacity=capacity)},
        )
    )
    assert any("too small" in note for note in result.notes)
    found = lab.columns(result)["found_disk_tokens"]
    assert (found == 0).sum() == 2


def test_without_prefix_cache_nothing_stays_in_gpu_memory(lab):
    ids = list(range(8))
    rows = [[20.0 * i, 8 * BLOCK, 1, ids] for i in range(3)]
    for keep in (True, False):
        scenario = lab.scenario(lab.trace(rows, hash_block_tokens=BLOCK), lab.llm(prefix_cache=keep))
        resident = lab.columns(lab.run(scenario))["resident_tokens"].tolist()
        assert resident == ([0, 7 * BLOCK, 7 * BLOCK] if keep else [0, 0, 0])
