"""Why MongoDB refused something: where, for which cause, and what to do about it.

It works with the server's replies, not with the driver's classes: anything with `code` and
`details` can be described, so no SDK is imported here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_REFUSED_COMMAND = re.compile(
    r"not authorized on (\S+) to execute command \{ (\w+): \"?([^\s\",}]+)"
)
# Atlas has its own wording for the same refusal.
_REFUSED_ACTION = re.compile(r"not allowed to do action \[(\w+)\] on \[([^\]]+)\]")
# In Atlas's wording too; without a code after the driver has retried and found no server.
_REFUSED_LOGIN = re.compile(r"(?:\S+: )?(?:Authentication failed|bad auth)\b")
_DUPLICATE = re.compile(r"E11000.*? collection: (\S+) index: (\S+)")
_NAMESPACE = (
    re.compile(r"'([^']+)' is a capped collection"),
    re.compile(r"Namespace (\S+) is a (?:view|timeseries)"),
    re.compile(r"time-series collection[^:]*: ([^\s,]+)"),
)

OWN_UNIQUE_KEYS: Mapping[str, frozenset[tuple[str, ...]]] = {
    "exportlogs": frozenset({("metadata.batchDate", "action", "metadata.profile")}),
    "exportbatches": frozenset({("profile", "batchDate"), ("profile", "manualKey")}),
    "transactions": frozenset(
        # The first one is from an earlier version.
        {("idempotencyKey",), ("idempotencyKey", "idempotencyCaller"), ("reverses",)}
    ),
    "wallets": frozenset({("ownerUserId",)}),
    "invites": frozenset({("code",)}),
    "campaignassignments": frozenset({("campaignId", "key")}),
}
"""Collection → keys of the unique indexes that Daybook declares (`mongo.indexes`)."""

SHOWN = 300
"""Characters of a server's message that are quoted."""


class Cause(StrEnum):
    """What refused; the values are not stored in any document."""

    PRIVILEGE = "privilege"  # the user of the database may not do it
    VALIDATOR = "validator"  # the collection's validator refused the document
    CAPPED = "capped"  # capped collections take no write, and show no snapshot, in a transaction
    VIEW = "view"  # the name belongs to a view
    TIME_SERIES = "time_series"  # the name belongs to a time series
    FOREIGN_INDEX = "foreign_index"  # a unique index that Daybook does not declare
    OWN_INDEX = "own_index"  # a unique index that Daybook declares
    INDEX_KEYS = "index_keys"  # an index that cannot hold the document's values
    TOO_LARGE = "too_large"  # the document would exceed 16 MB
    LOGIN = "login"  # user, password or certificate are refused
    NO_TRANSACTIONS = "no_transactions"  # a single server
    OTHER = "other"


_HINTS: Mapping[Cause, str] = {
    Cause.PRIVILEGE: ("give the user of DAYBOOK_MONGODB_URI the role that docs/security.md names"),
    Cause.VALIDATOR: (
        "change the validator of {collection} so that it accepts what docs/data-model.md "
        'describes, or set its validationAction to "warn"'
    ),
    Cause.CAPPED: "replace {collection} by an ordinary collection with the same documents",
    Cause.VIEW: "replace the view {collection} by an ordinary collection with the same documents",
    Cause.TIME_SERIES: "replace {collection} by an ordinary collection with the same documents",
    Cause.FOREIGN_INDEX: (
        "drop the index {index} of {collection}, or restrict it by a partialFilterExpression "
        "to the documents of its own application"
    ),
    Cause.INDEX_KEYS: "drop the index of {collection} that Daybook does not declare",
    Cause.TOO_LARGE: "make the document in {collection} smaller: MongoDB stores 16 MB at most",
    Cause.LOGIN: "correct user, password and authSource in DAYBOOK_MONGODB_URI",
    Cause.NO_TRANSACTIONS: "start mongod with --replSet and run rs.initiate()",
}

_PERMANENT = frozenset(_HINTS) - {Cause.LOGIN}
"""A login may fail while a password is being changed, and works again afterwards."""


@dataclass(frozen=True, kw_only=True)
class WriteError:
    """What MongoDB refused, in words for an operator, without values from documents."""

    code: int | None
    """The server's code; None for what never reached it."""
    cause: Cause
    collection: str | None
    """Without the database's name; None when it is unknown."""
    index: str | None
    message: str
    """What happened, without a hint."""

    @property
    def permanent(self) -> bool:
        """Whether repeating is useless until an operator has changed something."""
        return self.cause in _PERMANENT

    @property
    def hint(self) -> str | None:
        """What to do; None when repeating may be enough."""
        template = _HINTS.get(self.cause)
        if template is None:
            return None
        return template.format(
            collection=self.collection or "the collection", index=self.index or "in question"
        )

    def is_by(self, collection: str) -> bool:
        """Whether a unique index that Daybook declares on the collection refused the write."""
        return self.cause is Cause.OWN_INDEX and self.collection == collection

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}; {self.hint}"


def describe(error: Exception) -> WriteError:
    """Describe a driver's error; for a bulk write, its first write error.

    Never raises. An unknown error has the cause `OTHER` and the driver's message, without the
    server's reply and topology that it quotes.
    """
    reply = _first_refusal(error)
    code = reply.get("code")
    text = str(reply.get("errmsg") or _without_reply(error))
    found = _DUPLICATE.search(text)
    index = found[2] if found else None
    namespace = found[1] if found else _namespace(text)
    collection = None if namespace is None else namespace.partition(".")[2] or namespace
    if collection is None:
        collection = _noted(code)
    cause = _cause(code, text, collection, reply)
    return WriteError(
        code=code,
        cause=cause,
        collection=collection,
        index=index,
        message=_message(cause, code, text, collection, reply),
    )


