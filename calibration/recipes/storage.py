"""Storage tiers: time per operation and bandwidth from published transfers, and what follows for tiers like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from calibration.device_file import Entry
from calibration.fits.regression import Array, Regression, regress
from calibration.fits.tables import columns, values
from calibration.readers.transfers import read
from calibration.recipes.recipe import Entries, Fit, Found, Path_, Recipe, Shelf, copied, fitted, scaled
from calibration.table import Measurement
from devices.errors import Fault, InputError

TABLE = "storage/transfer_bandwidth_microbench.csv"

READ: Path_ = ("values", "read_bandwidth_bytes_per_s")
WRITE: Path_ = ("values", "write_bandwidth_bytes_per_s")
OPERATION: Path_ = ("values", "per_operation_s")
BANDWIDTHS = ("values.read_bandwidth_bytes_per_s", "values.write_bandwidth_bytes_per_s")

DMA = "cudaMemcpyAsync DMA"
"""Mechanism of the copies that the fit takes: one copy per block, as serving engines do it."""

BLOCKS = "blocks of 4 KiB to 16 MiB"
"""Where that fit holds."""

DRIVES = 4
"""Drives of an array."""


def fit_transfers(rows: Sequence[Measurement], per_operation_s: float | None = None) -> Regression:
    """Fit bandwidths by block size to one transfer after another: t = per operation + block / bandwidth.

    Parameters
    ----------
    rows
        Measured bandwidths; rows of one block size are held out together.
    per_operation_s
        Time per operation where it is known; None: fitted too.

    Returns
    -------
    Regression
        ``bandwidth`` in B/s and, where it was not given, ``per_operation_s``.
    """

    def form(constants: Mapping[str, float], table: Mapping[str, Array]) -> Array:
        operation_s = constants["per_operation_s"] if per_operation_s is None else per_operation_s
        rate: Array = table["block_bytes"] / (operation_s + table["block_bytes"] / constants["bandwidth"])
        return rate

    table = columns(rows, "block_bytes")
    sizes = table["block_bytes"].tolist()
    start = {"bandwidth": float(values(rows).max())}
    if per_operation_s is None:
        start["per_operation_s"] = 1e-6
    return regress(form, table, values(rows), start, groups=sizes, folds=len(set(sizes)))


def dram_pcie5(data: Path, shelf: Shelf) -> Found:
    """Copies between pinned memory and an H100, by block size; reading decides the time of an operation."""
    copies = {
        direction: [
            row
            for row in read(data / TABLE)
            if row.device == "h100"
            and row.parameters["direction"] == direction
            and DMA in str(row.parameters["mechanism"])
        ]
        for direction in ("h2d", "d2h")
    }
    reads = fit_transfers(copies["h2d"])
    writes = fit_transfers(copies["d2h"], reads.constants["per_operation_s"])
    both = _rate(data, "H100 bidirectional", "DMA 2MB blocks")
    single = float(np.median([row.value for row in read(data / TABLE) if row.device == "h20"]))
    share = both / (reads.constants["bandwidth"] + writes.constants["bandwidth"])
    reading = _transfers_note(reads, "CPU to GPU")
    entries: dict[Path_, Entry] = {
        READ: fitted(
            reads,
            "bandwidth",
            "B/s",
            "vllm_offload",
            f"{reading}; single large copies to an H20 ran at {single / 1e9:.1f} GB/s",
            BLOCKS,
        ),
        WRITE: fitted(
            writes,
            "bandwidth",
            "B/s",
            "vllm_offload",
            f"{_transfers_note(writes, 'GPU to CPU')}, the time per operation being that of reading; both directions "
            f"at once gave {both / 1e9:.1f} GB/s, {100 * share:.0f} % of the sum",
            BLOCKS,
        ),
        OPERATION: fitted(reads, "per_operation_s", "s", "vllm_offload", reading, BLOCKS),
    }
    return Found(
        {"dram-pcie5": entries},
        {
            f"copies over PCIe 5, {direction}": Fit(
                fit,
                columns(copies[direction], "block_bytes")["block_bytes"],
                "Block (bytes)",
                values(copies[direction]) / 1e9,
                "GB/s",
            )
            for direction, fit in (("h2d", reads), ("d2h", writes))
        },
    )


def _transfers_note(fit: Regression, direction: str) -> str:
    return (
        f"t = per operation + block / bandwidth, fitted to {len(fit.errors)} DMA bandwidths, {direction}; median error "
        f"{100 * fit.median_error:.0f} %, worst {100 * fit.worst_error:.0f} %"
    )


def dram_pcie4(data: Path, shelf: Shelf) -> Found:
    """The time of an operation is the relative's."""
    note = "As dram-pcie5: the cost of a DMA descriptor, not of the link"
    return Found({"dram-pcie4": {OPERATION: copied(shelf, "dram-pcie5", OPERATION, note)}})


