"""Alerts and receipts: they are logged, and sent to the configured addresses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from daybook import log
from daybook.display import clean
from daybook.export.model.notice import Alert, Receipt
from daybook.notifications import delivery
from daybook.notifications.messages import (
    Language,
    Message,
    alert_message,
    log_sentence,
    on_page,
)
from daybook.notifications.receipt import receipt_message


class Messages:
    """The `Messenger` of `export.notice`: never raises, and never waits long.

    `project` is the Google Cloud project whose logs the alerts link to, and `runbook` the address
    or path of the runbook, `page` the address of the status page.
    """

    def __init__(
        self,
        *,
        alert_urls: tuple[str, ...],
        receipt_urls: tuple[str, ...],
        language: Language,
        time_zone: ZoneInfo,
        project: str | None,
        runbook: str,
        page: str | None = None,
        within_seconds: float = delivery.WITHIN_SECONDS,
    ) -> None:
        self._alert_urls = alert_urls
        self._receipt_urls = receipt_urls
        self._language = language
        self._zone = time_zone
        self._project = project
        self._runbook = runbook
        self._page = page
        self._within_seconds = within_seconds

    def alert(self, alert: Alert) -> None:
        """Log it under its event, in English, then send it in the configured language."""
        about = _about(alert)
        try:
            sentence, error = log_sentence(alert, self._zone), None
        except Exception as unwritten:  # noqa: BLE001  (an alert is logged even if its facts are wrong)
            sentence, error = "The fields say what happened.", unwritten
        log.event(
            alert.severity,
            alert.event.value,
            sentence,
            exc_info=error,
            **{**alert.facts, **about},
        )
        self._send(
            self._alert_urls,
            lambda: alert_message(
                alert,
                language=self._language,
                zone=self._zone,
                project=self._project,
                runbook=self._runbook,
                page=self._page,
            ),
            alert.severity,
            message_kind=alert.event.value,
            **about,
        )

    def receipt(self, receipt: Receipt) -> int:
        """Send the message and log that it was sent; return how many addresses got it."""
        about = _about(receipt)
        delivered = self._send(
            self._receipt_urls,
            lambda: self._with_page(
                receipt, receipt_message(receipt, language=self._language, zone=self._zone)
            ),
            logging.INFO,
            message_kind="receipt",
            **about,
        )
        if delivered:
            log.event(
                logging.INFO,
                "receipt_sent",
                "The receipt of the day was delivered.",
                delivered_count=delivered,
                **about,
            )
        return delivered

    def _with_page(self, receipt: Receipt, message: Message) -> Message:
        """The message with a line that leads to the day on the status page."""
        lines = on_page(self._page, receipt.profile, receipt.batch_date, self._language)
        return replace(message, text="\n\n".join([message.text, *lines]))

    def _send(
        self,
        urls: tuple[str, ...],
        compose: Callable[[], Message],
        severity: int,
        **about: Any,
    ) -> int:
        """How many addresses got it."""
        if not urls:
            return 0
        try:
            composed = compose()
            text = "\n".join(map(clean, composed.text.split("\n")))
            message = replace(composed, title=clean(composed.title), text=text)
            missed = delivery.deliver(urls, message, severity, within_seconds=self._within_seconds)
        except Exception as error:  # noqa: BLE001  (a message must not fail the batch)
            log.event(
                logging.WARNING,
                "message_undelivered",
                "A message for people could not be written.",
                exc_info=error,
                **about,
            )
            return 0
        for one in missed:
            log.event(
                logging.WARNING,
                "message_undelivered",
                "A message for people could not be delivered.",
                service=one.service,
                entry=one.entry,
                fault=one.fault.value,
                **about,
            )
        return len(urls) - len(missed)


def _about(notice: Alert | Receipt) -> dict[str, Any]:
    """Fields that name the record's batch; one that is None is left out, as it would be a label."""
    fields = {
        "batch_id": notice.batch_id,
        "profile": notice.profile,
        "batch_date": notice.batch_date,
    }
    return {name: value for name, value in fields.items() if value is not None}
