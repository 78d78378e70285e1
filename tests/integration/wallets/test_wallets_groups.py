"""Movements of one wallet that are booked in one transaction: each keeps its own guarantees."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.errors import DatabaseError
from daybook.export.model.profile import Profile
from daybook.ledger_app import LedgerApp
from daybook.wallets import history, move, wallet
from daybook.wallets.context import Ledger
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.idempotency import KeyedResponse
from daybook.wallets.reconcile.reconcile import reconcile
from daybook.wallets.waiting import MAX_MEMBERS
from tests.emulators.mongo_proxy import CUT, Action, Event, Hook, MongoProxy, Phase
from tests.integration.ledgers import (
    balance_of,
    check_books,
    check_whole,
    make_app,
    movement,
    prepare,
    purses,
)

LONG_SECONDS = 60.0
Act = Callable[[Ledger], KeyedResponse]


@pytest.fixture(scope="module")
def proxy(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[MongoProxy]:
    host, port = mongo_client.address or ("", 0)
    with MongoProxy(host, port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def near(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    """Past the proxy."""
    database = mongo_client[f"groups_{uuid.uuid4().hex}"]
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    assert reconcile(app.database, Profile(name="daily")).differences == ()
    app.client.close()
    mongo_client.drop_database(database.name)


@pytest.fixture(scope="module")
def app(near: LedgerApp, proxy: MongoProxy) -> Iterator[LedgerApp]:
    app = make_app(proxy.uri, near.database.name)
    yield app
    app.client.close()


@pytest.fixture
def ledger(app: LedgerApp, proxy: MongoProxy) -> Iterator[Ledger]:
    yield app.ledger
    proxy.hook = None


def debit(owner: ObjectId, amount: int, **more: Any) -> Act:
    wanted = movement(amount, **more)
    return lambda ledger: move.debit(ledger, owner, wanted)


def credit(owner: ObjectId, amount: int, **more: Any) -> Act:
    wanted = movement(amount, **more)
    return lambda ledger: move.credit(ledger, owner, wanted)


class Watch:
    """The transactions that came, by the commands in them; a hook for those of a group.

    `wallets`: how many the group has at least.
    """

    def __init__(self, in_group: Hook | None = None, *, wallets: int = 1) -> None:
        self._in_group = in_group
        self._wallets = wallets
        self._groups: set[Any] = set()
        self._lock = threading.Lock()
        self.sizes: list[int] = []
        """How many movements each committed transaction had, the first one's left out."""
        self._inserted: dict[Any, int] = {}

    def __call__(self, event: Event) -> Action | None:
        transaction = _transaction_of(event)
        with self._lock:
            if event.document.get("startTransaction") and _wallets(event) >= self._wallets:
                self._groups.add(transaction)
            if event.phase is Phase.AFTER and event.reply and event.reply.get("ok"):
                if event.name == "insert" and event.collection == "journalentries":
                    self._inserted[transaction] = len(event.document["documents"])
                if event.name == "commitTransaction":
                    self.sizes.append(self._inserted.pop(transaction, 0))
            is_of_group = transaction in self._groups
        if is_of_group and self._in_group is not None:
            return self._in_group(event)
        return None


def _wallets(event: Event) -> int:
    """How many wallets a group has, by the first command of its transaction; 0: it is none."""
    if event.name == "findAndModify":  # that of a movement alone begins with its key
        return 1
    owners = event.document.get("filter", {}).get("ownerUserId", {})
    return len(owners["$in"]) if isinstance(owners, dict) and owners else 0


def _transaction_of(event: Event) -> Any:
    session = event.document.get("lsid", {}).get("id")
    return session, event.document.get("txnNumber")


@contextmanager
def held_turn(ledger: Ledger, owner: ObjectId) -> Iterator[None]:
    """The wallet's turn is taken within this process, so that all others wait for it."""
    with ledger.striped_locks.of([owner], list, max_wait_seconds=LONG_SECONDS):
        yield


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def together(
    ledger: Ledger,
    pool: ThreadPoolExecutor,
    acts: Sequence[Act],
    *,
    owner: ObjectId,
    first: Ledger | None = None,
) -> list[Future[KeyedResponse]]:
    """Start requests of one direction so that all wait for their turn, and let them go.

    The first one leads; it is sent to the ledger `first`, if that is given.
    """
    with held_turn(ledger, owner):
        jobs = [pool.submit(acts[0], first or ledger)]
        until(lambda: bool(ledger.waiting._lines))
        jobs += [pool.submit(act, ledger) for act in acts[1:]]
        until(lambda: ledger.waiting.count() == len(acts) - 1)
    return jobs


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MAX_MEMBERS + 10) as pool:
        yield pool


