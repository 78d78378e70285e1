"""Imports point one way, and what decides or renders knows no SDK. Read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

LAYERS = (
    ("main", "daybook.__main__", "daybook.cli", "daybook.http"),
    ("daybook.app", "daybook.ledger_app"),
    (
        *("daybook.audit", "daybook.export", "daybook.profiles", "daybook.wallets"),
        *("daybook.notifications", "daybook.ops", "daybook.local", "daybook.page"),
    ),
    ("daybook.destinations", "daybook.cloud", "daybook.mongo"),
    (
        *("daybook.settings", "daybook.chart_of_accounts", "daybook.shutdown", "daybook.log"),
        *("daybook.errors", "daybook.write_errors", "daybook.display"),
    ),
)
"""From above to below; `daybook` itself, which holds the version, is open to all."""

UPWARDS = {("daybook.settings.settings", "daybook.cloud.secrets")}
"""A value may name a secret, which is fetched while the settings are read."""

SDKS = {
    *("pymongo", "gridfs", "google", "googleapiclient", "boto3", "botocore"),
    *("google_auth_httplib2", "httplib2", "requests", "urllib3", "flask", "functions_framework"),
    *("apprise", "prometheus_client"),
}
PURE = (
    *("daybook.export.rendering.render", "daybook.export.model.lifecycle"),
    *("daybook.export.model.seal", "daybook.export.model.notice"),
)
EXPORT = (
    "daybook.export.operations",
    "daybook.export",
    *("daybook.export.queue", "daybook.export.upload"),
    "daybook.export.slot",
    "daybook.export.batch",
    "daybook.export.rendering",
    "daybook.export.model",
)
"""Inside `export`, from above to below; `daybook.export` are the run and its steps."""
BSON_VALUES = {
    "daybook.export.model.fields",
    "daybook.export.model.part",
    "daybook.export.rendering.cells.text",
}
"""What renders may know BSON's value types here, and nowhere else."""


def modules() -> dict[str, Path]:
    found = {"main": ROOT / "main.py"}
    for path in SRC.rglob("*.py"):
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


@cache
def imports() -> dict[str, list[str]]:
    """Every module that each of ours names in an import."""
    return {name: sorted(set(imported(path))) for name, path in MODULES.items()}


@cache
def ours() -> dict[str, list[str]]:
    """Those of them that are ours."""
    return {
        name: [other for other in others if other in MODULES and other != "daybook"]
        for name, others in imports().items()
    }


def group_of(module: str) -> str:
    for group in (group for layer in LAYERS for group in layer):
        if module == group or module.startswith(f"{group}."):
            return group
    pytest.fail(f"{module} has no layer: add its package to LAYERS and to docs/architecture.md")


def layer_of(module: str) -> int:
    group = group_of(module)
    return next(number for number, layer in enumerate(LAYERS) if group in layer)


def cycle(graph: Mapping[str, list[str]]) -> list[str]:
    """The names of a cycle, or nothing."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in graph[name]:
            found = visit(other, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    return next((found for name in graph if (found := visit(name, []))), [])


def needed_by(module: str) -> set[str]:
    """The module and all of ours that importing it brings along."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += ours()[name]
    return found


def packages(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imports()[module]}


def test_imports_point_down() -> None:
    upwards = {
        (name, other)
        for name in MODULES
        if name != "daybook"
        for other in ours()[name]
        if layer_of(other) < layer_of(name)
    }
    assert upwards == UPWARDS


def test_no_modules_need_each_other() -> None:
    assert cycle(ours()) == []


def export_package(module: str) -> str:
    return max((name for name in EXPORT if f"{module}.".startswith(f"{name}.")), key=len)


def test_the_packages_of_the_export_point_down() -> None:
    inside = [name for name in MODULES if f"{name}.".startswith("daybook.export.")]
    assert {export_package(name) for name in inside} == set(EXPORT)
    upwards = {
        (name, other)
        for name in inside
        for other in ours()[name]
        if other in inside
        and EXPORT.index(export_package(other)) < EXPORT.index(export_package(name))
    }
    assert upwards == set()


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer[0])
def test_no_packages_of_one_layer_need_each_other(layer: tuple[str, ...]) -> None:
    graph: dict[str, list[str]] = {group: [] for group in layer}
    for name in MODULES:
        if name != "daybook" and group_of(name) in graph:
            others = {group_of(other) for other in ours()[name]} - {group_of(name)}
            graph[group_of(name)] += others & set(layer)
    assert cycle(graph) == []


def test_what_is_here_finds_a_cycle() -> None:
    assert cycle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]


@pytest.mark.parametrize("module", PURE)
def test_what_decides_or_renders_knows_no_sdk(module: str) -> None:
    assert "bson" not in packages(module)
    found = {name: packages(name) & (SDKS | {"bson"}) for name in needed_by(module)}
    assert {name for name, used in found.items() if used - {"bson"}} == set()
    assert {name for name, used in found.items() if used} <= BSON_VALUES


def test_every_layer_exists() -> None:
    assert {group for layer in LAYERS for group in layer} - set(MODULES) == set()


def test_transactions_take_place_in_one_module_only() -> None:
    """It survives connections that the driver never uses a session on."""
    begin = {"with_transaction", "start_transaction"}
    found = {
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in begin
    }
    assert found == {"daybook.mongo.sessions"}


def test_no_two_test_files_share_a_name() -> None:
    # pytest imports them by name alone: the second one would not be collected.
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) > 100
    assert sorted(names) == sorted(set(names))
