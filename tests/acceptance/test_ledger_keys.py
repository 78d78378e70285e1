"""Keys on requests that make something: a lost answer leaves nobody with two of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.ledger_app import LedgerApp
from tests.acceptance.ledger_calls import assert_problem, send, told
from tests.integration.ledgers import make_app, prepare, purses

ROADS = ["/users", "/wallets", "/invites"]
REMEMBERED = ("idempotencyKey", "requestHash", "answer")


@pytest.fixture(scope="module")
def app(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    database = mongo_client[f"keys_{ObjectId()}"]
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    app.client.close()
    mongo_client.drop_database(database.name)


@pytest.fixture
def key() -> str:
    return str(ObjectId())


@pytest.fixture
def bodies(app: LedgerApp) -> dict[str, dict[str, Any]]:
    user = told(send(app, "POST", "/users", {"name": "Ananya", "roles": ["brand"]}))
    return {
        "/users": {"name": "Somchai", "roles": ["brand", "agency"], "brandCode": "B-1"},
        "/wallets": {"ownerUserId": user["userId"]},
        "/invites": {"parentCode": "AG-7"},
    }


def other(body: dict[str, Any]) -> dict[str, Any]:
    """A request that is well formed too, but not the same."""
    changes = {"name": "Malee", "ownerUserId": str(ObjectId()), "parentCode": "AG-8"}
    return {**body, **{name: changes[name] for name in body if name in changes}}


@pytest.mark.parametrize("road", ROADS)
def test_a_repeated_request_makes_one_and_gets_the_first_answer(
    app: LedgerApp, bodies: dict[str, dict[str, Any]], road: str, key: str
) -> None:
    collection = app.database[road.strip("/")]
    before, body = collection.count_documents({}), bodies[road]
    first = send(app, "POST", road, body, Idempotency_Key=key)
    assert (first.status_code, "Idempotency-Replayed" in first.headers) == (201, False)

    collection.update_one({"idempotencyKey": key}, {"$set": {"status": "changed", "version": 9}})
    again = send(app, "POST", road, dict(reversed(body.items())), Idempotency_Key=key)

    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.get_data() == first.get_data()
    assert collection.count_documents({}) == before + 1


@pytest.mark.parametrize("road", ROADS)
def test_another_request_under_the_key_makes_nothing(
    app: LedgerApp, bodies: dict[str, dict[str, Any]], road: str, key: str
) -> None:
    collection, body = app.database[road.strip("/")], bodies[road]
    assert send(app, "POST", road, body, Idempotency_Key=key).status_code == 201
    before = collection.count_documents({})
    refused = send(app, "POST", road, other(body), Idempotency_Key=key)
    assert_problem(refused, 422, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key")
    assert collection.count_documents({}) == before


@pytest.mark.parametrize("road", ROADS)
def test_one_key_many_times_at_once_makes_one(
    app: LedgerApp, bodies: dict[str, dict[str, Any]], road: str, key: str
) -> None:
    collection = app.database[road.strip("/")]
    before, barrier = collection.count_documents({}), Barrier(12)

    def make(_: int) -> tuple[int, bytes]:
        barrier.wait(30)
        response = send(app, "POST", road, bodies[road], Idempotency_Key=key)
        return response.status_code, response.get_data()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(make, range(12)))

    assert Counter(status for status, _ in answers) == {201: 1, 200: 11}
    assert len({body for _, body in answers}) == 1
    assert collection.count_documents({}) == before + 1


@pytest.mark.parametrize("road", [*ROADS, "/invites/NOBODYS/accept"])
@pytest.mark.parametrize("wrong", ["", " ", "a\tb", "x" * 256, "é"])
def test_a_key_that_is_none_is_refused(
    app: LedgerApp, bodies: dict[str, dict[str, Any]], road: str, wrong: str
) -> None:
    response = send(app, "POST", road, bodies.get(road, {}), Idempotency_Key=wrong)
    assert_problem(response, 400, "BAD_REQUEST", "Idempotency-Key")


@pytest.mark.parametrize("road", ["/users", "/invites"])
def test_without_a_key_each_request_makes_one(
    app: LedgerApp, bodies: dict[str, dict[str, Any]], road: str
) -> None:
    keyed = {"$or": [{name: {"$exists": True}} for name in REMEMBERED]}
    before = app.database[road.strip("/")].count_documents(keyed)
    made = [send(app, "POST", road, bodies[road]) for _ in range(2)]
    assert [response.status_code for response in made] == [201, 201]
    assert made[0].get_data() != made[1].get_data()
    assert app.database[road.strip("/")].count_documents(keyed) == before


def test_a_key_serves_for_one_of_each(
    app: LedgerApp, bodies: dict[str, dict[str, Any]], key: str
) -> None:
    for road in ROADS:
        assert send(app, "POST", road, bodies[road], Idempotency_Key=key).status_code == 201
    owner = bodies["/wallets"]["ownerUserId"]
    body = {"amountPaise": 5, "type": "topup"}
    moved = send(app, "POST", f"/wallets/{owner}/credits", body, Idempotency_Key=key)
    assert moved.status_code == 201


def test_a_repeated_acceptance_has_the_same_answer_and_another_users_is_refused(
    app: LedgerApp, key: str
) -> None:
    winner, loser = purses(app.ledger, 0, 0)
    code = told(send(app, "POST", "/invites", {"parentCode": "AG-7"}))["code"]
    path, body = f"/invites/{code}/accept", {"userId": str(winner)}
    first = send(app, "POST", path, body, Idempotency_Key=key)
    assert (first.status_code, "Idempotency-Replayed" in first.headers) == (200, False)

    again = send(app, "POST", path, body, Idempotency_Key=key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.get_data() == first.get_data()
    assert_problem(send(app, "POST", path, body), 409, "INVITE_USED")
    mine = {"userId": str(loser)}
    assert_problem(send(app, "POST", path, mine, Idempotency_Key="another"), 409, "INVITE_USED")
    stolen = send(app, "POST", path, mine, Idempotency_Key=key)
    assert_problem(stolen, 422, "IDEMPOTENCY_KEY_REUSED")


def test_a_refused_request_leaves_its_key_free(app: LedgerApp, key: str) -> None:
    deleted = ObjectId()
    app.database["users"].insert_one({"_id": deleted, "deletedAt": datetime.now(UTC)})
    body = {"ownerUserId": str(deleted)}
    assert_problem(send(app, "POST", "/wallets", body, Idempotency_Key=key), 404, "USER_NOT_FOUND")
    (owner,) = purses(app.ledger, 0)
    taken = send(app, "POST", "/wallets", {"ownerUserId": str(owner)}, Idempotency_Key=key)
    assert_problem(taken, 409, "WALLET_EXISTS")
    user = told(send(app, "POST", "/users", {"name": "Ananya", "roles": ["brand"]}))
    made = send(app, "POST", "/wallets", {"ownerUserId": user["userId"]}, Idempotency_Key=key)
    assert made.status_code == 201
