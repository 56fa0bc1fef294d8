"""Malformed request traces, network traces and manifests of videos: exit status 2, with file, line and column."""

import json
import os

import pytest

EVERY = [
    # of any text file: name, content from the valid one, a part of the message, place
    ("empty", lambda text: b"", "the file is empty", ""),
    ("blank", lambda text: b" \n\t\n\n", "the file is empty", ""),
    ("byte order mark alone", lambda text: b"\xef\xbb\xbf", "the file is empty", ""),
    ("utf-16", lambda text: text.encode("utf-16"), "byte 0xff is not UTF-8 text", "1:1"),
    (
        "latin-1",
        lambda text: text.encode() + "caf\xe9".encode("latin-1"),
        "byte 0xe9 is not UTF-8 text",
        None,
    ),
    ("surrogate", lambda text: text.encode() + b"\xed\xa0\x80", "byte 0xed is not UTF-8 text", None),
    ("overlong", lambda text: text.encode() + b"\xc0\xaf", "byte 0xc0 is not UTF-8 text", None),
    ("gzip", lambda text: b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "byte 0x8b is not UTF-8 text", "1:2"),
    (
        "parquet",
        lambda text: b"PAR1\x15\x04\x15\x20\x15\x24\x4c\x15\xff",
        "byte 0xff is not UTF-8 text",
        "1:13",
    ),
    ("random", lambda text: bytes(range(256)) * 8, "is not UTF-8 text", None),
    ("NUL", lambda text: b"\0" * 100, "", None),
    ("NUL inside", lambda text: text.encode()[:-3] + b"\0" + text.encode()[-3:], "", None),
    ("page of HTML", lambda text: b"<!DOCTYPE html>\n<html><body>404</body></html>\n", "", None),
    (
        "LFS pointer",
        lambda text: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "",
        None,
    ),
    ("one long line", lambda text: b"x" * 1_000_000, "", None),
    ("quotes", lambda text: b'"' * 999, "", None),
    ("brackets", lambda text: b"[" * 100_000, "", None),
    ("braces", lambda text: b'{"a":' * 50_000, "", None),
    ("number", lambda text: b"9" * 50_000, "", None),
]

HUGE = {
    # numbers whose sums or products no float holds: (format, old, new, a part of the message, line)
    "mooncake": [
        ('"timestamp": 30', '"timestamp": 1e308', "allowed: finite numbers from 0 to 1e+15", "2"),
        ('"timestamp": 30', '"timestamp": 1.1e15', "allowed: finite numbers from 0 to 1e+15", "2"),
    ],
    "sharegpt": [
        ("0.5,40", "1e308,40", "arrival_s is '1e308'; allowed: finite numbers from 0 to 1e+12", "3")
    ],
    "csv": [("1.5,500", "1e308,500", "arrival_s is '1e308'; allowed: finite numbers from 0 to 1e+12", "3")],
    "graph": [
        (
            '"arrival_s": 0.8',
            '"arrival_s": 1e308',
            "arrival_s is 1e+308; allowed: finite numbers from 0",
            "2",
        ),
    ],
}
HUGE_NETWORKS = {
    "sabre": [
        ('"duration_ms": 500', '"duration_ms": 1e299', "no finite number; allowed: up to 1e+15", "2:18"),
        ('"duration_ms": 500', '"duration_ms": 1e-20', "cannot be told from nothing", "2"),
        ('"bandwidth_kbps": 900', '"bandwidth_kbps": 1e300', "no finite number; allowed: up to 1e+15", "1"),
        (
            '"bandwidth_kbps": 900',
            '"bandwidth_kbps": 1e-300',
            "the mean bandwidth is 6.66667e-298 bit/s",
            "1",
        ),
    ],
    "two_columns": [
        ("2.0 0.5", "1e308 0.5", "the time in s is '1e308'; allowed: finite numbers from 0 to 1e+12", "3"),
        ("2.0 0.5", "2.0 1e303", "the bandwidth in Mbit/s is '1e303'; allowed", "3"),
        ("1.0 3.4\n2.0 0.5", "1.0 1e-300\n2.0 0", "the mean bandwidth is", "1"),
    ],
    "irish": [(",1200", ",1e306", "DL_bitrate in kbit/s is '1e306'; allowed", "2")],
}
HUGE_VIDEOS = {
    "json": [
        ('"segment_duration_ms": 3000', '"segment_duration_ms": 1e308', "is no finite number; allowed", "1"),
        ("1431000", "1e308", "is no finite number; allowed", "2"),
    ],
    "csv": [("300,1,9000", "300,1,1e308", "size_bytes is '1e308'; allowed", "2")],
}

