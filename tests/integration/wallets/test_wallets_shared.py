"""Movements of several wallets in one transaction: none spoils the others, or depends on them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import bson
import pytest
from bson import Binary, ObjectId
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from daybook.errors import DatabaseError
from daybook.ledger_app import LedgerApp
from daybook.wallets import move
from daybook.wallets.context import MAX_PAISE, Ledger
from daybook.wallets.idempotency import KeyedResponse
from daybook.wallets.sharing import LANES, Sharing
from daybook.wallets.stored import DocumentInvalid
from daybook.wallets.waiting import MAX_MEMBERS
from tests.emulators.mongo_proxy import CUT, MongoProxy, Phase
from tests.integration.ledgers import (
    balance_of,
    check_books,
    check_whole,
    make_app,
    movement,
    prepare,
    purses,
)
from tests.integration.wallets.test_wallets_groups import (
    LONG_SECONDS,
    STEPS,
    STEPS_OF_SEVERAL,
    Act,
    At,
    Watch,
    booked,
    credit,
    debit,
    results,
    until,
)

WALLETS = 5
BALANCE = 100


@pytest.fixture(scope="module")
def proxy(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[MongoProxy]:
    host, port = mongo_client.address or ("", 0)
    with MongoProxy(host, port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def near(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    """Past the proxy."""
    database = mongo_client[f"shared_{uuid.uuid4().hex}"]
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    app.client.close()
    mongo_client.drop_database(database.name)


@pytest.fixture(scope="module")
def app(near: LedgerApp, proxy: MongoProxy) -> Iterator[LedgerApp]:
    app = make_app(proxy.uri, near.database.name)
    yield app
    app.client.close()


@pytest.fixture
def ledger(app: LedgerApp, proxy: MongoProxy) -> Iterator[Ledger]:
    """Its groups wait until there is a lane, however long a test takes to gather them."""
    yield replace(app.ledger, sharing=Sharing(lane_seconds=LONG_SECONDS))
    proxy.hook = None


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * MAX_MEMBERS) as pool:
        yield pool


@contextmanager
def held_lanes(ledger: Ledger) -> Iterator[None]:
    with ExitStack() as held:
        for _ in range(LANES):
            held.enter_context(ledger.sharing._lanes)
        yield


def together(
    ledger: Ledger,
    pool: ThreadPoolExecutor,
    acts: Sequence[Act],
    *,
    first: Ledger | None = None,
) -> list[Future[KeyedResponse]]:
    """Start requests for different wallets so that all wait for a lane, and let them go.

    The first one leads; it is sent to the ledger `first`, if that is given.
    """
    with held_lanes(ledger):
        jobs = [pool.submit(acts[0], first or ledger)]
        until(lambda: bool(ledger.sharing._waiting._lines))
        jobs += [pool.submit(act, ledger) for act in acts[1:]]
        until(lambda: ledger.sharing._waiting.count() == len(acts) - 1)
    return jobs


def test_movements_of_several_wallets_are_booked_in_one_transaction(
    ledger: Ledger, proxy: MongoProxy, pool: ThreadPoolExecutor
) -> None:
    owners = purses(ledger, *[BALANCE] * WALLETS)
    proxy.hook = watch = Watch()
    acts = [
        (credit if number % 2 else debit)(owner, number + 1) for number, owner in enumerate(owners)
    ]
    told = results(together(ledger, pool, acts))
    assert watch.sizes == [WALLETS]
    for number, (owner, body) in enumerate(zip(owners, booked(told), strict=True)):
        balance = BALANCE + (number + 1) * (1 if number % 2 else -1)
        assert (body["ownerUserId"], body["version"]) == (str(owner), 2)
        assert body["availablePaise"] == balance
        assert balance_of(ledger.database, owner) == (balance, 2)
    check_books(ledger.database, owners)
    check_whole(ledger.database)
    for act, first in zip(acts, told, strict=True):
        again = act(ledger)
        assert isinstance(first, KeyedResponse)
        assert (again.replayed, again.body) == (True, first.body)


def test_a_busy_wallet_and_others_share_a_transaction_up_to_its_limit(
    ledger: Ledger, proxy: MongoProxy, pool: ThreadPoolExecutor
) -> None:
    busy, *others = purses(ledger, *[BALANCE] * (1 + WALLETS))
    many = 2 * MAX_MEMBERS - WALLETS
    proxy.hook = watch = Watch()
    with held_lanes(ledger):
        jobs = [pool.submit(debit(owner, 1), ledger) for owner in others]
        until(lambda: ledger.sharing._waiting.count() == WALLETS - 1)
        with ledger.striped_locks.of([busy], list, max_wait_seconds=LONG_SECONDS):
            jobs += [pool.submit(debit(busy, 1), ledger) for _ in range(many)]
            until(lambda: ledger.waiting.count() == many - 1)
        until(lambda: ledger.sharing._waiting.count() == WALLETS)
    assert len(booked(results(jobs))) == WALLETS + many
    assert max(watch.sizes) == MAX_MEMBERS
    assert sum(watch.sizes) == WALLETS + many
    assert check_books(ledger.database, [busy]) == BALANCE - many
    assert check_books(ledger.database, others) == (BALANCE - 1) * WALLETS


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A movement that cannot be booked as one of a group."""

    act: Callable[[Ledger, ObjectId], Act]
    """Prepares the wallet; it has `BALANCE`."""
    ends: Any
    """The code of the refusal, the class of the error, or whether it is a replay."""
    after: int = BALANCE
    spoils: bool = False
    """Whether the others have to be booked one by one."""


