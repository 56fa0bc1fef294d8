"""QoE of streamed text: how closely an answer keeps to the timeline that its reader expects.

After Andes (Liu et al. 2024, arXiv:2404.16283): the reader expects the first token at a given time after asking and
then reads at a steady rate, which gives the expected timeline E, in tokens over time. A reader takes tokens in no
faster than that and no sooner than they are there, which gives the actual timeline A, never above E. The QoE is the
share of the area under E that lies under A as well,

    QoE = 1 - integral of (E - A) / integral of E,

1 where nothing ever keeps the reader waiting, towards 0 the longer the reader waits. Tokens that come early are worth
nothing more: a burst after a long wait is read no faster than any other text.

Both integrals go on until the answer has been *read*, not only until it has been sent: otherwise an answer that comes
faster than it is read would be judged by its beginning alone, one that is out before the reader expects any of it by
nothing at all, and of a late one that comes in one burst the wait that all its tokens inherit would not count.

An average over time has its limits. An even pace, however slow, costs no more than half, as half of the tokens are
there half of the time; and where the start was later than half of the reading takes, a slower pace thins that wait out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.core import Table
from simulator.scenario.reader_spec import ReaderSpec
from simulator.serving.sequence import COMPLETED

DEFAULT_READER = ReaderSpec()
"""The reader where a scenario describes none."""


def text_qoe(
    ttft_s: ArrayLike, tpot_s: ArrayLike, tokens: ArrayLike, reader: ReaderSpec = DEFAULT_READER
) -> NDArray[np.float64]:
    """Return the QoE of streamed answers whose tokens come at an even pace.

    Token i (from 0) is there at ``ttft + i tpot``, expected at ``reader.ttft + i / r`` and read late by
    ``lag_i = max(0, ttft - reader.ttft + i max(0, tpot - 1 / r))``. The area between the timelines is the sum of the
    lags; that under the expected one, up to when the last token is read, is ``n lag_(n-1) + n (n - 1) / (2 r)``.

    Parameters
    ----------
    ttft_s, tpot_s
        Shape (n,). Time to first token, and mean time per further output token.
    tokens
        Shape (n,). Tokens of the answers.
    reader
        What the reader expects.

    Returns
    -------
    numpy.ndarray
        Shape (n,). Above 0, at most 1. NaN for answers of fewer than two tokens, and where a time is NaN.
    """
    start = np.asarray(ttft_s, np.float64) - reader.ttft
    period_s = 1.0 / reader.tokens_per_s
    growth = np.maximum(np.asarray(tpot_s, np.float64) - period_s, 0.0)
    count = np.where(np.asarray(tokens) >= 2, tokens, np.nan).astype(np.float64)
    # The lags grow: those of the first tokens are 0 until the text has fallen behind the reader.
    with np.errstate(divide="ignore", invalid="ignore"):
        on_time = np.where(growth > 0.0, np.ceil(-start / growth), np.where(start < 0.0, count, 0.0))
    on_time = np.clip(on_time, 0.0, count)
    late = count - on_time
    lags = late * start + growth * late * (count + on_time - 1.0) / 2.0
    last = np.maximum(start + (count - 1.0) * growth, 0.0)
    expected = count * last + count * (count - 1.0) * period_s / 2.0
    return np.asarray(1.0 - np.maximum(lags, 0.0) / expected)


def qoe_of_requests(requests: Table, reader: ReaderSpec = DEFAULT_READER) -> NDArray[np.float64]:
    """Return the QoE of each request of an LLM service; NaN where it has none.

    Parameters
    ----------
    requests
        One row per request (`simulator.serving.service.request_schema`).
    reader
        What the reader expects.

    Returns
    -------
    numpy.ndarray
        Shape (requests,). NaN for requests without an answer, or with one of a single token.
    """
    arrival, first, finish, tokens = (
        requests.column(name) for name in ("arrival_s", "first_token_s", "finish_s", "output_tokens")
    )
    tpot_s = (finish - first) / np.maximum(tokens - 1, 1)
    values = text_qoe(first - arrival, tpot_s, tokens, reader)
    return np.where(requests.column("status") == COMPLETED, values, np.nan)
