"""The stand-in for Drive keeps the rules that tests/emulators/README.md lists."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseUpload, build_http

from tests.emulators.drive import DriveEmulator
from tests.emulators.drive_faults import FaultKind
from tests.emulators.drive_items import Identity
from tests.emulators.drive_log import Moment
from tests.emulators.drive_remote import DriveProcess

UNIT = 256 * 1024
ALL_DRIVES = {"supportsAllDrives": "true"}


class Client:
    """Drive over plain HTTP."""

    def __init__(
        self, url: str, *, token: str | None = None, timeout_seconds: float = 30.0
    ) -> None:
        self.files = f"{url}drive/v3/files"
        self.uploads = f"{url}upload/drive/v3/files"
        self.http = requests.Session()
        self.timeout_seconds = timeout_seconds
        if token is not None:
            self.http.headers["Authorization"] = f"Bearer {token}"

    def new_id(self) -> str:
        answer = self.http.get(f"{self.files}/generateIds", params={"count": 1})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["ids"][0])

    def create(self, metadata: dict[str, Any], content: bytes, **params: str) -> requests.Response:
        parts = (
            b"--cut\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n",
            json.dumps(metadata).encode(),
            b"\r\n--cut\r\nContent-Type: text/csv\r\n\r\n",
            content,
            b"\r\n--cut--\r\n",
        )
        return self.http.post(
            self.uploads,
            params={"uploadType": "multipart", **ALL_DRIVES, **params},
            data=b"".join(parts),
            headers={"Content-Type": "multipart/related; boundary=cut"},
            timeout=self.timeout_seconds,
        )

    def open(
        self, metadata: dict[str, Any], *, total: int | None = None, **params: str
    ) -> requests.Response:
        headers = {"X-Upload-Content-Type": "text/csv"}
        if total is not None:
            headers["X-Upload-Content-Length"] = str(total)
        return self.http.post(
            self.uploads,
            params={"uploadType": "resumable", **ALL_DRIVES, **params},
            json=metadata,
            headers=headers,
        )

    def session(self, metadata: dict[str, Any], **options: Any) -> str:
        answer = self.open(metadata, **options)
        assert answer.status_code == 200, answer.text
        return answer.headers["Location"]

    def put(self, session: str, content_range: str, body: bytes = b"") -> requests.Response:
        return self.http.put(
            session, data=body, headers={"Content-Range": content_range}, allow_redirects=False
        )

    def get(self, file_id: str, **params: str) -> requests.Response:
        return self.http.get(f"{self.files}/{file_id}", params={**ALL_DRIVES, **params})

    def patch(self, file_id: str, body: dict[str, Any], **params: str) -> requests.Response:
        return self.http.patch(
            f"{self.files}/{file_id}", params={**ALL_DRIVES, **params}, json=body
        )

    def delete(self, file_id: str) -> requests.Response:
        return self.http.delete(f"{self.files}/{file_id}", params=ALL_DRIVES)

    def list(self, **params: str) -> requests.Response:
        return self.http.get(
            self.files, params={"includeItemsFromAllDrives": "true", **ALL_DRIVES, **params}
        )


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drive(clock: Clock) -> Iterator[DriveEmulator]:
    with DriveEmulator(clock=clock) as emulator:
        yield emulator


@pytest.fixture
def client(drive: DriveEmulator) -> Iterator[Client]:
    client = Client(drive.url)
    yield client
    client.http.close()


def metadata_of(drive: DriveEmulator, **more: Any) -> dict[str, Any]:
    return {"name": "batch.csv", "parents": [drive.folder_id], **more}


def refused(answer: requests.Response) -> tuple[int, str]:
    """Status and reason of an error in Google's shape."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert error["message"] == error["errors"][0]["message"]
    return answer.status_code, error["errors"][0]["reason"]


# Ids


