"""hetsim: simulate heterogeneous inference clusters.

For notebooks and scripts::

    import simulator

    run = simulator.run("cake/single", **{"services.chat.policies.kv_loading": "cake"})
    run.summary()["services"]["chat"]["ttft_s"]
    run.frame()                        # one row per request, as pandas

    policies = ["compute_only", "io_only", "cake"]
    found = simulator.compare("cake/single", {"services.chat.policies.kv_loading": policies}, replications=5)
    found.means("services.chat.ttft_s.mean")
    simulator.plot(found, "latency_bars")

Everything behind these names is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.notebook import (
        CapacityResult,
        Comparison,
        Run,
        SweepResult,
        capacity,
        compare,
        load,
        plot,
        run,
        sweep,
    )

    __version__: str

__all__ = [
    "CapacityResult",
    "Comparison",
    "Run",
    "SweepResult",
    "__version__",
    "capacity",
    "compare",
    "load",
    "plot",
    "run",
    "sweep",
]


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
