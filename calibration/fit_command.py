"""``hetsim calibrate fit``: rebuild shipped files from measurements, or make a device file of a machine's own."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration.device_file import format_device_file
from calibration.fits.tables import describe
from calibration.measured_device import measured_device
from calibration.recipes.recipe import (
    Fit,
    Recipe,
    Shelf,
    check_inputs,
    entries_of,
    profile_of,
    rebuild,
    shipped_document,
    shipped_names,
    shipped_path,
)
from calibration.recipes.shipped import RECIPES, gaps, recipe_files, recipes_of
from calibration.table import Table, read_measurements
from devices.catalogue import forget_profiles
from devices.errors import Fault, InputError
from devices.quantity import parse_quantity
from simulator.serving.engines import forget_engines

ALL = "all"
"""Stands for every file that has a recipe."""

ENGINES_FOLDER = "engines"
"""Folder beside a device file for the file of the engine that was measured on it."""

VALUE_ROUNDING, SPREAD_ROUNDING = 2e-3, 2e-2
"""Relative difference that another machine's arithmetic may make: of a value, and of its interval and error."""

INTERVAL_SHARE = 0.1
"""Or a difference of this share of the value's own interval, which says how well the value is known."""

_NUMBERS = re.compile(r"\d[\d.,]*")


def fit(arguments: Namespace) -> int:
    """Rebuild files, or fit the user's own tables; status 1 where ``--check`` finds a difference."""
    if arguments.tables:
        return _fit_tables(arguments)
    if arguments.gaps:
        found = gaps(shipped_names())
        print("\n".join(found) if found else "every fitted or measured value has a recipe or is cited")
        return 1 if found else 0
    names = _names(arguments.names)
    recipes = [recipe for recipe in RECIPES if any(name in recipe.computes for name in names)]
    _check_all_inputs(recipes, arguments.data)
    _check_folder(arguments.output)
    before = {name: shipped_document(name) for name in names}
    shelf = Shelf()
    for number, recipe in enumerate(recipes, start=1):
        if not arguments.quiet:
            print(f"{number}/{len(recipes)} {recipe.name}", file=sys.stderr)
        found_now = rebuild(recipe, arguments.data, shelf)
        for title, it in found_now.fits.items():
            print(describe(title, it.regression))
        if arguments.plots:
            plot(found_now.fits, arguments.plots)
        if arguments.in_place:
            _put_in_place([name for name in recipe.computes if name in names], shelf)
    texts = {name: format_device_file(shelf.document(name)) for name in names}
    if arguments.output:
        write_new({arguments.output / f"{name}.yaml": text for name, text in texts.items()})
    status = 0
    for name in texts:
        differences = list(compare(before[name], shelf.document(name)))
        if arguments.check and shipped_path(name).read_text(encoding="utf-8") != format_device_file(
            before[name]
        ):
            differences.append("the text is not the canonical one")
        print(f"{name}: {'as shipped' if not differences else f'{len(differences)} differences'}")
        for difference in differences:
            print(f"  {difference}")
        if differences and arguments.check:
            status = 1
    return status


