"""What alerts say, in both languages, and what of them is logged."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest

from daybook import log
from daybook.cli.main import main
from daybook.export.model.notice import Alert, AlertEvent, Messenger
from daybook.export.slot.orphans import OrphanReason as OrphanReason
from daybook.notifications import en, th
from daybook.notifications.alerts import Messages
from daybook.notifications.messages import Language, Message, alert_message
from daybook.notifications.th import ORPHANS

BANGKOK = ZoneInfo("Asia/Bangkok")
DAY = "2026-01-18"
EXPLORER = "https://console.cloud.google.com/logs/query;query="
LANGUAGES: tuple[Language, ...] = ("en", "th")
FILE = {"filename": "batch_2026-01-18.csv", "link": "https://drive.google.com/file/d/abc/view"}
COMMANDS = {name: {one.name for one in command.params} for name, command in main.commands.items()}
FAILED = {"error_type": "google_drive", "error": "files.create: 503 backendError"}
DUE = datetime(2026, 1, 18, 11, tzinfo=UTC)

SEVERITIES = {
    AlertEvent.ATTEMPT_FAILED: logging.WARNING,
    AlertEvent.BATCH_RECOVERED: logging.INFO,
    AlertEvent.BREAKER_OPENED: logging.WARNING,
    AlertEvent.ENTRIES_REJECTED: logging.WARNING,
    AlertEvent.DAY_LATE: logging.WARNING,
    AlertEvent.ENTRIES_CHANGED_AFTER_EXPORT: logging.ERROR,
}
FACTS: Mapping[AlertEvent, Mapping[str, Any]] = {
    AlertEvent.ATTEMPT_FAILED: {
        **FAILED,
        "attempt": 2,
        "max_attempts": 4,
        "next_attempt_at": datetime(2026, 1, 18, 11, 20, tzinfo=UTC),
    },
    AlertEvent.BATCH_FAILED: {**FAILED, "attempt": 4, "max_attempts": 4, "permanent": False},
    AlertEvent.RUN_REFUSED: {
        "at": DUE,
        "error_type": "configuration",
        "error": "exportlogs has no valid unique index idx_batch_daily_unique: "
        "run `daybook migrate`",
    },
    AlertEvent.BATCH_RECOVERED: {**FILE, "attempt": 3, "state": "committed", "entry_count": 1234},
    AlertEvent.BREAKER_OPENED: {
        "destination": "google_drive",
        "failures": 3,
        "open_until": datetime(2026, 1, 18, 11, 35, tzinfo=UTC),
    },
    AlertEvent.ENTRIES_REJECTED: {
        **FILE,
        "rejected_count": 3,
        "entry_count": 1234,
        "reasons": {"duplicate": 1, "unbalanced": 2},
    },
    AlertEvent.ORPHAN_LEFT_BEHIND: {
        "filename": FILE["filename"],
        "file_id": "1aBcD",
        "reason": OrphanReason.REFUSED_UNSEEN.value,
        "explanation": OrphanReason.REFUSED_UNSEEN.explanation,
    },
    AlertEvent.UNSEALED_FILE: {
        "filename": FILE["filename"],
        "file_id": "1aBcD",
        "reason": OrphanReason.UNSEALED.value,
        "explanation": OrphanReason.UNSEALED.explanation,
    },
    AlertEvent.ITEMS_CHANGED_AFTER_SEAL: {
        "filename": FILE["filename"],
        "gone_count": 2,
        "completed_elsewhere_count": 1,
    },
    AlertEvent.FILE_UNRECORDED: {
        **FILE,
        "file_id": "1aBcD",
        "error_type": "mongodb",
        "error": "commit of batch_2026-01-18.csv: the user may not run `update` on "
        "daybook.exportqueues",
    },
    AlertEvent.MARKING_REFUSED: {
        **FILE,
        "file_id": "1aBcD",
        "error_type": "mongodb",
        "error": "marking the items of batch_2026-01-18.csv, which is delivered: E11000 duplicate "
        "key error; drop the index theirs of exportqueues",
    },
    AlertEvent.FILE_CHANGED: {
        **FILE,
        "file_id": "1aBcD",
        "finding_count": 1,
        "entry_count": 0,
        "cut_short": False,
        "findings": "batch_2026-01-18.csv is in the trash",
    },
    AlertEvent.ENTRIES_CHANGED_AFTER_EXPORT: {
        **FILE,
        "file_id": "1aBcD",
        "finding_count": 1,
        "entry_count": 1,
        "cut_short": False,
        "findings": "row 1 of the data, 2 in a spreadsheet, entry INV-1 "
        "(6b03274a796afecb35d29327): Debit: the file says '100.00', the entry gives '900.00'",
    },
    AlertEvent.PUBLISH_FAILED: {
        "filename": FILE["filename"],
        "file_id": "batch_2026-01-18.csv",
        "error": "another file has the name",
    },
    AlertEvent.DAY_MISSING: {**FAILED, "due": DUE, "state": "open"},
    AlertEvent.DAY_LATE: {
        "due": DUE,
        "next_attempt_at": datetime(2026, 1, 18, 13, 5, tzinfo=UTC),
        "lease_expires_at": datetime(2026, 1, 18, 13, 1, tzinfo=UTC),
    },
}


def alert(event: AlertEvent, **facts: Any) -> Alert:
    return Alert(
        event=event,
        severity=SEVERITIES.get(event, logging.CRITICAL),
        profile="daily",
        batch_date=DAY,
        batch_id="6b02f41f45263142d9ff1aea",
        facts={**FACTS[event], **facts},
    )


def told(alert: Alert, language: Language = "en", project: str | None = "acme") -> Message:
    return alert_message(
        alert, language=language, zone=BANGKOK, project=project, runbook="docs/runbook.md"
    )


def is_thai(text: str) -> bool:
    return any("\u0e00" <= letter <= "\u0e7f" for letter in text)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    log.setup(stream)
    return stream


def silent(language: Language = "en") -> Messages:
    """Without addresses: what is told is only logged."""
    return Messages(
        alert_urls=(),
        receipt_urls=(),
        language=language,
        time_zone=BANGKOK,
        project=None,
        runbook="docs/runbook.md",
    )


def record(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", AlertEvent)
def test_an_alert_begins_with_what_can_be_done_from_a_phone_then_the_command_then_the_runbook(
    event: AlertEvent, language: Language
) -> None:
    message = told(alert(event), language)
    labels = {
        "en": ("From a phone: ", "Command: ", "What it means for the accountant: "),
        "th": ("จากโทรศัพท์: ", "คำสั่ง: ", "ผลต่อฝ่ายบัญชี: "),
    }
    phone, command, runbook, happened, day, meaning, *file, logs = message.text.split("\n\n")
    assert len(happened) > 20
    assert day == {"en": f"Day: {DAY}", "th": f"วันที่: 18 มกราคม 2569 ({DAY})"}[language]
    for part, label in zip((phone, command, meaning), labels[language], strict=True):
        assert part.startswith(label)
        assert len(part) > len(label) + 10
    assert runbook == f"Runbook: docs/runbook.md#{event.value.replace('_', '-')}"
    assert len(file) == ("link" in FACTS[event])
    assert "".join(file).partition(": ")[2] in ("", FILE["link"])
    assert logs.partition(": ")[2].startswith(EXPLORER)
    assert is_thai(happened) is is_thai(meaning) is is_thai(command) is (language == "th")
    assert is_thai(phone) is (language == "th")
    assert len(message.text) < 4000


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", AlertEvent)
def test_the_title_is_one_line_with_the_severity_and_the_day(
    event: AlertEvent, language: Language
) -> None:
    wordy = replace(alert(event), facts={**FACTS[event], "error": "one\ntwo", "filename": "a\nb"})
    title = told(wordy, language).title
    assert "\n" not in title
    assert f"Daybook {DAY}: " in title
    severity = logging.getLevelName(alert(event).severity)
    assert title.startswith(f"[{severity}] ") is (language == "en")
    assert is_thai(title) is (language == "th")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", AlertEvent)
@pytest.mark.parametrize(
    "value",
    [None, "", object(), {"a": None}, float("nan")],
    ids=["None", "empty", "object", "document", "NaN"],
)
def test_missing_or_odd_facts_leave_no_hole(
    event: AlertEvent, language: Language, value: object
) -> None:
    bare = told(replace(alert(event), facts={}), language)
    odd = told(replace(alert(event), facts=dict.fromkeys(FACTS[event], value)), language)
    for message, facts in ((bare, {}), (odd, {"link": value})):
        has_file = "link" in FACTS[event] and facts.get("link") not in (None, "")
        assert len(message.text.split("\n\n")) == 7 + has_file
    if value in (None, ""):
        assert odd == bare
    assert "None" not in bare.title + bare.text
    assert "  " not in bare.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", AlertEvent)
def test_an_alert_about_no_day_has_no_line_for_it(event: AlertEvent, language: Language) -> None:
    message = told(replace(alert(event), batch_date=None, batch_id=None), language)
    assert "None" not in message.title + message.text
    assert "Daybook: " in message.title
    assert "  " not in message.text
    assert len(message.text.split("\n\n")) == 6 + ("link" in FACTS[event])


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_profile_is_named_unless_it_is_the_daily_one(language: Language) -> None:
    other = replace(alert(AlertEvent.DAY_LATE), profile="wallets")
    assert f"Daybook wallets {DAY}: " in told(other, language).title
    assert ": wallets\n" in told(other, language).text
    assert "daily\n" not in told(alert(AlertEvent.DAY_LATE), language).text


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (1, "Daily batch FAILED after 0 retries (1 attempt)"),
        (2, "Daily batch FAILED after 1 retry (2 attempts)"),
        (4, "Daily batch FAILED after 3 retries (4 attempts)"),
        (7, "Daily batch FAILED after 6 retries (7 attempts)"),
    ],
)
def test_a_failed_batch_says_how_often_it_was_tried(attempt: int, said: str) -> None:
    message = told(alert(AlertEvent.BATCH_FAILED, attempt=attempt))
    assert said in message.title
    assert f"\n\n{said}: manual intervention required." in message.text
    assert "retrying would not help" not in message.text
    thai = told(alert(AlertEvent.BATCH_FAILED, attempt=attempt), "th").text
    assert f"ลองใหม่ {attempt - 1} ครั้ง (รวมทั้งหมด {attempt} ครั้ง)" in thai


def test_a_failed_batch_says_why_and_what_can_be_done() -> None:
    text = told(alert(AlertEvent.BATCH_FAILED)).text
    assert "google_drive: files.create: 503 backendError" in text
    assert f"daybook retry {DAY}" in text
    assert text.startswith("From a phone: Force run `daybook-retry` in Cloud Scheduler, once")
    assert f"daybook release {DAY}" in text
    assert "Its entries stay queued and go with the next day's file." in text


def test_a_permanent_error_is_said_not_to_be_worth_retrying() -> None:
    failed = alert(AlertEvent.BATCH_FAILED, attempt=1, permanent=True)
    assert "retrying would not help" in told(failed).text
    assert "การลองใหม่จะไม่ช่วยแก้ปัญหา" in told(failed, "th").text


def test_a_manual_export_is_not_called_the_daily_batch() -> None:
    text = told(replace(alert(AlertEvent.BATCH_FAILED), batch_date=None)).text
    assert "\n\nManual export FAILED after 3 retries (4 attempts)" in text
    assert "POST /exports" in text
    assert "daybook retry" not in text


@pytest.mark.parametrize(
    ("event", "facts", "said"),
    [
        (AlertEvent.ATTEMPT_FAILED, {}, "Attempt 2 of 4 ended without a file."),
        (
            AlertEvent.ATTEMPT_FAILED,
            {},
            "The next attempt is due at 2026-01-18 18:20 (Asia/Bangkok).",
        ),
        (AlertEvent.BATCH_RECOVERED, {}, "with 1,234 entries was delivered on attempt 3."),
        (AlertEvent.BATCH_RECOVERED, {"state": "empty"}, "nothing was queued"),
        (AlertEvent.BREAKER_OPENED, {}, "Google Drive failed 3 times in a row."),
        (AlertEvent.BREAKER_OPENED, {}, "until 2026-01-18 18:35 (Asia/Bangkok)"),
        (AlertEvent.ENTRIES_REJECTED, {}, "leaves out 3 entries and contains 1,234."),
        (AlertEvent.ENTRIES_REJECTED, {}, "(2: debit and credit differ; 1: exported already"),
        (AlertEvent.ENTRIES_REJECTED, {"rejected_count": 1}, "leaves out 1 entry and"),
        (AlertEvent.ORPHAN_LEFT_BEHIND, {}, "8 days in case one appears."),
        (
            AlertEvent.ORPHAN_LEFT_BEHIND,
            {},
            "A file (batch_2026-01-18.csv) is, or may yet be, stored under",
        ),
        (
            AlertEvent.ORPHAN_LEFT_BEHIND,
            FILE,
            "is stored under ID 1aBcD, which had been abandoned: refused_",
        ),
        (AlertEvent.ITEMS_CHANGED_AFTER_SEAL, {}, "2 items deleted or changed, 1 item completed"),
        (AlertEvent.FILE_UNRECORDED, {}, "the user may not run `update` on daybook.exportqueues"),
        (AlertEvent.FILE_UNRECORDED, {}, "`daybook run --date 2026-01-18` records this file."),
        (AlertEvent.MARKING_REFUSED, {}, "drop the index theirs of exportqueues"),
        (AlertEvent.MARKING_REFUSED, {}, "`daybook run --date 2026-01-18` marks the other items."),
        (AlertEvent.MARKING_REFUSED, {"filename": None}, "The day is signed off as empty"),
        (AlertEvent.PUBLISH_FAILED, {}, "another file has the name"),
        (AlertEvent.DAY_MISSING, {}, "due at 2026-01-18 18:00 (Asia/Bangkok) is not done."),
        (
            AlertEvent.DAY_MISSING,
            {"state": None},
            "either no call was made, or MongoDB could not be reached",
        ),
        (AlertEvent.DAY_MISSING, {"state": "failed"}, "daybook retry 2026-01-18"),
        (
            AlertEvent.DAY_MISSING,
            {"state": None, "refused_at": DUE, "refused_count": 3},
            "called at 2026-01-18 18:00 (Asia/Bangkok), and the call failed, 3 times in all.",
        ),
        (AlertEvent.DAY_MISSING, {"state": "unknown"}, "its state cannot be read"),
        (AlertEvent.DAY_LATE, {}, "resumes at 2026-01-18 20:05 (Asia/Bangkok)"),
        (AlertEvent.DAY_LATE, {"state": "committed"}, "The file can be used"),
    ],
)
def test_the_facts_are_in_the_message(event: AlertEvent, facts: dict[str, Any], said: str) -> None:
    assert said in told(alert(event, **facts)).text


@pytest.mark.parametrize(
    ("language", "known", "denials"),
    [
        ("en", en.MAY_BE_VISIBLE, ("There is no file", "stay queued", "ended without a file")),
        ("th", th.MAY_BE_VISIBLE, ("ไม่มีไฟล์ของ", "ยังอยู่ในคิว")),
    ],
)
@pytest.mark.parametrize("event", AlertEvent)
def test_no_alert_denies_a_file_that_may_be_visible(
    event: AlertEvent, language: Language, known: str, denials: tuple[str, ...]
) -> None:
    text = told(alert(event, file_possible=True), language).text
    could_deny = (
        *(AlertEvent.ATTEMPT_FAILED, AlertEvent.BATCH_FAILED, AlertEvent.RUN_REFUSED),
        AlertEvent.DAY_MISSING,
    )
    assert (known in text) == (event in could_deny)
    if event in could_deny:
        assert not [denial for denial in denials if denial in text.replace(known, "")]


@pytest.mark.parametrize("reason", OrphanReason)
def test_every_reason_for_giving_an_id_up_has_its_thai_words(reason: OrphanReason) -> None:
    text = told(alert(AlertEvent.ORPHAN_LEFT_BEHIND, reason=reason.value), "th").text
    assert ORPHANS[reason] in text
    assert reason.explanation not in text


def test_thai_has_the_buddhist_era_and_the_clock_of_the_schedule() -> None:
    text = told(alert(AlertEvent.ATTEMPT_FAILED), "th").text
    assert "18 มกราคม 2569 เวลา 18:20 น. (Asia/Bangkok)" in text


def test_the_log_link_asks_for_the_days_records() -> None:
    link = told(alert(AlertEvent.BATCH_FAILED)).text.rpartition("Logs: ")[2]
    assert not set(link) & set(' "<>\n')
    query, _, project = link.removeprefix(EXPLORER).partition("?project=")
    assert project == "acme"
    assert unquote(query).splitlines() == [
        'labels.profile="daily"',
        'labels.batchDate="2026-01-18"',
        'timestamp>="2026-01-16T17:00:00Z"',
        'timestamp<"2026-02-16T17:00:00Z"',
    ]


def test_without_a_day_the_log_link_asks_for_the_batch_or_the_event() -> None:
    manual = replace(alert(AlertEvent.BATCH_FAILED), batch_date=None)
    link = told(manual).text.rpartition("Logs: ")[2]
    assert unquote(link).endswith(
        'jsonPayload.batchId="6b02f41f45263142d9ff1aea";duration=P30D?project=acme'
    )
    link = told(replace(manual, batch_id=None)).text.rpartition("Logs: ")[2]
    assert 'jsonPayload.event="batch_failed";duration=P30D' in unquote(link)


def test_without_a_project_the_query_itself_is_given() -> None:
    text = told(alert(AlertEvent.BATCH_FAILED), project=None).text
    query = text.rpartition("Logs: ")[2]
    assert query.startswith('labels.profile="daily" AND labels.batchDate="2026-01-18" AND time')
    assert "console.cloud.google.com" not in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", AlertEvent)
def test_an_alert_is_logged_in_english_with_its_facts(
    stream: io.StringIO, event: AlertEvent, language: Language
) -> None:
    silent(language).alert(alert(event))
    logged = record(stream)
    assert logged["event"] == event.value
    assert logged["severity"] == logging.getLevelName(alert(event).severity)
    assert not is_thai(logged["message"])
    assert logged["message"] == told(alert(event)).text.split("\n\n")[3]
    assert logged["batchId"] == "6b02f41f45263142d9ff1aea"
    assert logged["logging.googleapis.com/labels"]["batchDate"] == DAY
    assert logged["logging.googleapis.com/labels"]["profile"] == "daily"


def test_the_facts_are_logged_in_camel_case(stream: io.StringIO) -> None:
    silent().alert(alert(AlertEvent.ATTEMPT_FAILED))
    logged = record(stream)
    assert (logged["attempt"], logged["maxAttempts"]) == (2, 4)
    assert logged["errorType"] == "google_drive"
    assert logged["nextAttemptAt"] == "2026-01-18T11:20:00+00:00"


def test_what_belongs_to_no_day_gets_no_label_of_one(stream: io.StringIO) -> None:
    silent().alert(replace(alert(AlertEvent.DAY_LATE), batch_date=None, batch_id=None))
    logged = record(stream)
    assert "batchId" not in logged
    assert "batchDate" not in logged["logging.googleapis.com/labels"]


class Unheard(StrEnum):
    OF = "unheard_of"


def test_an_alert_without_a_text_is_logged_all_the_same(stream: io.StringIO) -> None:
    unknown: Any = Unheard.OF
    silent().alert(replace(alert(AlertEvent.BATCH_FAILED), event=unknown))
    logged = record(stream)
    assert (logged["event"], logged["severity"]) == ("unheard_of", "CRITICAL")
    assert logged["error"] == "files.create: 503 backendError"
    assert "KeyError" in logged["stack_trace"]


def test_a_message_that_cannot_be_written_is_logged_and_raises_nothing(
    stream: io.StringIO,
) -> None:
    messages = Messages(
        alert_urls=("json://127.0.0.1:1/",),
        receipt_urls=(),
        language="en",
        time_zone=BANGKOK,
        project=None,
        runbook="docs/runbook.md",
    )
    messages.alert(replace(alert(AlertEvent.BATCH_FAILED), batch_date="someday"))
    failed, undelivered = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (failed["event"], failed["severity"]) == ("batch_failed", "CRITICAL")
    assert (undelivered["event"], undelivered["severity"]) == ("message_undelivered", "WARNING")
    assert "someday" in undelivered["stack_trace"]


def test_messages_are_a_messenger() -> None:
    messenger: Messenger = silent()
    assert messenger is not None


def test_apprise_is_not_imported_without_addresses() -> None:
    program = (
        "import logging, sys; from zoneinfo import ZoneInfo;"
        "from daybook.export.model.notice import Alert, AlertEvent;"
        "from daybook.notifications.alerts import Messages;"
        "m = Messages(alert_urls=(), receipt_urls=(), language='en',"
        " time_zone=ZoneInfo('Asia/Bangkok'), project=None, runbook='docs/runbook.md');"
        "m.alert(Alert(event=AlertEvent.DAY_LATE, severity=logging.WARNING, profile='daily'));"
        "print('apprise' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("count", [0, 1, 2, 1234])
@pytest.mark.parametrize("event", AlertEvent)
def test_every_count_has_its_plural(event: AlertEvent, count: int) -> None:
    counted = {
        name: count
        for name, value in FACTS[event].items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    for facts in (counted, {**counted, "refused_at": DUE, "refused_count": count}):
        message = told(alert(event, **facts))
        said = f"{message.title}\n{message.text}".replace(DAY, "")
        assert not re.findall(r"(?<![\d,.:-])1 (?:entries|retries|attempts|items|times)\b", said)
        assert not re.findall(r"\b(?:0|2|1,234) (?:entry|retry|attempt|item|time)\b", said)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", AlertEvent)
def test_no_time_is_said_without_its_zone(event: AlertEvent, language: Language) -> None:
    """In the title, which is short, only the hour is said, also with its zone."""
    message = told(alert(event), language, project=None)
    text = message.text.rpartition("\n\n")[0]  # the query has times of its own
    said = f"{message.title}\n{text}"
    for time in re.finditer(r"\d\d:\d\d(?: น\.)?", said):
        assert said[time.end() :].startswith(" (Asia/Bangkok)")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", AlertEvent)
def test_an_alert_leads_to_the_runbook_that_is_configured(
    event: AlertEvent, language: Language
) -> None:
    address = "https://git.example.com/daybook/docs/runbook.md"
    message = alert_message(
        alert(event), language=language, zone=BANGKOK, project="acme", runbook=address
    )
    assert f"\n\nRunbook: {address}#{event.value.replace('_', '-')}\n\n" in message.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", AlertEvent)
def test_the_commands_of_another_profile_name_it(event: AlertEvent, language: Language) -> None:
    """All that takes a profile; `doctor` and `migrate` look after the whole installation."""
    of_profiles = {name for name, one in COMMANDS.items() if "profile_name" in one}
    for facts in ({}, {"state": "failed"}, {"state": "empty"}, {"state": "unknown"}):
        for day in (DAY, None):
            other = replace(alert(event, **facts), profile="wallets", batch_date=day)
            text = told(other, language).text
            written = re.findall(r"`daybook ([a-z]+)([^`]*)`", text)
            assert {name for name, _ in written} <= COMMANDS.keys()
            for name, rest in written:
                assert (" --profile wallets" in rest) is (name in of_profiles), (name, rest)
            assert not re.search(r"`daybook-retry`", text)


@pytest.mark.parametrize("event", AlertEvent)
def test_both_languages_name_the_same_commands_and_jobs(event: AlertEvent) -> None:
    for facts in ({}, {"state": "failed"}, {"state": "empty"}, {"state": "unknown"}):
        named = [
            sorted(set(re.findall(r"`([^`]+)`", told(alert(event, **facts), language).text)))
            for language in LANGUAGES
        ]
        assert named[0] == named[1]


def test_a_failed_attempt_says_in_the_log_when_the_next_is_due(stream: io.StringIO) -> None:
    silent().alert(alert(AlertEvent.ATTEMPT_FAILED))
    assert record(stream)["message"] == (
        "Attempt 2 of 4 ended without a file. "
        "The next attempt is due at 2026-01-18 18:20 (Asia/Bangkok). "
        "Last error: google_drive: files.create: 503 backendError."
    )


@pytest.mark.parametrize(
    ("profile", "day", "end"),
    [
        ("daily", "2026-01-18", "/days/2026-01-18"),
        ("sales & co", "2026-01-18", "/days/2026-01-18?profile=sales%20%26%20co"),
        ("daily", None, "/"),
    ],
)
def test_an_alert_leads_to_its_day_on_the_status_page(
    profile: str, day: str | None, end: str
) -> None:
    alert = Alert(
        event=AlertEvent.BREAKER_OPENED, severity=logging.CRITICAL, profile=profile, batch_date=day
    )

    def lines(page: str | None) -> list[str]:
        message = alert_message(
            alert, language="en", zone=BANGKOK, project=None, runbook="docs/runbook.md", page=page
        )
        return message.text.split("\n\n")

    assert f"Status page: https://daybook.example.com{end}" in lines("https://daybook.example.com")
    assert not [line for line in lines(None) if line.startswith("Status page")]
