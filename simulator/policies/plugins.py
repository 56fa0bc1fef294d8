"""Code of one's own beside the installed plug-ins: files and modules that ``--plugin`` names, and nothing else.

A scenario file runs no code. What it may name is what hetsim has, what installed packages offer by entry points, and
what the user has asked for by ``--plugin``, whose ``@register`` makes it known. Worker processes are told the same
plug-ins before they get any work.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from devices.errors import Fault, InputError

_PREFIX = "hetsim_plugin_"
_loaded: dict[str, ModuleType] = {}


def load_plugins(plugins: Sequence[str]) -> None:
    """Import plug-ins, each once per process.

    Parameters
    ----------
    plugins
        Each a Python file (its name ends in ``.py``) or the name of a module that can be imported.

    Raises
    ------
    InputError
        Where one cannot be imported: it is named, with what was raised and the line that raised it.
    """
    for plugin in plugins:
        found = str(Path(plugin).absolute()) if plugin.endswith(".py") else plugin
        if found not in _loaded:
            _loaded[found] = _import(plugin)


def loaded_plugins() -> tuple[str, ...]:
    """Return the plug-ins that `load_plugins` has imported, in order, as any working directory finds them."""
    return tuple(_loaded)


def _import(plugin: str) -> ModuleType:
    try:
        return (
            _of_file(Path(plugin).absolute()) if plugin.endswith(".py") else importlib.import_module(plugin)
        )
    except (Exception, SystemExit) as error:
        raise InputError(import_fault(plugin, error)) from error


def import_fault(plugin: str, error: BaseException) -> Fault:
    """Return what to say of a plug-in whose import has raised `error`: the innermost line of its own that did."""
    frames = [it for it in traceback.extract_tb(error.__traceback__) if not _is_machinery(it.filename)]
    file, line, column = "", 0, 0
    if isinstance(error, SyntaxError) and error.filename:
        file, line, column = error.filename, error.lineno or 0, error.offset or 1
    elif frames:
        file, line, column = frames[-1].filename, frames[-1].lineno or 0, 1
    what = f"plug-in {plugin!r} cannot be imported: {type(error).__name__}: {error}"
    return Fault(what, file=file or plugin, line=line, column=column)


def _is_machinery(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<frozen") or "importlib" in Path(filename).parts


def _of_file(path: Path) -> ModuleType:
    """Import a file as a module of its own, which later imports by its name find: objects of it can be unpickled."""
    name = _PREFIX + path.stem
    other = sys.modules.get(name)
    if other is not None:
        if other.__file__ == str(path):
            return other
        raise ImportError(f"{other.__file__} has the same name")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
