"""Faults strike where and as often as they are planned, and hooks see each request."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from tests.contract.drive_emulator.calls import (
    UNIT,
    Client,
    metadata_of,
    refused,
)
from tests.emulators.drive import DriveEmulator
from tests.emulators.drive.faults import FaultKind
from tests.emulators.drive.log import Moment


def test_lost_answer_leaves_the_file_behind(drive: DriveEmulator, client: Client) -> None:
    fault = drive.fault("answer_lost", on="create_multipart")
    with pytest.raises(requests.ConnectionError):
        client.create(metadata_of(drive), b"a")
    assert (fault.hits, len(drive.files())) == (1, 1)
    assert client.create(metadata_of(drive), b"b").status_code == 200


def test_cut_before_the_act_leaves_nothing(drive: DriveEmulator, client: Client) -> None:
    drive.fault("cut_before", on="create_multipart", nth=2)
    assert client.create(metadata_of(drive), b"a").status_code == 200
    moments: list[Moment] = []
    drive.on_request(moments.append)
    with pytest.raises(requests.ConnectionError):
        client.create(metadata_of(drive), b"b")
    assert [file.content for file in drive.files()] == [b"a"]
    assert [(moment.stage, moment.nth) for moment in moments] == [("before", 2)]


def test_cut_within_the_body_keeps_whole_units_of_a_chunk(
    drive: DriveEmulator, client: Client
) -> None:
    session = client.session(metadata_of(drive))
    drive.fault("cut_body", on="chunk", at_bytes=2 * UNIT + 7)
    with pytest.raises(requests.ConnectionError):
        client.put(session, f"bytes 0-{4 * UNIT - 1}/*", b"a" * 4 * UNIT)
    drive.wait_for("chunk", acted=True)
    query = client.put(session, "bytes */*")
    assert query.headers["Range"] == f"bytes=0-{2 * UNIT - 1}"
    drive.fault("cut_body", on="create_multipart")
    with pytest.raises(requests.ConnectionError):
        client.create(metadata_of(drive), b"a" * UNIT)
    assert drive.files() == []


def test_client_that_dies_within_the_last_chunk_leaves_whole_units(
    drive: DriveEmulator, client: Client
) -> None:
    session = urlsplit(client.session(metadata_of(drive)))
    total = 3 * UNIT
    head = (
        f"PUT {session.path}?{session.query} HTTP/1.1\r\nHost: {session.netloc}\r\n"
        f"Content-Length: {total}\r\nContent-Range: bytes 0-{total - 1}/{total}\r\n\r\n"
    )
    with socket.create_connection((session.hostname or "", session.port or 0)) as connection:
        connection.sendall(head.encode() + b"a" * (2 * UNIT + 100))
    drive.wait_for("chunk_last", acted=True)
    assert drive.files() == []
    assert drive.sessions()[0].held_bytes == 2 * UNIT
    rest = client.put(session.geturl(), f"bytes {2 * UNIT}-{total - 1}/{total}", b"a" * UNIT)
    assert rest.status_code == 200


@pytest.mark.parametrize("kind", ["answer_cut", "answer_lost"])
def test_session_shows_a_chunk_whose_answer_was_lost(
    drive: DriveEmulator, client: Client, kind: str
) -> None:
    session = client.session(metadata_of(drive))
    drive.fault(kind, on="chunk")
    with pytest.raises(requests.RequestException):
        client.put(session, f"bytes 0-{UNIT - 1}/*", b"a" * UNIT)
    assert client.put(session, "bytes */*").headers["Range"] == f"bytes=0-{UNIT - 1}"


@pytest.mark.parametrize(
    ("status", "reason", "seen"),
    [
        (500, None, (500, "internalError")),
        (502, None, (502, "backendError")),
        (503, None, (503, "backendError")),
        (429, None, (429, "rateLimitExceeded")),
        (403, "userRateLimitExceeded", (403, "userRateLimitExceeded")),
        (403, "dailyLimitExceeded", (403, "dailyLimitExceeded")),
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_status_fault_strikes_before_or_after_the_act(
    drive: DriveEmulator,
    client: Client,
    status: int,
    reason: str | None,
    seen: tuple[int, str],
    after: bool,
) -> None:
    drive.fault("status", on="create_multipart", status=status, reason=reason, after=after)
    assert refused(client.create(metadata_of(drive), b"a")) == seen
    assert len(drive.files()) == int(after)


def test_fault_strikes_as_often_as_planned(drive: DriveEmulator, client: Client) -> None:
    drive.fault("status", on="get", status=503, nth=2, times=2)
    codes = [client.get(drive.folder_id).status_code for _ in range(4)]
    assert codes == [200, 503, 503, 200]
    drive.fault("status", status=500, times=None)
    assert {client.get(drive.folder_id).status_code for _ in range(3)} == {500}
    drive.faults.clear()
    assert client.get(drive.folder_id).status_code == 200
    with pytest.raises(ValueError, match="unknown operations"):
        drive.fault("status", on="upload", status=500)


@pytest.mark.parametrize("status", [404, 410])
def test_session_can_be_made_to_expire(drive: DriveEmulator, client: Client, status: int) -> None:
    session = client.session(metadata_of(drive))
    drive.fault("session_expired", on="chunk", status=status)
    assert client.put(session, f"bytes 0-{UNIT - 1}/*", b"a" * UNIT).status_code == status
    assert client.put(session, "bytes */*").status_code == status


def test_partial_chunk_is_rounded_down(drive: DriveEmulator, client: Client) -> None:
    total = 3 * UNIT
    session = client.session(metadata_of(drive))
    drive.fault("partial_chunk", on="chunk_last", at_bytes=2 * UNIT - 1)
    answer = client.put(session, f"bytes 0-{total - 1}/{total}", b"a" * total)
    assert (answer.status_code, answer.headers["Range"]) == (308, f"bytes=0-{UNIT - 1}")
    rest = client.put(session, f"bytes {UNIT}-{total - 1}/{total}", b"a" * 2 * UNIT)
    assert rest.status_code == 200


def test_malformed_answers(drive: DriveEmulator, client: Client) -> None:
    drive.fault("html_page", on="get")
    page = client.get(drive.folder_id)
    assert (page.status_code, page.headers["Content-Type"]) == (502, "text/html; charset=UTF-8")
    drive.fault("truncated_json", on="get")
    with pytest.raises(requests.JSONDecodeError):
        client.get(drive.folder_id).json()
    file = drive.plant(b"a", name="a.csv")
    drive.fault(FaultKind.LYING_MD5, on="get")
    claimed = [client.get(file.id, fields="md5Checksum").json()["md5Checksum"] for _ in range(2)]
    assert claimed == ["0" * 32, file.md5]


def test_held_request_acts_after_its_client_has_gone(drive: DriveEmulator, client: Client) -> None:
    drive.fault("hold_before", on="create_multipart")
    impatient = Client(drive.url, timeout_seconds=0.1)
    with pytest.raises(requests.Timeout):
        impatient.create(metadata_of(drive), b"late")
    impatient.http.close()
    assert drive.files() == []
    drive.release()
    drive.wait_for("create_multipart", acted=True)
    assert [file.content for file in drive.files()] == [b"late"]


def test_slowness_lasts_as_long_as_asked(drive: DriveEmulator, client: Client) -> None:
    def seconds_of(content: bytes) -> float:
        start = time.monotonic()
        assert client.create(metadata_of(drive), content).status_code == 200
        return time.monotonic() - start

    drive.bytes_per_second = 1_000_000
    assert seconds_of(b"a" * 100_000) >= 0.1
    drive.bytes_per_second = None
    drive.latency_seconds = 0.05
    drive.fault("delay_before", on="create_multipart", seconds=0.05)
    drive.fault("delay_after", on="create_multipart", seconds=0.05)
    assert seconds_of(b"") >= 0.15


def test_drive_can_be_down(drive: DriveEmulator, client: Client) -> None:
    drive.down = True
    assert refused(client.create(metadata_of(drive), b"a")) == (503, "backendError")
    drive.down = "cut"
    with pytest.raises(requests.ConnectionError):
        client.create(metadata_of(drive), b"a")
    drive.down = False
    assert client.get(drive.folder_id).status_code == 200
    assert drive.files() == []


def test_hooks_see_each_request_before_and_after_its_act(
    drive: DriveEmulator, client: Client
) -> None:
    seen: list[tuple[Moment, int]] = []
    drive.on_request(lambda moment: seen.append((moment, len(drive.files()))))
    client.get(drive.folder_id)
    client.create(metadata_of(drive), b"a")
    assert [(m.stage, m.operation, m.number, m.nth, files) for m, files in seen] == [
        ("before", "get", 1, 1, 0),
        ("after", "get", 1, 1, 0),
        ("before", "create_multipart", 2, 1, 0),
        ("after", "create_multipart", 2, 1, 1),
    ]


def test_error_in_a_hook_comes_out_of_the_with_block() -> None:
    def fail(moment: Moment) -> None:
        raise LookupError(moment.operation)

    def visit() -> None:
        with DriveEmulator() as drive:
            drive.on_request(fail)
            with pytest.raises(requests.ConnectionError):
                Client(drive.url).get(drive.folder_id)

    with pytest.raises(ExceptionGroup) as caught:
        visit()
    assert [type(error) for error in caught.value.exceptions] == [LookupError]


def test_log_counts_requests_and_bytes(drive: DriveEmulator, client: Client) -> None:
    session = client.session(metadata_of(drive))
    client.put(session, "bytes 0-4/5", b"abcde")
    client.get("nothing")
    logged = [(r.operation, r.method, r.status) for r in drive.requests]
    assert logged == [
        ("session_open", "POST", 200),
        ("chunk_last", "PUT", 200),
        ("get", "GET", 404),
    ]
    opened, chunk, _ = drive.requests
    assert chunk.body_bytes == 5
    assert drive.bytes_received == opened.body_bytes + 5
