"""Fit of a chain of bandwidth levels to sessions: what `simulator.streaming.markov_network` describes.

A chain of seconds fitted by likelihood explains the next second and forgets within ten. So the levels are found in
three steps, each on the scale of time that it is about:

1. how levels follow each other, on means over `BLOCK_S`: a hidden Markov chain with log-normal levels (Baum-Welch);
2. medians, spreads and outages second by second, with the chain of step 1 held fixed;
3. the persistence within levels, from the autocorrelation.

Sessions are divided by a part of their mean beforehand: by as much that the means of synthetic sessions vary like the
real ones, given that the chain itself makes them vary. Last, medians move until the levels and factors together have
the quantiles of the real bandwidths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from calibration.fits.network_sets import LAGS_S, OUTAGE_BPS, correlations
from simulator.streaming.markov_network import Level, MarkovNetwork

Floats = NDArray[np.float64]

LEVELS = 8
BLOCK_S = 10
"""Blocks of step 1: between the seconds of fading and the half minute at which real traces still remember."""
ROUNDS = 25
"""Rounds of Baum-Welch in each step."""
LEAST_SPREAD, MOST_SPREAD = 0.05, 1.0
FACTOR_STEPS = 10
"""Steps between the quantiles of session factors."""
_PERSISTENCES = np.arange(0.0, 0.99, 0.02)


@dataclass(frozen=True, slots=True)
class Padded:
    """Sessions side by side, of unequal length."""

    values: Floats
    """(sessions, seconds); 0 where there is none."""
    there: NDArray[np.bool_]
    """Whether a session has that second."""

    @classmethod
    def of(cls, parts: Sequence[Floats]) -> Padded:
        """Lay sessions side by side."""
        values = np.zeros((len(parts), max(len(part) for part in parts)))
        there = np.zeros(values.shape, np.bool_)
        for row, part in enumerate(parts):
            values[row, : len(part)] = part
            there[row, : len(part)] = True
        return cls(values, there)


def stationary(moves: Floats) -> Floats:
    """Return the share of time in each state, (states,)."""
    shares = np.linalg.matrix_power(moves, 1 << 22)[0]
    whole: Floats = shares / shares.sum()
    return whole


def smooth(likelihoods: Floats, moves: Floats, there: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the probability of each state at each time, and how often each move is made (forward-backward).

    Parameters
    ----------
    likelihoods
        Of what was observed, (sessions, times, states); 1 where nothing was.
    moves
        Probabilities from state to state.
    there
        Whether a session has that time, (sessions, times).
    """
    forward, backward = np.empty_like(likelihoods), np.ones_like(likelihoods)
    scales = np.empty(there.shape)
    times = there.shape[1]
    ahead = np.broadcast_to(stationary(moves), likelihoods[:, 0].shape)
    for time in range(times):
        here = ahead * likelihoods[:, time]
        scales[:, time] = here.sum(1)
        forward[:, time] = here / scales[:, time, None]
        ahead = forward[:, time] @ moves
    evidence = likelihoods / scales[..., None]
    for time in range(times - 2, -1, -1):
        backward[:, time] = (backward[:, time + 1] * evidence[:, time + 1]) @ moves.T
    both = there[:, 1:, None]
    states = likelihoods.shape[2]
    before = (forward[:, :-1] * both).reshape(-1, states)
    after = (backward[:, 1:] * evidence[:, 1:] * both).reshape(-1, states)
    return forward * backward * there[..., None], (before.T @ after) * moves


def densities(logs: Floats, centres: Floats, spreads: Floats) -> Floats:
    """Return normal densities up to a factor per time, (..., levels)."""
    exponents = -0.5 * ((logs[..., None] - centres) / spreads) ** 2 - np.log(spreads)
    # what no level explains is left to the moves
    likely: Floats = np.maximum(np.exp(exponents - exponents.max(-1, keepdims=True)), 1e-12)
    return likely


