"""The engine's inner modules, compiled: the same source, translated to C by mypyc, two to three times as fast.

Nothing needs it: without a compiler everything runs as it stands here, with the same results to the last bit. ``hetsim
compile`` puts the compiled modules beside their sources, where Python prefers them, and a note of what they were made
from; where sources have changed since, `simulator.core` refuses to be imported, so that they never differ unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from devices.errors import Fault, InputError, SimulatorError

MODULES: Final = (
    "simulator.core.channel",
    "simulator.core.records",
    "simulator.core.transfer",
    "simulator.core.work_queue",
    "simulator.serving.account",
    "simulator.serving.admission",
    "simulator.serving.answer",
    "simulator.serving.autoscaler",
    "simulator.serving.batch",
    "simulator.serving.decodes",
    "simulator.serving.feed",
    "simulator.serving.gpu_share",
    "simulator.serving.forecast",
    "simulator.serving.handover",
    "simulator.serving.kernels",
    "simulator.serving.kv_cache",
    "simulator.serving.kv_manager",
    "simulator.serving.kv_tiers",
    "simulator.serving.loader",
    "simulator.serving.pipeline_cost",
    "simulator.serving.pointers",
    "simulator.serving.prefill",
    "simulator.serving.prefix_ids",
    "simulator.serving.replica",
    "simulator.serving.replica_pool",
    "simulator.serving.rescue",
    "simulator.serving.run",
    "simulator.serving.run_loop",
    "simulator.serving.scheduler",
    "simulator.serving.sequence",
    "simulator.serving.service",
    "simulator.serving.speculative_cost",
    "simulator.serving.speculative_decodes",
    "simulator.serving.step_cost",
    "simulator.serving.step_energy",
    "simulator.serving.storage",
    "simulator.serving.uptime",
    "simulator.serving.work",
    "simulator.streaming.group.chunks",
    "simulator.streaming.group.downlink",
    "simulator.streaming.group.energy",
    "simulator.streaming.group.flow",
    "simulator.streaming.group.gpu_watch",
    "simulator.streaming.group.phone_state",
    "simulator.streaming.group.pipeline",
    "simulator.streaming.group.presence",
    "simulator.streaming.group.relay",
    "simulator.streaming.group.session",
    "simulator.streaming.group.thermal",
    "simulator.streaming.group.ticks",
    "simulator.streaming.group.viewer",
    "simulator.streaming.group.wlan",
)
"""What is compiled: where simulations spend their time."""

PACKAGES: Final = (
    "devices",
    "simulator/core",
    "simulator/policies",
    "simulator/scenario",
    "simulator/serving",
    "simulator/streaming",
    "simulator/workloads",
)
"""What their types come from; what is outside of these has any type for the compiler."""

ROOT: Final = Path(__file__).parents[1]
"""Folder that holds the packages."""

NOTE: Final = Path("simulator", "compiled.json")
"""Below the root: SHA-256 of every source that went into the compiled modules; constants of others are copied in."""

_GROUP: Final = "hetsim"
_LIBRARY: Final = f"{_GROUP}__mypyc"  # what mypyc calls the code that all modules share
_BUILD: Final = """\
import sys
from mypyc.build import mypycify
from setuptools import setup
options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", "--no-site-packages"]
extensions = mypycify([*options, *sys.argv[1:]], opt_level="2", group_name={group!r})
for extension in extensions:  # a product and a sum stay two roundings, as they are in Python
    extension.extra_compile_args.append("-ffp-contract=off")
sys.argv = ["setup.py", "--quiet", "build_ext", "--inplace"]
setup(name={group!r}, packages=[], ext_modules=extensions)
"""


def compile_engine(root: Path = ROOT) -> None:
    """Compile `MODULES` and put them beside their sources.

    Parameters
    ----------
    root
        Folder that holds the packages.

    Raises
    ------
    InputError
        Where mypyc is not installed or the folder cannot be written to.
    SimulatorError
        Where the build fails, as without a C compiler; what it said is in the message.
    """
    if find_spec("mypyc") is None or find_spec("setuptools") is None:
        raise InputError(Fault("needs mypyc: pip install 'hetsim[compile]'", file="hetsim compile"))
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for package in PACKAGES:
            shutil.copytree(root / package, work / package, ignore=shutil.ignore_patterns("*.so", "*.pyd"))
        shutil.copy2(root / "simulator" / "__init__.py", work / "simulator")
        script = work / "build_engine.py"
        script.write_text(_BUILD.format(group=_GROUP), encoding="utf-8")
        files = [str(_source(module)) for module in MODULES]
        done = subprocess.run(
            [sys.executable, script.name, *files], cwd=work, capture_output=True, text=True, check=False
        )
        built = [path.relative_to(work) for path in _binaries(work)]
        if done.returncode or len(built) <= len(MODULES):
            said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            raise SimulatorError(f"the engine could not be compiled:\n{said}")
        try:
            remove(root)
            # the note comes first, so that there is never a compiled module without one
            (root / NOTE).write_text(json.dumps(_digests(root), indent=2) + "\n")
            for path in built:
                shutil.copy2(work / path, root / path)
        except OSError as error:
            raise InputError(Fault(f"cannot be written: {error.strerror}", file=str(root))) from error


def copy_packages(folder: Path) -> Path:
    """Copy hetsim without compiled modules into a folder, from which it can be run, and return that."""
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", NOTE.name)
    for name in ("calibration", "devices", "scenarios", "simulator"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    return folder


def remove(root: Path = ROOT) -> bool:
    """Delete the compiled modules; return whether there were any."""
    found = list(_binaries(root))
    for path in (*reversed(found), root / NOTE):  # as long as there is anything, there is what tells that
        path.unlink(missing_ok=True)
    return bool(found)


def check(root: Path = ROOT) -> None:
    """Refuse compiled modules whose sources are others now.

    Raises
    ------
    SimulatorError
        Which one it is, and what to do.
    """
    note = root / NOTE
    made_from = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    now = _digests(root)
    changed = [name for name in sorted(now.keys() | made_from.keys()) if now.get(name) != made_from.get(name)]
    if changed:
        raise SimulatorError(
            f"{changed[0]} has changed since the engine was compiled: hetsim compile (again), or "
            "hetsim compile --remove"
        )


def is_compiled(root: Path = ROOT) -> bool:
    """Tell whether this Python finds the engine compiled: the library is there, without which no module of it loads."""
    return any((root / f"{_LIBRARY}{ending}").is_file() for ending in EXTENSION_SUFFIXES)


def _source(module: str) -> Path:
    return Path(*module.split(".")).with_suffix(".py")


def _digests(root: Path) -> dict[str, str]:
    files = (file for package in PACKAGES for file in sorted((root / package).rglob("*.py")))
    return {
        file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def _binaries(root: Path) -> Iterator[Path]:
    """Yield the library and the compiled modules, of whichever Python and whatever was compiled then."""
    yield from root.glob(f"{_LIBRARY}*")
    for package in PACKAGES:
        yield from (path for path in (root / package).rglob("*") if path.suffix in (".so", ".pyd"))