OF_FORMAT = {
    "azure": [
        ("TIMESTAMP", "Timestamp", "column 'TIMESTAMP' is missing; nearest: Timestamp", "1"),
        ("ContextTokens,", "", "column 'ContextTokens' is missing", "1"),
        ("TIMESTAMP,", "TIMESTAMP,TIMESTAMP,", "stands 2 times in the header", "1"),
        (",374,44", ",374", "row has 2 cells; the header has 3", "2"),
        (",374,44", ",374,44,9", "row has 4 cells; the header has 3", "2"),
        (",396,109", ',"396,109', "not a CSV row", "3"),
        (",396,109\n", ',396,"109"x\n', "not a CSV row", "3"),
        ("374,", "0,", "ContextTokens is '0'", "2"),
        ("374,", "-5,", "ContextTokens is '-5'", "2"),
        ("374,", "374.5,", "ContextTokens is '374.5'", "2"),
        ("374,", "1e3,", "ContextTokens is '1e3'", "2"),
        ("374,", "nan,", "ContextTokens is 'nan'", "2"),
        ("374,", "9223372036854775808,", "ContextTokens is", "2"),
        ("374,", "9" * 9999 + ",", "ContextTokens is", "2"),
        ("374,", "٣٧٤,", "ContextTokens is '٣٧٤'", "2"),
        ("374,", "3_7_4,", "ContextTokens is '3_7_4'", "2"),
        ("374,", " ,", "ContextTokens is ' '", "2"),
        ("18:17:04", "18:17:02", "time must not go backwards", "3"),
        ("2023-11-16 18:17:04", "2023-02-30 18:17:04", "TIMESTAMP is", "3"),
        ("2023-11-16 18:17:04", "2023-11-16 25:17:04", "TIMESTAMP is", "3"),
        ("2023-11-16 18:17:04", "16/11/2023 18:17", "TIMESTAMP is", "3"),
        ("2023-11-16 18:17:04", "1700158624", "TIMESTAMP is", "3"),
        ("2023-11-16 18:17:04.0319600", "2023-11-16 18:17:04+02:00", "TIMESTAMP is", "3"),
        ("2023-11-16 18:17:04.0319600", "", "TIMESTAMP is ''", "3"),
    ],
    "mooncake": [
        ('{"timestamp": 30', '["timestamp", 30', "not a JSON object", "2"),
        ('"hash_ids": [1, 3]}', '"hash_ids": [1, 3', "not a JSON object", "2"),
        (
            '{"timestamp": 30, "input_length": 700, "output_length": 7, "hash_ids": [1, 3]}',
            "[1, 2]",
            "a JSON object",
            "2",
        ),
        (
            '{"timestamp": 30, "input_length": 700, "output_length": 7, "hash_ids": [1, 3]}',
            "null",
            "a JSON object",
            "2",
        ),
        ('"timestamp": 30', '"timestamp": 30, "timestamp": 40', "key 'timestamp' stands twice", "2"),
        ('"timestamp": 30', '"timestanp": 30', "'timestamp'; nearest: timestanp", "2"),
        ('"timestamp": 30', '"timestamp": "soon"', "timestamp is 'soon'", "2"),
        ('"timestamp": 30', '"timestamp": -30', "timestamp is -30", "2"),
        ('"timestamp": 30', '"timestamp": NaN', "timestamp is nan", "2"),
        ('"timestamp": 30', '"timestamp": 1e999', "timestamp is inf", "2"),
        ('"timestamp": 30', '"timestamp": true', "timestamp is True", "2"),
        ('"timestamp": 30', '"timestamp": null', "timestamp is None", "2"),
        ('"timestamp": 30', '"timestamp": ' + "9" * 400, "timestamp is", "2"),
        ('"timestamp": 30', '"timestamp": ' + "9" * 5000, "not a JSON object that can be read", "2"),
        ('"timestamp": 30', '"timestamp": {"a": 1}', "timestamp is {", "2"),
        ("700", "0", "input_length is 0", "2"),
        ("700", "700.0", "input_length is 700.0", "2"),
        ("700", "1e18", "input_length is 1e+18", "2"),
        ("700", "[700]", "input_length is [700]", "2"),
        ("[1, 3]", "[1]", "hash_ids has 1 entries", "2"),
        ("[1, 3]", "[1, -3]", "hash_ids is", "2"),
        ("[1, 3]", "[1, 3.0]", "hash_ids is", "2"),
        ("[1, 3]", "[1, true]", "hash_ids is", "2"),
        ("[1, 3]", "[1, 9223372036854775808]", "hash_ids is", "2"),
        ("[1, 3]", "[1, [3]]", "hash_ids is", "2"),
        ("[1, 3]", '"1 3"', "hash_ids is", "2"),
        ("[1, 3]", "[" * 9999, "not a JSON object", "2"),
        ("\n", "", "not a JSON object: Extra data", "1"),
    ],
    "sharegpt": [
        ("0.5", "-0.5", "arrival_s is '-0.5'", "3"),
        ("0.5", "0,5", "row has 7 cells", "3"),
        ("0.0", "7", "time must not go backwards", "3"),
        ("input_toks", "input_tokens", "column 'input_toks' is missing; nearest: input_tokens", "1"),
        (",40,15", ",40,x", "output_toks is 'x'", "3"),
        (",40,15", ',40,"1"5"', "not a CSV row", "3"),
    ],
    "csv": [
        ("1 2\n", "1 x\n", "hash_ids is '1 x'", "2"),
        ("1 2\n", "1\n", "hash_ids has 1 entries", "2"),
        ("1 2\n", "1 2 3 4 5\n", "hash_ids has 5 entries", "2"),
        ("1 2\n", "1 -2\n", "hash_ids is", "2"),
        ("1 2\n", "1 99999999999999999999\n", "hash_ids is", "2"),
        ("1 2\n", "\n", "hash_ids has 0 entries", "2"),
        ("1.5", "inf", "arrival_s is 'inf'", "3"),
        ("1.5", "1e400", "arrival_s is '1e400'", "3"),
        ("1.5", "12:00", "arrival_s is '12:00'", "3"),
        ("arrival_s,", "arrival_s;", "column 'arrival_s' is missing", "1"),
        ("arrival_s,input_tokens,output_tokens,hash_ids\n", "", "column 'arrival_s' is missing", "1"),
        ("0,600,20,1 2\n1.5,500,30,1\n", "", "no rows", ""),
        (",20,", ",100000001,", "output_tokens is '100000001'", "2"),
    ],
    "graph": [
        ('"prompt_tokens": 18', '"prompt_tokens": "18"', "prompt_tokens is the text '18'", "1"),
        ('"arrival_s": 0.8', '"arrival_s": "0.8"', "arrival_s is the text '0.8'", "2"),
        ('"prompt_tokens": 18', '"prompt_token": 18', "'prompt_tokens'; nearest: prompt_token", "1"),
        ('"category": "math"', '"category": 7', "category is 7", "1"),
        ('"category": "math"', '"category": "a\\nb"', "category is", "1"),
        ('"category": "math"', '"suitable": 1', "suitable is 1", "1"),
        ('"category": "math"', '"colour": 1', "unknown key 'colour'", "1"),
        ('"plan_tokens": 40', '"plan_tokens": 1', "plan_tokens is 1", "1"),
        ('"plan_tokens": 40, ', "", "plan_tokens is missing", "1"),
        ('{"id": 1, "tokens": 60}', "", "nodes is []", "2"),
        ('[{"id": 1, "tokens": 60}]', "{}", "nodes is {}", "2"),
        ('{"id": 1, "tokens": 60}', "1", "nodes[0] is 1", "2"),
        ('{"id": 1, "tokens": 60}', '{"tokens": 60}', "key is missing: 'id'", "2"),
        ('{"id": 1, "tokens": 60}', '{"id": 1}', "key is missing: 'tokens'", "2"),
        ('{"id": 1,', '{"id": 1.5,', "id is 1.5", "2"),
        ('{"id": 1,', '{"id": "",', "id is ''", "2"),
        ('{"id": 1,', '{"id": "\\u202e",', "id is", "2"),
        ('{"id": 1,', '{"id": "\\ud800",', "id is", "2"),
        ('"tokens": 60', '"tokens": 0', "tokens is 0", "2"),
        ('"tokens": 60', '"tokens": 1e3', "tokens is 1000.0", "2"),
        (
            '{"id": 1, "tokens": 60}',
            ", ".join(json.dumps({"id": it, "tokens": 1}) for it in range(257)),
            "257 entries",
            "2",
        ),
        ('{"id": "b",', '{"id": "a",', "a later node has the same id", "1"),
        ('"parents": ["a"]', '"parents": ["b"]', "depends on itself", "1"),
        ('"parents": ["a"]', '"parents": ["c"]', "there is no parent 'c'", "1"),
        ('"parents": ["a"]', '"parents": ["a", "a"]', "stands twice", "1"),
        ('"parents": ["a"]', '"parents": "a"', "parents is 'a'", "1"),
        ('"parents": ["a"]', '"parents": [["a"]]', "parents is", "1"),
        ('"tokens": 50}', '"tokens": 50, "parents": ["b"]}', "the nodes need each other", "1"),
        ('"difficulty": 0.3', '"difficulty": 3', "difficulty is 3", "1"),
        ('"difficulty": 0.3', '"difficulty": NaN', "difficulty is nan", "1"),
        (
            '"plan_tokens": 24',
            '"plan_tokens": 24, "hash_ids": [1]',
            "hash_ids stands at some lines only",
            "2",
        ),
    ],
}

