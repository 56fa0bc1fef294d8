"""The real Cake: right logits whatever the policy, the paper's stop rule, and a throttle that holds."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest

from calibration.bench.harness import Options, Plan, run
from calibration.bench.transformer import Transformer
from calibration.commands import shape_of
from calibration.validation.prefix_file import BackPointer, PrefixFile
from calibration.validation.real_cake import POLICIES, RealCake, RealCakeBench, stored_tokens

torch = pytest.importorskip("torch", reason="extra `calibrate` is not installed")

SHAPE = shape_of("layers=2,hidden=64,heads=4,kv_heads=2,ffn=96,vocabulary=128")
PROMPT, CHUNK, IO_CHUNK = 200, 32, 24
STORED = 192  # the blocks of 16 that leave a token to compute
TOKEN_BYTES = 2 * SHAPE.kv_bytes_per_token  # 32 bits per value
FAST, SLOW = 1e15, 1.0


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Compute with one thread, as the measurements do, and without gradients."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.fixture
def request_(tmp_path: Path) -> RealCake:
    return RealCake(Transformer(SHAPE, "fp32", "cpu", PROMPT), PROMPT, CHUNK, IO_CHUNK, tmp_path / "prefix")


def bandwidth(cake: RealCake, share: float) -> float:
    """Bandwidth at which loading the whole prefix takes `1 / share` times as long as computing the prompt."""
    compute_s = min(cake.serve("compute_only", FAST)[0] for _ in range(3))
    return share * STORED * TOKEN_BYTES / compute_s


def test_whole_blocks_are_stored_and_a_token_is_left() -> None:
    assert [stored_tokens(tokens) for tokens in (1, 16, 17, 32, 200)] == [0, 0, 16, 16, 192]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("share", [0.2, 1.0, 5.0])
def test_logits_are_those_of_a_plain_prefill(request_: RealCake, policy: str, share: float) -> None:
    ttft_s, logits = request_.serve(policy, bandwidth(request_, share))
    assert 0 < ttft_s < math.inf
    request_.check(logits)
    torch.testing.assert_close(logits, request_.expected, rtol=1e-3, atol=1e-3)


def test_kv_of_other_tokens_is_noticed(request_: RealCake) -> None:
    offsets = request_.file._offsets
    offsets[0] = offsets[
        1
    ]  # exchanged they would go unseen: attention does not ask for the order of rotated keys
    _, logits = request_.serve("io_only", FAST)
    with pytest.raises(RuntimeError, match="off those of a plain prefill"):
        request_.check(logits)


def test_a_hole_in_the_kv_is_noticed(request_: RealCake) -> None:
    request_.file.starts.pop()  # the front of the prefix is never read
    _, logits = request_.serve("io_only", FAST)
    with pytest.raises(RuntimeError, match="nan off"):
        request_.check(logits)


def test_io_only_computes_what_is_not_stored(request_: RealCake) -> None:
    request_.serve("io_only", FAST)
    assert request_.computed_tokens == PROMPT - STORED


def test_cake_computes_everything_where_nothing_arrives(request_: RealCake) -> None:
    request_.serve("cake", SLOW)
    assert request_.computed_tokens == PROMPT


def test_cake_stops_after_the_step_that_finds_the_next_chunk_there(request_: RealCake) -> None:
    # everything is there in 20 ms, long before the first step has ended, and the test comes at its end
    model_step = request_.model.step

    def slow_step(batch: Any) -> Any:
        time.sleep(0.2)
        return model_step(batch)

    request_.model.step = slow_step  # type: ignore[method-assign]
    request_.serve("cake", STORED * TOKEN_BYTES / 0.02)
    assert request_.computed_tokens == CHUNK + PROMPT - STORED


def test_cake_computes_whole_chunks_until_the_pointers_meet(request_: RealCake) -> None:
    request_.serve("cake", bandwidth(request_, 1.0))
    computed = request_.computed_tokens
    assert computed == PROMPT or (computed - (PROMPT - STORED)) % CHUNK == 0
    assert CHUNK + PROMPT - STORED <= computed <= PROMPT


def test_records_hold_the_prefix_tail_first(tmp_path: Path) -> None:
    cache = Transformer(SHAPE, "fp32", "cpu", 64).cache(1, 60)
    file = PrefixFile(tmp_path / "prefix", cache, tokens=50, chunk_tokens=20)
    assert file.starts == [30, 10, 0]
    assert file.record_bytes == [tokens * TOKEN_BYTES for tokens in (20, 20, 10)]
    before = cache.clone()
    cache.fill_(math.nan)
    file.read(1)
    torch.testing.assert_close(cache[..., 10:30, :], before[..., 10:30, :], rtol=0, atol=0)
    assert cache.isnan().sum() == (60 - 20) * TOKEN_BYTES / 4
    file.read(0)
    file.read(2)
    torch.testing.assert_close(cache[..., :50, :], before[..., :50, :], rtol=0, atol=0)
    assert list(tmp_path.iterdir()) == []  # nothing stays behind


def test_the_throttle_holds_and_a_stop_is_at_once(tmp_path: Path) -> None:
    cache = Transformer(SHAPE, "fp32", "cpu", 64).cache(1, 60)
    file = PrefixFile(tmp_path / "prefix", cache, tokens=60, chunk_tokens=20)
    start_s = time.perf_counter()
    back = BackPointer(file, 60 * TOKEN_BYTES / 0.15, start_s)
    back.start()
    back.finish(stop=False)
    assert time.perf_counter() - start_s >= 0.15
    assert back.position == 0

    stopped = BackPointer(file, SLOW, time.perf_counter())
    stopped.start()
    start_s = time.perf_counter()
    stopped.finish(stop=True)
    assert time.perf_counter() - start_s < 5.0  # the record would take hours
    assert stopped.position == 60


def test_the_back_pointer_ends_where_the_front_one_is(tmp_path: Path) -> None:
    cache = Transformer(SHAPE, "fp32", "cpu", 64).cache(1, 60)
    back = BackPointer(PrefixFile(tmp_path / "prefix", cache, 60, 20), FAST, time.perf_counter())
    back.front = 35
    back.start()
    back.finish(stop=False)
    assert back.position == 20  # the record that holds token 35 is the last one


def test_a_file_that_has_lost_its_end_is_an_error(request_: RealCake) -> None:
    request_.file.record_bytes[-1] += 1
    with pytest.raises(OSError, match="shorter"):
        request_.serve("io_only", FAST)


def test_the_benchmark_measures_every_policy(tmp_path: Path) -> None:
    sizes = {"model": SHAPE.name, "prompt_tokens": PROMPT, "chunk_tokens": CHUNK, "io_chunk_tokens": IO_CHUNK}
    points = [{"policy": policy, "bandwidth_bytes_per_s": 1e8, **sizes} for policy in POLICIES]
    outcome = run(
        [RealCakeBench(points, threads=1)],
        Options(shapes=(SHAPE,), directory=tmp_path),
        Plan(warmups=0, repeats=2, least=2),
        device="here",
        source="test",
    )
    assert not outcome.failed
    assert [row.parameters["policy"] for row in outcome.rows] == list(POLICIES)
    assert all((row.bench, row.metric, row.unit) == ("real_cake", "ttft", "s") for row in outcome.rows)
    assert list(tmp_path.iterdir()) == []
