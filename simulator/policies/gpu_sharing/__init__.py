"""How a GPU is shared between an LLM and super-resolution (SR)."""

from simulator.policies.gpu_sharing.protocol import GpuSharing, Shares

__all__ = ["GpuSharing", "Shares"]
