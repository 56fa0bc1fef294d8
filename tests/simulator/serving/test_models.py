"""Models and engines of the catalogue: published sizes, derived figures, refusals."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from devices.errors import InputError
from simulator.serving.engines import engine_names, load_engine
from simulator.serving.models import load_model, model_names, read_model

PUBLISHED = {
    "llama-2-7b": 6.74e9,
    "llama-2-13b": 13.02e9,
    "llama-2-70b": 68.98e9,
    "longalpaca-7b": 6.74e9,
    "longalpaca-13b": 13.02e9,
    "vicuna-7b": 6.74e9,
    "vicuna-13b": 13.02e9,
    "vicuna-33b": 32.5e9,
    "llama-3-8b": 8.03e9,
    "llama-3-70b": 70.6e9,
    "llama-3.1-8b": 8.03e9,
    "llama-3.1-70b": 70.6e9,
    "mistral-7b": 7.24e9,
    "mixtral-8x7b": 46.7e9,
    "qwen2-7b": 7.62e9,
    "qwen3-8b": 8.2e9,
    "qwen3-14b": 14.8e9,
    "qwen3-32b": 32.8e9,
    "qwen3-30b-a3b": 30.5e9,
    "qwq-32b": 32.8e9,
    "deepseek-v3": 671e9,
    "deepseek-r1": 671e9,
}

DENSE = """\
name: tiny
title: Tiny
source: Nowhere
url: https://example.org
layers: 2
hidden: 8
attention_heads: 4
kv_heads: 2
head_dim: 2
ffn: 16
vocabulary: 10
context_tokens: 64
"""


def test_the_catalogue_has_the_models_of_the_published_studies() -> None:
    assert model_names() == sorted(PUBLISHED)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_sizes_are_those_published(name: str, parameters: float) -> None:
    assert load_model(name).parameters == pytest.approx(parameters, rel=0.01)


@pytest.mark.parametrize(
    ("name", "active"), [("mixtral-8x7b", 12.9e9), ("qwen3-30b-a3b", 3.3e9), ("deepseek-v3", 37e9)]
)
def test_active_sizes_of_mixtures_are_those_published(name: str, active: float) -> None:
    model = load_model(name)
    assert model.active_parameters == pytest.approx(active, rel=0.02)  # published with two digits
    assert model.active_layer_parameters < model.layer_parameters


@pytest.mark.parametrize(
    ("name", "kib"),
    [("longalpaca-7b", 512), ("longalpaca-13b", 800), ("llama-3.1-8b", 128), ("llama-3.1-70b", 320)],
)
def test_kv_per_token_is_that_of_the_cake_paper(name: str, kib: int) -> None:
    assert load_model(name).kv_bytes_per_token == kib * 1024


def test_deepseek_v3_has_the_published_sizes() -> None:
    model = load_model("deepseek-v3")
    assert model.active_layer_parameters + model.embedding_parameters / 2 == pytest.approx(36.6e9, rel=0.002)
    assert model.kv_bytes_per_token == 70_272  # published: 70.272 KB in 16 bits
    assert model.weight_bytes(4) < 0.52 * model.weight_bytes()
    assert load_model("deepseek-r1").parameters == model.parameters


def test_latent_attention_follows_from_the_architecture() -> None:
    text = DENSE.replace("head_dim: 2", "head_dim: 3\nvalue_head_dim: 2").replace(
        "kv_heads: 2", "kv_heads: 4"
    )
    heads = read_model(text)
    queries, keys, values, output = 8 * 4 * 3, 8 * 4 * 3, 8 * 4 * 2, 4 * 2 * 8
    feed_forward = 3 * 8 * 16
    assert heads.layer_parameters == 2 * (queries + keys + values + output + feed_forward)
    assert heads.kv_bytes_per_token == 2 * 4 * (3 + 2) * 2

    latent = read_model(text + "kv_latent: 5\nshared_key_dim: 1\n")
    down, up = 8 * (5 + 1), 5 * 4 * (2 + 2)  # one key value is shared: two per head are expanded
    assert latent.layer_parameters == 2 * (queries + down + up + output + feed_forward)
    assert latent.kv_bytes_per_token == 2 * (5 + 1) * 2

    low_rank = read_model(text + "kv_latent: 5\nshared_key_dim: 1\nquery_latent: 6\n")
    assert low_rank.layer_parameters - latent.layer_parameters == 2 * (8 * 6 + 6 * 4 * 3 - queries)


@pytest.mark.parametrize("name", ["qwen3-32b", "llama-2-7b", "deepseek-v3"])
def test_gpus_share_heads_but_not_what_is_common(name: str) -> None:
    model = load_model(name)
    alone, shared = (
        [inputs * outputs for inputs, outputs in model.attention_products(gpus)] for gpus in (1, 4)
    )
    for whole, part in zip(alone, shared, strict=True):
        common = model.kv_latent and whole == alone[0]
        assert part == (whole if common else whole / 4)


def test_first_layers_may_have_no_experts() -> None:
    text = DENSE + "experts: 4\nexperts_per_token: 2\nexpert_ffn: 16\nfirst_dense_layers: 1\n"
    model = read_model(text)
    dense, mixture = (
        read_model(DENSE),
        read_model(text.replace("first_dense_layers: 1", "").replace("ffn: 16", "ffn: 0", 1)),
    )
    assert (model.dense_layers, model.expert_layers) == (1, 1)
    assert model.layer_parameters == (dense.layer_parameters + mixture.layer_parameters) / 2


def test_derived_figures_follow_from_the_architecture() -> None:
    model = read_model(DENSE)
    attention = 8 * 8 + 2 * (8 * 4) + 8 * 8  # query, key and value, output
    feed_forward = 3 * 8 * 16  # gate, up and down
    assert model.layer_parameters == model.active_layer_parameters == 2 * (attention + feed_forward)
    assert model.embedding_parameters == 2 * 10 * 8
    assert model.kv_bytes_per_token == 2 * 2 * 2 * 2 * 2
    assert model.weight_bytes() == 2 * model.parameters
    assert model.weight_bytes(8) == model.layer_parameters + 2 * model.embedding_parameters
    assert read_model(DENSE + "tied_embeddings: true\n").embedding_parameters == 10 * 8


def test_experts_count_in_full_but_a_token_meets_few() -> None:
    dense = read_model(DENSE)
    text = DENSE.replace("ffn: 16", "ffn: 0") + "experts: 4\nexperts_per_token: 2\nexpert_ffn: 16\n"
    mixture = read_model(text)
    assert mixture.expert_parameters == 3 * 8 * 16
    router = 8 * 4
    assert mixture.layer_parameters == dense.layer_parameters + 2 * (3 * mixture.expert_parameters + router)
    assert mixture.layer_parameters - mixture.active_layer_parameters == 2 * 2 * mixture.expert_parameters


def test_unknown_model_names_the_nearest() -> None:
    assert load_model("qwen3-8b") is load_model("qwen3-8b")
    with pytest.raises(InputError, match=r"unknown model 'llama-3.1-80b'; nearest: llama-3.1-"):
        load_model("llama-3.1-80b")


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("layers: 2", "layers: 2.5", "5:9", "2.5 is not a whole number"),
        ("layers: 2", "layers: true", "5:9", "True is not a whole number"),
        ("ffn: 16", "fnn: 16", "10:1", "nearest: ffn"),
        ("hidden: 8\n", "", "1:1", "hidden: is missing"),
        ("kv_heads: 2", "kv_heads: 3", "8:11", "must divide attention_heads (4)"),
        ("ffn: 16", "ffn: 16\nexperts: 4", "11:10", "belong together"),
        ("title: Tiny", "title: 7", "2:8", "7 is not a text"),
        ("ffn: 16", "ffn: 16\nfirst_dense_layers: 1", "11:21", "is for mixtures of experts"),
        ("ffn: 16", "ffn: 16\nexperts: 4\nexperts_per_token: 1\nexpert_ffn: 8", "10:6", "first_dense_layers"),
        ("ffn: 16", "ffn: 16\nshared_key_dim: 1", "11:17", "needs kv_latent"),
        ("ffn: 16", "ffn: 16\nquery_latent: 4", "11:15", "needs kv_latent"),
        ("ffn: 16", "ffn: 16\nkv_latent: 4\nshared_key_dim: 2", "12:17", "must be below head_dim (2)"),
    ],
)
def test_bad_model_files_are_refused_with_their_position(
    old: str, new: str, place: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        read_model(DENSE.replace(old, new, 1), "tiny.yaml")
    assert any(str(f).startswith(f"tiny.yaml:{place}: ") and message in str(f) for f in error.value.faults), (
        str(error.value)
    )


def test_every_engine_loads_with_evidence() -> None:
    assert engine_names() == ["torch-cpu-xeon-2-cores-2.13", "transformers-4.28", "vllm-0.12", "vllm-0.6"]
    for name in engine_names():
        engine = load_engine(name)
        numbers = {f.name for f in fields(engine)} - {"name", "title", "evidence"}
        assert set(engine.evidence) == numbers
        assert all(evidence.source and evidence.note for evidence in engine.evidence.values())


def test_an_engine_version_that_is_not_known_falls_back_to_the_nearest_older_one() -> None:
    assert load_engine("vllm-0.8").name == "vllm-0.6"
    assert load_engine("vllm-0.15") is load_engine("vllm-0.12")
    with pytest.raises(InputError, match=r"unknown engine 'vlm-0.12'; nearest: vllm-0.12"):
        load_engine("vlm-0.12")


def test_own_models_and_engines_join_the_catalogues(tmp_path, monkeypatch):
    for folder, load, name in (("models", load_model, "llama-2-7b"), ("engines", load_engine, "vllm-0.12")):
        shipped = Path(__file__).parents[3] / "simulator" / "serving" / "catalog" / folder / f"{name}.yaml"
        (tmp_path / folder).mkdir()
        text = shipped.read_text().replace(f"name: {name}\n", f"name: {folder}-9.9\n")
        (tmp_path / folder / f"{folder}-9.9.yaml").write_text(text)
        monkeypatch.setenv("HETSIM_DEVICES", str(tmp_path))
        assert load(f"{folder}-9.9").title == load(name).title  # all but the name
