"""Who may call which route, and which requests another site sends in a caller's browser.

The role `roles/run.invoker` opens every route. When `DAYBOOK_CALLERS` is set, only the
accounts named for a route may call it; a route that is not named is closed, except the health
checks. The account is the e-mail in the token that Cloud Run has verified and whose signature
it has removed (https://cloud.google.com/run/docs/authenticating/service-to-service). So every
request must come through Cloud Run.

A browser in which the function is open through `gcloud run services proxy`, Identity-Aware
Proxy or `daybook serve` would send the caller's rights along with any site's form.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import flask

from daybook.display import shortened

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
"""The account as which Identity-Aware Proxy calls; only Google can create one of that domain."""
_USER = re.compile(r"accounts\.google\.com:([^\s,:]+@[^\s,:]+)")

Callers = Mapping[str, tuple[str, ...]]
"""Route → the accounts that may call it."""

COOKIE = "daybook_token"
_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_SAME = "same-origin"
_NONE = "none"
"""Typed into the address bar."""


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
    names the user from what clients send, and only Google can call as its account.
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


def is_foreign(request: flask.Request) -> bool:
    """Whether a browser says that another site, or one it does not name, has sent the request.

    Programs send neither header, and are not foreign.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in (_SAME, _NONE)
    origin = request.headers.get("Origin")
    return origin is not None and not _is_own(origin, request)


def is_own_page(request: flask.Request) -> bool:
    """Whether a browser says that this very site has sent the request.

    `Sec-Fetch-Site` comes first, since a proxy replaces `Host`
    (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header).
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == _SAME
    origin = request.headers.get("Origin")
    return origin is not None and _is_own(origin, request)


def _is_own(origin: str, request: flask.Request) -> bool:
    """Whether the origin is the host that was asked: by https, or on this machine.

    By plain http, another name for this machine could be another person's site.
    """
    try:
        parts = urlsplit(origin)
        host = parts.hostname
    except ValueError:
        return False
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in _LOCAL)
    return secure and parts.netloc == request.headers.get("Host")


def token_of(request: flask.Request) -> str:
    """The token of the browser's cookie, or a new one."""
    given = request.cookies.get(COOKIE, "")
    return given if _TOKEN.fullmatch(given) else secrets.token_urlsafe(32)


def keep_token(response: flask.Response, request: flask.Request, token: str) -> None:
    """Store the token in the browser, for as long as it is open."""
    secure = request.headers.get("X-Forwarded-Proto", request.scheme) == "https"
    response.set_cookie(COOKIE, token, secure=secure, httponly=True, samesite="Strict", path="/")


def token_matches(request: flask.Request, given: str) -> bool:
    """Whether a form's token is that of the cookie: another site can read neither."""
    kept = request.cookies.get(COOKIE, "")
    return bool(_TOKEN.fullmatch(kept)) and hmac.compare_digest(kept.encode(), given.encode())