def test_id_makes_create_safe_to_repeat(drive: DriveEmulator, client: Client) -> None:
    file_id = client.new_id()
    first = client.create(metadata_of(drive, id=file_id), b"one")
    second = client.create(metadata_of(drive, id=file_id), b"two")
    assert first.json() == {
        "kind": "drive#file",
        "id": file_id,
        "name": "batch.csv",
        "mimeType": "text/csv",
    }
    assert refused(second) == (409, "fileIdInUse")
    assert second.json()["error"]["message"] == "A file already exists with the provided ID."
    assert [(file.id, file.content) for file in drive.files()] == [(file_id, b"one")]


def test_id_stays_used_after_its_file_is_deleted(drive: DriveEmulator, client: Client) -> None:
    drive.grant(drive.drive_id, "organizer")
    file_id = client.new_id()
    client.create(metadata_of(drive, id=file_id), b"one")
    assert client.delete(file_id).status_code == 204
    assert refused(client.get(file_id)) == (404, "notFound")
    assert refused(client.create(metadata_of(drive, id=file_id), b"two")) == (409, "fileIdInUse")


def test_id_that_was_never_issued_is_refused(drive: DriveEmulator, client: Client) -> None:
    answer = client.create(metadata_of(drive, id="1" + "x" * 32), b"one")
    assert refused(answer) == (400, "invalid")
    assert answer.json()["error"]["message"] == "The provided file ID is not usable."
    assert refused(client.open(metadata_of(drive, id="1" + "x" * 32))) == (400, "invalid")


def test_id_belongs_to_the_identity_that_asked(drive: DriveEmulator, client: Client) -> None:
    other = Client(drive.url, token="batch@project.example.com")
    file_id = client.new_id()
    assert refused(other.create(metadata_of(drive, id=file_id), b"")) == (400, "invalid")
    assert client.create(metadata_of(drive, id=file_id), b"").status_code == 200


def test_ids_are_ten_unless_counted_and_a_thousand_at_most(client: Client) -> None:
    url = f"{client.files}/generateIds"
    assert len(client.http.get(url).json()["ids"]) == 10
    assert len(set(client.http.get(url, params={"count": 1000}).json()["ids"])) == 1000
    assert refused(client.http.get(url, params={"count": 1001})) == (400, "invalidParameter")
    assert refused(client.http.get(url, params={"space": "moon"})) == (400, "invalid")


def test_generated_id_is_refused_for_docs_editors_types(
    drive: DriveEmulator, client: Client
) -> None:
    sheet = "application/vnd.google-apps.spreadsheet"
    answer = client.create(metadata_of(drive, id=client.new_id(), mimeType=sheet), b"a,b")
    assert refused(answer) == (403, "insufficientFilePermissions")


# Multipart


def test_multipart_keeps_every_byte(drive: DriveEmulator, client: Client) -> None:
    content = b"\xef\xbb\xbfa,b\r\n1,\xe0\xb8\x81\r\n\r\n--cu\x00\n"
    answer = client.create(metadata_of(drive), content, fields="id,size,md5Checksum")
    [file] = drive.files(drive.folder_id)
    assert file.content == content
    assert answer.json() == {
        "id": file.id,
        "size": str(len(content)),
        "md5Checksum": hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }
    assert client.get(file.id, alt="media").content == content


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=cut", b"--cut\r\n"),
        ("multipart/related", b"--cut\r\n"),
        ("multipart/related; boundary=cut", b"stray\r\n--cut\r\n"),
        (
            "multipart/related; boundary=cut",
            b"--cut\r\nContent-Type: application/json\r\n\r\n{}\r\n--cut--\r\n",
        ),
        (
            "multipart/related; boundary=cut",
            b"--cut\r\nContent-Type: application/json\r\n\r\n{}"
            b"\r\n--cut\r\nContent-Type: text/csv\r\n\r\na\r\n--cut\r\n",
        ),
        (
            "multipart/related; boundary=cut",
            b"--cut\r\nContent-Type: text/plain\r\n\r\n{}"
            b"\r\n--cut\r\nContent-Type: text/csv\r\n\r\na\r\n--cut--",
        ),
        (
            "multipart/related; boundary=cut",
            b"--cut\r\nContent-Type: application/json\r\n\r\n{}\r\n--cut\r\n\r\na\r\n--cut--",
        ),
    ],
    ids=["form", "no boundary", "preamble", "one part", "no end", "not json", "untyped media"],
)
def test_malformed_multipart_is_refused(
    drive: DriveEmulator, client: Client, content_type: str, body: bytes
) -> None:
    answer = client.http.post(
        client.uploads,
        params={"uploadType": "multipart", **ALL_DRIVES},
        data=body,
        headers={"Content-Type": content_type},
    )
    assert refused(answer) == (400, "badRequest")
    assert drive.files() == []


