"""Booking a movement in its turn: in one transaction, under the locks of its wallets.

Credits of one wallet that wait for their turn are booked together, in one transaction, and so are
its debits; and those of several wallets that wait for a lane are booked together, too. Each stays a
movement of its own: its own conditional update, its own documents and its own response. A movement
that cannot be booked as one of a group is left out of it; when the group cannot be booked as a
whole, all of them are. What is left out is booked alone.

In a group, the movements of one wallet have one direction for a reason. The group's commit may have
an unknown result, and happen after its members have begun to continue alone. Each member would then
find the wallet as it was before the group. If a group could mix directions, a debit that only a
credit of the group covers would be refused, and booked all the same. If a group of one direction
is covered, so is each of its members.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from itertools import count, islice
from typing import Any, TypeVar

import pymongo
from bson import ObjectId
from bson.errors import BSONError
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from daybook.mongo.sessions import transaction
from daybook.wallets import queries
from daybook.wallets.atomic import WRITE_CONFLICT, atomically
from daybook.wallets.booking import Movement, Single
from daybook.wallets.context import Document, Ledger
from daybook.wallets.errors import LedgerError
from daybook.wallets.idempotency import KeyedResponse, check_unused, under_key, unless_refused
from daybook.wallets.sharing import Lane, Sharing
from daybook.wallets.singles import Responses, write_each, write_one
from daybook.wallets.stored import DocumentInvalid
from daybook.wallets.striped_locks import HeldStripes, TooContended
from daybook.wallets.waiting import Place, Waiting
from daybook.wallets.wallet import NotAllApplied

SHARED_SECONDS = 5.0
"""Limit on a transaction of several wallets, so that its movements have time to continue alone."""
UNBOOKED = (LedgerError, DocumentInvalid, BSONError, NotAllApplied, TooContended, PyMongoError)
"""After one of these, each member of a group continues alone: it looks for its key, and so learns
whether the group was booked all the same. If it was not, the member ends with an error of its own.
"""

T = TypeVar("T")


def book_alone(
    ledger: Ledger,
    movement: Movement,
    work: Callable[[ClientSession], Document | LedgerError],
    *,
    owners: Collection[ObjectId],
) -> KeyedResponse:
    """Run `work`, which books the movement of these owners' wallets, or find what its key made.

    `work` may return a refusal if it has written nothing: the commit makes it certain. Raises like
    `under_key`.
    """

    def unless_used(session: ClientSession) -> KeyedResponse | LedgerError:
        check_unused(ledger, session, [movement.key])
        found = work(session)
        if isinstance(found, LedgerError):
            return found
        return KeyedResponse(body=found, replayed=False)

    def book() -> KeyedResponse:
        with _locks(ledger, owners, max_wait_seconds=ledger.max_wait_seconds) as held_stripes:
            return unless_refused(_atomically(ledger, unless_used, held_stripes))

    return under_key(ledger, movement.key, book)


def book_single(ledger: Ledger, single: Single) -> KeyedResponse:
    """Book a credit or debit, together with others that wait or alone.

    Raises like `under_key`.
    """
    deadline = time.monotonic() + ledger.max_wait_seconds

    def in_turn() -> KeyedResponse:
        waiting: Waiting[Single, KeyedResponse] = ledger.waiting
        with waiting.place(
            line=(single.owner, single.direction),
            key=single.movement.key.key,
            request=single,
            max_wait_seconds=ledger.max_wait_seconds,
        ) as place:
            if place.response is not None:
                return place.response
            left = max(0.0, deadline - time.monotonic())
            with _locks(ledger, [single.owner], max_wait_seconds=left) as held_stripes:
                if place.leads:
                    _lead(ledger, place, held_stripes, deadline)
                if place.response is not None:
                    return place.response
                return _book_one(ledger, single, held_stripes)

    return under_key(ledger, single.movement.key, in_turn)


def _lead(
    ledger: Ledger,
    leader: Place[Single, KeyedResponse],
    held_stripes: HeldStripes,
    deadline: float,
) -> None:
    """Book the movements of one wallet that wait; those without a response continue alone."""
    with ledger.waiting.group(leader) as members:
        singles = [place.request for place in members]
        responses = _book_waiting(ledger, singles, held_stripes, deadline)
        for place, response in zip(members, responses, strict=True):
            place.response = response


def _book_waiting(
    ledger: Ledger, singles: Sequence[Single], held_stripes: HeldStripes, deadline: float
) -> Responses:
    """Book movements of one wallet, if possible together with those of others.

    Raises like `_book_of_wallet`.
    """
    sharing: Sharing[Sequence[Single], Responses] = ledger.sharing
    if sharing.is_affordable() and not held_stripes.is_held_elsewhere:
        with sharing.place(
            singles[0].owner,
            singles,
            size=len(singles),
            max_wait_seconds=max(0.0, deadline - time.monotonic()),
        ) as place:
            if place.leads:
                with sharing.group(place) as (members, lane):
                    if len(members) == 1:
                        return _book_of_wallet(ledger, singles, held_stripes, lane)
                    _book_shared(ledger, members)
            if place.response is not None:
                return place.response
    return _book_of_wallet(ledger, singles, held_stripes)


def _book_shared(ledger: Ledger, members: Sequence[Place[Sequence[Single], Responses]]) -> None:
    """Try once to book movements of several wallets; all places get their responses, or none."""
    singles = [single for place in members for single in place.request]
    tries = count(1)

    def once(session: ClientSession) -> Responses:
        if next(tries) > 1:
            raise TooContended("a transaction of several wallets is not repeated")
        try:
            return write_each(ledger, session, singles)
        except OperationFailure as error:
            if error.code != WRITE_CONFLICT:
                raise
            ledger.sharing.conflicted()
            raise TooContended("another process moves one of the wallets") from error

    try:
        with pymongo.timeout(SHARED_SECONDS):
            found = transaction(ledger.database.client, once, read_concern=ReadConcern("snapshot"))
    except UNBOOKED:
        return
    ledger.sharing.succeeded()
    responses = iter(found)
    for place in members:
        place.response = list(islice(responses, len(place.request)))


def _book_of_wallet(
    ledger: Ledger, singles: Sequence[Single], held_stripes: HeldStripes, lane: Lane | None = None
) -> Responses:
    """Book movements of one wallet; of several, all or none. Raises for a single one.

    The lane is left as soon as the transaction has to be repeated.
    """
    if len(singles) == 1:
        return [_book_one(ledger, singles[0], held_stripes, lane)]

    def work(session: ClientSession) -> Responses:
        if held_stripes.is_stalled:
            raise TooContended("another process holds the wallet of the group")
        return write_each(ledger, session, singles)

    try:
        return _atomically(ledger, work, held_stripes, lane)
    except UNBOOKED:
        return [None] * len(singles)


def _book_one(
    ledger: Ledger, single: Single, held_stripes: HeldStripes, lane: Lane | None = None
) -> KeyedResponse:
    return unless_refused(
        _atomically(ledger, lambda session: write_one(ledger, session, single), held_stripes, lane)
    )


def _atomically(
    ledger: Ledger,
    work: Callable[[ClientSession], T],
    held_stripes: HeldStripes,
    lane: Lane | None = None,
) -> T:
    tries = count(1)

    def tried(session: ClientSession) -> T:
        if next(tries) > 1 and lane is not None:
            lane.leave()
        return work(session)

    return atomically(
        ledger.database.client,
        tried,
        held_stripes=held_stripes,
        max_wait_seconds=ledger.max_wait_seconds,
    )


def _locks(
    ledger: Ledger, owners: Collection[ObjectId], *, max_wait_seconds: float
) -> AbstractContextManager[HeldStripes]:
    def versions() -> list[Any]:
        docs = [queries.WALLET_OF_OWNER.one(ledger.database, owner=owner) for owner in owners]
        return [None if doc is None else doc.get("version") for doc in docs]

    return ledger.striped_locks.of(owners, versions, max_wait_seconds=max_wait_seconds)
