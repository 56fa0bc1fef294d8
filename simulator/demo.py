"""The demonstration study that ``make run`` shows: policies against their baselines, on embedded inputs.

(a) One 16K-token prompt whose KV is stored, over bandwidths and GPUs. (b) A cluster of eight GPUs under an embedded
synthetic workload with the statistics of the Mooncake conversation trace. (c) Phones that share one video, on synthetic
networks with the statistics of FCC's broadband measurements, by number, policy and skew. (d) Questions whose answers
are dependency graphs, decoded in parallel: one at a time, by category, and under load. (e) All of it at once, in small:
a campus whose phones share videos, with GPUs of the edge that help, and ask questions that are answered on the phone,
at the edge or in a cloud of unlike GPUs.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from devices.quantity import parse_quantity
from simulator.commands.scenarios import SHIPPED
from simulator.experiments.compare import compare
from simulator.experiments.comparison import Comparison
from simulator.experiments.folders import slug
from simulator.experiments.report import comparison_text
from simulator.experiments.reproduce_cake import GBIT_BYTES_PER_S
from simulator.experiments.stored_sweep import load_sweep_folder
from simulator.experiments.sweep import plan, run_sweep
from simulator.experiments.sweep_file import load_sweep
from simulator.experiments.tables import text_table

COMMAND = ("python", "-m", "simulator.demo")
"""How the runs say that they were made."""

POLICIES = ("compute_only", "io_only", "static_split", "cake")
"""Policies that the demonstration compares; in part (a) the oracle bound is beside them."""

SETUPS = {"2x A100": ("a100-80g-sxm", 2), "1x A100": ("a100-80g-sxm", 1), "1x H100": ("h100-80g-sxm", 1)}
"""GPUs of part (a)."""

REQUESTS = 4000
"""Requests of part (b): the first twenty minutes of the embedded workload."""

SHARING = ("oasis", "mpbond", "microcast", "local_only", "no_sr", "no_collaboration")
"""Policies of part (c)."""

SCHEDULERS = ("oasis", "mpbond", "microcast")
"""Those whose schedulers are compared under skew."""

SKEWS = (1, 2, 3, 4, 5)
"""How many times as fast as each of two other phones one phone super-resolves."""

SKEWED_FRAMES_PER_S = 33.0
"""What the three do together (OASIS's ablation)."""

DECODING = ("autoregressive", "sot", "plato", "plato_no_pipeline", "graph_oracle")
"""Policies of part (d)."""

QUESTION_RATES = ("0.5/s", "1/s", "2/s", "3/s", "5/s")
"""Rates at which questions arrive in part (d)."""


ENERGY_PER_ASK = "services.ask.energy_per_ask_j.mean"
"""What a question costs a phone, against what it is worth to its reader."""

PLACEMENT = ("device_only", "edge_only", "cloud_only", "latency_threshold", "energy_aware", "qoe_aware")
"""Policies of part (e)."""

CAMPUS = (
    "horizon=10 min",
    "devices.phones.count=20",
    "devices.edge.count=2",
    "services.cloud.gpus={h100: 1, a100: 1}",
    "workloads.lecture.segments=150",
    "workloads.lecture.spread=1 min",
    "workloads.questions.duration=10 min",
    "workloads.chats.duration=10 min",
    "workloads.chats.rate=2/s",
)
"""A tenth of the campus, for ten minutes."""


def single_prompt(out: Path) -> str:
    """Run part (a), draw its figures and return its table."""
    import pandas as pd  # noqa: PLC0415 (slow import)

    from simulator.viz.study import speedup_heatmap, ttft_against_bandwidth  # noqa: PLC0415
    from simulator.viz.style import save  # noqa: PLC0415

    tables = []
    for setup, (gpu, number) in SETUPS.items():
        gpus = [
            f"devices.gpu.profile={gpu}",
            f"devices.gpu.count={number}",
            f"services.chat.tensor_parallel={number}",
        ]
        sweep = replace(load_sweep(SHIPPED / "sweeps" / "cake.yaml", gpus), name=f"cake on {setup}")
        folder = out / f"{slug(sweep.name)}-sweep"
        run_sweep(sweep, plan(sweep), folder, command=COMMAND)
        runs = load_sweep_folder(folder).frame
        columns = {
            "bandwidth_gbit_per_s": [
                parse_quantity(it, "B/s") / GBIT_BYTES_PER_S for it in runs["devices.disk.bandwidth"]
            ],
            "policy": runs["services.chat.policies.kv_loading"],
            "ttft_s": runs["services.chat.ttft_s.mean"],
        }
        tables.append(pd.DataFrame({"gpu": setup, **columns}))
    frame = pd.concat(tables, ignore_index=True)
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
        command=COMMAND,
        progress=lambda line: print(line, file=sys.stderr),
    )
    assert comparison.folder is not None
    for kind in ("ttft_cdf", "latency_bars", "tier_traffic", "energy_bars"):
        plot(comparison.folder, kind, out / f"cluster-{kind.replace('_', '-')}.png")
    plot(comparison.folder / "cake", "queue_and_kv", out / "cluster-queue-and-kv.png")
    return comparison_text(comparison)


