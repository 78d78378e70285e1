"""Builds the ledger's indexes in place of those that the former application left."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pymongo.database import Database

from daybook.mongo import building
from daybook.mongo.building import Duplicates
from daybook.mongo.indexes import LEDGER_GUARDS, LEDGER_INDEXES

VERSION = 2
NAME = "ledger_indexes"


def plan(database: Database[dict[str, Any]]) -> list[str]:
    return building.planned(database, LEDGER_INDEXES)


def duplicates(database: Database[dict[str, Any]]) -> list[Duplicates]:
    return building.duplicates(database, LEDGER_GUARDS)


def check(database: Database[dict[str, Any]]) -> list[str]:  # noqa: ARG001  (the signature of all migrations)
    return []


def apply(database: Database[dict[str, Any]], now: datetime) -> None:  # noqa: ARG001  (the signature of all migrations)
    building.replace(database, LEDGER_INDEXES)