def test_metadata_that_is_no_utf8_json_is_refused(client: Client) -> None:
    body = (
        b'--cut\r\nContent-Type: application/json\r\n\r\n{"name": "\xff"}'
        b"\r\n--cut\r\nContent-Type: text/csv\r\n\r\na\r\n--cut--"
    )
    answer = client.http.post(
        client.uploads,
        params={"uploadType": "multipart"},
        data=body,
        headers={"Content-Type": "multipart/related; boundary=cut"},
    )
    assert refused(answer) == (400, "parseError")


def test_multipart_over_the_limit_is_refused(drive: DriveEmulator, client: Client) -> None:
    drive.multipart_limit_bytes = 3
    assert client.create(metadata_of(drive), b"abcd").status_code == 413
    assert client.create(metadata_of(drive), b"abc").status_code == 200


# Resumable sessions


def test_session_takes_chunks_and_makes_the_file_with_the_last(
    drive: DriveEmulator, client: Client
) -> None:
    content = bytes(range(256)) * 2048 + b"end"
    file_id = client.new_id()
    session = client.session(metadata_of(drive, id=file_id), fields="id,md5Checksum,size")
    assert "Range" not in client.put(session, "bytes */*").headers
    first = client.put(session, f"bytes 0-{2 * UNIT - 1}/*", content[: 2 * UNIT])
    assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{2 * UNIT - 1}")
    assert refused(client.get(file_id)) == (404, "notFound")
    assert drive.files() == []
    total = len(content)
    last = client.put(session, f"bytes {2 * UNIT}-{total - 1}/{total}", content[2 * UNIT :])
    assert last.status_code == 200
    assert last.json()["md5Checksum"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert [file.content for file in drive.files()] == [content]
    assert client.put(session, "bytes */*").json() == last.json()
    assert client.put(session, f"bytes 0-{UNIT - 1}/{total}", content[:UNIT]).json() == last.json()


def test_whole_file_may_come_in_one_put_without_a_range(
    drive: DriveEmulator, client: Client
) -> None:
    session = client.session(metadata_of(drive), total=3)
    assert client.http.put(session, data=b"abc").status_code == 200
    empty = client.session(metadata_of(drive), total=0)
    assert client.put(empty, "bytes */0").status_code == 200
    assert [file.content for file in drive.files()] == [b"abc", b""]


def test_query_with_the_total_finishes_a_session_that_holds_everything(
    drive: DriveEmulator, client: Client
) -> None:
    session = client.session(metadata_of(drive))
    client.put(session, f"bytes 0-{UNIT - 1}/*", b"a" * UNIT)
    assert client.put(session, "bytes */*").status_code == 308
    assert client.put(session, f"bytes */{UNIT + 1}").status_code == 308
    assert drive.files() == []
    other = client.session(metadata_of(drive))
    client.put(other, f"bytes 0-{UNIT - 1}/*", b"a" * UNIT)
    assert client.put(other, f"bytes */{UNIT}").status_code == 200
    assert [file.size_bytes for file in drive.files()] == [UNIT]


def test_chunk_in_between_is_taken_in_multiples_of_256_kib(
    drive: DriveEmulator, client: Client
) -> None:
    session = client.session(metadata_of(drive))
    answer = client.put(session, f"bytes 0-{UNIT + 99}/*", b"a" * (UNIT + 100))
    assert answer.headers["Range"] == f"bytes=0-{UNIT - 1}"
    small = client.put(session, f"bytes {UNIT}-{UNIT + 9}/*", b"b" * 10)
    assert small.headers["Range"] == f"bytes=0-{UNIT - 1}"


def test_chunk_beyond_what_is_held_is_refused_in_plain_text(
    drive: DriveEmulator, client: Client
) -> None:
    session = client.session(metadata_of(drive))
    answer = client.put(session, f"bytes {UNIT}-{2 * UNIT - 1}/*", b"a" * UNIT)
    assert answer.status_code == 503
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "which exceeds already uploaded size of 0 byte(s)." in answer.text
    assert "Range" not in client.put(session, "bytes */*").headers


def test_bytes_already_held_are_skipped_uncompared(drive: DriveEmulator, client: Client) -> None:
    session = client.session(metadata_of(drive))
    client.put(session, f"bytes 0-{UNIT - 1}/*", b"a" * UNIT)
    total = UNIT + 5
    answer = client.put(session, f"bytes 0-{total - 1}/{total}", b"b" * total)
    assert answer.status_code == 200
    assert drive.files()[0].content == b"a" * UNIT + b"b" * 5


@pytest.mark.parametrize(
    "content_range", ["bytes 5-3/10", "bytes 0-9/9", "bytes */x", "0-9/10", "bytes 0-/10"]
)
def test_range_that_makes_no_sense_is_refused(
    drive: DriveEmulator, client: Client, content_range: str
) -> None:
    session = client.session(metadata_of(drive))
    assert client.put(session, content_range, b"0123456789").status_code == 400
    assert drive.sessions()[0].held_bytes == 0


def test_totals_and_lengths_must_agree(drive: DriveEmulator, client: Client) -> None:
    session = client.session(metadata_of(drive), total=10)
    assert refused(client.put(session, "bytes 0-9/11", b"0" * 10)) == (400, "badRequest")
    assert refused(client.put(session, "bytes 0-9/10", b"0" * 9)) == (400, "badRequest")
    assert client.put(session, "bytes 0-9/10", b"0" * 10).status_code == 200


def test_session_lives_a_week(drive: DriveEmulator, client: Client, clock: Clock) -> None:
    session = client.session(metadata_of(drive))
    clock.now += timedelta(days=7, seconds=-1)
    assert client.put(session, "bytes */*").status_code == 308
    clock.now += timedelta(seconds=1)
    assert client.put(session, "bytes */*").status_code == 404


def test_cancelled_and_unknown_sessions_are_gone(drive: DriveEmulator, client: Client) -> None:
    session = client.session(metadata_of(drive))
    assert client.http.delete(session).status_code == 499
    assert client.put(session, "bytes 0-0/1", b"a").status_code == 404
    assert client.put(session + "x", "bytes */*").status_code == 404
    assert drive.files() == []


def test_session_address_works_without_the_identity(drive: DriveEmulator) -> None:
    drive.require_auth = True
    owner, stranger = Client(drive.url, token="batch@example.com"), Client(drive.url)
    session = owner.session(metadata_of(drive))
    assert stranger.put(session, "bytes 0-0/1", b"a").status_code == 200
    assert refused(stranger.open(metadata_of(drive))) == (401, "authError")


@pytest.mark.parametrize("at_start", [True, False])
def test_of_two_sessions_under_one_id_the_first_to_complete_wins(
    drive: DriveEmulator, client: Client, at_start: bool
) -> None:
    drive.conflict_at_session_start = at_start
    file_id = client.new_id()
    first = client.session(metadata_of(drive, id=file_id))
    second = client.session(metadata_of(drive, id=file_id))
    assert client.put(second, "bytes 0-0/1", b"2").status_code == 200
    for _ in range(2):
        assert refused(client.put(first, "bytes 0-0/1", b"1")) == (409, "fileIdInUse")
    assert [file.content for file in drive.files()] == [b"2"]
    third = client.open(metadata_of(drive, id=file_id))
    assert third.status_code == (409 if at_start else 200)
    if not at_start:
        late = client.put(third.headers["Location"], "bytes 0-0/1", b"3")
        assert refused(late) == (409, "fileIdInUse")


def test_session_that_was_refused_at_its_end_stays_refused(
    drive: DriveEmulator, client: Client
) -> None:
    session = client.session(metadata_of(drive))
    drive.grant(drive.drive_id, "reader")
    refusal = (403, "insufficientFilePermissions")
    assert refused(client.put(session, "bytes 0-0/1", b"a")) == refusal
    drive.grant(drive.drive_id, "writer")
    assert refused(client.put(session, "bytes 0-0/1", b"a")) == refusal
    assert drive.files() == []


def test_of_many_creates_under_one_id_at_once_one_wins(
    drive: DriveEmulator, client: Client
) -> None:
    file_id = client.new_id()
    start = threading.Barrier(8)
    codes: list[int] = []

    def create(number: int) -> None:
        mine = Client(drive.url)
        start.wait()
        codes.append(mine.create(metadata_of(drive, id=file_id), b"%d" % number).status_code)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] + [409] * 7
    assert len(drive.files()) == 1


