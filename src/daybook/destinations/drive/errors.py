"""What a response from Drive means for the run: which error, and what the operator can do.

Statuses and reasons: https://developers.google.com/workspace/drive/api/guides/handle-errors
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from daybook.destinations.drive.reasons import ADVICE, CREDENTIALS_ADVICE, PASSING
from daybook.errors import (
    UNREADABLE,
    DestinationError,
    DestinationRefused,
    IdInvalid,
    IdTaken,
    SessionExpired,
    UncertainResponse,
)

_TAKEN = frozenset({"fileIdInUse", "alreadyExists", "duplicate", "ALREADY_EXISTS"})
"""Reasons of a 409 that mean a file under the ID; others mean concurrent requests."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_LONGEST_MESSAGE = 200


class Effect(StrEnum):
    """What a request may have done when its response is missing."""

    NONE = "none"  # it only reads, or what it leaves behind is invisible and harmless
    CREATES = "creates"  # it may have made a file
    CHANGES = "changes"  # it may have changed something else


@dataclass(frozen=True, kw_only=True)
class ErrorBody:
    """Google's error from a response body; empty when the body is not Google's JSON."""

    reason: str = ""
    location: str = ""
    message: str = ""

    @classmethod
    def read(cls, body: bytes) -> ErrorBody:
        """Read Google's JSON in any of its shapes.

        Drive lists `errors`, newer services send a `status` and `details`, token servers a bare
        word. Of several reasons, the first one that Daybook knows counts: Google puts a general
        one, such as `forbidden`, next to the specific one.
        """
        try:
            error: Any = json.loads(body)["error"]
        except UNREADABLE:
            return cls()
        if isinstance(error, str):
            error = {"status": error}
        if not isinstance(error, Mapping):
            return cls()
        details = [*_mappings(error.get("details")), *_mappings(error.get("errors"))]
        reasons = [reason for detail in details if (reason := _word(detail.get("reason")))]
        known = [reason for reason in reasons if _is_known(reason)]
        location = next((one["location"] for one in details if one.get("location")), "")
        messages = [error.get("message"), *(detail.get("message") for detail in details)]
        return cls(
            reason=next(iter([*known, *reasons]), _word(error.get("status"))),
            location=str(location),
            message=next((_shown(text) for text in messages if isinstance(text, str) and text), ""),
        )

    @property
    def passes(self) -> bool:
        """The same request may succeed soon."""
        return _uncapitalised(self.reason) in PASSING

    @property
    def advice(self) -> str | None:
        return ADVICE.get(_uncapitalised(self.reason))

    @property
    def quoted(self) -> str:
        """Reason and message as received, for an error that Daybook does not know."""
        return f"{self.reason} ({self.message})" if self.message else self.reason

    def is_about_the_id(self) -> bool:
        """Whether Google refuses the ID because it was not issued to this account."""
        return (
            self.reason in ("fileIdInvalid", "generatedIdNotSupported")
            or self.location in ("id", "file.id")
            or "file id" in self.message.lower()
        )

    def says_the_id_is_taken(self) -> bool:
        return self.reason in _TAKEN or "already exists with the provided id" in (
            self.message.lower()
        )


def _mappings(found: object) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _word(found: object) -> str:
    return found if isinstance(found, str) and _WORD.fullmatch(found) else ""


def _is_known(reason: str) -> bool:
    reason = _uncapitalised(reason)
    return reason in PASSING or reason in ADVICE or reason in _TAKEN


def _uncapitalised(reason: str) -> str:
    """Some reasons, such as `UrlLeaseLimitExceeded`, come in either case; all capitals are kept."""
    return reason if reason.isupper() else reason[:1].lower() + reason[1:]


def _shown(message: str) -> str:
    """A message on one line, without addresses: a session's works like a password."""
    words = message[: 2 * _LONGEST_MESSAGE].split()
    plain = ("…" if "://" in word or "upload_id" in word else word for word in words)
    return " ".join(plain)[:_LONGEST_MESSAGE]


def unanswered(operation: str, what: str, *, effect: Effect) -> DestinationError:
    """The error for a request whose response never came or cannot be understood."""
    if effect is Effect.NONE:
        return DestinationError(f"Drive {operation}: {what}")
    return UncertainResponse(f"Drive {operation}: {what}; it may have taken effect")


def refused(
    operation: str, status: int, body: bytes, *, effect: Effect, in_session: bool = False
) -> DestinationError:
    """The error for a response with a status that the operation does not expect.

    The message contains the operation, the status and Google's reason. It quotes no more of the
    body than Google's own message, without addresses, which may be a session's.
    """
    refusal = ErrorBody.read(body)
    said = f"Drive {operation} answered {status} {refusal.reason}".rstrip()
    if in_session and status in (404, 410):
        return SessionExpired(f"{said}: the upload session is gone")
    if effect is Effect.CREATES and status == 409 and refusal.says_the_id_is_taken():
        return IdTaken(f"{said}: a file exists under the ID")
    if effect is Effect.CREATES and status == 400 and refusal.is_about_the_id():
        return IdInvalid(f"{said}: the ID was not issued to this account")
    if _is_permanent(status, refusal, in_session=in_session):
        advice = refusal.advice or CREDENTIALS_ADVICE
        return DestinationRefused(f"{said}. {advice}")
    if 400 <= status < 500 and status not in (403, 408, 409, 429):
        advice = f". {refusal.advice}" if refusal.advice else ""
        return DestinationError(
            f"Drive {operation} answered {status} {refusal.quoted}".rstrip()
            + f": the request was turned down and took no effect{advice}"
        )
    shown = refusal.reason if _is_known(refusal.reason) else refusal.quoted
    return unanswered(operation, f"answered {status} {shown}".rstrip(), effect=effect)


def _is_permanent(status: int, refusal: ErrorBody, *, in_session: bool) -> bool:
    if status == 401:
        return True
    if status in (403, 413):
        # Without a reason it is a page of Google's front end, which is transient. An unknown
        # reason is retried too: it may be a limit, and the attempts are few.
        return refusal.advice is not None and not refusal.passes
    return status == 404 and refusal.reason == "notFound" and not in_session