def compare(shipped: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences of two documents beyond rounding, in words; numbers inside texts are left aside."""
    old, new = dict(entries_of(shipped)), dict(entries_of(rebuilt))
    for path in dict.fromkeys((*old, *new)):
        where = ".".join(path)
        if path not in old or path not in new:
            yield f"{where}: only in the {'shipped' if path in old else 'rebuilt'} file"
            continue
        for key in dict.fromkeys((*old[path], *new[path])):
            ours, theirs = old[path].get(key), new[path].get(key)
            if key == "value" and _within_interval(old[path], new[path]):
                continue
            if not _alike(key, ours, theirs):
                yield f"{where}: {key}: shipped {_shown(ours)}, rebuilt {_shown(theirs)}"


def _within_interval(shipped: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> bool:
    """Whether a rebuilt value differs from the shipped one by less than a tenth of its interval's width."""
    if not all("low" in entry and "high" in entry for entry in (shipped, rebuilt)):
        return False
    width = _number(shipped["high"]) - _number(shipped["low"])
    return abs(_number(shipped["value"]) - _number(rebuilt["value"])) <= INTERVAL_SHARE * width


def _alike(key: str, shipped: Any, rebuilt: Any) -> bool:
    if key in ("value", "low", "high", "error"):
        if shipped is None or rebuilt is None:
            return shipped is rebuilt
        rounding = VALUE_ROUNDING if key == "value" else SPREAD_ROUNDING
        ours, theirs = _number(shipped), _number(rebuilt)
        if key == "error":  # two digits
            rounding = max(rounding, 0.06)
        return abs(ours - theirs) <= rounding * max(abs(ours), abs(theirs))
    if key in ("note", "valid"):
        return _NUMBERS.sub("#", shipped or "") == _NUMBERS.sub("#", rebuilt or "")
    return bool(shipped == rebuilt)


def _number(quantity: float | str) -> float:
    """Return a number, or a text of a quantity in its SI unit."""
    if not isinstance(quantity, str):
        return float(quantity)
    for unit in ("B/s", "B", "s", "FLOP/s", "W", "J", "1/s", ""):
        try:
            return parse_quantity(quantity, unit)
        except ValueError:
            continue
    raise InputError(Fault(f"{quantity!r} is not a quantity"))


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _names(given: Sequence[str]) -> list[str]:
    """Return the files that the user names; every fault at once."""
    if not given:
        raise InputError(Fault(f"name devices or engines to rebuild, or {ALL}; or give tables with --from"))
    faults: list[Fault] = []
    names: dict[str, None] = {}
    for name in given:
        if name == ALL:
            names |= dict.fromkeys(recipe_files())
            continue
        try:
            shipped_path(name)
        except InputError as error:
            faults += error.faults
            continue
        if not recipes_of(name):
            faults.append(Fault(f"{name}: nothing to fit, all of its values are cited"))
        names[name] = None
    if faults:
        raise InputError(faults)
    return list(names)


def _check_all_inputs(recipes: Sequence[Recipe], data: Path | None) -> None:
    faults: dict[Fault, None] = {}
    for recipe in recipes:
        try:
            check_inputs(recipe, data)
        except InputError as error:
            faults |= dict.fromkeys(error.faults)
    if faults:
        raise InputError(list(faults))


def _check_folder(folder: Path | None) -> None:
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(Fault("is no folder", file=str(folder)))


def _put_in_place(names: Sequence[str], shelf: Shelf) -> None:
    """Write shipped files anew, so that what is fitted later builds on them."""
    for name in names:
        path = shipped_path(name)
        try:
            path.write_text(format_device_file(shelf.document(name)), encoding="utf-8")
        except OSError as error:
            raise InputError(Fault(f"cannot write: {error.strerror}", file=str(path))) from error
    # What has been read is kept for ever, as files do not change while anything else runs.
    forget_profiles()
    forget_engines()


def write_new(texts: Mapping[Path, str]) -> None:
    """Write files, or none of them: one that is there already must hold the same text.

    Raises
    ------
    InputError
        With every file that holds something else, or that cannot be written.
    """
    faults = [
        Fault("exists already and differs; it is not overwritten", file=str(path))
        for path, text in texts.items()
        if path.exists() and (not path.is_file() or path.read_text(encoding="utf-8") != text)
    ]
    if faults:
        raise InputError(faults)
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(Fault(f"cannot write: {error.strerror}", file=str(path))) from error


def plot(fits: Mapping[str, Fit], folder: Path) -> None:
    """Draw the residuals of each fit into a png of its title's name."""
    from calibration.fits.residual_plots import residual_plot  # noqa: PLC0415 - imports matplotlib
    from simulator.viz.style import save  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    for title, it in fits.items():
        heading = title[0].upper() + title[1:]
        figure = residual_plot(it.regression, it.over, it.over_label, it.size, it.size_label, heading)
        save(figure, folder / f"{re.sub(r'[^a-z0-9.]+', '-', title.lower())}.png")


def _fit_tables(arguments: Namespace) -> int:
    """Fit the tables of ``--from`` into a device file."""
    if arguments.names or arguments.check or arguments.in_place or arguments.gaps:
        raise InputError(
            Fault("--from makes a file of its own: no NAME, --check, --in-place or --gaps", file="--from")
        )
    if arguments.output is None:
        raise InputError(Fault("--from needs -o FILE.yaml", file="-o"))
    tables = [read_measurements(path) for path in arguments.tables]
    return write_device(tables, arguments.output, arguments.name, arguments.model)


def device_name(output: Path, name: str) -> str:
    """Return the name of a device whose file shall be `output`; the catalogue wants them alike."""
    if output.suffix != ".yaml" or (name and output.stem != name):
        raise InputError(Fault(f"a device file is called {name or 'NAME'}.yaml", file=str(output)))
    return output.stem


def write_device(tables: Sequence[Table], output: Path, name: str = "", model: str = "") -> int:
    """Fit tables of one machine, print the fits, and write the device file and, in a folder beside it, its engine's.

    Where the fits describe no processor, the reasons go to stderr, nothing is written, and the status is 1.
    """
    name = device_name(output, name)
    found = measured_device(tables, name, model)
    for title, regression in found.fits.items():
        print(describe(title, regression))
    if found.faults:
        for fault in found.faults:
            print(f"hetsim: {fault}", file=sys.stderr)
        print(f"hetsim: {output} is not written: measure more points, on a quiet machine", file=sys.stderr)
        return 1
    engine_path = output.parent / ENGINES_FOLDER / f"{found.engine['name']}.yaml"
    texts = {}
    for path, document in ((output, found.device), (engine_path, found.engine)):
        profile_of(document, str(path))
        texts[path] = format_device_file(document)
    write_new(texts)
    for path in texts:
        print(path)
    return 0
