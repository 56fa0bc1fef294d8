"""Language models on phones: the files are what AI Hub's table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.readers.aihub import read_llm
from calibration.recipes.phone_llm import MODELS, SOCS, STRESS_W
from devices.catalogue import load_profile
from devices.phones import PhoneLlmRate, SocProfile

TABLE = Path(__file__).parents[3] / "shared" / "data" / "phone" / "aihub_llm_by_device.csv"
MEASURED = [(soc, model) for soc, models in SOCS.items() for model in models]

needs_table = pytest.mark.skipif(not TABLE.is_file(), reason=f"AI Hub's table is not at {TABLE}")


def rate(soc: str, model: str) -> PhoneLlmRate:
    chip = load_profile(soc)
    assert isinstance(chip, SocProfile)
    return chip.llm[model]


@needs_table
@pytest.mark.parametrize(("soc", "model"), MEASURED)
def test_both_ends_of_the_ttft_range_and_the_rate_come_out(soc: str, model: str) -> None:
    slug, precision = MODELS[model]
    rows = [
        row
        for row in read_llm(TABLE)
        if row.device == soc and (row.parameters["model"], row.parameters["precision"]) == (slug, precision)
    ]
    ours = rate(soc, model)
    for row in rows:
        if row.metric == "ttft":
            assert ours.ttft_s(int(row.parameters["input_tokens"])) == pytest.approx(row.value, rel=1e-3)
        else:
            assert ours.decode_tokens_per_s == pytest.approx(row.value, rel=1e-3)
    assert len(rows) >= 2


@pytest.mark.parametrize(("soc", "model"), MEASURED)
def test_a_model_reads_its_weights_no_faster_than_the_memory_allows(soc: str, model: str) -> None:
    """Four bits per parameter, once per token; the datasheet's bandwidth is 77 to 85 GB/s."""
    billions = {
        "llama-3.2-1b": 1.2,
        "llama-3.2-3b": 3.2,
        "llama-3.1-8b": 8.0,
        "mistral-7b": 7.2,
        "llama-2-7b": 6.7,
    }
    parameters = 1e9 * billions.get(model, 3.8)
    assert 20e9 < 0.5 * parameters * rate(soc, model).decode_tokens_per_s < 85e9


def test_power_is_that_of_the_stress_test_without_the_awake_phone() -> None:
    for soc, model in MEASURED:
        it = rate(soc, model)
        assert it.power_w == pytest.approx(STRESS_W - 2.35, rel=1e-3)
        assert it.evidence["power_w"].kind == "assumed"
