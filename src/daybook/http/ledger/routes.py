"""The routes of `ledger`: wallets, what moves between them, users and invites."""

from __future__ import annotations

from dataclasses import replace

import flask
import pymongo

from daybook.http import health
from daybook.http.dispatcher import Dispatcher, Operation
from daybook.http.ledger import money, people
from daybook.http.ledger.requests import CODE, ID
from daybook.http.ledger.responses import PROBLEMS, problem_of
from daybook.http.openapi import Operations, with_description
from daybook.ledger_app import LedgerApp


def _limited(operation: Operation[LedgerApp]) -> Operation[LedgerApp]:
    """Bounds an operation that moves no money; movements have a time limit of their own."""

    def limited(app: LedgerApp, request: flask.Request, *segments: str) -> flask.Response:
        with pymongo.timeout(app.operation_timeout_seconds):
            return operation.handler(app, request, *segments)

    return replace(operation, handler=limited)


_OPERATIONS: Operations[LedgerApp] = {
    "/users": {"POST": _limited(people.create_user), "GET": _limited(people.find_users)},
    "/wallets": {"POST": _limited(money.open_wallet)},
    "/wallets/{ownerUserId}": {"GET": _limited(money.show_wallet)},
    "/wallets/{ownerUserId}/credits": {"POST": money.credit},
    "/wallets/{ownerUserId}/debits": {"POST": money.debit},
    "/wallets/{ownerUserId}/transactions": {"GET": _limited(money.show_history)},
    "/transfers": {"POST": money.transfer},
    "/transactions/{transactionId}/reversals": {"POST": money.reverse},
    "/invites": {"POST": _limited(people.create_invite), "GET": _limited(people.find_invites)},
    "/invites/{code}/accept": {"POST": _limited(people.accept_invite)},
    "/health": {"GET": health.health},
    "/api/health": {"GET": health.health},
    "/metrics": {"GET": health.client_measurements},
}

ROUTES = with_description(
    _OPERATIONS,
    title="Daybook: the ledger",
    problems=PROBLEMS,
    segments={"ownerUserId": ID, "transactionId": ID, "code": CODE},
    retry_after=True,
)


def answer(app: LedgerApp, request: flask.Request) -> flask.Response:
    return _dispatcher.answer(app, request)


_dispatcher = Dispatcher(routes=ROUTES, problem_of=problem_of)
