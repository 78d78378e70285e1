"""An alert as a message.

In this order: what can be done from a phone, the command, the runbook's chapter, what happened,
the day, what it means for the accountant, links to the file and the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from daybook.export.model.notice import Alert, AlertEvent
from daybook.export.model.profile import DAILY
from daybook.notifications import en, logs_link, th
from daybook.notifications.facts import AlertText, Facts, one_line

Language = Literal["en", "th"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message to people: a title of one line, and a text of several."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class _Words:
    """The words around an alert's own text."""

    texts: Mapping[AlertEvent, Callable[[Facts], AlertText]]
    severities: Mapping[int, str]
    day: str
    profile: str
    phone: str
    command: str
    meaning: str
    file: str
    logs: str
    page: str


_WORDS: Mapping[Language, _Words] = {
    "en": _Words(
        texts=en.TEXTS,
        severities={},
        day="Day",
        profile="Profile",
        phone="From a phone",
        command="Command",
        meaning="What it means for the accountant",
        file="The file",
        logs="Logs",
        page="Status page",
    ),
    "th": _Words(
        texts=th.TEXTS,
        severities={
            logging.CRITICAL: "วิกฤต",
            logging.ERROR: "ข้อผิดพลาด",
            logging.WARNING: "แจ้งเตือน",
            logging.INFO: "แจ้งเพื่อทราบ",
        },
        day="วันที่",
        profile="โปรไฟล์",
        phone="จากโทรศัพท์",
        command="คำสั่ง",
        meaning="ผลต่อฝ่ายบัญชี",
        file="ไฟล์",
        logs="บันทึกการทำงาน",
        page="หน้าสถานะ",
    ),
}


def alert_message(
    alert: Alert,
    *,
    language: Language,
    zone: ZoneInfo,
    project: str | None,
    runbook: str,
    page: str | None = None,
) -> Message:
    """The alert for people.

    `project` is the Google Cloud project that has the logs; `runbook` is where the runbook can be
    read, an address or a path; `page` is the address of the status page.
    """
    words = _WORDS[language]
    alert_text = words.texts[alert.event](Facts(alert=alert, zone=zone))
    severity = words.severities.get(alert.severity, logging.getLevelName(alert.severity))
    return Message(
        title=one_line(f"[{severity}] {subject(alert)}: {alert_text.title}", longest=200),
        text="\n\n".join(
            [
                f"{words.phone}: {alert_text.phone}",
                f"{words.command}: {alert_text.command}",
                f"Runbook: {chapter(runbook, alert.event)}",
                *on_page(page, alert.profile, alert.batch_date, language),
                alert_text.happened,
                *_identity(alert, words, language),
                f"{words.meaning}: {alert_text.meaning}",
                *([f"{words.file}: {alert_text.link}"] if alert_text.link else []),
                f"{words.logs}: {logs_link.where(alert, zone, project)}",
            ]
        ),
    )


def log_sentence(alert: Alert, zone: ZoneInfo) -> str:
    """What happened, in English, for the log record."""
    return en.TEXTS[alert.event](Facts(alert=alert, zone=zone)).happened


def subject(alert: Alert) -> str:
    """What the message is about: `Daybook 2026-01-18`, with the profile unless it is daily."""
    profile = "" if alert.profile == DAILY else f" {alert.profile}"
    return f"Daybook{profile}" + (f" {alert.batch_date}" if alert.batch_date else "")


def on_page(
    page: str | None, profile: str, batch_date: str | None, language: Language
) -> list[str]:
    """The line that leads to the day on the status page, or to its overview; none without one."""
    if page is None:
        return []
    day = "/" if batch_date is None else f"/days/{batch_date}"
    chosen = "" if profile == DAILY else f"?profile={quote(profile, safe='')}"
    return [f"{_WORDS[language].page}: {page}{day}{chosen}"]


def chapter(runbook: str, event: AlertEvent) -> str:
    """The runbook's chapter on the event; its heading is the event's name."""
    return f"{runbook}#{event.value.replace('_', '-')}"


def _identity(alert: Alert, words: _Words, language: Language) -> list[str]:
    lines = []
    if alert.batch_date is not None:
        day = alert.batch_date
        if language == "th":
            day = f"{th.long_date(date.fromisoformat(day))} ({day})"
        lines.append(f"{words.day}: {day}")
    if alert.profile != DAILY:
        lines.append(f"{words.profile}: {alert.profile}")
    return ["\n".join(lines)] if lines else []
