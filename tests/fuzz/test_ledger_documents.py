"""Documents of any shape in the ledger's collections: no crash, and never half a movement.

Each example is a small ledger in which another application has altered some documents, at
any field, to any BSON value. Then each route is asked. Whatever is answered, it is said
by what is stored afterwards: a refusal and a replay have changed nothing, and a movement
has changed its wallets by its amount and left its transactions, entry and queue item.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import hypothesis
import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook.app import App
from daybook.ledger_app import LedgerApp
from daybook.wallets.reconcile.reconcile import reconcile
from daybook.wallets.stored import number
from tests import books
from tests.acceptance.ledger_calls import send, told
from tests.fuzz import documents
from tests.fuzz.budget import SECONDS_IN_CI_OF_OTHERS, rounds
from tests.fuzz.documents import encode
from tests.fuzz.test_documents import RAW
from tests.integration.ledgers import make_app, prepare

EXAMPLES = 10
"""In a round."""
BALANCE, AMOUNT = 1000, 10
ALTERABLE = ("wallets", "transactions", "users", "invites", "journalentries")
COLLECTIONS = (*ALTERABLE, "exportqueues")

Db = Database[dict[str, Any]]
Stored = Mapping[str, set[bytes]]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request; `key` None sends none, "" a new one each time."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A ledger as it is before it is altered, and what to ask of it."""

    app: LedgerApp
    office: App
    base: Mapping[str, Sequence[dict[str, Any]]]
    calls: Sequence[Call]

    def restore(self) -> None:
        for name in COLLECTIONS:
            self.office.database[name].delete_many({})
            if self.base[name]:
                self.office.database[name].insert_many(self.base[name])

    def stored(self) -> Stored:
        return {
            name: {
                bytes(doc.raw)
                for doc in self.office.database.get_collection(name, codec_options=RAW).find()
            }
            for name in COLLECTIONS
        }


@pytest.fixture
def stage(mongo_uri: str, database: Db, tmp_path: Any) -> Iterator[Stage]:
    prepare(database)
    app = make_app(mongo_uri, database.name, DAYBOOK_LEDGER_INVITE_CODES="chosen")
    office = books.make_app(mongo_uri, database.name, f"file://{tmp_path}")
    made = _made(app)
    base = {name: list(database[name].find()) for name in COLLECTIONS}
    yield Stage(app=app, office=office, base=base, calls=[*made, *_new(database, made)])
    app.client.close()
    office.client.close()


def _ask(app: LedgerApp, call: Call) -> Any:
    headers = {} if call.key is None else {"Idempotency_Key": call.key or str(ObjectId())}
    return send(
        app, call.method, call.path, *(() if call.body is None else (call.body,)), **headers
    )


def _made(app: LedgerApp) -> list[Call]:
    """Make the ledger; the requests are those that made it, to be repeated."""
    calls: list[Call] = []

    def make(path: str, body: Mapping[str, Any]) -> Any:
        calls.append(Call(method="POST", path=path, body=body, key=f"key-{len(calls)}"))
        response = _ask(app, calls[-1])
        assert response.status_code in {200, 201}, response.get_data()
        return told(response)

    codes = {"brandCode": "B-1", "mediatorCode": "M-1"}
    owners = []
    for name in ("Somchai", "Ananya"):
        user = make("/users", {"name": name, "roles": ["agency"], **codes})
        owners.append(user["userId"])
        make("/wallets", {"ownerUserId": owners[-1]})
        body = {"amountPaise": BALANCE, "type": "topup", "description": "ค่าบริการ"}
        make(f"/wallets/{owners[-1]}/credits", body)
    sides = {"fromUserId": owners[0], "toUserId": owners[1]}
    moved = make("/transfers", {**sides, "amountPaise": AMOUNT, "type": "fee"})
    make(f"/transactions/{moved['from']['transactionId']}/reversals", {})
    make("/transfers", {**sides, "amountPaise": AMOUNT, "type": "fee"})
    for code in ("USED", "OPEN"):
        make("/invites", {"parentCode": "AG-7", "code": code})
    make("/invites/USED/accept", {"userId": owners[0]})
    return calls


