"""docs/metrics.md names every metric with type, unit and labels as they are, and no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.database import Database

from daybook.export.model.profile import Profile
from daybook.mongo.client import connect
from daybook.ops.metrics.metrics import Measured, render
from daybook.settings.settings import Settings
from tests import pages

AS_ABOVE = "as above"
SOURCES = {"batches", "queue", "breaker", "orphans", "process"}

Labels = Mapping[str, set[str]]


@pytest.fixture(scope="module")
def page(mongo_uri: str) -> str:
    """Of two profiles and a client with a connection, over a database without anything."""
    settings = Settings.from_env(
        {"DAYBOOK_MONGODB_URI": mongo_uri, "DAYBOOK_DESTINATION": "file:///srv/books"}
    )
    with connect(settings) as client:
        database: Database[dict[str, Any]] = client["metrics_docs"]
        _, body = render(
            database,
            [
                Measured(
                    profile=Profile(name=name), destination="google_drive", breaker="google_drive"
                )
                for name in ("daily", "sales")
            ],
            now=datetime(2026, 1, 18, tzinfo=UTC),
        )
    return body.decode()


def exposed(page: str) -> dict[str, tuple[str, Labels]]:
    """Type and labels, with their values, by the name in the TYPE line."""
    found: dict[str, tuple[str, dict[str, set[str]]]] = {}
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in found
            found[name] = (kind, {})
        elif not line.startswith("#"):
            for label, value in re.findall(r'(\w+)="([^"]*)"', line):
                if label != "le":
                    found[name][1].setdefault(label, set()).add(value)
    return found


def documented() -> dict[str, tuple[str, Labels]]:
    """The same of the page; no values where it lists none."""
    found: dict[str, tuple[str, Labels]] = {}
    listed: dict[str, set[str]] = {}
    for name, kind, _unit, labels, _meaning, _source in pages.table("metrics.md", "metric"):
        of_row: dict[str, set[str]] = {}
        for label, values in re.findall(r"`(\w+)`(?:: ([\w, ]+))?", labels):
            given = {value for value in values.split(", ") if value}
            of_row[label] = listed[label] = listed[label] if values == AS_ABOVE else given
        found[pages.words(name)[0]] = (kind, of_row)
    return found


def test_every_metric_is_documented_and_nothing_else_is(page: str) -> None:
    rows = pages.table("metrics.md", "metric")
    assert len(documented()) == len(rows)
    assert {name: (kind, set(labels)) for name, (kind, labels) in documented().items()} == {
        name: (kind, set(labels)) for name, (kind, labels) in exposed(page).items()
    }


def test_a_label_whose_values_are_listed_has_these_and_no_other(page: str) -> None:
    now = exposed(page)
    listed = [
        (values, now[name][1][label])
        for name, (_, labels) in documented().items()
        for label, values in labels.items()
        if values
    ]
    assert len(listed) == 8
    for values, there in listed:
        assert values == there


def test_units_agree_with_names_and_every_row_says_what_and_from_where() -> None:
    for name, _kind, unit, _labels, meaning, source in pages.table("metrics.md", "metric"):
        assert ("_seconds" in name) == (unit == "seconds"), name
        assert ("_bytes" in name) == (unit == "bytes"), name
        assert unit, name
        assert meaning.endswith("."), name
        assert source in SOURCES, name
        assert f"**{source}**" in pages.text_of("metrics.md")


def test_every_metric_has_a_help_line(page: str) -> None:
    helped = dict(re.findall(r"# HELP (\w+) (.+)", page))
    assert set(helped) == set(exposed(page))
    for name, text in helped.items():
        assert text.endswith("."), name


def test_the_rules_ask_for_metrics_that_exist(page: str) -> None:
    (block,) = re.findall(r"```yaml\n(.+?)```", pages.text_of("metrics.md"), re.DOTALL)
    asked = set(re.findall(r"\b(?:daily_batch|daybook)_\w+", block))
    assert len(asked) >= 8
    assert asked <= set(exposed(page))
