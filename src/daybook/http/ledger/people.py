"""Requests about users and invites."""

from __future__ import annotations

import logging
from datetime import timedelta

import flask

from daybook import display, log
from daybook.errors import BadRequest
from daybook.http.callers import refusal
from daybook.http.dispatcher import Body, Parameter, operation, parameters
from daybook.http.ledger.answers import INVITE, INVITES, USER, USERS
from daybook.http.ledger.requests import (
    CODE,
    ID,
    KEY_IF_GIVEN,
    MOMENT,
    WORD,
    WORDS,
    code,
    idempotency_key_if_given,
    limit,
    limit_of,
    line,
    line_of,
    moment,
    object_id,
    word,
    words,
)
from daybook.http.ledger.responses import KEYED, OF_KEY, STORED, keyed_response
from daybook.http.responses import json_response
from daybook.http.schema import one_of, or_null
from daybook.ledger_app import LedgerApp
from daybook.wallets import invites, users
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.invites import InviteStatus, NewInvite
from daybook.wallets.stored import DocumentInvalid
from daybook.wallets.users import NewUser, Wanted

MAX_NAME_LENGTH = 200
PAGE = 100
MAX_PAGE = 1000
INVITE_LASTS = timedelta(days=7)
INVITES_ROUTE = "/invites"
"""The route whose callers may create and read invites."""

USER_BODY = Body(
    fields={
        "name": line_of(MAX_NAME_LENGTH),
        "roles": WORDS,
        "status": WORD,
        "brandCode": or_null(CODE),
        "mediatorCode": or_null(CODE),
    },
    required=("name", "roles"),
)
USERS_QUERY = {
    "role": Parameter(schema=WORD, description="A role of the user."),
    "status": Parameter(schema=WORD, description="Not without one of the others."),
    "brandCode": Parameter(schema=CODE, description="The user's."),
    "mediatorCode": Parameter(schema=CODE, description="The user's."),
    "limit": limit_of(usual=PAGE, most=MAX_PAGE),
}
INVITE_BODY = Body(
    fields={"parentCode": CODE, "code": or_null(CODE), "expiresAt": or_null(MOMENT)},
    required=("parentCode",),
)
INVITES_QUERY = {
    "parentCode": Parameter(schema=CODE, description="Whose invites.", required=True),
    "status": Parameter(
        schema={**one_of(list(InviteStatus)), "default": InviteStatus.ACTIVE.value},
        description="The invites' status.",
    ),
    "limit": limit_of(usual=PAGE, most=MAX_PAGE),
}
ACCEPT_BODY = Body(fields={"userId": or_null(ID)})


@operation(
    summary="create a user",
    body=USER_BODY,
    headers=KEY_IF_GIVEN,
    answers={200: USER, 201: USER},
    answer_headers=KEYED,
    problems=OF_KEY | {"USER_ERASED", "FOREIGN_INDEX"},
)
def create_user(app: LedgerApp, request: flask.Request) -> flask.Response:
    """`POST /users`."""
    parameters(request, set())
    body = USER_BODY.read(request)
    brand, mediator = body.get("brandCode"), body.get("mediatorCode")
    user = NewUser(
        name=line(body.get("name"), "name", longest=MAX_NAME_LENGTH),
        roles=words(body.get("roles"), "roles"),
        status=word(body.get("status", "active"), "status"),
        brand_code=None if brand is None else code(brand, "brandCode"),
        mediator_code=None if mediator is None else code(mediator, "mediatorCode"),
    )
    wanted = idempotency_key_if_given(app, request, ("users",), body)
    return keyed_response(users.create_under_key(app.ledger, user, wanted))


@operation(
    summary="look users up",
    query=USERS_QUERY,
    answers={200: USERS},
    problems=STORED,
)
def find_users(app: LedgerApp, request: flask.Request) -> flask.Response:
    """`GET /users`."""
    given = parameters(request, USERS_QUERY)
    wanted = Wanted(
        role=word(given["role"], "role") if "role" in given else None,
        status=word(given["status"], "status") if "status" in given else None,
        brand_code=code(given["brandCode"], "brandCode") if "brandCode" in given else None,
        mediator_code=(
            code(given["mediatorCode"], "mediatorCode") if "mediatorCode" in given else None
        ),
    )
    query = wanted.query()
    if query is None:
        raise BadRequest("is missing: give role, brandCode or mediatorCode", where="role")
    most = limit(given, usual=PAGE, most=MAX_PAGE)
    return json_response(200, users.find(app.ledger, query, wanted, limit=most))


