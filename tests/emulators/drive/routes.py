"""Which operation a request is; paths and methods that Drive does not have are `unknown`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from tests.emulators.drive.answers import DriveError
from tests.emulators.drive.items import Identity
from tests.emulators.drive.sessions import ContentRange, parse_range

_FILE = re.compile(r"/drive/v3/files/([^/]+)")
_DRIVE = re.compile(r"/drive/v3/drives/([^/]+)")
_UPLOADS = ("/upload/drive/v3/files", "/resumable/upload/drive/v3/files")
_CREATES = {
    "multipart": "create_multipart",
    "resumable": "session_open",
    "media": "create_media",
}


@dataclass(frozen=True, kw_only=True)
class Head:
    """A request without its body."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""
    identity: Identity
    body_bytes: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def one(self, name: str) -> str | None:
        return self.query.get(name, [None])[0]


@dataclass(frozen=True, kw_only=True)
class Route:
    """What a request asks for."""

    operation: str
    target_id: str = ""
    """The file, drive or upload session that is meant."""


def find_route(head: Head) -> Route:
    path, method = head.path, head.method
    if path in _UPLOADS:
        return _upload(head)
    if path == "/drive/v3/about" and method == "GET":
        return Route(operation="about")
    if path == "/drive/v3/files/generateIds" and method == "GET":
        return Route(operation="generateIds")
    if path == "/drive/v3/files" and method in ("GET", "POST"):
        return Route(operation="list" if method == "GET" else "create")
    if (match := _DRIVE.fullmatch(path)) and method == "GET":
        return Route(operation="drive_get", target_id=unquote(match[1]))
    if match := _FILE.fullmatch(path):
        media = head.one("alt") == "media"
        names = {"GET": "download" if media else "get", "PATCH": "update", "DELETE": "delete"}
        if method in names:
            return Route(operation=names[method], target_id=unquote(match[1]))
    return Route(operation="unknown")


def _upload(head: Head) -> Route:
    session = head.one("upload_id")
    if head.method == "POST" and session is None:
        return Route(operation=_CREATES.get(head.one("uploadType") or "", "unknown"))
    if session is None or head.method not in ("PUT", "DELETE"):
        return Route(operation="unknown")
    if head.method == "DELETE":
        return Route(operation="session_cancel", target_id=session)
    return Route(operation=_put(head), target_id=session)


def _put(head: Head) -> str:
    try:
        sent = sent_range(head)
    except DriveError:  # the act answers what is wrong with the range
        return "chunk"
    if sent.is_query:
        return "session_finish" if sent.completes else "session_query"
    return "chunk_last" if sent.completes else "chunk"


def sent_range(head: Head) -> ContentRange:
    return parse_range(head.headers.get("content-range"), head.body_bytes)