# Reading and changing


def test_fields_select_parts_and_must_exist(drive: DriveEmulator, client: Client) -> None:
    file = drive.plant(b"abc", name="a.csv", properties={"batch": "1"})
    assert client.get(file.id).json().keys() == {"kind", "id", "name", "mimeType"}
    chosen = "name,size,appProperties,capabilities(canEdit,canDelete),webViewLink,sha256Checksum"
    assert client.get(file.id, fields=chosen).json() == {
        "name": "a.csv",
        "size": "3",
        "appProperties": {"batch": "1"},
        "capabilities": {"canEdit": True, "canDelete": False},
        "webViewLink": f"https://drive.google.com/file/d/{file.id}/view?usp=drivesdk",
        "sha256Checksum": hashlib.sha256(b"abc").hexdigest(),
    }
    assert client.get(file.id, fields="capabilities/canEdit").json() == {
        "capabilities": {"canEdit": True}
    }
    assert client.get(file.id, fields="*").json()["driveId"] == drive.drive_id
    for wrong in ("title", "name,capabilities(canFly)", "name,", "name(", "owners/shoeSize"):
        answer = client.get(file.id, fields=wrong)
        assert refused(answer) == (400, "invalidParameter"), wrong


def test_bad_selection_is_refused_before_anything_is_made(
    drive: DriveEmulator, client: Client
) -> None:
    assert client.create(metadata_of(drive), b"a", fields="title").status_code == 400
    assert drive.files() == []


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda c, i: c.get(i, supportAllDrives="true"), (400, "badRequest")),
        (lambda c, i: c.get(i, acknowledgeAbuse="yes"), (400, "invalidParameter")),
        (lambda c, i: c.patch(i, {"title": "x"}), (400, "badRequest")),
        (lambda c, i: c.patch(i, {"name": 7}), (400, "badRequest")),
        (lambda c, i: c.patch(i, {"appProperties": {"k": 7}}), (400, "badRequest")),
        (lambda c, i: c.patch(i, {"modifiedTime": "yesterday"}), (400, "badRequest")),
        (lambda c, i: c.patch(i, {"md5Checksum": "0" * 32}), (403, "fieldNotWritable")),
        (lambda c, i: c.patch(i, {"id": "x"}), (403, "fieldNotWritable")),
        (lambda c, i: c.http.put(f"{c.files}/{i}"), (404, "notFound")),
        (lambda c, i: c.http.get(f"{c.files}/{i}/blocks"), (404, "notFound")),
    ],
)
def test_what_the_discovery_document_does_not_know_is_refused(
    drive: DriveEmulator,
    client: Client,
    call: Callable[[Client, str], requests.Response],
    expected: tuple[int, str],
) -> None:
    file = drive.plant(b"abc", name="a.csv")
    assert refused(call(client, file.id)) == expected
    assert [found.name for found in drive.files()] == ["a.csv"]


