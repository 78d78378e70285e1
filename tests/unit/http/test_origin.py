"""Which requests a browser sends for another site, and which the page itself has sent."""

from __future__ import annotations

import flask
import pytest
from werkzeug.test import EnvironBuilder

from daybook.http.origin import COOKIE, is_foreign, is_own_page, token_matches, token_of


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
