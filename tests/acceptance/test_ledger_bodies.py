"""What a hostile or careless client sends, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.ledger_app import LedgerApp
from tests.acceptance.ledger_calls import assert_problem, send, told
from tests.integration.ledgers import balance_of, check_books, make_app, prepare, purses


@pytest.fixture(scope="module")
def app(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    database = mongo_client[f"bodies_{ObjectId()}"]
    prepare(database)
    app = make_app(mongo_uri, database.name, DAYBOOK_LEDGER_INVITE_CODES="chosen")
    yield app
    app.client.close()
    mongo_client.drop_database(database.name)


def credit(app: LedgerApp, owner: ObjectId, body: bytes, **headers: str) -> Any:
    key = str(ObjectId())
    return send(app, "POST", f"/wallets/{owner}/credits", body, Idempotency_Key=key, **headers)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"amountPaise": 5, "type": "topup", "amountPaise": 500}', "amountPaise"),
        (b'{"amountPaise": 5, "type": "topup", "amount\\u0050aise": 5}', "amountPaise"),
        (b'{"type": "topup", "amountPaise": 5, "type": "topup"}', "type"),
    ],
)
def test_a_name_that_occurs_twice_moves_nothing(app: LedgerApp, body: bytes, where: str) -> None:
    """One parser takes the first amount, another the last; nobody may guess about money."""
    (owner,) = purses(app.ledger, 0)
    response = credit(app, owner, body)
    assert_problem(response, 400, "BAD_REQUEST", "more than once")
    assert told(response)["where"] == where
    assert balance_of(app.database, owner) == (0, 0)


@pytest.mark.parametrize("text", ["1" + "0" * 5000, "-" + "9" * 4301])
def test_an_amount_of_thousands_of_digits_is_a_400(app: LedgerApp, text: str) -> None:
    (owner,) = purses(app.ledger, 0)
    response = credit(app, owner, b'{"amountPaise": %s, "type": "topup"}' % text.encode())
    assert_problem(response, 400, "BAD_REQUEST", "digits")
    assert balance_of(app.database, owner) == (0, 0)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content_Type": "application/json; charset=utf-8"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "text/plain"},
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_json_is_taken_under_any_type_and_after_a_byte_order_mark(
    app: LedgerApp, headers: dict[str, str], mark: bytes
) -> None:
    """As `curl -d` sends it without a header."""
    (owner,) = purses(app.ledger, 0)
    body = mark + b'{"amountPaise": 5, "type": "topup"}'
    assert credit(app, owner, body, **headers).status_code == 201
    assert check_books(app.database, [owner]) == 5


@pytest.mark.parametrize(
    "body", [b"", b" ", b"null", b'"x"', b"5", b"[]", b"{} {}", b"\xff", b"[" * 60_000, b"a=5"]
)
def test_any_other_body_is_a_400(app: LedgerApp, body: bytes) -> None:
    (owner,) = purses(app.ledger, 0)
    assert_problem(credit(app, owner, body), 400, "BAD_REQUEST")


def test_text_reaches_the_journal_as_it_was_sent(app: LedgerApp) -> None:
    """What could be a formula is for the export to guard; the books keep what was said."""
    (owner,) = purses(app.ledger, 0)
    said = '=HYPERLINK("x"), ค่าบริการ, क्‍ष, "a;b"'
    body = {"amountPaise": 5, "type": "topup", "description": said}
    answer = told(credit(app, owner, json.dumps(body).encode()))
    entry = app.database["journalentries"].find_one({"_id": ObjectId(answer["journalEntryId"])})
    assert entry is not None
    assert entry["description"] == answer["description"] == said


@pytest.mark.parametrize("odd", ["\n", "\r", "\0", "\x85", "\u2028", "\u2029", "\x1b", "\ud800"])
@pytest.mark.parametrize("path", ["credits", "transfers", "reversals", "users"])
def test_no_line_break_or_control_character_reaches_the_accountant(
    app: LedgerApp, path: str, odd: str
) -> None:
    owners = purses(app.ledger, 5, 5)
    booked = app.database["transactions"].find_one({"ownerUserId": owners[0]})
    assert booked is not None
    text = f"a{odd}b"
    move = {"amountPaise": 5, "type": "topup", "description": text}
    pair = {"fromUserId": str(owners[0]), "toUserId": str(owners[1])}
    paths: dict[str, tuple[str, dict[str, Any]]] = {
        "credits": (f"/wallets/{owners[0]}/credits", move),
        "transfers": ("/transfers", {**move, **pair}),
        "reversals": (f"/transactions/{booked['_id']}/reversals", {"description": text}),
        "users": ("/users", {"name": text, "roles": ["brand"]}),
    }
    response = send(app, "POST", *paths[path], Idempotency_Key=str(ObjectId()))
    assert_problem(response, 400, "BAD_REQUEST", f"U+{ord(odd):04X}")


def test_head_is_answered_as_get(app: LedgerApp) -> None:
    (owner,) = purses(app.ledger, 5)
    for path in ("/health", f"/wallets/{owner}", f"/wallets/{owner}/transactions"):
        assert send(app, "HEAD", path).status_code == send(app, "GET", path).status_code == 200
    assert send(app, "HEAD", f"/wallets/{ObjectId()}").status_code == 404
    refused = send(app, "HEAD", "/transfers")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")


def test_the_cursor_of_another_wallet_is_refused(app: LedgerApp) -> None:
    one, other = purses(app.ledger, 5, 5)
    for owner in (one, other):
        credit(app, owner, b'{"amountPaise": 5, "type": "topup"}')
    cursor = told(send(app, "GET", f"/wallets/{one}/transactions?limit=1"))["nextCursor"]
    path = "/wallets/{}/transactions?limit=1&cursor={}"
    assert send(app, "GET", path.format(one, cursor)).status_code == 200
    response = send(app, "GET", path.format(other, cursor))
    assert_problem(response, 400, "BAD_REQUEST", "cursor", "another wallet")


@pytest.mark.parametrize("expires", ["2999-12-31T00:00:00Z", "2030-01-01T00:00:00+05:30"])
def test_an_invite_may_last_for_years(app: LedgerApp, expires: str) -> None:
    body = {"parentCode": "AG-7", "expiresAt": expires}
    invited = send(app, "POST", "/invites", body)
    assert invited.status_code == 201
    assert send(app, "POST", f"/invites/{told(invited)['code']}/accept").status_code == 200


def test_an_invite_whose_time_is_over_already_is_never_accepted(app: LedgerApp) -> None:
    body = {"parentCode": "AG-7", "code": "LATE", "expiresAt": "2020-01-01T00:00:00Z"}
    assert send(app, "POST", "/invites", body).status_code == 201
    assert_problem(send(app, "POST", "/invites/LATE/accept"), 410, "INVITE_EXPIRED")
    doc = app.database["invites"].find_one({"code": "LATE"})
    assert doc is not None
    assert doc["status"] == "expired"


def test_a_wallet_that_another_program_made_is_shown_in_whole_numbers(app: LedgerApp) -> None:
    """JavaScript stores 120 as an int32 or a double, and may leave the version out."""
    for balance in (120, 120.0):
        owner = ObjectId()
        app.database["wallets"].insert_one(
            {"ownerUserId": owner, "currency": "INR", "availablePaise": balance}
        )
        shown = send(app, "GET", f"/wallets/{owner}")
        assert b'"availablePaise": 120, "version": 0,' in shown.get_data()
        body = {"amountPaise": 20, "type": "payout"}
        path, key = f"/wallets/{owner}/debits", str(ObjectId())
        moved = send(app, "POST", path, body, Idempotency_Key=key)
        assert b'"availablePaise": 100, "version": 1,' in moved.get_data()
        again = send(app, "POST", path, body, Idempotency_Key=key)
        assert again.get_data() == moved.get_data()
        shown = send(app, "GET", f"/wallets/{owner}")
        assert b'"availablePaise": 100, "version": 1,' in shown.get_data()


def test_a_movement_whose_entry_lost_its_lines_is_not_reversed(app: LedgerApp) -> None:
    (owner,) = purses(app.ledger, 5)
    booked = app.database["transactions"].find_one({"ownerUserId": owner})
    assert booked is not None
    app.database["journalentries"].update_one(
        {"_id": booked["journalEntryId"]}, {"$unset": {"lines": ""}}
    )
    path = f"/transactions/{booked['_id']}/reversals"
    response = send(app, "POST", path, {}, Idempotency_Key=str(ObjectId()))
    assert_problem(response, 409, "NOT_REVERSIBLE", "lines")
