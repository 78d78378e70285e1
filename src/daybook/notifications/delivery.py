"""Delivery of messages through Apprise: to all addresses at once, within a time limit.

The addresses are secrets, and Apprise and the libraries it uses quote them in their log
records and errors. So what they log during a delivery is discarded, and only the kind of an
error is reported.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from daybook.notifications import markup
from daybook.notifications.messages import Message

WITHIN_SECONDS = 10.0

_delivering: ContextVar[bool] = ContextVar("delivering", default=False)


class DeliveryFault(StrEnum):
    """Why an address did not get the message; log records contain the value."""

    UNUSABLE = "unusable"  # Apprise does not know the service, or the address lacks a part
    REFUSED = "refused"  # the service refused, or could not be reached
    TIMEOUT = "timeout"  # not finished within the time limit; it may still arrive


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """An address that did not get the message, named without quoting it."""

    entry: int
    """The address's place in the list, from 1."""
    service: str
    """The scheme of its URL, as Apprise knows it (`slack`, `mailtos`); else `unknown`."""
    fault: DeliveryFault


def deliver(
    urls: Sequence[str], message: Message, severity: int, *, within_seconds: float = WITHIN_SECONDS
) -> list[Undelivered]:
    """Send `message` to every address; return those that did not get it.

    Never waits longer than `within_seconds`, and raises nothing, whatever the services do.
    `severity` is one of `logging`'s levels; some services show it as a colour.
    """
    if not urls:
        return []
    deadline = time.monotonic() + within_seconds
    sendings = [_Sending(entry, url) for entry, url in enumerate(urls, start=1)]
    _silence()
    for sending in sendings:
        sending.start(message, severity)
    faults = ((sending, sending.fault_by(deadline)) for sending in sendings)
    return [
        Undelivered(entry=sending.entry, service=sending.service, fault=fault)
        for sending, fault in faults
        if fault is not None
    ]


def unusable(urls: Sequence[str]) -> list[Undelivered]:
    """The addresses that Apprise cannot use at all. Sends nothing."""
    sendings = [_Sending(entry, url) for entry, url in enumerate(urls, start=1)]
    return [
        Undelivered(entry=sending.entry, service=sending.service, fault=DeliveryFault.UNUSABLE)
        for sending in sendings
        if not sending.usable
    ]


class _Sending:
    """One message on its way to one address."""

    def __init__(self, entry: int, url: str) -> None:
        self.entry = entry
        self.service, self._apprise = _service(url)
        self._delivered = False
        self._thread: threading.Thread | None = None

    @property
    def usable(self) -> bool:
        return self._apprise is not None

    def start(self, message: Message, severity: int) -> None:
        """Start a daemon thread: a service that never answers must not keep the process alive."""
        if self._apprise is not None:
            self._thread = threading.Thread(
                target=self._send, args=(message, severity), daemon=True, name="deliver"
            )
            self._thread.start()

    def fault_by(self, deadline: float) -> DeliveryFault | None:
        if self._thread is None:
            return DeliveryFault.UNUSABLE
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            return DeliveryFault.TIMEOUT
        return None if self._delivered else DeliveryFault.REFUSED

    def _send(self, message: Message, severity: int) -> None:
        _delivering.set(True)
        try:
            result = self._apprise.notify(
                title=markup.neutral(self.service, message.title),
                body=markup.neutral(self.service, message.text),
                # Without a format, Apprise sends the text unchanged.
                body_format=None if markup.is_ours(self.service) else "text",
                notify_type=_notify_type(severity),
            )
            self._delivered = bool(result)
        except Exception:  # noqa: BLE001  (its text may quote the address; it counts as refused)
            self._delivered = False


def _service(url: str) -> tuple[str, Any]:
    """The kind of service and an Apprise that sends to it alone, or None."""
    from apprise import Apprise, AppriseAsset
    from apprise.plugins import url_to_dict

    _silence()
    token = _delivering.set(True)
    service = "unknown"
    try:
        parts = url_to_dict(url)  # type: ignore[no-untyped-call]  # not annotated
        if parts is None:
            return service, None
        service = parts["schema"]
        if service in markup.FORMATS:
            parts["format"] = markup.FORMATS[service]
        # Without this a service refuses a message that is too long for it.
        parts.setdefault("overflow", "split")
        # A redirected POST becomes a GET, mostly of a sign-in page, which answers 200
        # although no one got the message. So a redirect is refused, whatever the address says.
        parts["redirect"] = False
        # Without its own time limit Apprise sends in our thread, not in one that is
        # waited for when the process ends.
        asset = AppriseAsset(
            app_id="Daybook",
            app_desc="Daybook",
            app_url="",
            image_url_mask="",
            image_url_logo="",
            async_mode=False,
            storage_mode="memory",
            service_timeout=0,
            http_redirects=False,
        )
        apprise = Apprise(asset=asset)
        return service, apprise if apprise.add(parts) else None
    except Exception:  # noqa: BLE001  (any of a hundred plugins may fail on an address)
        return service, None
    finally:
        _delivering.reset(token)


def _notify_type(severity: int) -> str:
    if severity >= logging.ERROR:
        return "failure"
    return "warning" if severity >= logging.WARNING else "info"


def _silence() -> None:
    """Discard what is logged during a delivery.

    A logger's filter sees only records logged on that logger, so each one gets the filter; the
    root's handlers get it for loggers that are made later. Adding a filter again has no effect.
    """
    for place in (*logging.root.manager.loggerDict.values(), *logging.root.handlers):
        if isinstance(place, logging.Filterer):
            place.addFilter(_not_delivering)


def _not_delivering(record: logging.LogRecord) -> bool:  # noqa: ARG001  (logging's signature)
    return not _delivering.get()
