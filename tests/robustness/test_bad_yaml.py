"""Malformed scenario, sweep and device files: exit status 2 and the very place of the fault."""

import pytest

from simulator.scenario.load import load

SCENARIOS = [
    # YAML that says something else than a reader sees
    ("count: 2", "count: ^!!int 2", "tags are not allowed (tag:yaml.org,2002:int)"),
    ("count: 2", "count: ^!!python/object/apply:os.system [touch hacked]", "tags are not allowed"),
    ("count: 2", "count: ^!!python/name:os.system ''", "tags are not allowed"),
    ("name: base", "name: ^!include /etc/passwd", "tags are not allowed"),
    ("name: base", "name: ^!!binary aGk=", "tags are not allowed"),
    ("name: base", "name: ^!<tag:x> base", "tags are not allowed"),
    ("count: 2", "count: ^&two 2", "anchors are not allowed (&two)"),
    ("count: 2", "count: ^*two", "aliases are not allowed (*two)"),
    ("link: net", "^<<: {link: net}", "merge keys (<<) are not allowed"),
    ("horizon: 600 s", "horizon: 600 s\n^horizon: 700 s", "the key is there twice: first at 3:1"),
    ("link: net", "link: net, ^link: net", "the key is there twice"),
    ("  disk: {", '  ^"gpu": {', "the key is there twice"),
    ("horizon: 600 s", "horizon: 600 s\n^1: 2", "a key must be a text, not 1; quote it"),
    ("horizon: 600 s", "horizon: 600 s\n^true: 2", "a key must be a text"),
    ("horizon: 600 s", "horizon: 600 s\n? ^[a, b]\n: 2", "a key must be a text"),
    ("horizon: 600 s", "horizon: 600 s\n: 2", "not YAML"),
    ("    arrivals: poisson\n", "    arrivals: poisson\n^---\na: 1\n", "only one document per file"),
    ("version: 1\n", "version: 1\n...\n^name: x\n", "not YAML"),
    ("version: 1\n", "^%YAML 3.0\n---\nversion: 1\n", "not YAML"),
    # YAML that is none
    ("count: 2}", "count: 2", "not YAML"),
    ("[disk]", "[disk", "not YAML"),
    ("name: base", 'name: "base', "not YAML"),
    ("name: base", "name: 'base", "not YAML"),
    ("name: base", "name: base: more", "not YAML"),
    ("  gpu: {", "^\tgpu: {", "not YAML"),
    ("name: base", "name: ^|\n x\n  y\n z: [", "cannot name a folder"),
    ("name: base", "name: ^@base", "not YAML"),
    ("name: base", "name: ^`base`", "not YAML"),
    ("name: base", r'name: "^\q"', "not YAML"),
    ("name: base", r'name: "\x0"', "not YAML"),
    ("name: base", r'name: "\uD800"', "not YAML"),
    ("count: 2", "count: [^}", "not YAML"),
    ("  net: {profile: ethernet-100g}", "  net: ^- x\n  - y", "not YAML"),
    # characters
    ("name: base", "name: ba^\x00se", "character U+0000 is not allowed"),
    ("name: base", "name: ba^\x1bse", "character U+001B is not allowed"),
    ("name: base", "name: ba^\x7fse", "character U+007F is not allowed"),
    ("name: base", "name: ba^\ufeffse", "character U+FEFF is not allowed"),
    ("name: base", "name: ba^\uffffse", "character U+FFFF is not allowed"),
    ("  gpu: {", "  ^gpu\u200b: {", "gpu"),  # a zero width space: another name
    ("gpus: gpu", "gpus: ^gpu\u200b", "services.chat.gpus"),
    ("gpus: gpu", "gpus: ^\u202eupg", "services.chat.gpus"),  # right to left
    ("gpus: gpu", "gpus: ^ｇｐｕ", "services.chat.gpus"),  # full width
    ("gpus: gpu", "gpus: ^gрu", "services.chat.gpus"),  # a Cyrillic letter
    ("kv_tiers: [disk]", "kv_tiers: [^di\u0301sk]", "services.chat.kv_tiers"),
    ("32 Gbit/s", "^32\u2007Gbit/s", "devices.disk.bandwidth"),
    ("32 Gbit/s", "^３２ Gbit/s", "devices.disk.bandwidth"),
    ("32 Gbit/s", "^٣٢ Gbit/s", "devices.disk.bandwidth"),
    ("count: 2", "count: ^２", "devices.gpu.count"),
    ("count: 2", "count: ^−2", "devices.gpu.count"),  # a minus sign that is no hyphen
    # numbers
    ("count: 2", "count: ^1e400", "devices.gpu.count: inf is not a whole number"),
    ("count: 2", "count: ^-1e400", "devices.gpu.count"),
    ("count: 2", "count: ^" + "9" * 5000, "a number of this many digits is not allowed"),
    ("count: 2", "count: ^0x" + "f" * 5000, "a number of more than 77 digits"),
    ("count: 2", "count: ^0o" + "7" * 5000, "a number of more than 77 digits"),
    ("count: 2", "count: ^9223372036854775808", "out of range"),
    ("count: 2", "count: ^.nan", "nan is not a whole number"),
    ("count: 2", "count: ^-.inf", "devices.gpu.count"),
    ("count: 2", "count: ^-2", "out of range"),
    ("count: 2", "count: ^-0.5", "not a whole number"),
    ("count: 2", "count: ^1_000", "not a whole number"),
    ("count: 2", "count: 1,^000", "a key must be a text"),
    ("count: 2", "count: ^2011-01-01", "not a whole number"),
    ("count: 2", "count: ^1:30", "not a whole number"),
    ("32 Gbit/s", "^1e400 Gbit/s", "is not a finite number"),
    ("32 Gbit/s", "^1e999999999999999999999 Gbit/s", "is not a finite number"),
    ("32 Gbit/s", "^" + "9" * 5000 + " Gbit/s", "devices.disk.bandwidth"),
    ("32 Gbit/s", "^-32 Gbit/s", "out of range"),
    ("32 Gbit/s", "^0 Gbit/s", "out of range"),
    ("32 Gbit/s", "^.nan", "is not a finite number"),
    ("32 Gbit/s", "^nan Gbit/s", "is not a quantity"),
    ("32 Gbit/s", "^32 gbit/s", "unknown unit 'gbit/s'"),
    ("32 Gbit/s", "^32 GBIT/S", "unknown unit"),
    ("32 Gbit/s", "^32 Gbit", "is an amount of data, not a bandwidth"),
    ("32 Gbit/s", "^32 ms", "is a time, not a bandwidth"),
    ("32 Gbit/s", "^'32'", "has no unit"),
    ("32 Gbit/s", "^32 Gbit/s 5", "unknown unit"),
    ("32 Gbit/s", "^Gbit/s", "is not a quantity"),
    ("32 Gbit/s", "^32 Gbit/s/s", "unknown unit"),
    ("600 s", "^10000000000000 s", "out of range"),
    ("600 s", "^1 month", "unknown unit"),
    ("600 s", "^0 s", "allowed: above 0 s"),
    ("rate: 4/s", "rate: ^-4/s", "out of range"),
    ("rate: 4/s", "rate: ^4 Hz", "unknown unit"),
    (
        "{distribution: lognormal, mean: 50, cv: 1}",
        "^{distribution: lognormal, mean: -50, cv: 1}",
        "mean is -50",
    ),
    ("mean: 50", "mean: ^0x" + "f" * 400, "workloads.chat.output_tokens.mean"),
    ("requests: 10", "requests: ^0", "out of range"),
    ("requests: 10", "requests: ^-10", "out of range"),
    ("requests: 10", "requests: ^10.5", "not a whole number"),
    ("requests: 10", "requests: ^1e18", "out of range"),
    ("input_tokens: 100", "input_tokens: ^0", "workloads.chat.input_tokens"),
    ("input_tokens: 100", "input_tokens: ^-3", "workloads.chat.input_tokens"),
    ("version: 1", "version: ^'1'", "version"),
    ("version: 1", "version: ^1.5", "version"),
    ("version: 1", "version: ^0x" + "f" * 5000, "version"),
    # more than can be simulated
    ("requests: 10\n", "requests: ^20000001\n", "asks for 20,000,001 requests; allowed: at most 20,000,000"),
    ("requests: 10\n", "requests: ^1e9\n", "asks for 1,000,000,000 requests; allowed"),
    ("requests: 10\n    rate: 4/s", "duration: ^1e12 s\n    rate: 4/s", "allowed: at most 20,000,000"),
    ("requests: 10\n    rate: 4/s", "duration: ^1 h\n    rate: 1e9/s", "allowed: at most 20,000,000"),
    ("requests: 10\n", "requests: 10\n    start: ^1e9 s\n", "requests; allowed: at most 20,000,000"),
    (
        "input_tokens: 100\n",
        "input_tokens: ^1e9\n    hash_block_tokens: 1\n    stored: {tier: disk}\n",
        "prefix blocks of 1; allowed",
    ),
    (
        "requests: 10\n",
        "requests: 1e7\n    sessions: {turns: 1e6, think_time: 1 s}\n",
        "prefix blocks of 16; allowed",
    ),
    (
        "arrivals: poisson",
        "arrivals: {process: on_off, on: ^1e-12 s, off: 1e-12 s}",
        "is too often; allowed: every",
    ),
    (
        "arrivals: poisson",
        "arrivals: {process: gamma, cv: ^1e200}",
        "allowed: finite numbers from 0.001 to 1000",
    ),
    (
        "arrivals: poisson",
        "arrivals: {process: gamma, cv: ^1e-200}",
        "allowed: finite numbers from 0.001 to 1000",
    ),
    (
        "{distribution: lognormal, mean: 50, cv: 1}",
        "^{distribution: lognormal, mean: 50, cv: 1e200}",
        "cv is 1e+200",
    ),
    (
        "{distribution: lognormal, mean: 50, cv: 1}",
        "^{distribution: lognormal, mean: 1e300, cv: 1}",
        "mean is 1e+300",
    ),
    ("rate: 4/s", "rate: ^1e-320/s", "allowed: at least 1e-12 1/s"),
    ("count: 2", "count: ^100001", "out of range; allowed: a whole number, at least 1 and at most 100000"),
    ("count: 2", "count: ^1e9", "out of range"),
    ("tensor_parallel: 2", "replicas: ^1e9", "out of range; allowed"),
    # the wrong sort of value
    ("{profile: a100-80g-sxm, count: 2}", "^a100-80g-sxm", "is not a mapping"),
    ("{profile: a100-80g-sxm, count: 2}", "^[a100-80g-sxm]", "a list is not a mapping"),
    ("{profile: a100-80g-sxm, count: 2}", "", "an empty value is not a mapping"),
    ("{profile: a100-80g-sxm, count: 2}", "^7", "is not a mapping"),
    ("name: base", "name: ^[base]", "a list is not a text"),
    ("name: base", "name: ^{a: b}", "a mapping is not a text"),
    ("name: base", "name:^", "an empty value is not a text"),
    ("name: base", "name: ^true", "true is not a text"),
    ("name: base", "name: ^0x" + "f" * 5000, "is not a text"),
    ("[disk]", "^{disk: 1}", "is not a list"),
    ("[disk]", "[^[disk]]", "is not a text"),
    ("[disk]", "[]", "devices.disk: no service uses it"),
    ("{batching: chunked_prefill, kv_loading: cake}", "^cake", "services.chat.policies"),
    ("kv_loading: cake", "kv_loading: ^7", "services.chat.policies.kv_loading"),
    ("kv_loading: cake", "kv_loading: ^[cake]", "services.chat.policies.kv_loading"),
    ("kv_loading: cake", "kv_loading: {name: ^[cake]}", "services.chat.policies.kv_loading.name"),
    ("kv_loading: cake", "^kv_loading: {}", "is missing"),
    ("kv_loading: cake", "kv_loading: {name: cake, ^speed: 2}", "unknown key"),
    # names
    ("version: 1\n", "^", "version: is missing"),
    ("    kind: llm\n", "", "services.chat.kind: is missing"),
    ("    model: llama-2-13b\n", "", "services.chat.model: is missing"),
    ("    gpus: gpu\n", "", "services.chat.gpus: is missing"),
    ("profile: nvme-gen4, ", "", "devices.disk.profile: is missing"),
    ("horizon: 600 s", "^horizont: 600 s", "unknown key 'horizont'"),
    ("count: 2", "^Count: 2", "unknown key 'Count'"),
    ("count: 2", "^__class__: 2", "unknown key '__class__'"),
    ("kind: llm", "kind: ^lmm", "is not allowed"),
    ("model: llama-2-13b", "model: ^llama-2-14b", "unknown model"),
    ("model: llama-2-13b", "model: ^../../../etc/passwd", "unknown model"),
    ("profile: nvme-gen4", "profile: ^nvme-gen5x", "unknown device profile"),
    ("profile: nvme-gen4", "profile: ^../nvme-gen4", "unknown device profile"),
    ("profile: nvme-gen4", "profile: ^''", "unknown device profile"),
    ("profile: nvme-gen4", "profile: ^" + "x" * 100_000, "unknown device profile"),
    ("gpus: gpu", "gpus: ^disk", "services.chat.gpus"),
    ("gpus: gpu", "gpus: ^chat", "services.chat.gpus"),
    ("link: net", "link: ^disk", "devices.disk.link"),
    ("link: net", "link: ^wire", "devices.disk.link"),
    ("kv_tiers: [disk]", "kv_tiers: [disk, ^disk]", "services.chat.kv_tiers"),
    ("kv_tiers: [disk]", "kv_tiers: [^gpu]", "services.chat.kv_tiers"),
    ("service: chat", "service: ^chatter", "workloads.chat.service"),
    ("tensor_parallel: 2", "tensor_parallel: ^3", "services.chat"),
    ("tensor_parallel: 2", "engine: ^vlllm-1", "services.chat.engine"),
    ("kv_loading: cake", "kv_loading: ^Cake", "is not allowed"),
    ("kv_loading: cake", "kv_loading: ^os.system", "is not allowed"),
    ("kv_loading: cake", "^kv_loader: cake", "unknown key"),
    ("arrivals: poisson", "arrivals: ^poison", "is not allowed"),
    ("arrivals: poisson", "arrivals: {process: gamma, cv: ^0}", "workloads.chat.arrivals.cv"),
    ("trace: synthetic", "trace: ^sintetic", "workloads.chat.trace"),
    ("    trace: synthetic\n", "", "workloads.chat.trace: is missing"),
    # values that do not go together
    (
        "tensor_parallel: 2",
        "speculative: {draft_model: ^llama-3.1-80b, acceptance: 0.8}",
        "services.chat.speculative.draft_model: unknown model 'llama-3.1-80b'; nearest: llama-3.1-8b",
    ),
    (
        "tensor_parallel: 2",
        "speculative: {draft_model: llama-2-7b, acceptance: 0.8, draft_tokens: ^99999}",
        "verifies 100000 tokens per sequence; policies.batching must leave them to a step",
    ),
    (
        "count: 2",
        "count: 2, sharing: {name: spatial_partition, sr_share: ^1.0}",
        "1.0 is out of range; allowed: above 0 and below 1",
    ),
    (
        "count: 2",
        "count: 2, sharing: {name: spatial_partition, sr_share: ^0}",
        "0 is out of range; allowed: above 0 and below 1",
    ),
    (
        "count: 2",
        "count: 2, sharing: {name: spatial_partition, contention: ^100 %}",
        "'100 %' is out of range; allowed: at least 0 and below 1",
    ),
    ("requests: 10", "requests: 10\n    slo: ^{}", "workloads.chat.slo: says nothing; allowed: a limit"),
    (
        "workloads:\n",
        "workloads:\n  a: {trace: synthetic, service: chat, requests: 1, rate: 1/s, input_tokens: 9, output_tokens: 9, "
        "slo: {name: x, ttft: 1 s}}\n  b: {trace: synthetic, service: chat, requests: 1, rate: 1/s, input_tokens: 9, "
        "output_tokens: 9, slo: {name: ^x, ttft: 2 s}}\n",
        "class 'x' has other limits (ttft, tpot) in workload 'a'; allowed: the same, or another name",
    ),
]


