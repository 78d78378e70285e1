"""A file in one multipart request."""

from __future__ import annotations

import hashlib

import pytest

from tests.contract.drive_emulator.calls import (
    ALL_DRIVES,
    Client,
    metadata_of,
    refused,
)
from tests.emulators.drive import DriveEmulator


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
