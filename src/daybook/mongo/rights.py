"""The privileges that the database user needs, and those that it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from daybook import write_errors
from daybook.errors import ConfigurationError
from daybook.write_errors import Cause

_LOOKED_AT = frozenset({"listIndexes"})
READ = frozenset({"find", "listIndexes"})
"""Actions on a collection that is only read."""
NEEDED: Mapping[str, frozenset[str]] = {
    "": frozenset({"listCollections"}),
    "journalentries": READ,
    "exportqueues": frozenset({"find", "update", "listIndexes"}),
    "exportlogs": frozenset({"find", "insert", "update", "listIndexes"}),
    "exportslots": frozenset({"find", "insert", "update", "listIndexes"}),
    "exportbatches": frozenset({"find", "insert", "update", "listIndexes"}),
    "exportmanifests": frozenset({"find", "insert", "update", "remove", "listIndexes"}),
    "exportorphans": frozenset({"find", "insert", "update", "listIndexes"}),
    "circuitbreakers": frozenset({"find", "insert", "update", "listIndexes"}),
    "wallets": _LOOKED_AT,
    "transactions": _LOOKED_AT,
    "users": _LOOKED_AT,
    "invites": frozenset({"find", "update", "listIndexes"}),
    "campaigns": _LOOKED_AT,
    "campaignassignments": _LOOKED_AT,
}
"""Collection → actions that the export needs every day; "" is the database as a whole."""

WITH_ANSWER_DAYS: Mapping[str, frozenset[str]] = {
    **NEEDED,
    **dict.fromkeys(
        ("wallets", "transactions", "users", "invites"),
        frozenset({"find", "update", "listIndexes"}),
    ),
}
"""Collection → actions needed if the sweep also removes the ledger's stored answers."""


def missing(
    database: Database[dict[str, Any]], needed: Mapping[str, frozenset[str]] = NEEDED
) -> dict[str, list[str]]:
    """Collection → needed actions that the user lacks; empty if MongoDB does not require a user.

    Raises `PyMongoError`.
    """
    status = database.client.admin.command("connectionStatus", showPrivileges=True)["authInfo"]
    if not status["authenticatedUsers"]:
        return {}
    granted = status["authenticatedUserPrivileges"]
    lacking = {
        name: sorted(actions - _granted(granted, database.name, name))
        for name, actions in needed.items()
    }
    return {name: actions for name, actions in lacking.items() if actions}


def _granted(privileges: list[dict[str, Any]], database: str, collection: str) -> set[str]:
    """The actions that all privileges together grant on the collection."""
    found: set[str] = set()
    for privilege in privileges:
        resource = privilege["resource"]
        everywhere = resource.get("anyResource") is True
        covers = resource.get("db") in {"", database} and resource.get("collection") in {
            "",
            collection,
        }
        if everywhere or covers:
            found.update(privilege["actions"])
    return found


@contextmanager
def permitted(operation: str) -> Iterator[None]:
    """Raise `ConfigurationError` naming the command that the database user may not run."""
    try:
        yield
    except OperationFailure as error:
        refused = write_errors.describe(error)
        if refused.cause is not Cause.PRIVILEGE:
            raise
        raise ConfigurationError(f"{operation}: {refused}") from error
