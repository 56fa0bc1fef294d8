"""The transformer that `step` measures computes what a transformer must."""

from __future__ import annotations

from typing import Any

import pytest

from calibration.bench.transformer import StepBatch, Transformer, causal_mask, random_tensor
from calibration.commands import shape_of

torch = pytest.importorskip("torch", reason="extra `calibrate` is not installed")

SHAPE = shape_of("layers=2,hidden=64,heads=4,kv_heads=2,ffn=96,vocabulary=128")


@pytest.fixture(scope="module")
def model() -> Transformer:
    return Transformer(SHAPE, "fp32", "cpu", context_tokens=64)


def prefill(model: Transformer, tokens: Any, cache: Any, prefix: int) -> Any:
    mask = causal_mask(len(tokens), prefix + len(tokens), "fp32", "cpu")
    return model.step(StepBatch(tokens, chunk=cache, prefix=prefix, mask=mask))


def test_chunks_give_what_the_whole_prompt_gives(model: Transformer) -> None:
    tokens = torch.randint(0, SHAPE.vocabulary, (24,))
    whole_cache, cache = model.cache(1, 24), model.cache(1, 24)
    whole = prefill(model, tokens, whole_cache, 0)
    for start, end in ((0, 10), (10, 11), (11, 24)):
        logits = prefill(model, tokens[start:end], cache, start)
    torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(cache, whole_cache, rtol=1e-4, atol=1e-4)


def test_a_decode_gives_what_a_prefill_of_its_token_gives(model: Transformer) -> None:
    tokens = torch.randint(0, SHAPE.vocabulary, (3, 13))
    cache = model.cache(3, 13)
    expected = []
    for number, row in enumerate(tokens):
        prefill(model, row[:12], cache[:, :, number : number + 1], 0)
        expected.append(prefill(model, row, model.cache(1, 13), 0))
    logits = model.step(StepBatch(tokens[:, 12], decodes=cache, context=12))
    torch.testing.assert_close(logits, torch.cat(expected), rtol=1e-4, atol=1e-4)


def test_decodes_and_a_chunk_in_one_step_do_not_touch_each_other(model: Transformer) -> None:
    tokens = torch.randint(0, SHAPE.vocabulary, (2 + 7,))
    decodes, chunk = model.cache(2, 9), model.cache(1, 12)
    alone = model.step(StepBatch(tokens[:2], decodes=decodes.clone(), context=8))
    prompt = prefill(model, tokens[2:], chunk.clone(), 5)
    mask = causal_mask(7, 12, "fp32", "cpu")
    together = model.step(StepBatch(tokens, decodes=decodes, context=8, chunk=chunk, prefix=5, mask=mask))
    torch.testing.assert_close(together, torch.cat((alone, prompt)), rtol=1e-4, atol=1e-4)


def test_weights_are_as_many_as_the_model_says(model: Transformer) -> None:
    count = sum(weight.numel() for layer in model.layers for weight in layer.values())
    assert count == SHAPE.layer_parameters
    assert model.embedding.numel() + model.head.numel() == SHAPE.embedding_parameters


def test_random_values_fill_the_whole_tensor() -> None:
    tensor = random_tensor((3, 2**20 - 5), "bf16", "cpu", scale=0.5)
    assert float(tensor.float().std()) == pytest.approx(0.5, rel=0.02)
    assert int((tensor[-1, -1000:] == 0).sum()) < 10
