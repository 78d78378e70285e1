"""Which handler answers a request, and the problems that both functions answer alike."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import unquote_to_bytes

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.app import App
from daybook.errors import BadRequest, Forbidden
from daybook.http import routes
from daybook.http.dispatcher import Dispatcher, Routes
from daybook.http.ledger import routes as ledger_routes
from daybook.ledger_app import LedgerApp
from daybook.settings.settings import Settings

ACCOUNT = "caller@p.iam.gserviceaccount.com"
ENV = {
    "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:1/?replicaSet=rs0",
    "DAYBOOK_DESTINATION": "file:///tmp/daybook",
}
APP = App.from_env(ENV)
GUARDED = App.from_env(ENV | {"DAYBOOK_CALLERS": f"/other={ACCOUNT}"})
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO")


def echo(_app: App, _request: flask.Request, *segments: str) -> flask.Response:
    return flask.Response(json.dumps(segments))


def forbidden(_app: App, _request: flask.Request) -> flask.Response:
    raise Forbidden("not yours")


def bad(_app: App, _request: flask.Request) -> flask.Response:
    raise BadRequest("is wrong", where="field")


def expected(_app: App, _request: flask.Request) -> flask.Response:
    raise LookupError("known")


def crash(_app: App, _request: flask.Request) -> flask.Response:
    raise RuntimeError("not known")


ROUTES: Routes[App] = {
    "/": {"POST": echo},
    "/things": {"GET": echo, "POST": echo},
    "/things/{id}": {"GET": echo},
    "/things/{id}/parts/{part}": {"POST": echo},
    "/forbidden": {"GET": forbidden},
    "/bad": {"GET": bad},
    "/expected": {"GET": expected},
    "/crash": {"GET": crash},
}


def _problem_of(_app: App, _request: flask.Request, error: Exception) -> flask.Response | None:
    return flask.Response(status=409) if isinstance(error, LookupError) else None


DISPATCHER = Dispatcher(routes=ROUTES, problem_of=_problem_of)


def made(method: str, path: str, **environ: Any) -> flask.Request:
    """A request as gunicorn hands it over: the decoded path's bytes as Latin-1."""
    decoded = unquote_to_bytes(path).decode("latin-1")
    base = {"REQUEST_METHOD": method, "PATH_INFO": decoded, "SERVER_NAME": "a", "SERVER_PORT": "80"}
    body = {"wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http", "SCRIPT_NAME": ""}
    return flask.Request({**base, **body, **environ})


def call(method: str, path: str, app: App = APP, **environ: Any) -> flask.Response:
    return DISPATCHER.answer(app, made(method, path, **environ))


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/things", []),
        ("/things/", []),
        ("/things//", []),
        ("//things", []),
        ("/things/7", ["7"]),
        ("/things/7/", ["7"]),
        ("/things/{id}", ["{id}"]),
        ("/things/%3Cid%3E", ["<id>"]),
        ("/things/..", [".."]),
        ("/things/a%0Ab", ["a\nb"]),
        ("/things/a%0A", ["a\n"]),
        ("/things/%00", ["\0"]),
        ("/things/%FF", ["�"]),
        ("/things/%E0%B8%81", ["ก"]),
        ("/things/" + "a" * 100_000, ["a" * 100_000]),
    ],
)
def test_a_segment_arrives_as_it_was_sent(path: str, segments: list[str]) -> None:
    response = call("GET", path)
    assert (response.status_code, response.get_json(force=True)) == (200, segments)


def test_segments_arrive_in_the_order_of_the_path() -> None:
    assert call("POST", "/things/b/parts/a").get_json(force=True) == ["b", "a"]
    assert call("POST", "/things/b%2Fparts%2Fa").get_json(force=True) == ["b", "a"]


