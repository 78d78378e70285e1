"""The manifest: which queue items, in which order, one file is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bson

PART_SIZE = 5000
"""Pairs in a part. One part is read, rendered and marked at a time."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Up to `PART_SIZE` queue items and their entries, in the order of the queue's `_id`."""

    number: int
    queue_ids: list[Any]
    entry_ids: list[Any]
    duplicates: dict[int, str]
    """Position in the part → where the entry stands already."""

    def digest(self) -> bytes:
        """SHA-256 over the part's content, the same in any process."""
        content = {
            "queueIds": self.queue_ids,
            "entryIds": self.entry_ids,
            "duplicates": [[at, where] for at, where in sorted(self.duplicates.items())],
        }
        return hashlib.sha256(bson.encode(content)).digest()
