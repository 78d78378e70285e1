"""Differences between a delivered file and what is recorded about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class VerifyKind(StrEnum):
    FILE_UNREADABLE = "file_unreadable"  # the delivered file is gone or cannot be read
    SIZE = "size"  # the file has a different size than recorded
    MD5 = "md5"  # the file has a different MD5 than recorded
    SHA256 = "sha256"  # the file has a different SHA-256 than recorded
    HEADER = "header"  # the header row differs, so rows are not compared
    ROW_CHANGED = "row_changed"  # a row differs from its entry
    ROW_MISSING = "row_missing"  # the file lacks a row of an entry
    ROW_EXTRA = "row_extra"  # the file has a row that belongs to no entry
    ENTRY_UNFIT = "entry_unfit"  # an entry in the file was deleted, or can no longer be printed
    OUT_OF_STEP = "out_of_step"  # from a row on, file and entries have nothing in common
    MANIFEST = "manifest"  # the stored manifest is incomplete or altered
    ITEM = "item"  # a queue item of the manifest is not marked as the file requires
    FIGURES = "figures"  # counts or control totals differ
    RECORD = "record"  # the day's record is missing, duplicated, or differs


@dataclass(frozen=True, kw_only=True)
class VerifyDifference:
    """One thing that is not as it was delivered, and where."""

    kind: VerifyKind
    detail: str
    entry_id: Any = None
    row: int | None = None
    """The row in the file, from 1 below the header."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "detail": self.detail,
            "entryId": self.entry_id,
            "row": self.row,
        }
