"""A migrated database that one test after the other uses.

Building its indexes takes longer than most tests. After each test its collections are
emptied and new ones are dropped; it is built again only after a test that changed or
removed one that it found.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from daybook.mongo.migrate import migrate


class ReusableDatabase:
    def __init__(self, client: MongoClient[dict[str, Any]]) -> None:
        self._client = client
        self._database: Database[dict[str, Any]] | None = None
        self._built: dict[str, Any] = {}
        self._documents: dict[str, list[dict[str, Any]]] = {}

    def take(self) -> Database[dict[str, Any]]:
        """As `migrate` left it."""
        if self._database is None:
            self._database = self._client[f"test_{uuid.uuid4().hex}"]
            migrate(self._database, now=datetime.now(UTC))
            self._built = _built(self._database)
            self._documents = {name: self._database[name].find().to_list() for name in self._built}
        return self._database

    def give_back(self) -> None:
        assert self._database is not None
        built = _built(self._database)
        kept = {name: built.pop(name, None) for name in self._built}
        if kept != self._built or any(name.startswith("system.") for name in built):
            self.drop()
            return
        for name in built:  # some collections come with the first document, the slot's for one
            self._database.drop_collection(name)
        for name, documents in self._documents.items():
            self._database[name].delete_many({})
            if documents:
                self._database[name].insert_many(documents)

    def drop(self) -> None:
        if self._database is not None:
            self._client.drop_database(self._database.name)
            self._database = None


def _built(database: Database[dict[str, Any]]) -> dict[str, Any]:
    """Every collection with its kind, options and indexes."""
    return {
        found["name"]: (
            found["type"],
            found["options"],
            found.get("info", {}).get("uuid"),
            database[found["name"]].index_information() if found["type"] == "collection" else None,
        )
        for found in database.list_collections()
    }
