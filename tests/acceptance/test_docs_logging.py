"""docs/logging.md explains every event that the source logs, and no other."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

from tests import pages


def levels(node: ast.expr, cases: Mapping[str, bool], names: Mapping[str, ast.expr]) -> str:
    """What an argument of `log.event` is when its conditions come out as in `cases`."""
    if isinstance(node, ast.IfExp):
        chosen = node.body if cases[ast.unparse(node.test)] else node.orelse
        return levels(chosen, cases, names)
    if isinstance(node, ast.Name) and node.id in names:
        return levels(names[node.id], cases, names)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "logging":
        return node.attr
    raise AssertionError(f"line {node.lineno}: {ast.unparse(node)} is no constant")


def conditions(node: ast.expr, names: Mapping[str, ast.expr]) -> set[str]:
    if isinstance(node, ast.IfExp):
        inner = conditions(node.body, names) | conditions(node.orelse, names)
        return {ast.unparse(node.test)} | inner
    if isinstance(node, ast.Name) and node.id in names:
        return conditions(names[node.id], names)
    return set()


def emitted(path: Path) -> Iterator[tuple[str, str]]:
    """Name and severity of each event that a module may log."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        names = {
            node.targets[0].id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for call in ast.walk(function):
            if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "log.event"):
                continue
            severity, name = call.args[:2]
            tests = sorted(conditions(severity, names) | conditions(name, names))
            for values in product((True, False), repeat=len(tests)):
                cases = dict(zip(tests, values, strict=True))
                yield levels(name, cases, names), levels(severity, cases, names)


def events_in_source() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for path in pages.SOURCES:
        for name, severity in emitted(path):
            found[name].add(severity)
    return dict(found)


def test_every_event_is_explained_with_its_severity_and_nothing_else_is() -> None:
    rows = pages.table("logging.md", "event")
    explained = {pages.words(row[0])[0]: set(row[1].split(", ")) for row in rows}
    assert len(explained) == len(rows)
    assert explained == events_in_source()


def test_every_event_says_what_to_do() -> None:
    for row in pages.table("logging.md", "event"):
        assert len(row) == 4
        assert row[2].endswith("."), row[0]
        assert row[3].endswith("."), row[0]