NETWORKS = {
    "sabre": [
        ('"latency_ms": 40},', '"latency_ms": 40}', "is not JSON", "2"),
        ('"latency_ms": 40}]', '"latency_ms": 40}', "is not JSON", None),
        ('"duration_ms": 500', '"duration": 500', "has no duration_ms", "2:2"),
        ('"duration_ms": 500', '"duration_ms": -500', "", "2"),
        ('"duration_ms": 500', '"duration_ms": 0', "", "2"),
        ('"duration_ms": 500', '"duration_ms": "500"', "is no finite number", "2:18"),
        ('"duration_ms": 500', '"duration_ms": NaN', "is no finite number", "2"),
        ('"duration_ms": 500', '"duration_ms": 1e400', "is no finite number", "2"),
        ('"duration_ms": 500', '"duration_ms": ' + "9" * 400, "is no finite number", "2"),
        ('"duration_ms": 500', '"duration_ms": ' + "9" * 5000, "", ""),
        ('"duration_ms": 500', '"duration_ms": null', "is no finite number", "2"),
        (
            '{"duration_ms": 500, "bandwidth_kbps": 0, "latency_ms": 40}',
            "7",
            "is no mapping with duration_ms",
            "2",
        ),
        ("900", "0", "", "1"),
        ("900", "-1", "", "1"),
    ],
    "two_columns": [
        ("1.0 3.4", "1.0 3.4 5", "has 3 columns", "2"),
        ("1.0 3.4", "1.0,3.4", "has 1 columns", "2"),
        ("1.0 3.4", "one 3.4", "the time in s is 'one'", "2"),
        ("1.0 3.4", "1.0 -3.4", "the bandwidth in Mbit/s is '-3.4'", "2"),
        ("1.0 3.4", "0.0 3.4", "is not after the line above", "2"),
        ("1.0 3.4\n2.0 0.5\n", "", "needs two lines or more", "1"),
        ("3.4\n2.0 0.5", "0\n2.0 0", "", "1"),
        ("0.0 1.2", "0 1 2 3", "a first line of 4 columns", "1"),
    ],
    "mahimahi": [
        ("4\n4", "4\n3", "is before the line above", "3"),
        ("90", "-90", "is no whole number of milliseconds", "4"),
        ("90", "90.5", "is no whole number of milliseconds", "4"),
        ("90", "9" * 30, "is no whole number of milliseconds", "4"),
        ("90", "1e3", "is no whole number of milliseconds", "4"),
        ("1\n4\n4\n90\n250\n", "0\n0\n", "a trace needs a duration", "2"),
        ("250", "999999999999999", "", "5"),
    ],
    "irish": [
        ("DL_bitrate", "UL_bitrate", "column 'DL_bitrate' is missing", "1"),
        (",900", ",-900", "DL_bitrate in kbit/s is '-900'", "3"),
        (",900", ",900,1", "row has 3 cells", "3"),
        (",900", ",", "DL_bitrate in kbit/s is ''", "3"),
        (",1200\n2019.12.14_10.16.31,900", ",0\n2019.12.14_10.16.31,0", "", "3"),
    ],
}

