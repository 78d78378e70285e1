"""Requests about wallets and what moves between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import flask
import pymongo
from bson import ObjectId

from daybook.errors import BadRequest, Forbidden
from daybook.http.body import body_of
from daybook.http.callers import verified_account
from daybook.http.ledger.requests import (
    amount,
    currency,
    idempotency_key,
    idempotency_key_if_given,
    limit,
    line,
    object_id,
    parameters,
    word,
)
from daybook.http.ledger.responses import keyed_response
from daybook.http.responses import json_response
from daybook.ledger_app import LedgerApp
from daybook.wallets import history, move, wallet
from daybook.wallets.booking import REVERSAL, Movement
from daybook.wallets.context import Ledger
from daybook.wallets.idempotency import KeyedResponse

MAX_DESCRIPTION_LENGTH = 500
PAGE = 50
MAX_PAGE = 200

OWNER = "ownerUserId"


def open_wallet(app: LedgerApp, request: flask.Request) -> flask.Response:
    """`POST /wallets`."""
    parameters(request, set())
    body = body_of(request, allowed={OWNER, "currency"})
    owner = object_id(body.get(OWNER), OWNER)
    _check_right(app, request, owner)
    wanted = idempotency_key_if_given(app, request, ("wallets",), body | {OWNER: str(owner)})
    in_ = currency(body.get("currency", wallet.INR), "currency")
    return keyed_response(wallet.open_wallet(app.ledger, owner, in_, wanted))


def show_wallet(app: LedgerApp, request: flask.Request, owner_id: str) -> flask.Response:
    """`GET /wallets/{ownerUserId}`."""
    parameters(request, set())
    owner = object_id(owner_id, OWNER)
    _check_right(app, request, owner)
    return json_response(200, wallet.wallet_of(app.ledger, owner).to_answer())


def show_history(app: LedgerApp, request: flask.Request, owner_id: str) -> flask.Response:
    """`GET /wallets/{ownerUserId}/transactions`."""
    owner = object_id(owner_id, OWNER)
    _check_right(app, request, owner)
    given = parameters(request, {"limit", "cursor"})
    wanted = limit(given, usual=PAGE, most=MAX_PAGE)
    cursor = history.Cursor.parse(given["cursor"]) if "cursor" in given else None
    found = wallet.wallet_of(app.ledger, owner)
    return json_response(200, history.page(app.ledger, found.id, limit=wanted, cursor=cursor))


def credit(app: LedgerApp, request: flask.Request, owner_id: str) -> flask.Response:
    """`POST /wallets/{ownerUserId}/credits`."""
    return _single(app, request, owner_id, "credits", move.credit)


def debit(app: LedgerApp, request: flask.Request, owner_id: str) -> flask.Response:
    """`POST /wallets/{ownerUserId}/debits`."""
    return _single(app, request, owner_id, "debits", move.debit)


def _single(
    app: LedgerApp,
    request: flask.Request,
    owner_id: str,
    what: str,
    act: Callable[[Ledger, ObjectId, Movement], KeyedResponse],
) -> flask.Response:
    parameters(request, set())
    owner = object_id(owner_id, OWNER)
    _check_right(app, request, owner)
    body = body_of(request, allowed={"amountPaise", "type", "description"})
    movement = _movement(app, request, ("wallets", str(owner), what), body)
    return keyed_response(act(app.ledger, owner, movement))


def transfer(app: LedgerApp, request: flask.Request) -> flask.Response:
    """`POST /transfers`."""
    parameters(request, set())
    allowed = {"fromUserId", "toUserId", "amountPaise", "type", "description"}
    body = body_of(request, allowed=allowed)
    payer = object_id(body.get("fromUserId"), "fromUserId")
    _check_right(app, request, payer)
    payee = object_id(body.get("toUserId"), "toUserId")
    if payer == payee:
        raise BadRequest("is the payer's own", where="toUserId")
    body |= {"fromUserId": str(payer), "toUserId": str(payee)}
    movement = _movement(app, request, ("transfers",), body)
    return keyed_response(_shown(app, request, move.transfer(app.ledger, payer, payee, movement)))


def reverse(app: LedgerApp, request: flask.Request, original_id: str) -> flask.Response:
    """`POST /transactions/{transactionId}/reversals`."""
    parameters(request, set())
    transaction_id = object_id(original_id, "transactionId")
    body = body_of(request, allowed={"description"})
    description = _description(body)
    key = idempotency_key(app, request, ("transactions", str(transaction_id), "reversals"), body)
    with pymongo.timeout(app.operation_timeout_seconds):
        _check_reversal(app, request, transaction_id)
        originals = move.reversal_of(app.ledger, transaction_id)
    movement = Movement(
        key=key,
        type=REVERSAL,
        amount_paise=originals[0].amount_paise,
        description=description,
    )
    return keyed_response(_shown(app, request, move.reverse(app.ledger, movement, originals)))


def _check_right(app: LedgerApp, request: flask.Request, owner: ObjectId) -> None:
    """Raise `Forbidden` unless the caller may move and read the user's wallet."""
    rights = app.settings.ledger_wallets
    account = verified_account(app.settings.callers, request)
    if rights is not None and not rights.allow(account, str(owner)):
        raise Forbidden(
            f"{account} may not move or read the wallet of user {owner}: see DAYBOOK_LEDGER_WALLETS"
        )


def _check_reversal(app: LedgerApp, request: flask.Request, transaction_id: ObjectId) -> None:
    """The same for the wallet that a reversal moves; a missing transaction has no such wallet."""
    rights = app.settings.ledger_wallets
    account = verified_account(app.settings.callers, request)
    if rights is None or rights.allow_all(account):
        return
    owner = move.owner_moved_back(app.ledger, transaction_id)
    if owner is None or not rights.allow(account, str(owner)):
        raise Forbidden(
            f"there is no transaction {transaction_id} whose wallet {account} may move: "
            "see DAYBOOK_LEDGER_WALLETS"
        )


def _shown(app: LedgerApp, request: flask.Request, answer: KeyedResponse) -> KeyedResponse:
    """The response without the balance of a wallet that the caller may not read."""
    rights = app.settings.ledger_wallets
    if rights is None or "from" not in answer.body:
        return answer
    account = verified_account(app.settings.callers, request)
    hidden = {
        side: {**answer.body[side], "availablePaise": None, "version": None}
        for side in ("from", "to")
        if not rights.allow(account, answer.body[side]["ownerUserId"])
    }
    return replace(answer, body={**answer.body, **hidden})


def _movement(
    app: LedgerApp, request: flask.Request, path: tuple[str, ...], body: dict[str, Any]
) -> Movement:
    amount_paise = amount(body, "amountPaise")
    type_ = word(body.get("type"), "type")
    if type_ == REVERSAL:
        raise BadRequest(
            f"{REVERSAL} is kept for POST /transactions/{{transactionId}}/reversals", where="type"
        )
    description = _description(body)
    return Movement(
        key=idempotency_key(app, request, path, body),
        type=type_,
        amount_paise=amount_paise,
        description=description,
    )


def _description(body: Mapping[str, Any]) -> str | None:
    value = body.get("description")
    return None if value is None else line(value, "description", longest=MAX_DESCRIPTION_LENGTH)
