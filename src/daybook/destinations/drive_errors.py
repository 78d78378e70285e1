"""What an answer of Drive means for the run: which error, and what the operator can do.

Statuses and reasons: https://developers.google.com/workspace/drive/api/guides/handle-errors
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from daybook.errors import (
    DestinationDoubt,
    DestinationError,
    DestinationRefused,
    IdInvalid,
    IdTaken,
    SessionGone,
)

NO_STORAGE_ADVICE = (
    "A service account owns no storage: move the folder to a shared drive and add the account "
    "there as Contributor or Content manager, or set DAYBOOK_DRIVE_SUBJECT to a user to act for"
)
NO_FOLDER_ADVICE = (
    "Check the folder id in DAYBOOK_DESTINATION, and that the account is a member of the shared "
    "drive in which the folder lies"
)
NO_ACCESS_ADVICE = "Add the account to the shared drive as Contributor or Content manager"
CREDENTIALS_ADVICE = (
    "Check that the function runs as a service account with the Drive scope and, when "
    "DAYBOOK_DRIVE_SUBJECT is set, that the account is token creator on itself and has "
    "domain-wide delegation for the Drive scope"
)
_ADVICE = {
    "storageQuotaExceeded": NO_STORAGE_ADVICE,
    "teamDriveFileLimitExceeded": "The shared drive is full: archive or delete files in it",
    "numChildrenInNonRootLimitExceeded": "The folder is full: set DAYBOOK_DESTINATION to a new one",
    "accessNotConfigured": "Enable the Google Drive API in the project",
    "dailyLimitExceeded": "Raise the project's daily quota of the Drive API",
    "notFound": f"It is gone, or this account cannot see it. {NO_FOLDER_ADVICE}",
    "authError": CREDENTIALS_ADVICE,
}
_RATE_LIMITS = frozenset({"userRateLimitExceeded", "rateLimitExceeded"})
_WORD = re.compile(r"[A-Za-z_]{1,64}")


class Effect(StrEnum):
    """What a request may have done when its answer is missing."""

    NONE = "none"  # it only reads, or what it leaves behind is invisible and harmless
    CREATES = "creates"  # it may have made a file
    CHANGES = "changes"  # it may have changed something else


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What Google says in the body of an error; empty where the body is not Google's JSON."""

    reason: str = ""
    location: str = ""
    message: str = ""

    @classmethod
    def read(cls, body: bytes) -> Refusal:
        try:
            error: Any = json.loads(body)["error"]
            detail = error["errors"][0]
            reason = str(detail["reason"])
        except (ValueError, KeyError, IndexError, TypeError):
            return cls()
        if not _WORD.fullmatch(reason):
            return cls()
        return cls(
            reason=reason,
            location=str(detail.get("location", "")),
            message=str(detail.get("message", "")),
        )

    def is_about_the_id(self) -> bool:
        """The words of Google's refusal of an id that was not issued to this account."""
        return (
            self.reason in ("fileIdInvalid", "generatedIdNotSupported")
            or self.location in ("id", "file.id")
            or "file id" in self.message.lower()
        )


def unanswered(operation: str, what: str, *, effect: Effect) -> DestinationError:
    """The error for a request whose answer never came, or cannot be understood."""
    if effect is Effect.NONE:
        return DestinationError(f"Drive {operation}: {what}")
    return DestinationDoubt(f"Drive {operation}: {what}; it may have taken effect")


def refused(
    operation: str, status: int, body: bytes, *, effect: Effect, in_session: bool = False
) -> DestinationError:
    """The error for an answer with a status that the operation does not expect.

    The message carries the operation, the status and Google's reason. It never quotes the
    body, which may repeat a session's address.
    """
    refusal = Refusal.read(body)
    said = f"Drive {operation} answered {status} {refusal.reason}".rstrip()
    if in_session and status in (404, 410):
        return SessionGone(f"{said}: the upload session is gone")
    if effect is Effect.CREATES and status == 409:
        return IdTaken(f"{said}: a file exists under the id")
    if effect is Effect.CREATES and status == 400 and refusal.is_about_the_id():
        return IdInvalid(f"{said}: the id was not issued to this account")
    if _is_permanent(status, refusal, in_session=in_session):
        fallback = CREDENTIALS_ADVICE if status == 401 else NO_ACCESS_ADVICE
        return DestinationRefused(f"{said}. {_ADVICE.get(refusal.reason, fallback)}")
    if 400 <= status < 500 and status not in (403, 408, 409, 429):
        return DestinationError(f"{said}: the request was turned down and took no effect")
    return unanswered(operation, f"answered {status} {refusal.reason}".rstrip(), effect=effect)


def _is_permanent(status: int, refusal: Refusal, *, in_session: bool) -> bool:
    if status == 401:
        return True
    if status == 403:
        # A 403 without a reason is a page of Google's front end, which passes.
        return bool(refusal.reason) and refusal.reason not in _RATE_LIMITS
    return status == 404 and refusal.reason == "notFound" and not in_session
