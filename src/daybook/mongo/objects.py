"""Properties of Daybook's collections that others have set and that may refuse a write.

Collections may be capped, views or time series, or have a validator, a default collation, or
indexes of other applications. This module only reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from daybook import write_errors
from daybook.errors import ConfigurationError
from daybook.mongo import indexes
from daybook.mongo.indexes import NAMESPACE_NOT_FOUND
from daybook.write_errors import Cause

Document = dict[str, Any]

INSERTED: Mapping[str, frozenset[str]] = {
    "exportlogs": frozenset(
        {"queueId", "action", "message", "performedBy", "metadata", "createdAt", "updatedAt"}
    ),
    "exportslots": frozenset({"fence", "lease", "fileId", "identity", "seals", "updatedAt"}),
    "exportbatches": frozenset(
        {"profile", "batchDate", "manualKey", "state", "createdAt", "updatedAt"}
    ),
    "exportmanifests": frozenset({"profile", "number", "queueIds", "entryIds", "createdAt"}),
    "exportorphans": frozenset({"profile", "reason", "watchUntil", "createdAt"}),
    "circuitbreakers": frozenset({"failures", "openUntil"}),
    "wallets": frozenset({"ownerUserId", "currency", "availablePaise", "version", "createdAt"}),
    "transactions": frozenset(
        {"idempotencyKey", "requestHash", "type", "walletId", "amountPaise", "createdAt"}
    ),
    "users": frozenset({"name", "roles", "brandCode", "mediatorCode", "status", "createdAt"}),
    "invites": frozenset({"code", "parentCode", "status", "expiresAt", "createdAt"}),
    "campaignassignments": frozenset({"campaignId", "key"}),
}
"""Collections into which Daybook inserts, with the fields that its documents have."""

UPDATED: Mapping[str, frozenset[str]] = {
    "exportqueues": frozenset({"status", "metadata", "error", "updatedAt"}),
}
"""Collections in which Daybook only changes documents, with the fields that it changes.

The ledger inserts queue items and journal entries too, each with an `entryId` of its own.
"""

ALSO_INSERTED_BY_LEDGER: Mapping[str, frozenset[str]] = {
    "journalentries": frozenset({"date", "reference", "description", "currency", "lines"}),
}

READ = ("journalentries", "campaigns")

EXPORT_COLLECTIONS = (
    *("journalentries", "exportqueues", "exportlogs", "exportslots", "exportbatches"),
    *("exportmanifests", "exportorphans", "circuitbreakers"),
)
LEDGER_COLLECTIONS = (
    *("wallets", "transactions", "users", "invites", "campaigns", "campaignassignments"),
)
LEDGER_WRITES = ("wallets", "transactions", "users", "invites", "journalentries", "exportqueues")
COLLECTIONS = (*EXPORT_COLLECTIONS, *LEDGER_COLLECTIONS)


class ObjectKind(StrEnum):
    """The kind of an object; `doctor` and `migrate` show the values."""

    CAPPED = "capped"  # deletes its oldest documents, takes no write in a transaction
    VALIDATOR = "validator"  # may refuse a document
    COLLATION = "default collation"  # compares texts by a language's rules
    TTL_INDEX = "TTL index"  # deletes documents
    UNIQUE_INDEX = "unique index"  # of another application, over fields that Daybook writes
    VIEW = "view"
    TIME_SERIES = "time series"
    UNSEEN = "unseen"  # the user may not read the collection's options


@dataclass(frozen=True, kw_only=True)
class ObjectFault:
    """One object that prevents Daybook's writes, or may do so."""

    collection: str
    kind: ObjectKind
    detail: str
    """What it is and what to do, in one sentence."""
    blocks: bool
    """Whether it prevents every write. Otherwise that depends on the documents."""

    def __str__(self) -> str:
        return self.detail

    def to_doc(self) -> Document:
        return {"collection": self.collection, "kind": self.kind.value, "detail": self.detail}


