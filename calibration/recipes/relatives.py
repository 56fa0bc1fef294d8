"""GPUs without a table of their own: what is taken over from a relative, and what power must then be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from calibration.device_file import Entry
from calibration.fits import gemm
from calibration.recipes.gpus import ALLREDUCE, DECODE, EXPERTS, POWER, POWER_TABLES, PREFILL, gemm_patterns
from calibration.recipes.recipe import Found, Path_, Recipe, Shelf, copied, entries_of, scaled, unit_of

ATTENTION = (*PREFILL, *DECODE)
KERNELS = (*gemm_patterns("*"), *ATTENTION, *EXPERTS)
FP8 = gemm_patterns("fp8")


@dataclass(frozen=True, slots=True)
class Taken:
    """Values that a GPU takes from a relative."""

    gpu: str
    relative: str
    values: tuple[str, ...]
    """Patterns of dotted paths."""
    why: str
    """Why that relative."""
    factors: Mapping[str, float] = field(default_factory=dict)
    """Field -> how many times the relative's value."""


BOARDS = (
    *gemm.TABLES,
    "a100-40g-sxm",
    "a100-40g-pcie",
    "a100-80g-pcie",
    "h100-80g-pcie",
    "h20",
    "mi300x",
)
"""Datacentre and consumer boards of the catalogue."""

A100, H100, L40S = "a100-80g-sxm", "h100-80g-sxm", "l40s"
LOWER_LIMIT = "the same die at a lower board limit"
NCCL = "measured with NCCL over PCIe 4; no NVLink bridge assumed"
TWICE = "twice the bandwidth (PCIe 5 for PCIe 4), the same latency; no NVLink bridge assumed"
BANDWIDTHS = ("allreduce_bandwidth_bytes_per_s", "allreduce_direct_bandwidth_bytes_per_s")
LATENCIES = ("allreduce_latency_s", "allreduce_hop_s", "allreduce_stage_s")
SAME_CLASS = "the nearest board of the class with a table"

NO_TABLE = "the nearest GPU with a table of evenly spread tokens and many shapes"

H20_KERNELS = (
    *(pattern for pattern in KERNELS if pattern not in ("gemm.*.efficiency", *PREFILL)),
    "values.attention_launch_s",
    "values.attention_token_pairs",
)
"""All but the rates of arithmetic, for which there are figures of the H20 itself."""

TAKEN = (
    Taken(A100, L40S, EXPERTS, NO_TABLE),
    Taken("a100-40g-sxm", A100, KERNELS, "the same die"),
    Taken("a100-40g-sxm", A100, ALLREDUCE, "the same NVLink 3"),
    Taken("a100-40g-sxm", A100, POWER, "the same die and board limit"),
    Taken("h200-sxm", H100, POWER, "the same die and board limit"),
    Taken("a100-40g-pcie", A100, KERNELS, LOWER_LIMIT),
    Taken("a100-40g-pcie", L40S, ALLREDUCE, NCCL),
    Taken("a100-80g-pcie", A100, KERNELS, LOWER_LIMIT),
    Taken("a100-80g-pcie", L40S, ALLREDUCE, NCCL),
    Taken("a40", L40S, (*ATTENTION, *EXPERTS), "the next generation of the same class"),
    Taken("a40", L40S, ALLREDUCE, NCCL),
    Taken("h100-80g-pcie", H100, KERNELS, LOWER_LIMIT),
    Taken("h100-80g-pcie", L40S, ALLREDUCE, TWICE, dict.fromkeys(BANDWIDTHS, 2.0)),
    Taken("h20", H100, H20_KERNELS, "the same architecture with fewer cores"),
    Taken("h20", H100, ALLREDUCE, "the same NVLink 4"),
    Taken(
        "mi300x",
        H100,
        KERNELS,
        "no table at hand; attention at half the share",
        {"attention_efficiency": 0.5},
    ),
    Taken("rtx-4090", L40S, (*FP8, *EXPERTS), SAME_CLASS),
    Taken(
        "rtx-4090",
        L40S,
        ALLREDUCE,
        "half the bandwidth and twice the latency: without peer-to-peer access messages cross host memory",
        dict.fromkeys(BANDWIDTHS, 0.5) | dict.fromkeys(LATENCIES, 2.0),
    ),
    Taken("rtx-pro-6000", L40S, (*FP8, *EXPERTS), SAME_CLASS),
    Taken("rtx-pro-6000", L40S, ALLREDUCE, TWICE, dict.fromkeys(BANDWIDTHS, 2.0)),
)
"""What is taken over before engines are fitted."""

WEIGHT_ONLY = tuple(
    Taken(name, A100, ("values.weight_only_efficiency",), "matters only where the format has no hardware")
    for name in BOARDS
    if name != A100
)
ENGINE_SHARES = ("engines.vllm-0.6.gemm_share", "engines.vllm-0.6.attention_share")
SHARES = (
    *WEIGHT_ONLY,
    Taken("a100-40g-sxm", A100, ENGINE_SHARES, "the same die"),
    Taken("h100-80g-pcie", H100, ("engines.vllm-0.6.memory_share", "engines.vllm-0.12.*"), LOWER_LIMIT),
    Taken("h200-sxm", H100, ("engines.vllm-0.12.*",), "the same die and board limit"),
    *(Taken(f"a100-{size}-pcie", A100, ("engines.vllm-0.6.*",), LOWER_LIMIT) for size in ("40g", "80g")),
)
"""What is taken over after engines are fitted."""

FLOP_FACTOR = 1.9
"""Energy of an operation over what drawing the board limit at the achieved rate would give: 1.6 to 2 in the fits of
A100, H100 and B200, which long prefill therefore holds at the limit (assumed for other boards)."""

