"""A network as a Markov chain: bandwidth levels that follow each other, outages, and what that implies.

Every second the chain moves to a level by the row ``follows`` of the one it left, and may fail or recover with the
probabilities of the one it entered. In a level the bandwidth is log-normal around the level's median; how far it is off
persists from second to second (an autoregressive process of first order). During an outage it is 0. Each session has a
factor of its own on top, because real traces of one set differ far more from each other than parts of one do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from devices.evidence import Evidence
from devices.quantity import Count, OptionalRate, Quantity, Ratio, Seconds

Floats = NDArray[np.float64]

Variation = Annotated[float, Quantity("", high=100.0)]
"""Standard deviation over the mean."""
Correlation = Annotated[float, Quantity("", low=-1.0, high=1.0)]


@dataclass(frozen=True, slots=True)
class Level:
    """One bandwidth level of the chain."""

    median_bps: float
    """Median bandwidth in a session of factor 1, in bit/s."""
    spread: float
    """Standard deviation of the logarithm of bandwidth within the level."""
    fails: float
    """Probability that a second in this level, after one with bandwidth, is an outage."""
    recovers: float
    """Probability that a second in this level, after an outage, is none."""
    follows: tuple[float, ...]
    """Probability of each level in the next second."""


@dataclass(frozen=True, slots=True)
class RealStatistics:
    """What was recorded, in seconds of bandwidth; the chain is fitted to it and synthetic traces are compared with it.

    Sessions are parts of about ten minutes; shorter traces are one each.
    """

    name: str
    """Catalogue name."""
    title: str
    """The set of traces."""
    licence: str
    """Licence under which the traces are public."""
    traces: Count
    """How many there are."""
    recorded_s: Seconds
    """Time recorded."""
    latency_s: Seconds
    """Round trip of a request."""
    mean_bytes_per_s: OptionalRate
    """Mean bandwidth over time."""
    variation: Variation
    """Standard deviation of bandwidth over its mean."""
    p5_bytes_per_s: OptionalRate
    """Bandwidth that 5 % of the seconds stay below."""
    p25_bytes_per_s: OptionalRate
    """The same for 25 %."""
    p50_bytes_per_s: OptionalRate
    """The same for 50 %."""
    p75_bytes_per_s: OptionalRate
    """The same for 75 %."""
    p95_bytes_per_s: OptionalRate
    """The same for 95 %."""
    autocorrelation_1s: Correlation
    """Of bandwidth around the session's own mean, one second apart."""
    autocorrelation_5s: Correlation
    """Five seconds apart."""
    autocorrelation_10s: Correlation
    """Ten seconds apart."""
    autocorrelation_30s: Correlation
    """Thirty seconds apart."""
    slow_share: Ratio
    """Share of time below 0.3 Mbit/s."""
    slow_s: Seconds
    """Mean length of a stretch below 0.3 Mbit/s; 0: there is none."""
    outage_share: Ratio
    """Share of time in outages: seconds of less than 10 kbit/s."""
    outage_s: Seconds
    """Mean length of an outage; 0: there is none."""
    session_p10_bytes_per_s: OptionalRate
    """Mean bandwidth that 10 % of the sessions stay below."""
    session_p50_bytes_per_s: OptionalRate
    """The same for 50 %."""
    session_p90_bytes_per_s: OptionalRate
    """The same for 90 %."""
    evidence: Mapping[str, Evidence]
    """Where each value is from, by field."""


