"""The ledger as it is deployed: two functions-framework processes, real HTTP, one database."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from urllib3.util import Retry

from daybook.export.outcome import Status
from tests import books, commands, forked
from tests.integration.ledgers import balance_of, check_books, check_whole, prepare
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
THREADS = 8
START_SECONDS = 60.0

Db = Database[dict[str, Any]]


class Function:
    """One process of the function `ledger`; `more` are variables of its environment."""

    def __init__(self, uri: str, database: Db, **more: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.session = requests.Session()
        # A server may close an idle connection in the moment in which a request is sent on it.
        # A request that was carried out all the same is found: it would answer as a replay.
        again = Retry(total=2, connect=0, read=2, other=0, allowed_methods=None)
        again.respect_retry_after_header = False  # a 503 is an answer, which a test wants to see
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=64, max_retries=again)
        self.session.mount("http://", adapter)
        with Path(os.devnull).open("wb") as nowhere:
            self.process = forked.start(
                [
                    *("functions_framework", "--target", "ledger"),
                    *("--source", str(ROOT / "main.py")),
                    *("--host", "127.0.0.1", "--port", str(self.port)),
                ],
                {
                    **{name: text for name, text in os.environ.items() if "DAYBOOK" not in name},
                    "DAYBOOK_MONGODB_URI": uri,
                    "DAYBOOK_DATABASE": database.name,
                    "DAYBOOK_DESTINATION": "file:///tmp",
                    **more,
                },
                stdout=nowhere,
            )

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate(1)[1]
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail(f"the function did not start within {START_SECONDS:g} s")

    def post(self, path: str, body: dict[str, Any], *, key: str | None = None) -> requests.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.session.post(self.url + path, json=body, headers=headers, timeout=60)

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.url + path, timeout=60)

    def stop(self) -> None:
        self.session.close()
        self.process.terminate()
        self.process.communicate(timeout=20)

    def holder(self, balance: int) -> str:
        """A user with a wallet and so much in it."""
        user = self.post("/users", {"name": "Somchai", "roles": ["agency"]}).json()["userId"]
        assert self.post("/wallets", {"ownerUserId": user}).status_code == 201
        if balance:
            body = {"amountPaise": balance, "type": "topup"}
            assert self.post(f"/wallets/{user}/credits", body, key=str(ObjectId())).ok
        return str(user)


@pytest.fixture(scope="module")
def database(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Db]:
    database = mongo_client[f"ledger_{ObjectId()}"]
    prepare(database)
    yield database
    mongo_client.drop_database(database.name)


@pytest.fixture(scope="module")
def functions(mongo_uri: str, database: Db) -> Iterator[list[Function]]:
    with ExitStack() as stack:
        functions = [Function(mongo_uri, database) for _ in range(2)]
        for function in functions:
            stack.callback(function.stop)
        for function in functions:
            function.wait()
        yield functions


@pytest.fixture
def function(functions: list[Function]) -> Function:
    return functions[0]


def test_of_200_concurrent_debits_as_many_succeed_as_the_wallet_covers(
    functions: list[Function], database: Db
) -> None:
    owner = functions[0].holder(120 * 25)
    before = {name: database[name].count_documents({}) for name in BOOKED}

    def debit(number: int) -> requests.Response:
        body = {"amountPaise": 25, "type": "payout"}
        return functions[number % 2].post(f"/wallets/{owner}/debits", body, key=f"{owner}/{number}")

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(debit, range(200)))

    assert Counter(answer.status_code for answer in answers) == {201: 120, 409: 80}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {
        "INSUFFICIENT_FUNDS"
    }
    balances = sorted(
        answer.json()["availablePaise"] for answer in answers if answer.status_code == 201
    )
    assert balances == [25 * n for n in range(120)]
    wallet = functions[1].get(f"/wallets/{owner}").json()
    assert (wallet["availablePaise"], wallet["version"]) == (0, 1 + 120)
    after = {name: database[name].count_documents({}) for name in BOOKED}
    assert {name: after[name] - before[name] for name in BOOKED} == dict.fromkeys(BOOKED, 120)
    assert check_books(database, [ObjectId(owner)]) == 0


BOOKED = ("transactions", "journalentries", "exportqueues")


def test_one_key_fifty_times_at_once_has_fifty_equal_answers(
    functions: list[Function], database: Db
) -> None:
    owner = functions[0].holder(1000)

    def debit(number: int) -> requests.Response:
        body = {"amountPaise": 10, "type": "payout", "description": "ค่าบริการ"}
        return functions[number % 2].post(f"/wallets/{owner}/debits", body, key=f"{owner}/same")

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(debit, range(50)))

    assert len({answer.content for answer in answers}) == 1
    assert Counter(
        (answer.status_code, answer.headers.get("Idempotency-Replayed")) for answer in answers
    ) == {(201, None): 1, (200, "true"): 49}
    assert balance_of(database, ObjectId(owner)) == (990, 2)
    assert check_books(database, [ObjectId(owner)]) == 990


def test_a_days_road_through_every_request(function: Function) -> None:
    brand, shopper = function.holder(10_000), function.holder(0)
    body = {
        "fromUserId": brand,
        "toUserId": shopper,
        "amountPaise": 2500,
        "type": "commission",
        "description": "January",
    }
    moved = function.post("/transfers", body, key=f"{brand}/t")
    assert moved.status_code == 201
    answer = moved.json()
    assert (answer["from"]["availablePaise"], answer["to"]["availablePaise"]) == (7500, 2500)
    again = function.post("/transfers", body, key=f"{brand}/t")
    assert (again.status_code, again.content) == (200, moved.content)
    other = function.post("/transfers", {**body, "amountPaise": 1}, key=f"{brand}/t")
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")

    path = f"/transactions/{answer['to']['transactionId']}/reversals"
    taken_back = function.post(path, {}, key=f"{brand}/r")
    assert taken_back.status_code == 201
    assert taken_back.json()["to"]["reverses"] == answer["from"]["transactionId"]
    assert function.post(path, {}, key=f"{brand}/r").status_code == 200
    twice = function.post(path, {}, key=f"{brand}/r2")
    assert (twice.status_code, twice.json()["code"]) == (409, "ALREADY_REVERSED")

    first = function.get(f"/wallets/{brand}/transactions?limit=2").json()
    rest = function.get(
        f"/wallets/{brand}/transactions?limit=2&cursor={first['nextCursor']}"
    ).json()
    assert [
        (one["type"], one["direction"], one["availablePaise"])
        for one in first["transactions"] + rest["transactions"]
    ] == [
        ("reversal", "credit", 10_000),
        ("commission", "debit", 7500),
        ("topup", "credit", 10_000),
    ]
    assert rest["nextCursor"] is None

    invited = function.post("/invites", {"parentCode": "AG-7"})
    assert invited.status_code == 201
    code = invited.json()["code"]
    listed = function.get("/invites?parentCode=AG-7").json()
    assert [one["code"] for one in listed["invites"]] == [code]
    accepted = function.post(f"/invites/{code}/accept", {"userId": shopper})
    assert (accepted.status_code, accepted.json()["usedBy"]) == (200, shopper)
    assert function.post(f"/invites/{code}/accept", {}).json()["code"] == "INVITE_USED"
    assert function.get("/users?role=agency&status=active").json()["users"]
    assert function.get("/health").json()["status"] == "ok"


def test_the_next_batch_exports_what_moved(
    mongo_uri: str, functions: list[Function], database: Db, tmp_path: Path
) -> None:
    payer, payee = functions[0].holder(123_456), functions[1].holder(0)
    body = {"fromUserId": payer, "toUserId": payee, "amountPaise": 456, "type": "fee"}
    assert functions[0].post("/transfers", body, key=f"{payer}/x").ok
    debit = {"amountPaise": 56, "type": "payout"}
    assert functions[1].post(f"/wallets/{payee}/debits", debit, key=f"{payee}/x").ok
    queued = database["exportqueues"].count_documents({"status": "queued"})
    assert queued >= 3
    app = books.make_app(mongo_uri, database.name, tmp_path.as_uri())

    outcome = commands.run_day(app, date(2026, 1, 18))

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, queued)
    assert outcome.facts["rejectedCount"] == outcome.facts["normalisedCount"] == 0
    totals = outcome.facts["totals"]["INR"]
    assert totals["debit"] == totals["credit"] != "0.00"
    assert totals["amount"] == "0.00"
    (file,) = tmp_path.glob("batch_*.csv")
    rows = books.rows(file.read_bytes())
    of_these = {
        doc["journalEntryId"]
        for doc in database["transactions"].find(
            {"ownerUserId": {"$in": [ObjectId(payer), ObjectId(payee)]}}
        )
    }
    mine = [row for row in rows if ObjectId(row["Entry ID"]) in of_these]
    in_wallets = sum(
        (Decimal(row["Credit"]) - Decimal(row["Debit"]))
        for row in mine
        if row["Account Code"] == "2100"
    )
    assert len(mine) == 6
    assert in_wallets == Decimal("1234.00")
    assert check_books(database, [ObjectId(payer), ObjectId(payee)]) == 123_400
    check_whole(database)
    app.client.close()