def test_update_merges_properties_and_clears_with_null(
    drive: DriveEmulator, client: Client
) -> None:
    file = drive.plant(b"abc", name="a.csv", properties={"old": "1", "both": "1"})
    changes = {"description": "12 entries", "appProperties": {"both": "2", "old": None}}
    assert client.patch(file.id, changes, fields="description").json() == {
        "description": "12 entries"
    }
    [found] = drive.files()
    assert (found.description, found.properties) == ("12 entries", {"both": "2"})


def test_properties_are_private_to_the_application(drive: DriveEmulator, client: Client) -> None:
    file_id = client.create(metadata_of(drive, appProperties={"batch": "1"}), b"").json()["id"]
    query = "appProperties has { key='batch' and value='1' }"
    asked = {"fields": "appProperties"}
    assert client.get(file_id, **asked).json() == {"appProperties": {"batch": "1"}}
    assert [found["id"] for found in client.list(q=query).json()["files"]] == [file_id]

    drive.identities[""] = Identity(name="anonymous", application="gcloud")
    assert client.get(file_id, **asked).json() == {}
    assert client.list(q=query).json()["files"] == []
    client.patch(file_id, {"appProperties": {"batch": "2"}})
    assert client.get(file_id, **asked).json() == {"appProperties": {"batch": "2"}}

    del drive.identities[""]
    assert client.get(file_id, **asked).json() == {"appProperties": {"batch": "1"}}


