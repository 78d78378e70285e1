"""Who may call which route, by the token that Cloud Run has verified."""

from __future__ import annotations

import base64
import json
from typing import Any

import flask
import pytest
from werkzeug.test import EnvironBuilder

from daybook.http.callers import HEADERS, OPEN, refusal, verified_account
from daybook.http.routes import ROUTES

SCHEDULER = "scheduler@p.iam.gserviceaccount.com"
TASKS = "tasks@p.iam.gserviceaccount.com"
CALLERS = {"/run": (SCHEDULER,), "/tasks/run": (TASKS,)}


def token(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"Bearer eyJhbGciOiJSUzI1NiJ9.{body}.SIGNATURE_REMOVED_BY_GOOGLE"


def made(route: str, **headers: str) -> flask.Request:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    builder = EnvironBuilder(path=route, method="POST", headers=named)
    return flask.Request(builder.get_environ())


def call(route: str, **headers: str) -> str | None:
    return refusal(CALLERS, route, made(route, **headers))


def test_the_account_of_a_route_may_call_it_and_no_other() -> None:
    scheduler = token(email=SCHEDULER, email_verified=True)
    assert call("/run", Authorization=scheduler) is None
    refused = call("/tasks/run", Authorization=scheduler)
    assert refused is not None
    assert SCHEDULER in refused


def test_an_account_is_the_same_in_capitals() -> None:
    assert call("/run", Authorization=token(email=SCHEDULER.upper(), email_verified=True)) is None


def test_a_route_that_is_not_named_is_open_to_nobody() -> None:
    assert call("/exports", Authorization=token(email=SCHEDULER, email_verified=True))


OWN = token(email=SCHEDULER, email_verified=True)
OTHER = token(email=TASKS, email_verified=True)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(
    "text",
    [
        f"{OWN},{OWN}",
        f"Bearer x,{OWN}",
        f"Bearer x, {OWN}",
        f"{OWN}, Bearer x",
        f"Bearer ,{OWN}",
        OWN.replace(".", ".!", 1),
        OWN.replace(".", ". ", 1),
        OWN.removeprefix("Bearer "),
    ],
)
def test_a_header_that_is_not_one_token_names_nobody(name: str, text: str) -> None:
    assert call("/run", **{name: text}) is not None
    assert verified_account(CALLERS, made("/run", **{name: text})) is None


@pytest.mark.parametrize("name", HEADERS)
def test_a_token_counts_in_either_header(name: str) -> None:
    assert call("/run", **{name: OWN}) is None
    assert call("/run", **{name: OTHER})


def test_both_headers_may_name_the_same_account() -> None:
    again = token(email=SCHEDULER.upper(), email_verified=True, aud="another")
    assert call("/run", X_Serverless_Authorization=OWN, Authorization=again) is None


@pytest.mark.parametrize(
    "other",
    [OTHER, "", "Bearer ya29.opaque", "Basic c2hvcDpzZWNyZXQ=", token(email=SCHEDULER)],
)
@pytest.mark.parametrize("route", sorted(CALLERS))
def test_whichever_header_was_verified_the_other_cannot_name_another_account(
    route: str, other: str
) -> None:
    """Only one of the two is verified; the other may be forged."""
    for own, forged in (HEADERS, reversed(HEADERS)):
        refused = call(route, **{own: OWN, forged: other})
        assert refused is not None
        assert SCHEDULER in refused
        assert "only one of them was verified" in refused


def test_a_token_that_is_given_twice_names_nobody() -> None:
    """As the server joins two headers of one name."""
    assert call("/run", Authorization=f"{OTHER},{OWN}")
    assert call("/run", Authorization=f"{OWN}, {OTHER}")


def test_an_account_is_verified_only_where_the_setting_says_that_tokens_are() -> None:
    request = made("/run", Authorization=OWN)
    assert verified_account(CALLERS, request) == SCHEDULER
    assert verified_account({}, request) is None
    assert verified_account(CALLERS, made("/run")) is None
    assert (
        verified_account(CALLERS, made("/run", **dict(zip(HEADERS, (OWN, OTHER), strict=True))))
        is None
    )


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer a.%%%.c",
        "Basic " + token(email=SCHEDULER, email_verified=True).partition(" ")[2],
        token(email=SCHEDULER),
        token(email=SCHEDULER, email_verified="true"),
        token(email=[SCHEDULER], email_verified=True),
        token(email_verified=True),
        "Bearer a." + base64.urlsafe_b64encode(b"[1]").decode() + ".c",
    ],
)
def test_what_names_nobody_may_call_nothing(header: str) -> None:
    assert call("/run", Authorization=header)


@pytest.mark.parametrize("route", sorted(OPEN))
def test_health_is_open_to_whoever_the_service_lets_in(route: str) -> None:
    assert route in ROUTES
    assert call(route) is None


def test_without_the_setting_every_route_is_open() -> None:
    request = flask.Request(EnvironBuilder(path="/run", method="POST").get_environ())
    assert refusal({}, "/run", request) is None
