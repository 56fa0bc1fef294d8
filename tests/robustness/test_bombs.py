"""Small files that stand for much: refused within 1 GiB of memory, and soon."""

import pytest


def flat(count):
    return "[" + "[]," * count + "]"


BOMBS = {
    "laughs": "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{chr(98 + it)}: &{chr(98 + it)} [{','.join([f'*{chr(97 + it)}'] * 10)}]\n" for it in range(12)
    ),
    "anchor of itself": "a: &a [*a, *a]\n",
    "merge": "a: &a {b: 1}\n" + "c: {<<: *a}\n" * 1000,
    "brackets": "[" * 100_000,
    "braces": "{" * 100_000,
    "braces with keys": "{a: " * 100_000,
    "closed brackets": "[" * 50_000 + "]" * 50_000,
    "dashes": "- " * 100_000,
    "question marks": "? " * 100_000,
    "questions in braces": "{? " * 50_000,
    "indents": "".join(" " * it + f"a{it}:\n" for it in range(3000)),
    "many values": flat(3_000_000),
    "many keys": "".join(f"k{it}: 1\n" for it in range(500_000)),
    "many unknown keys": "version: 1\n" + "".join(f"k{it}: 1\n" for it in range(20_000)),
    "many double keys": "a: 1\n" * 300_000,
    "a long key": "k" * 10_000_000 + ": 1\n",
    "a long text": "name: " + "n" * 15_000_000 + "\n",
    "too large": "#" * (17 * 2**20),
    "digits": "version: " + "9" * 10_000_000 + "\n",
    "hexadecimal digits": "version: 0x" + "f" * 10_000_000 + "\n",
    "digits of a fraction": "horizon: 0." + "3" * 10_000_000 + " s\n",
    "an exponent": "horizon: 1e" + "9" * 1_000_000 + " s\n",
    "quotes": "name: " + "'" * 1_000_001 + "\n",
    "escapes": 'name: "' + "\\x41" * 2_000_000 + "\n",
    "tags": "!!a " * 100_000,
    "percent signs": "%" * 1_000_000,
    "documents": "---\n" * 1_000_000,
    "comments": "#\n" * 5_000_000,
}

SWEEPS = {
    "replications": "replications: 1000000000000000000\naxes: {seed: [1]}\n",
    "samples": "design: sobol\nsamples: 1e18\naxes: {seed: {low: 1, high: 1e18, whole: true}}\n",
    "many axes": "axes: {" + ", ".join(f"a{it}: [1, 2]" for it in range(50_000)) + "}\n",
    "many equal values": "axes: {seed: [" + "1, " * 40_000 + "1]}\n",
    "a product": "axes: {" + ", ".join(f"a{it}: [1, 2, 3, 4, 5, 6, 7, 8, 9]" for it in range(30)) + "}\n",
}


@pytest.mark.parametrize("names", [list(BOMBS)[it::3] for it in range(3)], ids=["a", "b", "c"])
def test_scenarios(desk, within_memory, record_property, names):
    paths = [str(desk.write(f"{name.replace(' ', '_')}.yaml", BOMBS[name])) for name in names]
    status, said = within_memory("validate", *paths)
    assert status == 2, said[-2000:]
    assert "Traceback" not in said, said[-2000:]
    for path in paths:
        assert f"{path}" in said, path
        record_property("malformed", "position" if f"{path}:" in said.replace(f"{path}: ", "") else "file")


def test_sweeps(desk, valid, within_memory, record_property):
    desk.write("scenario.yaml", valid["scenario"])
    paths = [
        str(desk.write(f"{name.replace(' ', '_')}.yaml", f"version: 1\nname: s\nbase: scenario.yaml\n{text}"))
        for name, text in SWEEPS.items()
    ]
    status, said = within_memory("validate", *paths)
    assert status == 2, said[-2000:]
    assert "Traceback" not in said, said[-2000:]
    for path in paths:
        assert f"{path}:" in said, path
        record_property("malformed", "position")


def test_a_file_without_end_is_not_read_to_its_end(desk, within_memory, record_property):
    path = desk.folder / "sparse"
    with path.open("wb") as file:
        file.truncate(2**40)
    for argv in (["validate", "sparse"], ["validate", desk.reads_requests("csv", "sparse")]):
        status, said = within_memory(*argv)
        assert (status, "larger than" in said) == (2, True), said[-500:]
        record_property("malformed", "file")


def test_what_is_valid_fits_into_the_memory_given(desk, valid, within_memory):
    desk.write("scenario.yaml", valid["scenario"])
    status, said = within_memory("validate", "scenario.yaml")
    assert (status, said) == (0, "")
