"""docs/alerts.md shows the alerts and receipts as they are really written."""

from __future__ import annotations

import logging
import re

import pytest

from daybook.export.model.notice import AlertEvent
from daybook.notifications import delivery
from daybook.notifications.messages import Message
from tests import pages
from tests.unit.notifications.test_alerts import LANGUAGES, alert, told
from tests.unit.notifications.test_alerts_receipt import EMPTY, EXAMPLE
from tests.unit.notifications.test_alerts_receipt import told as receipt_told

PAGE = pages.text_of("alerts.md")


def block(message: Message) -> str:
    return f"```text\n{message.title}\n\n{message.text}\n```\n"


def heading(event: AlertEvent) -> str:
    return f"### {event.value.replace('_', ' ').capitalize()}\n"


def test_every_alert_has_its_row_with_its_severity_and_no_other_has() -> None:
    rows = pages.table("alerts.md", "event")
    assert [(pages.words(row[0])[0], row[1]) for row in rows] == [
        (event.value, logging.getLevelName(alert(event).severity)) for event in AlertEvent
    ]


@pytest.mark.parametrize("event", AlertEvent)
def test_every_alert_has_its_section_with_the_text_that_people_get(event: AlertEvent) -> None:
    section = PAGE.partition(heading(event))[2].partition("\n##")[0]
    message = told(alert(event))
    without_link = Message(title=message.title, text=message.text.rpartition("\n\n")[0])
    advice, _, example = section.strip().partition("\n\n")
    assert advice.endswith(".")
    assert example == block(without_link).strip()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_receipts_are_shown_as_people_get_them(language: str) -> None:
    for receipt in (EXAMPLE, EMPTY):
        assert block(receipt_told(receipt, "th" if language == "th" else "en")) in PAGE


def test_the_addresses_are_ones_that_work() -> None:
    rows = pages.table("alerts.md", "service")
    addresses = [pages.words(row[1])[0] for row in rows]
    assert len(addresses) >= 5
    assert delivery.unusable(addresses) == []


def test_every_fault_is_explained() -> None:
    rows = pages.table("alerts.md", "fault")
    assert pages.column(rows) == [fault.value for fault in delivery.DeliveryFault]


def test_the_time_limit_is_the_real_one() -> None:
    (seconds,) = re.findall(r"longer than (\d+) seconds", PAGE)
    assert float(seconds) == delivery.WITHIN_SECONDS