def results(jobs: Sequence[Future[KeyedResponse]]) -> list[KeyedResponse | str]:
    """What each was answered: its response, or the code of its refusal."""
    told: list[KeyedResponse | str] = []
    for job in jobs:
        try:
            told.append(job.result(LONG_SECONDS))
        except LedgerError as refused:
            told.append(refused.code.value)
    return told


def booked(told: Sequence[KeyedResponse | str]) -> list[dict[str, Any]]:
    return [one.body for one in told if isinstance(one, KeyedResponse) and not one.replayed]


def test_each_of_a_group_gets_the_balance_and_version_after_its_own_movement(
    ledger: Ledger, proxy: MongoProxy, pool: ThreadPoolExecutor
) -> None:
    (owner,) = purses(ledger, 1000)
    proxy.hook = watch = Watch()
    acts = [debit(owner, amount) for amount in range(1, 9)]
    told = results(together(ledger, pool, acts, owner=owner))

    bodies = sorted(booked(told), key=lambda body: body["version"])
    assert watch.sizes == [8]
    assert [body["version"] for body in bodies] == list(range(2, 10))
    balances = itertools.accumulate((-body["amountPaise"] for body in bodies), initial=1000)
    assert [body["availablePaise"] for body in bodies] == list(balances)[1:]
    assert {body["amountPaise"] for body in bodies} == set(range(1, 9))
    docs = {str(doc["_id"]): doc for doc in ledger.database["transactions"].find()}
    assert [docs[body["transactionId"]]["answer"] for body in bodies] == bodies
    assert check_books(ledger.database, [owner]) == 1000 - sum(range(1, 9))
    check_whole(ledger.database)
    for act, first in zip(acts, told, strict=True):
        again = act(ledger)
        assert isinstance(first, KeyedResponse)
        assert (again.replayed, again.body) == (True, first.body)


