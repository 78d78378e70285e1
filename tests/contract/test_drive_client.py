"""How the Drive client reads faults, and that it gives no secret away."""

from __future__ import annotations

import logging
import socket
import threading
import time
import traceback
from dataclasses import replace
from secrets import token_hex
from typing import Any

import pytest
import requests

from daybook.destinations.base import NewFile
from daybook.destinations.drive.drive import DriveDestination, drive_session
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

NAME = "batch_2026-01-18.csv"
CONTENT = b"content-of-the-file"
CHUNK = b"content-of-a-chunk".ljust(256 * 1024, b".")


def destination_at(url: str, *, folder_id: str = "folder", **options: Any) -> DriveDestination:
    return DriveDestination(
        folder_id=folder_id, session=drive_session(None, url), root_url=url, **options
    )


def new_file(destination: DriveDestination) -> NewFile:
    return NewFile(id=destination.new_id(), name=NAME, properties={"profile": "daily"})


@pytest.fixture
def destination(drive: DriveEmulator) -> DriveDestination:
    return destination_at(drive.url, folder_id=drive.folder_id)


class Act:
    """The requests that a fault can strike, each ready to be made."""

    def __init__(self, destination: DriveDestination) -> None:
        self.destination = destination
        self.file = new_file(destination)
        self.other = new_file(destination)
        destination.send_whole(self.other, CONTENT)
        self.session = destination.open_session(self.file)

    def generateIds(self) -> object:  # noqa: N802 - the operation's name
        return self.destination.new_id()

    def create_multipart(self) -> object:
        return self.destination.send_whole(self.file, CONTENT)

    def session_open(self) -> object:
        return self.destination.open_session(self.file)

    def chunk(self) -> object:
        return self.destination.send_chunk(self.session, CHUNK, offset=0, last=False)

    def chunk_last(self) -> object:
        return self.destination.send_chunk(self.session, CONTENT, offset=0, last=True)

    def session_query(self) -> object:
        return self.destination.held(self.session)

    def get(self) -> object:
        return self.destination.find_file(self.other.id)

    def update(self) -> object:
        return self.destination.describe(self.other.id, "note")

    def download(self) -> object:
        return list(self.destination.read(self.other.id, NAME))


READS = ["generateIds", "get", "download", "session_query"]
CHANGES = ["create_multipart", "session_open", "chunk", "chunk_last", "update"]
CREATES = ["create_multipart", "session_open", "chunk_last"]
IN_SESSION = ["chunk", "chunk_last", "session_query"]
UNANSWERED = {
    "answer_lost": {"kind": "answer_lost"},
    "answer_cut": {"kind": "answer_cut"},
    "cut_before": {"kind": "cut_before"},
    "500": {"kind": "status", "status": 500},
    "503 after": {"kind": "status", "status": 503, "after": True},
    "504": {"kind": "status", "status": 504},
    "408": {"kind": "status", "status": 408, "reason": "requestTimeout"},
    "429": {"kind": "status", "status": 429},
    "403 rate": {"kind": "status", "status": 403, "reason": "rateLimitExceeded"},
    "403 user rate": {"kind": "status", "status": 403, "reason": "userRateLimitExceeded"},
    "502 page": {"kind": "html_page"},
    "403 page": {"kind": "html_page", "status": 403},
    "409 conflict": {"kind": "status", "status": 409, "reason": "conflict"},
    "409 page": {"kind": "html_page", "status": 409},
}


def struck(
    drive: DriveEmulator, destination: DriveDestination, operation: str, **fault: Any
) -> DestinationError:
    act = Act(destination)
    planned = drive.fault(on=operation, **fault)
    with pytest.raises(DestinationError) as caught:
        getattr(act, operation)()
    assert planned.hits == 1, "the client made another request"
    return caught.value


@pytest.mark.parametrize("fault", UNANSWERED.values(), ids=UNANSWERED)
@pytest.mark.parametrize("operation", READS)
def test_read_without_a_good_answer_is_a_passing_error(
    drive: DriveEmulator, destination: DriveDestination, operation: str, fault: dict[str, Any]
) -> None:
    assert type(struck(drive, destination, operation, **fault)) is DestinationError


@pytest.mark.parametrize("fault", UNANSWERED.values(), ids=UNANSWERED)
@pytest.mark.parametrize("operation", CHANGES)
def test_change_without_a_good_answer_is_a_doubt(
    drive: DriveEmulator, destination: DriveDestination, operation: str, fault: dict[str, Any]
) -> None:
    assert type(struck(drive, destination, operation, **fault)) is UncertainResponse