def unauthorized(text: str) -> tuple[str, str] | None:
    """Command and namespace of MongoDB's "not authorized" message; None for other messages."""
    found = _REFUSED_COMMAND.search(text)
    if found is not None:
        database, command, collection = found.groups()
        return command, f"{database}.{collection}"
    found = _REFUSED_ACTION.search(text)
    return None if found is None else (found[1], found[2])


_last = threading.local()


def note(code: int | None, collection: str) -> None:
    """Store where this thread's last refusal happened, since some messages name no collection.

    Called by the client's monitor, in the thread that then handles the error.
    """
    _last.refusal = (code, collection)


def _noted(code: int | None) -> str | None:
    noted_code, collection = getattr(_last, "refusal", (None, None))
    return collection if code is not None and code == noted_code else None


def _first_refusal(error: Exception) -> Mapping[str, Any]:
    """The first write error of a bulk write, else the error's own reply."""
    details = getattr(error, "details", None)
    if not isinstance(details, Mapping):
        return {"code": getattr(error, "code", None)}
    for list_name in ("writeErrors", "writeConcernErrors"):
        errors = details.get(list_name)
        if errors:
            return dict(errors[0])
    return {"code": getattr(error, "code", None), **details}


def _without_reply(error: Exception) -> str:
    return str(error).partition(", full error:")[0].partition(", Topology Description:")[0]


def _namespace(text: str) -> str | None:
    refused = unauthorized(text)
    if refused is not None:
        return refused[1]
    return next((found[1] for one in _NAMESPACE if (found := one.search(text))), None)


def _cause(code: int | None, text: str, collection: str | None, reply: Mapping[str, Any]) -> Cause:
    series = "time-series" in text or "timeseries" in text
    # https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
    match code:
        case 13:  # Unauthorized
            return Cause.PRIVILEGE
        case 18:  # AuthenticationFailed
            return Cause.LOGIN
        case 8000 | None if _REFUSED_LOGIN.match(text):
            return Cause.LOGIN
        case 8000 if _REFUSED_ACTION.search(text):  # AtlasError
            return Cause.PRIVILEGE
        case 121:  # DocumentValidationFailure
            return Cause.VALIDATOR
        case 263:  # OperationNotSupportedInTransaction
            return Cause.TIME_SERIES if series else Cause.CAPPED
        case 166:  # CommandNotSupportedOnView
            return Cause.TIME_SERIES if series else Cause.VIEW
        case 246 if "capped" in text:  # SnapshotUnavailable
            return Cause.CAPPED
        case 10003:  # CannotGrowDocumentInCappedNamespace
            return Cause.CAPPED
        case 20 if "replica set" in text:  # IllegalOperation
            return Cause.NO_TRANSACTIONS
        case 20 if "capped" in text:
            return Cause.CAPPED
        case 171:  # CannotIndexParallelArrays
            return Cause.INDEX_KEYS
        case 10334 | 17419 | 17420:  # BSONObjectTooLarge, after an update
            return Cause.TOO_LARGE
        case 11000:  # DuplicateKey
            return _cause_of_duplicate(collection, reply)
    return Cause.OTHER


def _cause_of_duplicate(collection: str | None, reply: Mapping[str, Any]) -> Cause:
    keys = tuple(reply.get("keyPattern", ()))
    own = OWN_UNIQUE_KEYS.get(collection or "", frozenset())
    return Cause.OWN_INDEX if keys in own or keys in {(), ("_id",)} else Cause.FOREIGN_INDEX


def _message(
    cause: Cause, code: int | None, text: str, collection: str | None, reply: Mapping[str, Any]
) -> str:
    if cause is Cause.PRIVILEGE:
        refused = unauthorized(text)
        # Never the server's text: it quotes the command, including documents.
        return (
            "the user of the database lacks a privilege"
            if refused is None
            else f"the user may not run `{refused[0]}` on {refused[1]}"
        )
    if cause is Cause.LOGIN:
        return "the login was refused"
    # Nor the values of the refused document: this text goes into logs and records.
    text = text.partition(" dup key: ")[0]
    where = collection or "a collection"
    if cause is Cause.VALIDATOR:
        rules = ", ".join(dict.fromkeys(_rules(reply.get("errInfo", {}))))
        message = f"the validator of {where} refused the document" + (
            f" ({rules})" if rules else ""
        )
        return message[:SHOWN]
    shown = text[:SHOWN]
    if collection is not None and collection not in text:
        shown = f"{collection}: {shown}"
    if cause in {Cause.FOREIGN_INDEX, Cause.OTHER, Cause.OWN_INDEX} or code is None:
        return shown
    return f"{shown} (code {code})"


def _rules(info: Any) -> Iterator[str]:
    """Names of the rules and properties that were not satisfied; no values."""
    if isinstance(info, Mapping):
        for name in ("missingProperties", "additionalProperties"):
            named = info.get(name)
            if isinstance(named, list):
                said = "missing" if name == "missingProperties" else "not allowed"
                yield from (f"{said}: {each}" for each in named)
        if isinstance(info.get("propertyName"), str):
            yield f"property {info['propertyName']}"
        for value in info.values():
            yield from _rules(value)
    elif isinstance(info, list):
        for value in info:
            yield from _rules(value)
