"""The parameters of a request's query string."""

from __future__ import annotations

from collections.abc import Collection

import flask

from daybook.errors import BadRequest


def parameters(request: flask.Request, allowed: Collection[str]) -> dict[str, str]:
    """The query string's parameters, each at most once; raises `BadRequest`."""
    found: dict[str, str] = {}
    for name, values in request.args.lists():
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise BadRequest(f"unknown parameter; known are {known}", where=name[:80])
        if len(values) > 1:
            raise BadRequest(f"is given {len(values)} times", where=name)
        found[name] = values[0]
    return found
