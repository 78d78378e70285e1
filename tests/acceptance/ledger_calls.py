"""Requests to the ledger without a server in between, and what a problem looks like."""

from __future__ import annotations

import json
from typing import Any

import flask
from werkzeug.test import EnvironBuilder

from daybook.http.ledger import routes
from daybook.ledger_app import LedgerApp

MISSING = object()


def send(
    app: LedgerApp, method: str, path: str, body: Any = MISSING, **headers: str
) -> flask.Response:
    """`body` is bytes as they are, or what becomes JSON."""
    data = None if body is MISSING else body if isinstance(body, bytes) else json.dumps(body)
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    builder = EnvironBuilder(path=path, method=method, data=data, headers=given)
    return routes.answer(app, flask.Request(builder.get_environ()))


def told(response: flask.Response) -> Any:
    return json.loads(response.get_data())


def assert_problem(response: flask.Response, status: int, code: str, *words: str) -> None:
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/problem+json"
    problem = told(response)
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    for word in words:
        assert word in problem["detail"]