VIDEOS = {
    "json": [
        ('"segment_duration_ms": 3000', '"segment_duration_ms": 0', "must be above 0 ms", "1:25"),
        ('"segment_duration_ms": 3000, ', "", "has no segment_duration_ms", ""),
        ("[230, 477]", "[477, 230]", "", "1"),
        ("[230, 477]", "[]", "must be a list with at least one entry", "1"),
        ("[230, 477]", "[230, -477]", "", "1"),
        ("[230, 477]", "[230, true]", "is no finite number", "1"),
        ("[230, 477]", "230", "must be a list with at least one entry", "1"),
        ("[700000, 1400000]", "[700000]", "", "2"),
        ("[700000, 1400000]", "[700000, -1]", "", "2"),
        ("[700000, 1400000]", "{}", "must be a list", "2"),
        ("]]}", "]]", "is not JSON", None),
        ('{"seg', '[{"seg', "is not JSON", None),
    ],
    "csv": [
        ("nominal_kbps", "kbps", "column 'nominal_kbps' is missing", "1"),
        ("300,1,9000", "300,1,0", "must be above 0", "2"),
        ("300,1,9000", "300,0,9000", "chunk_index_1based is '0'", "2"),
        ("300,1,9000", "300,1,9000\n300,1,9000", "stands twice", "3"),
        ("300,2,9100\n", "", "has no chunk 2 of 2", "2"),
        ("300,2,9100", "300,99999999,9100", "", "2"),
        ("300,2,9100", "1e999,2,9100", "nominal_kbps is '1e999'", "4"),
    ],
    "yaml": [
        ("segments: 5", "segments: 1e18", "out of range", "2"),
        ("segments: 5", "segments: 0", "out of range", "2"),
        ("segments: 5", "segment_count: 5", "unknown key", "2"),
        ("segment: 1 s", "segment: 1 GB", "not a time", "1"),
        ("800 kbit/s", "100 kbit/s", "", "5"),
        ("800 kbit/s", "800", "", None),
        ("height: 360", "height: tall", "is not a whole number", "5"),
        ("variation: 0.1", "variation: 9", "out of range", "6"),
        ("seed: 1", "seed: -1", "out of range", "7"),
        ("seed: 1", "name: [x]", "is no text", "7"),
        ("  - {bitrate: 800 kbit/s, height: 360}\n", "  - 800\n", "must be a mapping", "5"),
        ("segment: 1 s", "segment: &a 1 s", "anchors are not allowed", "1"),
    ],
}


