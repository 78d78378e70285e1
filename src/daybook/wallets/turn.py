"""Booking a movement in its turn: in one transaction, under the locks of its wallets.

Credits of one wallet that wait for their turn are booked together, in one transaction, and so are
its debits. Each stays a movement of its own: its own conditional update, its own documents and its
own response. When a group cannot be booked as a whole, each of its movements is booked alone.

A group has one direction for a reason. Its commit may have an unknown result, and happen after its
members have begun to continue alone. Each member would then find the wallet as it was before the
group. If a group could mix directions, a debit that only a credit of the group covers would be
refused, and booked all the same. If a group of one direction is covered, so is each of its members.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from daybook.chart_of_accounts import Direction
from daybook.wallets import queries
from daybook.wallets.atomic import atomically
from daybook.wallets.booking import Movement
from daybook.wallets.context import Document, Ledger
from daybook.wallets.errors import LedgerError
from daybook.wallets.idempotency import KeyedResponse, check_unused, under_key
from daybook.wallets.stored import DocumentInvalid
from daybook.wallets.striped_locks import HeldStripes, TooContended
from daybook.wallets.waiting import Place, Waiting
from daybook.wallets.wallet import NotAllApplied

Book = Callable[[ClientSession, Sequence[Movement]], list[Document]]
"""Books these movements in the session, in this order; returns their answers."""


def book_alone(
    ledger: Ledger,
    movement: Movement,
    work: Callable[[ClientSession], Document],
    *,
    owners: Collection[ObjectId],
) -> KeyedResponse:
    """Run `work`, which books the movement of these owners' wallets, or find what its key made.

    Raises like `under_key`.
    """

    def book() -> KeyedResponse:
        with _locks(ledger, owners, max_wait_seconds=ledger.max_wait_seconds) as held_stripes:
            return _book_one(ledger, movement, work, held_stripes)

    return under_key(ledger, movement.key, book)


def book_in_group(
    ledger: Ledger, movement: Movement, book: Book, *, owner: ObjectId, direction: Direction
) -> KeyedResponse:
    """Book the movement with others that `book` can book with it, or alone.

    Raises like `under_key`.
    """
    deadline = time.monotonic() + ledger.max_wait_seconds

    def in_turn() -> KeyedResponse:
        waiting: Waiting[Movement, KeyedResponse] = ledger.waiting
        with waiting.place(
            line=(owner, direction),
            key=movement.key.key,
            request=movement,
            max_wait_seconds=ledger.max_wait_seconds,
        ) as place:
            if place.response is not None:
                return place.response
            left = max(0.0, deadline - time.monotonic())
            with _locks(ledger, [owner], max_wait_seconds=left) as held_stripes:
                if place.leads:
                    _lead(ledger, place, book, held_stripes)
                if place.response is not None:
                    return place.response
                return _book_one(
                    ledger, movement, lambda session: book(session, [movement])[0], held_stripes
                )

    return under_key(ledger, movement.key, in_turn)


def _lead(
    ledger: Ledger,
    leader: Place[Movement, KeyedResponse],
    book: Book,
    held_stripes: HeldStripes,
) -> None:
    """Try to book a group; afterwards each of its places has its response, or none has."""
    with ledger.waiting.group(leader) as members:
        if len(members) == 1:
            return
        # A history shows transactions of one millisecond in the order of their IDs.
        places = sorted(members, key=lambda place: place.request.transaction_ids[0])
        movements = [place.request for place in places]

        def work(session: ClientSession) -> list[Document]:
            if held_stripes.is_stalled:
                raise TooContended("another process holds the wallet of the group")
            check_unused(ledger, session, [movement.key for movement in movements])
            return book(session, movements)

        try:
            answers = atomically(
                ledger.database.client,
                work,
                held_stripes=held_stripes,
                max_wait_seconds=ledger.max_wait_seconds,
            )
        except (LedgerError, DocumentInvalid, NotAllApplied, TooContended, PyMongoError):
            # Each member looks for its key, and so learns whether the group was booked. If it was
            # not, the member continues alone, with an error of its own.
            return
        for place, answer in zip(places, answers, strict=True):
            place.response = KeyedResponse(body=answer, replayed=False)


def _book_one(
    ledger: Ledger,
    movement: Movement,
    work: Callable[[ClientSession], Document],
    held_stripes: HeldStripes,
) -> KeyedResponse:
    def unless_used(session: ClientSession) -> Document:
        check_unused(ledger, session, [movement.key])
        return work(session)

    body = atomically(
        ledger.database.client,
        unless_used,
        held_stripes=held_stripes,
        max_wait_seconds=ledger.max_wait_seconds,
    )
    return KeyedResponse(body=body, replayed=False)


def _locks(
    ledger: Ledger, owners: Collection[ObjectId], *, max_wait_seconds: float
) -> AbstractContextManager[HeldStripes]:
    def versions() -> list[Any]:
        docs = [queries.WALLET_OF_OWNER.one(ledger.database, owner=owner) for owner in owners]
        return [None if doc is None else doc.get("version") for doc in docs]

    return ledger.striped_locks.of(owners, versions, max_wait_seconds=max_wait_seconds)
