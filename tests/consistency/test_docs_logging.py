"""docs/logging.md explains every event that the source logs, and no other.

Alerts are logged by one generic call, `Messages.alert`. Which there are, and how severe,
is read where they are raised: in calls that name both an `AlertEvent` and a level.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from daybook.export.model.notice import AlertEvent
from tests import pages

GENERIC = ("alert.severity", "alert.event.value")
"""What the one call is given that logs every alert."""


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
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "AlertEvent":
        return AlertEvent[node.attr].value
    raise AssertionError(f"line {node.lineno}: {ast.unparse(node)} is no constant")


def conditions(node: ast.expr, names: Mapping[str, ast.expr]) -> set[str]:
    if isinstance(node, ast.IfExp):
        inner = conditions(node.body, names) | conditions(node.orelse, names)
        return {ast.unparse(node.test)} | inner
    if isinstance(node, ast.Name) and node.id in names:
        return conditions(names[node.id], names)
    return set()


def is_of(kind: str, node: ast.expr, names: Mapping[str, ast.expr]) -> bool:
    """Whether an argument is a member of `kind`, whichever way its conditions come out."""
    if isinstance(node, ast.IfExp):
        return is_of(kind, node.body, names) or is_of(kind, node.orelse, names)
    if isinstance(node, ast.Name) and node.id in names:
        return is_of(kind, names[node.id], names)
    return isinstance(node, ast.Attribute) and ast.unparse(node.value) == kind


def is_generic(call: ast.Call) -> bool:
    arguments = tuple(ast.unparse(argument) for argument in call.args[:2])
    return ast.unparse(call.func) == "log.event" and arguments == GENERIC


def told(call: ast.Call, names: Mapping[str, ast.expr]) -> tuple[ast.expr, ast.expr] | None:
    """Severity and name of the event that a call logs, or of the alert that it raises."""
    if ast.unparse(call.func) == "log.event":
        return None if is_generic(call) else (call.args[0], call.args[1])
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    events = [argument for argument in arguments if is_of("AlertEvent", argument, names)]
    if not events:
        return None
    severities = [argument for argument in arguments if is_of("logging", argument, names)]
    assert (len(events), len(severities)) == (1, 1), f"line {call.lineno}: an alert without level"
    return severities[0], events[0]


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
            found = told(call, names) if isinstance(call, ast.Call) else None
            if found is None:
                continue
            severity, name = found
            tests = sorted(conditions(severity, names) | conditions(name, names))
            for values in product((True, False), repeat=len(tests)):
                cases = dict(zip(tests, values, strict=True))
                yield levels(name, cases, names), levels(severity, cases, names)


@cache
def events_in_source() -> dict[str, set[str]]:
    """Event → the severities with which the source logs it."""
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


def test_every_alert_is_raised_somewhere() -> None:
    assert {event.value for event in AlertEvent} - set(events_in_source()) == set()


def test_only_one_call_logs_what_it_is_given() -> None:
    generic = [
        path.name
        for path in pages.SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and is_generic(node)
    ]
    assert generic == ["alerts.py"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("log.event(logging.INFO, 'done', 'x')", {("done", "INFO")}),
        (
            "Alert(event=AlertEvent.DAY_LATE, severity=logging.WARNING, profile=p)",
            {("day_late", "WARNING")},
        ),
        ("ctx.alert(AlertEvent.DAY_LATE, logging.WARNING, b)", {("day_late", "WARNING")}),
        (
            "e = AlertEvent.DAY_LATE if a else AlertEvent.DAY_MISSING\n"
            " Alert(event=e, severity=logging.WARNING if a else logging.CRITICAL)",
            {("day_late", "WARNING"), ("day_missing", "CRITICAL")},
        ),
        ("log.event(alert.severity, alert.event.value, 'x')", set()),
        ("Alert(event=event, severity=severity)", set()),
    ],
)
def test_what_is_here_finds_events_and_alerts(
    tmp_path: Path, source: str, found: set[tuple[str, str]]
) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"def f():\n {source}\n", encoding="utf-8")
    assert set(emitted(path)) == found


@pytest.mark.parametrize(
    "source",
    ["ctx.alert(AlertEvent.DAY_LATE, severity)", "log.event(severity, name, 'x')"],
)
def test_what_cannot_be_read_is_not_passed_over(tmp_path: Path, source: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"def f():\n {source}\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="line 2"):
        list(emitted(path))
