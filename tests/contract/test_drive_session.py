"""Whom Drive takes the requests for, against a stand-in for Google's token servers."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from daybook.destinations.base import NewFile
from daybook.destinations.drive.drive import DriveDestination, drive_session
from daybook.errors import ConfigurationError, DestinationError, DestinationRefused
from tests.contract.raw_server import answer, serving
from tests.emulators.drive import DriveEmulator

ACCOUNT = "daybook@example.iam.gserviceaccount.com"
TOKEN = json.dumps({"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"})


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def log_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str, token_uri: str
) -> None:
    """Credentials whose tokens come from `token_uri`."""
    path = tmp_path / "account.json"
    account = {
        "type": "service_account",
        "client_email": ACCOUNT,
        "private_key": private_key,
        "private_key_id": "1",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


def destination_at(drive: DriveEmulator) -> DriveDestination:
    return DriveDestination(
        folder_id=drive.folder_id, session=drive_session(None, None), root_url=drive.url
    )


def test_requests_carry_the_token(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str
) -> None:
    drive.require_auth = True
    with serving(answer("200 OK", TOKEN.encode(), "Content-Type: application/json")) as url:
        log_in(monkeypatch, tmp_path, private_key, url)
        destination_at(drive).new_id()
    assert [request.identity for request in drive.requests] == ["a-token"]


def test_endpoint_gets_no_token(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str
) -> None:
    log_in(monkeypatch, tmp_path, private_key, "http://127.0.0.1:1/")
    DriveDestination(
        folder_id=drive.folder_id, session=drive_session(None, drive.url), root_url=drive.url
    ).new_id()
    assert [request.identity for request in drive.requests] == ["anonymous"]


def test_request_without_a_token_is_refused(drive: DriveEmulator) -> None:
    drive.require_auth = True
    destination = DriveDestination(
        folder_id=drive.folder_id, session=drive_session(None, drive.url), root_url=drive.url
    )
    with pytest.raises(DestinationRefused, match="401 authError"):
        destination.new_id()


def test_upload_goes_on_when_the_token_is_renewed(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str
) -> None:
    content = b"x" * (256 * 1024 + 1)
    with serving(answer("200 OK", TOKEN.encode(), "Content-Type: application/json")) as url:
        log_in(monkeypatch, tmp_path, private_key, url)
        destination = destination_at(drive)
        file = NewFile(id=destination.new_id(), name="batch.csv", properties={})
        drive.fault("status", on="create_multipart", status=401)
        destination.send_whole(file, content)
    assert [made.content for made in drive.files(drive.folder_id)] == [content]


def test_token_that_google_refuses_is_a_lasting_error(
    drive: DriveEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    private_key: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    said = b'{"error": "unauthorized_client", "error_description": "very private"}'
    refusal = answer("401 Unauthorized", said, "Content-Type: application/json")
    with serving(refusal) as url:
        log_in(monkeypatch, tmp_path, private_key, url)
        with pytest.raises(DestinationRefused, match="domain-wide delegation") as caught:
            destination_at(drive).new_id()
    assert "very private" not in "".join(traceback.format_exception(caught.value))
    assert drive.requests == []


def test_token_server_that_is_down_is_a_passing_error(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        log_in(monkeypatch, tmp_path, private_key, f"http://127.0.0.1:{unused.getsockname()[1]}/")
        with pytest.raises(DestinationError) as caught:
            destination_at(drive).new_id()
    assert type(caught.value) is DestinationError


JSON = "Content-Type: application/json"
GARBAGE = {
    "page": answer("200 OK", b"<html>Sign in</html>", "Content-Type: text/html"),
    "no type": answer("200 OK", b"<html>"),
    "page called JSON": answer("200 OK", b"<html>", JSON),
    "empty": answer("200 OK", b"", JSON),
    "empty object": answer("200 OK", b"{}", JSON),
    "list": answer("200 OK", b"[]", JSON),
    "text": answer("200 OK", b'"ok"', JSON),
    "nested": answer("200 OK", b"[" * 200_000, JSON),
    "not utf-8": answer("200 OK", b"\xff\xfe", JSON),
    "other types": answer("200 OK", b'{"access_token": 7, "expires_in": "soon"}', JSON),
    "truncated": answer("200 OK", TOKEN.encode()[:30], JSON),
    "redirect to itself": answer("302 Found", b"", "Location: /"),
    "500": answer("500 Internal Server Error", b"x" * 1_000_000),
    "nonsense": b"nonsense\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_token_server_that_answers_garbage_is_a_passing_error(
    drive: DriveEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    private_key: str,
    garbage: str,
) -> None:
    with serving(GARBAGE[garbage]) as url:
        log_in(monkeypatch, tmp_path, private_key, url)
        with pytest.raises(DestinationError) as caught:
            destination_at(drive).new_id()
    assert type(caught.value) is DestinationError
    assert drive.requests == []


def test_user_to_act_for_needs_a_service_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "user.json"
    path.write_text(
        json.dumps(
            {"type": "authorized_user", "client_id": "c", "client_secret": "s"}
            | {"refresh_token": "r"}
        )
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(ConfigurationError, match="DAYBOOK_DRIVE_SUBJECT"):
        drive_session("somchai@example.com", None)


def test_account_acts_for_the_user_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str
) -> None:
    log_in(monkeypatch, tmp_path, private_key, "http://127.0.0.1:1/")
    session = drive_session("somchai@example.com", None)
    assert session.credentials.signer_email == ACCOUNT  # type: ignore[attr-defined]


def metadata_server(connection: socket.socket, request: bytes) -> None:
    """What a function on Google Cloud finds at the metadata server."""
    path = request.split(b" ", 2)[1].decode()
    if "/token" in path:
        body, kind = TOKEN.encode(), "application/json"
    elif "/service-accounts/" in path:
        body, kind = json.dumps({"email": ACCOUNT, "scopes": []}).encode(), "application/json"
    elif path.endswith(("universe-domain", "universe_domain")):
        body, kind = b"googleapis.com", "text/plain"
    else:
        body, kind = b"a-project", "text/plain"
    connection.sendall(answer("200 OK", body, f"Content-Type: {kind}", "Metadata-Flavor: Google"))


def in_a_new_process(program: str, **environment: str) -> str:
    """Run a program; google-auth reads its settings only once, when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": "src", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_function_asks_the_metadata_server_whom_it_runs_as() -> None:
    program = (
        "from daybook.destinations.drive.drive import drive_session\n"
        "print(drive_session('somchai@example.com', None).credentials.signer_email)\n"
    )
    with serving(metadata_server) as url:
        host = url.removeprefix("http://").rstrip("/")
        said = in_a_new_process(
            program, NO_GCE_CHECK="false", GCE_METADATA_HOST=host, GCE_METADATA_IP=host
        )
    assert said.strip() == ACCOUNT


