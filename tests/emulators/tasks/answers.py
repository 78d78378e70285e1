"""What the stand-in for Cloud Tasks sends back: answers, and errors in Google's shape.

https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JSON_TYPE = "application/json; charset=UTF-8"

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_MESSAGES = {
    401: (
        "Request is missing required authentication credential. Expected OAuth 2 access token, "
        "login cookie or other valid authentication credential."
    ),
    403: "The caller does not have permission",
    409: "The operation was aborted.",
    429: "Quota exceeded for quota metric 'API requests' of service 'cloudtasks.googleapis.com'.",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
    504: "Deadline expired before operation could complete.",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE


class TasksError(Exception):
    """A refusal, with the status and the name that clients decide by."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        details: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or _CODES.get(status, "UNKNOWN")
        self.details = details

    def answer(self) -> Answer:
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "status": self.code,
        }
        if self.details:
            error["details"] = [dict(detail) for detail in self.details]
        return json_answer({"error": error}, status=self.status)


def refusal(status: int, *, message: str | None = None, reason: str | None = None) -> TasksError:
    """The error that a planned fault asks for.

    `reason` is a name of `google.rpc.Code` ("ABORTED") or of an `ErrorInfo`
    ("SERVICE_DISABLED").
    """
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "cloudtasks.googleapis.com"},
    }
    named = reason in {*_CODES.values(), "ABORTED", "FAILED_PRECONDITION"}
    return TasksError(
        status,
        message or _MESSAGES.get(status, "Unknown Error."),
        code=reason if named else None,
        details=() if named or reason is None else (info,),
    )


def invalid(message: str) -> TasksError:
    return TasksError(400, message)


def bad_payload(where: str, problem: str) -> TasksError:
    """JSON that does not fit the request's message; `where` is a path such as `task.name`."""
    violation = {"field": where, "description": problem}
    detail = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [violation],
    }
    return TasksError(400, problem, details=(detail,))


def lacks(permission: str, resource: str) -> TasksError:
    return TasksError(
        403,
        f'The principal (user or service account) lacks IAM permission "{permission}" for the '
        f'resource "{resource}" (or the resource may not exist).',
    )


def no_queue() -> TasksError:
    return TasksError(
        404,
        "Queue does not exist. If you just created the queue, wait at least a minute for the "
        "queue to initialize.",
    )


def json_answer(payload: Mapping[str, Any], *, status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps(payload, indent=2).encode())


def html_page(status: int) -> Answer:
    """The page of Google's front end when nothing behind it answers."""
    page = f"<!DOCTYPE html>\n<title>Error {status} (Server Error)!!1</title>\n"
    return Answer(status=status, body=page.encode(), content_type="text/html; charset=UTF-8")