def phones(out: Path, executor: Executor | None) -> str:
    """Run part (c), draw its figures and return its tables."""
    from simulator.viz import plot  # noqa: PLC0415 (slow import)

    def study(
        scenario: str, vary: dict[str, Sequence[object]], *overrides: str, folder: str = ""
    ) -> Comparison:
        return compare(
            SHIPPED / "oasis" / f"{scenario}.yaml",
            vary,
            overrides,
            executor=executor,
            out=out / folder,
            command=COMMAND,
            progress=lambda line: print(line, file=sys.stderr),
        )

    policy = "services.video.policies.collaboration"
    by_policy = study("policies", {policy: SHARING})
    by_number = study("phones", {policy: SHARING[:1] + SHARING[-1:], "devices.phones.count": range(1, 7)})
    for skew in SKEWS:
        fast, slow = (SKEWED_FRAMES_PER_S * share / (skew + 2) for share in (skew, 1))
        rates = [
            f"devices.{name}.phone.sr_rates={{180p-720p: {rate:.4f}/s}}"
            for name, rate in (("fast", fast), ("slow", slow))
        ]
        study("compute_skew", {policy: SCHEDULERS}, *rates, f"name=skew-{skew}", folder="oasis-skew")
    churn = study("churn", {})
    assert by_policy.folder and by_number.folder and churn.folder
    session = churn.folder / churn.variants[0].folders[0]
    for kind, folder in (
        ("streaming_bars", by_policy.folder),
        ("qoe_and_energy_by_phones", by_number.folder),
        ("stalls_by_skew", out / "oasis-skew"),
        ("playback", session),
        ("pipeline", session),
    ):
        plot(folder, kind, out / f"oasis-{kind.replace('_', '-')}.png")
    return comparison_text(by_policy)


def questions(out: Path, executor: Executor | None) -> str:
    """Run part (d), draw its figures and return its tables."""
    from simulator.viz import plot  # noqa: PLC0415 (slow import)
    from simulator.viz.speedup import verdict  # noqa: PLC0415

    def study(scenario: str, vary: dict[str, Sequence[object]], *overrides: str) -> Comparison:
        return compare(
            SHIPPED / "plato" / f"{scenario}.yaml",
            vary,
            overrides,
            executor=executor,
            out=out,
            command=COMMAND,
            progress=lambda line: print(line, file=sys.stderr),
        )

    policy, rate = "services.chat.policies.decoding", "workloads.questions.rate"
    alone = study("alone", {policy: DECODING})
    loaded = study("load", {policy: DECODING[:3], rate: QUESTION_RATES}, "workloads.questions.requests=400")
    assert alone.folder and loaded.folder
    for kind, folder in (
        ("speedup_by_category", alone.folder),
        ("quality_against_speed", alone.folder),
        ("answer_gantt", alone.folder / "plato"),
        ("speedup_against_load", loaded.folder),
    ):
        plot(folder, kind, out / f"plato-{kind.replace('_', '-')}.png")
    mean_s = {
        tuple(it.values.values()): it.statistics["services.chat.e2e_s.mean"].mean or math.nan
        for it in loaded.variants
    }
    lines = []
    for name in DECODING[1:3]:
        gains = [mean_s[DECODING[0], at] / mean_s[name, at] for at in QUESTION_RATES]
        loads = [float(at.removesuffix("/s")) for at in QUESTION_RATES]
        lines.append([name, *(f"{it:.2f}" for it in gains), verdict(loads, gains, "/s")])
    header = ["speed-up at", *QUESTION_RATES, ""]
    return "\n".join((comparison_text(alone), text_table(header, lines)))


def campus(out: Path, executor: Executor | None) -> str:
    """Run part (e), draw its figures and return its tables."""
    from simulator.viz import plot  # noqa: PLC0415 (slow import)

    comparison = compare(
        SHIPPED / "cluster" / "campus.yaml",
        {"services.ask.policies.placement": PLACEMENT},
        CAMPUS,
        executor=executor,
        out=out,
        command=COMMAND,
        progress=lambda line: print(line, file=sys.stderr),
    )
    assert comparison.folder is not None
    for kind in ("placement_bars", "energy_bars"):
        plot(comparison.folder, kind, out / f"campus-{kind.replace('_', '-')}.png")
    plot(comparison.folder, "pareto", out / "campus-pareto.png", x=ENERGY_PER_ASK, y="services.ask.qoe.mean")
    return comparison_text(comparison)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration study."""
    from simulator.html_report import write_report  # noqa: PLC0415 (slow import)

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
        print(
            "\n(c) Five unlike phones share a five-minute video, each on a network of its own (synthetic, like FCC's\n"
            "    broadband); plots: how many phones pay, unlike phones, phones that come and go. What SR is worth\n"
            "    hangs on its effective bitrates, which are inferred: by them five networks carry more without it\n"
        )
        print(phones(out, executor))
        print(
            "\n(d) Questions of Vicuna-80 to Vicuna-13B on one A100, decoded in parts: one at a time (Transformers),\n"
            "    then under load (vLLM): what is nearly free alone competes with others near saturation.\n"
            "    Dependencies between the parts are assumed; quality is a surrogate\n"
        )
        print(questions(out, executor))
        print(
            "\n(e) A tenth of a campus for ten minutes: 20 phones watch in fives and ask 2 questions a second;\n"
            "    two L40S at the edge super-resolve and answer, 8 GPUs in the cloud answer them and others. Rates of\n"
            "    phones are measured; bandwidths, loads, prices and the quality of answers by place are assumed\n"
        )
        print(campus(out, executor))
    write_report(out, out / "report.html")
    print(f"\nplots: {', '.join(sorted(path.name for path in out.glob('*.png')))} in {out}")
    print(f"report: {out / 'report.html'}")
    print(f"{time.perf_counter() - started:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
