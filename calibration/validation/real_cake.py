"""A real Cake on this machine: time to first token of a prompt whose KV lies in a file.

A transformer with random weights and a real KV cache prefills the prompt in chunks from its front. A thread reads
the stored KV from its tail, through a throttle, straight into the same cache. After every step the compute loop
tests whether the next chunk is there already; if so the thread is stopped, and only what the file does not hold, the
last block of the prompt, is still computed. This is the algorithm of Jin et al., "Compute or Load KV Cache? Why Not
Both?", ICML 2025.

Every run begins with a cache full of NaN and must end with the logits of a prefill of the whole prompt in one step:
a hole in the KV, or KV of another prompt, cannot go unseen.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from calibration.bench.harness import Options, Parameters, Point, Prepare, need
from calibration.bench.transformer import StepBatch, Tensor, Transformer, causal_mask
from calibration.validation.prefix_file import BackPointer, PrefixFile

BENCH = "real_cake"
"""What the table calls it."""

POLICIES = ("compute_only", "io_only", "cake")
"""KV-loading policies, by the simulator's names."""

BLOCK_TOKENS = 16
"""Tokens per block of the prefix cache: whole blocks are stored, and the last token is always computed."""

TOLERANCE = 1e-3
"""Largest difference of a logit allowed, as a share of the largest logit."""


def stored_tokens(prompt_tokens: int) -> int:
    """Return how many tokens of a prompt the file holds: whole blocks, at least one token less than all."""
    return (prompt_tokens - 1) // BLOCK_TOKENS * BLOCK_TOKENS


class RealCake:
    """One prompt, its KV in a file, and an engine that serves it.

    Parameters
    ----------
    model
        The transformer, on the CPU in 32 bits.
    prompt_tokens
        Length of the prompt; its tokens are random.
    chunk_tokens
        Token budget of an engine step.
    io_chunk_tokens
        Tokens per record of the file.
    path
        A new file for the prefix.
    """

    def __init__(
        self, model: Transformer, prompt_tokens: int, chunk_tokens: int, io_chunk_tokens: int, path: Path
    ) -> None:
        torch = need("torch")
        self.model = model
        self.chunk_tokens = chunk_tokens
        self.cache = model.cache(1, prompt_tokens)
        chance = torch.Generator().manual_seed(prompt_tokens)
        self.prompt = torch.randint(0, model.shape.vocabulary, (prompt_tokens,), generator=chance)
        self.computed_tokens = 0
        """Tokens that the last request computed."""
        self._mask = cache(lambda new, context: causal_mask(new, context, "fp32", "cpu"))
        self.expected = self._prefill(0, prompt_tokens)
        """Logits of the last token after a prefill of the whole prompt in one step."""
        self._mask.cache_clear()
        self.file = PrefixFile(path, self.cache, stored_tokens(prompt_tokens), io_chunk_tokens)

    def _prefill(self, start: int, end: int) -> Tensor:
        """Compute tokens ``[start, end)`` in one step; return the last one's logits."""
        mask = self._mask(end - start, end)
        return self.model.step(StepBatch(self.prompt[start:end], chunk=self.cache, prefix=start, mask=mask))

    def serve(self, policy: str, bandwidth_bytes_per_s: float) -> tuple[float, Tensor]:
        """Serve the prompt with nothing in the cache.

        Returns
        -------
        tuple
            Time to first token in s, and the last token's logits.
        """
        self.cache.fill_(float("nan"))
        self.computed_tokens = 0
        stored, prompt = self.file.tokens, len(self.prompt)
        position = 0
        logits = None
        start_s = time.perf_counter()
        back: BackPointer | None = None
        if policy != "compute_only":
            back = BackPointer(self.file, bandwidth_bytes_per_s, start_s)
            back.start()
            if policy == "io_only":
                back.finish(stop=False)
                position = stored
        while position < prompt:
            end = min(position + self.chunk_tokens, prompt)
            logits = self._prefill(position, end)
            self.computed_tokens += end - position
            position = end
            if back is not None:
                back.front = position
                if back.position <= position < stored:
                    back.finish(stop=True)
                    position = stored
        token = logits.argmax().item()  # type: ignore[union-attr]  # a prompt has tokens
        ttft_s = time.perf_counter() - start_s
        assert 0 <= token < self.model.shape.vocabulary
        if back is not None:
            back.finish(stop=True)
        return ttft_s, logits

    def check(self, logits: Tensor) -> None:
        """Raise RuntimeError unless these are the logits of a plain prefill (NaN is not)."""
        furthest = (logits - self.expected).abs().max().item() / self.expected.abs().max().item()
        if not furthest <= TOLERANCE:
            raise RuntimeError(f"the logits are {furthest:.2g} off those of a plain prefill")


@dataclass(frozen=True)
class RealCakeBench:
    """Requests at chosen points, as a benchmark for `calibration.bench.harness.run`.

    A point's parameters are ``policy``, ``bandwidth_bytes_per_s`` (but for compute_only), ``prompt_tokens``,
    ``chunk_tokens``, ``io_chunk_tokens`` and ``model``; points of one prompt stand together, because one prompt at a
    time has its cache and its file.
    """

    points: Sequence[Parameters]
    """What is measured."""
    threads: int
    """Threads that compute; the back pointer has one of its own."""
    REQUIRES: tuple[str, ...] = ("torch",)

    def grid(self, options: Options) -> list[tuple[str, Parameters]]:
        """Return the points."""
        return [(BENCH, point) for point in self.points]

    @contextmanager
    def session(self, options: Options) -> Iterator[Prepare]:
        """Prepare requests; their file is in `options.directory`."""
        torch = need("torch")
        torch.set_num_threads(self.threads)
        longest = max(int(point["prompt_tokens"]) for point in self.points)
        shapes = {shape.name: shape for shape in options.shapes}

        @lru_cache(maxsize=1)
        def model(name: str) -> Transformer:
            return Transformer(shapes[name], "fp32", "cpu", longest)

        with tempfile.TemporaryDirectory(prefix="hetsim-cake-", dir=options.directory) as folder:

            @lru_cache(maxsize=1)
            def request(name: str, prompt: int, chunk: int, io_chunk: int) -> RealCake:
                path = Path(folder) / f"{name}-{prompt}-{chunk}-{io_chunk}"
                return RealCake(model(name), prompt, chunk, io_chunk, path)

            def prepare(_: str, parameters: Parameters) -> Point:
                sizes = [int(parameters[key]) for key in ("prompt_tokens", "chunk_tokens", "io_chunk_tokens")]
                prompt = request(str(parameters["model"]), *sizes)
                policy = str(parameters["policy"])
                bandwidth = float(parameters.get("bandwidth_bytes_per_s", 1.0))  # compute_only reads nothing

                def trial() -> float:
                    ttft_s, logits = prompt.serve(policy, bandwidth)
                    prompt.check(logits)
                    return ttft_s

                return Point("ttft", "s", trial)

            with torch.inference_mode():
                yield prepare