def of_every(formats):
    return [
        pytest.param(which, *case, id=f"{which}-{case[0]}".replace(" ", "_"))
        for which in formats
        for case in EVERY
    ]


def of_format(table):
    return [
        pytest.param(which, *case, id=f"{which}-{number}-{ascii(case[1])[1:25]}")
        for which, cases in table.items()
        for number, case in enumerate(cases)
    ]


def replaced(text, old, new):
    assert old in text, old
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("which", "name", "content", "part", "place"), of_every(["azure", "mooncake", "graph"])
)
def test_request_traces_that_are_no_text(refused, desk, valid, which, name, content, part, place):
    desk.write("trace", content(valid["traces"][which]))
    refused(["validate", desk.reads_requests(which, "trace")], "trace", part, place)


@pytest.mark.parametrize(("which", "old", "new", "part", "place"), [*of_format(OF_FORMAT), *of_format(HUGE)])
def test_request_traces(refused, desk, valid, which, old, new, part, place):
    desk.write("trace", replaced(valid["traces"][which], old, new))
    refused(["validate", desk.reads_requests(which, "trace")], "trace", part, place)


@pytest.mark.parametrize(("which", "name", "content", "part", "place"), of_every(["sabre"]))
def test_network_traces_that_are_no_text(refused, desk, valid, which, name, content, part, place):
    desk.write("network", content(valid["networks"][which]))
    place = "" if name in ("brackets", "braces") else place  # Python's JSON does not say where
    refused(["validate", desk.reads_network("network")], desk.folder / "network", part, place)


@pytest.mark.parametrize(
    ("which", "old", "new", "part", "place"), [*of_format(NETWORKS), *of_format(HUGE_NETWORKS)]
)
def test_network_traces(refused, desk, valid, which, old, new, part, place):
    desk.write("network", replaced(valid["networks"][which], old, new))
    refused(["validate", desk.reads_network("network")], desk.folder / "network", part, place)


