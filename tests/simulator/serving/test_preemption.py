"""Preemption by recomputation, where decodes outgrow GPU memory."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.scenario.spec import DeviceSpec
from simulator.serving.memory import kv_capacity_blocks
from simulator.workloads.spec import Stored


def crowded(lab, **fields):
    """Twenty requests of 100 tokens that grow to 400 in memory for about 2,000."""
    rows = [(0.01 * i, 100, 300) for i in range(20)]
    return lab.scenario(lab.trace(rows), lab.llm(**fields), memory=18.5e9)


def test_all_answers_are_completed(lab):
    scenario = crowded(lab)
    columns = lab.columns(lab.run(scenario))
    assert (columns["status"] == 1).all()
    assert columns["preemptions"].sum() > 5
    blocks = kv_capacity_blocks(scenario.services["chat"], scenario.devices["gpu"])
    assert blocks * 16 < 20 * 400


def test_the_last_admitted_goes_first_and_the_first_never(lab):
    columns = lab.columns(lab.run(crowded(lab)))
    assert columns["preemptions"][:3].tolist() == [0, 0, 0]
    assert columns["finish_s"][0] == columns["finish_s"].min()


def test_recomputation_is_counted_and_takes_the_answer_so_far(lab):
    columns = lab.columns(lab.run(crowded(lab)))
    victims = columns["preemptions"] > 0
    once = columns["preemptions"] == 1
    assert once.any()
    assert (columns["computed_tokens"][~victims] == 100).all()
    assert (columns["computed_tokens"][victims] > 100).all()
    # prompt, then prompt and what had been generated
    assert (columns["computed_tokens"][once] < 100 + 400).all()


def test_first_token_and_admission_are_those_before_the_preemption(lab):
    """The same requests in ample memory: a first token that was out by then stays where it was."""
    tight = lab.columns(lab.run(crowded(lab)))
    ample = crowded(lab)
    ample = lab.columns(lab.run(lab.scenario(ample.workloads["work"])))
    victims = tight["preemptions"] > 0
    # until memory holds the first request back, both runs are the same
    held_back = ~np.isclose(tight["admitted_s"], ample["admitted_s"], rtol=1e-9)
    early = victims & (tight["first_token_s"] <= ample["admitted_s"][held_back].min())
    assert early.any()
    np.testing.assert_allclose(tight["first_token_s"][early], ample["first_token_s"][early], rtol=1e-9)
    assert (tight["admitted_s"] < tight["first_token_s"]).all()


@pytest.mark.parametrize("policy", ["io_only", "layerwise", "cake", "cake_with_fallback", "static_split"])
def test_requests_that_load_can_be_preempted(lab, policy):
    """Loads under way are cancelled with their request, and start again with it."""
    rows = [(0.02 * i, 400, 200) for i in range(20)]
    workload = lab.trace(rows, stored=Stored("disk"))
    scenario = lab.scenario(
        workload,
        lab.llm(policy, kv_tiers=("disk",), prefix_cache=False),
        memory=18.5e9,
        tiers={"disk": DeviceSpec("ideal-store", bandwidth=0.4e9)},
    )
    result = lab.run(scenario)
    columns = lab.columns(result)
    assert (columns["status"] == 1).all()
    assert columns["preemptions"].sum() > 0
    assert result.devices["disk"].read_bytes == columns["loaded_disk_tokens"].sum() * 512 * 1024


def test_a_request_that_just_fits_alone_is_served(lab):
    scenario = crowded(lab)
    tokens = 16 * kv_capacity_blocks(scenario.services["chat"], scenario.devices["gpu"])
    rows = [(0.0, tokens - 299, 300), (0.1, tokens - 299, 300), (0.2, tokens, 2)]
    columns = lab.columns(lab.run(lab.scenario(lab.trace(rows), memory=18.5e9)))
    assert columns["status"].tolist() == [1, 1, 2]  # all but the last token must fit: nobody reads its KV
    assert columns["preemptions"].tolist() == [0, 0, 0]
    assert columns["finish_s"][0] <= columns["first_token_s"][1]