def moments(logs: Floats, weights: Floats, least: float) -> tuple[Floats, Floats]:
    """Return weighted means and standard deviations of each level."""
    totals = weights.sum((0, 1)) + 1e-9
    centres = (weights * logs[..., None]).sum((0, 1)) / totals
    squares = (weights * (logs[..., None] - centres) ** 2).sum((0, 1)) / totals
    return centres, np.sqrt(np.maximum(squares, least**2))


def block_chain(parts: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """Return step 1: the moves between levels per second, and mean and spread of each level's logarithm."""
    blocks = [
        np.log(np.maximum(part[: len(part) // BLOCK_S * BLOCK_S].reshape(-1, BLOCK_S).mean(1), OUTAGE_BPS))
        for part in parts
        if len(part) >= 2 * BLOCK_S
    ]
    padded = Padded.of(blocks)
    logs = padded.values
    known = logs[padded.there]
    centres = np.quantile(known, (np.arange(LEVELS) + 0.5) / LEVELS) + 1e-3 * np.arange(LEVELS)
    spreads = np.full(LEVELS, max(float(known.std()) / LEVELS, 0.1))
    stays = 0.8
    moves = np.full((LEVELS, LEVELS), (1.0 - stays) / (LEVELS - 1))
    np.fill_diagonal(moves, stays)
    for _ in range(2 * ROUNDS):
        likely = np.where(padded.there[..., None], densities(logs, centres, spreads), 1.0)
        weights, counts = smooth(likely, moves, padded.there)
        moves = (counts + 0.1) / (counts + 0.1).sum(1, keepdims=True)
        centres, spreads = moments(logs, weights, 0.08)
    kept = np.diag(moves) ** (1.0 / BLOCK_S)
    per_second = moves / np.maximum(1.0 - np.diag(moves), 1e-12)[:, None] * (1.0 - kept)[:, None]
    np.fill_diagonal(per_second, kept)
    return per_second, centres, spreads


def fit_levels(parts: Sequence[Floats]) -> tuple[Level, ...]:
    """Return steps 1 and 2: the levels of sessions that have been divided by their factors."""
    follows, centres, spreads = block_chain(parts)
    padded = Padded.of(parts)
    out = padded.there & (padded.values < OUTAGE_BPS)
    known = padded.there & ~out
    logs = np.log(np.where(known, padded.values, 1.0))
    # a level that was all outages in step 1 begins with the slowest seconds that there are
    centres = np.maximum(centres, np.quantile(logs[known], 0.05))
    spreads = np.maximum(spreads, 0.3)
    fails, recovers = np.full(LEVELS, 0.02 if out.any() else 0.0), np.full(LEVELS, 0.3 if out.any() else 1.0)
    for _ in range(ROUNDS):
        moves = np.block(
            [[follows * (1.0 - fails), follows * fails], [follows * recovers, follows * (1.0 - recovers)]]
        )
        here = np.where(
            known[..., None], densities(logs, centres, spreads), np.where(out[..., None], 0.0, 1.0)
        )
        away = np.where(known, 0.0, 1.0)[..., None] * np.ones(LEVELS)
        weights, counts = smooth(np.concatenate([here, away], 2), moves, padded.there)
        entered = counts.reshape(2, LEVELS, 2, LEVELS).sum(
            1
        )  # (from, to, level): up or down before and after
        if out.any():
            fails = (entered[0, 1] + 0.01) / (entered[0].sum(0) + 0.5)
            recovers = (entered[1, 0] + 0.01) / (entered[1].sum(0) + 0.02)
        centres, spreads = moments(logs, weights[..., :LEVELS] * known[..., None], LEAST_SPREAD)
        spreads = np.minimum(spreads, MOST_SPREAD)
    order = np.argsort(centres)
    return tuple(
        Level(
            float(np.exp(centres[one])),
            float(spreads[one]),
            float(fails[one]),
            float(recovers[one]),
            tuple(follows[one, order].tolist()),
        )
        for one in order
    )


def persistence(network: MarkovNetwork, parts: Sequence[Floats]) -> MarkovNetwork:
    """Return step 3: the network with the persistence that comes nearest to the sessions' autocorrelation."""
    goal, length_s = np.array(correlations(parts)), int(np.mean([len(part) for part in parts]))
    candidates = [replace(network, persistence=float(one)) for one in _PERSISTENCES]
    return min(
        candidates, key=lambda one: float(np.abs(one.session_correlations(LAGS_S, length_s)[0] - goal).sum())
    )


def fit_network(name: str, title: str, latency_s: float, parts: Sequence[Floats]) -> MarkovNetwork:
    """Return the network fitted to sessions.

    Parameters
    ----------
    name, title, latency_s
        As in `MarkovNetwork`.
    parts
        Sessions: bandwidth of each second, in bit/s.
    """
    means = np.array([part.mean() for part in parts])
    logs = np.log(np.maximum(means, OUTAGE_BPS))
    logs = np.where(means < OUTAGE_BPS, 0.0, logs - logs[means >= OUTAGE_BPS].mean())
    variance = float(np.var(means)) / float(means.mean()) ** 2
    length_s = int(np.mean([len(part) for part in parts]))
    powers = np.linspace(0.0, 1.0, 41)
    variances = [float(np.var(np.exp(one * logs)) / np.mean(np.exp(one * logs)) ** 2) for one in powers]
    power = 0.8
    for last in (False, False, False, True):
        scaled = [part / factor for part, factor in zip(parts, np.exp(power * logs), strict=True)]
        levels = fit_levels(scaled)
        factors = np.exp(np.quantile(power * logs, np.linspace(0.0, 1.0, FACTOR_STEPS + 1)))
        network = MarkovNetwork(name, title, latency_s, levels, 0.0, tuple(factors.tolist()), {})
        network = persistence(network, parts)
        of_chain = network.session_correlations(LAGS_S, length_s)[1]
        wanted = max(0.0, (1.0 + variance) / (1.0 + of_chain) - 1.0)
        if not last:
            power = 0.5 * (power + float(np.interp(wanted, variances, powers)))
    return persistence(with_quantiles(network, np.concatenate(parts)), parts)


def with_quantiles(network: MarkovNetwork, seconds_bps: Floats) -> MarkovNetwork:
    """Return the network with medians moved so that bandwidth has the quantiles, and then the mean, of real seconds."""
    count = len(network.levels)
    shares = network.stationary()
    spreads = np.array([level.spread for level in network.levels])
    steps = len(network.session_factors) - 1
    ranks = np.linspace(0.0, 1.0, 20 * steps + 1)[1::2]
    factors = np.interp(ranks, np.linspace(0.0, 1.0, steps + 1), np.log(network.session_factors))
    grid = np.linspace(np.log(1e3), np.log(4.0 * seconds_bps.max()), 1200)
    centres = np.log([level.median_bps for level in network.levels])
    width = np.sqrt(spreads**2 + factors.var())
    for _ in range(6):
        below = shares[count:].sum() + sum(
            share * ndtr((grid[:, None] - centre - factors) / spread).mean(1)
            for share, centre, spread in zip(shares[:count], centres, spreads, strict=True)
        )
        # over the width of a level, because its median moves all of it
        shift = np.zeros(count)
        for place in (-1.2, -0.6, 0.0, 0.6, 1.2):
            at = centres + place * width
            rank = np.clip(np.interp(at, grid, below), 0.002, 0.998)
            shift += np.log(np.maximum(np.quantile(seconds_bps, rank), 1e3)) - at
        centres = centres + 0.6 * np.clip(shift / 5.0, -0.5, 0.5)
    levels = [
        replace(level, median_bps=float(np.exp(centre)))
        for centre, level in zip(centres, network.levels, strict=True)
    ]
    moved = replace(network, levels=tuple(levels))
    factor = float(seconds_bps.mean()) / moved.mean_bps()
    return replace(
        moved, levels=tuple(replace(level, median_bps=factor * level.median_bps) for level in levels)
    )