def _new(database: Db, made: Sequence[Call]) -> Iterator[Call]:
    """Every route, with new keys and without."""
    owners = [str(doc["_id"]) for doc in database["users"].find().sort("_id", 1)]
    for query in ("role=agency", "brandCode=B-1", "mediatorCode=M-1&status=active"):
        yield Call(method="GET", path=f"/users?{query}")
    yield Call(method="POST", path="/users", body={"name": "Malee", "roles": ["brand"]})
    yield Call(method="POST", path="/wallets", body={"ownerUserId": str(ObjectId())}, key="")
    for owner in owners:
        yield Call(method="POST", path="/wallets", body={"ownerUserId": owner})
        yield Call(method="GET", path=f"/wallets/{owner}")
        yield Call(method="GET", path=f"/wallets/{owner}/transactions")
        yield Call(method="GET", path=f"/wallets/{owner}/transactions?limit=1")
        for what in ("credits", "debits"):
            body = {"amountPaise": AMOUNT, "type": "payout"}
            yield Call(method="POST", path=f"/wallets/{owner}/{what}", body=body, key="")
    for payer, payee in (owners, owners[::-1]):
        body = {"fromUserId": payer, "toUserId": payee, "amountPaise": AMOUNT, "type": "fee"}
        yield Call(method="POST", path="/transfers", body=body, key="")
    for doc in database["transactions"].find():
        path = f"/transactions/{doc['_id']}/reversals"
        yield Call(method="POST", path=path, body={}, key="")
    yield Call(method="POST", path="/invites", body={"parentCode": "AG-7"})
    yield Call(method="POST", path="/invites", body={"parentCode": "AG-7", "code": "OPEN"})
    for status in ("active", "used", "expired"):
        yield Call(method="GET", path=f"/invites?parentCode=AG-7&status={status}")
    yield Call(method="POST", path="/invites/OPEN/accept", body={})
    yield Call(method="POST", path="/invites/OPEN/accept", body={"userId": owners[1]}, key="")
    assert {call.path for call in made}


REMOVED = "removed"
"""In place of a value: the field is not there."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What another application did to one document."""

    collection: str
    at: int
    """Which of its documents, by `_id`."""
    field: str
    value: Any
    line: str | None = None
    """Of a journal entry: a field of its first line instead."""


FIELDS: Mapping[str, Sequence[str]] = {
    "wallets": (
        *("ownerUserId", "currency", "availablePaise", "version", "deletedAt", "createdAt"),
        *("idempotencyKey", "requestHash", "answer", "_id"),
    ),
    "transactions": (
        *("type", "direction", "walletId", "ownerUserId", "amountPaise", "currency", "_id"),
        *("availablePaise", "version", "description", "journalEntryId", "reverses", "createdAt"),
        *("counterpartId", "idempotencyKey", "requestHash", "answer"),
    ),
    "users": (
        *("name", "roles", "status", "brandCode", "mediatorCode", "deletedAt", "createdAt"),
        *("idempotencyKey", "requestHash", "answer", "_id"),
    ),
    "invites": (
        *("code", "parentCode", "status", "expiresAt", "createdAt", "usedAt", "usedBy"),
        *("usedKey", "usedHash", "idempotencyKey", "requestHash", "answer", "_id"),
    ),
    "journalentries": ("lines", "currency", "reference", "description", "date", "_id"),
}
AMOUNTS = st.one_of(
    documents.INTEGERS,
    documents.DOUBLES,
    documents.DECIMALS,
    st.sampled_from([BALANCE, float(BALANCE), 10.5, "1000", None, [BALANCE], -1, 2.0**60]),
)
TIMES = st.one_of(documents.DATES, st.sampled_from([None, "2026-01-18", [None], 0]))
ODD = st.one_of(
    documents.VALUES,
    documents.RAW_TEXTS,
    st.sampled_from([REMOVED, None, "", [], {}, {"$ne": None}, "active", ["OPEN"], [None]]),
)


@st.composite
def a_change(draw: st.DrawFn) -> Change:
    collection = draw(st.sampled_from(ALTERABLE))
    field = draw(st.sampled_from(FIELDS[collection]))
    line = None
    if field == "lines":
        line = draw(st.none() | st.sampled_from(["debit", "credit", "accountCode", "other"]))
    its_own = st.just(REMOVED)
    if field in {"availablePaise", "version", "amountPaise"} or line in {"debit", "credit"}:
        its_own = st.one_of(its_own, AMOUNTS, AMOUNTS)
    elif field.endswith("At"):
        its_own = st.one_of(its_own, TIMES)
    value = draw(st.one_of(ODD, its_own))
    return Change(
        collection=collection, at=draw(st.integers(0, 9)), field=field, value=value, line=line
    )


def alter(database: Db, change: Change) -> bool:
    """Store the document with the change; False where MongoDB does not take it."""
    collection = database.get_collection(change.collection, codec_options=RAW)
    stored = list(collection.find().sort("_id", 1))
    if not stored:
        return False
    old = stored[change.at % len(stored)]
    try:
        doc: dict[Any, Any] = dict(old)
        if change.line is not None:
            first, second = (dict(line) for line in doc["lines"])
            _set(first, change.line, change.value)
            doc["lines"] = [first, second]
        else:
            _set(doc, change.field, change.value)
        altered = encode(doc)
    except (TypeError, ValueError, KeyError, UnicodeError):  # altered before: not these any more
        return False
    with database.client.start_session() as session:
        try:
            with session.start_transaction():
                collection.delete_one({"_id": old["_id"]}, session=session)
                collection.insert_one(altered, session=session)
        except PyMongoError:  # an index or `_id` does not take it
            return False
    return True


def _set(doc: dict[Any, Any], name: str, value: Any) -> None:
    if value is REMOVED:
        doc.pop(name, None)
    else:
        doc[name] = value