SWEEPS = [
    ("name: few", "name: ^7", "name: 7 is not a text"),
    ("name: few\n", "", "name: is missing"),
    ("base: scenario.yaml\n", "", "base: is missing"),
    ("base: scenario.yaml", "base: ^none.yaml", "there is no file 'none.yaml' beside the sweep file"),
    ("base: scenario.yaml", "base: ^.", "'.' is a folder, not a file"),
    ("base: scenario.yaml", "base: ^/dev/zero", "'/dev/zero' is a device, not a file"),
    ("base: scenario.yaml", "base: ^" + "x" * 5000, "cannot be read: File name too long"),
    ("base: scenario.yaml", r'base: ^"a\0b"', "cannot be read: embedded null byte"),
    ("base: scenario.yaml", "base: ^[scenario.yaml]", "a list is not a text"),
    ("base: scenario.yaml", "base: sweep.yaml", "unknown key"),  # itself
    ("version: 1", "version: ^2", "version: 2 is not allowed"),
    ("design: grid", "design: ^gird", "design: 'gird' is not allowed"),
    ("design: grid", "design: sobol", "samples is missing"),
    ("design: grid", "design: latin_hypercube\nsamples: ^1e18", "out of range"),
    ("design: grid", "design: latin_hypercube\nsamples: ^0", "out of range"),
    ("design: grid", "design: sobol\nsamples: ^-4", "out of range"),
    ("design: grid", "design: sobol\nsamples: 1e9", "runs; allowed: at most"),
    ("design: grid", "design: grid\nsamples: ^4", "has no meaning with design grid"),
    ("design: grid", "design: sobol\nsamples: 4\nseed: ^-1", "out of range"),
    ("replications: 2", "replications: ^1e18", "out of range"),
    ("replications: 2", "replications: 1e9", "runs; allowed: at most"),
    ("replications: 2", "replications: ^0", "out of range"),
    ("replications: 2", "replications: ^.nan", "not a whole number"),
    ("replications: 2", "replications: ^two", "not a whole number"),
    ("replications: 2", "^repetitions: 2", "unknown key 'repetitions'"),
    ("set: [horizon=60 s]", "set: ^horizon=60 s", "is not a list"),
    ("set: [horizon=60 s]", "set: [^horizon]", "is not of the form PATH=VALUE"),
    ("set: [horizon=60 s]", "set: [^'horizon=[']", "not YAML"),
    ("set: [horizon=60 s]", "set: [^'horizon=!!python/name:os.system x']", "tags are not allowed"),
    ("set: [horizon=60 s]", "set: [^'=60 s']", "is not of the form PATH=VALUE"),
    ("set: [horizon=60 s]", "set: [^'a.b.c=1']", "unknown path"),
    ("set: [horizon=60 s]", "set: [^7]", "7 is not a text"),
    ("[7 Gbit/s, 14 Gbit/s]", "^[]", "is neither a list of values nor a mapping"),
    ("[7 Gbit/s, 14 Gbit/s]", "^7 Gbit/s", "is neither a list of values nor a mapping"),
    ("[7 Gbit/s, 14 Gbit/s]", "^[7 Gbit/s, 7 Gbit/s]", "stands there more than once"),
    ("[7 Gbit/s, 14 Gbit/s]", "^[7 Gbit/s, 14 GB]", "is an amount of data, not a bandwidth"),
    ("[7 Gbit/s, 14 Gbit/s]", "^[7 Gbit/s, .nan]", "devices.disk.bandwidth"),
    ("[7 Gbit/s, 14 Gbit/s]", "^[7 Gbit/s, 1e400]", "devices.disk.bandwidth"),
    ("[7 Gbit/s, 14 Gbit/s]", "[7 Gbit/s, ^0x" + "f" * 5000 + "]", "a number of more than 77 digits"),
    ("[7 Gbit/s, 14 Gbit/s]", "[7 Gbit/s, ^{a: [0x" + "f" * 5000 + "]}]", "a number of more than 77 digits"),
    ("[7 Gbit/s, 14 Gbit/s]", "^[7 Gbit/s, {a: {b: 1}}]", "devices.disk.bandwidth"),
    ("[7 Gbit/s, 14 Gbit/s]", "^['7 Gbit/s', '&x 7']", "anchors are not allowed"),
    (
        "[7 Gbit/s, 14 Gbit/s]",
        "^{low: 1 Gbit/s, high: 2 Gbit/s}",
        "is a range; design grid needs a list of values",
    ),
    ("[7 Gbit/s, 14 Gbit/s]", "^{low: 2 Gbit/s, high: 1 Gbit/s}", "is not below high"),
    ("[7 Gbit/s, 14 Gbit/s]", "^{low: 1 Gbit/s, high: 2 GB/s}", "have different units"),
    ("[7 Gbit/s, 14 Gbit/s]", "^{low: 0, high: 2, scale: log}", "needs values above 0"),
    ("[7 Gbit/s, 14 Gbit/s]", "^{low: 0, high: 2, scale: ln}", "allowed: linear, log"),
    ("[7 Gbit/s, 14 Gbit/s]", "^{low: 0.5, high: 2, whole: true}", "needs whole numbers"),
    ("[7 Gbit/s, 14 Gbit/s]", "^{low: 1, high: 2, whole: 3}", "allowed: true, false"),
    ("[7 Gbit/s, 14 Gbit/s]", "^{low: 1}", "high is"),
    ("[7 Gbit/s, 14 Gbit/s]", "^{low: .nan, high: .inf}", "low is nan"),
    ("[7 Gbit/s, 14 Gbit/s]", "^{low: 1, high: 1e400}", "high is inf"),
    (
        "[7 Gbit/s, 14 Gbit/s]",
        "^{low: 1, high: 0x" + "f" * 5000 + "}",
        "high is a number of more than 77 digits",
    ),
    ("[7 Gbit/s, 14 Gbit/s]", "^{low: {}, high: []}", "low is"),
    ("devices.disk.bandwidth", "devices.tape.bandwidth", "unknown path 'devices.tape.bandwidth'"),
    ("devices.disk.bandwidth", "devices..bandwidth", "unknown path"),
    ("devices.disk.bandwidth", "''", ""),
    ("devices.disk.bandwidth", "version.a.b", "unknown path"),
    ("devices.disk.bandwidth", "a" * 50 + ".b" * 250, "unknown path"),
    ("devices.disk.bandwidth: [7 Gbit/s, 14 Gbit/s]", "seed: [1]\n  ^seed: [2]", "the key is there twice"),
    ("[cake, io_only]", "^[cake, cakes]", "is not allowed"),
    ("[cake, io_only]", "^[cake, '../../x']", "is not allowed"),
    ("design: grid", "design: zip\n^more: 1", "unknown key"),
    ("[cake, io_only]", "[cake, io_only, oracle]\n^name: x", "the key is there twice"),
    ("axes:\n", "axes: ^[]\nothers:\n", "a mapping of paths is needed"),
    ("axes:\n", "axes: ^{}\nothers:\n", "a mapping of paths is needed"),
]

