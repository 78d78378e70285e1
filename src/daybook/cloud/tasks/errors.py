"""What a refusal by Cloud Tasks means, and what an operator can do about it.

https://cloud.google.com/apis/design/errors
https://cloud.google.com/tasks/docs/reference-access-control
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from daybook.errors import UNREADABLE

CREDENTIALS_ADVICE = (
    "Run as a service account, or log in with `gcloud auth application-default login`"
)
_LONGEST_MESSAGE = 400


class Failure(Exception):
    """A failed try; `may_pass` says whether the same request may succeed later."""

    def __init__(self, said: str, *, may_pass: bool) -> None:
        super().__init__(said)
        self.may_pass = may_pass


@dataclass(frozen=True, kw_only=True)
class ErrorResponse:
    """A response of Cloud Tasks that is not 2xx."""

    status: int
    code: str = ""
    """Google's name for the error, such as NOT_FOUND; empty when another server responded."""
    message: str = ""
    reasons: frozenset[str] = frozenset()
    """Reasons of the `ErrorInfo` details, such as SERVICE_DISABLED."""

    @classmethod
    def read(cls, status: int, body: bytes) -> Self:
        try:
            error: Any = json.loads(body)["error"]
            code, message = str(error["status"]), str(error["message"])
            details = error.get("details", [])
        except UNREADABLE:
            return cls(status=status)
        if not isinstance(details, list):
            details = []
        return cls(
            status=status,
            code=code,
            message=" ".join(message.split())[:_LONGEST_MESSAGE],
            reasons=frozenset(
                str(detail["reason"])
                for detail in details
                if isinstance(detail, Mapping) and "reason" in detail
            ),
        )

    @property
    def says_it_exists(self) -> bool:
        """Whether the task exists, or existed not long ago. ABORTED has status 409 as well."""
        return self.status == 409 and self.code == "ALREADY_EXISTS"

    @property
    def may_pass(self) -> bool:
        return self.status in (408, 409, 429) or self.status >= 500

    @property
    def said(self) -> str:
        return f"answered {self.status} {self.code} {self.message}".rstrip(" .")

    def advice(self, *, permission: str, role: str, service_account: str | None) -> str:
        """What to do about it; `permission`, contained in `role`, is what the call needs."""
        if "SERVICE_DISABLED" in self.reasons:
            return "Enable the API: `gcloud services enable cloudtasks.googleapis.com`"
        if self.status == 401:
            return CREDENTIALS_ADVICE
        if "iam.serviceAccounts.actAs" in self.message:
            return (
                f"Give Daybook's service account iam.serviceAccounts.actAs on {service_account} "
                "(roles/iam.serviceAccountUser), or correct DAYBOOK_TASKS_SERVICE_ACCOUNT"
            )
        if self.status == 403:
            return (
                f"Give Daybook's service account {permission} on the queue ({role}), "
                "or correct DAYBOOK_TASKS_QUEUE"
            )
        if self.status == 404 or self.code == "FAILED_PRECONDITION":
            return (
                "Create the queue, or correct DAYBOOK_TASKS_QUEUE; a queue that was not used for "
                "30 days may need a few minutes to wake up"
            )
        if self.status == 429:
            return "A quota of Cloud Tasks is used up: look at the project's quotas"
        if self.status == 400:
            return "Correct the DAYBOOK_TASKS_* settings, DAYBOOK_SERVICE_URL or the retry delays"
        return "Try again; if it stays so, look at Google Cloud's status page"
