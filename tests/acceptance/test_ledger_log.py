"""The log of the ledger says nothing about a person, whatever goes wrong with their data."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from bson import ObjectId
from pymongo.database import Database

from daybook import log
from daybook.ledger_app import LedgerApp
from tests.acceptance.ledger_calls import send
from tests.integration.ledgers import make_app, prepare

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
NAME = "Somchai Jaidee"
KEY = "order-of-somchai"
OWNER = ObjectId()


@pytest.fixture
def app(database: Db, mongo_uri: str) -> Iterator[LedgerApp]:
    prepare(database)
    app = make_app(mongo_uri, database.name)
    send(app, "POST", "/wallets", {"ownerUserId": str(OWNER)})
    yield app
    app.client.close()


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What Cloud Logging would get."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    log.setup(stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def created(app: LedgerApp) -> flask.Response:
    return send(app, "POST", "/users", {"name": NAME, "roles": ["brand"]}, Idempotency_Key=KEY)


def found(app: LedgerApp) -> flask.Response:
    return send(app, "GET", "/users?role=brand")


def credited(app: LedgerApp) -> flask.Response:
    body = {"amountPaise": 5, "type": "topup", "description": NAME}
    return send(app, "POST", f"/wallets/{OWNER}/credits", body, Idempotency_Key=KEY)


def invited(app: LedgerApp) -> flask.Response:
    return send(app, "POST", "/invites", {"parentCode": "AG-7"}, Idempotency_Key=KEY)


def validated(collection: str, name: str) -> Callable[[Db], None]:
    def act(database: Db) -> None:
        rule = {"$jsonSchema": {"properties": {name: {"maxLength": 3}}}}
        database[collection].insert_one({})
        database.command("collMod", collection, validator=rule)

    return act


def unique(collection: str, name: str, value: Any) -> Callable[[Db], None]:
    def act(database: Db) -> None:
        database[collection].create_index(name, unique=True, sparse=True, name="theirs")
        database[collection].insert_one({name: value})

    return act


def holding(collection: str, **fields: Any) -> Callable[[Db], None]:
    def act(database: Db) -> None:
        database[collection].insert_one({"roles": ["brand"], "deletedAt": None, **fields})

    return act


@pytest.mark.parametrize(
    ("prepared", "request_", "status"),
    [
        (validated("users", "name"), created, 500),
        (validated("transactions", "description"), credited, 500),
        (validated("journalentries", "description"), credited, 500),
        (validated("invites", "idempotencyKey"), invited, 500),
        (unique("users", "name", NAME), created, 409),
        (unique("journalentries", "description", NAME), credited, 409),
        (unique("transactions", "description", NAME), credited, 409),
        (holding("users", name=[NAME]), found, 409),
        (holding("users", name={"first": NAME}), found, 409),
        (holding("users", name="Mai", status={NAME: 1}), found, 409),
        (holding("users", name="Mai", brandCode={NAME: 1}), found, 409),
        (holding("users", name="Mai", createdAt=NAME), found, 409),
    ],
    ids=lambda value: getattr(value, "__qualname__", str(value)).partition(".")[0],
)
def test_no_name_and_no_key_reaches_the_log(
    app: LedgerApp,
    database: Db,
    logged: io.StringIO,
    prepared: Callable[[Db], None],
    request_: Callable[[LedgerApp], flask.Response],
    status: int,
) -> None:
    prepared(database)
    response = request_(app)
    assert response.status_code == status, response.get_data(as_text=True)
    text = logged.getvalue()
    assert '"event": "request_crashed"' in text or '"event": "document_invalid"' in text
    assert NAME not in text
    assert KEY not in text
