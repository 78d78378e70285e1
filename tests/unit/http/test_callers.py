"""Who may call which route, and which requests are another site's."""

from __future__ import annotations

import base64
import json
from typing import Any

import flask
import pytest
from werkzeug.test import EnvironBuilder

from daybook.http.callers import (
    COOKIE,
    HEADERS,
    OPEN,
    is_foreign,
    is_own_page,
    refusal,
    token_matches,
    token_of,
    verified_account,
)
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


def test_a_route_that_is_not_named_is_closed() -> None:
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
def test_a_header_that_is_not_one_token_names_no_account(name: str, text: str) -> None:
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


def test_a_token_that_is_given_twice_names_no_account() -> None:
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
def test_a_call_that_names_no_account_is_refused(header: str) -> None:
    assert call("/run", Authorization=header)


@pytest.mark.parametrize("route", sorted(OPEN))
def test_health_is_open_to_every_caller_that_iam_admits(route: str) -> None:
    assert route in ROUTES
    assert call(route) is None


def test_without_the_setting_every_route_is_open() -> None:
    request = flask.Request(EnvironBuilder(path="/run", method="POST").get_environ())
    assert refusal({}, "/run", request) is None


def request(**headers: str) -> flask.Request:
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    return flask.Request(
        EnvironBuilder(
            path="/", method="POST", headers={"Host": "page.example", **given}
        ).get_environ()
    )


@pytest.mark.parametrize(
    ("headers", "foreign", "own"),
    [
        ({}, False, False),  # a program
        ({"Sec_Fetch_Site": "same-origin"}, False, True),
        ({"Sec_Fetch_Site": "none"}, False, False),
        ({"Sec_Fetch_Site": "cross-site"}, True, False),
        ({"Sec_Fetch_Site": "same-site"}, True, False),
        ({"Sec_Fetch_Site": ""}, True, False),
        ({"Sec_Fetch_Site": "cross-site", "Origin": "https://page.example"}, True, False),
        # gcloud's proxy replaces the host
        ({"Sec_Fetch_Site": "same-origin", "Origin": "http://localhost:8080"}, False, True),
        ({"Origin": "https://page.example"}, False, True),
        ({"Origin": "http://page.example"}, True, False),  # a name that may lead anywhere
        ({"Origin": "https://page.example.evil.example"}, True, False),
        ({"Origin": "https://page.example:8443"}, True, False),
        ({"Origin": "null"}, True, False),
        ({"Origin": "https://["}, True, False),
        ({"Origin": "http://localhost:8080", "Host": "localhost:8080"}, False, True),
        ({"Origin": "http://127.0.0.1:1", "Host": "127.0.0.1:1"}, False, True),
        ({"Origin": "http://localhost:8080", "Host": "127.0.0.1:8080"}, True, False),
    ],
)
def test_the_browser_says_who_sends(headers: dict[str, str], foreign: bool, own: bool) -> None:
    assert is_foreign(request(**headers)) is foreign
    assert is_own_page(request(**headers)) is own


def test_a_token_counts_only_with_the_same_cookie() -> None:
    token = token_of(request())
    assert len(token) == 43
    assert token_of(request()) != token
    assert token_of(request(Cookie=f"{COOKIE}={token}")) == token
    assert token_matches(request(Cookie=f"{COOKIE}={token}"), token)
    assert not token_matches(request(Cookie=f"{COOKIE}={token}"), token_of(request()))
    assert not token_matches(request(), token)


@pytest.mark.parametrize("text", ["", "x", "ก" * 43, "a" * 44])
def test_a_cookie_that_is_no_token_counts_for_nothing(text: str) -> None:
    asked = request(Cookie=f"{COOKIE}={text}".encode().decode("latin-1"))
    assert not token_matches(asked, text)
    assert token_of(asked) != text