@pytest.mark.parametrize(("which", "name", "content", "part", "place"), of_every(["json", "csv", "yaml"]))
def test_manifests_that_are_no_text(refused, desk, valid, which, name, content, part, place):
    desk.write(f"video.{which}", content(valid["videos"][which]))
    refused(["validate", desk.reads_video(f"video.{which}")], desk.folder / f"video.{which}", "", "")


@pytest.mark.parametrize(
    ("which", "old", "new", "part", "place"), [*of_format(VIDEOS), *of_format(HUGE_VIDEOS)]
)
def test_manifests(refused, desk, valid, which, old, new, part, place):
    desk.write(f"video.{which}", replaced(valid["videos"][which], old, new))
    refused(["validate", desk.reads_video(f"video.{which}")], desk.folder / f"video.{which}", part, place)


RATES = "start_s,rate_rps\n0,1\n60,2\n"
BANDWIDTHS = "time_s,bandwidth_bytes_per_s\n0,1e9\n5,2e9\n10,0\n"


@pytest.mark.parametrize(
    ("old", "new", "part", "place"),
    [
        ("60,2", "1e308,2", "start_s is '1e308'; allowed: finite numbers from 0 to 1e+12", "3"),
        ("60,2", "60,1e308", "rate_rps is '1e308'; allowed: finite numbers from 0 to 1e+09", "3"),
        ("0,1\n60,2", "0,1e9\n60,1e9", "requests; allowed: at most 20,000,000", ""),
        ("60,2", "60,\xff", "rate_rps is", "3"),
        ("start_s,", "start,", "column 'start_s' is missing", "1"),
    ],
)
def test_rates_over_time(refused, desk, valid, old, new, part, place):
    desk.write("rates.csv", replaced(RATES, old, new))
    text = valid["scenario"].replace("arrivals: poisson", "arrivals: {process: replay, path: rates.csv}")
    desk.write("s.yaml", text.replace("requests: 10\n    rate: 4/s", "duration: 1 h"))
    refused(["validate", "s.yaml"], "rates.csv", part, place)


@pytest.mark.parametrize(
    ("old", "new", "part", "place"),
    [
        ("5,2e9", "1e308,2e9", "time_s is '1e308'; allowed: finite numbers from 0 to 1e+12", "3"),
        ("5,2e9", "5,1e308", "bandwidth_bytes_per_s is '1e308'; allowed", "3"),
        ("5,2e9", "5,-2e9", "bandwidth_bytes_per_s is '-2e9'", "3"),
        ("5,2e9", "5,nan", "bandwidth_bytes_per_s is 'nan'", "3"),
        ("5,2e9", "0,2e9", "time_s is 0, not above that of the row before", "3"),
        ("5,2e9", "5", "row has 1 cells; the header has 2", "3"),
        ("0,1e9", "1,1e9", "time_s is 1; the first row's must be 0", "2"),
        ("0,1e9\n5,2e9", "0,0\n5,0", "every bandwidth is 0", "4"),
        ("5,2e9\n10,0\n", "", "needs at least two rows", "2"),
        ("time_s", "time", "column 'time_s' is missing", "1"),
        ("5,2e9", "5,\udcff", "byte 0xed is not UTF-8 text", "3:3"),
    ],
)
def test_bandwidths_over_time(refused, desk, valid, old, new, part, place):
    desk.write("bandwidth.csv", replaced(BANDWIDTHS, old, new))
    desk.write("s.yaml", valid["scenario"].replace("32 Gbit/s", "{path: bandwidth.csv}"))
    refused(["validate", "s.yaml"], "bandwidth.csv", part, place)


ODD_NAMES = ["\x1b[31mred", "a\nb", "a\rb", "\u202eupg", "\x7f", "\udc80", "\udcff", "\x9b1m"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=map(ascii, ODD_NAMES))
@pytest.mark.parametrize(
    "argv", [["validate"], ["run"], ["plot"], ["report"], ["sweep"], ["run", "s.yaml", "--set"]]
)
def test_messages_are_printable(desk, valid, record_property, argv, name):
    desk.write("s.yaml", valid["scenario"])
    more = ["ttft_cdf", "-o", "x.svg"] if argv == ["plot"] else ["-o", "x.html"] if argv == ["report"] else []
    status, said = desk.hetsim(*argv, name, *more)
    assert status == 2
    assert said.replace("\n", "").isprintable(), ascii(said)
    assert ascii(name)[1:-1] in said or ascii(ascii(name))[1:-1].strip("'") in said
    record_property("malformed", "file")


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_ends_of_lines_do_not_move_a_fault(refused, desk, valid, ends):
    desk.write("trace", valid["traces"]["azure"].replace("396", "x").replace("\n", ends))
    refused(["validate", desk.reads_requests("azure", "trace")], "trace", "ContextTokens is 'x'", "3")


