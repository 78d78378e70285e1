"""Terraform and the code call things by the same names: variables, events, fields, routes.

The .tf files are read as text. What is looked for is on lines of its own there, and
each reading says how much it must find, so that another layout does not pass for nothing.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from daybook.export.model.notice import AlertEvent
from daybook.http import callers, routes
from daybook.settings.settings import VARIABLES
from tests import pages
from tests.consistency.test_docs_logging import events_in_source

EXPORT = pages.ROOT / "terraform" / "modules" / "export-function"
OBSERVABILITY = pages.ROOT / "terraform" / "modules" / "observability"

OF_THE_PLATFORM = {"GOOGLE_CLOUD_PROJECT", "THREADS"}
"""For the links of the log and the alerts, and for functions-framework: not settings."""
EVERY_RECORD = {"batchDate"}
"""Bound to the records of a run, and among the facts of every alert of a day."""


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def block(source: str, opening: str) -> str:
    """What is between a line and the closing brace at the same depth."""
    found = re.search(rf"^( *){re.escape(opening)}\n(.*?)^\1\}}", source, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no {opening}"
    return found[2]


def keys(body: str) -> list[str]:
    """The names that a map defines at its own depth, quoted or not."""
    depth = min(len(line) - len(line.lstrip()) for line in body.splitlines() if line.strip())
    return re.findall(rf'^ {{{depth}}}"?([\w/]+)"? += ', body, re.MULTILINE)


# Environment variables


def set_by_terraform() -> set[str]:
    environment = text(EXPORT / "environment.tf")
    common = keys(block(environment, "common_environment = {"))
    export = keys(block(environment, "export_environment = {"))
    assert min(len(common), len(export)) > 8
    ledger = keys(block(environment, "ledger_only_environment = {"))
    return {*common, *export, *ledger}


def secrets_of_terraform() -> set[str]:
    (listed,) = re.findall(r"setsubtract\(keys\(var\.secrets\), \[([^]]+)\]", text_of_variables())
    return set(re.findall(r'"(\w+)"', listed))


def text_of_variables() -> str:
    return text(EXPORT / "variables.tf")


def test_terraform_sets_the_variables_that_daybook_reads_and_no_others() -> None:
    known = {variable.name for variable in VARIABLES}
    assert set_by_terraform() | secrets_of_terraform() == known | OF_THE_PLATFORM


def test_what_is_secret_is_a_secret_in_terraform_and_nothing_else_is() -> None:
    secret = {variable.name for variable in VARIABLES if variable.secret}
    assert secrets_of_terraform() == secret
    assert set_by_terraform() & secret == set()


def test_terraforms_defaults_are_daybooks() -> None:
    settings = block(text_of_variables(), 'variable "settings" {')
    schedules = block(text_of_variables(), 'variable "schedules" {')
    offered = dict(re.findall(r"(\w+) += optional\([\w()]+, (.+)\)", settings))
    offered |= {
        "cron": re.findall(r"batch += optional\(string, (.+)\)", schedules)[0],
        "time_zone": re.findall(r"time_zone += optional\(string, (.+)\)", schedules)[0],
    }
    assert len(offered) > 14
    defaults = {variable.field: variable.default for variable in VARIABLES}
    assert {field: re.sub(r'[" \[\]]', "", written) for field, written in offered.items()} == {
        field: (defaults[field] or "").replace(" ", "") for field in offered
    }


# Log events


def events_that_are_alerts() -> dict[str, str]:
    """Event → severity of the policies that fire on one record of it."""
    events = block(text(OBSERVABILITY / "alerts.tf"), "events = {")
    found: dict[str, str] = {}
    for event in keys(events):
        (found[event],) = re.findall(r'severity = "(\w+)"', block(events, f"{event} = {{"))
    return found


def events_in_filters() -> set[str]:
    found: set[str] = set()
    for path in OBSERVABILITY.glob("*.tf"):
        source = text(path).replace('\\"', '"')
        for one, several in re.findall(r'jsonPayload\.event=(?:"(\w+)"|\(([^$)]+)\))', source):
            found |= {one} if one else set(re.findall(r'"(\w+)"', several))
    return found


def test_terraform_asks_for_events_that_are_events_in_source() -> None:
    filtered = events_in_filters()
    assert {"attempt_failed", "batch_committed", "batch_empty", "breaker_opened"} <= filtered
    assert (filtered | set(events_that_are_alerts())) - set(events_in_source()) == set()


def test_the_smoke_test_waits_for_records_that_are_made() -> None:
    asked = re.findall(r'jsonPayload\.event=\\"(\w+)\\"', text(pages.ROOT / "ops" / "smoke.sh"))
    assert asked
    assert set(asked) - set(events_in_source()) == set()


def test_an_alert_is_as_severe_as_its_record() -> None:
    for event, severity in events_that_are_alerts().items():
        assert {severity} == events_in_source()[event], event


def test_every_alert_of_daybook_that_needs_a_person_is_one_in_terraform() -> None:
    assert {event.value for event in AlertEvent} - set(events_that_are_alerts()) == {
        "batch_recovered",  # it is over
        "day_late",  # a run is at work, and another alert follows if it fails
    }


@cache
def calls() -> list[tuple[set[str], set[str]]]:
    """Of each call in the source that names things: its plain arguments, and the names."""
    return [
        (
            {ast.unparse(argument) for argument in call.args[:2]},
            {keyword.arg for keyword in call.keywords if keyword.arg},
        )
        for path in pages.SOURCES
        for call in ast.walk(ast.parse(text(path)))
        if isinstance(call, ast.Call) and call.keywords
    ]


def fields_logged(event: str) -> set[str]:
    """The names of the facts in the calls that log an event or raise its alert."""
    found: set[str] = set()
    for arguments, names in calls():
        if arguments & {repr(event), f"AlertEvent.{event.upper()}"}:
            found |= names
    return {re.sub(r"_(\w)", lambda m: m[1].upper(), name) for name in found}


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("attempt_failed", {"errorType"}),
        ("batch_failed", {"errorType"}),
        ("batch_committed", {"durationSeconds", "entryCount", "rejectedCount"}),
        ("breaker_opened", {"destination"}),
    ],
)
def test_records_have_the_fields_that_metrics_are_made_of(event: str, fields: set[str]) -> None:
    assert fields - fields_logged(event) == set()


def test_those_are_all_the_fields_that_terraform_reads() -> None:
    read = set(re.findall(r"jsonPayload\.(\w+)", "".join(map(text, OBSERVABILITY.glob("*.tf")))))
    shown = {"event", "attempt", "step"}  # beside today's records
    assert read - shown - EVERY_RECORD == {
        *("destination", "durationSeconds", "entryCount", "errorType", "rejectedCount"),
    }


# Routes


def test_jobs_call_routes_that_exist() -> None:
    scheduler = text(EXPORT / "scheduler.tf")
    paths = re.findall(r'^ +path += "([^"]+)"$', scheduler, re.MULTILINE)
    (method,) = re.findall(r'http_method += "(\w+)"', scheduler)
    assert len(paths) == 9
    assert [path for path in paths if method not in routes.ROUTES.get(path, {})] == []


def test_the_dry_run_calls_a_route_that_lets_the_scheduler_in() -> None:
    dry_run = text(OBSERVABILITY / "dry_run.tf")
    (path,) = re.findall(r'uri += "\$\{var\.service_url\}(/[^"]*)"', dry_run)
    (method,) = re.findall(r'http_method += "(\w+)"', dry_run)
    assert method in routes.ROUTES[path]
    (callers,) = re.findall(rf'"{path}" += (.+)', text(EXPORT / "callers.tf"))
    assert "local.scheduler_email" in callers


def test_the_probe_calls_a_route_that_is_open_to_every_caller() -> None:
    probe = text(OBSERVABILITY / "probe.tf")
    (path,) = re.findall(r'probe_path += "([^"]+)"', probe)
    (method,) = re.findall(r'http_method += "(\w+)"', probe)
    assert method in routes.ROUTES[path]
    assert path in callers.OPEN
    # An uptime check's method is GET, unless it says another.
    assert method == "GET"
    assert "request_method" not in probe


def test_terraform_names_the_callers_of_every_route_but_the_open_ones() -> None:
    named = keys(block(text(EXPORT / "callers.tf"), "callers_by_route = {"))
    permissions = {
        routes.PERMISSIONS.get((path, method), path)
        for path, methods in routes.ROUTES.items()
        for method in methods
    }
    assert set(named) == permissions - callers.OPEN
    assert len(named) == len(set(named))