def nvme(data: Path, shelf: Shelf) -> Found:
    """Single drives and arrays of four: figures of one row each, and how far striping scales."""
    peak = _rate(data, "1 local SSD -> DRAM", "io_uring peak / steady 6.5-6.6")
    array_read = _rate(data, "NVMe->4 GPU aggregate read", "gdsio GDS 8MiB")
    array_write = _rate(data, "4 GPU->NVMe aggregate write", "gdsio GDS 8MiB")
    kvbench = _rate(data, "NVMe->VRAM DeepSeek-R1 549KB blocks", "nixl GDS")
    four_read = _rate(data, "NVMe->CPU 4 SSD", "fio libaio")
    one_read = _rate(data, "NVMe->CPU 1 SSD", "fio libaio")
    writes = "fio libaio 1.4/2.7/5.5"  # by number of drives; the row's own value is that of four
    four_write, one_write = _rate(data, "CPU->NVMe write 1/2/4 SSD (fio)", writes), 1.4e9
    aggregate = "gdsio, GPUDirect Storage, 8 MiB blocks, aggregate of four GPUs"

    def striped(path: Path_, four: float, one: float) -> Entry:
        note = (
            "Four times nvme-gen4 at the striping efficiency that fio reached there: "
            f"{four / 1e9:.1f} of {DRIVES} x {one / 1e9:.1f} GB/s"
        )
        return scaled(copied(shelf, "nvme-gen4", path, note, source="deepnvme"), four / one)

    gen4: Entries = {
        READ: Entry(
            peak,
            "B/s",
            "pegaflow",
            "measured",
            "Peak with io_uring; steady 6.5 to 6.6; datasheets of the class say 7.0",
            low=6.5e9,
            high=7.0e9,
        )
    }
    shelf.put("nvme-gen4", gen4)
    quarter = "A quarter of {}"
    gen5_write = Entry(
        array_write / DRIVES,
        "B/s",
        "farmgpu",
        "measured",
        f"A quarter of the {array_write / 1e9:.1f} GB/s that four drives together took",
    )
    return Found(
        {
            "nvme-gen4": gen4,
            "nvme-gen5": {WRITE: gen5_write},
            "nvme-array-4x-gen4": {
                READ: striped(READ, four_read, one_read),
                WRITE: striped(WRITE, four_write, one_write),
                OPERATION: scaled(
                    copied(shelf, "nvme-gen4", OPERATION, quarter.format("nvme-gen4")), 1 / DRIVES
                ),
            },
            "nvme-array-4x-gen5": {
                READ: Entry(
                    array_read,
                    "B/s",
                    "farmgpu",
                    "measured",
                    aggregate,
                    valid="several GPUs together; one GPU on PCIe 4 took 26.1 GB/s",
                ),
                WRITE: Entry(array_write, "B/s", "farmgpu", "measured", aggregate),
                OPERATION: scaled(
                    copied(
                        shelf,
                        "nvme-gen5",
                        OPERATION,
                        f"{quarter.format('nvme-gen5')}; KV blocks of 549 kB still ran at "
                        f"{kvbench / 1e9:.1f} GB/s from one thread (nixl)",
                    ),
                    1 / DRIVES,
                ),
            },
        }
    )


