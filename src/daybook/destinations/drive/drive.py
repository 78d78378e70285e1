"""Google Drive as a destination, through its REST API, version 3.

https://developers.google.com/workspace/drive/api/reference/rest/v3/files
https://developers.google.com/workspace/drive/api/guides/manage-uploads
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests

from daybook.destinations.base import (
    REQUEST_TIMEOUT_SECONDS,
    DeliveredFile,
    FileMetadata,
    Finding,
    Held,
    NewFile,
    media_type,
)
from daybook.destinations.drive import answers, folder
from daybook.destinations.drive.errors import Effect, ErrorBody, refused
from daybook.destinations.drive.http import DriveHttp, Request, never
from daybook.destinations.drive.session import drive_session
from daybook.errors import DestinationError, DestinationRefused, SessionExpired

__all__ = ["ROOT_URL", "DriveDestination", "drive_session"]

ROOT_URL = "https://www.googleapis.com/"
_JSON = "application/json; charset=UTF-8"
_ALL_DRIVES = {"supportsAllDrives": "true"}
_READ_BYTES = 8 * 1024 * 1024


class DriveDestination:
    """One folder of Google Drive, in a shared drive or of the user `subject`.

    `session` adds the credentials (see `drive_session`); `root_url` may be an emulator's.
    """

    kind = "google_drive"
    chunk_multiple_bytes = 256 * 1024
    publishes = False

    def __init__(
        self,
        *,
        folder_id: str,
        session: requests.Session,
        root_url: str = ROOT_URL,
        subject: str | None = None,
        request_timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        cut: Callable[[], bool] = never,
    ) -> None:
        self._folder_id = folder_id
        self._http = DriveHttp(session, timeout_seconds=request_timeout_seconds, cut=cut)
        self._root_url = root_url.rstrip("/") + "/"
        self._subject = subject
        self.identity = f"drive:{subject or 'service-account'}@{self._root_url}"

    def new_id(self) -> str:
        request = Request(
            operation="files.generateIds",
            method="GET",
            url=self._files("/generateIds"),
            params={"count": "1", "space": "drive", "type": "files", "fields": "ids"},
            effect=Effect.NONE,
        )
        return answers.new_id(request, self._http.expect(request, 200))

    def check_name(self, name: str) -> None:
        """Drive accepts any name, even one that is already taken."""

    def send_whole(self, file: NewFile, content: bytes) -> DeliveredFile | None:
        boundary = secrets.token_hex(16)
        head = (
            f"--{boundary}\r\nContent-Type: {_JSON}\r\n\r\n{json.dumps(self._metadata(file))}\r\n"
            f"--{boundary}\r\nContent-Type: {media_type(file.name)}\r\n\r\n"
        )
        request = Request(
            operation=f"files.create in folder {self._folder_id}",
            method="POST",
            url=self._upload_url(),
            params={**_ALL_DRIVES, "uploadType": "multipart", "fields": answers.FILE_FIELDS},
            headers={"Content-Type": f"multipart/related; boundary={boundary}"},
            body=(head.encode(), content, f"\r\n--{boundary}--\r\n".encode()),
            effect=Effect.CREATES,
        )
        return answers.created(request, self._http.expect(request, 200, 201), file.id)

    def open_session(self, file: NewFile) -> str:
        request = Request(
            operation=f"files.create (open session) in folder {self._folder_id}",
            method="POST",
            url=self._upload_url(),
            # They are the fields of the response to the last chunk.
            params={**_ALL_DRIVES, "uploadType": "resumable", "fields": answers.FILE_FIELDS},
            headers={"Content-Type": _JSON, "X-Upload-Content-Type": media_type(file.name)},
            body=(json.dumps(self._metadata(file)).encode(),),
            effect=Effect.CREATES,
        )
        location = self._http.expect(request, 200, 201).headers.get("Location", "")
        session = self._absolute(location)
        if not location or not self._is_ours(session):
            raise DestinationError(f"Drive {request.operation} answered without a usable address")
        return session

    def send_chunk(self, session: str, content: bytes, *, offset: int, last: bool) -> Held:
        if not content:
            raise ValueError("a chunk is never empty")
        end = offset + len(content)
        request = Request(
            operation="files.create (last chunk)" if last else "files.create (chunk)",
            method="PUT",
            url=self._checked(session),
            headers={"Content-Range": f"bytes {offset}-{end - 1}/{end if last else '*'}"},
            body=(content,),
            effect=Effect.CREATES,
        )
        return self._progress(request)

    def finish(self, session: str, size_bytes: int) -> Held:
        request = Request(
            operation="files.create (finish)",
            method="PUT",
            url=self._checked(session),
            headers={"Content-Range": f"bytes */{size_bytes}"},
            effect=Effect.CREATES,
        )
        return self._progress(request)

    def held(self, session: str) -> Held:
        request = Request(
            operation="files.create (query)",
            method="PUT",
            url=self._checked(session),
            # With the total in place of the second star, the query could finish the upload.
            headers={"Content-Range": "bytes */*"},
            effect=Effect.NONE,
        )
        return self._progress(request)

    def find_file(self, file_id: str) -> DeliveredFile | None:
        found = self._get(file_id)
        return None if found is None else answers.delivered(found, file_id)

    def metadata(self, file_id: str, name: str) -> FileMetadata | None:  # noqa: ARG002  (of all destinations)
        found = self._get(file_id)
        return None if found is None else answers.metadata(found, file_id)

    def link(self, file_id: str, name: str) -> str:  # noqa: ARG002  (of all destinations)
        return f"https://drive.google.com/file/d/{file_id}/view?usp=drivesdk"

    def publish(self, file_id: str, name: str) -> str:
        file = self.find_file(file_id)
        if file is None:
            raise DestinationRefused(f"Drive has no file {file_id} to publish as {name}")
        return file.link

    def describe(self, file_id: str, text: str) -> None:
        request = Request(
            operation="files.update",
            method="PATCH",
            url=self._file_url(file_id),
            params={**_ALL_DRIVES, "fields": "id"},
            headers={"Content-Type": _JSON},
            body=(json.dumps({"description": text}).encode(),),
            effect=Effect.CHANGES,
        )
        self._http.expect(request, 200)

    def read(self, file_id: str, name: str) -> Iterator[bytes]:
        # Drive returns a file in the trash like any other, although people cannot see it.
        self.find_file(file_id)
        offset = 0
        while True:
            request = Request(
                operation=f"files.get (content of {name})",
                method="GET",
                url=self._file_url(file_id),
                params={**_ALL_DRIVES, "alt": "media"},
                headers={
                    "Range": f"bytes={offset}-{offset + _READ_BYTES - 1}",
                    "Accept-Encoding": "identity",
                },
                effect=Effect.NONE,
            )
            answer = self._http.expect(request, 200, 206)
            total_bytes = answers.total_bytes(request, answer, offset=offset)
            yield answer.body
            offset += len(answer.body)
            if offset >= total_bytes:
                return

    def check(self) -> list[Finding]:
        request = Request(
            operation="files.get (folder)",
            method="GET",
            url=self._file_url(self._folder_id),
            params={**_ALL_DRIVES, "fields": folder.FIELDS},
            effect=Effect.NONE,
        )
        try:
            found = answers.document(request, self._http.expect(request, 200))
        except DestinationError as error:
            return [Finding(name="drive folder", ok=False, detail=str(error))]
        return folder.findings(found, subject=self._subject)

    def _get(self, file_id: str) -> Mapping[str, Any] | None:
        """The fields of `FILE_FIELDS`; None when there is no such file."""
        request = Request(
            operation="files.get",
            method="GET",
            url=self._file_url(file_id),
            params={**_ALL_DRIVES, "fields": answers.FILE_FIELDS},
            effect=Effect.NONE,
        )
        answer = self._http.send(request)
        if answer.status == 404 and ErrorBody.read(answer.body).reason == "notFound":
            return None
        if answer.status != 200:
            raise refused(request.operation, answer.status, answer.body, effect=request.effect)
        return answers.document(request, answer)

    def _metadata(self, file: NewFile) -> Mapping[str, Any]:
        described = {} if file.description is None else {"description": file.description}
        return {
            "id": file.id,
            "name": file.name,
            "parents": [self._folder_id],
            "mimeType": media_type(file.name),
            "appProperties": dict(file.properties),
            **described,
        }

    def _progress(self, request: Request) -> Held:
        answer = self._http.expect(request, 200, 201, 308, in_session=True)
        return answers.progress(request, answer)

    def _files(self, path: str = "") -> str:
        return f"{self._root_url}drive/v3/files{path}"

    def _file_url(self, file_id: str) -> str:
        return self._files(f"/{quote(file_id, safe='')}")

    def _upload_url(self) -> str:
        return f"{self._root_url}upload/drive/v3/files"

    def _checked(self, session: str) -> str:
        if not self._is_ours(session):
            raise SessionExpired("Drive: the stored upload session belongs to another server")
        return session

    def _absolute(self, location: str) -> str:
        try:
            return urljoin(self._root_url, location)
        except ValueError:  # not a URL
            return ""

    def _is_ours(self, session: str) -> bool:
        """Keep the access token from all servers other than Google's."""
        try:
            ours, theirs = urlsplit(self._root_url), urlsplit(session)
        except ValueError:
            return False
        if (ours.hostname or "").endswith(".googleapis.com"):
            return theirs.scheme == "https" and (theirs.hostname or "").endswith(".googleapis.com")
        return theirs.scheme in ("http", "https")
