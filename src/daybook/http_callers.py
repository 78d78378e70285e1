"""Who may call which route.

The role that lets somebody call the service opens every route. So, when
`DAYBOOK_CALLERS` is set, each route is open to the accounts that are named for it, and
one that is not named to nobody, but for the health checks. The account is the e-mail in
the token that Cloud Run has verified, and whose signature it has taken off
(https://cloud.google.com/run/docs/authenticating/service-to-service); nothing else may
stand in front of the function then.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import flask

OPEN = frozenset({"/health", "/api/health", "/health/cron", "/api/health/cron"})
"""For whoever the service lets in."""


def refusal(
    callers: Mapping[str, tuple[str, ...]], route: str, request: flask.Request
) -> str | None:
    """Why the caller may not call the route; None when it may."""
    if not callers or route in OPEN:
        return None
    account = _account(request)
    if account is not None and account in callers.get(route, ()):
        return None
    return f"{account or 'a caller without a token'} may not call {route}: see DAYBOOK_CALLERS"


def _account(request: flask.Request) -> str | None:
    """The e-mail in the token; None when there is none that can be read."""
    header = request.headers.get("X-Serverless-Authorization") or request.headers.get(
        "Authorization", ""
    )
    scheme, _, token = header.partition(" ")
    parts = token.strip().split(".")
    if scheme.lower() != "bearer" or len(parts) != 3:
        return None
    claims = _claims(parts[1])
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