@pytest.mark.parametrize("operation", ["create_multipart", "chunk", "chunk_last"])
def test_body_that_was_cut_is_a_doubt(
    drive: DriveEmulator, destination: DriveDestination, operation: str
) -> None:
    assert type(struck(drive, destination, operation, kind="cut_body")) is UncertainResponse


@pytest.mark.parametrize("operation", ["generateIds", "get"])
def test_truncated_json_of_a_read_is_a_passing_error(
    drive: DriveEmulator, destination: DriveDestination, operation: str
) -> None:
    error = struck(drive, destination, operation, kind="truncated_json")
    assert type(error) is DestinationError


@pytest.mark.parametrize("operation", ["create_multipart", "chunk_last"])
def test_truncated_json_of_a_create_is_a_doubt(
    drive: DriveEmulator, destination: DriveDestination, operation: str
) -> None:
    error = struck(drive, destination, operation, kind="truncated_json")
    assert type(error) is UncertainResponse
    assert len(drive.files(drive.folder_id)) == 2


@pytest.mark.parametrize(
    ("kind", "effect"), [("answer_lost", 2), ("answer_cut", 2), ("cut_before", 1), ("cut_body", 1)]
)
def test_doubt_is_settled_by_looking(
    drive: DriveEmulator, destination: DriveDestination, kind: str, effect: int
) -> None:
    act = Act(destination)
    drive.fault(kind, on="chunk_last")
    with pytest.raises(UncertainResponse):
        act.chunk_last()
    assert len(drive.files(drive.folder_id)) == effect
    assert (destination.find_file(act.file.id) is not None) == (effect == 2)


@pytest.mark.parametrize("held", ["hold_before", "hold_after"])
@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("create_multipart", UncertainResponse),
        ("chunk_last", UncertainResponse),
        ("get", DestinationError),
        ("session_query", DestinationError),
    ],
)
def test_answer_that_does_not_come_ends_in_time(
    drive: DriveEmulator, held: str, operation: str, kind: type[DestinationError]
) -> None:
    act = Act(destination_at(drive.url, folder_id=drive.folder_id))
    act.destination = destination_at(
        drive.url, folder_id=drive.folder_id, request_timeout_seconds=0.2
    )
    drive.fault(held, on=operation)
    with pytest.raises(DestinationError) as caught:
        getattr(act, operation)()
    assert type(caught.value) is kind
    drive.release()


@pytest.mark.parametrize("operation", CREATES)
def test_conflict_means_that_the_id_is_taken(
    drive: DriveEmulator, destination: DriveDestination, operation: str
) -> None:
    error = struck(drive, destination, operation, kind="status", status=409)
    assert type(error) is IdTaken
    assert "409 fileIdInUse" in str(error)


@pytest.mark.parametrize("at_start", [True, False])
def test_conflict_is_found_at_the_start_or_the_end_of_a_session(
    drive: DriveEmulator, destination: DriveDestination, at_start: bool
) -> None:
    drive.conflict_at_session_start = at_start
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    with pytest.raises(IdTaken):
        destination.send_chunk(destination.open_session(file), b"other", offset=0, last=True)


@pytest.mark.parametrize("operation", ["create_multipart", "session_open"])
def test_id_of_another_account_is_invalid(drive: DriveEmulator, operation: str) -> None:
    act = Act(destination_at(drive.url, folder_id=drive.folder_id))
    act.file = NewFile(id=drive.issue_id("somebody-else"), name=NAME, properties={})
    with pytest.raises(IdInvalid, match="400"):
        getattr(act, operation)()


@pytest.mark.parametrize("operation", CREATES)
def test_other_bad_request_does_not_blame_the_id(
    drive: DriveEmulator, destination: DriveDestination, operation: str
) -> None:
    error = struck(drive, destination, operation, kind="status", status=400, reason="badRequest")
    assert type(error) is DestinationError
    assert "400 badRequest" in str(error)


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("operation", IN_SESSION)
def test_session_that_expired_is_gone(
    drive: DriveEmulator, destination: DriveDestination, operation: str, status: int
) -> None:
    error = struck(drive, destination, operation, kind="session_expired", status=status)
    assert type(error) is SessionExpired