def faults(
    database: Database[Document], collections: Sequence[str] = COLLECTIONS
) -> list[ObjectFault]:
    """Objects that prevent writes or may do so, by collection. Raises `PyMongoError`."""
    found: list[ObjectFault] = []
    options: Mapping[str, Document] = {}
    try:
        options = _described(database, collections)
    except OperationFailure as error:
        found.append(_unseen(error))
    ledger = "wallets" in collections and _has_wallets(database)
    for name in collections:
        found += _of_options(name, options.get(name, {}), ledger=ledger)
        if not options:
            found += _of_id_index(database, name)
        found += _of_indexes(name, _seen_indexes(database, name), ledger=ledger)
    return found


def _has_wallets(database: Database[Document]) -> bool:
    """Whether the ledger is used here: it inserts into what the export only reads or updates."""
    try:
        return database["wallets"].estimated_document_count() > 0
    except OperationFailure as error:
        _unseen(error)
        return False  # not by this user


def may_refuse_some(database: Database[Document], collection: str) -> bool:
    """Whether a write may be refused for one document and not for another.

    Raises `OperationFailure` when the user may not read its options.
    """
    described = _described(database, [collection]).get(collection, {})
    validated = any(
        fault.kind is ObjectKind.VALIDATOR for fault in _of_options(collection, described)
    )
    built = _indexes(database, collection)
    return validated or any(
        fault.kind is ObjectKind.UNIQUE_INDEX for fault in _of_indexes(collection, built)
    )


def check(database: Database[Document], collections: Sequence[str] = EXPORT_COLLECTIONS) -> None:
    """Raise `ConfigurationError` naming each collection that Daybook cannot work with.

    These are views, time series, capped collections that are written, and collections with a
    default collation: by a language's rules every query, `_id` included, would also match other
    documents. For a user who may not list collections, only views and collations are found.
    """
    try:
        described = _described(database, collections)
    except OperationFailure as error:
        _unseen(error)
        found = [fault for name in collections for fault in _of_id_index(database, name)]
    else:
        found = [
            fault
            for name in collections
            for fault in _of_options(name, described.get(name, {}))
            if fault.blocks
        ]
    if found:
        raise ConfigurationError("; ".join(fault.detail for fault in found))


def _of_id_index(database: Database[Document], name: str) -> list[ObjectFault]:
    """Faults that `listIndexes` alone shows: the index on `_id` inherits the default collation."""
    try:
        built = _indexes(database, name)
    except OperationFailure as error:
        if write_errors.describe(error).cause is Cause.VIEW:
            return list(_of_type(name, "view"))
        _unseen(error)
        return []
    return list(_collation(name, built.get("_id_", {}).get("collation")))


def _described(database: Database[Document], collections: Sequence[str]) -> dict[str, Document]:
    listed = database.list_collections(filter={"name": {"$in": list(collections)}})
    return {doc["name"]: dict(doc) for doc in listed}


def _seen_indexes(database: Database[Document], collection: str) -> dict[str, Document]:
    """The indexes that the user may read; a view has none."""
    try:
        return _indexes(database, collection)
    except OperationFailure as error:
        if write_errors.describe(error).cause is not Cause.VIEW:
            _unseen(error)
        return {}


def _indexes(database: Database[Document], collection: str) -> dict[str, Document]:
    try:
        return {index["name"]: dict(index) for index in database[collection].list_indexes()}
    except OperationFailure as error:
        if error.code == NAMESPACE_NOT_FOUND:
            return {}
        raise


def _unseen(error: OperationFailure) -> ObjectFault:
    """The fault that the user may not read the options; raises any other error."""
    refused = write_errors.describe(error)
    if refused.cause is not Cause.PRIVILEGE:
        raise error
    return ObjectFault(
        collection="",
        kind=ObjectKind.UNSEEN,
        detail=f"cannot be seen: {refused}",
        blocks=False,
    )