DEVICES = [
    ("kind: link\n", "kind: linc\n", "the first line must be 'kind: ...'"),
    ("kind: link\n", "", "the first line must be 'kind: ...'"),
    ("kind: link\n", "kind: gpu\n", "is missing"),
    ("name: own-link", "name: ^other", "must be the file's name, 'own-link'"),
    ("name: own-link", "name: ^0x" + "f" * 5000, "is not a text"),
    ("name: own-link", "name: ^''", "is not a text"),
    ("title: A link of one's own", "title: ^[a]", "is not a text"),
    ("title: A link of one's own\n", "", "title: is missing"),
    ("duplex: full", "duplex: ^both", "is not allowed"),
    ("duplex: full", "duplex: ^0x" + "f" * 5000, "is not a text"),
    ("100 Gbit/s", "^100 Gbit", "is an amount of data, not a bandwidth"),
    ("100 Gbit/s", "^.nan", "is not a finite number"),
    ("100 Gbit/s", "^0x" + "f" * 5000, "is not a finite number"),
    ("100 Gbit/s", "^-5", "out of range"),
    ("100 Gbit/s", "^!!float 5", "tags are not allowed"),
    ("value: 100 Gbit/s, source: sheet", "value: 100 Gbit/s, source: ^shet", "unknown source"),
    ("value: 100 Gbit/s, source: sheet", "value: 100 Gbit/s", "source: is missing"),
    ("kind: datasheet}\n  lat", "kind: ^guessed}\n  lat", "is not allowed"),
    ("low: 1 us", "low: 3 us", "lies outside of its own low and high"),
    ("low: 1 us", "low: ^1 GB", "not a time"),
    ("low: 1 us", "^lower: 1 us", "unknown key"),
    ("{value: 2 us, source: sheet, kind: assumed, low: 1 us, high: 5 us}", "^2 us", "must be a mapping"),
    (
        "{value: 2 us, source: sheet, kind: assumed, low: 1 us, high: 5 us}",
        "^0x" + "f" * 5000,
        "must be a mapping",
    ),
    ("latency_s", "^latency", "unknown key"),
    ('{title: A datasheet, url: "https://example.org"}', "^A datasheet", "must be a mapping"),
    ('{title: A datasheet, url: "https://example.org"}', "{url: x}", "title: is missing"),
    ("sources:\n", "sources:\n  ^spare: {title: x}\n", "no value names this source"),
    ("values:\n", "values: ^7\nvalue:\n", "must be a mapping"),
    ("values:\n", "values: ^[]\nvalue:\n", "must be a mapping"),
]


