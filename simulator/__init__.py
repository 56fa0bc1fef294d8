"""hetsim: simulate heterogeneous inference clusters.

For notebooks and scripts::

    import simulator

    run = simulator.run("scenarios/cake/single.yaml", **{"services.chat.policies.kv_loading": "cake"})
    run.summary()["services"]["chat"]["ttft_s"]
    run.frame()                        # one row per request, as pandas

    policies = ["compute_only", "io_only", "cake"]
    simulator.compare("scenarios/cake/single.yaml", {"services.chat.policies.kv_loading": policies}).frame()

Everything behind these names is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.notebook import Run, compare, load, run

    __version__: str

__all__ = ["Run", "__version__", "compare", "load", "run"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 (slow import)

        try:
            return version("hetsim")
        except PackageNotFoundError:  # imported from a checkout that is not installed
            return "0+uninstalled"
    if name in __all__:
        from simulator import notebook  # noqa: PLC0415 (slow import)

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
