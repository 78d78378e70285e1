"""Who may call which route, by the token that Cloud Run has verified."""

from __future__ import annotations

import base64
import json
from typing import Any

import flask
import pytest
from werkzeug.test import EnvironBuilder

from daybook.http import ROUTES
from daybook.http_callers import OPEN, refusal

SCHEDULER = "scheduler@p.iam.gserviceaccount.com"
TASKS = "tasks@p.iam.gserviceaccount.com"
CALLERS = {"/run": (SCHEDULER,), "/tasks/run": (TASKS,)}


def token(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"Bearer eyJhbGciOiJSUzI1NiJ9.{body}.SIGNATURE_REMOVED_BY_GOOGLE"


def call(route: str, **headers: str) -> str | None:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    builder = EnvironBuilder(path=route, method="POST", headers=named)
    return refusal(CALLERS, route, flask.Request(builder.get_environ()))


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


def test_the_header_that_cloud_run_checks_first_decides() -> None:
    own, other = (token(email=email, email_verified=True) for email in (SCHEDULER, TASKS))
    assert call("/run", X_Serverless_Authorization=own, Authorization=other) is None
    assert call("/run", X_Serverless_Authorization=other, Authorization=own)


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