@dataclass(frozen=True, slots=True)
class MarkovNetwork:
    """The bandwidth of one kind of access network over time."""

    name: str
    """Catalogue name, such as ``norway-3g``."""
    title: str
    """The set of traces that it was fitted to."""
    latency_s: float
    """Round trip of a request, in s."""
    levels: tuple[Level, ...]
    """Levels of the chain, from slow to fast."""
    persistence: float
    """Correlation from second to second of how far bandwidth is off its level's median, in logarithms."""
    session_factors: tuple[float, ...]
    """Quantiles of the factor on bandwidth that a session has, at equal steps of probability from 0 to 1."""
    evidence: Mapping[str, Evidence]
    """Where each value of the file is from; ``chain``: the source of the fit."""

    @property
    def source(self) -> str:
        """Title of the source of the recorded traces."""
        return self.evidence["chain"].source

    @property
    def url(self) -> str:
        """Where they can be read."""
        return self.evidence["chain"].url

    def transitions(self) -> Floats:
        """Return the probabilities of going from state to state within a second, (2n, 2n) for n levels.

        The first n states are the levels, the next n their outages.
        """
        follows = np.array([level.follows for level in self.levels])
        fails = np.array([level.fails for level in self.levels])
        recovers = np.array([level.recovers for level in self.levels])
        return np.block(
            [[follows * (1.0 - fails), follows * fails], [follows * recovers, follows * (1.0 - recovers)]]
        )

    def stationary(self) -> Floats:
        """Return the share of time in each state of `transitions`, (2n,)."""
        moves = self.transitions()
        size = len(moves)
        equations = np.vstack([moves.T - np.eye(size), np.ones(size)])
        shares = np.linalg.lstsq(equations, np.append(np.zeros(size), 1.0), rcond=None)[0]
        shares = np.where(shares < 1e-12, 0.0, shares)  # a state that nothing leads to, but for rounding
        result: Floats = shares / shares.sum()
        return result

    def outage_share(self) -> float:
        """Return the share of time in outages."""
        return float(self.stationary()[len(self.levels) :].sum())

    def mean_bps(self) -> float:
        """Return the mean bandwidth over all time and sessions, in bit/s."""
        means, _ = self._moments()
        return self._factor_moment(1) * float(self.stationary() @ means)

    def autocovariances(self, lags: int) -> Floats:
        """Return the covariances of bandwidth (in bit/s) in a session of factor 1, 0 to `lags` seconds apart."""
        means, spreads = self._moments()
        shares, moves = self.stationary(), self.transitions()
        products = np.outer(spreads, spreads)
        mean = shares @ means
        ahead, found = np.eye(len(moves)), np.empty(lags + 1)
        for lag in range(lags + 1):
            joint = ahead * np.exp(products * self.persistence**lag)
            found[lag] = (shares * means) @ joint @ means - mean**2
            ahead = ahead @ moves
        return found

    def session_correlations(self, lags: tuple[int, ...], session_s: int) -> tuple[Floats, float]:
        """Return autocorrelations around the mean of a session, and the variance of that mean over its square.

        A session's own mean follows slow changes in part, so that these are below those around the mean over all time.

        Parameters
        ----------
        lags
            In s, below `session_s`.
        session_s
            Length of a session in s.
        """
        covariances = self.autocovariances(session_s - 1)
        weights = 2.0 * (1.0 - np.arange(session_s) / session_s)
        weights[0] = 1.0
        of_mean = float(weights @ covariances) / session_s
        means, _ = self._moments()
        mean = float(self.stationary() @ means)
        return (covariances[list(lags)] - of_mean) / (covariances[0] - of_mean), of_mean / mean**2

    def _moments(self) -> tuple[Floats, Floats]:
        """Return mean bandwidth and spread of each state, outages included."""
        medians = np.array([level.median_bps for level in self.levels])
        spreads = np.array([level.spread for level in self.levels])
        none = np.zeros(len(medians))
        return np.append(medians * np.exp(0.5 * spreads**2), none), np.append(spreads, none)

    def _factor_moment(self, power: int) -> float:
        """Return the mean of the session factor to `power`, of factors drawn between quantiles by logarithm."""
        logs = power * np.log(np.array(self.session_factors))
        steps = np.diff(logs)
        # the mean of exp over a straight line from a to b is (exp(b) - exp(a)) / (b - a)
        flat = np.abs(steps) < 1e-9
        means = np.where(flat, np.exp(logs[:-1]), np.diff(np.exp(logs)) / np.where(flat, 1.0, steps))
        return float(means.mean())
