"""Imports every built-in policy, so that each registers itself."""

import simulator.policies.batching.chunked_prefill
import simulator.policies.batching.fluctuating_budget
import simulator.policies.decoding.autoregressive
import simulator.policies.kv_loading.cake
import simulator.policies.kv_loading.cake_with_fallback
import simulator.policies.kv_loading.compute_only
import simulator.policies.kv_loading.io_only
import simulator.policies.kv_loading.layerwise
import simulator.policies.kv_loading.oracle
import simulator.policies.kv_loading.static_split
import simulator.policies.routing.least_loaded
import simulator.policies.routing.prefix_aware
import simulator.policies.routing.round_robin  # noqa: F401