def posix(data: Path, shelf: Shelf) -> Found:
    """Files on four drives read by POSIX calls: the line through two block sizes."""
    small, large = (
        _row(data, path, mechanism)
        for path, mechanism in (
            ("NVMe->VRAM DeepSeek-R1 549KB blocks", "nixl POSIX"),
            ("NVMe->VRAM Llama-70B 2.5MB blocks", "nixl POSIX r=1"),
        )
    )
    sizes = [row.number("block_bytes") for row in (small, large)]
    times_s = [size / row.value for size, row in zip(sizes, (small, large), strict=True)]
    bandwidth = (sizes[1] - sizes[0]) / (times_s[1] - times_s[0])
    note = (
        "t = per operation + block / bandwidth through the two POSIX rows, "
        f"{small.value / 1e9:.2f} GB/s at {sizes[0] / 1024:.0f} KiB and {large.value / 1e9:.2f} GB/s at "
        f"{sizes[1] / 1024:,.0f} KiB"
    )
    exact = "two points give both constants exactly, so that nothing tells how far they are off"
    beyond = (
        f"{note}; {exact}; larger blocks are extrapolated, up to what GPUDirect Storage reached there (26.1 GB/s, the "
        "GPU's PCIe 4 slot)"
    )
    valid = "blocks of 549 KiB to 2.5 MiB"
    reading = Entry(bandwidth, "B/s", "farmgpu", "assumed", beyond, valid=valid)
    array_write = shelf.evidence("nvme-array-4x-gen5", WRITE).value
    return Found(
        {
            "posix-nvme-4x-gen5": {
                READ: reading,
                WRITE: Entry(
                    bandwidth,
                    "B/s",
                    "relative",
                    "assumed",
                    f"As reading; the drives take {array_write / 1e9:.1f} GB/s (nvme-array-4x-gen5)",
                ),
                OPERATION: Entry(
                    times_s[0] - sizes[0] / bandwidth,
                    "s",
                    "farmgpu",
                    "assumed",
                    f"{note}; {exact}",
                    valid=valid,
                ),
            }
        }
    )


def remote(data: Path, shelf: Shelf) -> Found:
    """Stores behind a network: published peaks, and the share of the line rate where there is none."""
    client = _rate(data, "3FS KVCache client (1x400G NIC) peak read", "USRBIO")
    pool = _rate(data, "RDMA 4x200G RoCE / 8x400G RoCE", "Transfer Engine 40GB")
    store = _rate(data, "object storage per 8-GPU node", "8.5-10 GB/s")
    share = pool / 100e9  # of 4 x 200 Gbit/s
    line = 12.5e9  # 100 Gbit/s
    as_reading = "As reading"
    line_share = (
        f"{line / 1e9:g} GB/s at the share of the line rate that 4 x 200 Gbit/s reached ({100 * share:.0f} %)"
    )
    rdma = Entry(share * line, "B/s", "mooncake", "assumed", line_share)
    peak = Entry(client, "B/s", "3fs", "measured", f"Peak; {100 * client / 50e9:.0f} % of the line rate")
    return Found(
        {
            "remote-rdma-100g": {READ: rdma, WRITE: replace(rdma, note=as_reading)},
            "remote-rdma-400g": {READ: peak, WRITE: replace(peak, kind="assumed", note=as_reading)},
            "object-store": {
                READ: Entry(
                    store,
                    "B/s",
                    "lmcache",
                    "assumed",
                    "Middle of the published range",
                    low=8.5e9,
                    high=10e9,
                    valid="a node of eight GPUs",
                )
            },
        }
    )


def _row(data: Path, path: str, mechanism: str) -> Measurement:
    """Return the first row of one path and mechanism."""
    for row in read(data / TABLE):
        if row.parameters["path"] == path and mechanism in str(row.parameters["mechanism"]):
            return row
    raise InputError(Fault(f"no row has the path {path!r} and {mechanism!r}", file=str(data / TABLE)))


def _rate(data: Path, path: str, mechanism: str) -> float:
    """Return the bandwidth of that row in B/s."""
    return _row(data, path, mechanism).value


RECIPES = (
    Recipe(
        "copies over PCIe 5", {"dram-pcie5": (*BANDWIDTHS, "values.per_operation_s")}, (TABLE,), dram_pcie5
    ),
    Recipe("copies over PCIe 4", {"dram-pcie4": ("values.per_operation_s",)}, (), dram_pcie4),
    Recipe(
        "NVMe drives and arrays",
        {
            "nvme-gen4": BANDWIDTHS[:1],
            "nvme-gen5": BANDWIDTHS[1:],
            "nvme-array-4x-gen4": (*BANDWIDTHS, "values.per_operation_s"),
            "nvme-array-4x-gen5": (*BANDWIDTHS, "values.per_operation_s"),
        },
        (TABLE,),
        nvme,
    ),
    Recipe(
        "files on NVMe drives",
        {"posix-nvme-4x-gen5": (*BANDWIDTHS, "values.per_operation_s")},
        (TABLE,),
        posix,
    ),
    Recipe(
        "stores behind a network",
        {"remote-rdma-100g": BANDWIDTHS, "remote-rdma-400g": BANDWIDTHS, "object-store": BANDWIDTHS[:1]},
        (TABLE,),
        remote,
    ),
)
"""All of them, those that others are derived from first."""
