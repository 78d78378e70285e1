"""Whether exported entries stand in delivered files, and the files' totals are theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bson import Decimal128
from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.errors import DaybookError
from daybook.export import batch as batches
from daybook.export import manifest as manifests
from daybook.export.batch import Batch
from daybook.export.keys import hashable
from daybook.export.mark import Delivery
from daybook.export.profile import Profile
from daybook.export.retry import BatchState
from daybook.export.sheet.currency import decimals_of
from daybook.wallets.reconcile_kind import Difference, DifferenceKind


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """One file, or at the end what is said to be exported and stands in none."""

    differences: list[Difference] = field(default_factory=list)
    delivered: bool = True


def files(
    database: Database[dict[str, Any]],
    session: ClientSession,
    profile: Profile,
    exported: dict[str | None, set[Any]],
) -> Iterator[CheckedFile]:
    """Compare the profile's daily files; `exported` are entries by the file they name.

    Those that are found are taken out of `exported`.
    """
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
        yield _file(database, session, profile, doc, exported.get(doc.get("fileId"), set()))
    yield CheckedFile(differences=list(_in_no_file(exported)), delivered=False)


def _in_no_file(exported: Mapping[str | None, set[Any]]) -> Iterator[Difference]:
    for file_id, entry_ids in exported.items():
        where = "names no file" if file_id is None else f"names file {file_id}"
        for entry_id in entry_ids:
            yield Difference(
                kind=DifferenceKind.NOT_DELIVERED,
                detail=f"entry {entry_id} is completed and {where}, but stands in no manifest "
                "of a delivered file of that id",
            )


def _file(
    database: Database[dict[str, Any]],
    session: ClientSession,
    profile: Profile,
    doc: Mapping[str, Any],
    named: set[Any],
) -> CheckedFile:
    batch, delivery = Batch.from_doc(doc), Delivery.of_batch(doc, profile=profile)
    sums: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    try:
        for part in manifests.read(database[manifests.COLLECTION], delivery.manifest):
            left_out = {hashable(item.queue_id) for item in delivery.rejected_of(part)}
            entry_ids = [
                entry_id
                for queue_id, entry_id in zip(part.queue_ids, part.entry_ids, strict=True)
                if hashable(queue_id) not in left_out
            ]
            named.difference_update(map(hashable, entry_ids))
            _add_up(database, session, profile, entry_ids, sums)
    except DaybookError as error:
        return CheckedFile(
            differences=[
                Difference(
                    kind=DifferenceKind.FILE, detail=f"{doc['filename']} ({batch.id}): {error}"
                )
            ]
        )
    return CheckedFile(differences=list(_totals(batch, sums)))


def _totals(batch: Batch, sums: Mapping[str, Mapping[str, Decimal]]) -> Iterator[Difference]:
    totals = batch.doc["totals"]
    for currency in sorted({*totals, *sums}):
        for side in ("debit", "credit"):
            recorded = Decimal(totals.get(currency, {}).get(side, "0"))
            found = sums.get(currency, {}).get(side, Decimal())
            if recorded != found:
                yield Difference(
                    kind=DifferenceKind.TOTALS,
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
    currency = {"$ifNull": [f"${source.currency}", profile.currency]}
    per_currency = database[source.entries].aggregate(
        [
            {"$match": {"_id": {"$in": entry_ids}}},
            {"$unwind": f"${source.lines}"},
            {
                "$group": {
                    # Of an amount that is no decimal, only by what it is rounded to is known
                    # once its currency is; so equal ones are added, not the sums rounded.
                    "_id": {
                        "currency": currency,
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
        decimals = decimals_of(group["currency"], profile.decimals)
        for side in ("debit", "credit"):
            value: Decimal128 = group[side]
            sums[group["currency"]][side] += round(value.to_decimal(), decimals) * lines


def _exact(path: str) -> dict[str, Any]:
    zero = Decimal128("0")
    return {"$convert": {"input": path, "to": "decimal", "onError": zero, "onNull": zero}}