@pytest.mark.parametrize(
    ("status", "reason", "advice"),
    [
        (401, "authError", "service account"),
        (403, "storageQuotaExceeded", "shared drive"),
        (403, "insufficientFilePermissions", "Contributor"),
        (403, "accessNotConfigured", "Enable the Google Drive API"),
        (403, "dailyLimitExceeded", "quota"),
        (403, "teamDriveFileLimitExceeded", "shared drive is full"),
        (404, "notFound", "DAYBOOK_DESTINATION"),
    ],
)
def test_lasting_refusal_says_what_to_do(
    drive: DriveEmulator, destination: DriveDestination, status: int, reason: str, advice: str
) -> None:
    error = struck(
        drive, destination, "create_multipart", kind="status", status=status, reason=reason
    )
    assert type(error) is DestinationRefused
    assert error.permanent
    assert f"answered {status} {reason}" in str(error)
    assert advice in str(error)


def test_chunk_of_which_a_part_was_taken_says_how_much(
    drive: DriveEmulator, destination: DriveDestination
) -> None:
    session = destination.open_session(new_file(destination))
    drive.fault("partial_chunk", on="chunk", at_bytes=len(CHUNK))
    held = destination.send_chunk(session, CHUNK * 3, offset=0, last=False)
    assert (held.size_bytes, held.complete) == (len(CHUNK), False)


def test_digest_is_the_one_that_drive_reports(
    drive: DriveEmulator, destination: DriveDestination
) -> None:
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    honest = destination.find_file(file.id)
    drive.fault("lying_md5", on="get")
    lying = destination.find_file(file.id)
    assert honest is not None
    assert lying is not None
    assert honest.md5 != lying.md5


def test_query_never_names_a_total(drive: DriveEmulator, destination: DriveDestination) -> None:
    act = Act(destination)
    act.chunk()
    act.session_query()
    asked = [request for request in drive.requests if request.method == "PUT"][-1]
    assert asked.content_range == "bytes */*"


def test_folder_that_is_missing_is_refused(drive: DriveEmulator) -> None:
    issuer = destination_at(drive.url)
    file = new_file(issuer)
    for create in (lambda: issuer.send_whole(file, CONTENT), lambda: issuer.open_session(file)):
        with pytest.raises(DestinationRefused, match="DAYBOOK_DESTINATION"):
            create()
    (finding,) = issuer.check()
    assert not finding.ok
    assert "DAYBOOK_DESTINATION" in finding.detail


def test_for_a_service_account_without_storage_the_error_says_where_to_put_the_folder(
    drive: DriveEmulator,
) -> None:
    destination = destination_at(drive.url, folder_id=drive.my_drive_folder_id)
    with pytest.raises(DestinationRefused, match=r"shared drive .*DAYBOOK_DRIVE_SUBJECT"):
        destination.send_whole(new_file(destination), CONTENT)
    bad = [finding for finding in destination.check() if not finding.ok]
    assert [finding.name for finding in bad] == ["drive storage"]
    assert "DAYBOOK_DRIVE_SUBJECT" in bad[0].detail


def test_folder_of_a_user_will_do_when_acting_for_one(drive: DriveEmulator) -> None:
    destination = destination_at(
        drive.url, folder_id=drive.my_drive_folder_id, subject="somchai@example.com"
    )
    assert all(finding.ok for finding in destination.check())


def test_reader_of_the_folder_is_refused(drive: DriveEmulator) -> None:
    destination = destination_at(drive.url, folder_id=drive.read_only_folder_id)
    with pytest.raises(DestinationRefused, match="Contributor"):
        destination.send_whole(new_file(destination), CONTENT)
    bad = [finding for finding in destination.check() if not finding.ok]
    assert [finding.name for finding in bad] == ["drive access"]


def test_file_in_place_of_the_folder_fails_the_check(drive: DriveEmulator) -> None:
    planted = drive.plant(CONTENT, name="a file")
    findings = destination_at(drive.url, folder_id=planted.id).check()
    assert "is not a folder" in findings[0].detail
    assert not findings[0].ok


def test_file_in_the_trash_is_not_taken_for_delivered(
    drive: DriveEmulator, destination: DriveDestination
) -> None:
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    drive.world.items[file.id].trashed = True
    with pytest.raises(DestinationRefused, match="trash"):
        destination.find_file(file.id)
    with pytest.raises(DestinationRefused, match="trash"):
        next(destination.read(file.id, file.name))


def test_file_arrives_as_plain_csv(drive: DriveEmulator, destination: DriveDestination) -> None:
    destination.send_whole(new_file(destination), CONTENT)
    session = destination.open_session(new_file(destination))
    destination.send_chunk(session, CONTENT, offset=0, last=True)
    assert [file.mime_type for file in drive.files(drive.folder_id)] == ["text/csv"] * 2


def test_note_is_in_the_description(drive: DriveEmulator, destination: DriveDestination) -> None:
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    destination.describe(file.id, "รวม 1.00")
    assert drive.files(drive.folder_id)[0].description == "รวม 1.00"


