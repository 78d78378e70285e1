"""What Drive may answer: each reason that Google gives, in each shape, and what is no answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from daybook.destinations.base import NewFile
from daybook.destinations.drive.drive import DriveDestination, drive_session
from daybook.destinations.drive.errors import (
    ADVICE,
    NO_ACCESS_ADVICE,
    PASSING,
    Effect,
    ErrorBody,
    refused,
)
from daybook.errors import (
    DestinationError,
    DestinationRefused,
    IdInvalid,
    IdTaken,
    SessionExpired,
    UncertainResponse,
)
from tests.contract.raw_server import answer, google_error, serving
from tests.emulators.drive import DriveEmulator

FILE = NewFile(id="1mT0kQ5zWc8rY3uJp7LhVb2XsGf6DnEaq", name="batch.csv", properties={})
CONTENT = b"content-of-the-file"


def destination_at(url: str, **options: Any) -> DriveDestination:
    return DriveDestination(
        folder_id="folder", session=drive_session(None, url), root_url=url, **options
    )


def error_of(status: int, reason: str, *, effect: Effect = Effect.CREATES) -> DestinationError:
    body = google_error(status, reason).partition(b"\r\n\r\n")[2]
    return refused("files.create", status, body, effect=effect)


# Reasons


@pytest.mark.parametrize("reason", sorted(PASSING))
def test_403_that_passes_is_tried_again(reason: str) -> None:
    assert type(error_of(403, reason)) is UncertainResponse
    assert type(error_of(403, reason, effect=Effect.NONE)) is DestinationError


@pytest.mark.parametrize("reason", sorted(ADVICE))
def test_403_that_lasts_comes_with_its_own_advice(reason: str) -> None:
    error = error_of(403, reason)
    assert type(error) is DestinationRefused
    assert str(error) == f"Drive files.create answered 403 {reason}. {ADVICE[reason]}"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("domainPolicy", "Google Workspace administrator"),
        ("quotaExceeded", "free or buy storage"),
        ("insufficientPermissions", "lacks the scope"),
        ("parentNotAFolder", "not that of a folder"),
        ("activeItemCreationLimitExceeded", "owns too many items"),
        ("userAccess", "DAYBOOK_DRIVE_SUBJECT may not use Drive"),
        ("uploadTooLarge", "DAYBOOK_MULTIPART_LIMIT_BYTES"),
        ("accessNotConfigured", "Enable the Google Drive API"),
        ("dailyLimitExceeded", "midnight Pacific time"),
        ("teamDriveMembershipRequired", "member of the drive itself"),
        ("accountDisabled", "enable it"),
    ],
)
def test_advice_fits_the_reason(reason: str, advice: str) -> None:
    assert advice in str(error_of(403, reason))
    assert NO_ACCESS_ADVICE not in str(error_of(403, reason))


@pytest.mark.parametrize("status", [403, 409, 429, 500])
def test_unknown_reason_is_shown_as_received_and_tried_again(status: int) -> None:
    body = google_error(status, "moonPhaseExceeded", message="Wait for the  moon.")
    error = refused("files.get", status, body.partition(b"\r\n\r\n")[2], effect=Effect.NONE)
    assert type(error) is DestinationError
    assert f"answered {status} moonPhaseExceeded (Wait for the moon.)" in str(error)
    assert "Contributor" not in str(error)


def test_413_says_what_to_lower() -> None:
    assert type(error_of(413, "uploadTooLarge")) is DestinationRefused


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("fileIdInUse", IdTaken),
        ("alreadyExists", IdTaken),
        ("duplicate", IdTaken),
        ("conflict", UncertainResponse),
        ("aborted", UncertainResponse),
        ("backendError", UncertainResponse),
        ("somethingNew", UncertainResponse),
    ],
)
def test_409_means_taken_only_when_it_says_so(reason: str, kind: type[DestinationError]) -> None:
    assert type(error_of(409, reason)) is kind


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error": {"code": 409}}'])
def test_409_without_a_reason_is_a_doubt(body: bytes) -> None:
    error = refused("files.create", 409, body, effect=Effect.CREATES)
    assert type(error) is UncertainResponse


def test_409_in_words_alone_means_taken() -> None:
    said = {"error": {"code": 409, "message": "A file already exists with the provided ID."}}
    error = refused("files.create", 409, json.dumps(said).encode(), effect=Effect.CREATES)
    assert type(error) is IdTaken


# Shapes of an error


def info(reason: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
    }


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("invalid_grant", "invalid_grant"),
        ({"code": 403, "status": "PERMISSION_DENIED", "message": "m"}, "PERMISSION_DENIED"),
        (
            {"status": "PERMISSION_DENIED", "details": [info("ACCESS_TOKEN_SCOPE_INSUFFICIENT")]},
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        ),
        (
            {
                "status": "PERMISSION_DENIED",
                "errors": [{"reason": "forbidden", "message": "m"}],
                "details": [info("SERVICE_DISABLED")],
            },
            "SERVICE_DISABLED",
        ),
        (
            {"errors": [{"reason": "somethingNew"}, {"reason": "userRateLimitExceeded"}]},
            "userRateLimitExceeded",
        ),
        ({"errors": [{"reason": "UrlLeaseLimitExceeded"}]}, "UrlLeaseLimitExceeded"),
        ({"errors": [{"reason": "not a word"}]}, ""),
        ({"errors": [{"reason": 7}]}, ""),
        ({"errors": "none", "details": {"reason": "x"}}, ""),
        ({"errors": [None, 1, "x", {}]}, ""),
        (["x"], ""),
        (None, ""),
    ],
)
def test_reason_is_found_in_every_shape(error: object, reason: str) -> None:
    assert ErrorBody.read(json.dumps({"error": error}).encode()).reason == reason


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{}", b"\xff\xfe", b"<html>", b"[" * 100_000, b"x" * 1_000_000]
)
def test_body_that_is_no_error_of_google_has_no_reason(body: bytes) -> None:
    assert ErrorBody.read(body) == ErrorBody()


def test_message_never_quotes_an_address() -> None:
    words = "see https://www.googleapis.com/upload?key=secret now"
    for message in (words, "upload_id=secret"):
        body = json.dumps({"error": {"errors": [{"reason": "new", "message": message}]}})
        assert "secret" not in str(refused("x", 400, body.encode(), effect=Effect.NONE))


# Answers that are no answer

Act = Callable[[DriveDestination, str], object]
ACTS: dict[str, Act] = {
    "new_id": lambda drive, url: drive.new_id(),
    "send_whole": lambda drive, url: drive.send_whole(FILE, CONTENT),
    "open_session": lambda drive, url: drive.open_session(FILE),
    "send_chunk": lambda drive, url: drive.send_chunk(
        f"{url}session", CONTENT, offset=0, last=True
    ),
    "held": lambda drive, url: drive.held(f"{url}session"),
    "look": lambda drive, url: drive.find_file(FILE.id),
    "describe": lambda drive, url: drive.describe(FILE.id, "note"),
    "read": lambda drive, url: list(drive.read(FILE.id, FILE.name)),
}
JSON = "Content-Type: application/json"
HTML = b"<!DOCTYPE html><title>Sign in</title>"
HOSTILE = {
    "page": answer("200 OK", HTML, "Content-Type: text/html"),
    "empty": answer("200 OK", b"", JSON),
    "list": answer("200 OK", b"[]", JSON),
    "text": answer("200 OK", b'"ok"', JSON),
    "truncated": answer("200 OK", b'{"id": "1mT0k', JSON),
    "not utf-8": answer("200 OK", b'{"id": "\xff"}', JSON),
    "nested": answer("200 OK", b"[" * 200_000, JSON),
    "empty object": answer("200 OK", b"{}", JSON),
    "wrong types": answer("200 OK", b'{"id": 7, "ids": 7, "size": [], "name": {}}', JSON),
    "many digits": answer(
        "200 OK",
        b'{"id": "%s", "name": "n", "md5Checksum": "m", "size": "%s"}'
        % (FILE.id.encode(), b"9" * 5000),
        JSON,
    ),
    "short body": answer("200 OK", b"{}", JSON).replace(b"Length: 2", b"Length: 200"),
    "gzip that is none": answer("200 OK", b"{}", JSON, "Content-Encoding: gzip"),
    "redirect": answer("302 Found", b"", "Location: https://accounts.google.com/signin"),
    "redirect to itself": answer("307 -", b"", "Location: /"),
    "strange address": answer("200 OK", b"{}", JSON, "Location: http://[::1"),
    "308": answer("308 -", b"", "Range: bytes=0-" + "9" * 5000),
    "500 of 1 MB": answer("500 -", b"x" * 1_000_000),
    "403 of 1 MB": answer("403 -", b'{"error": {"message": "%s"}}' % (b"x" * 1_000_000), JSON),
    "400 as text": answer("400 -", b'{"error": "invalid_request"}', JSON),
    "418": answer("418 -", b""),
    "nonsense": b"nonsense\r\n\r\n",
    "nothing": b"",
}


def says_enough(act: str, hostile: str) -> bool:
    """Of the answer to a note the status alone counts, of that to a whole file the id."""
    if act == "describe":
        return hostile not in ("short body", "gzip that is none") and (
            HOSTILE[hostile].startswith(b"HTTP/1.1 200")
        )
    return act == "send_whole" and hostile == "many digits"


@pytest.mark.parametrize(
    ("act", "hostile"),
    [(act, hostile) for act in ACTS for hostile in HOSTILE if not says_enough(act, hostile)],
)
def test_hostile_answer_is_an_error_of_the_port(act: str, hostile: str) -> None:
    with serving(HOSTILE[hostile]) as url:
        destination = destination_at(url, request_timeout_seconds=5)
        with pytest.raises(DestinationError) as caught:
            ACTS[act](destination, url)
    assert not isinstance(caught.value, IdTaken | IdInvalid | SessionExpired)
    assert len(str(caught.value)) < 1000
    if act in ("send_whole", "send_chunk") and hostile not in ("400 as text", "418"):
        assert type(caught.value) is UncertainResponse


@pytest.mark.parametrize(
    "found",
    [
        {"id": "another"},
        {"id": None},
        {"name": None},
        {"size": None},
        {"size": "many"},
        {"size": 3},
        {"size": "٣"},
        {"md5Checksum": None},
        {"md5Checksum": 7},
    ],
    ids=str,
)
def test_file_with_a_field_missing_or_wrong_is_asked_for_again(found: dict[str, Any]) -> None:
    whole = {"id": FILE.id, "name": "n", "size": "3", "md5Checksum": "abc"}
    body = {key: value for key, value in {**whole, **found}.items() if value is not None}
    with (
        serving(answer("200 OK", json.dumps(body).encode(), JSON)) as url,
        pytest.raises(DestinationError) as caught,
    ):
        destination_at(url).find_file(FILE.id)
    assert type(caught.value) is DestinationError


@pytest.mark.parametrize(
    "ids", [[], ["a", "b"], [""], [None], [7], ["a/b"], ["a" * 101], "abc", None], ids=str
)
def test_answer_without_exactly_one_id_is_asked_for_again(ids: object) -> None:
    with (
        serving(answer("200 OK", json.dumps({"ids": ids}).encode(), JSON)) as url,
        pytest.raises(DestinationError, match="answered with") as caught,
    ):
        destination_at(url).new_id()
    assert type(caught.value) is DestinationError


@pytest.mark.parametrize("kind", ["empty_json", "truncated_json"])
@pytest.mark.parametrize("operation", ["create_multipart", "chunk_last"])
def test_file_whose_answer_says_nothing_is_found_by_its_id(
    drive: DriveEmulator, kind: str, operation: str
) -> None:
    destination = DriveDestination(
        folder_id=drive.folder_id, session=drive_session(None, drive.url), root_url=drive.url
    )
    file = NewFile(id=destination.new_id(), name="batch.csv", properties={})
    drive.fault(kind, on=operation)
    session = destination.open_session(file)
    send = {
        "create_multipart": lambda: destination.send_whole(file, CONTENT),
        "chunk_last": lambda: destination.send_chunk(session, CONTENT, offset=0, last=True),
    }
    with pytest.raises(UncertainResponse):
        send[operation]()
    found = destination.find_file(file.id)
    assert found is not None
    assert (found.id, found.size_bytes) == (file.id, len(CONTENT))