def _uncovered(ledger: Ledger, owner: ObjectId) -> Act:
    return debit(owner, BALANCE + 1)


def _without_room(ledger: Ledger, owner: ObjectId) -> Act:
    return credit(owner, MAX_PAISE - BALANCE + 1)


def _without_wallet(ledger: Ledger, owner: ObjectId) -> Act:
    return debit(ObjectId(), 1)


def _of_foreign(**fields: Any) -> Callable[[Ledger, ObjectId], Act]:
    def act(ledger: Ledger, owner: ObjectId) -> Act:
        ledger.database["wallets"].update_one({"ownerUserId": owner}, {"$set": fields})
        return debit(owner, 1)

    return act


def _deleted(ledger: Ledger, owner: ObjectId) -> Act:
    ledger.database["wallets"].update_one(
        {"ownerUserId": owner}, {"$set": {"deletedAt": ledger.now()}}
    )
    return debit(owner, 1)


def _replayed(ledger: Ledger, owner: ObjectId) -> Act:
    again = debit(owner, 1)
    again(ledger)
    return again


def _reused(ledger: Ledger, owner: ObjectId) -> Act:
    key = str(ObjectId())
    debit(owner, 1, key=key)(ledger)
    return debit(owner, 2, key=key)


ODD = {
    "not covered": Odd(act=_uncovered, ends="INSUFFICIENT_FUNDS"),
    "no room": Odd(act=_without_room, ends="BALANCE_LIMIT"),
    "no wallet": Odd(act=_without_wallet, ends="WALLET_NOT_FOUND"),
    "a deleted wallet": Odd(act=_deleted, ends="WALLET_NOT_FOUND"),
    "a balance of text": Odd(act=_of_foreign(availablePaise="100"), ends=DocumentInvalid),
    "no currency": Odd(act=_of_foreign(currency=7), ends=DocumentInvalid),
    "a version of text": Odd(act=_of_foreign(version="1"), ends=DocumentInvalid),
    "a key used": Odd(act=_replayed, ends=True, after=BALANCE - 1, spoils=True),
    "another's key": Odd(
        act=_reused, ends="IDEMPOTENCY_KEY_REUSED", after=BALANCE - 1, spoils=True
    ),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_one_that_cannot_be_booked_ends_by_itself_and_the_others_are_booked(
    near: LedgerApp, ledger: Ledger, proxy: MongoProxy, pool: ThreadPoolExecutor, odd: Odd
) -> None:
    owner, *others = purses(ledger, *[BALANCE] * (1 + WALLETS))
    act = odd.act(near.ledger, owner)
    proxy.hook = watch = Watch()
    jobs = together(ledger, pool, [debit(others[0], 1), act, *[debit(o, 1) for o in others[1:]]])
    told = jobs.pop(1)
    assert len(booked(results(jobs))) == WALLETS
    assert (WALLETS in watch.sizes) is not odd.spoils
    assert check_books(ledger.database, others) == (BALANCE - 1) * WALLETS
    if isinstance(odd.ends, bool):
        assert told.result(LONG_SECONDS).replayed is odd.ends
    elif isinstance(odd.ends, str):
        assert results([told]) == [odd.ends]
    else:
        assert isinstance(told.exception(LONG_SECONDS), odd.ends)
    booked_for_it = ledger.database["transactions"].count_documents({"ownerUserId": owner})
    assert booked_for_it == 1 + (odd.after != BALANCE)
    check_whole(ledger.database)


def test_a_wallet_that_the_driver_cannot_decode_costs_its_leader_nothing(
    near: LedgerApp, pool: ThreadPoolExecutor
) -> None:
    ledger = replace(near.ledger, sharing=Sharing(lane_seconds=LONG_SECONDS))
    owner, *others = purses(ledger, *[BALANCE] * (1 + WALLETS))
    wallets = near.database["wallets"]
    found = wallets.find_one_and_delete({"ownerUserId": owner})
    # Binary data of the old subtype 2 begin with their length. MongoDB does not check that.
    without_length = bson.encode({"a": Binary(b"abc", 128)}).replace(b"\x80", b"\x02")
    content = bson.encode(found)[4:-1] + without_length[4:]
    broken = (4 + len(content)).to_bytes(4, "little") + content
    wallets.insert_one(RawBSONDocument(broken))
    try:
        jobs = together(ledger, pool, [debit(one, 1) for one in (*others[:1], owner, *others[1:])])
        assert isinstance(jobs.pop(1).exception(LONG_SECONDS), BSONError)
        assert len(booked(results(jobs))) == WALLETS
    finally:
        wallets.delete_one({"ownerUserId": owner})
    assert check_books(ledger.database, others) == (BALANCE - 1) * WALLETS


@pytest.mark.parametrize("request_", ["/", "/another"])
def test_one_key_for_two_wallets_moves_one_of_them(
    ledger: Ledger, pool: ThreadPoolExecutor, request_: str
) -> None:
    owners = purses(ledger, *[BALANCE] * WALLETS)
    key = str(ObjectId())
    acts = [
        debit(owners[0], 10, key=key),
        debit(owners[1], 10, key=key, request=request_),
        *[debit(owner, 10) for owner in owners[2:]],
    ]
    told = results(together(ledger, pool, acts))
    assert len(booked(told)) == WALLETS - 1
    twins = told[:2]
    if request_ == "/":
        assert sorted(one.replayed for one in twins if isinstance(one, KeyedResponse)) == [0, 1]
    else:
        assert twins.count("IDEMPOTENCY_KEY_REUSED") == 1
    assert check_books(ledger.database, owners) == WALLETS * BALANCE - 10 * (WALLETS - 1)
    check_whole(ledger.database)


def test_a_wallet_that_another_process_holds_does_not_hold_up_the_others(
    near: LedgerApp, ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    held, *others = purses(ledger, *[BALANCE] * (1 + WALLETS))
    with near.client.start_session() as session, session.start_transaction():
        near.database["wallets"].update_one(
            {"ownerUserId": held}, {"$set": {"held": True}}, session=session
        )
        jobs = together(ledger, pool, [debit(owner, 1) for owner in (held, *others)])
        waiting = jobs.pop(0)
        assert len(booked(results(jobs))) == WALLETS
        assert not waiting.done()
        for _ in range(3):  # nor those that come later
            jobs = [pool.submit(debit(owner, 1), ledger) for owner in others]
            assert len(booked(results(jobs))) == WALLETS
        assert not waiting.done()
        session.abort_transaction()
    assert waiting.result(LONG_SECONDS).body["availablePaise"] == BALANCE - 1
    assert check_books(ledger.database, others) == (BALANCE - 4) * WALLETS
    assert balance_of(ledger.database, held) == (BALANCE - 1, 2)


def test_a_wallet_that_another_process_moves_meanwhile_costs_no_movement(
    near: LedgerApp, ledger: Ledger, proxy: MongoProxy, pool: ThreadPoolExecutor
) -> None:
    """Between the group's first read and its update."""
    moved, *others = purses(ledger, *[BALANCE] * (1 + WALLETS))

    def move_it() -> None:
        move.debit(near.ledger, moved, movement(BALANCE - 1))

    proxy.hook = Watch(At(("update", "wallets"), Phase.BEFORE, move_it))
    told = results(together(ledger, pool, [debit(owner, 10) for owner in (moved, *others)]))
    assert told[0] == "INSUFFICIENT_FUNDS"
    assert len(booked(told)) == WALLETS
    assert balance_of(ledger.database, moved) == (1, 2)
    assert check_books(ledger.database, [moved, *others]) == 1 + (BALANCE - 10) * WALLETS


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("step", STEPS_OF_SEVERAL, ids=lambda step: " ".join(filter(None, step)))
def test_a_connection_that_is_cut_costs_no_wallet_anything(
    ledger: Ledger,
    proxy: MongoProxy,
    pool: ThreadPoolExecutor,
    step: tuple[str, str | None],
    phase: Phase,
) -> None:
    owners = purses(ledger, *[BALANCE] * WALLETS)
    cut = At(step, phase, lambda: CUT)
    proxy.hook = Watch(cut, wallets=2)
    told = results(together(ledger, pool, [debit(owner, 10) for owner in owners]))
    assert cut.sprung
    assert all(isinstance(one, KeyedResponse) for one in told)
    assert check_books(ledger.database, owners) == (BALANCE - 10) * WALLETS
    check_whole(ledger.database)


@pytest.mark.parametrize(
    ("step", "phase"),
    [*((step, Phase.AFTER) for step in STEPS_OF_SEVERAL[1:-1]), (STEPS[-1], Phase.BEFORE)],
    ids=lambda one: one.value if isinstance(one, Phase) else " ".join(filter(None, one)),
)
def test_a_leader_whose_time_is_over_leaves_no_wallet_held(
    ledger: Ledger,
    proxy: MongoProxy,
    pool: ThreadPoolExecutor,
    step: tuple[str, str | None],
    phase: Phase,
) -> None:
    """The reply to a command of the group comes too late, or the commit itself."""
    owners = purses(ledger, *[BALANCE] * WALLETS)
    over = threading.Event()

    def delay() -> None:
        assert over.wait(LONG_SECONDS)

    late = At(step, phase, delay)
    proxy.hook = Watch(late, wallets=2)
    brief = replace(ledger, max_wait_seconds=1.0)
    leader, *others = together(ledger, pool, [debit(owner, 10) for owner in owners], first=brief)
    try:
        assert isinstance(leader.exception(LONG_SECONDS), DatabaseError)
        assert len(booked(results(others))) == WALLETS - 1
    finally:
        over.set()
    assert late.sprung
    assert check_books(ledger.database, owners) == WALLETS * BALANCE - 10 * (WALLETS - 1)
    check_whole(ledger.database)


def test_groups_of_two_processes_on_the_same_wallets_lose_nothing(
    near: LedgerApp, ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    owners = purses(ledger, *[BALANCE] * WALLETS)
    ledgers = [ledger, near.ledger]
    acts = [debit(owners[number % WALLETS], 1) for number in range(8 * WALLETS)]
    jobs = [pool.submit(act, ledgers[number % 2]) for number, act in enumerate(acts)]
    again = [pool.submit(act, ledgers[1 - number % 2]) for number, act in enumerate(acts)]
    told, repeated = results(jobs), results(again)
    for one, other in zip(told, repeated, strict=True):
        assert isinstance(one, KeyedResponse)
        assert isinstance(other, KeyedResponse)
        assert one.body == other.body
        assert one.replayed is not other.replayed
    assert check_books(near.database, owners) == (BALANCE - 8) * WALLETS
    check_whole(near.database)
