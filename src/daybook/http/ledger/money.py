"""Requests about wallets and what moves between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import flask
import pymongo
from bson import ObjectId

from daybook.errors import BadRequest, Forbidden
from daybook.http.callers import verified_account
from daybook.http.dispatcher import Body, Parameter, operation, parameters
from daybook.http.ledger.answers import HISTORY, REVERSAL_OR_TRANSFER, TRANSACTION, TRANSFER, WALLET
from daybook.http.ledger.requests import (
    AMOUNT,
    CURRENCY,
    ID,
    KEY,
    KEY_IF_GIVEN,
    WORD,
    amount,
    currency,
    idempotency_key,
    idempotency_key_if_given,
    limit,
    limit_of,
    line,
    line_of,
    object_id,
    word,
)
from daybook.http.ledger.responses import KEYED, OF_KEY, STORED, keyed_response
from daybook.http.responses import json_response
from daybook.http.schema import TEXT, or_null
from daybook.ledger_app import LedgerApp
from daybook.wallets import history, move, wallet
from daybook.wallets.booking import REVERSAL, Movement
from daybook.wallets.context import Ledger
from daybook.wallets.idempotency import KeyedResponse

MAX_DESCRIPTION_LENGTH = 500
PAGE = 50
MAX_PAGE = 200

OWNER = "ownerUserId"

_TYPE = {**WORD, "not": {"const": REVERSAL}}
_DESCRIPTION = or_null(line_of(MAX_DESCRIPTION_LENGTH))

WALLET_BODY = Body(fields={OWNER: ID, "currency": CURRENCY}, required=(OWNER,))
MOVEMENT_BODY = Body(
    fields={"amountPaise": AMOUNT, "type": _TYPE, "description": _DESCRIPTION},
    required=("amountPaise", "type"),
)
TRANSFER_BODY = Body(
    fields={"fromUserId": ID, "toUserId": ID, **MOVEMENT_BODY.fields},
    required=("fromUserId", "toUserId", *MOVEMENT_BODY.required),
)
REVERSAL_BODY = Body(fields={"description": _DESCRIPTION})
HISTORY_QUERY = {
    "limit": limit_of(usual=PAGE, most=MAX_PAGE),
    "cursor": Parameter(schema=TEXT, description="The `nextCursor` of the page before."),
}


@operation(
    summary="open a wallet",
    body=WALLET_BODY,
    headers=KEY_IF_GIVEN,
    answers={200: WALLET, 201: WALLET},
    answer_headers=KEYED,
    problems=OF_KEY | {"USER_NOT_FOUND", "WALLET_EXISTS", "FOREIGN_INDEX"},
)
def open_wallet(app: LedgerApp, request: flask.Request) -> flask.Response:
    """`POST /wallets`."""
    parameters(request, set())
    body = WALLET_BODY.read(request)
    owner = object_id(body.get(OWNER), OWNER)
    _check_right(app, request, owner)
    wanted = idempotency_key_if_given(app, request, ("wallets",), body | {OWNER: str(owner)})
    in_ = currency(body.get("currency", wallet.INR), "currency")
    return keyed_response(wallet.open_wallet(app.ledger, owner, in_, wanted))


@operation(
    summary="balance and version",
    answers={200: WALLET},
    problems=STORED | {"WALLET_NOT_FOUND"},
)
def show_wallet(app: LedgerApp, request: flask.Request, owner_id: str) -> flask.Response:
    """`GET /wallets/{ownerUserId}`."""
    parameters(request, set())
    owner = object_id(owner_id, OWNER)
    _check_right(app, request, owner)
    return json_response(200, wallet.wallet_of(app.ledger, owner).to_answer())


@operation(
    summary="the history, newest first",
    query=HISTORY_QUERY,
    answers={200: HISTORY},
    problems=STORED | {"WALLET_NOT_FOUND"},
)
def show_history(app: LedgerApp, request: flask.Request, owner_id: str) -> flask.Response:
    """`GET /wallets/{ownerUserId}/transactions`."""
    owner = object_id(owner_id, OWNER)
    _check_right(app, request, owner)
    given = parameters(request, HISTORY_QUERY)
    wanted = limit(given, usual=PAGE, most=MAX_PAGE)
    cursor = history.Cursor.parse(given["cursor"]) if "cursor" in given else None
    found = wallet.wallet_of(app.ledger, owner)
    return json_response(200, history.page(app.ledger, found.id, limit=wanted, cursor=cursor))


@operation(
    summary="raise a balance",
    body=MOVEMENT_BODY,
    headers=KEY,
    answers={200: TRANSACTION, 201: TRANSACTION},
    answer_headers=KEYED,
    problems=OF_KEY | {"WALLET_NOT_FOUND", "BALANCE_LIMIT", "FOREIGN_INDEX"},
)
def credit(app: LedgerApp, request: flask.Request, owner_id: str) -> flask.Response:
    """`POST /wallets/{ownerUserId}/credits`."""
    return _single(app, request, owner_id, "credits", move.credit)


@operation(
    summary="lower a balance that covers it",
    body=MOVEMENT_BODY,
    headers=KEY,
    answers={200: TRANSACTION, 201: TRANSACTION},
    answer_headers=KEYED,
    problems=OF_KEY | {"WALLET_NOT_FOUND", "INSUFFICIENT_FUNDS", "FOREIGN_INDEX"},
)
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
    body = MOVEMENT_BODY.read(request)
    movement = _movement(app, request, ("wallets", str(owner), what), body)
    return keyed_response(act(app.ledger, owner, movement))


@operation(
    summary="from one wallet to another, or nothing",
    body=TRANSFER_BODY,
    headers=KEY,
    answers={200: TRANSFER, 201: TRANSFER},
    answer_headers=KEYED,
    problems=OF_KEY
    | {"WALLET_NOT_FOUND", "INSUFFICIENT_FUNDS", "BALANCE_LIMIT", "CURRENCY_MISMATCH"}
    | {"FOREIGN_INDEX"},
)
def transfer(app: LedgerApp, request: flask.Request) -> flask.Response:
    """`POST /transfers`."""
    parameters(request, set())
    body = TRANSFER_BODY.read(request)
    payer = object_id(body.get("fromUserId"), "fromUserId")
    _check_right(app, request, payer)
    payee = object_id(body.get("toUserId"), "toUserId")
    if payer == payee:
        raise BadRequest("is the payer's own", where="toUserId")
    body |= {"fromUserId": str(payer), "toUserId": str(payee)}
    movement = _movement(app, request, ("transfers",), body)
    return keyed_response(_shown(app, request, move.transfer(app.ledger, payer, payee, movement)))


@operation(
    summary="take a movement back",
    body=REVERSAL_BODY,
    headers=KEY,
    answers={200: REVERSAL_OR_TRANSFER, 201: REVERSAL_OR_TRANSFER},
    answer_headers=KEYED,
    problems=OF_KEY
    | {"TRANSACTION_NOT_FOUND", "WALLET_NOT_FOUND", "ALREADY_REVERSED", "NOT_REVERSIBLE"}
    | {"INSUFFICIENT_FUNDS", "BALANCE_LIMIT", "CURRENCY_MISMATCH", "FOREIGN_INDEX"},
)
def reverse(app: LedgerApp, request: flask.Request, original_id: str) -> flask.Response:
    """`POST /transactions/{transactionId}/reversals`."""
    parameters(request, set())
    transaction_id = object_id(original_id, "transactionId")
    body = REVERSAL_BODY.read(request)
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
