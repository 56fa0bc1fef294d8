"""Readers: what a good file gives, and every fault of a bad one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from devices.errors import InputError
from simulator.workloads.readers import read_azure, read_csv, read_mooncake, read_sharegpt
from simulator.workloads.sources import FAULTS_LISTED, SourceFile

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
PLAIN = "arrival_s,input_tokens,output_tokens\n"
HASHED = "arrival_s,input_tokens,output_tokens,hash_ids\n"
SHAREGPT = "hardware,model,request_id,arrival_s,input_toks,output_toks\n"


def mooncake(*rows: object) -> str:
    """JSONL of rows; a text stands for itself."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def row(timestamp=0, input_length=600, output_length=5, hash_ids=(0, 1)):
    """One good Mooncake row, but for what is given."""
    return {
        "timestamp": timestamp,
        "input_length": input_length,
        "output_length": output_length,
        "hash_ids": hash_ids,
    }


def faults(read, source) -> list[tuple[int, str]]:
    """Return (line, message) of all faults."""
    with pytest.raises(InputError) as error:
        read(source)
    assert {fault.file for fault in error.value.faults} == {"trace"}
    assert {fault.path for fault in error.value.faults} == {"workloads.chat.path"}
    return [(fault.line, fault.message) for fault in error.value.faults]


def test_azure_times_count_from_the_first_row_with_seven_digits(source):
    text = (
        AZURE
        + "2023-11-16 23:59:59.9999999,10,1\n2023-11-17 00:00:00.0000001,20,2\n2023-11-17 00:00:01,30,3\n"
    )
    requests = read_azure(source(text))
    np.testing.assert_allclose(requests.arrival_s, [0, 2e-7, 1.0000001], rtol=1e-6)
    assert requests.input_tokens.tolist() == [10, 20, 30]
    assert requests.output_tokens.tolist() == [1, 2, 3]
    assert requests.hash_ids is None


def test_a_byte_order_mark_crlf_quotes_other_columns_and_blank_lines_are_no_faults(source):
    text = '\ufeffnote,output_tokens,"arrival_s",input_tokens\r\n"a, b",1,0.5,7\r\n\r\nc,2,1.5,8\r\n'
    requests = read_csv(source(text))
    assert requests.arrival_s.tolist() == [0.5, 1.5]
    assert requests.input_tokens.tolist() == [7, 8]


def test_mooncake_rows_become_seconds_and_flat_ids(source):
    requests = read_mooncake(source(mooncake(row(), row(1500, 512, 1, [0]), row(1500, 1025, 9, [0, 1, 7]))))
    assert requests.arrival_s.tolist() == [0, 1.5, 1.5]
    assert requests.hash_block_tokens == 512
    assert requests.hash_ids.tolist() == [0, 1, 0, 0, 1, 7]
    assert requests.hash_offsets.tolist() == [0, 2, 3, 6]


def test_plain_csv_ids_may_go_on_over_the_answer(source):
    requests = read_csv(source(HASHED + "0,20,12,1 2\n1,20,13,1 2 3\n"), hash_block_tokens=16)
    assert requests.hash_ids.tolist() == [1, 2, 1, 2, 3]
    assert requests.hash_block_tokens == 16


def test_sharegpt_keeps_one_set_up(source):
    text = SHAREGPT + "A,m,1,0,10,1\nA,m,2,3,11,2\nA,n,1,0,12,3\nB,m,1,1,13,4\n"
    assert read_sharegpt(source(text)).input_tokens.tolist() == [10, 11]
    assert read_sharegpt(source(text), model="n").input_tokens.tolist() == [12]
    assert read_sharegpt(source(text), hardware="B").arrival_s.tolist() == [1]
    [(_, message)] = faults(lambda file: read_sharegpt(file, "b", "m"), source(text))
    assert message == "no row of 'b m'; nearest: B m; there is: A m, A n, B m"


def test_every_faulty_row_is_named_at_once(source):
    text = PLAIN + "0,5,5\nx,5,5\n1,0,5\n2,5,-1\n3,5\n1,5,5\nnan,5,5\n4,5.5,5\n5,5,\n"
    found = faults(read_csv, source(text))
    assert [line for line, _ in found] == [3, 4, 5, 6, 8, 9, 10]  # and line 7 (1 s) follows line 2 (0 s)
    assert found[0][1] == "arrival_s is 'x'; allowed: finite numbers from 0 to 1e+12"
    assert found[1][1] == "input_tokens is '0'; allowed: whole numbers from 1 to 100,000,000"
    assert found[3][1] == "row has 2 cells; the header has 3"


def test_a_long_list_of_faults_is_cut_and_counted(source):
    found = faults(read_csv, source(PLAIN + "0,0,5\n" * 1000))
    assert len(found) == FAULTS_LISTED + 1
    assert found[-1] == (0, "and 980 more faults")


@pytest.mark.parametrize("read", [read_azure, read_mooncake, read_sharegpt, read_csv])
@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 0, "the file is empty"),
        (b" \n\n", 0, "the file is empty"),
        (b"a\n\xff\xfe", 2, "byte 0xff is not UTF-8 text"),
    ],
)
def test_files_that_hold_no_text(source, read, content, line, message):
    assert faults(read, source(content)) == [(line, message)]


