"""The fit of network traces finds a chain again, and the shipped files are what it yields."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from calibration.fits.network_chain import fit_network
from calibration.fits.network_sets import SETS, correlations, read_set, sessions, statistics
from calibration.fits.network_traces import (
    NetworkFit,
    deviation,
    fit_set,
    main,
    network_file,
    report,
    synthetic_statistics,
)
from simulator.streaming.markov_file import read_markov_network
from simulator.streaming.markov_network import Level, MarkovNetwork
from simulator.streaming.synthetic_trace import load_cellular, markov_trace

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "network_traces"

needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the public traces are not beside the project (../shared/data/network_traces)"
)


def draw(network: MarkovNetwork, lengths_s: Sequence[int], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.array(markov_trace(network, rng, length_s).bandwidths_bps) for length_s in lengths_s]


def test_statistics_of_a_known_series() -> None:
    # 1, 1, 3, 3 Mbit/s again and again, and an outage of 2 s
    parts = [np.array([1e6, 1e6, 3e6, 3e6] * 25), np.array([0.0, 0.0, 5e6])]
    found = statistics(parts)
    assert found["mean"] == pytest.approx(205e6 / 103)
    assert found["p50"] == pytest.approx(1e6) or found["p50"] == pytest.approx(3e6)
    assert (found["outage_share"], found["outage_s"]) == pytest.approx((2 / 103, 2.0))
    assert (found["slow_share"], found["slow_s"]) == pytest.approx((2 / 103, 2.0))
    assert found["session_p50"] == pytest.approx(0.5 * (2e6 + 5e6 / 3))
    assert correlations(parts[:1])[0] == pytest.approx(0.0, abs=0.02)


def test_sessions_are_equal_parts() -> None:
    parts = sessions([np.arange(1300.0), np.arange(100.0), np.arange(899.0)])
    assert [len(part) for part in parts] == [650, 650, 100, 899]
    assert parts[1][0] == 650.0


def test_deviations_are_relative_but_for_shares_and_correlations() -> None:
    assert deviation("mean", 3.0, 2.0) == pytest.approx(0.5)
    assert deviation("autocorrelation_1s", 0.5, 0.8) == pytest.approx(0.3)
    assert deviation("outage_share", 0.1, 0.0) == pytest.approx(0.1)
    assert np.isnan(deviation("p5", 1.0, 0.0))


def test_the_fit_finds_the_statistics_of_a_made_up_network() -> None:
    levels = (
        Level(0.5e6, 0.4, 0.05, 0.3, (0.97, 0.03, 0.0)),
        Level(2e6, 0.3, 0.0, 1.0, (0.01, 0.97, 0.02)),
        Level(6e6, 0.2, 0.0, 1.0, (0.0, 0.03, 0.97)),
    )
    truth = MarkovNetwork("truth", "truth", 0.1, levels, 0.5, (0.5, 0.8, 1.0, 1.25, 2.0), {})
    parts = draw(truth, [600] * 60, seed=1)
    network = fit_network("found", "found", 0.1, parts)
    real, found = statistics(parts), synthetic_statistics(network, parts)
    assert network.outage_share() == pytest.approx(truth.outage_share(), abs=0.01)
    assert network.mean_bps() == pytest.approx(np.mean(np.concatenate(parts)), rel=0.01)
    for key in ("variation", "p25", "p50", "p75", "p95", "session_p50"):
        assert found[key] == pytest.approx(real[key], rel=0.12), key
    for key in ("autocorrelation_1s", "autocorrelation_5s", "autocorrelation_10s", "autocorrelation_30s"):
        assert found[key] == pytest.approx(real[key], abs=0.06), key
    assert found["outage_s"] == pytest.approx(real["outage_s"], rel=0.3)


def test_a_missing_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "sabre_3Glogs.tar.gz: no such file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def ghent() -> NetworkFit:
    return fit_set(DATA, "ghent-4g")


@pytest.mark.slow
@needs_data
def test_a_shipped_file_is_what_the_fit_yields(ghent: NetworkFit) -> None:
    fit = ghent
    text = network_file(fit)
    rebuilt, shipped = read_markov_network(text), load_cellular("ghent-4g")
    # sums run in another order on another machine
    assert rebuilt.persistence == pytest.approx(shipped.persistence, abs=0.021)
    assert rebuilt.session_factors == pytest.approx(shipped.session_factors, rel=0.01)
    for ours, theirs in zip(rebuilt.levels, shipped.levels, strict=True):
        assert (ours.median_bps, ours.spread) == pytest.approx((theirs.median_bps, theirs.spread), rel=0.02)
        assert ours.follows == pytest.approx(theirs.follows, abs=0.005)
    for key, entry in shipped.evidence.items():
        assert rebuilt.evidence[key].source == entry.source
        if key != "chain":
            assert rebuilt.evidence[key].value == pytest.approx(entry.value, rel=1e-3), key
    assert "unseen off by" in report(fit)
    assert all(comparison.synthetic >= 0.0 for comparison in fit.comparisons.values())


TOLERANCE = {"norway-3g": 0.25, "ghent-4g": 0.12, "irish-5g": 0.2, "fcc-broadband": 0.16, "oboe": 0.1}
"""Relative, of mean, variation, middle quantiles and means of sessions (p10 apart, which is the least certain)."""
CORRELATION = {"norway-3g": 0.06, "ghent-4g": 0.07, "irish-5g": 0.3, "fcc-broadband": 0.12, "oboe": 0.08}
"""Absolute, of autocorrelations."""


@needs_data
@pytest.mark.parametrize("name", SETS)
def test_synthetic_sessions_are_like_the_real_ones(name: str) -> None:
    parts = sessions([one.bandwidths_bps for one in read_set(DATA, name)])
    network = load_cellular(name)
    real, found = statistics(parts), synthetic_statistics(network, parts)
    for key in ("mean", "variation", "p25", "p50", "p75", "p95", "session_p50", "session_p90"):
        assert found[key] == pytest.approx(real[key], rel=TOLERANCE[name]), key
    for key in (f"autocorrelation_{lag}s" for lag in (1, 5, 10, 30)):
        assert found[key] == pytest.approx(real[key], abs=CORRELATION[name]), key
    for key in ("slow_share", "outage_share"):
        assert found[key] == pytest.approx(real[key], abs=0.03), key
    # what the file says of the real traces is so
    assert network.evidence["traces"].value == len(read_set(DATA, name))
    assert 8.0 * network.evidence["mean_bytes_per_s"].value == pytest.approx(real["mean"], rel=1e-3)
    assert network.evidence["autocorrelation_10s"].value == pytest.approx(
        real["autocorrelation_10s"], rel=1e-3
    )


@needs_data
def test_the_command_writes_a_report_and_a_file(
    ghent: NetworkFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, str]] = []

    def known(folder: Path, name: str) -> NetworkFit:
        asked.append((folder, name))
        return ghent

    monkeypatch.setattr("calibration.fits.network_traces.fit_set", known)
    report_file = tmp_path / "report.txt"
    argv = [str(DATA.parent), "--set", "ghent-4g", "-o", str(report_file), "--write", str(tmp_path)]
    assert main(argv) == 0
    assert asked == [(DATA, "ghent-4g")]
    assert "40 traces, 5.0 h, round trip 20 ms (sabre)" in report_file.read_text()
    assert len(read_markov_network(tmp_path / "ghent-4g.yaml").levels) == 8
