"""Any sequence of movements, repeated requests and crashes, against a model.

A crash is a request that freezes at one of its commands while the world goes on without
it, and that is woken later, when MongoDB has ended its transaction: it has to find out
what happened and must not move anything twice.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import hypothesis
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pymongo import MongoClient

from daybook.ledger_app import LedgerApp
from daybook.wallets import move
from daybook.wallets.booking import REVERSAL, Movement
from daybook.wallets.context import Ledger
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.idempotency import KeyedResponse
from tests.emulators.mongo_proxy import CUT, Action, Event, MongoProxy, Phase
from tests.integration.ledgers import (
    balance_of,
    check_books,
    check_whole,
    make_app,
    movement,
    prepare,
    purses,
)

pytestmark = pytest.mark.migrated

HOLDERS = 3
Act = Callable[[Ledger, Movement], KeyedResponse]

holders = st.integers(0, HOLDERS - 1)
amounts = st.integers(1, 400)
Step = tuple[str, str | None, Phase]
"""A command, its collection, and which side of it."""

commands = [
    ("findAndModify", "wallets"),
    ("insert", "transactions"),
    ("insert", "journalentries"),
    ("insert", "exportqueues"),
    ("commitTransaction", None),
]
freezing = st.builds(
    lambda command, phase: (*command, phase), st.sampled_from(commands), st.sampled_from(Phase)
)


def _by_wallet(
    act: Callable[[Ledger, ObjectId, Movement], KeyedResponse],
    owner: ObjectId,
    ledger: Ledger,
    wanted: Movement,
) -> KeyedResponse:
    return act(ledger, owner, wanted)


class Freeze:
    """Holds the first request that comes to a command, until it is released."""

    def __init__(self) -> None:
        self._armed: Step | None = None
        self._reached = threading.Event()
        self._released = threading.Event()

    def __call__(self, event: Event) -> Action | None:
        collection = None if event.name == "commitTransaction" else event.collection
        if self._armed != (event.name, collection, event.phase):
            return None
        self._armed = None
        self._reached.set()
        self._released.wait(60)
        return CUT

    def arm(self, where: Step) -> None:
        self._reached.clear()
        self._released.clear()
        self._armed = where

    def reached(self, future: Future[Any]) -> bool:
        """Wait until it holds the request; False when the request ended before."""
        while not self._reached.wait(0.005):
            if future.done():
                return False
        return True

    def release(self) -> None:
        self._armed = None
        self._released.set()


class Books(RuleBasedStateMachine):
    """Set `app`, `far`, `freeze` and `pool` on a subclass."""

    app: LedgerApp
    far: LedgerApp
    """As `app`, but its requests may freeze."""
    freeze: Freeze
    pool: ThreadPoolExecutor

    @initialize(balances=st.lists(st.integers(0, 500), min_size=HOLDERS, max_size=HOLDERS))
    def open(self, balances: list[int]) -> None:
        self.owners = purses(self.app.ledger, *balances)
        self.balances = list(balances)
        self.versions = [int(balance > 0) for balance in balances]
        self.done: list[tuple[Act, Movement, KeyedResponse]] = []
        self.reversible: list[tuple[ObjectId, list[tuple[int, int]]]] = []
        """Transactions that were not reversed, with the changes that they made."""

    # What a request does to the model

    def expected(self, changes: list[tuple[int, int]]) -> bool:
        """Whether it is covered."""
        return all(self.balances[holder] + change >= 0 for holder, change in changes)

    def book(self, changes: list[tuple[int, int]]) -> None:
        for holder, change in changes:
            self.balances[holder] += change
            self.versions[holder] += 1

    def attempt(
        self,
        act: Act,
        wanted: Movement,
        changes: list[tuple[int, int]],
        where: Step | None,
    ) -> KeyedResponse | None:
        covered = self.expected(changes)
        try:
            answer = (
                act(self.app.ledger, wanted) if where is None else self.crash(act, wanted, where)
            )
        except LedgerError as refused:
            if refused.code is not ErrorCode.INSUFFICIENT_FUNDS or covered:
                raise
            return None
        assert covered
        self.book(changes)
        self.done.append((act, wanted, answer))
        return answer

    def crash(self, act: Act, wanted: Movement, where: Step) -> KeyedResponse:
        """The request freezes, is repeated, then wakes."""
        self.freeze.arm(where)
        frozen = self.pool.submit(act, self.far.ledger, wanted)
        try:
            if self.freeze.reached(frozen):
                self.app.client.admin.command("killAllSessions", [])
                self.again(act, wanted)
        finally:
            self.freeze.release()
        answer = frozen.result(60)
        assert act(self.app.ledger, wanted).body == answer.body
        return answer

    def again(self, act: Act, wanted: Movement) -> None:
        try:
            act(self.app.ledger, wanted)
        except LedgerError as refused:
            if refused.code is not ErrorCode.INSUFFICIENT_FUNDS:
                raise

    # Requests

    @rule(holder=holders, amount=amounts, where=st.none() | freezing)
    def credit(self, holder: int, amount: int, where: Step | None) -> None:
        owner, changes = self.owners[holder], [(holder, amount)]
        answer = self.attempt(
            lambda ledger, wanted: move.credit(ledger, owner, wanted),
            movement(amount, type_="topup"),
            changes,
            where,
        )
        assert answer is not None
        self.reversible.append((ObjectId(answer.body["transactionId"]), changes))

    @rule(holder=holders, amount=amounts, where=st.none() | freezing)
    def debit(self, holder: int, amount: int, where: Step | None) -> None:
        owner, changes = self.owners[holder], [(holder, -amount)]
        answer = self.attempt(
            lambda ledger, wanted: move.debit(ledger, owner, wanted),
            movement(amount),
            changes,
            where,
        )
        if answer is not None:
            self.reversible.append((ObjectId(answer.body["transactionId"]), changes))

    @rule(
        payer=holders, other=st.integers(1, HOLDERS - 1), amount=amounts, where=st.none() | freezing
    )
    def transfer(self, payer: int, other: int, amount: int, where: Step | None) -> None:
        payee = (payer + other) % HOLDERS
        pair, changes = (
            (self.owners[payer], self.owners[payee]),
            [(payer, -amount), (payee, amount)],
        )
        answer = self.attempt(
            lambda ledger, wanted: move.transfer(ledger, *pair, wanted),
            movement(amount),
            changes,
            where,
        )
        if answer is not None:
            side = "from" if amount % 2 else "to"
            self.reversible.append((ObjectId(answer.body[side]["transactionId"]), changes))

    @rule(
        holder=holders,
        amount=amounts,
        count=st.integers(2, 6),
        direction=st.sampled_from(["credit", "debit"]),
    )
    def crowd(self, holder: int, amount: int, count: int, direction: str) -> None:
        """Several at once, of which as many are booked as the balance covers."""
        owner, debits = self.owners[holder], direction == "debit"
        act: Act = partial(_by_wallet, move.debit if debits else move.credit, owner)
        wanted = [movement(amount) for _ in range(count)]
        with ThreadPoolExecutor(count) as pool:
            jobs = [pool.submit(act, self.app.ledger, one) for one in wanted]
        covered = min(count, self.balances[holder] // amount) if debits else count
        for one, job in zip(wanted, jobs, strict=True):
            error = job.exception()
            if error is None:
                changes = [(holder, -amount if debits else amount)]
                self.book(changes)
                self.done.append((act, one, job.result()))
                self.reversible.append((ObjectId(job.result().body["transactionId"]), changes))
                covered -= 1
            else:
                assert isinstance(error, LedgerError)
                assert error.code is ErrorCode.INSUFFICIENT_FUNDS
        assert covered == 0

    @precondition(lambda self: self.reversible)
    @rule(data=st.data(), where=st.none() | freezing)
    def reverse(self, data: st.DataObject, where: Step | None) -> None:
        at = data.draw(st.integers(0, len(self.reversible) - 1))
        transaction_id, made = self.reversible[at]
        originals = move.reversal_of(self.app.ledger, transaction_id)
        wanted = movement(originals[0].amount_paise, type_=REVERSAL)
        answer = self.attempt(
            lambda ledger, wanted: move.reverse(ledger, wanted, originals),
            wanted,
            [(holder, -change) for holder, change in made],
            where,
        )
        if answer is not None:
            del self.reversible[at]
            with pytest.raises(LedgerError) as refused:
                move.reverse(self.app.ledger, movement(wanted.amount_paise), originals)
            assert refused.value.code is ErrorCode.ALREADY_REVERSED

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        act, wanted, answer = data.draw(st.sampled_from(self.done))
        again = act(self.app.ledger, wanted)
        assert again.replayed
        assert again.body == answer.body

    @invariant()
    def wallets_are_as_in_the_model(self) -> None:
        for owner, *expected in zip(getattr(self, "owners", []), *self.model(), strict=True):
            assert balance_of(self.app.database, owner) == tuple(expected)

    def model(self) -> tuple[list[int], list[int]]:
        return getattr(self, "balances", []), getattr(self, "versions", [])

    def teardown(self) -> None:
        if hasattr(self, "owners"):
            assert check_books(self.app.database, self.owners) == sum(self.balances)
            check_whole(self.app.database)


@pytest.fixture(scope="module")
def machine(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[type[Books]]:
    database = mongo_client[f"machine_{uuid.uuid4().hex}"]
    prepare(database)
    host, port = mongo_client.address or ("", 0)
    freeze_ = Freeze()
    with MongoProxy(host, port, freeze_) as proxy, ThreadPoolExecutor(1) as pool_:
        near, distant = make_app(mongo_uri, database.name), make_app(proxy.uri, database.name)

        class Running(Books):
            app, far, freeze, pool = near, distant, freeze_, pool_

        yield Running
        near.client.close()
        distant.client.close()
    mongo_client.drop_database(database.name)


def run(machine: type[Books], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            # Shrinking would repeat the freezes, each of which costs half a second.
            phases=[hypothesis.Phase.generate],
        ),
    )


def test_books_agree_with_the_model_whatever_happens(machine: type[Books]) -> None:
    run(machine, examples=4, steps=10)


@pytest.mark.storm
@pytest.mark.timeout(3600)
def test_books_agree_with_the_model_in_a_storm(machine: type[Books]) -> None:
    run(machine, examples=60, steps=40)