def check_call(stage: Stage, call: Call, before: Stored) -> tuple[Stored, list[str]]:
    """Ask, and compare with what was stored; what is stored now, and what was found invalid."""
    response = _ask(stage.app, call)
    after = stage.stored()
    gone = {name: before[name] - after[name] for name in COLLECTIONS}
    new = {name: after[name] - before[name] for name in COLLECTIONS}
    status, answer = response.status_code, told(response)
    where = f"{call.method} {call.path} {status} {answer}"
    assert status < 500, where
    json.dumps(answer, ensure_ascii=False).encode()  # every text of it can be shown
    if status >= 400 and answer["code"] == "INVITE_EXPIRED":
        assert _counts(new) in ({}, {"invites": 1}), where
    elif status >= 400 or call.method == "GET" or response.headers.get("Idempotency-Replayed"):
        assert (_counts(gone), _counts(new)) == ({}, {}), where
    elif call.path.endswith("/accept"):
        assert (_counts(gone), _counts(new)) == ({"invites": 1}, {"invites": 1}), where
    elif call.path in {"/users", "/wallets", "/invites"}:
        assert (_counts(gone), _counts(new)) == ({}, {call.path[1:]: 1}), where
    else:
        check_movement(gone, new, where)
    if call.method == "GET" and status == 200 and answer.get("nextCursor"):
        path = call.path.partition("&cursor")[0]
        more = Call(method="GET", path=f"{path}&cursor={answer['nextCursor']}")
        return check_call(stage, more, after)
    return after, [answer["detail"]] if answer.get("code") == "DOCUMENT_INVALID" else []


def _counts(found: Stored) -> dict[str, int]:
    return {name: len(docs) for name, docs in found.items() if docs}


def check_movement(gone: Stored, new: Stored, where: str) -> None:
    """Whole: wallets by the amount, a transaction for each, one balanced entry, one item."""
    moved = len(gone["wallets"])
    assert _counts(gone) == {"wallets": moved}, where
    assert moved in {1, 2}, where
    expected = {"wallets": moved, "transactions": moved, "journalentries": 1, "exportqueues": 1}
    assert _counts(new) == expected, where
    wallets = {doc["_id"]: doc for doc in map(_read, gone["wallets"])}
    later = {doc["_id"]: doc for doc in map(_read, new["wallets"])}
    assert set(wallets) == set(later), where
    (entry,), (item,) = map(_read, new["journalentries"]), map(_read, new["exportqueues"])
    assert item["entryId"] == entry["_id"], where
    amounts = set()
    for doc in map(_read, new["transactions"]):
        was, is_ = wallets[doc["walletId"]], later[doc["walletId"]]
        change = _whole(is_["availablePaise"]) - _whole(was["availablePaise"])
        assert change == doc["amountPaise"] * (1 if doc["direction"] == "credit" else -1), where
        assert doc["availablePaise"] == _whole(is_["availablePaise"]), where
        assert doc["version"] == _whole(is_["version"]) == _whole(was.get("version", 0)) + 1, where
        assert doc["direction"] == "credit" or doc["availablePaise"] >= 0, where
        assert doc["journalEntryId"] == entry["_id"], where
        assert doc["currency"] == was["currency"] == entry["currency"], where
        amounts.add(doc["amountPaise"])
    (amount,) = amounts
    debits, credits_ = (
        sum(line[side].to_decimal() for line in entry["lines"]) for side in ("debit", "credit")
    )
    assert debits == credits_ > 0, where
    assert debits in {Decimal(amount).scaleb(-places) for places in (0, 2, 3, 4)}, where


def _read(raw: bytes) -> RawBSONDocument:
    return RawBSONDocument(raw, RAW)


def _whole(value: Any) -> int:
    found = number(value)
    assert found is not None
    assert found == int(found)
    return int(found)


def check_example(
    stage: Stage, changes: Sequence[Change], order: Callable[[list[Call]], None]
) -> None:
    stage.restore()
    for change in changes:
        alter(stage.office.database, change)
    calls = list(stage.calls)
    order(calls)
    stored, named = stage.stored(), set()
    for call in calls:
        stored, invalid = check_call(stage, call, stored)
        named.update(invalid)
    found = reconcile(stage.office.database, stage.office.profile())
    json.dumps(found.to_doc(), ensure_ascii=False).encode()
    details = [difference.detail for difference in found.differences]
    for detail in named:
        document, _, fault = detail.partition(": ")
        # Of what was made under a key, the key itself may have been removed with all traces.
        if document.startswith("journalentries ") or fault.startswith("idempotencyKey"):
            continue
        told_of = document.partition(" ")[2]
        assert any(told_of in each for each in details), (detail, details)


def test_documents_of_any_shape_are_used_or_named(stage: Stage) -> None:
    logging.disable(logging.CRITICAL)
    try:
        for seed in rounds(seconds_in_ci=SECONDS_IN_CI_OF_OTHERS):

            @settings(
                max_examples=EXAMPLES,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
                print_blob=False,
            )
            @hypothesis.seed(seed)
            @given(changes=st.lists(a_change(), min_size=1, max_size=4), random=st.randoms())
            def property_of_a_ledger(changes: list[Change], random: Any) -> None:
                check_example(stage, changes, random.shuffle)

            property_of_a_ledger()
    finally:
        logging.disable(logging.NOTSET)
