"""docs/ledger.md names the routes, codes, accounts and fields that the ledger has."""

from __future__ import annotations

import re

from daybook.chart_of_accounts import Chart
from daybook.http.ledger.responses import STATUS
from daybook.http.ledger.routes import ROUTES
from daybook.wallets.reconcile.kind import LedgerDifferenceKind
from tests import pages

PAGE = "ledger.md"
GENERAL = {
    "BAD_REQUEST": 400,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "DOCUMENT_INVALID": 409,
    "FOREIGN_INDEX": 409,
    "BODY_TOO_LARGE": 413,
    "INTERNAL": 500,
    "CONFIGURATION": 500,
    "DATABASE_UNAVAILABLE": 503,
}
"""Codes beside those of refusals."""


def test_every_route_is_named_and_no_other() -> None:
    named = pages.column(pages.table(PAGE, "request"))
    assert sorted(named) == sorted(
        f"{method} {path}" for path, methods in ROUTES.items() for method in methods
    )


def test_curl_calls_routes() -> None:
    text = pages.text_of(PAGE).replace("\\\n", " ")
    calls = re.findall(r'curl((?:[^"]|"(?!\$LEDGER))*)"\$LEDGER(/[^"?]*)', text)
    assert len(calls) == text.count("curl ")
    for options, path in calls:
        method = "POST" if "-d " in options else "GET"
        route = re.sub(r"/[0-9a-f]{24}", "/{}", path).replace("3F9A0C1D77E2B4865A10", "{}")
        assert any(
            method in methods and re.sub(r"\{\w+\}", "{}", template) == route
            for template, methods in ROUTES.items()
        ), f"{method} {path}"


def test_every_code_has_its_status() -> None:
    rows = pages.table(PAGE, "code")
    assert {pages.words(row[0])[0]: int(row[1]) for row in rows} == {
        **{code.value: status for code, status in STATUS.items()},
        **GENERAL,
    }


def test_every_kind_of_difference_is_named() -> None:
    named = pages.column(pages.table(PAGE, "kind"))
    assert named == [kind.value for kind in LedgerDifferenceKind]


def test_every_type_has_its_account() -> None:
    chart = Chart()
    rows = pages.table(PAGE, "type")
    named = {word: (row[1], row[2]) for row in rows for word in pages.words(row[0])}
    assert named == {
        type_: (account.code, account.name) for type_, account in chart.opposites.items()
    }
    assert rows[-1] == ["any other", chart.clearing.code, chart.clearing.name]
