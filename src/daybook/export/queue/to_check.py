"""The entries of a delivered file that the accountant checks before importing it. Reads only."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from pymongo.database import Database

from daybook.export.batch import rejections
from daybook.export.batch.batch import Batch
from daybook.export.model.ids import hashable
from daybook.export.model.notice import Check, CheckedEntry
from daybook.export.model.profile import Profile
from daybook.export.model.source import Column
from daybook.export.queue import manifest as manifests
from daybook.export.queue import reference
from daybook.export.rendering.cells.page import Page
from daybook.export.rendering.cells.readers import Readers
from daybook.export.rendering.cells.text import text_form
from daybook.export.rendering.entry_id import displayed
from daybook.export.rendering.source import PAGE_SIZE, EntrySource

LISTED = 5
"""Entries that a receipt names for each reason."""
_READ = 20_000
"""Entries that are read at most to find them: a receipt must not delay the end of a run."""


def entries_to_check(
    database: Database[dict[str, Any]],
    profile: Profile,
    batch: Batch,
    checks: Iterable[Check],
    *,
    every: bool,
) -> Mapping[Check, tuple[CheckedEntry, ...]]:
    """For each of `checks` the first `LISTED` entries in the file, or `every` one, in its order.

    `profile` is the one that the file was made with; the entries are read as they are now.
    Raises `DaybookError` when the manifest or the list of rejected items was altered.
    """
    found: dict[Check, list[Any]] = {check: [] for check in checks}
    if not found or batch.manifest is None or batch.key.batch_date is None:
        return {}
    day = date.fromisoformat(batch.key.batch_date)
    for read, (entry_id, reasons) in enumerate(_reasons(database, profile, batch, day), 1):
        for check in reasons & found.keys():
            if every or len(found[check]) < LISTED:
                found[check].append(entry_id)
        enough = all(len(ids) == LISTED for ids in found.values())
        if not every and (enough or read == _READ):
            break
    names = reference.references_of(
        database, profile, [one for ids in found.values() for one in ids]
    )
    return {
        check: tuple(
            CheckedEntry(entry_id=displayed(one), reference=names.get(hashable(one))) for one in ids
        )
        for check, ids in found.items()
    }


def _reasons(
    database: Database[dict[str, Any]], profile: Profile, batch: Batch, day: date
) -> Iterator[tuple[Any, set[Check]]]:
    """Each entry in the file with the reasons to check it, in the file's order."""
    # Only what decides is read: the date, the currency, and the amounts that every page adds up.
    columns = (
        Column(title="Date", value="entry.date"),
        Column(title="Currency", value="entry.currency"),
    )
    bare = replace(
        text_form(profile), columns=columns, accounts={}, require=frozenset(), years=(1, 9999)
    )
    source, readers = EntrySource(database, bare), Readers(bare, day)
    parts = database[manifests.COLLECTION]
    rejected = {
        _key(item.queue_id, item.entry_id) for item in rejections.of_batch(parts, batch.doc)
    }
    assert batch.manifest is not None  # noqa: S101  (checked by the caller)
    for whole in manifests.read(parts, batch.manifest):
        for part in whole.pieces(PAGE_SIZE):
            entries = source.read(part.entry_ids).find(part.entry_ids)
            pairs = zip(part.queue_ids, part.entry_ids, entries, strict=True)
            delivered = [
                (entry_id, entry)
                for queue_id, entry_id, entry in pairs
                if entry is not None and _key(queue_id, entry_id) not in rejected
            ]
            if not delivered:
                continue
            page = Page(readers, [entry for _, entry in delivered])
            faults, months, named = page.faults(), page.months(), page.names_currency()
            for at, (entry_id, _) in enumerate(delivered):
                reasons: set[Check] = set()
                if months[at] not in (None, (day.year, day.month)):
                    reasons.add(Check.OTHER_MONTH)
                if at not in faults and not named[at]:
                    reasons.add(Check.NO_CURRENCY)
                elif at not in faults and page.currencies[at] != profile.currency:
                    reasons.add(Check.HIDDEN_CURRENCY)
                yield entry_id, reasons
            readers.trim()


def _key(queue_id: Any, entry_id: Any) -> tuple[Hashable, Hashable]:
    return hashable(queue_id), hashable(entry_id)
