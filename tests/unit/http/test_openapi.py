"""`GET /openapi.json`: a valid description of every route, with the codes that documents name.

That the functions answer as described is for `fuzz/test_schemathesis.py`.
"""

from __future__ import annotations

import json
from typing import Any

import flask
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from werkzeug.test import EnvironBuilder

import daybook
from daybook.app import App
from daybook.http import routes
from daybook.http.callers import OPEN
from daybook.http.dispatcher import Operation
from daybook.http.ledger import routes as ledger_routes
from daybook.ledger_app import LedgerApp
from tests import pages

ENV = {
    "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:1/?replicaSet=rs0",
    "DAYBOOK_DESTINATION": "file:///tmp/daybook",
    "DAYBOOK_CALLERS": "/run=scheduler@p.iam.gserviceaccount.com",
}
APP = App.from_env(ENV)
REQUEST = EnvironBuilder(path="/openapi.json").get_environ
EXPORT = json.loads(routes.answer(APP, flask.Request(REQUEST())).get_data())
LEDGER = json.loads(
    ledger_routes.answer(LedgerApp(APP.settings), flask.Request(REQUEST())).get_data()
)
BOTH = pytest.mark.parametrize(
    ("described", "routed", "page"),
    [(EXPORT, routes.ROUTES, "http.md"), (LEDGER, ledger_routes.ROUTES, "ledger.md")],
    ids=["export", "ledger"],
)


def operations(described: Any) -> dict[tuple[str, str], Any]:
    return {
        (path, method.upper()): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }


@BOTH
def test_it_is_valid_openapi(described: Any, routed: Any, page: str) -> None:
    validate(described, cls=OpenAPIV31SpecValidator)
    assert described["openapi"] == "3.1.0"
    assert described["info"]["version"] == daybook.__version__


@BOTH
def test_it_has_every_route_and_no_other(described: Any, routed: Any, page: str) -> None:
    assert set(operations(described)) == {
        (path, method) for path, methods in routed.items() for method in methods
    }


@BOTH
def test_an_operation_does_what_the_page_says(described: Any, routed: Any, page: str) -> None:
    said = {pages.words(row[0])[0]: row[1] for row in pages.table(page, "request")}
    for (path, method), operation in operations(described).items():
        text = said[f"{method} {path}"].split(" (")[0].replace("`", "")
        if not text.startswith("the same"):
            assert text == operation["summary"][0].lower() + operation["summary"][1:]


@BOTH
def test_its_codes_are_those_of_the_page(described: Any, routed: Any, page: str) -> None:
    known = {pages.words(row[0])[0]: row[1] for row in pages.table(page, "code")}
    found = {}
    for operation in operations(described).values():
        for status, response in operation["responses"].items():
            problem = response["content"].get("application/problem+json")
            if problem:
                form = problem["schema"]["allOf"][1]["properties"]
                assert form["status"]["const"] == int(status)
                found |= dict.fromkeys(form["code"]["enum"], status)
    not_routed = {"METHOD_NOT_ALLOWED"}
    assert found == {code: status for code, status in known.items() if code not in not_routed}


@BOTH
def test_a_closed_route_may_be_forbidden(described: Any, routed: Any, page: str) -> None:
    for (path, _), operation in operations(described).items():
        assert ("403" in operation["responses"]) == (path not in OPEN)


@BOTH
def test_each_route_is_an_operation(described: Any, routed: Any, page: str) -> None:
    for methods in routed.values():
        assert all(isinstance(operation, Operation) for operation in methods.values())


def test_it_names_the_profiles_that_the_function_has() -> None:
    assert EXPORT["components"]["schemas"]["Profile"]["enum"] == ["daily"]
    more = App.from_env({**ENV, "DAYBOOK_PROFILES": '[sales]\nfilename = "sales_{date}.csv"\n'})
    described = json.loads(routes.answer(more, flask.Request(REQUEST())).get_data())
    assert described["components"]["schemas"]["Profile"]["enum"] == ["daily", "sales"]
    validate(described, cls=OpenAPIV31SpecValidator)
