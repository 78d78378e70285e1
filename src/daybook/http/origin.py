"""Which requests come from the page itself, and which from another site in somebody's browser.

A browser in which the function is open through `gcloud run services proxy`, Identity-Aware
Proxy or `daybook serve` would send the caller's rights along with any site's form.
"""

from __future__ import annotations

import hmac
import re
import secrets
from urllib.parse import urlsplit

import flask

COOKIE = "daybook_token"
_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_SAME = "same-origin"
_NONE = "none"
"""Typed into the address bar."""


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

    By plain http, another name for this machine could be a site of somebody else's.
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
