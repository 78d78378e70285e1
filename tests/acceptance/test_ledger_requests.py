"""What the ledger says to requests that it does not carry out: status, code, and where."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient

from daybook.http.ledger.responses import STATUS
from daybook.ledger_app import LedgerApp
from daybook.wallets.errors import ErrorCode
from tests.acceptance.ledger_calls import MISSING, assert_problem, send
from tests.integration.ledgers import make_app, prepare, purses

ID = "6b02f42045263142d9ff1af0"


@pytest.fixture(scope="module")
def app(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    database = mongo_client[f"requests_{ObjectId()}"]
    prepare(database)
    app = make_app(mongo_uri, database.name, DAYBOOK_LEDGER_INVITE_CODES="chosen")
    yield app
    app.client.close()
    mongo_client.drop_database(database.name)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("true", "not True"),
        ("1.0", "point"),
        ("1e3", "exponent"),
        ("NaN", "point"),
        ("Infinity", "point"),
        ('"100"', "text"),
        ("0", "not 0"),
        ("-5", "not -5"),
        ("9007199254740992", "9007199254740991"),
        ("1" + "0" * 400, "digits"),
        ("null", "missing"),
        ('{"$gt": 0}', "$gt"),
        ("[5]", "[5]"),
    ],
)
@pytest.mark.parametrize("what", ["credits", "debits"])
def test_an_amount_is_a_whole_number_from_1_below_2_to_the_53(
    app: LedgerApp, what: str, value: str, why: str
) -> None:
    body = f'{{"amountPaise": {value}, "type": "payout"}}'.encode()
    response = send(app, "POST", f"/wallets/{ID}/{what}", body, Idempotency_Key="k")
    assert_problem(response, 400, "BAD_REQUEST", "amountPaise", "whole number", why)


def test_the_largest_amount_is_moved(app: LedgerApp) -> None:
    (owner,) = purses(app.ledger, 0)
    body = {"amountPaise": 2**53 - 1, "type": "topup"}
    response = send(app, "POST", f"/wallets/{owner}/credits", body, Idempotency_Key="largest")
    assert response.status_code == 201
    assert json.loads(response.get_data())["availablePaise"] == 2**53 - 1
    over = {"amountPaise": 1, "type": "topup"}
    response = send(app, "POST", f"/wallets/{owner}/credits", over, Idempotency_Key="over")
    assert_problem(response, 409, "BALANCE_LIMIT")


MOVE = {"amountPaise": 5, "type": "payout"}
TRANSFER = {**MOVE, "fromUserId": ID, "toUserId": ID[::-1]}
USER = {"name": "Somchai", "roles": ["brand"]}
INVITE = {"parentCode": "AG-7"}
OPERATOR = {"$ne": None}


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        (f"/wallets/{ID}/debits", {**MOVE, "type": OPERATOR}, "type"),
        (f"/wallets/{ID}/debits", {**MOVE, "type": "$ne"}, "type"),
        (f"/wallets/{ID}/debits", {**MOVE, "type": "x" * 41}, "type"),
        (f"/wallets/{ID}/debits", {**MOVE, "type": "reversal"}, "type"),
        (f"/wallets/{ID}/debits", {"amountPaise": 5}, "type"),
        (f"/wallets/{ID}/debits", {**MOVE, "description": "x" * 501}, "description"),
        (f"/wallets/{ID}/debits", {**MOVE, "description": ""}, "description"),
        (f"/wallets/{ID}/debits", {**MOVE, "description": "a\0b"}, "description"),
        (f"/wallets/{ID}/debits", {**MOVE, "description": "\ud800"}, "description"),
        (f"/wallets/{ID}/debits", {**MOVE, "description": OPERATOR}, "description"),
        (f"/wallets/{ID}/debits", {**MOVE, "walletId": ID}, "walletId"),
        (f"/wallets/{ID}/debits", {**MOVE, "$where": "1"}, "$where"),
        (f"/wallets/{ID}/debits?key=1", MOVE, "key"),
        (f"/wallets/{ID}/debits", [MOVE], "body"),
        (f"/wallets/{ID}/debits", b"{", "body"),
        (f"/wallets/{ID[1:]}/debits", MOVE, "ownerUserId"),
        (f"/wallets/{ID[1:]}g/debits", MOVE, "ownerUserId"),
        (f"/wallets/{ID[1:]}%00/debits", MOVE, "ownerUserId"),
        ("/wallets/../debits", MOVE, "ownerUserId"),
        ("/transfers", {**TRANSFER, "fromUserId": OPERATOR}, "fromUserId"),
        ("/transfers", {**TRANSFER, "toUserId": ID}, "toUserId"),
        ("/transfers", {**TRANSFER, "toUserId": ID.upper()}, "toUserId"),
        ("/transfers", {**TRANSFER, "toUserId": 5}, "toUserId"),
        ("/transactions/1/reversals", {}, "transactionId"),
        (f"/transactions/{ID}/reversals", MOVE, "amountPaise"),
        ("/wallets", {"ownerUserId": OPERATOR}, "ownerUserId"),
        ("/wallets", {}, "ownerUserId"),
        ("/wallets", {"ownerUserId": ID, "currency": "inr"}, "currency"),
        ("/wallets", {"ownerUserId": ID, "currency": "XYZ"}, "currency"),
        ("/wallets", {"ownerUserId": ID, "currency": "XAU"}, "currency"),
        ("/wallets", {"ownerUserId": ID, "currency": OPERATOR}, "currency"),
        ("/users", {**USER, "name": OPERATOR}, "name"),
        ("/users", {**USER, "name": " "}, "name"),
        ("/users", {**USER, "name": "x" * 201}, "name"),
        ("/users", {**USER, "roles": "brand"}, "roles"),
        ("/users", {**USER, "roles": []}, "roles"),
        ("/users", {**USER, "roles": ["brand", "brand"]}, "roles"),
        ("/users", {**USER, "roles": ["brand", OPERATOR]}, "roles[1]"),
        ("/users", {**USER, "status": True}, "status"),
        ("/users", {**USER, "brandCode": OPERATOR}, "brandCode"),
        ("/users", {**USER, "mediatorCode": "a/b"}, "mediatorCode"),
        ("/users", {**USER, "deletedAt": None}, "deletedAt"),
        ("/invites", {"parentCode": OPERATOR}, "parentCode"),
        ("/invites", {}, "parentCode"),
        ("/invites", {**INVITE, "code": "x" * 65}, "code"),
        ("/invites", {**INVITE, "expiresAt": "1969-12-31T23:59:59Z"}, "expiresAt"),
        ("/invites", {**INVITE, "expiresAt": "2026-01-18"}, "expiresAt"),
        ("/invites", {**INVITE, "expiresAt": "0001-01-01T00:00:00+14:00"}, "expiresAt"),
        ("/invites", {**INVITE, "expiresAt": OPERATOR}, "expiresAt"),
        ("/invites/$ne/accept", {}, "code"),
        ("/invites/AG/accept", {"userId": OPERATOR}, "userId"),
    ],
)
def test_what_cannot_be_understood_is_named(
    app: LedgerApp, path: str, body: Any, where: str
) -> None:
    counts = {name: app.database[name].count_documents({}) for name in COLLECTIONS}
    response = send(app, "POST", path, body, Idempotency_Key="k")
    assert_problem(response, 400, "BAD_REQUEST", where)
    assert json.loads(response.get_data())["where"] == where
    assert {name: app.database[name].count_documents({}) for name in COLLECTIONS} == counts


COLLECTIONS = ("users", "wallets", "transactions", "invites")
TOO_LATE = base64.urlsafe_b64encode(b"w" * 12 + b"\x7f" + b"\xff" * 19).decode()
"""A cursor in all but its time, which no calendar has."""


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/users", "role"),
        ("/users?status=active", "role"),
        ("/users?role=brand&role=agency", "role"),
        ("/users?role[$ne]=x", "role[$ne]"),
        ("/users?role=", "role"),
        ("/users?brandCode=%24ne%20", "brandCode"),
        ("/users?role=brand&limit=0", "limit"),
        ("/users?role=brand&limit=1001", "limit"),
        ("/users?role=brand&limit=%D9%A1", "limit"),
        ("/users?role=brand&sort=name", "sort"),
        (f"/wallets/{ID}/transactions?limit=201", "limit"),
        (f"/wallets/{ID}/transactions?limit=-1", "limit"),
        (f"/wallets/{ID}/transactions?cursor=", "cursor"),
        (f"/wallets/{ID}/transactions?cursor=AAAA", "cursor"),
        (f"/wallets/{ID}/transactions?cursor={'/' * 44}", "cursor"),
        (f"/wallets/{ID}/transactions?cursor={'_' * 44}", "cursor"),
        (f"/wallets/{ID}/transactions?cursor={TOO_LATE}", "cursor"),
        ("/wallets/x", "ownerUserId"),
        ("/invites", "parentCode"),
        ("/invites?parentCode=AG&status=any", "status"),
    ],
)
def test_a_parameter_that_cannot_be_understood_is_named(
    app: LedgerApp, path: str, where: str
) -> None:
    response = send(app, "GET", path)
    assert_problem(response, 400, "BAD_REQUEST", where)
    assert json.loads(response.get_data())["where"] == where


@pytest.mark.parametrize("path", [f"/wallets/{ID}/credits", f"/wallets/{ID}/debits", "/transfers"])
@pytest.mark.parametrize("key", [None, "", " ", "a\tb", "x" * 256, "é"])
def test_money_moves_only_under_a_key(app: LedgerApp, path: str, key: str | None) -> None:
    headers = {} if key is None else {"Idempotency_Key": key}
    body = TRANSFER if path == "/transfers" else MOVE
    response = send(app, "POST", path, body, **headers)
    assert_problem(response, 400, "BAD_REQUEST", "Idempotency-Key")


def test_the_longest_key_serves(app: LedgerApp) -> None:
    (owner,) = purses(app.ledger, 10)
    path, key = f"/wallets/{owner}/debits", "k" * 255
    assert send(app, "POST", path, MOVE, Idempotency_Key=key).status_code == 201
    again = send(app, "POST", path, MOVE, Idempotency_Key=key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    upper = send(
        app, "POST", path.replace(str(owner), str(owner).upper()), MOVE, Idempotency_Key=key
    )
    assert upper.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", f"/wallets/{ID}", MISSING, ErrorCode.WALLET_NOT_FOUND),
        ("GET", f"/wallets/{ID}/transactions", MISSING, ErrorCode.WALLET_NOT_FOUND),
        ("POST", f"/wallets/{ID}/debits", MOVE, ErrorCode.WALLET_NOT_FOUND),
        ("POST", f"/wallets/{ID}/credits", MOVE, ErrorCode.WALLET_NOT_FOUND),
        ("POST", "/transfers", TRANSFER, ErrorCode.WALLET_NOT_FOUND),
        ("POST", f"/transactions/{ID}/reversals", {}, ErrorCode.TRANSACTION_NOT_FOUND),
        ("POST", "/invites/NOBODYS/accept", {}, ErrorCode.INVITE_NOT_FOUND),
    ],
)
def test_what_is_not_there_is_404(
    app: LedgerApp, method: str, path: str, body: Any, code: ErrorCode
) -> None:
    assert_problem(send(app, method, path, body, Idempotency_Key="k"), 404, code.value)


def test_refusals_have_their_status(app: LedgerApp) -> None:
    assert set(STATUS) == set(ErrorCode)
    (owner,) = purses(app.ledger, 4)
    poor = send(app, "POST", f"/wallets/{owner}/debits", MOVE, Idempotency_Key="poor")
    assert_problem(poor, 409, "INSUFFICIENT_FUNDS", "holds 4")
    second = send(app, "POST", "/wallets", {"ownerUserId": str(owner)})
    assert_problem(second, 409, "WALLET_EXISTS", "ownerUserId")
    soon = (datetime.now(UTC) + timedelta(milliseconds=300)).isoformat()
    invite = {**INVITE, "code": "SOON", "expiresAt": soon}
    assert send(app, "POST", "/invites", invite).status_code == 201
    assert_problem(send(app, "POST", "/invites", invite), 409, "INVITE_EXISTS")
    app.database["invites"].update_one({"code": "SOON"}, {"$set": {"expiresAt": datetime.now(UTC)}})
    assert_problem(send(app, "POST", "/invites/SOON/accept", {}), 410, "INVITE_EXPIRED")


@pytest.mark.parametrize("path", ["/", "/wallet", f"/wallets/{ID}/transactions/5", "/transfers/x"])
def test_there_is_nothing_elsewhere(app: LedgerApp, path: str) -> None:
    assert_problem(send(app, "GET", path), 404, "NOT_FOUND", path)


def test_a_method_that_is_not_possible_names_those_that_are(app: LedgerApp) -> None:
    response = send(app, "DELETE", "/users")
    assert_problem(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == "GET, HEAD, POST"


def test_a_body_of_more_than_64_kib_is_refused_before_it_is_parsed(app: LedgerApp) -> None:
    head, tail = b'{"name": "', b'", "roles": ["brand"]}'
    longest = head + b"x" * (64 * 1024 - len(head + tail)) + tail
    assert_problem(send(app, "POST", "/users", longest), 400, "BAD_REQUEST", "name: ")
    assert_problem(send(app, "POST", "/users", longest + b" "), 413, "BODY_TOO_LARGE", "65537")


def test_only_the_named_callers_may_call(app: LedgerApp, mongo_uri: str) -> None:
    guarded = make_app(
        mongo_uri,
        app.database.name,
        DAYBOOK_CALLERS="/wallets/{ownerUserId}=app@p.iam.gserviceaccount.com",
    )
    assert_problem(send(guarded, "GET", f"/wallets/{ID}"), 403, "FORBIDDEN", "DAYBOOK_CALLERS")
    assert send(guarded, "GET", "/health").status_code == 200
    guarded.client.close()


def test_commands_and_connections_of_the_process_are_measured(app: LedgerApp) -> None:
    (owner,) = purses(app.ledger, 10)
    assert send(app, "GET", f"/wallets/{owner}").status_code == 200
    response = send(app, "GET", "/metrics")
    assert response.mimetype == "text/plain"
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(response.get_data(as_text=True))
        for sample in family.samples
        if sample.labels.get("command", "find") == "find"
    }
    assert samples["daybook_mongodb_command_duration_seconds_count"] >= 1
    assert samples["daybook_mongodb_pool_max_connections"] == 50
    assert samples["daybook_mongodb_slow_commands_total"] == 0


def test_without_the_database_the_answer_is_503_and_says_when_to_come_again() -> None:
    away = make_app(
        "mongodb://127.0.0.1:1/?directConnection=true",
        "daybook",
        DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS="50",
    )
    response = send(away, "GET", f"/wallets/{ID}")
    assert_problem(response, 503, "DATABASE_UNAVAILABLE")
    assert response.headers["Retry-After"] == "1"
    assert send(away, "GET", "/health").status_code == 503
    away.client.close()


def test_without_its_indexes_the_ledger_says_what_to_do(app: LedgerApp, mongo_uri: str) -> None:
    bare = make_app(mongo_uri, f"{app.database.name}_bare")
    response = send(bare, "POST", "/users", USER)
    assert_problem(response, 500, "CONFIGURATION", "migrate")
    bare.client.close()


def test_the_ledger_keeps_ten_connections_unless_told_otherwise(app: LedgerApp) -> None:
    told = make_app("mongodb://127.0.0.1:1/", "daybook")
    usual = make_app("mongodb://127.0.0.1:1/", "daybook", DAYBOOK_MONGO_MIN_POOL_SIZE="")
    assert told.client.options.pool_options.min_pool_size == 0
    assert usual.client.options.pool_options.min_pool_size == 10
    assert usual.client.options.pool_options.appname == "daybook-ledger"
