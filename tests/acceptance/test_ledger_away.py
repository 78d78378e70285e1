"""A MongoDB that is away, or takes requests and does not answer: a clear 503, and soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.ledger_app import LedgerApp
from tests.acceptance.ledger_calls import assert_problem, send
from tests.emulators.mongo_proxy import Event, MongoProxy, Phase
from tests.integration.ledgers import check_books, make_app, prepare, purses

SELECTION_SECONDS = 0.5
MAX_WAIT_SECONDS = 0.6
SLACK_SECONDS = 8.0
"""For a machine that is busy with other things."""
MOVE = {"amountPaise": 5, "type": "payout"}


@pytest.fixture(scope="module")
def app(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    database = mongo_client[f"away_{ObjectId()}"]
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    app.client.close()
    # A command that was held back may have opened a transaction for a client that had given up.
    mongo_client.admin.command("killAllSessions", [])
    mongo_client.drop_database(database.name)


def timed(app: LedgerApp, method: str, path: str, **more: Any) -> tuple[int, float]:
    begun = time.monotonic()
    response = send(app, method, path, **more)
    return response.status_code, time.monotonic() - begun


def test_requests_do_not_wait_for_one_another_while_mongodb_is_away() -> None:
    away = make_app(
        "mongodb://127.0.0.1:1/?directConnection=true",
        "daybook",
        DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS=str(int(SELECTION_SECONDS * 1000)),
    )
    with ThreadPoolExecutor(26) as pool:
        waiting = [pool.submit(timed, away, "GET", "/users?role=brand") for _ in range(25)]
        health = pool.submit(timed, away, "GET", "/health")
    away.client.close()

    for status, seconds in (job.result() for job in [*waiting, health]):
        assert status == 503
        assert seconds < SELECTION_SECONDS + SLACK_SECONDS


class Stalled:
    """Takes commands on some collections, and answers none until it is over."""

    def __init__(self, *collections: str) -> None:
        self._collections = collections
        self.over = threading.Event()
        self.met = 0

    def __call__(self, event: Event) -> None:
        if event.phase is Phase.BEFORE and event.collection in self._collections:
            self.met += 1
            self.over.wait(60)


@pytest.fixture
def proxy(app: LedgerApp) -> Iterator[MongoProxy]:
    host, port = app.client.address or ("", 0)
    with MongoProxy(host, port) as proxy:
        yield proxy
    # A command that it held back may have begun a transaction when it was let go. Dropping the
    # database would wait until MongoDB ends that by itself.
    app.client.admin.command("killAllSessions", [])


@pytest.fixture
def far(app: LedgerApp, proxy: MongoProxy) -> Iterator[LedgerApp]:
    """Sockets wait for 45 seconds, as deployed."""
    selection_ms = str(int(SELECTION_SECONDS * 1000))
    near = make_app(
        proxy.uri, app.database.name, DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS=selection_ms
    )
    far = replace(near, max_wait_seconds=MAX_WAIT_SECONDS)
    # Connected before MongoDB goes away; on a busy machine not always within the time limit.
    first = (send(far, "GET", f"/wallets/{ObjectId()}").status_code for _ in range(20))
    assert 404 in first
    yield far
    far.client.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/wallets/{}", {}),
        ("GET", "/wallets/{}/transactions", {}),
        ("GET", "/users?role=brand", {}),
        ("POST", "/users", {"name": "Somchai", "roles": ["brand"]}),
        ("POST", "/wallets/{}/debits", MOVE),
        ("POST", "/invites/SUMMER/accept", {}),
    ],
)
def test_a_mongodb_that_does_not_answer_is_given_up_in_bounded_time(
    app: LedgerApp, far: LedgerApp, proxy: MongoProxy, method: str, path: str, body: dict[str, Any]
) -> None:
    (owner,) = purses(app.ledger, 100)
    proxy.hook = stalled = Stalled("users", "wallets", "transactions", "invites")
    begun = time.monotonic()
    try:
        response = send(far, method, path.format(owner), body, Idempotency_Key=str(ObjectId()))
    finally:
        stalled.over.set()

    assert_problem(response, 503, "DATABASE_UNAVAILABLE")
    assert response.headers["Retry-After"] == "1"
    assert time.monotonic() - begun < MAX_WAIT_SECONDS + SELECTION_SECONDS + SLACK_SECONDS
    assert stalled.met


def test_requests_in_line_for_one_wallet_are_given_up_together(
    app: LedgerApp, far: LedgerApp, proxy: MongoProxy
) -> None:
    """The last in line does not wait for all before it and then for as long again."""
    owners = purses(app.ledger, 100, 100)
    path, keys = f"/wallets/{owners[0]}/debits", [str(ObjectId()) for _ in range(8)]
    proxy.hook = stalled = Stalled("wallets", "transactions")
    try:
        with ThreadPoolExecutor(len(keys)) as pool:
            jobs = [
                pool.submit(timed, far, "POST", path, body=MOVE, Idempotency_Key=key)
                for key in keys
            ]
            given_up = [job.result() for job in jobs]
    finally:
        stalled.over.set()

    for status, seconds in given_up:
        assert status == 503
        assert seconds < MAX_WAIT_SECONDS + SELECTION_SECONDS + SLACK_SECONDS
    app.client.admin.command("killAllSessions", [])  # as MongoDB does after a minute
    proxy.hook = None
    again = [send(app, "POST", path, MOVE, Idempotency_Key=key).status_code for key in keys]
    assert set(again) <= {200, 201}
    assert check_books(app.database, owners) == 200 - 5 * len(keys)
