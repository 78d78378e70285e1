"""The routes of `ledger`: wallets, what moves between them, users and invites."""

from __future__ import annotations

from functools import wraps

import flask
import pymongo

from daybook.http import health
from daybook.http.dispatcher import Dispatcher, Handler, Routes
from daybook.http.ledger import money, people
from daybook.http.ledger.responses import problem_of
from daybook.ledger_app import LedgerApp


def _limited(handler: Handler[LedgerApp]) -> Handler[LedgerApp]:
    """Bounds a handler that moves no money; movements have a time limit of their own."""

    @wraps(handler)
    def limited(app: LedgerApp, request: flask.Request, *segments: str) -> flask.Response:
        with pymongo.timeout(app.operation_timeout_seconds):
            return handler(app, request, *segments)

    return limited


ROUTES: Routes[LedgerApp] = {
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


def answer(app: LedgerApp, request: flask.Request) -> flask.Response:
    return _dispatcher.answer(app, request)


_dispatcher = Dispatcher(routes=ROUTES, problem_of=problem_of)
