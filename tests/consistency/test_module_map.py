"""tests/README.md names the tests of every module, and they exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.pages import ROOT

SOURCE, TESTS = ROOT / "src", ROOT / "tests"
README = TESTS / "README.md"
ROW = re.compile(r"\| `(?P<module>\w[\w/]*\.py)` \| (?P<tests>.+) \|")
MOST = 3
"""Tests that are proposed for a module."""


def modules() -> list[Path]:
    """Those with code; an `__init__` that only has a docstring has nothing to test."""
    found = sorted((SOURCE / "daybook").rglob("*.py"))
    return [path for path in found if len(ast.parse(path.read_text(encoding="utf-8")).body) > 1]


def rows() -> dict[str, list[str]]:
    """Module → tests, both as the page names them."""
    text = README.read_text(encoding="utf-8")
    return {
        row["module"]: re.findall(r"`([^`]+)`", row["tests"])
        for row in map(ROW.fullmatch, text.splitlines())
        if row
    }


def named(path: Path) -> str:
    return path.relative_to(SOURCE / "daybook").as_posix()


@cache
def imports(path: Path) -> frozenset[Path]:
    """The modules of Daybook and of the tests that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(file for name in found for file in _files(name))


def _files(name: str) -> Iterator[Path]:
    base = {"daybook": SOURCE, "tests": ROOT}.get(name.partition(".")[0])
    if base is not None:
        path = base.joinpath(*name.split("."))
        yield from (
            file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()
        )


@cache
def reach(path: Path) -> dict[Path, int]:
    """Every file that importing `path` imports, with the length of the shortest way there."""
    found, edge, steps = {path: 0}, {path}, 0
    while edge:
        steps += 1
        edge = {file for one in edge for file in imports(one)} - found.keys()
        found |= dict.fromkeys(edge, steps)
    return found


def proposed(module: Path) -> list[str]:
    """Tests with the module's name first, which may also use it in another process.

    Then those that import it by the shortest way, of equals those that import the least.
    """
    word = module.stem.removeprefix("http_")
    ways = []
    for test in TESTS.rglob("test_*.py"):
        subject = test.stem.removeprefix("test_")
        unlike = 0 if subject == word else 1 if word in subject.split("_") else 2
        distance = reach(test).get(module)
        if distance is not None or unlike < 2:
            pins = test.parent.name == "consistency"
            name = test.relative_to(TESTS).as_posix()
            ways.append((unlike, pins, distance or 9, len(imports(test)), name))
    return [name for *_, name in sorted(ways)[:MOST]]


def row(module: Path) -> str:
    tests = ", ".join(f"`{test}`" for test in proposed(module))
    return f"| `{named(module)}` | {tests} |"


def test_every_module_is_in_the_map() -> None:
    missing = [row(module) for module in modules() if named(module) not in rows()]
    assert not missing, "tests/README.md lacks these modules; a proposal:\n" + "\n".join(missing)


def test_what_the_map_names_exists() -> None:
    left = set(rows()) - {named(module) for module in modules()}
    assert not left, f"tests/README.md names modules that are gone: {sorted(left)}"
    for module, tests in rows().items():
        assert tests, module
        for test in tests:
            assert (TESTS / test).is_file(), (
                f"tests/README.md: {module} names {test}, which is gone"
            )