def test_properties_are_limited_in_bytes_and_number(drive: DriveEmulator, client: Client) -> None:
    fits = {"key": "ก" * 40 + "a"}
    assert client.create(metadata_of(drive, appProperties=fits), b"").status_code == 200
    too_long = {"key": "ก" * 40 + "ab"}
    answer = client.create(metadata_of(drive, appProperties=too_long), b"")
    assert refused(answer) == (400, "invalid")
    many = {f"k{number}": "v" for number in range(31)}
    assert refused(client.create(metadata_of(drive, appProperties=many), b"")) == (400, "invalid")
    assert len(drive.files()) == 1


def test_listing_may_lag_while_get_never_does(
    drive: DriveEmulator, client: Client, clock: Clock
) -> None:
    drive.listing_lag = timedelta(seconds=30)
    file_id = client.create(metadata_of(drive, name="it's"), b"a").json()["id"]
    query = f"'{drive.folder_id}' in parents and name = 'it\\'s' and trashed = false"
    assert client.list(q=query).json()["files"] == []
    assert client.get(file_id).status_code == 200
    clock.now += timedelta(seconds=30)
    assert [found["id"] for found in client.list(q=query).json()["files"]] == [file_id]
    assert client.list(q="name = 'other'").json()["files"] == []
    assert refused(client.list(q="name like 'a'")) == (400, "invalid")


def test_listing_leaves_shared_drives_out_unless_asked(
    drive: DriveEmulator, client: Client
) -> None:
    drive.plant(b"a", name="a.csv")
    query = f"'{drive.folder_id}' in parents"
    assert client.http.get(client.files, params={"q": query}).json()["files"] == []
    pages = [client.list(q=query, pageSize="1").json()]
    drive.plant(b"b", name="b.csv")
    pages.append(client.list(q=query, pageSize="1", orderBy="name desc").json())
    token = pages[1]["nextPageToken"]
    pages.append(client.list(q=query, pageSize="1", orderBy="name desc", pageToken=token).json())
    assert [[file["name"] for file in page["files"]] for page in pages] == [
        ["a.csv"],
        ["b.csv"],
        ["a.csv"],
    ]