def test_garbage_far_down_is_found_at_its_line(refused, desk):
    rows = [f"{it},100,10" for it in range(60_000)]
    rows[49_998] = "49998,100,\x00\x01"
    desk.write("trace", "\n".join(["arrival_s,input_tokens,output_tokens", *rows, ""]))
    refused(["validate", desk.reads_requests("csv", "trace")], "trace", "output_tokens is", "50000")


def test_a_byte_far_down_is_found_at_its_line(refused, desk):
    rows = [
        json.dumps({"timestamp": it, "input_length": 5, "output_length": 5, "hash_ids": [1]})
        for it in range(50_001)
    ]
    content = "\n".join(rows).encode()
    desk.write("trace", content[:-9] + b"\xff" + content[-9:])
    refused(
        ["validate", desk.reads_requests("mooncake", "trace")],
        "trace",
        "byte 0xff is not UTF-8 text",
        "50001",
    )


def a_folder(path):
    path.mkdir()


def a_pipe(path):
    os.mkfifo(path)


def a_loop(path):
    path.symlink_to(path.name)


def nowhere(path):
    path.symlink_to("gone")


def zeros(path):
    path.symlink_to("/dev/zero")


NO_FILES = {
    a_folder: "is a folder, not a file",
    a_pipe: "is a pipe, not a file",
    a_loop: "cannot be read: Too many levels of symbolic links",
    nowhere: "no",  # such file, or file beside the scenario
    zeros: "is a device, not a file",
}


@pytest.mark.parametrize(("make", "part"), NO_FILES.items())
@pytest.mark.parametrize("what", ["scenario", "requests", "network", "video", "base"])
def test_what_is_no_file(refused, desk, valid, make, part, what):
    path = desk.folder / ("it.json" if what == "video" else "it")
    make(path)
    if what == "scenario":
        refused(["validate", "it"], "it", part, place="")
    elif what == "network" and make is a_folder:
        refused(["validate", desk.reads_network("it")], "it", "the folder holds no trace", "")
    elif what in ("requests", "network", "video"):
        reads = {
            "requests": lambda: desk.reads_requests("csv", "it"),
            "network": lambda: desk.reads_network("it"),
            "video": lambda: desk.reads_video("it.json"),
        }
        scenario = reads[what]()
        refused(["validate", scenario], scenario, part)
    else:
        desk.write("sweep.yaml", valid["sweep"].replace("scenario.yaml", "it"))
        refused(["validate", "sweep.yaml"], "sweep.yaml", part, "3:7")


@pytest.mark.parametrize(
    "path", ["", ".", "a" * 5000, "a\0b", "no/such/file", "\ud800" * 3, "~/x", "file:///etc/passwd"]
)
@pytest.mark.parametrize("what", ["requests", "network", "video"])
def test_paths_that_lead_nowhere(desk, record_property, what, path):
    make = {
        "requests": lambda it: desk.reads_requests("csv", it),
        "network": desk.reads_network,
        "video": desk.reads_video,
    }
    status, said = desk.hetsim("validate", make[what](path))
    assert status == 2
    assert said
    assert "Traceback" not in said
    record_property("malformed", "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize("what", ["scenario", "requests"])
def test_a_file_that_may_not_be_read(refused, desk, valid, what):
    desk.write(
        "it",
        valid["scenario" if what == "scenario" else "traces"]["csv"] if what != "scenario" else valid[what],
    )
    (desk.folder / "it").chmod(0)
    argv = ["validate", "it"] if what == "scenario" else ["validate", desk.reads_requests("csv", "it")]
    refused(argv, "it", "cannot be read", "")


def test_what_is_spoilt_is_valid_before(desk, valid):
    for which, text in valid["traces"].items():
        desk.write("trace", text)
        assert desk.hetsim("validate", desk.reads_requests(which, "trace")) == (0, "")
    for text in valid["networks"].values():
        desk.write("network", text)
        assert desk.hetsim("validate", desk.reads_network("network")) == (0, "")
    for which, text in valid["videos"].items():
        desk.write(f"video.{which}", text)
        assert desk.hetsim("validate", desk.reads_video(f"video.{which}")) == (0, "")
