"""What another application made of the ledger's collections: it is named, not answered 503."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from daybook.ledger_app import LedgerApp
from daybook.mongo.objects import LEDGER_WRITES, ObjectKind, faults
from tests.acceptance.ledger_calls import assert_problem, send, told
from tests.integration.ledgers import balance_of, make_app, prepare, purses

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
COLLECTIONS = (*LEDGER_WRITES,)
USER = {"name": "Malee", "roles": ["brand"]}
MOVE = {"amountPaise": 5, "type": "topup"}


@pytest.fixture
def app(mongo_uri: str, database: Db) -> Iterator[LedgerApp]:
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    app.client.close()


def refuse_all(database: Db, name: str) -> None:
    database.command("collMod", name, validator={"tenant": {"$exists": True}})


def make_unique(database: Db, name: str) -> None:
    field = {"users": "mobile", "transactions": "referenceId", "journalentries": "entryNumber"}
    own = field.get(name, "externalId")
    database[name].update_many({}, [{"$set": {own: "$_id"}}])
    database[name].create_index(own, unique=True, name="theirs")
    database[name].insert_one({**_DISTINCT, "_id": "theirs"})


_DISTINCT = {"ownerUserId": "theirs", "code": "theirs", "deletedAt": None}


def make_capped(database: Db, name: str) -> None:
    built = [dict(one) for one in database[name].list_indexes() if "expireAfterSeconds" not in one]
    database.command("convertToCapped", name, size=100_000)  # which drops the indexes
    database.command("createIndexes", name, indexes=built)


def make_view(database: Db, name: str) -> None:
    database[name].rename(f"{name}_stored")
    database.create_collection(name, viewOn=f"{name}_stored", pipeline=[])


OBJECTS: Mapping[ObjectKind, tuple[Callable[[Db, str], None], int, str, str]] = {
    ObjectKind.VALIDATOR: (refuse_all, 500, "CONFIGURATION", "the validator of {}"),
    ObjectKind.UNIQUE_INDEX: (make_unique, 409, "FOREIGN_INDEX", "drop the index theirs of {}"),
    ObjectKind.CAPPED: (make_capped, 500, "CONFIGURATION", "{}"),
    ObjectKind.VIEW: (make_view, 500, "CONFIGURATION", "{}"),
}
IN_TRANSACTION = {"wallets", "transactions", "journalentries", "exportqueues"}


@pytest.mark.parametrize("name", COLLECTIONS)
@pytest.mark.parametrize("kind", OBJECTS)
def test_what_refuses_a_write_is_named_and_nothing_is_half_done(
    app: LedgerApp, kind: ObjectKind, name: str
) -> None:
    database = app.database
    (owner,) = purses(app.ledger, 100)
    stranger = str(ObjectId())
    invite = told(send(app, "POST", "/invites", {"parentCode": "AG-7"}))["code"]
    assert [fault for fault in faults(database, COLLECTIONS) if fault.collection == name] == []
    make, status, code, words = OBJECTS[kind]
    make(database, name)

    named = [fault for fault in faults(database, COLLECTIONS) if fault.collection == name]
    assert kind in {fault.kind for fault in named}  # as `doctor` says beforehand
    asked = {
        "users": [("/users", USER)],
        "wallets": [("/wallets", {"ownerUserId": stranger})],
        "invites": [("/invites", {"parentCode": "AG-7"}), (f"/invites/{invite}/accept", {})],
    }.get(name, [])
    if name in IN_TRANSACTION and not (name == "wallets" and kind is ObjectKind.UNIQUE_INDEX):
        asked.append((f"/wallets/{owner}/credits", MOVE))
    for path, body in asked:
        key = str(ObjectId())
        for _ in range(2):
            before = counts(database)
            response = send(app, "POST", path, body, Idempotency_Key=key)
            if accepted_all_the_same(kind, path):
                assert response.status_code in {200, 201}
                continue
            assert_problem(response, status, code, words.format(name))
            assert counts(database) == before
    if name != "wallets":
        assert balance_of(database, owner) == (100, 1)


def accepted_all_the_same(kind: ObjectKind, path: str) -> bool:
    """Capped collections take inserts and small updates outside of a transaction."""
    if kind is ObjectKind.CAPPED:
        return not path.endswith("/credits")
    # The index is over a field that an acceptance does not change.
    return kind is ObjectKind.UNIQUE_INDEX and path.endswith("/accept")


def counts(database: Db) -> dict[str, int]:
    return {name: database[name].count_documents({}) for name in COLLECTIONS}


@pytest.mark.parametrize("name", ["wallets", "transactions", "invites"])
def test_a_view_in_place_of_a_guarded_collection_is_named_from_the_start(
    mongo_uri: str, app: LedgerApp, name: str
) -> None:
    (owner,) = purses(app.ledger, 100)
    make_view(app.database, name)
    fresh = make_app(mongo_uri, app.database.name)
    response = send(fresh, "GET", f"/wallets/{owner}")
    fresh.client.close()
    assert_problem(response, 500, "CONFIGURATION", name)