def test_about_and_drives_tell_who_and_where(drive: DriveEmulator) -> None:
    client = Client(drive.url, token="batch@example.com")
    about = f"{drive.url}drive/v3/about"
    assert refused(client.http.get(about)) == (400, "required")
    answer = client.http.get(about, params={"fields": "user(emailAddress),storageQuota/limit"})
    assert answer.json() == {
        "user": {"emailAddress": "batch@example.com"},
        "storageQuota": {"limit": "0"},
    }
    drives = f"{drive.url}drive/v3/drives"
    assert client.http.get(f"{drives}/{drive.drive_id}").json()["name"] == "Accounting"
    assert refused(client.http.get(f"{drives}/0Anone")) == (404, "notFound")


# Places and permissions


def test_shared_drive_needs_supports_all_drives(drive: DriveEmulator, client: Client) -> None:
    file = drive.plant(b"a", name="a.csv")
    off = {"supportsAllDrives": "false"}
    assert refused(client.get(file.id, **off)) == (404, "notFound")
    assert refused(client.patch(file.id, {"name": "b"}, **off)) == (404, "notFound")
    answer = client.create(metadata_of(drive), b"b", **off)
    assert refused(answer) == (404, "notFound")
    assert answer.json()["error"]["message"] == f"File not found: {drive.folder_id}."
    assert len(drive.files()) == 1


def test_folder_must_exist_and_be_visible(drive: DriveEmulator, client: Client) -> None:
    nowhere = {"name": "a", "parents": ["1" + "n" * 32]}
    assert refused(client.create(nowhere, b"")) == (404, "notFound")
    assert refused(client.open(nowhere)) == (404, "notFound")
    drive.grant(drive.drive_id, "none")
    assert refused(client.create(metadata_of(drive), b"")) == (404, "notFound")


def test_service_account_cannot_own_files_but_a_user_can(drive: DriveEmulator) -> None:
    place = {"name": "a.csv", "parents": [drive.my_drive_folder_id]}
    account = Client(drive.url, token="batch@example.com")
    assert refused(account.create(place, b"a")) == (403, "storageQuotaExceeded")
    assert refused(account.open(place)) == (403, "storageQuotaExceeded")
    assert refused(account.create({"name": "a.csv"}, b"a")) == (403, "storageQuotaExceeded")
    user = Client(drive.url, token="user:accountant@example.com")
    assert user.create(place, b"a").status_code == 200
    assert [file.folder_id for file in drive.files()] == [drive.my_drive_folder_id]


def test_viewer_may_look_but_not_add(drive: DriveEmulator, client: Client) -> None:
    may = client.get(drive.read_only_folder_id, fields="capabilities").json()["capabilities"]
    assert (may["canAddChildren"], may["canListChildren"]) == (False, True)
    place = {"name": "a.csv", "parents": [drive.read_only_folder_id]}
    assert refused(client.create(place, b"a")) == (403, "insufficientFilePermissions")
    assert refused(client.open(place)) == (403, "insufficientFilePermissions")


@pytest.mark.parametrize(
    ("role", "trash", "delete"),
    [("writer", 403, 403), ("fileOrganizer", 200, 403), ("organizer", 200, 204)],
)
def test_contributor_adds_and_edits_but_does_not_delete(
    drive: DriveEmulator, client: Client, role: str, trash: int, delete: int
) -> None:
    drive.grant(drive.drive_id, role)
    file_id = client.create(metadata_of(drive), b"a").json()["id"]
    assert client.patch(file_id, {"description": "x"}).status_code == 200
    assert client.patch(file_id, {"trashed": True}).status_code == trash
    assert len(drive.files()) == (1 if trash == 403 else 0)
    assert client.delete(file_id).status_code == delete
    assert len(drive.files(include_trashed=True)) == (0 if delete == 204 else 1)