METADATA = """
from daybook.destinations.drive.drive import DriveDestination, drive_session
from daybook.errors import DaybookError
for subject in (None, "somchai@example.com"):
    try:
        session = drive_session(subject, None)
        DriveDestination(folder_id="f", session=session, root_url="http://127.0.0.1:1/").new_id()
    except DaybookError as error:
        print(type(error).__name__)
"""


@pytest.mark.parametrize("garbage", [key for key in GARBAGE if key not in ("nothing", "nonsense")])
def test_metadata_server_that_answers_garbage_is_an_error_of_ours(garbage: str) -> None:
    raw = GARBAGE[garbage].replace(b"\r\n", b"\r\nMetadata-Flavor: Google\r\n", 1)
    with serving(raw) as url:
        host = url.removeprefix("http://").rstrip("/")
        said = in_a_new_process(
            METADATA, NO_GCE_CHECK="false", GCE_METADATA_HOST=host, GCE_METADATA_IP=host
        )
    # google-auth takes a server that fails or redirects for none: not on Google Cloud then.
    absent = garbage in ("redirect to itself", "500")
    assert said.split() == ["ConfigurationError" if absent else "DestinationError"] * 2


def test_without_credentials_the_error_says_how_to_log_in() -> None:
    program = (
        "from daybook.destinations.drive.drive import drive_session\n"
        "from daybook.errors import ConfigurationError\n"
        "try:\n    drive_session(None, None)\n"
        "except ConfigurationError as error:\n    print(error)\n"
    )
    assert "application-default login" in in_a_new_process(program, NO_GCE_CHECK="true")
