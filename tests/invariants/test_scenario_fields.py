"""No dead parameters: whatever a scenario file can say moves some output, or is declared inert with a reason.

Every field that a shipped scenario's file writes is changed, one at a time, in that scenario; and every field of every
dataclass that a shipped scenario is made of, defaults included, in some shipped scenario. A change counts if the
fingerprint of the run is another one: summary, tables or totals. The scenarios are in small size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from devices.document import read_document

INERT = {
    "version": "selects the format of the file; there is one",
    "name": "a label",
    "description": "a label",
    "workloads.*.service": "names the service; with another one the scenario is another",
    "services.*.helpers.*.gpu": "names a device; each must be used, so that it cannot be changed alone",
    "devices.*.phone.wwan.link": "names a link, likewise",
    "services.*.prefill.gpus": "names a device; each must be used, so that it cannot be changed alone",
    "services.*.prefill.link": "names a link; likewise",
    "services.*.gpus": "names a device; each must be used, so that it cannot be changed alone",
    "services.*": "the kind of a service selects its type: other fields",
    "workloads.*": "the kind of a trace selects its type: other fields",
    "devices.*.phone": "the fields below are changed",
    "faults.*.device": "names what it strikes; with another one the scenario is another",
    "faults.*.link": "the same",
    "workloads.*.path": "names a file: tests/simulator/workloads and tests/simulator/streaming read some",
    "workloads.*.heights": "needs a manifest: tests/simulator/streaming/test_service.py",
}
"""Kinds of fields that cannot be changed alone, or whose change is no change of what is simulated."""

BOUND = {
    "services.*.phones": "names devices",
    "services.*.kv_tiers": "names devices",
    "services.*.cold_start.weights_from": "names a device",
    "services.*.helpers.*.download": "names a link",
    "services.*.model": "expert_parallel asks for a mixture of experts",
    "services.*.speculative.draft_model": "names a model",
    "services.*.tensor_parallel": "expert_parallel divides it",
    "services.*.super_resolution": "empty",
    "services.*.places.edge.service": "names a service",
    "services.*.places.cloud.service": "names a service",
    "services.*.places.edge.links": "names links, of which each must be used",
    "services.*.places.device.soc": "other chips have no such model",
    "services.*.policies.decoding.easy_service": "names a service",
    "workloads.*.stored.tier": "names a device",
    "devices.*.link": "names a link, and each must be used",
    "devices.*.phone.wwan": "other kinds need a bandwidth or a file",
    "faults.*.kind": "other kinds need other fields",
    "workloads.*.arrivals": "other processes need a rate",
    **{
        f"workloads.*.{side}_tokens.{ends}": "rise, as many of the one as of the other"
        for side in ("input", "output")
        for ends in ("probabilities", "tokens")
    },
}
"""Kinds of fields that need not move anything where a scenario allows no other value of them."""

PHONE = "devices.phones.phone"
ONE = "services.video.super_resolution=[180p-720p]"
LINK = ["links={net: {profile: ethernet-10g}}", "devices.remote.link=net"]
LADDER = (
    "workloads.watch.ladder=[{bitrate: 300 kbit/s, height: 180, vmaf: 40, ssim_db: 10}, "
    "{bitrate: 800 kbit/s, height: 360, vmaf: 60, ssim_db: 13}, "
    "{bitrate: 2 Mbit/s, height: 720, vmaf: 80, ssim_db: 16}, "
    "{bitrate: 4 Mbit/s, height: 1080, vmaf: 95, ssim_db: 19}]"
)
QUANTILES = "{distribution: quantiles, probabilities: [0, 0.5, 1], tokens: [8, 16, 99]}"
EXAMPLES: dict[str, tuple[str, list[str], str]] = {
    "devices.*.link": ("cake/mooncake.yaml", LINK, "devices.disk.link=net"),
    "faults.*.kind": ("faults/disk_failure.yaml", ["faults.crash.duration=10 s"], "faults.crash.kind=outage"),
    "links.*.profile": ("cake/mooncake.yaml", LINK, "links.net.profile=ethernet-25g"),
    "links.*.bandwidth": ("cake/mooncake.yaml", LINK, "links.net.bandwidth=1 Gbit/s"),
    "links.*.latency": ("cake/mooncake.yaml", LINK, "links.net.latency=1 s"),
    "services.*.speculative": ("cluster/speculative.yaml", [], "services.chat.speculative=null"),
    "services.*.speculative.draft_model": (
        "cluster/speculative.yaml",
        [],
        "services.chat.speculative.draft_model=llama-2-7b",
    ),
    "services.*.prefill": ("cluster/disaggregated.yaml", [], "services.chat.prefill.replicas=0"),
    **{
        f"services.*.prefill.{field}": (
            "cluster/disaggregated.yaml",
            ["services.chat.prefill.replicas=1"],
            f"services.chat.prefill.{field}=2",
        )
        for field in ("tensor_parallel", "pipeline_parallel")
    },
    "services.*.cold_start.weights_from": (
        "cluster/autoscaling.yaml",
        ["services.chat.kv_tiers=[store]"],
        "services.chat.cold_start.weights_from=null",
    ),
    "services.*.background_context_tokens": (
        "cake/single.yaml",
        ["services.chat.background_share=0.5"],
        "services.chat.background_context_tokens=4096",
    ),
    "workloads.*.stored": ("cake/single.yaml", [], "workloads.chat.stored=null"),
    "workloads.*.slo": ("cluster/slo_classes.yaml", [], "workloads.people.slo=null"),
    "workloads.*.stored.tier": (
        "cake/agents.yaml",
        ["workloads.chat.stored={tier: disk}"],
        "workloads.chat.stored.tier=dram",
    ),
    "services.*.policies.routing.prefix_weight": (
        "cake/agents.yaml",
        ["devices.gpu.count=3", "services.chat.policies.routing=prefix_aware"],
        "services.chat.policies.routing.prefix_weight=0",
    ),
    "services.*.places.edge.service": (
        "cluster/placement.yaml",
        [],
        "services.ask.places.edge.service=cloud",
    ),
    "services.*.places.cloud.service": (
        "cluster/placement.yaml",
        ["services.ask.policies.placement=cloud_only"],
        "services.ask.places.cloud.service=edge",
    ),
    "services.*.places.edge.links": (
        "cluster/placement.yaml",
        [],
        "services.ask.places.edge.links=[wifi, internet]",
    ),
    "services.*.places.device.soc": (
        "cluster/placement.yaml",
        ["services.ask.places.device.model=llama-2-7b", "services.ask.policies.placement=device_only"],
        "services.ask.places.device.soc=snapdragon-8-gen-3",
    ),
    "devices.*.phone.npu": ("oasis/phones.yaml", [ONE], f"{PHONE}.npu={{soc: snapdragon-8-elite}}"),
    "devices.*.phone.sr_rates": ("oasis/phones.yaml", [ONE], f"{PHONE}.sr_rates={{180p-720p: 12/s}}"),
    "devices.*.phone.wwan": ("oasis/policies.yaml", [], "devices.older.phone.wwan=null"),
    "devices.*.phone.thermal.stop_c": ("oasis/heat.yaml", [], f"{PHONE}.thermal.stop_c=43.5"),
    "devices.*.phone.x": ("oasis/policies.yaml", [], "devices.older.phone.x=150"),
    "devices.*.phone.y": ("oasis/policies.yaml", [], "devices.older.phone.y=150"),
    "devices.*.phone.moves": ("oasis/policies.yaml", [], "devices.older.phone.moves=[{at: 9 s, x: 400}]"),
    "devices.*.phone.away": ("oasis/policies.yaml", [], "devices.older.phone.away=[{start: 5 s, end: 20 s}]"),
    "services.*.helpers.*.access": (
        "cluster/edge_helper.yaml",
        [],
        "services.video.helpers.edge.access=cell",
    ),
    "services.*.helpers.*.download": (
        "cluster/edge_helper.yaml",
        [
            "services.video.helpers={edge: {gpu: gpu, sr_rates: {180p-720p: 90/s}, download: uplink}, "
            "other: {gpu: gpu, sr_rates: {180p-720p: 9/s}, download: uplink}}"
        ],
        "services.video.helpers.edge.download=cell",
    ),
    "services.*.helpers.*.sr_rates": (
        "cluster/edge_helper.yaml",
        ["services.video.helpers.edge={gpu: gpu, sr_rates: {180p-720p: 90/s}, download: uplink}"],
        "services.video.helpers.edge.sr_rates={180p-720p: 9/s}",
    ),
    "services.*.group_size": ("oasis/phones.yaml", [], "services.video.group_size=2"),
    "services.*.effective_bitrates": (
        "oasis/phones.yaml",
        [],
        "services.video.effective_bitrates={180p-720p: 2 Mbit/s}",
    ),
    "services.*.policies.abr": (
        "oasis/abr_ablation.yaml",
        [],
        "services.video.policies.abr={name: oasis_with_rule, rule: bola, output_height: 720}",
    ),
    "services.*.policies.abr.alpha": (
        "oasis/networks.yaml",
        ["services.video.policies.abr=oasis"],
        "services.video.policies.abr.alpha=8",
    ),
    "services.*.policies.abr.first_per_phone": (
        "oasis/networks.yaml",
        ["services.video.policies.abr=oasis"],
        "services.video.policies.abr.first_per_phone=2",
    ),
    "workloads.*.ladder.*.bitrate": (
        "oasis/networks.yaml",
        [LADDER],
        "workloads.watch.ladder.0.bitrate=200 kbit/s",
    ),
    "workloads.*.ladder.*.height": ("oasis/player.yaml", [], LADDER),
    "workloads.*.ladder.*.vmaf": ("oasis/player.yaml", [LADDER], "workloads.watch.ladder.0.vmaf=45"),
    "workloads.*.ladder.*.ssim_db": ("oasis/player.yaml", [LADDER], "workloads.watch.ladder.0.ssim_db=11"),
    "accounting": ("cake/single.yaml", [], "accounting={users: 3}"),
    "accounting.users": ("cake/single.yaml", ["accounting={users: 3}"], "accounting.users=4"),
    "accounting.carbon_intensity": (
        "oasis/player.yaml",
        ["accounting={carbon_intensity: 350 g/kWh}"],
        "accounting.carbon_intensity=50 g/kWh",
    ),
    "accounting.prices.*": ("cake/single.yaml", ["accounting={prices: {gpu: 2}}"], "accounting.prices.gpu=3"),
    "services.*.policies.decoding.easy_service": (
        "plato/small_model.yaml",
        [],
        "services.chat.policies.decoding={name: plato}",
    ),
    **{
        f"workloads.*.{side}_tokens.{ends}": (
            "cluster/day.yaml",
            [f"workloads.chat.{side}_tokens={QUANTILES}"],
            f"workloads.chat.{side}_tokens.{ends}={other}",
        )
        for side in ("input", "output")
        for ends, other in (("probabilities", "[0, 0.9, 1]"), ("tokens", "[8, 50, 99]"))
    },
    "workloads.*.categories": ("plato/load.yaml", [], "workloads.questions.categories=[math]"),
}
"""Where a field matters that moves nothing in any shipped scenario alone: scenario, what it needs, the change."""


def test_every_field_of_a_file_moves_some_output_there(bench: Any, shipped_name: str) -> None:
    data = read_document(bench.shipped.folder / shipped_name).data
    dead = []
    for path, annotation, value in bench.fields(shipped_name):
        kind = bench.kind_of(path)
        if bench.written(data, path) and kind not in INERT:
            moved = list(until_one(bench.changes(shipped_name, path, annotation, value)))
            if not any(moved) and (moved or kind not in BOUND):
                dead.append(path)
    assert dead == []


def until_one(flags: Iterator[bool]) -> Iterator[bool]:
    """Yield flags up to the first that is set."""
    for flag in flags:
        yield flag
        if flag:
            return


def test_every_kind_of_field_moves_some_output_somewhere(bench: Any) -> None:
    """Defaults included, in the first shipped scenario in which it does, or in an example of its own."""
    where: dict[str, list[tuple[str, str, Any, Any]]] = {}
    for name in bench.shipped.names:
        for path, annotation, value in bench.fields(name):
            where.setdefault(bench.kind_of(path), []).append((name, path, annotation, value))
    where = {kind: places for kind, places in where.items() if kind not in INERT | EXAMPLES}
    dead = [
        kind
        for kind, places in where.items()
        if not any(flag for it in places for flag in bench.changes(*it))
    ]
    assert dead == []
    assert len(where) > 100


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_field_moves_some_output_where_it_matters(bench: Any, kind: str) -> None:
    name, needs, change = EXAMPLES[kind]
    assert bench.print_of(name, *needs, change) != bench.print_of(name, *needs)
