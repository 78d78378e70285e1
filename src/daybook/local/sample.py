"""Sample data: queued journal entries as the application that writes them would store them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, cycle, islice
from typing import Any

from bson import ObjectId
from bson.decimal128 import Decimal128
from pymongo.database import Database

from daybook.errors import BadRequest
from daybook.export.model.figures import RejectionReason
from daybook.local.vouchers import Voucher, decimal, journal_lines, pick_voucher

PAGE_SIZE = 2000

BROKEN_BY = (
    RejectionReason.UNBALANCED,
    RejectionReason.NOT_FINITE,
    RejectionReason.TOO_MANY_DECIMALS,
    RejectionReason.MISSING,
    RejectionReason.DUPLICATE,
)
"""The kinds of broken entries, used in turn."""

_WRITERS = 2
# Creating new lines for each entry would double the time for a million entries.
_DIFFERENT_ENTRIES = 5000
_Doc = dict[str, Any]
_Kind = tuple[Voucher, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """Number of documents that were inserted."""

    entries: int
    """Documents in `journalentries`."""
    queued: int
    """Documents in `exportqueues`."""
    broken: Mapping[RejectionReason, int]
    """Queue items that a run must reject, by the expected reason."""


def seed(
    database: Database[_Doc],
    *,
    at: datetime,
    entries: int = 12,
    lines: int = 2,
    bad: int = 0,
    seed: int = 1,
    profile: str | None = None,
    page_size: int = PAGE_SIZE,
) -> SeedResult:
    """Queue `entries` good entries and `bad` broken ones, spread evenly among them.

    `at` is when they were queued; entries are dated in the eight hours before, a few of them a
    month earlier. `lines` is 2 or more, or 0 for entries with only an `amount`; after 5,000
    entries their amounts repeat. The same `seed` creates the same documents, apart from their
    IDs. Memory does not grow with their number.

    Raises `BadRequest`.
    """
    _check(at=at, entries=entries, lines=lines, bad=bad, page_size=page_size)
    made = _Maker(random.Random(seed), at=at, lines=lines, profile=profile)  # noqa: S311
    pairs = made.pairs(entries, bad)
    journal, queue = database["journalentries"], database["exportqueues"]
    inserted = 0
    queued = 0
    with ThreadPoolExecutor(_WRITERS) as pool:
        under_way: deque[Future[object]] = deque()
        while page := list(islice(pairs, page_size)):
            documents = [entry for entry, _ in page if entry is not None]
            if documents:
                under_way.append(pool.submit(journal.insert_many, documents, ordered=False))
            items = [item for _, item in page]
            under_way.append(pool.submit(queue.insert_many, items, ordered=False))
            inserted += len(documents)
            queued += len(items)
            while len(under_way) > 2 * _WRITERS:
                under_way.popleft().result()
        for write in under_way:
            write.result()
    return SeedResult(entries=inserted, queued=queued, broken=made.broken)


def _check(*, at: datetime, entries: int, lines: int, bad: int, page_size: int) -> None:
    if at.tzinfo is None:
        raise BadRequest(f"the moment of queueing has no time zone: {at.isoformat()}", where="at")
    for name, number, least in (
        ("entries", entries, 0),
        ("bad", bad, 0),
        ("page_size", page_size, 1),
    ):
        if number < least:
            raise BadRequest(f"{name} is {number}, and must be {least} or more", where=name)
    if lines < 0 or lines == 1:
        raise BadRequest(
            f"lines is {lines}: an entry balances with 2 or more, or has none", where="lines"
        )


class _Maker:
    """Creates journal entries and queue items, in an order that depends only on the seed."""

    def __init__(
        self, chance: random.Random, *, at: datetime, lines: int, profile: str | None
    ) -> None:
        self._chance = chance
        self._at = at
        self._lines = lines
        self._profile = profile
        self._number = count(1)
        self._kinds: list[_Kind] = []
        self._last_good: ObjectId | None = None
        self.broken: dict[RejectionReason, int] = {}

    def pairs(self, good: int, bad: int) -> Iterator[tuple[_Doc | None, _Doc]]:
        """An entry and its queue item; an item without its own entry is broken."""
        reasons = cycle(BROKEN_BY)
        broken = 0
        for position in range(1, good + bad + 1):
            if position * bad // (good + bad) > broken:
                broken += 1
                yield self._broken(next(reasons))
            else:
                entry = self._entry()
                self._last_good = entry["_id"]
                yield entry, self._item(entry["_id"])

    def _broken(self, reason: RejectionReason) -> tuple[_Doc | None, _Doc]:
        if self._lines == 0 and reason is RejectionReason.UNBALANCED:
            reason = RejectionReason.NOT_FINITE  # without lines there is nothing to balance
        if self._last_good is None and reason is RejectionReason.DUPLICATE:
            reason = RejectionReason.MISSING
        self.broken[reason] = self.broken.get(reason, 0) + 1
        if reason is RejectionReason.MISSING:
            return None, self._item(ObjectId())
        if reason is RejectionReason.DUPLICATE:
            return None, self._item(self._last_good)
        entry = self._entry()
        value = {
            RejectionReason.UNBALANCED: Decimal128("0.01"),
            RejectionReason.NOT_FINITE: Decimal128("NaN"),
            RejectionReason.TOO_MANY_DECIMALS: Decimal128("10.005"),
        }[reason]
        if self._lines:
            first, *rest = entry["lines"]
            entry["lines"] = [first | {"debit": value}, *rest]
        else:
            entry["amount"] = value
        return entry, self._item(entry["_id"])

    def _entry(self) -> _Doc:
        voucher, amounts = self._kind()
        date = self._date()
        number = next(self._number)
        return {
            "_id": ObjectId(),
            "date": date,
            "reference": f"{voucher.prefix}-{date.year}{date.month:02}-{number:07}",
            "description": voucher.description,
            "currency": "THB",
            **amounts,
        }

    def _kind(self) -> _Kind:
        """The kind of an entry, and its `lines` or `amount`, which must not be changed."""
        if len(self._kinds) == _DIFFERENT_ENTRIES:
            return self._kinds[int(self._chance.random() * _DIFFERENT_ENTRIES)]
        voucher = pick_voucher(self._chance)
        amounts: dict[str, Any] = (
            {"lines": journal_lines(voucher, self._lines, self._chance)}
            if self._lines
            else {"amount": decimal(self._chance.randrange(10_000, 50_000_000))}
        )
        kind = voucher, amounts
        self._kinds.append(kind)
        return kind

    def _date(self) -> datetime:
        minutes = int(self._chance.random() * 480)
        days = 31 if self._chance.random() < 0.02 else 0
        return self._at - timedelta(days=days, minutes=minutes)

    def _item(self, entry_id: ObjectId | None) -> _Doc:
        item: _Doc = {
            "_id": ObjectId(),
            "entryId": entry_id,
            "exportPath": "scheduled",
            "status": "queued",
            "createdAt": self._at,
            "updatedAt": self._at,
        }
        if self._profile is not None:
            item["profile"] = self._profile
        return item
