"""Google's own client library, and the stand-in as a process."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseUpload, build_http

from tests.contract.drive_emulator.calls import (
    UNIT,
    Client,
    metadata_of,
    refused,
)
from tests.emulators.drive import DriveEmulator
from tests.emulators.drive.remote import DriveProcess


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
