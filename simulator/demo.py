"""The demonstration study that ``make run`` shows: policies against their baselines, on embedded inputs.

(a) One 16K-token prompt whose KV is stored, over bandwidths and GPUs. (b) A cluster of eight GPUs under an embedded
synthetic workload with the statistics of the Mooncake conversation trace.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

from simulator.commands.scenarios import SHIPPED
from simulator.experiments.cake_cases import cell
from simulator.experiments.compare import compare
from simulator.experiments.report import comparison_text
from simulator.experiments.reproduce_cake import cell_ttft_s
from simulator.experiments.tables import text_table

POLICIES = ("compute_only", "io_only", "static_split", "cake")
"""Policies that the demonstration compares; the oracle bound is drawn beside them."""

BANDWIDTHS_GBPS = (7.0, 14.0, 25.0, 32.0, 56.0, 100.0)
"""Storage bandwidths of part (a), in the Cake paper's Gbit/s (2**30 bit)."""

SETUPS = {"2x A100": ("a100-80g-sxm", 2), "1x A100": ("a100-80g-sxm", 1), "1x H100": ("h100-80g-sxm", 1)}
"""GPUs of part (a)."""

REQUESTS = 4000
"""Requests of part (b): the first twenty minutes of the embedded workload."""


def single_prompt(out: Path) -> str:
    """Run part (a), draw its figures and return its table."""
    import pandas as pd  # noqa: PLC0415 (slow import)

    from simulator.viz.study import speedup_heatmap, ttft_against_bandwidth  # noqa: PLC0415
    from simulator.viz.style import save  # noqa: PLC0415

    rows = []
    for setup, (gpu, number) in SETUPS.items():
        for bandwidth in BANDWIDTHS_GBPS:
            for policy in (*POLICIES, "oracle"):
                ttft_s = cell_ttft_s(cell("longalpaca-13b", gpu, number, bandwidth), policy)
                rows.append(
                    {"gpu": setup, "bandwidth_gbit_per_s": bandwidth, "policy": policy, "ttft_s": ttft_s}
                )
    frame = pd.DataFrame(rows)
    save(ttft_against_bandwidth(frame), out / "cake-ttft-against-bandwidth.png")
    save(speedup_heatmap(frame, over="io_only"), out / "cake-speedup-over-io-only.png")
    save(speedup_heatmap(frame, over="compute_only"), out / "cake-speedup-over-compute-only.png")
    table = frame.pivot_table(
        index=["gpu", "bandwidth_gbit_per_s"], columns="policy", values="ttft_s", sort=False
    )
    lines = [
        [str(setup), f"{bandwidth:g}", *(f"{value:.3f}" for value in values)]
        for (setup, bandwidth), values in zip(table.index, table.to_numpy(), strict=True)
    ]
    return text_table(["GPUs", "Gbit/s", *(f"{name} s" for name in table.columns)], lines)


def cluster(out: Path, executor: Executor | None) -> str:
    """Run part (b), draw its figures and return its tables."""
    from simulator.viz import plot  # noqa: PLC0415 (slow import)

    comparison = compare(
        SHIPPED / "cake" / "mooncake.yaml",
        {"services.chat.policies.kv_loading": POLICIES},
        [f"workloads.chat.requests={REQUESTS}"],
        executor=executor,
        out=out,
        command=("hetsim-demo",),
        progress=lambda line: print(line, file=sys.stderr),
    )
    assert comparison.folder is not None
    for kind in ("ttft_cdf", "latency_bars", "tier_traffic", "energy_bars"):
        plot(comparison.folder, kind, out / f"cluster-{kind.replace('_', '-')}.png")
    plot(comparison.folder / "cake", "queue_and_kv", out / "cluster-queue-and-kv.png")
    return comparison_text(comparison)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration study."""
    parser = argparse.ArgumentParser(prog="python -m simulator.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for plots and runs")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    arguments = parser.parse_args(argv)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    print("(a) One 16,384-token prompt, LongAlpaca-13B, KV stored beforehand: TTFT by policy")
    print("    oracle: the best split to the token, a bound for one request alone\n")
    print(single_prompt(out))
    print(
        f"\n(b) Llama-3.1-8B on 8x A100 with DRAM, NVMe and remote KV tiers; {REQUESTS} requests of an embedded\n"
        "    synthetic workload with the statistics of the Mooncake conversation trace\n"
    )
    with ProcessPoolExecutor(arguments.jobs) as executor:
        print(cluster(out, executor))
    print(f"\nplots: {', '.join(sorted(path.name for path in out.glob('*.png')))} in {out}")
    print(f"{time.perf_counter() - started:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
