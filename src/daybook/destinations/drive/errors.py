"""What a response from Drive means for the run: which error, and what the operator can do.

Statuses and reasons: https://developers.google.com/workspace/drive/api/guides/handle-errors
Reasons of all Google APIs: https://developers.google.com/youtube/v3/docs/core_errors
Newer ones, in capitals: https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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

NO_STORAGE_ADVICE = (
    "A service account owns no storage: move the folder to a shared drive and add the account "
    "there as Contributor or Content manager, or set DAYBOOK_DRIVE_SUBJECT to a user to act for"
)
NO_FOLDER_ADVICE = (
    "Check the folder ID in DAYBOOK_DESTINATION, and that the account is a member of the shared "
    "drive that contains the folder"
)
NO_ACCESS_ADVICE = "Add the account to the shared drive as Contributor or Content manager"
CREDENTIALS_ADVICE = (
    "Check that the function runs as a service account with the Drive scope and, when "
    "DAYBOOK_DRIVE_SUBJECT is set, that the account is token creator on itself and has "
    "domain-wide delegation for the Drive scope"
)
_SCOPE = (
    "The access token lacks the scope https://www.googleapis.com/auth/drive: on a laptop, log in "
    "with `gcloud auth application-default login` and this scope; with DAYBOOK_DRIVE_SUBJECT, "
    "allow it in the domain-wide delegation; on a virtual machine, among its access scopes"
)
_API_DISABLED = "Enable the Google Drive API in the project"
_DAILY_QUOTA = (
    "Raise the project's daily quota of the Drive API; it starts again at midnight Pacific time"
)
_FULL_STORAGE = (
    "The storage or a quota is used up: free or buy storage for the organisation or the user "
    "who owns the folder, and look at the project's quotas of the Drive API"
)
_FULL_DRIVE = "The shared drive is full: archive or delete files in it"
_FULL_FOLDER = "The folder is full: set DAYBOOK_DESTINATION to a new one"
_NO_FOLDER = "The ID in DAYBOOK_DESTINATION is not that of a folder: set drive://FOLDER_ID"
_MEMBERSHIP = (
    "The organisation lets only members of the shared drive work in it: add the account as a "
    "member of the drive itself, as Contributor or Content manager"
)
_DEPTH = "The folder is nested too deeply: set DAYBOOK_DESTINATION to one nearer to the drive's top"
_POLICY = (
    "A policy of the organisation forbids it: ask the Google Workspace administrator to allow "
    "Drive, its API and access by this account, or choose a folder that the policy allows"
)
_ACCOUNT = "The account is disabled, deleted or unverified: enable it, or run as another one"
_USER = (
    "The user in DAYBOOK_DRIVE_SUBJECT may not use Drive: give the user a licence and access, or "
    "act for another one"
)
_APPLICATION = (
    "The application may not use this file or folder: run with the full Drive scope, or share "
    "the folder with the account"
)
_PROJECT = (
    "The Google Cloud project is suspended, deleted or without billing, or the account may not "
    "use it: look at its state in the console"
)
_TOO_LARGE = "The request was too large: lower DAYBOOK_MULTIPART_LIMIT_BYTES (at most 5242880)"
_DOWNLOAD = "Drive does not hand out the file's content: open it in Drive, which says why"
_READ_ONLY = "The file or folder is locked against changes: unlock it in Drive"
_DAYBOOK = "Drive did not understand the request: report it, with this message, as a fault"

PASSING = frozenset(
    {
        "aborted",
        "backendError",
        "backendNotConnected",
        "badGateway",
        "concurrentLimitExceeded",
        "gatewayTimeout",
        "internalError",
        "limitExceeded",
        "notReady",
        "rateLimitExceeded",
        "responsePreparationFailure",
        "servingLimitExceeded",
        "sharingRateLimitExceeded",
        "transientError",
        "unknownError",
        "urlLeaseLimitExceeded",
        "userRateLimitExceeded",
        "variableTermLimitExceeded",
        "ABORTED",
        "INTERNAL",
        "RATE_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
    }
)
"""Reasons of a 403 after which the same request may succeed soon."""

ADVICE = {
    # Storage and limits
    "storageQuotaExceeded": (
        f"{NO_STORAGE_ADVICE}. If it acts for a user already, that user's storage is full"
    ),
    "quotaExceeded": _FULL_STORAGE,
    "RESOURCE_QUOTA_EXCEEDED": _FULL_STORAGE,
    "dailyLimitExceeded": _DAILY_QUOTA,
    "variableTermExpiredDailyExceeded": _DAILY_QUOTA,
    "teamDriveFileLimitExceeded": _FULL_DRIVE,
    "activeItemCreationLimitExceeded": (
        "The account that creates the files owns too many items: delete some of them, or deliver "
        "to a shared drive"
    ),
    "numChildrenInNonRootLimitExceeded": _FULL_FOLDER,
    "uploadTooLarge": _TOO_LARGE,
    "backendRequestTooLarge": _TOO_LARGE,
    # The folder
    "notFound": f"It is gone, or this account cannot see it. {NO_FOLDER_ADVICE}",
    "fileNotFound": f"It is gone, or this account cannot see it. {NO_FOLDER_ADVICE}",
    "parentNotAFolder": _NO_FOLDER,
    "invalidParent": _NO_FOLDER,
    "teamDrivesParentLimit": _NO_FOLDER,
    "teamDriveHierarchyTooDeep": _DEPTH,
    "myDriveHierarchyDepthLimitExceeded": _DEPTH,
    "fileNeverWritable": _READ_ONLY,
    "contentRestricted": _READ_ONLY,
    # Access
    "insufficientFilePermissions": NO_ACCESS_ADVICE,
    "insufficientParentPermissions": NO_ACCESS_ADVICE,
    "cannotAddParent": NO_ACCESS_ADVICE,
    "forbidden": NO_ACCESS_ADVICE,
    "permissionDenied": NO_ACCESS_ADVICE,
    "PERMISSION_DENIED": NO_ACCESS_ADVICE,
    "teamDriveMembershipRequired": _MEMBERSHIP,
    "fileOwnerNotMemberOfTeamDrive": _MEMBERSHIP,
    "fileOwnerNotMemberOfWriterDomain": _MEMBERSHIP,
    "teamDriveTeamMembersOnlyRestriction": _MEMBERSHIP,
    "teamDriveDomainUsersOnlyRestriction": (
        "The shared drive admits only users of its organisation: let it admit others, or act for "
        "a user of it (DAYBOOK_DRIVE_SUBJECT)"
    ),
    "fileWriterTeamDriveMoveInDisabled": (
        "The shared drive lets only managers add files: add the account as Content manager"
    ),
    "domainPolicy": _POLICY,
    "domainCannotUseApis": _POLICY,
    "shareOutNotPermitted": _POLICY,
    "publishOutNotPermitted": _POLICY,
    "SECURITY_POLICY_VIOLATED": _POLICY,
    "ORG_RESTRICTION_VIOLATION": _POLICY,
    "LOCATION_POLICY_VIOLATED": _POLICY,
    "userAccess": _USER,
    "appNotAuthorizedToFile": _APPLICATION,
    "appAccess": _APPLICATION,
    "downloadServiceForbidden": _DOWNLOAD,
    "downloadQuotaExceeded": _DOWNLOAD,
    "cannotDownloadFile": _DOWNLOAD,
    "cannotDownloadAbusiveFile": _DOWNLOAD,
    "fileNotDownloadable": _DOWNLOAD,
    # Credentials
    "authError": CREDENTIALS_ADVICE,
    "unknownAuth": CREDENTIALS_ADVICE,
    "dailyLimitExceededUnreg": CREDENTIALS_ADVICE,
    "rateLimitExceededUnreg": CREDENTIALS_ADVICE,
    "userRateLimitExceededUnreg": CREDENTIALS_ADVICE,
    "insufficientAudience": CREDENTIALS_ADVICE,
    "insufficientAuthorizedParty": CREDENTIALS_ADVICE,
    "UNAUTHENTICATED": CREDENTIALS_ADVICE,
    "CREDENTIALS_MISSING": CREDENTIALS_ADVICE,
    "ACCESS_TOKEN_EXPIRED": CREDENTIALS_ADVICE,
    "ACCESS_TOKEN_TYPE_UNSUPPORTED": CREDENTIALS_ADVICE,
    "insufficientPermissions": _SCOPE,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": _SCOPE,
    "accountDeleted": _ACCOUNT,
    "accountDisabled": _ACCOUNT,
    "accountUnverified": _ACCOUNT,
    "ACCOUNT_STATE_INVALID": _ACCOUNT,
    # The project
    "accessNotConfigured": _API_DISABLED,
    "SERVICE_DISABLED": _API_DISABLED,
    "BILLING_DISABLED": _PROJECT,
    "CONSUMER_INVALID": _PROJECT,
    "CONSUMER_SUSPENDED": _PROJECT,
    "USER_PROJECT_DENIED": _PROJECT,
    # The request
    "badRequest": _DAYBOOK,
    "invalid": _DAYBOOK,
    "invalidParameter": _DAYBOOK,
    "parseError": _DAYBOOK,
    "fieldNotWritable": _DAYBOOK,
    "sslRequired": "DAYBOOK_DRIVE_ENDPOINT must begin with https://",
}
"""What to do about a reason that is not transient."""


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
