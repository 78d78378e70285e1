"""The documents name the routes, statuses, columns, reasons and modules that the code has."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daybook import errors
from daybook.destinations.drive.drive import DriveDestination
from daybook.destinations.local import LocalDestination
from daybook.destinations.s3.s3 import S3Destination
from daybook.export.model.figures import RejectionReason
from daybook.export.model.lifecycle import TaskKind
from daybook.export.model.profile import DEFAULT_COLUMNS
from daybook.export.model.source import Column, ColumnType, Source, Value
from daybook.export.operations.dry_run import PLANNED
from daybook.export.outcome import Outcome, Status
from daybook.http import routes
from daybook.http.responses import CODES
from daybook.http.routes import ROUTES
from daybook.settings.settings import VARIABLES
from tests import pages

PAGES = sorted([*pages.ROOT.glob("*.md"), *pages.DOCS.rglob("*.md")])
SETTINGS_PAGES = [page for page in PAGES if page.name == "README.md" or pages.DOCS in page.parents]
FOR_TESTS = {"DAYBOOK_TEST_MONGODB_URI"}
"""Read by tests/conftest.py, not by Daybook."""


def test_http_names_every_route_and_no_other() -> None:
    named = pages.column(pages.table("http.md", "request"))
    assert sorted(named) == sorted(
        f"{method} {path}" for path, methods in ROUTES.items() for method in methods
    )


def test_curl_calls_routes() -> None:
    calls = re.findall(
        r'curl(?: -X (\w+))?(?:[^"]|"(?!\$DAYBOOK))*"\$DAYBOOK(/\S*)"', pages.text_of("http.md")
    )
    assert len(calls) == pages.text_of("http.md").count("curl ")
    for method, path in calls:
        assert (method or "GET") in ROUTES[path]


def test_every_problem_has_its_code() -> None:
    rows = pages.table("http.md", "code")
    source = Path(routes.__file__).read_text(encoding="utf-8")
    own = re.findall(r'(\d{3}), "([A-Z_]+)"', source)
    own += [(status, code) for code, status in re.findall(r'"([A-Z_]+)": (\d{3})', source)]
    assert own
    expected = {(code, str(status)) for status, code in [*CODES.items(), *own]}
    assert sorted((pages.words(row[0])[0], row[1]) for row in rows) == sorted(expected)


def test_every_status_has_its_code() -> None:
    rows = {pages.words(row[0])[0]: row[1] for row in pages.table("http.md", "status")}
    assert rows == {
        status.value: str(Outcome(status=status, profile="daily").http_status) for status in Status
    }


def test_every_field_of_an_answer_is_named() -> None:
    outcome = Outcome(
        status=Status.FAILED,
        profile="daily",
        error={"type": "unknown", "message": ""},
        next_attempt_at=datetime(2026, 1, 18, tzinfo=UTC),
        rejected=(),
    )
    rows = next(rows for rows in pages.tables(pages.text_of("http.md")) if rows[1][0] == "`status`")
    assert sorted(pages.column(rows)) == sorted(outcome.to_doc())


def test_every_type_of_error_in_an_answer_is_named() -> None:
    never_answered = {errors.FencedOut, errors.Interrupted}
    no_run = {errors.BadRequest, *errors.BadRequest.__subclasses__(), errors.Forbidden}
    raised = {
        kind.type
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, errors.DaybookError)
        and kind not in never_answered | no_run
    }
    kinds = {place.kind for place in (DriveDestination, LocalDestination, S3Destination)}
    written = {
        word
        for path in pages.SOURCES
        for word in re.findall(r'{"type": "(\w+)", "message": "', path.read_text(encoding="utf-8"))
    }
    assert written
    assert set(pages.column(pages.table("http.md", "`error.type`"))) == raised | kinds | written


def test_every_kind_of_task_is_explained() -> None:
    assert pages.column(pages.table("architecture.md", "kind")) == [kind.value for kind in TaskKind]
    rows = [row for rows in pages.tables(pages.text_of("http.md")) for row in rows]
    (named,) = (row for row in rows if row[0] == "`kind`")
    assert pages.words(named[2]) == [kind.value for kind in TaskKind]


def type_of(column: Column) -> str:
    return Source().implied_type(Value.parse(column.value)) or ColumnType.TEXT


def test_csv_names_the_columns_in_order() -> None:
    rows = pages.table("csv.md", "column")
    assert [(pages.words(row[0])[0], row[1]) for row in rows] == [
        (column.title, type_of(column)) for column in DEFAULT_COLUMNS
    ]
    (example,) = re.findall(r"```csv\n(.+?)\n", pages.text_of("csv.md"))
    assert example.split(",") == [column.title for column in DEFAULT_COLUMNS]


def test_csv_explains_every_reason_for_setting_aside() -> None:
    assert pages.column(pages.table("csv.md", "reason")) == [
        reason.value for reason in RejectionReason
    ]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(pages.ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(path), f"{page.name}: {target}"


@pytest.mark.parametrize("page", SETTINGS_PAGES, ids=lambda page: str(page.relative_to(pages.ROOT)))
def test_no_page_names_a_setting_that_nothing_reads(page: Path) -> None:
    named = set(
        re.findall(r"\b(?:DAYBOOK|DAILY_BATCH)_[A-Z_]+\b", page.read_text(encoding="utf-8"))
    )
    assert named - {variable.name for variable in VARIABLES} <= FOR_TESTS


def test_architecture_names_every_module() -> None:
    modules = {path.stem for path in pages.SOURCES} - {"__init__", "__main__"}
    named = set(re.findall(r"`(?:\w+/)*(\w+)\.py`", pages.text_of("architecture.md")))
    packages = {"cli", "destinations", "local", "migrations"}
    inside = {path.stem for path in pages.SOURCES if path.parent.name in packages}
    assert modules - inside - named == set()
    assert named - modules - {"main", "test_layers", "base"} == set()


def test_the_statuses_of_a_dry_run_are_those_of_the_page() -> None:
    (section,) = re.findall(
        r"^A dry run answers what.*?\n\n(\|.*?)\n\n", pages.text_of("http.md"), re.M | re.S
    )
    shown = {pages.words(line)[0]: int(line.split("|")[2]) for line in section.splitlines()[2:]}
    assert shown == {
        status.value: Outcome(status=status, profile="daily").http_status for status in PLANNED
    }


def test_each_decision_has_a_number_of_its_own_and_begins_with_it() -> None:
    found = sorted((pages.DOCS / "decisions").glob("*.md"))
    assert [path.name[:4] for path in found] == [f"{n:04}" for n in range(1, len(found) + 1)]
    for path in found:
        assert path.read_text().startswith(f"# {int(path.name[:4])}. "), path.name
