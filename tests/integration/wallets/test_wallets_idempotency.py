"""One key, one movement: repeated, changed, raced and lost requests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.errors import DatabaseError
from daybook.ledger_app import LedgerApp
from daybook.wallets import move
from daybook.wallets.booking import Movement
from daybook.wallets.context import Ledger
from daybook.wallets.errors import ErrorCode, LedgerError
from tests.emulators.mongo_proxy import CUT, Action, Event, MongoProxy, Phase
from tests.integration.ledgers import (
    balance_of,
    check_books,
    make_app,
    movement,
    prepare,
    purses,
)

pytestmark = pytest.mark.migrated


@pytest.fixture(scope="module")
def app(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    database = mongo_client[f"once_{uuid.uuid4().hex}"]
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    app.client.close()
    mongo_client.drop_database(database.name)


@pytest.fixture
def key() -> str:
    return str(ObjectId())


@pytest.fixture
def ledger(app: LedgerApp) -> Ledger:
    return app.ledger


def test_the_same_request_again_gets_the_first_answer(ledger: Ledger, key: str) -> None:
    (owner,) = purses(ledger, 1000)
    first = move.debit(ledger, owner, movement(300, key=key))
    move.debit(ledger, owner, movement(100))
    again = move.debit(ledger, owner, movement(300, key=key))
    assert (first.replayed, again.replayed) == (False, True)
    assert again.body == first.body
    assert again.body["availablePaise"] == 700
    assert check_books(ledger.database, [owner]) == 600


@pytest.mark.parametrize(("amount", "request_"), [(301, "/a"), (300, "/b")])
def test_another_request_under_the_key_is_refused(
    ledger: Ledger, amount: int, request_: str, key: str
) -> None:
    (owner,) = purses(ledger, 1000)
    move.debit(ledger, owner, movement(300, key=key, request="/a"))
    with pytest.raises(LedgerError) as refused:
        move.debit(ledger, owner, movement(amount, key=key, request=request_))
    assert refused.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert check_books(ledger.database, [owner]) == 700


def test_a_refused_request_leaves_its_key_free(ledger: Ledger, key: str) -> None:
    (owner,) = purses(ledger, 100)
    with pytest.raises(LedgerError):
        move.debit(ledger, owner, movement(300, key=key))
    move.credit(ledger, owner, movement(300))
    assert move.debit(ledger, owner, movement(300, key=key)).replayed is False
    assert check_books(ledger.database, [owner]) == 100


REFUSED = ["find transactions", "findAndModify wallets", "find wallets"]
CERTAIN = ["commitTransaction"]
"""Of the transaction that has written nothing."""
REFUSALS = {
    "debit": (lambda ledger, low, high, wanted: move.debit(ledger, low, wanted), REFUSED + CERTAIN),
    "transfer whose first wallet refuses": (
        move.transfer,
        REFUSED + CERTAIN,
    ),
    "transfer whose second wallet refuses": (
        lambda ledger, low, high, wanted: move.transfer(ledger, high, low, wanted),
        [
            "find transactions",
            "findAndModify wallets",
            "findAndModify wallets",
            "find wallets",
            "abortTransaction",
            "find transactions",
            "commitTransaction",
        ],
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_is_certain_by_the_commit_of_a_transaction_that_only_reads(
    app: LedgerApp, key: str, what: str
) -> None:
    """A twin's debit that no majority has yet is why the funds are short, and the answer too.

    One mongod is its own majority, so all to be seen here is that the key is looked up in a
    transaction whose commit a majority has to have, and that this transaction has written nothing.
    `test_wallets_refusals` has three.
    """
    act, commands = REFUSALS[what]
    owners = purses(app.ledger, 100, 100)
    host, port = app.client.address or ("", 0)
    seen: list[str] = []
    asked: list[tuple[dict[str, Any], str]] = []
    committed: list[tuple[dict[str, Any], int]] = []
    before = app.client.admin.command("ping")["operationTime"]

    def watch(event: Event) -> None:
        if (event.name, event.phase) == ("commitTransaction", Phase.AFTER):
            committed.append((event.document["writeConcern"], int((event.reply or {})["ok"])))
        if event.phase is Phase.BEFORE and "txnNumber" in event.document:
            of = "" if event.name.endswith("Transaction") else f" {event.collection}"
            seen.append(event.name + of)
        if event.phase is Phase.BEFORE and (event.name, event.collection) == (
            "find",
            "transactions",
        ):
            asked.append((event.document["filter"], event.document["readConcern"]["level"]))

    with MongoProxy(host, port) as proxy:
        far = make_app(proxy.uri, app.database.name)
        ledger = far.ledger
        proxy.hook = watch
        with pytest.raises(LedgerError):
            act(ledger, *owners, movement(101, key=key))
        far.client.close()

    assert seen == commands
    assert set(map(repr, asked)) == {repr(({"idempotencyKey": {"$in": [key]}}, "snapshot"))}
    assert committed == [({"w": "majority", "j": True}, 1)]
    waited_for = {"op": "n", "ts": {"$gte": before}, "o.msg": {"$regex": "^read-only transaction"}}
    assert app.client["local"]["oplog.rs"].find_one(waited_for) is not None
    assert [balance_of(app.database, owner) for owner in owners] == [(100, 1), (100, 1)]
    assert app.database["transactions"].find_one({"idempotencyKey": key}) is None


@pytest.mark.parametrize("what", ["debit", "transfer", "reversal"])
def test_one_key_fifty_times_at_once_moves_once(
    app: LedgerApp, mongo_uri: str, what: str, key: str
) -> None:
    """From two ledgers that share no turns, as two processes do. The funds cover it once."""
    ledger, database = app.ledger, app.database
    payer, payee = purses(ledger, 100, 100)
    credited = database["transactions"].find_one({"ownerUserId": payer})
    assert credited is not None
    ledgers = [ledger, replace(app).ledger]
    assert ledgers[0].striped_locks is not ledgers[1].striped_locks
    barrier = Barrier(50)

    def act(number: int) -> tuple[bool, str]:
        ledger, wanted = ledgers[number % 2], movement(100, key=key)
        barrier.wait(30)
        if what == "debit":
            answer = move.debit(ledger, payer, wanted)
        elif what == "transfer":
            answer = move.transfer(ledger, payer, payee, wanted)
        else:
            answer = move.reverse(ledger, wanted, [move.BookedMovement.from_doc(credited)])
        return answer.replayed, repr(answer.body)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(act, range(50)))
    ledgers[1].database.client.close()

    assert [replayed for replayed, _ in answers].count(False) == 1
    assert len({body for _, body in answers}) == 1
    assert balance_of(database, payer) == (0, 2)
    assert check_books(database, [payer, payee]) == (200 if what == "transfer" else 100)
    assert database["transactions"].count_documents({"idempotencyKey": key}) == 1


def test_two_reversals_under_different_keys_take_back_once(ledger: Ledger) -> None:
    (owner,) = purses(ledger, 100)
    original = ledger.database["transactions"].find_one({"ownerUserId": owner})
    assert original is not None
    move.credit(ledger, owner, movement(500))
    ledgers = [ledger, replace(ledger, striped_locks=type(ledger.striped_locks)())]
    barrier = Barrier(10)

    def act(number: int) -> str:
        barrier.wait(30)
        try:
            move.reverse(
                ledgers[number % 2],
                movement(100, type_="reversal"),
                [move.BookedMovement.from_doc(original)],
            )
        except LedgerError as refused:
            return refused.code.value
        return "reversed"

    with ThreadPoolExecutor(10) as pool:
        told = list(pool.map(act, range(10)))

    assert sorted(told) == ["ALREADY_REVERSED"] * 9 + ["reversed"]
    assert check_books(ledger.database, [owner]) == 500


class Lost:
    """Cuts the connection once at a commit, and then stays down, until it is over."""

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        self.sprung = False
        self.over = False

    def __call__(self, event: Event) -> Action | None:
        if self.over:
            return None
        if event.name == "commitTransaction" and event.phase is self.phase:
            self.sprung = True
        return CUT if self.sprung else None


@pytest.mark.parametrize("phase", Phase)
def test_a_commit_whose_answer_is_lost_is_found_out_by_the_same_request(
    mongo_uri: str, app: LedgerApp, phase: Phase, key: str
) -> None:
    """The database stays away until the request has given up; what it did is unknown."""
    payer, payee = purses(app.ledger, 100, 0)
    host, port = app.client.address or ("", 0)
    lost = Lost(phase)
    with MongoProxy(host, port) as proxy:
        # Each search for the lost server takes this long, 5 seconds by default.
        far = make_app(
            proxy.uri, app.database.name, DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS="2000"
        )
        ledger = replace(far.ledger, max_wait_seconds=0.5)
        proxy.hook = lost
        with pytest.raises(DatabaseError):
            move.transfer(ledger, payer, payee, movement(60, key=key))
        assert lost.sprung
        lost.over = True
        app.client.admin.command("killAllSessions", [])  # as MongoDB does after a minute
        answer = move.transfer(ledger, payer, payee, movement(60, key=key))
        far.client.close()

    assert answer.replayed is (phase is Phase.AFTER)
    assert balance_of(app.database, payer) == (40, 2)
    assert check_books(app.database, [payer, payee]) == 100


@pytest.mark.parametrize("phase", Phase)
def test_a_connection_that_is_cut_in_the_middle_costs_nothing(
    mongo_uri: str, app: LedgerApp, phase: Phase
) -> None:
    payer, payee = purses(app.ledger, 100, 0)
    host, port = app.client.address or ("", 0)
    names = ["findAndModify", "findAndModify", "insert", "insert", "insert", "commitTransaction"]
    with MongoProxy(host, port) as proxy:
        far = make_app(proxy.uri, app.database.name)
        ledger = far.ledger
        for nth in (0, 3, 5):
            met: list[str] = []

            def cut(event: Event, nth: int = nth, met: list[str] = met) -> Action | None:
                if event.phase is not phase or event.name not in names:
                    return None
                met.append(event.name)
                return CUT if len(met) == nth + 1 else None

            proxy.hook = cut
            assert move.transfer(ledger, payer, payee, movement(10)).body["amountPaise"] == 10
            assert met[nth] == names[nth]
        far.client.close()
    assert balance_of(app.database, payer) == (70, 4)
    assert check_books(app.database, [payer, payee]) == 100


def test_a_wallet_that_others_hold_is_given_up_in_bounded_time(app: LedgerApp, key: str) -> None:
    """As after a crash: the dead process's transaction holds the wallet for a while."""
    ledger = replace(app.ledger, max_wait_seconds=0.5)
    (owner,) = purses(ledger, 100)
    with app.client.start_session() as dead, dead.start_transaction():
        wallets = app.database["wallets"]
        wallets.update_one({"ownerUserId": owner}, {"$inc": {"version": 1}}, session=dead)
        with pytest.raises(DatabaseError):
            move.debit(ledger, owner, movement(10, key=key))
        dead.abort_transaction()
    assert move.debit(ledger, owner, movement(10, key=key)).replayed is False
    assert check_books(app.database, [owner]) == 90


def test_a_movement_keeps_its_ids_however_often_it_is_tried() -> None:
    wanted: Movement = movement(5)
    assert len({*wanted.transaction_ids, wanted.entry_id, wanted.item_id}) == 4
    assert all(isinstance(id_, ObjectId) for id_ in wanted.transaction_ids)