def test_note_may_come_with_the_file(drive: DriveEmulator, destination: DriveDestination) -> None:
    file = replace(new_file(destination), description="รวม 1.00")
    told = destination.send_whole(file, CONTENT)
    assert drive.files(drive.folder_id)[0].description == "รวม 1.00"
    assert told is not None
    assert told.description == "รวม 1.00"
    assert [request.operation for request in drive.requests] == ["generateIds", "create_multipart"]


SENT = ["create_multipart", "chunk_last"]
NEEDED = ["name", "size", "md5Checksum", "webViewLink", "appProperties", "trashed"]


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: None} for name in NEEDED if name != "size"),
        *({name: 7} for name in NEEDED if name != "size"),
        {"trashed": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("operation", SENT)
def test_answer_without_each_field_does_not_describe_the_new_file(
    drive: DriveEmulator, destination: DriveDestination, operation: str, wrong: dict[str, Any]
) -> None:
    act = Act(destination)
    drive.fault("wrong_fields", on=operation, fields=wrong)
    told = getattr(act, operation)()
    assert (told if operation == "create_multipart" else told.file) is None
    assert destination.find_file(act.file.id) is not None


@pytest.mark.parametrize("fields", [{"size": None}, {"size": "many"}], ids=str)
def test_answer_to_a_whole_file_without_its_size_does_not_describe_it(
    drive: DriveEmulator, destination: DriveDestination, fields: dict[str, Any]
) -> None:
    drive.fault("wrong_fields", on="create_multipart", fields=fields)
    assert destination.send_whole(new_file(destination), CONTENT) is None


@pytest.mark.parametrize("operation", SENT)
def test_answer_is_passed_on_as_received(
    drive: DriveEmulator, destination: DriveDestination, operation: str
) -> None:
    """Whether it is the file that was sent, the caller compares."""
    act = Act(destination)
    wrong = {"name": "another", "size": "3", "md5Checksum": "0" * 32, "appProperties": {"a": "b"}}
    drive.fault("wrong_fields", on=operation, fields=wrong)
    told = getattr(act, operation)()
    file = told if operation == "create_multipart" else told.file
    assert (file.name, file.size_bytes, file.md5, file.properties) == (
        "another",
        3,
        "0" * 32,
        {"a": "b"},
    )


@pytest.mark.parametrize("end", ["", "/", "//"])
def test_root_url_may_end_in_a_slash_or_not(drive: DriveEmulator, end: str) -> None:
    destination = destination_at(drive.url.rstrip("/") + end, folder_id=drive.folder_id)
    act = Act(destination)
    act.chunk()
    act.session_query()
    assert act.get()
    assert destination.identity == f"drive:service-account@{drive.url}"


def test_identity_changes_with_the_user(drive: DriveEmulator) -> None:
    subject = destination_at(drive.url, subject="somchai@example.com")
    assert subject.identity == f"drive:somchai@example.com@{drive.url}"


def test_server_that_is_down_was_sent_nothing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        destination = destination_at(f"http://127.0.0.1:{unused.getsockname()[1]}/")
        with pytest.raises(DestinationError) as caught:
            destination.send_whole(NewFile(id="x", name=NAME, properties={}), CONTENT)
    assert type(caught.value) is DestinationError


FILE = NewFile(id="file-id", name=NAME, properties={})
LOOK = b'{"id": "file-id", "name": "n", "size": "3", "md5Checksum": "abc"}'


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (answer("404 Not Found", b"<html>"), DestinationError),
        (google_error(404, "unknownRoute"), DestinationError),
        (answer("302 Found", b"", "Location: http://127.0.0.1:1/"), DestinationError),
        (answer("200 OK", LOOK.replace(b'"md5Checksum"', b'"x"')), DestinationError),
        (answer("200 OK", LOOK.replace(b'"size"', b'"x"')), DestinationError),
        (answer("200 OK", b"[]"), DestinationError),
        (answer("200 OK", b""), DestinationError),
    ],
    ids=["page", "other reason", "redirect", "no md5", "no size", "list", "empty"],
)
def test_look_never_takes_a_strange_answer_for_no_file(
    raw: bytes, kind: type[DestinationError]
) -> None:
    with serving(raw) as url, pytest.raises(DestinationError) as caught:
        destination_at(url).find_file("file-id")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "raw",
    [
        answer("308 Resume Incomplete", b"", "Range: bytes=5-9"),
        answer("308 Resume Incomplete", b"", "Range: nonsense"),
        answer("200 OK", b'{"id": "file-id"}'),
        answer("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/"),
    ],
    ids=["gap", "no range", "no size", "redirect"],
)
def test_chunk_with_a_strange_answer_is_a_doubt(raw: bytes) -> None:
    with serving(raw) as url, pytest.raises(UncertainResponse):
        destination_at(url).send_chunk(f"{url}session", CONTENT, offset=0, last=True)


