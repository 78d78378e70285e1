"""What the stand-in sends back: answers, and errors in the shape that Google gives them.

Shapes and reasons: https://developers.google.com/workspace/drive/api/guides/handle-errors
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

JSON_TYPE = "application/json; charset=UTF-8"

_USAGE_LIMITS = {
    "userRateLimitExceeded": "User Rate Limit Exceeded",
    "rateLimitExceeded": "Rate Limit Exceeded",
    "dailyLimitExceeded": "Daily Limit Exceeded",
}
_MESSAGES = {
    **_USAGE_LIMITS,
    "backendError": "Transient failure",
    "internalError": "Internal Error",
    "insufficientFilePermissions": "The user does not have sufficient permissions for this file.",
    "storageQuotaExceeded": (
        "Service Accounts do not have storage quota. Leverage shared drives "
        "(https://developers.google.com/workspace/drive/api/guides/about-shareddrives), or use "
        "OAuth delegation (http://support.google.com/a/answer/7281227) instead."
    ),
    "fileIdInUse": "A file already exists with the provided ID.",
    "authError": "Invalid Credentials",
}
_REASON_BY_STATUS = {
    401: "authError",
    409: "fileIdInUse",
    429: "rateLimitExceeded",
    500: "internalError",
    502: "backendError",
    503: "backendError",
    504: "backendError",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "")


class DriveError(Exception):
    """A refusal, with the status and reason that clients decide by."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        location: str | None = None,
        location_type: str = "parameter",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.location = location
        self.location_type = location_type

    def answer(self) -> Answer:
        detail: dict[str, str] = {
            "message": self.message,
            "domain": "usageLimits" if self.reason in _USAGE_LIMITS else "global",
            "reason": self.reason,
        }
        if self.location is not None:
            detail["location"] = self.location
            detail["locationType"] = self.location_type
        error = {"code": self.status, "message": self.message, "errors": [detail]}
        return json_answer({"error": error}, status=self.status)


class PlainRefusal(DriveError):
    """A refusal by Google's upload server, whose body is the bare message as text."""

    def answer(self) -> Answer:
        return Answer(
            status=self.status,
            body=self.message.encode(),
            headers={"Content-Type": "text/plain; charset=utf-8"},
        )


def refusal(status: int, reason: str | None = None, message: str | None = None) -> DriveError:
    """The error Google gives for a status, with its usual reason and words unless told."""
    chosen = reason or _REASON_BY_STATUS.get(status, "badRequest")
    return DriveError(status, chosen, message or _MESSAGES.get(chosen) or HTTPStatus(status).phrase)


def file_not_found(file_id: str) -> DriveError:
    return DriveError(404, "notFound", f"File not found: {file_id}.", location="fileId")


def invalid(message: str, *, location: str | None = None, kind: str = "parameter") -> DriveError:
    return DriveError(400, "invalid", message, location=location, location_type=kind)


def bad_request(message: str, *, location: str | None = None) -> DriveError:
    return DriveError(400, "badRequest", message, location=location)


def no_permission() -> DriveError:
    return refusal(403, "insufficientFilePermissions")


def json_answer(payload: Mapping[str, Any], *, status: int = 200) -> Answer:
    body = json.dumps(payload, indent=1, ensure_ascii=False).encode()
    return Answer(status=status, body=body, headers={"Content-Type": JSON_TYPE})


def html_page(status: int) -> Answer:
    """The page that Google's front end shows when nothing behind it answers."""
    page = (
        f"<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Error {status} (Server "
        f"Error)!!1</title>\n<p><b>{status}.</b> <ins>That\u2019s an error.</ins>\n"
        "<p>The server encountered a temporary error and could not complete your request.\n"
    )
    return Answer(
        status=status, body=page.encode(), headers={"Content-Type": "text/html; charset=UTF-8"}
    )
