"""Secret Manager's own client against answers as its REST API gives them."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports.rest import (
    SecretManagerServiceRestTransport,
)

from daybook.cloud import secrets
from daybook.errors import ConfigurationError
from tests.contract.raw_server import answer, serving

NAME = "projects/acme/secrets/uri/versions/latest"
CHECKED = 3808858755  # CRC-32C of "123456789", https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4


class StandIn(ThreadingHTTPServer):
    """Answers each request with the next of `answers`, the last one again and again."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, dict[str, Any]] | bytes] = []
        self.paths: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        self.server.paths.append(self.path.partition("?")[0])
        answers = self.server.answers
        chosen = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(chosen, bytes):
            self.wfile.write(chosen)
            self.close_connection = True
            return
        status, body = chosen
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's
        pass


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def client_of(host: str) -> SecretManagerServiceClient:
    return SecretManagerServiceClient(
        transport=SecretManagerServiceRestTransport(
            host=host, url_scheme="http", credentials=AnonymousCredentials()
        )
    )


@pytest.fixture
def client(stand_in: StandIn) -> SecretManagerServiceClient:
    return client_of(f"127.0.0.1:{stand_in.server_port}")


def version(content: bytes, crc32c: int | None = None) -> tuple[int, dict[str, Any]]:
    payload: dict[str, Any] = {"data": base64.b64encode(content).decode()}
    if crc32c is not None:
        payload["dataCrc32c"] = str(crc32c)
    return 200, {"name": "projects/1/secrets/uri/versions/3", "payload": payload}


def refusal(status: int, word: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"code": status, "status": word, "message": message}}


def test_the_content_of_the_named_version_is_returned(
    stand_in: StandIn, client: SecretManagerServiceClient
) -> None:
    stand_in.answers = [version("รหัส".encode())]
    assert secrets.fetch(NAME, client) == "รหัส"
    assert stand_in.paths == [f"/v1/{NAME}:access"]


def test_a_matching_checksum_is_accepted(
    stand_in: StandIn, client: SecretManagerServiceClient
) -> None:
    stand_in.answers = [version(b"123456789", CHECKED)]
    assert secrets.fetch(NAME, client) == "123456789"


def test_damaged_content_is_refused_and_not_quoted(
    stand_in: StandIn, client: SecretManagerServiceClient
) -> None:
    stand_in.answers = [version(b"123456780", CHECKED)]
    clock = Clock()
    with pytest.raises(ConfigurationError, match=f"{NAME} arrived damaged") as caught:
        secrets.fetch(NAME, client, clock=clock, sleep=clock.sleep)
    assert "12345678" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "word", "message"),
    [
        (403, "PERMISSION_DENIED", "Permission 'secretmanager.versions.access' denied"),
        (404, "NOT_FOUND", "Secret [uri] not found or has no versions."),
        (400, "FAILED_PRECONDITION", "Secret Version is in DISABLED state."),
    ],
)
def test_a_refusal_names_the_secret_and_the_reason(
    stand_in: StandIn, client: SecretManagerServiceClient, status: int, word: str, message: str
) -> None:
    stand_in.answers = [refusal(status, word, message)]
    with pytest.raises(ConfigurationError) as caught:
        secrets.fetch(NAME, client)
    assert NAME in str(caught.value)
    assert message in str(caught.value)
    assert len(stand_in.paths) == 1


def test_a_passing_failure_is_tried_again(
    stand_in: StandIn, client: SecretManagerServiceClient
) -> None:
    stand_in.answers = [refusal(503, "UNAVAILABLE", "try later"), version(b"word")]
    assert secrets.fetch(NAME, client) == "word"
    assert len(stand_in.paths) == 2


