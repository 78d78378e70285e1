"""Manual exports: copies of chosen entries, in files of their own next to the daily ones."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any, Self

from bson import ObjectId
from pymongo.database import Database

from daybook import display
from daybook.errors import BadRequest
from daybook.export.model.ids import LONGEST_BYTES, addressable, hashable
from daybook.export.model.part import PART_SIZE, Part
from daybook.export.model.profile import Profile
from daybook.export.queue import named_entries
from daybook.export.rendering.entry_id import candidates
from daybook.mongo.query import Query

FIELDS = frozenset({"entryIds", "from", "to"})
MAX_ENTRIES = 100_000
MAX_KEY_LENGTH = 255
MAX_STORED_KEY_LENGTH = 2 * MAX_KEY_LENGTH + 100
"""Includes the caller's account, which precedes the key."""
_DATE = re.compile(r"(19|[2-9]\d)\d\d-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ManualRequest:
    """Which entries to copy: by ID, or by an inclusive range of dates."""

    key: str
    """The idempotency key, or a hash of the request; the caller's account, if any, precedes it."""
    entry_ids: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None
    caller: str | None = None
    """The verified account that the key belongs to; None where callers are not verified."""

    def file_name(self, profile: Profile) -> str:
        digest = hashlib.sha256(self.key.encode()).hexdigest()[:12]
        return f"manual_{digest}.{profile.format.value}"

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any], *, key: str) -> Self:
        """Read it from a batch."""
        caller = doc.get("caller")
        if "entryIds" in doc:
            return cls(key=key, entry_ids=tuple(doc["entryIds"]), caller=caller)
        first, last = date.fromisoformat(doc["from"]), date.fromisoformat(doc["to"])
        return cls(key=key, first=first, last=last, caller=caller)

    def to_doc(self) -> dict[str, Any]:
        owner = {} if self.caller is None else {"caller": self.caller}
        if self.first is not None and self.last is not None:
            return {"from": self.first.isoformat(), "to": self.last.isoformat(), **owner}
        return {"entryIds": list(self.entry_ids), **owner}

    def for_caller(self, caller: str) -> Self:
        """The same request under a key unique to the caller, since accounts contain no space."""
        return replace(self, key=f"{caller} {self.key}", caller=caller)


def parse(body: Mapping[str, Any], *, key: str | None) -> ManualRequest:
    """Check a request's body; raises `BadRequest` naming the field."""
    unknown = next((name for name in body if name not in FIELDS), None)
    if unknown is not None:
        raise BadRequest(f"unknown field {display.quoted(unknown)}", where=unknown)
    if key is not None and not 0 < len(key) <= MAX_KEY_LENGTH:
        raise BadRequest(
            f"must have 1 to {MAX_KEY_LENGTH} characters, has {len(key)}", where="Idempotency-Key"
        )
    chosen = key or hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    if "entryIds" in body:
        if "from" in body or "to" in body:
            raise BadRequest("give either these, or the first and the last day", where="entryIds")
        return ManualRequest(key=chosen, entry_ids=_entry_ids(body["entryIds"]))
    first, last = parse_date(body, "from"), parse_date(body, "to")
    if first > last:
        raise BadRequest(f"{first} is after the last day, {last}", where="from")
    return ManualRequest(key=chosen, first=first, last=last)


def caller_of(doc: Mapping[str, Any]) -> str | None:
    """The account that a manual export's batch belongs to; None where none was verified."""
    caller = (doc.get("request") or {}).get("caller")
    return caller if isinstance(caller, str) else None


