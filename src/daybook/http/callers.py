"""Who may call which route.

The role `roles/run.invoker` opens every route. When `DAYBOOK_CALLERS` is set, only the
accounts named for a route may call it; a route that is not named is closed, except the health
checks. The account is the e-mail in the token that Cloud Run has verified and whose signature
it has removed (https://cloud.google.com/run/docs/authenticating/service-to-service). So every
request must come through Cloud Run.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import flask

from daybook.text.display import shortened

OPEN = frozenset({"/health", "/api/health", "/health/cron", "/api/health/cron", "/openapi.json"})
"""Open to every caller that IAM admits."""


HEADERS = ("X-Serverless-Authorization", "Authorization")
"""Where a token may be; Cloud Run verifies the first one that is present."""

_BEARER = re.compile(r"(?ai)bearer +[\w-]+\.([\w-]+)\.[\w-]*")
"""A single JSON Web Token. Servers join a header that is sent twice by a comma."""

IAP_USER = "X-Goog-Authenticated-User-Email"
"""The user whom Identity-Aware Proxy has signed in, as `accounts.google.com:USER`.

https://cloud.google.com/iap/docs/identity-howto#getting_the_users_identity_with_signed_headers
"""
_IAP = re.compile(r"service-[0-9]+@gcp-sa-iap\.iam\.gserviceaccount\.com")
"""The account as which Identity-Aware Proxy calls; only Google can make one there."""
_USER = re.compile(r"accounts\.google\.com:([^\s,:]+@[^\s,:]+)")

Callers = Mapping[str, tuple[str, ...]]
"""Route → the accounts that may call it."""


def refusal(callers: Callers, route: str, request: flask.Request) -> str | None:
    """Why the caller may not call the route; None when it may."""
    if not callers or route in OPEN:
        return None
    named = _named(request)
    if len(set(named)) > 1:
        shown = " and ".join(f"{account or 'no account'!s:.80}" for account in named)
        return f"{' and '.join(HEADERS)} name {shown}: only one of them was verified"
    account = next(iter(named), None)
    if account is not None and account in callers.get(route, ()):
        return None
    caller = "a caller without a token" if account is None else shortened(account)
    return f"{caller} may not call {route}: see DAYBOOK_CALLERS"


def verified_account(callers: Callers, request: flask.Request) -> str | None:
    """The account of a caller that `refusal` admitted.

    None without `DAYBOOK_CALLERS`: then nothing guarantees that tokens are verified.
    """
    named = set(_named(request)) if callers else set()
    return named.pop() if len(named) == 1 else None


def _named(request: flask.Request) -> list[str | None]:
    """The account in each header that is present; None for a header without a valid one.

    Google documents that Cloud Run verifies only `X-Serverless-Authorization` when both are
    present, so the other may be forged. Requiring the same account in both is safe whichever
    one it verifies. A call by Identity-Aware Proxy is its user's: it removes the header that
    names the user from what clients send, and nobody else has its account.
    """
    accounts = [_account(request.headers[name]) for name in HEADERS if name in request.headers]
    return [
        _iap_user(request) if account is not None and _IAP.fullmatch(account) else account
        for account in accounts
    ]


def _iap_user(request: flask.Request) -> str | None:
    found = _USER.fullmatch(request.headers.get(IAP_USER, ""))
    return None if found is None else found[1].lower()


def _account(header: str) -> str | None:
    """The verified e-mail in a header's token, or None."""
    token = _BEARER.fullmatch(header.strip())
    if token is None:
        return None
    claims = _claims(token[1])
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified") is not True:
        return None
    return email.lower()


def _claims(part: str) -> Mapping[str, Any]:
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