def test_a_history_shows_a_group_in_the_order_of_its_versions(
    app: LedgerApp, ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    (owner,) = purses(ledger, 0)
    noon = ledger.now()
    still = replace(ledger, clock=lambda: noon)
    together(still, pool, [credit(owner, amount) for amount in range(1, 7)], owner=owner)
    pool.shutdown()
    wallet_id = wallet.wallet_of(ledger, owner).id
    shown = history.page(ledger, wallet_id, limit=10, cursor=None)["transactions"]
    assert [doc["version"] for doc in shown] == [6, 5, 4, 3, 2, 1]


def test_a_group_has_a_limit(ledger: Ledger, proxy: MongoProxy, pool: ThreadPoolExecutor) -> None:
    (owner,) = purses(ledger, 1000)
    proxy.hook = watch = Watch()
    acts = [debit(owner, 10) for _ in range(MAX_MEMBERS + 5)]
    told = results(together(ledger, pool, acts, owner=owner))
    assert len(booked(told)) == len(acts)
    assert max(watch.sizes) == MAX_MEMBERS
    assert sum(watch.sizes) == len(acts)
    assert check_books(ledger.database, [owner]) == 1000 - 10 * len(acts)


def test_of_a_group_that_is_not_covered_as_many_are_booked_as_the_balance_covers(
    ledger: Ledger, proxy: MongoProxy, pool: ThreadPoolExecutor
) -> None:
    (owner,) = purses(ledger, 35)
    proxy.hook = watch = Watch()
    acts = [debit(owner, 10) for _ in range(6)]
    told = results(together(ledger, pool, acts, owner=owner))
    assert sorted(body["availablePaise"] for body in booked(told)) == [5, 15, 25]
    assert told.count("INSUFFICIENT_FUNDS") == 3
    assert sorted(watch.sizes) == [0, 0, 0, 3]  # 0: what makes a refusal certain
    assert check_books(ledger.database, [owner]) == 5

    # A refusal has left its key free.
    move.credit(ledger, owner, movement(100))
    again = [act(ledger) for act in acts]
    assert [one.replayed for one in again] == [isinstance(one, KeyedResponse) for one in told]
    assert check_books(ledger.database, [owner]) == 75
    check_whole(ledger.database)


def test_credits_that_have_no_room_are_refused_and_the_others_booked(
    ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    (owner,) = purses(ledger, 2**53 - 1 - 25)
    told = results(together(ledger, pool, [credit(owner, 10) for _ in range(4)], owner=owner))
    assert len(booked(told)) == 2
    assert told.count("BALANCE_LIMIT") == 2
    assert check_books(ledger.database, [owner]) == 2**53 - 1 - 5


def test_credits_debits_and_transfers_of_one_wallet_next_to_each_other(
    ledger: Ledger, proxy: MongoProxy, pool: ThreadPoolExecutor
) -> None:
    owner, other = purses(ledger, 500, 500)
    proxy.hook = watch = Watch()
    acts = [debit(owner, 20) for _ in range(6)] + [credit(owner, 7) for _ in range(6)]
    with held_turn(ledger, owner):
        jobs = [pool.submit(act, ledger) for act in acts]
        jobs += [
            pool.submit(move.transfer, ledger, *pair, movement(11))
            for pair in [(owner, other), (other, owner)] * 3
        ]
        until(lambda: ledger.waiting.count() == len(acts) - 2)  # two lead
    told = results(jobs)
    assert len(booked(told)) == len(jobs)
    assert sorted(watch.sizes) == [1] * 6 + [6, 6]  # no group has both directions
    assert check_books(ledger.database, [owner, other]) == 1000 - 6 * 20 + 6 * 7
    assert balance_of(ledger.database, other) == (500, 7)
    check_whole(ledger.database)


def test_a_key_that_was_used_is_replayed_and_the_others_of_its_group_are_booked(
    ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    (owner,) = purses(ledger, 100)
    first = debit(owner, 10)
    before = first(ledger)
    told = results(
        together(ledger, pool, [first, *[debit(owner, 5) for _ in range(4)]], owner=owner)
    )
    assert isinstance(told[0], KeyedResponse)
    assert (told[0].replayed, told[0].body) == (True, before.body)
    assert len(booked(told)) == 4
    assert check_books(ledger.database, [owner]) == 70


@pytest.mark.parametrize("request_", ["/", "/another"])
def test_one_key_twice_at_the_same_time_moves_once(
    ledger: Ledger, pool: ThreadPoolExecutor, request_: str
) -> None:
    (owner,) = purses(ledger, 100)
    key = str(ObjectId())
    acts = [
        debit(owner, 10, key=key),
        debit(owner, 10, key=key, request=request_),
        debit(owner, 5),
        debit(owner, 5),
    ]
    told = results(together(ledger, pool, acts, owner=owner))
    assert len(booked(told)) == 3
    if request_ == "/":
        one, other = told[:2]
        assert isinstance(one, KeyedResponse)
        assert isinstance(other, KeyedResponse)
        assert one.body == other.body
        assert {one.replayed, other.replayed} == {True, False}
    else:
        assert told[:2].count(ErrorCode.IDEMPOTENCY_KEY_REUSED.value) == 1
    assert check_books(ledger.database, [owner]) == 80


def test_without_its_wallet_each_of_a_group_is_refused(
    ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    owner = ObjectId()
    told = results(together(ledger, pool, [debit(owner, 1) for _ in range(4)], owner=owner))
    assert told == ["WALLET_NOT_FOUND"] * 4


STEPS = [
    ("findAndModify", "wallets"),
    ("update", "wallets"),
    ("find", "transactions"),
    ("insert", "transactions"),
    ("insert", "journalentries"),
    ("insert", "exportqueues"),
    ("commitTransaction", None),
]
"""The commands of a group, in this order."""
STEPS_OF_SEVERAL = [("find", "wallets"), *STEPS[1:]]
"""The same of a group of several wallets."""


class At:
    """Does something once, at a command of a group."""

    def __init__(
        self, step: tuple[str, str | None], phase: Phase, act: Callable[[], Action | None]
    ) -> None:
        self._at = (*step, phase)
        self._act = act
        self.sprung = False

    def __call__(self, event: Event) -> Action | None:
        collection = None if event.name == "commitTransaction" else event.collection
        if self.sprung or (event.name, collection, event.phase) != self._at:
            return None
        self.sprung = True
        return self._act()


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: " ".join(filter(None, step)))
def test_a_connection_that_is_cut_costs_no_member_anything(
    ledger: Ledger,
    proxy: MongoProxy,
    pool: ThreadPoolExecutor,
    step: tuple[str, str | None],
    phase: Phase,
) -> None:
    (owner,) = purses(ledger, 100)
    cut = At(step, phase, lambda: CUT)
    proxy.hook = Watch(cut)
    told = results(together(ledger, pool, [debit(owner, 10) for _ in range(5)], owner=owner))
    assert cut.sprung
    assert len(told) == sum(isinstance(one, KeyedResponse) for one in told) == 5
    assert balance_of(ledger.database, owner) == (50, 6)
    assert check_books(ledger.database, [owner]) == 50
    check_whole(ledger.database)


@pytest.mark.parametrize("phase", Phase)
def test_an_unknown_commit_is_found_out_by_each_member_under_its_key(
    near: LedgerApp, ledger: Ledger, proxy: MongoProxy, pool: ThreadPoolExecutor, phase: Phase
) -> None:
    """The database stays away until all have given up; what the group did is unknown."""
    (owner,) = purses(near.ledger, 100)
    down = threading.Event()

    def lose() -> Action:
        down.set()
        return CUT

    lost = At(("commitTransaction", None), phase, lose)
    watch = Watch(lost)

    def hook(event: Event) -> Action | None:
        return CUT if down.is_set() else watch(event)

    proxy.hook = hook
    acts = [debit(owner, 10) for _ in range(5)]
    brief = replace(ledger, max_wait_seconds=1.0)
    for job in together(brief, pool, acts, owner=owner):
        assert isinstance(job.exception(LONG_SECONDS), DatabaseError)
    assert lost.sprung
    proxy.hook = None
    near.client.admin.command("killAllSessions", [])  # as MongoDB does after a minute
    again = [act(near.ledger) for act in acts]
    assert [one.replayed for one in again] == [phase is Phase.AFTER] * 5
    assert balance_of(near.database, owner) == (50, 6)
    assert check_books(near.database, [owner]) == 50


def test_a_group_whose_commit_comes_late_refuses_no_member_and_moves_once(
    near: LedgerApp, ledger: Ledger, proxy: MongoProxy, pool: ThreadPoolExecutor
) -> None:
    """The commit is on its way while others ask again for what it is going to book.

    The wallet covers the group, so none of its requests may be refused, even if repeated.
    """
    (owner,) = purses(near.ledger, 50)
    reached, released = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        assert released.wait(LONG_SECONDS)

    proxy.hook = Watch(At(("commitTransaction", None), Phase.BEFORE, hold))
    acts = [debit(owner, 10) for _ in range(5)]
    jobs = together(ledger, pool, acts, owner=owner)
    assert reached.wait(LONG_SECONDS)
    impatient = replace(near.ledger, max_wait_seconds=0.5)
    for act in acts:
        with pytest.raises(DatabaseError):
            act(impatient)
    released.set()
    first = results(jobs)
    assert len(booked(first)) == 5
    assert [act(near.ledger).body for act in acts] == booked(first)
    assert check_books(near.database, [owner]) == 0


def test_a_leader_that_raises_strands_no_member(
    near: LedgerApp, ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    (owner,) = purses(near.ledger, 100)
    leading = threading.local()

    def clock() -> datetime:
        if getattr(leading, "fails", False):
            raise RuntimeError("a fault in the leader's thread")
        return near.ledger.clock()

    def fail(ledger: Ledger) -> KeyedResponse:
        leading.fails = True
        try:
            return move.debit(ledger, owner, movement(10))
        finally:
            leading.fails = False

    acts: list[Act] = [fail, *[debit(owner, 10) for _ in range(4)]]
    jobs = together(replace(ledger, clock=clock), pool, acts, owner=owner)
    assert isinstance(jobs[0].exception(LONG_SECONDS), RuntimeError)
    assert len(booked(results(jobs[1:]))) == 4
    assert check_books(near.database, [owner]) == 60
    check_whole(near.database)


def test_a_leader_whose_time_is_over_strands_no_member(
    near: LedgerApp, ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    """It leads a group that cannot be booked in what is left of its time."""
    (owner,) = purses(near.ledger, 100)
    brief = replace(ledger, max_wait_seconds=0.5)
    with near.client.start_session() as dead, dead.start_transaction():
        near.database["wallets"].update_one(
            {"ownerUserId": owner}, {"$set": {"held": True}}, session=dead
        )
        acts = [debit(owner, 10) for _ in range(5)]
        jobs = together(ledger, pool, acts, owner=owner, first=brief)
        assert isinstance(jobs[0].exception(LONG_SECONDS), DatabaseError)
        dead.abort_transaction()
    assert len(booked(results(jobs[1:]))) == 4
    assert check_books(near.database, [owner]) == 60


def test_two_processes_that_book_groups_on_one_wallet_lose_nothing(
    near: LedgerApp, ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    (owner,) = purses(near.ledger, 400)
    acts = [debit(owner, 10) for _ in range(20)]
    ledgers = [ledger, near.ledger]
    jobs = [pool.submit(act, ledgers[number % 2]) for number, act in enumerate(acts)]
    again = [pool.submit(act, ledgers[(number + 1) % 2]) for number, act in enumerate(acts[:10])]
    told, repeated = results(jobs), results(again)
    assert len(booked(told)) + len(booked(repeated)) == 20
    for one, other in zip(told, repeated, strict=False):
        assert isinstance(one, KeyedResponse)
        assert isinstance(other, KeyedResponse)
        assert one.body == other.body
    assert check_books(near.database, [owner]) == 200
    check_whole(near.database)