def test_whole_file_under_another_id_is_refused_for_good() -> None:
    with (
        serving(answer("200 OK", b'{"id": "another"}')) as url,
        pytest.raises(DestinationRefused, match=f"another.*{FILE.id}"),
    ):
        destination_at(url).send_whole(FILE, CONTENT)


@pytest.mark.parametrize(
    "error",
    [
        google_error(400, "invalid", message="The provided file ID is not usable."),
        google_error(400, "invalid", location="file.id"),
        google_error(400, "fileIdInvalid"),
    ],
    ids=["message", "location", "reason"],
)
def test_words_about_the_id_make_it_invalid(error: bytes) -> None:
    with serving(error) as url, pytest.raises(IdInvalid):
        destination_at(url).send_whole(FILE, CONTENT)


@pytest.mark.parametrize("place", ["head", "body"])
def test_answer_that_trickles_ends_in_time(place: str) -> None:
    begin = {"head": b"HTTP/1.1 200 OK\r\nX-Slow: ", "body": answer("200 OK", b"x" * 100_000)}
    over = threading.Event()

    def trickle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(begin[place][:80])
        while not over.wait(0.02):
            connection.sendall(b"x")

    with serving(trickle) as url:
        destination = destination_at(url, request_timeout_seconds=0.4)
        started = time.monotonic()
        with pytest.raises(UncertainResponse, match=r"no answer within 0\.4 s"):
            destination.send_whole(FILE, CONTENT)
        took_seconds = time.monotonic() - started
        over.set()
    assert 0.4 <= took_seconds < 5


def test_sending_stops_when_the_time_is_over() -> None:
    received = threading.Event()
    totals: list[int] = []

    def sip(connection: socket.socket, request: bytes) -> None:
        total = 0
        while block := connection.recv(16384):
            total += len(block)
            received.wait(0.002)
        totals.append(total)
        received.set()

    content = b"x" * (32 * 1024 * 1024)
    with serving(sip) as url:
        with pytest.raises(UncertainResponse):
            destination_at(url, request_timeout_seconds=0.3).send_whole(FILE, content)
        assert received.wait(20), "the connection was never closed"
    assert totals[0] < len(content)


@pytest.mark.parametrize(
    "session",
    [
        "https://evil.example.com/upload?upload_id=secret",
        "http://www.googleapis.com/upload?upload_id=secret",
        "https://www.googleapis.com.evil.example.com/",
        "https://evilgoogleapis.com/",
        "file:///etc/passwd",
    ],
)
def test_token_is_sent_to_google_only(session: str) -> None:
    class Unused(requests.Session):
        def request(self, *args: object, **options: object) -> requests.Response:
            raise AssertionError("a request was made")

    destination = DriveDestination(folder_id="folder", session=Unused())
    with pytest.raises(SessionExpired) as caught:
        destination.held(session)
    with pytest.raises(SessionExpired):
        destination.send_chunk(session, CONTENT, offset=0, last=True)
    assert "secret" not in str(caught.value)


FAULTS: list[dict[str, Any]] = [
    {"kind": "answer_lost"},
    {"kind": "answer_cut"},
    {"kind": "cut_before"},
    {"kind": "cut_body"},
    {"kind": "truncated_json"},
    {"kind": "html_page"},
    {"kind": "session_expired"},
    *({"kind": "status", "status": status} for status in (400, 401, 403, 404, 409, 429, 500)),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault['kind']}{fault.get('status')}")
def test_no_error_or_log_gives_away_session_or_content(
    drive: DriveEmulator,
    destination: DriveDestination,
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
) -> None:
    caplog.set_level(logging.DEBUG)
    act = Act(destination)
    secret = act.session.partition("upload_id=")[2].partition("&")[0]
    assert len(secret) > 20
    drive.fault(on="chunk_last", **fault)
    with pytest.raises(DestinationError) as caught:
        act.chunk_last()
    for text in ("".join(traceback.format_exception(caught.value)), caplog.text):
        assert secret not in text
        assert "content-of" not in text


def test_connection_that_fails_does_not_quote_the_session(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = token_hex(16)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(DestinationError) as caught:
            destination_at(url).held(f"{url}?upload_id={secret}")
    assert secret not in "".join(traceback.format_exception(caught.value)) + caplog.text
