"""Random streams: the same for the same name, independent of all others."""

from zlib import crc32

import numpy as np
import pytest

from simulator.core import CoreError, Streams


def test_a_stream_is_a_function_of_seed_replication_and_name() -> None:
    first = Streams(7, replication=2).stream("arrivals").random(5)
    again = Streams(7, replication=2).stream("arrivals").random(5)
    sequence = np.random.SeedSequence(7, spawn_key=(2, crc32(b"arrivals")))
    assert first.tolist() == again.tolist() == np.random.default_rng(sequence).random(5).tolist()
    others = [(8, 2, "arrivals"), (7, 3, "arrivals"), (7, 2, "lengths")]
    for seed, replication, name in others:
        assert Streams(seed, replication).stream(name).random(5).tolist() != first.tolist()


def test_the_same_name_twice_starts_the_stream_anew_and_draws_elsewhere_do_not_matter() -> None:
    streams = Streams(0)
    a = streams.stream("a")
    a.random(100)
    np.random.default_rng().random(3)
    assert streams.stream("a").random() == Streams(0).stream("a").random()


def test_streams_are_uncorrelated() -> None:
    columns = [Streams(1, replication).stream(name).random(4000) for replication in (0, 1) for name in "ab"]
    correlation = np.corrcoef(columns) - np.eye(4)
    assert np.abs(correlation).max() < 4 / np.sqrt(4000)


@pytest.mark.parametrize(("seed", "replication"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(seed: int, replication: int) -> None:
    with pytest.raises(CoreError, match="at least 0"):
        Streams(seed, replication)
