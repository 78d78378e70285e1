"""A file in the chunks of a resumable session."""

from __future__ import annotations

import hashlib
import threading
from datetime import timedelta

import pytest

from tests.contract.drive_emulator.calls import (
    UNIT,
    Client,
    Clock,
    metadata_of,
    refused,
)
from tests.emulators.drive import DriveEmulator


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