@pytest.mark.parametrize(
    ("read", "header"),
    [(read_azure, AZURE), (read_sharegpt, SHAREGPT), (read_csv, PLAIN), (read_csv, HASHED)],
)
def test_a_header_alone_is_no_workload(source, read, header):
    assert faults(read, source(header)) == [(0, "the file has no rows of requests")]


def test_missing_columns_are_all_named_with_the_nearest(source):
    found = faults(read_azure, source("timestamp,ContextToken,answer\n1,2,3\n"))
    assert [message.split("; found")[0] for _, message in found] == [
        "column 'TIMESTAMP' is missing; nearest: timestamp",
        "column 'ContextTokens' is missing; nearest: ContextToken",
        "column 'GeneratedTokens' is missing",
    ]


def test_a_column_that_stands_twice_is_a_fault(source):
    [(line, message)] = faults(
        read_csv, source("arrival_s,input_tokens,input_tokens,output_tokens\n0,1,2,3\n")
    )
    assert (line, message) == (1, "column 'input_tokens' stands 2 times in the header")


def test_an_unclosed_quote_is_a_fault(source):
    [(_, message)] = faults(read_csv, source(PLAIN + '0,"5,5\n'))
    assert message.startswith("not a CSV row")


@pytest.mark.parametrize(
    "stamp", ["", "17:03", "2023-13-16 18:17:03.1", "2023-11-16 25:17:03.1", "2023-11-16 18:17:03,1x", "nan"]
)
def test_timestamps_that_are_none(source, stamp):
    [(line, message)] = faults(read_azure, source(AZURE + f'2023-11-16 18:17:03.1,5,5\n"{stamp}",5,5\n'))
    assert line == 3
    assert message == f"TIMESTAMP is {stamp!r}; allowed: like 2023-11-16 18:17:03.9799600"


def test_time_must_not_go_backwards(source):
    [(line, message)] = faults(read_csv, source(PLAIN + "5,1,1\n5,1,1\n4,1,1\n4.5,1,1\n"))
    assert line == 4
    assert message == "arrives at 4 s, before the row above (5 s); time must not go backwards"


@pytest.mark.parametrize("value", ["9" * 30, "9" * 5000, "100000001", "1e3", "-7", "0", "", "nan", "ten"])
def test_tokens_that_are_no_count(source, value):
    [(line, message)] = faults(read_csv, source(PLAIN + f"0,{value},1\n"))
    assert line == 2
    assert "allowed: whole numbers from 1 to 100,000,000" in message
    assert len(message) < 150


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "not a JSON object"),
        ("[1, 2]", "allowed: a JSON object with timestamp, input_length"),
        ("[" * 100_000, "not a JSON object"),
        (
            {"timestamp": 0, "input_len": 5},
            "key is missing: 'input_length'; nearest: input_len, 'output_length'",
        ),
        (row(timestamp="soon"), "timestamp is 'soon'"),
        (row(timestamp=-1), "timestamp is -1"),
        ('{"timestamp": NaN, "input_length": 5, "output_length": 5, "hash_ids": [1]}', "timestamp is nan"),
        ('{"timestamp": 0, "input_length": ' + "9" * 5000 + "}", "not a JSON object that can be read"),
        (row(input_length=0, hash_ids=[]), "input_length is 0"),
        (row(input_length=True), "input_length is True"),
        (row(output_length=0), "output_length is 0"),
        (row(output_length=2.5), "output_length is 2.5"),
        (row(output_length=10**1000), "output_length is a whole number of"),
        (row(hash_ids=[0]), "hash_ids has 1 entries; 600 tokens in blocks of 512 need 2"),
        (row(hash_ids=[0, 1, 2]), "hash_ids has 3 entries"),
        (row(hash_ids=[0, "1"]), "hash_ids is [0, '1']; allowed: a list of whole numbers"),
        (row(hash_ids=[0, -1]), "hash_ids is [0, -1]"),
        (row(hash_ids=[0, 2**63]), "hash_ids is [0, 9223372036854775808]"),
        (row(hash_ids=None), "hash_ids is None"),
    ],
)
def test_malformed_mooncake_rows(source, bad, message):
    [(line, found)] = faults(read_mooncake, source(mooncake(row(), bad, row(5))))
    assert line == 2
    assert message in found


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("", "hash_ids has 0 entries; 20 prompt tokens and 12 answer tokens in blocks of 16 need 2 to 2"),
        ("1 2 3", "hash_ids has 3 entries"),
        ("1 x", "hash_ids is '1 x'"),
        ("1 -2", "hash_ids is [1, -2]"),
    ],
)
def test_malformed_ids_of_a_plain_csv(source, ids, message):
    [(line, found)] = faults(lambda file: read_csv(file, 16), source(HASHED + f"0,20,12,{ids}\n"))
    assert line == 2
    assert message in found


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "conversation_trace.jsonl").touch()
    with pytest.raises(InputError, match=r"no such file; nearest: conversation_trace\.jsonl"):
        read_mooncake(SourceFile(tmp_path / "conversation_trce.jsonl"))
    with pytest.raises(InputError, match="nor is there a folder 'gone'"):
        read_mooncake(SourceFile(tmp_path / "gone" / "trace.jsonl"))
    with pytest.raises(InputError, match="is a folder, not a file"):
        read_mooncake(SourceFile(tmp_path))