def same_request(stored: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> bool:
    """Whether a batch was created for this request.

    The previous version stored ObjectIds in lower case, and each only once.
    """
    if stored is None or "entryIds" not in stored or "entryIds" not in asked:
        return stored == asked
    of_one_caller = stored.get("caller") == asked.get("caller")
    return of_one_caller and _folded(stored["entryIds"]) == _folded(asked["entryIds"])


def _folded(entry_ids: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(x.lower() if ObjectId.is_valid(x) else x for x in entry_ids))


def check_entries(
    database: Database[dict[str, Any]], profile: Profile, request: ManualRequest
) -> None:
    """Raise `BadRequest` when none of the entries exists, or a reference names several."""
    if not request.entry_ids:
        return
    some = False
    for page in _pages(iter(request.entry_ids)):
        named = _named(database, profile, page)
        some = some or any(entry.ids for entry in named)
        for entry in named:
            if entry.by_reference and len(entry.ids) > 1:
                raise BadRequest(named_entries.ambiguous(entry.text, entry.ids), where="entryIds")
    if not some:
        others = ", nor any other that was given" if len(request.entry_ids) > 1 else ""
        raise BadRequest(
            f"no journal entry has the ID or reference {display.quoted(request.entry_ids[0])}"
            f"{others}",
            where="entryIds",
        )


@dataclass(frozen=True, kw_only=True)
class _Named:
    """What a requested text names."""

    text: str
    ids: Sequence[Any]
    """IDs of entries; several when they differ only in type, or have the same reference."""
    by_reference: bool


def _named(
    database: Database[dict[str, Any]], profile: Profile, texts: Sequence[str]
) -> list[_Named]:
    """What each text names: the entry with the ID, or else those with the reference."""
    asked = {text: candidates(text) for text in texts}
    wanted = {"_id": {"$in": [one for ids in asked.values() for one in ids]}}
    entries = database[profile.source.entries]
    existing = {hashable(doc["_id"]): doc["_id"] for doc in entries.find(wanted, {"_id": 1})}
    with_id = {
        text: [existing[hashable(one)] for one in ids if hashable(one) in existing]
        for text, ids in asked.items()
    }
    others = [text for text, ids in with_id.items() if not ids]
    referenced = named_entries.with_references(database, profile, others)
    return [
        _Named(text=text, ids=ids or referenced.get(text, []), by_reference=not ids)
        for text, ids in with_id.items()
    ]


def scan(
    database: Database[dict[str, Any]], profile: Profile, request: ManualRequest
) -> Iterator[Part]:
    """The chosen entries in parts; they have no queue items of their own."""
    for number, entry_ids in enumerate(_pages(_chosen(database, profile, request))):
        yield Part(
            number=number,
            queue_ids=[None] * len(entry_ids),
            entry_ids=entry_ids,
            duplicates={},
        )


def _chosen(
    database: Database[dict[str, Any]], profile: Profile, request: ManualRequest
) -> Iterator[Any]:
    if request.first is None or request.last is None:
        yield from _requested(database, profile, request.entry_ids)
        return
    start = datetime.combine(request.first, time(), tzinfo=profile.time_zone)
    try:
        end = datetime.combine(request.last, time.max, profile.time_zone).astimezone(UTC)
    except OverflowError:  # the last day of the year 9999, west of Greenwich
        end = datetime.max.replace(tzinfo=UTC)
    entries = database[profile.source.entries]
    for doc in _of_dates(profile).find(entries, start=start, end=end):
        # An _id that no query can match is left out of the file, with a reason.
        yield doc["_id"] if addressable(doc["_id"]) else None


def _requested(
    database: Database[dict[str, Any]], profile: Profile, texts: Sequence[str]
) -> Iterator[Any]:
    """IDs in the order of the request, each once; a text that names no entry as it is.

    So is a reference that has come to name several entries since the request was checked.
    """
    copied: set[Any] = set()  # an entry may be asked for in two spellings, pages apart
    for page in _pages(iter(texts)):
        for named in _named(database, profile, page):
            if not named.ids or (named.by_reference and len(named.ids) > 1):
                yield named.text
                continue
            for entry_id in named.ids:
                if not addressable(entry_id):
                    yield None  # left out of the file, with a reason
                elif hashable(entry_id) not in copied:
                    copied.add(hashable(entry_id))
                    yield entry_id


def _of_dates(profile: Profile) -> Query:
    date_path = profile.source.date
    return Query(
        name="entries_of_dates",
        collection=profile.source.entries,
        filter=lambda start, end: {date_path: {"$gte": start, "$lte": end}},
        arguments=lambda doc: {"start": doc[date_path], "end": doc[date_path]},
        sort=((date_path, 1), ("_id", 1)),
        projection={"_id": 1},
    )


def queries(profile: Profile) -> Sequence[Query]:
    return (_of_dates(profile),)


def _pages(ids: Iterator[Any]) -> Iterator[list[Any]]:
    page: list[Any] = []
    for entry_id in ids:
        page.append(entry_id)
        if len(page) == PART_SIZE:
            yield page
            page = []
    if page:
        yield page


def _entry_ids(value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise BadRequest("must be a list of at least one entry ID", where="entryIds")
    if len(value) > MAX_ENTRIES:
        raise BadRequest(f"has {len(value)} ids; at most {MAX_ENTRIES}", where="entryIds")
    for at, entry_id in enumerate(value):
        text = isinstance(entry_id, str) and entry_id and "\0" not in entry_id
        if not text or not addressable(entry_id):
            raise BadRequest(
                f"must be a string of 1 to {LONGEST_BYTES:,} bytes of valid UTF-8 without NUL, "
                f"not {display.quoted(entry_id)}",
                where=f"entryIds[{at}]",
            )
    return tuple(dict.fromkeys(value))


def parse_date(body: Mapping[str, Any], name: str) -> date:
    """The date of a field as YYYY-MM-DD; raises `BadRequest` naming the field."""
    value = body.get(name)
    try:
        if not isinstance(value, str) or not _DATE.fullmatch(value):
            raise ValueError  # noqa: TRY301  (one message for every form of a wrong date)
        return date.fromisoformat(value)
    except ValueError as error:
        raise BadRequest(
            f"must be a date like 2026-01-18, not {display.quoted(value)}", where=name
        ) from error
