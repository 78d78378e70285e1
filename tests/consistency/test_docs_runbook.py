"""Every alert has its chapter in the runbook, and what the operators' pages name is there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from daybook.cli.main import main
from daybook.export.model.notice import AlertEvent
from daybook.http.routes import ROUTES
from daybook.settings.settings import VARIABLES
from tests import pages
from tests.acceptance.runbook import Chapter, chapters, clauses, matches
from tests.consistency.test_docs_logging import events_in_source

TERRAFORM = pages.ROOT / "terraform" / "modules"
OPERATORS = ("runbook.md", "deploy.md", "security.md", "cutover.md")
READ = {".md", ".py", ".tf", ".yml", ".json"}
PARTS = ["What happened", "For the accountant", "Look", "Do", "Over when"]
PLACES = {
    "DATE": "2026-01-18",
    "ENTRY_ID": "6b0326e4796afecb35d29315",
    "REFERENCE": "RV-202611-0000001",
    "USER_ID": "6b0326e4796afecb35d29315",
}
"""What represents an argument in a command of the pages."""
NO_CHAPTERS = {
    "Something is wrong",
    "Its line Runbook names the chapter",
    "Wait a minute, look again",
    "Nothing was queued: ask who queues",
}
"""Boxes of the flowchart without a question mark that are not the name of a chapter."""
NO_EVENTS = {
    *("day_recorded_elsewhere", "entry_rejected", "csv_superseded", "queue_changing"),
    *("drive_folder_id", "drive_subject", "egress_address", "service_url"),
    *("daybook_mongodb_slow_commands_total",),
}
"""Names of other things that the runbook spells like events."""


def hcl(*names: str) -> str:
    return "\n".join((TERRAFORM / name).read_text(encoding="utf-8") for name in names)


def policies() -> dict[str, str]:
    """The alert policies of the observability module, by the label that names their chapter.

    Each with its severity.
    """
    text = hcl("observability/alerts.tf", "observability/probe.tf")
    of_a_record = re.findall(r'^ {4,6}(\w+) = \{\n\s+severity += "(\w+)"', text, re.M)
    others = re.findall(
        r'severity += "(\w+)"\n(?:(?!severity).*\n)*?.*\balert = "(\w+)"', text, re.M
    )
    assert len(of_a_record) > len(AlertEvent) / 2
    assert others
    return dict(of_a_record) | {alert: severity for severity, alert in others}


def jobs() -> set[str]:
    """Names of the scheduler jobs, under the default name of the function."""
    text = hcl("export-function/scheduler.tf")
    keys = re.findall(r"^    (\w+) = \{\n      path +=", text, re.M)
    of_ours = (
        r'resource "google_cloud_scheduler_job" .+?name += "\$\{var\.function_name\}-([\w-]+)"'
    )
    more = [
        re.findall(of_ours, path.read_text(encoding="utf-8"), re.DOTALL)
        for path in (TERRAFORM / "observability").glob("*.tf")
    ]
    watching = {name for names in more for name in names}
    assert len(keys) > 5
    assert "probe" in watching
    return {f"daybook-{key}" for key in (*keys, *watching)}


def references(path: Path) -> list[str]:
    return re.findall(r"runbook\.md#([a-z-]+)", path.read_text(encoding="utf-8"))


def rules() -> set[str]:
    """What the rules for Prometheus name as their chapters."""
    path = pages.ROOT / "ops" / "prometheus" / "alerts.yml"
    return {anchor.replace("-", "_") for anchor in references(path)}


ALERTS = sorted({event.value for event in AlertEvent} | set(policies()) | rules())


def chapter_of(alert: str) -> Chapter:
    return chapters()[alert.replace("_", "-")]


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_its_chapter_with_all_parts(alert: str) -> None:
    parts = re.findall(r"^\*\*([^*]+?)\.?\*\*", chapter_of(alert).text, re.M)
    assert [part for part in parts if part in PARTS] == PARTS


@pytest.mark.parametrize("alert", ALERTS)
def test_every_chapter_of_an_alert_has_a_query_a_command_and_a_request(alert: str) -> None:
    chapter = chapter_of(alert)
    assert chapter.queries
    assert commands(chapter.text)
    assert re.search(r"`?\bPOST\b", chapter.text)
    assert re.search(r"\bforce\b|\bphone\b|gcloud scheduler jobs run", chapter.text)


@pytest.mark.parametrize("event", AlertEvent)
def test_the_query_of_a_chapter_asks_for_its_own_event(event: AlertEvent) -> None:
    asked = clauses(chapter_of(event.value).queries[0])
    assert ("jsonPayload.event", "=", event.value) in asked


def test_the_limits_of_the_chapters_are_those_of_the_alerts() -> None:
    given = hcl("observability/variables.tf", "export-function/variables.tf")
    ((seconds, entries),) = re.findall(
        r"duration_seconds = optional\(number, (\d+)\)\s+entries += optional\(number, (\d+)\)",
        given,
    )
    (watchdog,) = re.findall(r'watchdog += optional\(string, "0 (\d+) \* \* \*"\)', given)
    settings = {variable.name: variable.default for variable in VARIABLES}
    *delays, last = [
        str(int(delay) // 60) for delay in str(settings["DAYBOOK_RETRY_DELAYS_SECONDS"]).split(",")
    ]
    rest = int(str(settings["DAYBOOK_BREAKER_RESET_SECONDS"])) // 60
    for chapter, told in (
        ("batch-slow", f"longer than {seconds} seconds"),
        ("batch-large", f"more than {int(entries):,} entries"),
        ("batch-large", f"jsonPayload.entryCount>{entries}\n"),
        ("day-missing", f"At {watchdog}:00"),
        ("day-late", f"At {watchdog}:00"),
        ("attempt-failed", f"after {', '.join(delays)} and {last} minutes"),
        ("breaker-opened", f"for {rest} minutes"),
    ):
        assert told in chapters()[chapter].text, told


def test_every_query_asks_one_function_for_events_that_it_logs() -> None:
    events = events_in_source()
    queries = [query for chapter in chapters().values() for query in chapter.queries]
    assert len(queries) > len(AlertEvent)
    for query in queries:
        found = clauses(query)
        assert found[0] == ("resource.type", "=", "cloud_run_revision"), query
        assert found[1] in (
            ("resource.labels.service_name", "=", "daybook"),
            ("resource.labels.service_name", "in", "daybook|daybook-ledger"),
        ), query
        named = {
            value
            for name, operator, values in found
            if name == "jsonPayload.event" and operator != ":"
            for value in values.split("|")
        }
        assert named <= set(events), query


def test_the_query_for_errors_asks_all_that_the_alert_on_errors_asks() -> None:
    (query,) = chapter_of("error_logged").queries
    (ledger,) = re.findall(r'"\$\{var\.name\}(-ledger)"', hcl("export-function/ledger.tf"))
    assert ("resource.labels.service_name", "in", f"daybook|daybook{ledger}") in clauses(query)
    assert ("severity", ">=", "ERROR") in clauses(query)
    assert "compact([var.function_name, var.ledger_name])" in hcl("observability/metrics.tf")


def test_every_event_that_the_runbook_names_is_logged() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", pages.text_of("runbook.md")))
    known = set(events_in_source()) | set(policies())
    assert named & known
    assert named - known == NO_EVENTS


def test_every_reference_to_a_chapter_leads_to_one() -> None:
    places = [
        path
        for folder in ("docs", "src", "terraform", "ops")
        for path in (pages.ROOT / folder).rglob("*")
        if path.suffix in {".md", ".py", ".tf", ".hcl", ".yml", ".yaml", ".json"}
        and ".terraform" not in path.parts
    ]
    found = {anchor for path in places for anchor in references(path)}
    assert len(found) > len(AlertEvent)
    assert found - set(chapters()) == set()


def test_the_first_five_minutes_name_every_alert_that_may_not_wait() -> None:
    table = chapters()["first-five-minutes-at-3-am"].text
    urgent = {event.value for event in AlertEvent if "CRITICAL" in events_in_source()[event.value]}
    urgent |= {alert for alert, severity in policies().items() if severity != "WARNING"}
    assert {"batch_failed", "probe_failed", "error_logged"} < urgent
    for alert in urgent:
        assert f"`{alert}`" in table
        assert f"(#{alert.replace('_', '-')})" in table


def test_the_first_five_minutes_look_where_what_they_wait_for_is_seen() -> None:
    chapter = chapters()["first-five-minutes-at-3-am"]
    (query,) = chapter.queries
    (waited,) = re.findall(r"^6\. (.+?)\n\n", chapter.text, re.M | re.DOTALL)
    events = set(re.findall(r"`(\w+)`", waited)) & set(events_in_source())
    assert {"batch_committed", "batch_failed", "batch_recovered", "examined"} <= events
    for event in events:
        for severity in events_in_source()[event]:
            assert matches(query, {"event": event, "severity": severity}), f"{event}, {severity}"


def test_an_event_that_is_an_alert_is_one_of_the_severity_that_it_is_logged_with() -> None:
    compared = {
        alert: severity for alert, severity in policies().items() if alert in events_in_source()
    }
    assert len(compared) > len(AlertEvent) / 2
    for alert, severity in compared.items():
        assert events_in_source()[alert] == {severity}, alert


def test_the_flowchart_leads_to_chapters() -> None:
    (chart,) = chapters()["find-the-chapter"].blocks("mermaid")
    boxes = set(re.findall(r"\w\[([^\]]+)\]", chart)) - NO_CHAPTERS
    titles = {chapter.title for chapter in chapters().values()}
    assert len(boxes) > 10
    assert boxes <= titles


def commands(text: str) -> list[str]:
    """Each `daybook …` of a page, in a block or in a line."""
    inline = re.findall(r"`daybook ([a-z][^`]*)`", text)
    blocks = "\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL))
    listed = re.findall(r"^(?:\$ )?daybook ([a-z].*)$", blocks, re.M)
    piped = re.findall(r"\| xargs daybook (.*)$", blocks, re.M)
    return [*inline, *listed, *piped]


@pytest.mark.parametrize("page", [page for page in OPERATORS if page != "security.md"])
def test_every_command_is_one_that_the_command_line_takes(page: str) -> None:
    found = commands(pages.text_of(page))
    assert found
    for line in found:
        name, *arguments = shlex.split(re.split(r" [|>]", line)[0])
        command = main.commands[name]
        parser = command.make_parser(click.Context(command))
        options, _, _ = parser.parse_args([PLACES.get(word, word) for word in arguments])
        known = {parameter.name for parameter in command.params}
        assert set(options) <= known, line


def test_the_runbook_uses_every_command_of_an_operator() -> None:
    used = {line.split()[0] for line in commands(pages.text_of("runbook.md"))}
    assert set(main.commands) - used == {"compare", "completion", "profiles", "seed", "serve"}


def test_everything_else_that_people_read_names_the_installed_command_and_one_that_exists() -> None:
    folders = [pages.ROOT / name for name in ("src/daybook", "docs", "terraform", "ops")]
    texts = [path for folder in folders for path in folder.rglob("*") if path.suffix in READ]
    named = set()
    for path in [*pages.ROOT.glob("*.md"), *texts]:
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"`daybook ([a-z]+)", text))
        if path.name not in {"README.md", "__main__.py"}:
            assert "python -m daybook" not in text, path
    assert len(named) > 10
    assert named <= set(main.commands)


@pytest.mark.parametrize("page", OPERATORS)
def test_every_request_has_a_route(page: str) -> None:
    text = pages.text_of(page)
    for method, path in re.findall(r"\b(GET|POST) (/[a-z/]*)", text):
        assert method in ROUTES[path], f"{method} {path}"
    for call in re.findall(r"^curl .+$", text, re.M):
        (path,) = re.findall(r'"\$DAYBOOK(/\S*)"', call)
        assert ("POST" if "-X POST" in call else "GET") in ROUTES[path]
        for body in re.findall(r"-d '([^']+)'", call):
            json.loads(body)


@pytest.mark.parametrize("page", OPERATORS)
def test_every_scheduler_job_is_one_that_terraform_makes(page: str) -> None:
    text = pages.text_of(page)
    there = jobs()
    named = re.findall(
        r"gcloud scheduler jobs (?:run|pause|resume|describe|update http)\s+(daybook-[\w$-]+)", text
    )
    for name in named:
        if name == "daybook-$job":
            continue
        assert name in there
    for keys in re.findall(r"^for job in ([a-z ]+);", text, re.M):
        assert {f"daybook-{key}" for key in keys.split()} <= there
    forced = re.findall(r"[Ff]orce (?:the job )?`(daybook-[\w-]+)`", text)
    assert set(forced) <= there


def test_the_runbook_shows_how_each_job_is_forced() -> None:
    shown = re.findall(
        r"^gcloud scheduler jobs run (daybook-[\w-]+)", pages.text_of("runbook.md"), re.M
    )
    assert {name for name in jobs() if name != "daybook-probe"} == set(shown)


def test_the_recipe_for_settings_passes_values_and_secrets_along() -> None:
    """As `gcloud run services describe` shows them, without a secret's value."""
    jq = shutil.which("jq")
    if jq is None:
        pytest.skip("jq is not installed")
    (program,) = re.findall(
        r"jq -r --arg project \"\$PROJECT\" '(.*?)'", pages.text_of("runbook.md"), re.DOTALL
    )
    env = [
        {"name": "DAYBOOK_DATABASE", "value": "daybook"},
        {"name": "DAYBOOK_LEDGER_ACCOUNTS", "value": '{"others": "it\'s"}'},
        {
            "name": "DAYBOOK_MONGODB_URI",
            "valueFrom": {"secretKeyRef": {"key": "3", "name": "daybook-mongodb-uri"}},
        },
        {"name": "NOTHING"},
    ]
    service = {"spec": {"template": {"spec": {"containers": [{"env": env}]}}}}
    exported = subprocess.run(
        [jq, "-r", "--arg", "project", "acme", program],
        input=json.dumps(service),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = "DAYBOOK_DATABASE DAYBOOK_LEDGER_ACCOUNTS DAYBOOK_MONGODB_URI"
    shown = subprocess.run(
        ["/bin/sh", "-c", f"{exported}\nfor name in {names}; do printenv $name; done"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout
    assert shown.splitlines() == [
        "daybook",
        '{"others": "it\'s"}',
        "sm://projects/acme/secrets/daybook-mongodb-uri/versions/3",
    ]
