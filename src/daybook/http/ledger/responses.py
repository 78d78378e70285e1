"""Responses of the ledger: the first one under a key, its repeats, and problems."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import flask
from pymongo.errors import PyMongoError

from daybook import log
from daybook.errors import ConfigurationError, DatabaseError
from daybook.http.callers import verified_account
from daybook.http.dispatcher import Parameter
from daybook.http.responses import json_response, problem
from daybook.ledger_app import LedgerApp
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.idempotency import KeyedResponse
from daybook.wallets.stored import DocumentInvalid
from daybook.wallets.striped_locks import TooContended
from daybook.write_errors import Cause

REPLAYED = "Idempotency-Replayed"
RETRY_AFTER_SECONDS = 1

STATUS: Mapping[ErrorCode, int] = {
    ErrorCode.USER_NOT_FOUND: 404,
    ErrorCode.USER_ERASED: 410,
    ErrorCode.WALLET_NOT_FOUND: 404,
    ErrorCode.WALLET_EXISTS: 409,
    ErrorCode.INSUFFICIENT_FUNDS: 409,
    ErrorCode.BALANCE_LIMIT: 409,
    ErrorCode.CURRENCY_MISMATCH: 409,
    ErrorCode.TRANSACTION_NOT_FOUND: 404,
    ErrorCode.ALREADY_REVERSED: 409,
    ErrorCode.NOT_REVERSIBLE: 409,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: 422,
    ErrorCode.ANSWER_EXPIRED: 410,
    ErrorCode.INVITE_NOT_FOUND: 404,
    ErrorCode.INVITE_EXISTS: 409,
    ErrorCode.INVITE_USED: 409,
    ErrorCode.INVITE_EXPIRED: 410,
}

KEYED = {
    200: {
        REPLAYED: Parameter(
            schema={"type": "string", "enum": ["true"]},
            description="The first answer under the key, repeated.",
        )
    }
}
"""The headers of an answer under a key."""

AWAY = frozenset({"CONFIGURATION", "DATABASE_UNAVAILABLE"})
STORED = AWAY | {"DOCUMENT_INVALID"}
OF_KEY = STORED | {ErrorCode.IDEMPOTENCY_KEY_REUSED.value, ErrorCode.ANSWER_EXPIRED.value}

PROBLEMS: Mapping[str, int] = {
    **{code.value: status for code, status in STATUS.items()},
    "CONFIGURATION": 500,
    "DOCUMENT_INVALID": 409,
    "FOREIGN_INDEX": 409,
}
"""Code → status, beside those of both functions."""


def keyed_response(result: KeyedResponse, *, first: int = 201) -> flask.Response:
    """`first` is the status of the first response; a repeated one says that it is."""
    response = json_response(200 if result.replayed else first, result.body)
    if result.replayed:
        response.headers[REPLAYED] = "true"
    return response


def problem_of(app: LedgerApp, request: flask.Request, error: Exception) -> flask.Response | None:
    match error:
        case LedgerError():
            return problem(STATUS[error.code], str(error), code=error.code, where=error.where)
        case DocumentInvalid():
            log.event(logging.ERROR, "document_invalid", error.without_value)
            return problem(409, _detail(app, request, error), code="DOCUMENT_INVALID")
        case DatabaseError():
            return _database_failed(error)
        case PyMongoError():
            return _database_failed(DatabaseError.of(request.path, error))
        case ConfigurationError():
            log.event(logging.ERROR, "request_crashed", str(error))
            return problem(500, str(error), code="CONFIGURATION")
    return None


def _detail(app: LedgerApp, request: flask.Request, error: DocumentInvalid) -> str:
    """What is wrong, without the value for a caller bound to some wallets: it may be another's."""
    rights = app.settings.ledger_wallets
    account = verified_account(app.settings.callers, request)
    return str(error) if rights is None or rights.allow_all(account) else error.without_value


def _database_failed(error: DatabaseError) -> flask.Response:
    if isinstance(error, TooContended):
        log.event(logging.WARNING, "request_contended", str(error))
    else:
        log.event(logging.ERROR, "request_crashed", str(error), exc_info=error)
    if error.permanent:  # the database refuses the write, however often it is repeated
        foreign = error.refused is not None and error.refused.cause is Cause.FOREIGN_INDEX
        if foreign:
            return problem(409, str(error), code="FOREIGN_INDEX")
        return problem(500, str(error), code="CONFIGURATION")
    response = problem(503, str(error))
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