def spoilt(base: str, old: str, new: str) -> tuple[str, str | None]:
    """Return `base` with `new` in the place of `old`, and the place of the mark ^ in it, which is taken out."""
    assert base.count(old) == 1, old
    start = base.index(old)
    text = base[:start] + new + base[start + len(old) :]
    if "^" not in new:
        return text, None
    before = text[: start + new.index("^")]
    place = f"{before.count(chr(10)) + 1}:{len(before) - (before.rfind(chr(10)) + 1) + 1}"
    return text.replace("^", "", 1), place


def named(cases: list[tuple[str, str, str]]) -> list[object]:
    """Give each case a name that a person can read."""
    return [pytest.param(*case, id=f"{number}-{ascii(case[1])[1:31]}") for number, case in enumerate(cases)]


@pytest.mark.parametrize(("old", "new", "part"), named(SCENARIOS))
def test_scenarios(refused, desk, valid, old, new, part):
    text, place = spoilt(valid["scenario"], old, new)
    desk.write("s.yaml", text)
    refused(["validate", "s.yaml"], "s.yaml", part, place)


VIDEOS = [
    (
        "segments: 300",
        "segments: ^1e9",
        "out of range; allowed: a whole number, at least 1 and at most 1e+06",
    ),
    ("sessions: 2", "sessions: ^1e9", "chunks or seconds of phones; allowed: at most 50,000,000"),
    ("segment: 1 s", "segment: 1e12 s", "chunks or seconds of phones; allowed: at most 50,000,000"),
    ("galaxy-s20-ultra", "galaxy-s20-ultra, count: ^1e9", "out of range; allowed"),
    ("galaxy-s20-ultra", "galaxy-s20-ultra, count: 1001", "a group has 1,001 phones; allowed: at most 1,000"),
]


