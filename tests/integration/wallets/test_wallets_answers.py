"""Stored answers: how long they are kept, and that an old key moves nothing a second time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from daybook.app import App
from daybook.export.model.profile import Profile
from daybook.ledger_app import LedgerApp
from daybook.mongo.explain import explain
from daybook.wallets import queries
from daybook.wallets.idempotency import remove_answers_before
from daybook.wallets.reconcile.reconcile import reconcile
from tests import commands
from tests.acceptance.ledger_calls import assert_problem, send, told
from tests.integration.ledgers import balance_of, check_books, make_app, prepare

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
DAILY = Profile(name="daily")
OPENED = datetime(2026, 1, 18, 9, 30, tzinfo=UTC)
COLLECTIONS = ("users", "wallets", "invites", "transactions")
DAY = timedelta(days=1)


class Clock:
    def __init__(self) -> None:
        self.now = OPENED

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(database: Db, mongo_uri: str, clock: Clock) -> Iterator[LedgerApp]:
    prepare(database)
    app = replace(make_app(mongo_uri, database.name), clock=clock)
    yield app
    app.client.close()


Call = tuple[str, dict[str, Any], str]


def made(app: LedgerApp) -> tuple[list[Call], ObjectId]:
    """One of everything that remembers its answer; the requests, and who has the wallet."""
    calls: list[Call] = []

    def call(path: str, body: dict[str, Any]) -> Any:
        key = f"key-{ObjectId()}"
        calls.append((path, body, key))
        response = send(app, "POST", path, body, Idempotency_Key=key)
        assert response.status_code in {200, 201}, response.get_data(as_text=True)
        return told(response)

    user = call("/users", {"name": "Somchai", "roles": ["brand"]})["userId"]
    other = call("/users", {"name": "Malee", "roles": ["brand"]})["userId"]
    for owner in (user, other):
        call("/wallets", {"ownerUserId": owner})
    credit = {"amountPaise": 700, "type": "topup", "description": "Somchai's first"}
    call(f"/wallets/{user}/credits", credit)
    call(f"/wallets/{user}/debits", {"amountPaise": 200, "type": "payout"})
    call("/transfers", {"fromUserId": user, "toUserId": other, "amountPaise": 50, "type": "fee"})
    debited = call(f"/wallets/{user}/debits", {"amountPaise": 30, "type": "payout"})
    call(f"/transactions/{debited['transactionId']}/reversals", {})
    call("/invites", {"parentCode": "AG-7"})
    return calls, ObjectId(user)


def other(body: dict[str, Any]) -> dict[str, Any]:
    """A request that is well formed too, but not the same."""
    changes = {"name": "Ploy", "ownerUserId": str(ObjectId()), "parentCode": "AG-8"}
    changed = {name: changes[name] for name in body if name in changes}
    return {**body, **changed} if changed else {**body, "description": "another"}


def stored(database: Db) -> dict[str, list[dict[str, Any]]]:
    return {name: list(database[name].find().sort("_id", 1)) for name in COLLECTIONS}


def without(doc: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in doc.items() if name not in names}


def test_a_removed_answer_leaves_everything_else_as_it_was(app: LedgerApp, database: Db) -> None:
    calls, _ = made(app)
    before = stored(database)

    assert remove_answers_before(database, OPENED + DAY, now=OPENED + DAY) == len(calls)

    for name, docs in stored(database).items():
        for doc, was in zip(docs, before[name], strict=True):
            assert "answer" not in doc
            assert ("answerRemovedAt" in doc) == ("answer" in was)
            assert without(doc, "answerRemovedAt") == without(was, "answer")
            assert doc.get("answerRemovedAt", OPENED + DAY) == OPENED + DAY
    assert reconcile(database, DAILY).agrees


def test_an_old_key_moves_and_makes_nothing_again(app: LedgerApp, database: Db) -> None:
    calls, user = made(app)
    remove_answers_before(database, OPENED + DAY, now=OPENED + DAY)
    before = stored(database)

    for path, body, key in calls:
        for _ in range(2):
            refused = send(app, "POST", path, body, Idempotency_Key=key)
            assert_problem(refused, 410, "ANSWER_EXPIRED", "Idempotency-Key", "is not repeated")
        reused = send(app, "POST", path, other(body), Idempotency_Key=key)
        assert_problem(reused, 422, "IDEMPOTENCY_KEY_REUSED")

    assert stored(database) == before
    assert balance_of(database, user) == (450, 5)
    check_books(database, [doc["ownerUserId"] for doc in before["wallets"]])
    assert reconcile(database, DAILY).agrees


def test_the_refusal_names_what_the_key_did(app: LedgerApp, database: Db) -> None:
    calls, user = made(app)
    remove_answers_before(database, OPENED + DAY, now=OPENED + DAY)
    (path, body, key) = calls[0]
    refused = send(app, "POST", path, body, Idempotency_Key=key)
    assert f"users {user}" in told(refused)["detail"]
    assert "Somchai" not in refused.get_data(as_text=True)


def test_answers_are_kept_to_the_millisecond(app: LedgerApp, database: Db, clock: Clock) -> None:
    old, _ = made(app)
    clock.now = OPENED + timedelta(milliseconds=1)
    young, _ = made(app)
    assert remove_answers_before(database, OPENED, now=clock.now) == 0
    assert remove_answers_before(database, clock.now, now=clock.now) == len(old)
    assert remove_answers_before(database, clock.now, now=clock.now) == 0
    for path, body, key in old:
        assert send(app, "POST", path, body, Idempotency_Key=key).status_code == 410
    for path, body, key in young:
        again = send(app, "POST", path, body, Idempotency_Key=key)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")


@pytest.mark.parametrize(("days", "kept"), [(None, True), ("31", True), ("30", False)])
def test_the_sweep_keeps_answers_as_long_as_the_setting_says(
    app: LedgerApp,
    database: Db,
    mongo_uri: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    days: str | None,
    kept: bool,
) -> None:
    calls, _ = made(app)
    env = {
        "DAYBOOK_MONGODB_URI": mongo_uri,
        "DAYBOOK_DATABASE": database.name,
        "DAYBOOK_DESTINATION": tmp_path.as_uri(),
        **({} if days is None else {"DAYBOOK_ANSWER_DAYS": days}),
    }
    later = OPENED + timedelta(days=30, seconds=1)
    sweeper = replace(App.from_env(env), clock=lambda: later)
    with caplog.at_level(logging.INFO):
        commands.maintain(sweeper)
    counts = [
        record.fields["count"]
        for record in caplog.records
        if getattr(record, "event", None) == "answers_removed"
    ]
    sweeper.client.close()
    assert counts == ([] if kept else [len(calls)])
    assert (database["users"].count_documents({"answer": {"$exists": True}}) == 2) == kept


def test_more_than_a_batch_is_removed_and_no_more_than_there_is(
    app: LedgerApp, database: Db
) -> None:
    template = {"requestHash": "0" * 64, "answer": {"createdAt": "2026-01-18T09:30:00.000Z"}}
    database["transactions"].insert_many(
        [{**template, "idempotencyKey": str(number), "walletId": 0} for number in range(2500)]
    )
    foreign = [{"answer": "yes"}, {"answer": {"createdAt": OPENED}}, {"answer": None}, {}]
    database["users"].insert_many([{**doc} for doc in foreign])
    assert remove_answers_before(database, OPENED + DAY, now=OPENED + DAY) == 2500
    assert [without(doc, "_id") for doc in database["users"].find()] == foreign


def test_old_answers_are_found_by_an_index(app: LedgerApp, database: Db) -> None:
    made(app)
    found = explain(database, queries.ANSWERED)
    assert [query.plan.indexes for query in found.queries if query.plan] == [
        (f"idx_{noun}_answer",) for noun in ("transaction", "user", "wallet", "invite")
    ]
    assert not found.failed
