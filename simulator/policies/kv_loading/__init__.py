"""What to do with a prefix whose KV lies in a storage tier: compute it, load it, or both."""

from simulator.policies.kv_loading.protocol import KvLoading, LoadPlan, LoadView, StepView

__all__ = ["KvLoading", "LoadPlan", "LoadView", "StepView"]