@pytest.mark.parametrize(("old", "new", "part"), named(VIDEOS))
def test_videos_that_nobody_could_watch(refused, desk, valid, old, new, part):
    video = "{trace: video, service: video, sessions: 2, segments: 300, segment: 1 s}"
    text = valid["streaming"].format(network="{trace: steady, bandwidth: 5 Mbit/s}", video=video)
    text, place = spoilt(text, old, new)
    desk.write("s.yaml", text)
    refused(["validate", "s.yaml"], "s.yaml", part, place)


def test_ten_million_requests_are_allowed(desk, valid):
    desk.write("s.yaml", valid["scenario"].replace("requests: 10\n", "requests: 1e7\n"))
    load(desk.folder / "s.yaml")


@pytest.mark.parametrize(("old", "new", "part"), named(SWEEPS))
def test_sweeps(refused, desk, valid, old, new, part):
    text, place = spoilt(valid["sweep"], old, new)
    desk.write("scenario.yaml", valid["scenario"])
    desk.write("sweep.yaml", text)
    refused(["sweep", "sweep.yaml", "--out", "runs"], "sweep.yaml", part, place)
    assert sorted(it.name for it in desk.folder.iterdir()) == ["scenario.yaml", "sweep.yaml"]


@pytest.mark.parametrize(("old", "new", "part"), named(DEVICES))
def test_devices(refused, desk, valid, monkeypatch, old, new, part):
    text, place = spoilt(valid["device"], old, new)
    desk.write("s.yaml", valid["scenario"].replace("ethernet-100g", "own-link"))
    folder = desk.folder / "devices"
    folder.mkdir()
    desk.write("devices/own-link.yaml", text)
    monkeypatch.setenv("HETSIM_DEVICES", str(folder))
    refused(["validate", "s.yaml"], folder / "own-link.yaml", part, place)


def test_what_is_spoilt_is_valid_before(desk, valid, monkeypatch):
    desk.write("scenario.yaml", valid["scenario"].replace("ethernet-100g", "own-link"))
    desk.write("sweep.yaml", valid["sweep"])
    folder = desk.folder / "devices"
    folder.mkdir()
    desk.write("devices/own-link.yaml", valid["device"])
    monkeypatch.setenv("HETSIM_DEVICES", str(folder))
    assert desk.hetsim("validate", "scenario.yaml", "sweep.yaml") == (0, "")
