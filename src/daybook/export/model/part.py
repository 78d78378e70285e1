"""A part of a manifest: up to `PART_SIZE` queue items with the entries they point to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import bson

from daybook.export.model.fields import Fields

COLLECTION = "exportmanifests"
PART_SIZE = 5000
"""Pairs in a part. One part is planned, checked and marked at a time."""
FIRST_PART_SIZE = 1000
"""Pairs in the first part of a day, which the commit marks in its transaction, and the rehearsal
before it: a small day is marked with its commit, and a large one does not wait twice for 5,000."""
PART_BYTES = 1024 * 1024
"""Approximate limit of a part's IDs; 5,000 pairs of ObjectIds are far below it."""


ID_PATTERN = "^([0-9a-f]{24}):([0-9]{1,18}):([0-9]{1,18}):([0-9]{6,}|rejected-[^:]+)$"


@dataclass(frozen=True, kw_only=True)
class PartId:
    """The parsed `_id` of a part, or of a list of rejected items."""

    batch_id: str
    """Hex."""
    generation: int
    fence: int
    name: str
    """The part's number, or `rejected-` with a digest and a number."""

    @classmethod
    def parse(cls, value: object) -> Self | None:
        """None for an `_id` that does not have this form: its document is not Daybook's."""
        found = re.fullmatch(ID_PATTERN, value) if isinstance(value, str) else None
        if found is None:
            return None
        batch_id, generation, fence, name = found.groups()
        return cls(batch_id=batch_id, generation=int(generation), fence=int(fence), name=name)

    @property
    def lists_rejected(self) -> bool:
        return self.name.startswith("rejected-")

    @property
    def prefix(self) -> str:
        return f"{self.batch_id}:{self.generation}:{self.fence}:"


@dataclass(frozen=True, kw_only=True)
class Part:
    """Up to `PART_SIZE` queue items and their entries, in the order of the queue's `_id`."""

    number: int
    queue_ids: list[Any]
    entry_ids: list[Any]
    duplicates: dict[int, str]
    """Position in the part → the file that already contains the entry."""

    def pieces(self, size: int) -> Iterator[Part]:
        """The part split into parts of at most `size` pairs, all with its number."""
        for first in range(0, len(self.queue_ids), size):
            last = first + size
            yield Part(
                number=self.number,
                queue_ids=self.queue_ids[first:last],
                entry_ids=self.entry_ids[first:last],
                duplicates={
                    at - first: where for at, where in self.duplicates.items() if first <= at < last
                },
            )

    def digest(self) -> bytes:
        """SHA-256 over the part's content, the same in any process."""
        return hashlib.sha256(bson.encode(self._content())).digest()

    def to_doc(self, part_id: str, *, profile: str, now: datetime) -> dict[str, Any]:
        return {
            "_id": part_id,
            "profile": profile,
            "number": self.number,
            **self._content(),
            "createdAt": now,
        }

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        """Raises `DocumentDamaged`."""
        fields = Fields.of(doc, COLLECTION)
        part = cls(
            number=fields.whole("number"),
            queue_ids=fields.array("queueIds"),
            entry_ids=fields.array("entryIds"),
            duplicates=fields.read("duplicates", dict),
        )
        if len(part.queue_ids) != len(part.entry_ids):
            raise fields.damaged("entryIds", "has a different number of IDs than queueIds")
        return part

    def _content(self) -> dict[str, Any]:
        return {
            "queueIds": self.queue_ids,
            "entryIds": self.entry_ids,
            "duplicates": [[at, where] for at, where in sorted(self.duplicates.items())],
        }