@pytest.mark.parametrize(
    "path",
    [
        *("/nothing", "/thing", "/thingss", "/Things", "/things/7/parts", "/things/7/x/8"),
        *("/things//parts/8", "/things/7//8", "/things/7/parts//", "/a//things"),
        *("/things/a%2Fb", "/%2e%2e/things/7/..", "/%FF", "/things%00", "/things%20"),
        *("/" + "x/" * 50_000, "/things/7" + "/x" * 50_000, "/things;a=b", "*"),
    ],
)
def test_a_path_without_a_route_is_a_404(path: str) -> None:
    for method in METHODS:
        response = call(method, path)
        assert response.status_code == 404
        assert response.get_json()["code"] == "NOT_FOUND"
        assert len(response.get_json()["detail"]) < 200


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/", "POST"),
        ("", "POST"),
        ("////", "POST"),
        ("/things", "GET, HEAD, POST"),
        ("/things/7/", "GET, HEAD"),
        ("/things/7/parts/8", "POST"),
    ],
)
def test_another_method_is_a_405_that_lists_those_that_are_there(path: str, allow: str) -> None:
    for method in METHODS:
        response = call(method, path)
        if method in allow.split(", "):
            assert response.status_code == 200
        else:
            assert (response.status_code, response.headers["Allow"]) == (405, allow)
            assert response.get_json()["code"] == "METHOD_NOT_ALLOWED"
            assert method in response.get_json()["detail"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/forbidden", 403, "FORBIDDEN"),
        ("/bad", 400, "BAD_REQUEST"),
        ("/crash", 500, "INTERNAL"),
    ],
)
def test_an_error_of_a_handler_becomes_a_problem(path: str, status: int, code: str) -> None:
    response = call("GET", path)
    assert (response.status_code, response.get_json()["code"]) == (status, code)
    assert response.mimetype == "application/problem+json"


def test_an_error_that_the_function_knows_is_answered_by_it() -> None:
    assert call("GET", "/expected").status_code == 409


def test_route_and_method_are_looked_at_before_the_caller_and_the_caller_before_the_fields() -> (
    None
):
    assert call("GET", "/nothing", GUARDED).status_code == 404
    assert call("PUT", "/bad", GUARDED).status_code == 405
    assert call("GET", "/bad", GUARDED).status_code == 403


@given(
    path=st.text(alphabet=st.characters(max_codepoint=255)) | st.text(alphabet="/things7.%{}<>:"),
    method=st.sampled_from(METHODS),
    host=st.text(alphabet=st.characters(max_codepoint=255)),
    upgrade=st.booleans(),
)
def test_no_path_crashes_or_is_redirected(path: str, method: str, host: str, upgrade: bool) -> None:
    environ = {"HTTP_HOST": host}
    if upgrade:
        environ |= {"HTTP_CONNECTION": "Upgrade", "HTTP_UPGRADE": "websocket"}
    response = DISPATCHER.answer(APP, made(method, "/", PATH_INFO=f"/{path}", **environ))
    assert response.status_code in (200, 400, 403, 404, 405, 409, 500)
    if response.status_code in (400, 403, 409, 500):
        assert path.strip("/") in ("bad", "forbidden", "expected", "crash")


def test_the_problems_of_both_functions_have_one_form() -> None:
    settings = Settings.from_env(ENV | {"DAYBOOK_CALLERS": f"/other={ACCOUNT}"})
    apps = (GUARDED, LedgerApp(settings))
    cut = {"CONTENT_LENGTH": "5"}
    requests = {
        "404": lambda: made("GET", "/nothing"),
        "405": lambda: made("PUT", "/metrics"),
        "403": lambda: made("GET", "/metrics"),
        "400": lambda: made("GET", "/health", **cut),
    }
    for status, request in requests.items():
        one = routes.answer(apps[0], request())
        other = ledger_routes.answer(apps[1], request())
        assert one.status == other.status
        assert one.status_code == int(status)
        assert one.get_json() == other.get_json()
        assert {"type", "title", "status", "code", "detail"} <= set(one.get_json())
