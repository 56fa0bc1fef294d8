"""Imports every built-in policy, so that each registers itself."""

import simulator.policies.abr.bba
import simulator.policies.abr.bola
import simulator.policies.abr.bola_basic
import simulator.policies.abr.bola_e
import simulator.policies.abr.dynamic
import simulator.policies.abr.fixed
import simulator.policies.abr.mpc
import simulator.policies.abr.rate
import simulator.policies.abr.robust_mpc
import simulator.policies.abr.throughput
import simulator.policies.batching.chunked_prefill
import simulator.policies.batching.fluctuating_budget
import simulator.policies.collaboration.local_only
import simulator.policies.collaboration.microcast
import simulator.policies.collaboration.mpbond
import simulator.policies.collaboration.no_collaboration
import simulator.policies.collaboration.no_sr
import simulator.policies.collaboration.oasis
import simulator.policies.decoding.apar_fork
import simulator.policies.decoding.autoregressive
import simulator.policies.decoding.graph_oracle
import simulator.policies.decoding.plato
import simulator.policies.decoding.sot
import simulator.policies.kv_loading.cake
import simulator.policies.kv_loading.cake_with_fallback
import simulator.policies.kv_loading.compute_only
import simulator.policies.kv_loading.io_only
import simulator.policies.kv_loading.layerwise
import simulator.policies.kv_loading.oracle
import simulator.policies.kv_loading.static_split
import simulator.policies.node_order.critical_path_first
import simulator.policies.node_order.fifo
import simulator.policies.node_order.shortest_first
import simulator.policies.routing.least_loaded
import simulator.policies.routing.prefix_aware
import simulator.policies.routing.round_robin  # noqa: F401
