"""Whether exported entries are in delivered files, and the files' totals match them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import bson
from bson import Decimal128, ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.destinations.base import Destination
from daybook.errors import DaybookError
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch, rejected_of
from daybook.export.model.fields import Fields
from daybook.export.model.ids import LENIENT, hashable
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.profile import Profile
from daybook.export.model.seal import totals_from
from daybook.export.queue import manifest as manifests
from daybook.export.queue.mark import Delivery
from daybook.export.rendering.cells.money import CurrencyReader, decimals_of
from daybook.export.rendering.cells.values import RejectedValue
from daybook.wallets.reconcile.delivered import content, record
from daybook.wallets.reconcile.kind import LedgerDifference, LedgerDifferenceKind


@dataclass(kw_only=True)
class Expected:
    """Entries of the ledger's queue items. An entry that is found in a file is removed."""

    exported: dict[Hashable, set[Hashable]] = field(default_factory=lambda: defaultdict(set))
    """ID of the file that completed items name → their entries."""
    unexported: set[Hashable] = field(default_factory=set)
    """Entries whose items are not completed."""


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """One file; or, at the end, the exported entries that no file contains."""

    differences: list[LedgerDifference] = field(default_factory=list)
    delivered: bool = True


def files(
    database: Database[dict[str, Any]],
    session: ClientSession,
    profile: Profile,
    expected: Expected,
    destination: Destination | None,
) -> Iterator[CheckedFile]:
    """Compare the profile's daily files; with a `destination` their bytes as well."""
    found = database[batches.COLLECTION].find(
        {
            "profile": profile.name,
            "state": BatchState.COMMITTED.value,
            "batchDate": {"$type": "string"},
            "manifest": {"$type": "object"},
        },
        session=session,
    )
    for doc in found:
        if not isinstance(doc["_id"], ObjectId):
            continue  # not written by Daybook
        differences = list(_file(database, session, profile, doc, expected))
        differences += record(database, session, doc)
        if destination is not None and doc.get("markedAt") is not None:
            differences += content(destination, doc)
        yield CheckedFile(differences=differences)
    yield CheckedFile(differences=list(_in_no_file(expected)), delivered=False)


def _in_no_file(expected: Expected) -> Iterator[LedgerDifference]:
    for file_key, entry_ids in expected.exported.items():
        file_id = _shown(file_key)
        where = "names no file" if file_id is None else f"names file {file_id}"
        for entry_id in entry_ids:
            yield LedgerDifference(
                kind=LedgerDifferenceKind.NOT_DELIVERED,
                detail=f"entry {_shown(entry_id)} is completed and {where}, but is in no "
                "manifest of a delivered file of that ID",
            )


def _file(
    database: Database[dict[str, Any]],
    session: ClientSession,
    profile: Profile,
    doc: Mapping[str, Any],
    expected: Expected,
) -> Iterator[LedgerDifference]:
    batch = Batch.from_doc(doc)
    named = expected.exported.get(hashable(doc.get("fileId")), set())
    sums: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    try:
        delivery = Delivery.of_batch(
            doc,
            profile=profile,
            rejected=rejected_of(database[manifests.COLLECTION], doc),
        )
        for part in manifests.read(database[manifests.COLLECTION], delivery.manifest):
            rejected_ids = {hashable(item.queue_id) for item in delivery.rejected_of(part)}
            entry_ids = [
                entry_id
                for queue_id, entry_id in zip(part.queue_ids, part.entry_ids, strict=True)
                if hashable(queue_id) not in rejected_ids
            ]
            keys = set(map(hashable, entry_ids))
            named -= keys
            if batch.marked_at is not None:
                yield from _not_completed(batch, expected.unexported & keys)
            _add_up(database, session, profile, entry_ids, sums)
    except DaybookError as error:
        yield LedgerDifference(
            kind=LedgerDifferenceKind.FILE, detail=f"{doc['filename']} ({batch.id}): {error}"
        )
    else:
        yield from _totals(batch, sums)


def _not_completed(batch: Batch, entry_ids: set[Hashable]) -> Iterator[LedgerDifference]:
    for entry_id in entry_ids:
        yield LedgerDifference(
            kind=LedgerDifferenceKind.NOT_COMPLETED,
            detail=f"entry {_shown(entry_id)} is in {batch.doc['filename']}, but no queue item "
            "of it is completed",
        )


def _totals(batch: Batch, sums: Mapping[str, Mapping[str, Decimal]]) -> Iterator[LedgerDifference]:
    totals = totals_from(Fields.of(batch.doc, batches.COLLECTION))
    for currency in sorted({*totals, *sums}):
        of_file = totals.get(currency)
        sides = {
            "debit": Decimal() if of_file is None else of_file.debit,
            "credit": Decimal() if of_file is None else of_file.credit,
        }
        for side, recorded in sides.items():
            found = sums.get(currency, {}).get(side, Decimal())
            if recorded != found:
                yield LedgerDifference(
                    kind=LedgerDifferenceKind.TOTALS,
                    detail=f"{batch.doc['filename']}: {side} of {recorded} {currency} recorded, "
                    f"its entries have {found}",
                )


def _add_up(
    database: Database[dict[str, Any]],
    session: ClientSession,
    profile: Profile,
    entry_ids: list[Any],
    sums: dict[str, dict[str, Decimal]],
) -> None:
    """Add the lines of the entries, each in its currency's decimals as in the file."""
    source = profile.source
    reader = CurrencyReader(profile.currency, profile.decimals)
    per_currency = database[source.entries].aggregate(
        [
            {"$match": {"_id": {"$in": entry_ids}}},
            {"$unwind": f"${source.lines}"},
            {
                "$group": {
                    # An amount that is not a decimal can be rounded only once its currency is
                    # known, so equal amounts are counted here, and rounded before they are added.
                    "_id": {
                        "currency": f"${source.currency}",
                        "debit": _exact(f"${source.lines}.{source.debit}"),
                        "credit": _exact(f"${source.lines}.{source.credit}"),
                    },
                    "lines": {"$sum": 1},
                }
            },
        ],
        session=session,
        allowDiskUse=True,
    )
    for doc in per_currency:
        group, lines = doc["_id"], doc["lines"]
        currency = _currency(reader, group.get("currency"))
        decimals = decimals_of(currency, profile.decimals)
        for side in ("debit", "credit"):
            value: Decimal128 = group[side]
            sums[currency][side] += _rounded(value.to_decimal(), decimals) * lines


def _currency(reader: CurrencyReader, value: Any) -> str:
    """The currency as the file has it; a value that no file can contain, by its appearance."""
    try:
        return reader.read(value).code
    except RejectedValue:
        return f"{value!r:.40}"


def _rounded(value: Decimal, decimals: int) -> Decimal:
    """Zero for a value that no file can hold: the entry was changed, and the totals show it."""
    try:
        return round(value, decimals)
    except InvalidOperation:
        return Decimal()


def _shown(key: Hashable) -> Any:
    """An ID that `hashable` made a key of, in readable form."""
    if isinstance(key, tuple) and key[0] == "other":
        return bson.decode(key[1], codec_options=LENIENT)[""]
    return key[1] if isinstance(key, tuple) else key


def _exact(path: str) -> dict[str, Any]:
    zero = Decimal128("0")
    return {"$convert": {"input": path, "to": "decimal", "onError": zero, "onNull": zero}}