def test_contributor_may_restore_from_the_trash(drive: DriveEmulator, client: Client) -> None:
    file_id = client.create(metadata_of(drive), b"a").json()["id"]
    drive.grant(drive.drive_id, "fileOrganizer")
    assert client.patch(file_id, {"trashed": True}).status_code == 200
    drive.grant(drive.drive_id, "writer")
    assert client.patch(file_id, {"trashed": False}).status_code == 200
    assert len(drive.files()) == 1


# Faults


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


# Google's own client library, and the stand-in as a process


@pytest.fixture
def google_files(drive: DriveEmulator) -> Iterator[Any]:
    """The `files` resource of Google's client library, without credentials."""
    document = json.loads(get_static_doc("drive", "v3"))
    document["rootUrl"] = drive.url
    with build_from_document(document, http=build_http()) as service:
        yield service.files()


def test_googles_client_creates_and_reads(drive: DriveEmulator, google_files: Any) -> None:
    content = b"a,b\r\n" * 200_000
    ids = google_files.generateIds(count=2).execute()["ids"]
    for file_id, resumable in zip(ids, (False, True), strict=True):
        media = MediaIoBaseUpload(
            io.BytesIO(content), "text/csv", chunksize=UNIT, resumable=resumable
        )
        made = google_files.create(
            body=metadata_of(drive, id=file_id),
            media_body=media,
            supportsAllDrives=True,
            fields="id,size,md5Checksum",
        ).execute()
        found = google_files.get(fileId=file_id, supportsAllDrives=True, fields="*").execute()
        assert made == {key: found[key] for key in ("id", "size", "md5Checksum")}
        assert found["size"] == str(len(content))
        assert google_files.get_media(fileId=file_id, supportsAllDrives=True).execute() == content
    assert [file.content for file in drive.files()] == [content, content]
    operations = [request.operation for request in drive.requests]
    assert operations.count("create_multipart") == 1
    assert operations.count("chunk") == 3
    assert operations.count("chunk_last") == 1


def test_googles_client_understands_the_refusals(google_files: Any) -> None:
    with pytest.raises(HttpError) as caught:
        google_files.get(fileId="nothing").execute()
    assert caught.value.resp.status == 404
    assert caught.value.error_details[0]["reason"] == "notFound"


def test_process_is_steered_and_keeps_its_state(tmp_path: Path) -> None:
    state_file = tmp_path / "drive.json"
    with DriveProcess(state_file=state_file) as remote:
        client = Client(remote.url)
        place = {"name": "a.csv", "parents": [remote.state()["folderId"]]}
        remote.fault("status", on="create_multipart", status=503)
        assert client.create(place, b"a").status_code == 503
        file_id = client.create(place, b"a").json()["id"]
        session = client.session(place)
        client.put(session, f"bytes 0-{UNIT - 1}/*", b"b" * UNIT)
        remote.configure(down=True)
        assert client.get(file_id).status_code == 503
        remote.configure(down=False)
        assert remote.content(file_id) == b"a"
        operations = [request["operation"] for request in remote.state()["requests"]]
        assert operations == [
            "create_multipart",
            "create_multipart",
            "session_open",
            "chunk",
            "get",
        ]
    with DriveProcess(state_file=state_file) as remote:
        client = Client(remote.url)
        assert client.get(file_id, alt="media").content == b"a"
        assert refused(client.create({**place, "id": file_id}, b"")) == (409, "fileIdInUse")
        moved = remote.url + session.split("/", 3)[3]
        assert client.put(moved, "bytes */*").headers["Range"] == f"bytes=0-{UNIT - 1}"
        remote.advance(8 * 24 * 3600)
        assert client.put(moved, "bytes */*").status_code == 404
