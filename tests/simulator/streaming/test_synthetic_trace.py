"""Synthetic traces: their chain by theory and by counting, their files, and the real traces that they stand for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from devices.errors import InputError
from simulator.core.streams import Streams
from simulator.streaming.markov_file import read_markov_network
from simulator.streaming.markov_network import Level, MarkovNetwork
from simulator.streaming.synthetic_trace import cellular_file, cellular_names, load_cellular, markov_trace

NAMES = ("fcc-broadband", "ghent-4g", "irish-5g", "norway-3g", "oboe")
FILE = cellular_file("ghent-4g").read_text()

TWO = MarkovNetwork(
    name="two",
    title="two levels",
    latency_s=0.05,
    levels=(Level(1e6, 0.3, 0.1, 0.4, (0.8, 0.2)), Level(4e6, 0.2, 0.0, 1.0, (0.1, 0.9))),
    persistence=0.7,
    session_factors=(1.0, 1.0),
    evidence={},
)
"""A chain that is small enough to work out by hand."""


def drawn(network: MarkovNetwork, seconds: int, seed: int = 3) -> np.ndarray:
    return np.array(markov_trace(network, np.random.default_rng(seed), seconds).bandwidths_bps)


def steady(network: MarkovNetwork) -> MarkovNetwork:
    """The network with sessions all alike, so that one long session says everything."""
    return MarkovNetwork(
        network.name, network.title, network.latency_s, network.levels, network.persistence, (1.0, 1.0), {}
    )


def test_the_catalogue_has_a_chain_per_set() -> None:
    assert cellular_names() == sorted(NAMES)
    for name in NAMES:
        network = load_cellular(name)
        assert network.name == name
        assert network is load_cellular(name)
        assert network.source
        assert network.url.startswith("https://")
        assert network.evidence["chain"].kind == "fitted"
        assert {one.kind for one in network.evidence.values()} <= {"fitted", "measured", "assumed"}


def test_theory_of_two_levels() -> None:
    # levels alone: 1/3 and 2/3 of the time; only the first fails
    moves = TWO.transitions()
    assert moves.sum(1) == pytest.approx(np.ones(4))
    assert moves[0] == pytest.approx([0.8 * 0.9, 0.2, 0.8 * 0.1, 0.0])
    assert moves[2] == pytest.approx([0.8 * 0.4, 0.2, 0.8 * 0.6, 0.0])
    shares = TWO.stationary()
    assert shares @ moves == pytest.approx(shares)
    assert (shares[0] + shares[2], shares[1] + shares[3]) == pytest.approx((1 / 3, 2 / 3))
    # outages of level 0: entered from it, or (after level 1, which is never down) on arrival
    outage = (shares[0] * 0.8 * 0.1 + shares[1] * 0.1 * 0.1) / (1.0 - 0.8 * 0.6)
    assert TWO.outage_share() == pytest.approx(outage)
    means = (1e6 * math.exp(0.045), 4e6 * math.exp(0.02))
    assert TWO.mean_bps() == pytest.approx(shares[0] * means[0] + shares[1] * means[1])


@pytest.mark.parametrize("network", [TWO, *map(load_cellular, NAMES)], ids=lambda network: network.name)
def test_a_long_trace_has_the_statistics_of_its_chain(network: MarkovNetwork) -> None:
    chain = steady(network)
    seconds = drawn(chain, 400_000)
    covariances = chain.autocovariances(10)
    off = seconds - chain.mean_bps()
    deviation = math.sqrt(covariances[0])
    # the mean of correlated seconds: a standard error per level's memory, of some hundred seconds
    assert seconds.mean() == pytest.approx(chain.mean_bps(), abs=0.06 * deviation)
    assert (seconds == 0.0).mean() == pytest.approx(chain.outage_share(), abs=0.01)
    assert float(off @ off) / len(off) == pytest.approx(covariances[0], rel=0.15)
    for lag in (1, 10):
        found = float(off[lag:] @ off[:-lag]) / float(off @ off)
        assert found == pytest.approx(covariances[lag] / covariances[0], abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_shares_of_levels_are_stationary(name: str) -> None:
    # spreads of nothing and medians of one and the next power of two: bandwidth tells the level.
    # A level is kept for a quarter of an hour at most, so that 600,000 s are some hundred visits.
    network = load_cellular(name)
    levels = tuple(
        Level(2.0**index, 0.0, level.fails, level.recovers, level.follows)
        for index, level in enumerate(network.levels)
    )
    marked = MarkovNetwork(name, name, 0.1, levels, 0.0, (1.0, 1.0), {})
    seconds = drawn(marked, 600_000)
    found = [float((seconds == level.median_bps).mean()) for level in levels]
    assert found == pytest.approx(network.stationary()[: len(levels)].tolist(), abs=0.03)


def test_sessions_differ_by_their_factors() -> None:
    network = load_cellular("ghent-4g")
    alike = MarkovNetwork(
        "alike", "alike", 0.1, (Level(1e6, 0.0, 0.0, 1.0, (1.0,)),), 0.0, (0.5, 1.0, 4.0), {}
    )
    means = [drawn(alike, 5, seed)[0] / 1e6 for seed in range(4000)]
    assert min(means) >= 0.5
    assert max(means) <= 4.0
    assert np.quantile(means, 0.5) == pytest.approx(1.0, rel=0.1)
    assert np.mean(means) == pytest.approx(alike.mean_bps() / 1e6, rel=0.05)
    # mean over many sessions of the shipped chain, by theory
    many = np.mean([drawn(network, 400, seed).mean() for seed in range(600)])
    assert many == pytest.approx(network.mean_bps(), rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_sessions_have_the_mean_of_the_real_traces(name: str) -> None:
    network = load_cellular(name)
    assert network.mean_bps() == pytest.approx(8.0 * network.evidence["mean_bytes_per_s"].value, rel=0.02)
    # slow seconds in slow sessions come out below 10 kbit/s, too, and count as outages in the recordings
    outages = network.evidence["outage_share"].value
    assert network.outage_share() == pytest.approx(outages, abs=0.02)


def test_the_same_state_gives_the_same_trace_and_another_seed_another() -> None:
    network = load_cellular("norway-3g")
    first, same, other = (
        markov_trace(network, Streams(seed).stream("networks.alice"), 300.0) for seed in (1, 1, 2)
    )
    assert first == same
    assert first.bandwidths_bps != other.bandwidths_bps
    rng = np.random.default_rng(1)
    assert markov_trace(network, rng, 300.0) != markov_trace(network, rng, 300.0)


def test_scale_duration_latency_and_notes() -> None:
    network = load_cellular("ghent-4g")
    trace, tripled = (markov_trace(network, np.random.default_rng(4), 90.5, scale) for scale in (1.0, 3.0))
    assert tripled.bandwidths_bps == pytest.approx([3.0 * one for one in trace.bandwidths_bps])
    assert trace.duration_s == pytest.approx(90.5)
    assert trace.durations_s == (*(1.0,) * 90, 0.5)
    assert set(trace.latencies_s) == {0.02}
    assert "synthetic trace with the statistics of 4G/LTE logs from Ghent" in trace.notes[0]
    assert trace.notes[1] == "ghent-4g has no measured latency: 20 ms assumed"
    assert len(markov_trace(load_cellular("irish-5g"), np.random.default_rng(4), 9.0).notes) == 1


def test_a_session_without_any_bandwidth_is_drawn_again() -> None:
    # three of four seconds are outages, so that most traces of 1 s would be refused
    dark = MarkovNetwork("dark", "dark", 0.1, (Level(1e6, 0.1, 0.75, 0.25, (1.0,)),), 0.0, (1.0, 1.0), {})
    for seed in range(50):
        assert drawn(dark, 1, seed)[0] > 0.0


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_durations_and_factors_out_of_range(value: float) -> None:
    with pytest.raises(InputError, match="a duration in s must be above 0"):
        markov_trace(TWO, np.random.default_rng(1), value)
    with pytest.raises(InputError, match="a factor of bandwidth must be above 0"):
        markov_trace(TWO, np.random.default_rng(1), 10.0, value)


def test_an_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown network 'norway-4g'; nearest: norway-3g"):
        load_cellular("norway-4g")


def test_own_files_join_the_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cellular").mkdir()
    (tmp_path / "cellular" / "village.yaml").write_text(FILE.replace("name: ghent-4g", "name: village"))
    monkeypatch.setenv("HETSIM_DEVICES", str(tmp_path))
    assert cellular_names() == sorted((*NAMES, "village"))
    assert load_cellular("village").levels == load_cellular("ghent-4g").levels


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  persistence: 0.34\n", "", "chain: persistence is missing"),
        ("persistence: 0.34", "persistence: 1", "chain.persistence: must be below 1"),
        ("persistence: 0.34", "persistance: 0.34", "unknown key 'persistance'; nearest: persistence"),
        ("persistence: 0.34", "persistence: -0.1", "chain.persistence: -0.1 is out of range"),
        ("[0.5423,", "[5.5423,", "chain.session_factors: quantiles must not fall"),
        ("[0.5423,", "[0,", "chain.session_factors.0: 0 is out of range"),
        ("median: 0.2899 Mbit/s", "median: 0.2899 km", "chain.levels.0.median:"),
        ("median: 0.2899 Mbit/s", "median: 0 Mbit/s", "chain.levels.0.median: '0 Mbit/s' is out of range"),
        ("fails: 0.09438", "fails: 1.2", "chain.levels.0.fails: 1.2 is out of range"),
        ("follows: [", "follows: [0.5, ", "chain.levels.0.follows: has 9 probabilities; allowed: 8"),
        ("      spread: 1\n", "", "chain.levels.0: spread is missing"),
        ("  source: traces\n  kind: fitted", "  source: tracks\n  kind: fitted", "unknown source 'tracks'"),
        ("  kind: fitted\n", "  kind: measured\n", "chain.kind: 'measured' is not allowed"),
        ("mean_bytes_per_s", "median_bytes_per_s", "unknown key 'median_bytes_per_s'"),
    ],
)
def test_faults_of_files_name_their_place(old: str, new: str, message: str) -> None:
    assert old in FILE
    with pytest.raises(InputError) as caught:
        read_markov_network(FILE.replace(old, new, 1), "mine.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("mine.yaml:")


def test_a_file_without_a_chain_or_with_rows_that_do_not_add_up() -> None:
    head = FILE[: FILE.index("# By level")]
    with pytest.raises(InputError, match="chain: must be a mapping"):
        read_markov_network(head, "mine.yaml")
    row = next(line for line in FILE.splitlines() if "follows:" in line)
    halves = "      follows: [0.5, 0.2, 0, 0, 0, 0, 0, 0]"
    with pytest.raises(
        InputError, match=r"chain\.levels\.0\.follows: probabilities must add up to 1, not 0\.7"
    ):
        read_markov_network(FILE.replace(row, halves, 1), "mine.yaml")
    with pytest.raises(InputError, match=r"nowhere.yaml: no such file"):
        read_markov_network(Path("nowhere.yaml"))
