"""The sample entries once more, with their lines in a collection of their own."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from pymongo.database import Database

ENTRIES = "entriesapart"
LINES = "linesapart"
_AT_A_TIME = 5_000


def separate(database: Database[dict[str, Any]]) -> None:
    """Copy `journalentries` to `ENTRIES`, and the lines to `LINES`, with an index on their key."""
    database[LINES].create_index("entryId")
    entries: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for entry in database["journalentries"].find():
        own = [
            {"_id": ObjectId(), "entryId": entry["_id"], **line} for line in entry.pop("lines", ())
        ]
        entries.append({**entry, "lineIds": [line["_id"] for line in own]})
        lines += own
        if len(entries) == _AT_A_TIME:
            _insert(database, entries, lines)
    _insert(database, entries, lines)


def _insert(
    database: Database[dict[str, Any]], entries: list[dict[str, Any]], lines: list[dict[str, Any]]
) -> None:
    if entries:
        database[ENTRIES].insert_many(entries)
    if lines:
        database[LINES].insert_many(lines)
    entries.clear()
    lines.clear()