class Clock:
    """A clock that moves only with the sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


PAGE = "Content-Type: text/html"
JSON = "Content-Type: application/json"
PASSING = {
    **{
        str(status): answer(f"{status} -", b'{"error": {"message": "later"}}', JSON)
        for status in (408, 429, 500, 502, 503, 504)
    },
    "502 page": answer("502 -", b"<!DOCTYPE html>" + b"x" * 1_000_000, PAGE),
    "500 as text": answer("500 -", b'{"error": "later"}', JSON),
    "500 as list": answer("500 -", b"[1]", JSON),
    "500 empty": answer("500 -"),
    "200 page": answer("200 OK", b"<html>Sign in</html>", PAGE),
    "200 empty": answer("200 OK", b"", JSON),
    "200 list": answer("200 OK", b"[]", JSON),
    "200 nested": answer("200 OK", b"[" * 200_000, JSON),
    "200 truncated JSON": answer("200 OK", b'{"name": "p', JSON),
    "200 truncated": answer("200 OK", b'{"name": "p"}', JSON)[:-4],
    "200 not base64": answer("200 OK", b'{"payload": {"data": "\xc3\xa9?"}}', JSON),
    "200 other type": answer("200 OK", b'{"payload": {"data": 7}}', JSON),
    "200 not gzip": answer("200 OK", b"{}", JSON, "Content-Encoding: gzip"),
    "redirect to itself": answer("302 Found", b"", "Location: /"),
    "nonsense": b"nonsense\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("raw", PASSING.values(), ids=PASSING)
def test_what_may_pass_is_tried_again_for_twenty_seconds(raw: bytes) -> None:
    clock = Clock()
    with serving(raw) as url:
        client = client_of(url.removeprefix("http://").rstrip("/"))
        with pytest.raises(ConfigurationError) as caught:
            secrets.fetch(NAME, client, clock=clock, sleep=clock.sleep)
    assert 15 < clock.now < 20
    assert max(clock.pauses) <= 2
    assert len(set(clock.pauses)) == len(clock.pauses), "no jitter"
    assert str(caught.value).startswith(f"the secret {NAME} cannot be read: ")
    assert len(str(caught.value)) < 700
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("failure", [key for key in PASSING if key != "redirect to itself"])
def test_what_passes_is_forgotten(
    stand_in: StandIn, client: SecretManagerServiceClient, failure: str
) -> None:
    clock = Clock()
    stand_in.answers = [PASSING[failure], version(b"word")]
    assert secrets.fetch(NAME, client, clock=clock, sleep=clock.sleep) == "word"
    assert len(clock.pauses) == 1


def test_server_that_does_not_answer_is_an_error_in_time(stand_in: StandIn) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = client_of(f"127.0.0.1:{unused.getsockname()[1]}")
        clock = Clock()
        with pytest.raises(ConfigurationError, match=r"the connection failed \(ConnectionError\)"):
            secrets.fetch(NAME, client, clock=clock, sleep=clock.sleep)
    assert 15 < clock.now < 20


def test_page_in_place_of_an_answer_is_recognised(
    stand_in: StandIn, client: SecretManagerServiceClient
) -> None:
    clock = Clock()
    stand_in.answers = [PASSING["200 page"]]
    with pytest.raises(ConfigurationError, match="a proxy's sign-in page"):
        secrets.fetch(NAME, client, clock=clock, sleep=clock.sleep)
    stand_in.answers = [PASSING["502 page"]]
    with pytest.raises(ConfigurationError, match="answered 502 a web page"):
        secrets.fetch(NAME, client, clock=clock, sleep=clock.sleep)


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t"])
def test_empty_secret_is_refused_at_once(
    stand_in: StandIn, client: SecretManagerServiceClient, content: bytes
) -> None:
    stand_in.answers = [version(content)]
    with pytest.raises(ConfigurationError, match=f"{NAME} is empty. Add a version"):
        secrets.fetch(NAME, client)
    assert len(stand_in.paths) == 1


@pytest.mark.parametrize(
    ("status", "word", "message", "advice"),
    [
        (403, "PERMISSION_DENIED", "denied", "roles/secretmanager.secretAccessor"),
        (404, "NOT_FOUND", "not found or has no versions", "Create the secret"),
        (400, "FAILED_PRECONDITION", "is in DISABLED state", "Enable this version"),
        (400, "FAILED_PRECONDITION", "is in DESTROYED state", "add a new version"),
        (400, "INVALID_ARGUMENT", "bad name", "projects/P/secrets/S/versions/V"),
    ],
)
def test_refusal_says_what_to_do_and_is_not_repeated(
    stand_in: StandIn,
    client: SecretManagerServiceClient,
    status: int,
    word: str,
    message: str,
    advice: str,
) -> None:
    stand_in.answers = [refusal(status, word, message)]
    with pytest.raises(ConfigurationError) as caught:
        secrets.fetch(NAME, client)
    assert advice in str(caught.value)
    assert len(stand_in.paths) == 1


def test_api_that_is_disabled_is_named(
    stand_in: StandIn, client: SecretManagerServiceClient
) -> None:
    status, body = refusal(403, "PERMISSION_DENIED", "not used before")
    info = "type.googleapis.com/google.rpc.ErrorInfo"
    body["error"]["details"] = [
        {"@type": info, "reason": "SERVICE_DISABLED", "domain": "googleapis.com"}
    ]
    stand_in.answers = [(status, body)]
    with pytest.raises(ConfigurationError, match="services enable secretmanager"):
        secrets.fetch(NAME, client)


def test_binary_content_is_refused_and_not_quoted(
    stand_in: StandIn, client: SecretManagerServiceClient
) -> None:
    stand_in.answers = [version(b"\xff\xfeword")]
    with pytest.raises(ConfigurationError, match=f"{NAME} is not UTF-8 text") as caught:
        secrets.fetch(NAME, client)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_secret_is_fetched_once_per_process(
    stand_in: StandIn, client: SecretManagerServiceClient
) -> None:
    stand_in.answers = [version(b"word"), version(b"another")]
    assert secrets.fetch(NAME, client) == "word"
    assert secrets.fetch(NAME, client) == "word"
    assert secrets.fetch(NAME.replace("latest", "4"), client) == "another"
    assert len(stand_in.paths) == 2


def test_a_failure_is_not_remembered(stand_in: StandIn, client: SecretManagerServiceClient) -> None:
    stand_in.answers = [refusal(403, "PERMISSION_DENIED", "denied"), version(b"word")]
    with pytest.raises(ConfigurationError):
        secrets.fetch(NAME, client)
    assert secrets.fetch(NAME, client) == "word"


def test_without_credentials_the_error_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(ConfigurationError, match=f"{NAME} cannot be read: .*credentials"):
        secrets.fetch(NAME)


def test_importing_the_settings_imports_no_client() -> None:
    program = (
        "import sys, daybook.settings.settings;"
        "print([name for name in sys.modules if 'secretmanager' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "[]"