@operation(
    summary="create an invite",
    body=INVITE_BODY,
    headers=KEY_IF_GIVEN,
    answers={200: INVITE, 201: INVITE},
    answer_headers=KEYED,
    problems=OF_KEY | {"INVITE_EXISTS", "FOREIGN_INDEX"},
)
def create_invite(app: LedgerApp, request: flask.Request) -> flask.Response:
    """`POST /invites`."""
    parameters(request, set())
    body = INVITE_BODY.read(request)
    given, own = body.get("expiresAt"), body.get("code")
    invite = NewInvite(
        parent_code=code(body.get("parentCode"), "parentCode"),
        expires_at=app.clock() + INVITE_LASTS if given is None else moment(given, "expiresAt"),
        code=None if own is None else code(own, "code"),
    )
    wanted = idempotency_key_if_given(app, request, ("invites",), body)
    if own is not None and app.settings.ledger_invite_codes != "chosen":
        before = invites.made_before(app.ledger, wanted)  # when the setting was another one
        if before is None:
            raise BadRequest(
                "must be absent: codes are random, so that no one can guess them; "
                "DAYBOOK_LEDGER_INVITE_CODES says whether they may be chosen",
                where="code",
            )
        return keyed_response(before)
    return keyed_response(invites.create_under_key(app.ledger, invite, wanted))


@operation(
    summary="a parent's invites, newest first",
    query=INVITES_QUERY,
    answers={200: INVITES},
    problems=STORED,
)
def find_invites(app: LedgerApp, request: flask.Request) -> flask.Response:
    """`GET /invites`."""
    given = parameters(request, INVITES_QUERY)
    parent = code(given.get("parentCode"), "parentCode")
    status = given.get("status", InviteStatus.ACTIVE.value)
    if status not in set(InviteStatus):
        raise BadRequest(
            f"must be one of {', '.join(InviteStatus)}, not {display.quoted(status)}",
            where="status",
        )
    most = limit(given, usual=PAGE, most=MAX_PAGE)
    return json_response(200, invites.find(app.ledger, parent, InviteStatus(status), limit=most))


@operation(
    summary="use an invite, once",
    body=ACCEPT_BODY,
    headers=KEY_IF_GIVEN,
    answers={200: INVITE},
    answer_headers=KEYED,
    problems=OF_KEY
    | {"USER_NOT_FOUND", "INVITE_NOT_FOUND", "INVITE_USED", "INVITE_EXPIRED", "FOREIGN_INDEX"},
)
def accept_invite(app: LedgerApp, request: flask.Request, code_given: str) -> flask.Response:
    """`POST /invites/{code}/accept`.

    Only callers that may also read invites learn why it failed: to others a failure must not
    show which codes exist.
    """
    parameters(request, set())
    body = ACCEPT_BODY.read(request)
    given = body.get("userId")
    user_id = None if given is None else object_id(given, "userId")
    invite = code(code_given, "code")
    wanted = idempotency_key_if_given(app, request, ("invites", invite, "accept"), body)
    try:
        return keyed_response(
            invites.accept_once(app.ledger, invite, wanted, user_id=user_id), first=200
        )
    except (LedgerError, DocumentInvalid) as error:
        if refusal(app.settings.callers, INVITES_ROUTE, request) is None or _of_key(error):
            raise
        if isinstance(error, DocumentInvalid):
            log.event(logging.ERROR, "document_invalid", error.without_value)
        log.event(logging.WARNING, "invite_refused", f"an invite was not accepted: {_word(error)}")
        raise LedgerError(
            ErrorCode.INVITE_NOT_FOUND,
            "the code is not that of an open invite, or userId not that of a user",
        ) from error


def _of_key(error: LedgerError | DocumentInvalid) -> bool:
    """Whether the caller's own key is at fault, which reveals nothing about the invite."""
    return isinstance(error, LedgerError) and error.code is ErrorCode.IDEMPOTENCY_KEY_REUSED


def _word(error: LedgerError | DocumentInvalid) -> str:
    return error.code if isinstance(error, LedgerError) else error.type