def _of_options(
    name: str, described: Mapping[str, Any], *, ledger: bool = False
) -> Iterator[ObjectFault]:
    yield from _of_type(name, described.get("type", "collection"))
    options = described.get("options", {})
    if options.get("capped"):
        yield ObjectFault(
            collection=name,
            kind=ObjectKind.CAPPED,
            detail=f"{name} is capped: MongoDB deletes its oldest documents and refuses writes in "
            "transactions; replace it by an ordinary collection with the same documents",
            blocks=name not in READ,
        )
    if described.get("type") == "collection":
        yield from _collation(name, options.get("collation"))
    refuses = (
        options.get("validationAction", "error") != "warn"
        and options.get("validationLevel", "strict") != "off"
    )
    only_read = name in READ and not (ledger and name in LEDGER_WRITES)
    if options.get("validator") and refuses and not only_read:
        yield ObjectFault(
            collection=name,
            kind=ObjectKind.VALIDATOR,
            detail=f"{name} has a validator that may refuse what Daybook writes: let it accept "
            'what docs/data-model.md describes, or set its validationAction to "warn"',
            blocks=False,
        )


def _of_type(name: str, kind: str) -> Iterator[ObjectFault]:
    if kind in {"view", "timeseries"}:
        what = "a view" if kind == "view" else "a time series"
        yield ObjectFault(
            collection=name,
            kind=ObjectKind.VIEW if kind == "view" else ObjectKind.TIME_SERIES,
            detail=f"{name} is {what}, which has no indexes and takes no write in a transaction: "
            "replace it by an ordinary collection with the same documents",
            blocks=True,
        )


def _collation(name: str, collation: Mapping[str, Any] | None) -> Iterator[ObjectFault]:
    if collation and collation.get("locale") != "simple":
        rules = f"locale {collation.get('locale')}, strength {collation.get('strength')}"
        yield ObjectFault(
            collection=name,
            kind=ObjectKind.COLLATION,
            detail=f"{name} has a default collation ({rules}), by which different texts count as "
            "equal: copy its documents into a collection without one, and give that its name",
            blocks=True,
        )


def _of_indexes(
    name: str, built: Mapping[str, Mapping[str, Any]], *, ledger: bool = False
) -> Iterator[ObjectFault]:
    declared = [index for index in indexes.INDEXES if index.collection == name]
    for index_name, index in built.items():
        if any(one.matches(index) for one in declared):
            continue
        if index.get("expireAfterSeconds") is not None:
            yield ObjectFault(
                collection=name,
                kind=ObjectKind.TTL_INDEX,
                detail=f"the TTL index {index_name} of {name} makes MongoDB delete documents that "
                "Daybook needs: drop it",
                blocks=False,
            )
        if index.get("unique") and _touches(name, index, declared, ledger):
            keys = ", ".join(index["key"])
            yield ObjectFault(
                collection=name,
                kind=ObjectKind.UNIQUE_INDEX,
                detail=f"the unique index {index_name} of {name} on {keys}, which Daybook does not "
                "declare, may refuse what it writes: drop it, or restrict it by a "
                "partialFilterExpression to the documents of its own application",
                blocks=False,
            )


def _touches(
    name: str, index: Mapping[str, Any], declared: Sequence[indexes.Index], ledger: bool
) -> bool:
    """Whether the index could hold two documents that Daybook writes to be equal."""
    keys = list(index["key"])
    if "_id" in keys or any(one.unique and list(one.keys) == keys for one in declared):
        return False  # never equal, or `migrate` replaces it
    tops = {key.partition(".")[0] for key in keys}
    inserted = INSERTED.get(name, ALSO_INSERTED_BY_LEDGER.get(name))
    narrow = bool(index.get("sparse") or index.get("partialFilterExpression"))
    if inserted is None:
        # The ledger's queue items have no field of another application's, so all are equal.
        added = ledger and name in LEDGER_WRITES and "entryId" not in tops and not narrow
        return added or bool(tops & UPDATED.get(name, frozenset()))
    return not narrow or bool(tops & inserted)
