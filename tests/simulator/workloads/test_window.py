"""Cut by time, scale, delay: in this order and alike for all traces."""

from __future__ import annotations

import numpy as np
import pytest

from devices.errors import InputError
from simulator.workloads.spec import AzureTrace, CsvTrace, MooncakeTrace, ShareGptTrace, Stored

ROWS = [(0, 5, [0]), (10, 600, [0, 1]), (20, 7, [0]), (30, 1030, [0, 1, 2]), (40, 9, [5])]


@pytest.fixture
def path(tmp_path) -> str:
    lines = ["arrival_s,input_tokens,output_tokens,hash_ids"]
    lines += [f"{time},{tokens},1,{' '.join(map(str, ids))}" for time, tokens, ids in ROWS]
    file = tmp_path / "trace.csv"
    file.write_text("\n".join(lines))
    return str(file)


def csv(path: str, **fields) -> CsvTrace:
    return CsvTrace(trace="csv", service="chat", path=path, **fields)


def test_whole_trace(make, path):
    assert make(csv(path)).arrival_s.tolist() == [0, 10, 20, 30, 40]


def test_cut_first_then_scale_then_delay(make, path):
    requests = make(csv(path, start=5.0, duration=30.0, rate_scale=5.0, delay=100.0))
    assert requests.arrival_s.tolist() == [101, 103, 105]
    assert requests.input_tokens.tolist() == [600, 7, 1030]
    assert requests.hash_ids.tolist() == [0, 1, 0, 0, 1, 2]
    assert requests.hash_offsets.tolist() == [0, 2, 3, 6]


def test_the_end_of_the_cut_is_left_out_and_the_start_is_in(make, path):
    assert make(csv(path, start=10.0, duration=20.0)).arrival_s.tolist() == [0, 10]


def test_requests_count_from_the_start(make, path):
    assert make(csv(path, start=15.0, requests=2)).input_tokens.tolist() == [7, 1030]
    assert len(make(csv(path, requests=99))) == 5


def test_nothing_left_is_a_fault(make, path):
    with pytest.raises(InputError, match="no request arrives from 41 s to 51 s"):
        make(csv(path, start=41.0, duration=10.0))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_rate_scale_must_be_a_positive_number(make, path, scale):
    with pytest.raises(InputError, match=r"workloads\.chat\.rate_scale"):
        make(csv(path, rate_scale=scale))


def test_stored_keeps_the_ids_of_the_trace(make, path):
    requests = make(csv(path, stored=Stored("disk", 0.25)))
    assert requests.hash_block_tokens == 512
    assert requests.hash_ids.tolist() == [0, 0, 1, 0, 0, 1, 2, 5]
    assert requests.stored_tokens.tolist() == [1, 150, 1, 257, 2]


def test_every_kind_of_trace_is_cut_alike(make, tmp_path):
    files = {
        "azure.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        + "".join(f"2023-11-16 18:17:{s:02}.0000000,5,5\n" for s in (0, 10, 20)),
        "sharegpt.csv": "hardware,model,request_id,arrival_s,input_toks,output_toks\n"
        + "".join(f"A,m,{s},{s},5,5\n" for s in (0, 10, 20)),
        "mooncake.jsonl": "".join(
            f'{{"timestamp": {s * 1000}, "input_length": 5, "output_length": 5, "hash_ids": [0]}}\n'
            for s in (0, 10, 20)
        ),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    cut = {"service": "chat", "start": 5.0, "requests": 1, "rate_scale": 0.5, "delay": 1.0}
    for workload in (
        AzureTrace(trace="azure", path=str(tmp_path / "azure.csv"), **cut),
        ShareGptTrace(trace="sharegpt", path=str(tmp_path / "sharegpt.csv"), **cut),
        MooncakeTrace(trace="mooncake", path=str(tmp_path / "mooncake.jsonl"), **cut),
    ):
        assert make(workload).arrival_s.tolist() == [11]