HBM_SHARE, GDDR_SHARE = 0.8, 0.65
"""Share of the power above idle that reading at full bandwidth draws: about what the fits of the HBM boards give, and
less for GDDR boards (assumed)."""

GDDR = ("a40", L40S, "rtx-4090", "rtx-pro-6000")


def taken(gpu: str, stage: tuple[Taken, ...], what: str) -> Recipe:
    """Return the recipe of all that a GPU takes from its relatives in one stage."""
    mine = [it for it in stage if it.gpu == gpu]

    def run(data: Path, shelf: Shelf) -> Found:
        entries: dict[Path_, Entry] = {}
        for it in mine:
            for path in _paths(shelf, it):
                factor = it.factors.get(path[-1], 1.0)
                entry = copied(shelf, it.relative, path, f"As {it.relative}, {it.why}")
                entries[path] = entry if factor == 1.0 else scaled(entry, factor)
        return Found({gpu: entries})

    patterns = tuple(dict.fromkeys(pattern for it in mine for pattern in it.values))
    return Recipe(f"{what} of {gpu} as of its relatives", {gpu: patterns}, (), run)


def _paths(shelf: Shelf, it: Taken) -> Iterator[Path_]:
    """Yield the paths that a GPU takes: of number formats and engines those that both have."""
    ours = {path[:2] for path, _ in entries_of(shelf.document(it.gpu)) if path[0] != "values"}
    for path, _ in entries_of(shelf.document(it.relative)):
        if any(fnmatchcase(".".join(path), pattern) for pattern in it.values) and (
            path[0] == "values" or path[:2] in ours
        ):
            yield path


def h100_pcie_shares(data: Path, shelf: Shelf) -> Found:
    """The Cake paper says only H100: its rates as shares of the PCIe board's lower peak."""
    name = "h100-80g-pcie"
    factor = shelf.gpu(H100).peak_flops / shelf.gpu(name).peak_flops
    note = f"The rate fitted for {H100} as a share of this board's lower peak: the Cake paper says only H100"
    paths: list[Path_] = [("engines", "vllm-0.6", share) for share in ("gemm_share", "attention_share")]
    return Found({name: {path: scaled(copied(shelf, H100, path, note), factor) for path in paths}})


def mi300x_allreduce(data: Path, shelf: Shelf) -> Found:
    """Eight GPUs, every two of them joined by a link of their own."""
    link = "Two GPUs share one Infinity Fabric link of 64 GB/s per direction; 70 % of it"
    own = "Every two GPUs have a link of their own, so that more GPUs do not slow a large message"
    staged = "Every message is taken to be staged, and the stage to be part of the latency"
    estimates = {
        "allreduce_latency_s": (10e-6, "No table at hand; twice an NVLink board"),
        "allreduce_hop_s": (0.0, own),
        "allreduce_direct_bandwidth_bytes_per_s": (0.0, staged),
        "allreduce_stage_s": (0.0, staged),
        "allreduce_bandwidth_bytes_per_s": (45e9, link),
        "allreduce_growth": (0.0, own),
    }
    return Found(
        {
            "mi300x": {
                ("values", name): Entry(value, unit_of(name), "estimate", "assumed", note)
                for name, (value, note) in estimates.items()
            }
        }
    )


def estimated_power(gpu: str) -> Recipe:
    """Return the recipe of the power of a board that nobody measured: its limit, at the rates that it achieves."""
    share = GDDR_SHARE if gpu in GDDR else HBM_SHARE

    def run(data: Path, shelf: Shelf) -> Found:
        board = shelf.gpu(gpu)
        rate = board.gemm["bf16"]
        above_idle_w = board.tdp_w - board.idle_w
        reading = board.memory_bandwidth_bytes_per_s * rate.memory_efficiency
        gddr = "; GDDR board, less than the fits of the HBM boards"
        like = gddr if gpu in GDDR else ", about as the fits of such boards"
        return Found(
            {
                gpu: {
                    ("values", "joules_per_flop"): Entry(
                        FLOP_FACTOR * above_idle_w / (rate.efficiency * rate.peak_flops),
                        "J",
                        "estimate",
                        "assumed",
                        f"{FLOP_FACTOR} x (TDP - idle) / (efficiency x peak), about as the fits of A100, H100 and B200",
                    ),
                    ("values", "joules_per_byte"): Entry(
                        share * above_idle_w / reading,
                        "J",
                        "estimate",
                        "assumed",
                        f"Assumed that reading large weights draws {100 * share:.0f} % of TDP - idle above idle{like}",
                    ),
                }
            }
        )

    return Recipe(f"power of {gpu} by its limit", {gpu: POWER}, (), run)


_TAKEN_POWER = [it.gpu for it in TAKEN if it.values == POWER]
_ESTIMATED = [name for name in BOARDS if name not in (*POWER_TABLES, *_TAKEN_POWER)]

RECIPES = (
    *(taken(gpu, TAKEN, "kernels") for gpu in dict.fromkeys(it.gpu for it in TAKEN)),
    Recipe("all-reduce of mi300x by its links", {"mi300x": ALLREDUCE}, (), mi300x_allreduce),
    *map(estimated_power, _ESTIMATED),
)
"""To run after the GPUs that have tables."""

SHARE_RECIPES = (
    *(taken(gpu, SHARES, "shares") for gpu in dict.fromkeys(it.gpu for it in SHARES)),
    Recipe("engine shares of h100-80g-pcie", {"h100-80g-pcie": ENGINE_SHARES}, (), h100_pcie_shares),
)
"""To run after the engines."""
