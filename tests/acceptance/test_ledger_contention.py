"""A wallet that another process holds: the other wallets move, and the refused lose nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from bson import ObjectId
from pymongo import MongoClient

from tests.acceptance.test_ledger import Db, Function
from tests.integration.ledgers import check_books, check_whole, prepare

THREADS = 8
STARTED_WITH = 100_000
ALONE_SECONDS = 5.0
"""For a debit of a wallet that nobody holds; without a limit it takes 14."""
BODY = {"amountPaise": 10, "type": "payout"}

Client = MongoClient[dict[str, Any]]


@pytest.fixture
def books(mongo_client: Client) -> Iterator[Db]:
    database = mongo_client[f"contention_{ObjectId()}"]
    prepare(database)
    yield database
    mongo_client.drop_database(database.name)


@pytest.fixture
def function(mongo_uri: str, books: Db) -> Iterator[Function]:
    function = Function(mongo_uri, books, THREADS=str(THREADS))
    try:
        function.wait()
        yield function
    finally:
        function.stop()


@contextmanager
def held(database: Db, *owners: str) -> Iterator[None]:
    """Another program's transaction that has written the wallets and does not end."""
    with database.client.start_session() as session, session.start_transaction():
        for owner in owners:
            database["wallets"].update_one(
                {"ownerUserId": ObjectId(owner)}, {"$set": {"held": True}}, session=session
            )
        yield
        session.abort_transaction()


Act = Callable[[], requests.Response]
Jobs = dict[Future[requests.Response], Act]


def debit(function: Function, owner: str) -> Act:
    key = str(ObjectId())
    return lambda: function.post(f"/wallets/{owner}/debits", BODY, key=key)


def transfer(function: Function, payer: str, payee: str) -> Act:
    key, body = str(ObjectId()), {**BODY, "fromUserId": payer, "toUserId": payee}
    return lambda: function.post("/transfers", body, key=key)


def refused_at_once(jobs: Jobs, count: int) -> list[Act]:
    """Wait for so many refusals; the requests that were refused."""
    refused = []
    for job in as_completed(jobs, timeout=12):
        response = job.result()
        assert response.status_code == 503, response.text
        assert response.headers["Retry-After"] == "1"
        assert "others hold the wallet" in response.json()["detail"]
        refused.append(jobs[job])
        if len(refused) == count:
            return refused
    raise AssertionError("too few were refused")


def moves_alone(function: Function, owner: str, jobs: Jobs) -> int:
    """Debit a wallet that nobody holds, several times, while others wait; how often."""
    waiting = [job for job in jobs if not job.done()]
    assert waiting
    for number in range(3):
        begun = time.monotonic()
        assert debit(function, owner)().status_code == 201, number
        assert time.monotonic() - begun < ALONE_SECONDS
    assert any(not job.done() for job in waiting)  # so they waited all the while
    return 3


def all_succeed_once(jobs: Jobs, refused: Sequence[Act]) -> None:
    """Those who waited, and those who were refused once they ask again; and each once only."""
    for job, act in jobs.items():
        status = job.result().status_code
        assert status == (503 if act in refused else 201), job.result().text
        again = act()
        assert again.status_code == (201 if act in refused else 200), again.text
        assert act().status_code == 200


def test_a_held_wallet_does_not_keep_the_others_from_moving(function: Function, books: Db) -> None:
    taken, free = function.holder(STARTED_WITH), function.holder(STARTED_WITH)
    acts = [debit(function, taken) for _ in range(THREADS)]
    with ThreadPoolExecutor(len(acts)) as pool:
        with held(books, taken):
            jobs = {pool.submit(act): act for act in acts}
            refused = refused_at_once(jobs, THREADS // 2)
            alone = moves_alone(function, free, jobs)
        all_succeed_once(jobs, refused)
    total = check_books(books, [ObjectId(taken), ObjectId(free)])
    assert total == 2 * STARTED_WITH - 10 * (THREADS + alone)
    check_whole(books)


def test_two_held_wallets_leave_threads_for_the_others(function: Function, books: Db) -> None:
    """As a process leaves them that dies in a transfer."""
    payer, payee = function.holder(STARTED_WITH), function.holder(STARTED_WITH)
    free = function.holder(STARTED_WITH)
    acts = [debit(function, owner) for owner in (payer, payee) for _ in range(THREADS)]
    with ThreadPoolExecutor(len(acts)) as pool:
        with held(books, payer, payee):
            jobs = {pool.submit(act): act for act in acts}
            refused = refused_at_once(jobs, len(acts) - THREADS * 3 // 4)
            alone = moves_alone(function, free, jobs)
        all_succeed_once(jobs, refused)
    owners = [ObjectId(owner) for owner in (payer, payee, free)]
    assert check_books(books, owners) == 3 * STARTED_WITH - 10 * (len(acts) + alone)
    check_whole(books)


def test_transfers_that_wait_for_one_wallet_leave_the_other_free(
    function: Function, books: Db
) -> None:
    taken, other = function.holder(STARTED_WITH), function.holder(STARTED_WITH)
    acts = [transfer(function, taken, other) for _ in range(THREADS // 2)]
    acts += [transfer(function, other, taken) for _ in range(THREADS // 2)]
    with ThreadPoolExecutor(len(acts)) as pool:
        with held(books, taken):
            jobs = {pool.submit(act): act for act in acts}
            refused = refused_at_once(jobs, THREADS // 2)
            alone = moves_alone(function, other, jobs)
        all_succeed_once(jobs, refused)
    owners = [ObjectId(owner) for owner in (taken, other)]
    assert check_books(books, owners) == 2 * STARTED_WITH - 10 * alone
    check_whole(books)
