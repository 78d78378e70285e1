"""Reading Drive's responses: documents, upload progress, a delivered file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from daybook.destinations.base import DeliveredFile, FileMetadata, Held
from daybook.destinations.drive.errors import unanswered
from daybook.destinations.drive.http import HttpResponse, Request
from daybook.errors import UNREADABLE, DestinationError, DestinationRefused

FILE_FIELDS = (
    "id,name,size,md5Checksum,sha256Checksum,webViewLink,appProperties,description,trashed"
)
_IDENTIFYING = ("id", "name", "size", "md5Checksum")
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", re.ASCII)
_SIZE = re.compile(r"\d{1,18}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)


def document(request: Request, answer: HttpResponse) -> Mapping[str, Any]:
    """The JSON object of a response; a truncated one raises the error of `unanswered`."""
    try:
        content = json.loads(answer.body)
    except UNREADABLE:
        content = None
    if not isinstance(content, dict):
        kind = str(answer.headers.get("Content-Type") or "no type").partition(";")[0].strip()
        raise unanswered(
            request.operation,
            f"the answer is not complete JSON ({kind:.40})",
            effect=request.effect,
        )
    return content


def new_id(request: Request, answer: HttpResponse) -> str:
    """The one ID that was requested, from the response of `files.generateIds`."""
    ids = document(request, answer).get("ids")
    match ids:
        case [str(issued)] if _ID.fullmatch(issued):
            return issued
        case [*several] if len(several) != 1:
            said = f"{len(several)} IDs instead of one"
        case _:
            said = "no usable ID"
    raise DestinationError(f"Drive {request.operation} answered with {said}")


def created(request: Request, answer: HttpResponse, file_id: str) -> DeliveredFile | None:
    """The file that the request created, as `described`.

    A response without an ID says nothing about the file: it is uncertain, like a lost one.
    Raises `DestinationRefused` when the file was created under another ID.
    """
    file = document(request, answer)
    made = file.get("id")
    if made == file_id:
        return described(file)
    if not (isinstance(made, str) and _ID.fullmatch(made)):
        raise unanswered(request.operation, "no ID came back", effect=request.effect)
    raise DestinationRefused(
        f"Drive {request.operation} made a file under the ID {made} "
        f"instead of {file_id}: remove it; nothing more is sent"
    )


def progress(request: Request, answer: HttpResponse) -> Held:
    """The progress of a session, from a response with status 200, 201 or 308."""
    if answer.status == 308:
        stated = answer.headers.get("Range")
        held = _RANGE.fullmatch(stated or "bytes=0-0")
        if held is None:
            raise unanswered(request.operation, "an unreadable Range", effect=request.effect)
        return Held(size_bytes=0 if stated is None else int(held[1]) + 1)
    file = document(request, answer)
    size = str(file.get("size"))
    if not _SIZE.fullmatch(size):
        raise unanswered(request.operation, "no size came back", effect=request.effect)
    return Held(size_bytes=int(size), complete=True, file=described(file))


def described(file: Mapping[str, Any]) -> DeliveredFile | None:
    """The file from the response to the request that created it.

    None when a field of `FILE_FIELDS` is missing or cannot be read, which only a digest that Drive
    need not have and a description that was not sent may be. Sessions that an earlier version
    opened return fewer fields.
    """
    texts = (*_IDENTIFYING, "webViewLink")
    readable = (
        all(isinstance(file.get(key), str) for key in texts)
        and _SIZE.fullmatch(file["size"]) is not None
        and isinstance(file.get("appProperties"), dict)
        and file.get("trashed") is False
    )
    return _read(file) if readable else None


def delivered(file: Mapping[str, Any], file_id: str) -> DeliveredFile:
    """The file under `file_id` from its metadata with `FILE_FIELDS`.

    Raises `DestinationRefused` when it is in the trash, `DestinationError` when Drive does not
    know its size or digest yet, or describes another file.
    """
    if file.get("trashed"):
        raise DestinationRefused(
            f"Drive file {file_id} ({file.get('name')}) is in the trash: restore it, then retry"
        )
    missing = [key for key in _IDENTIFYING if not isinstance(file.get(key), str)]
    if missing:
        raise DestinationError(f"Drive files.get of {file_id}: no {', '.join(missing)} yet")
    if file["id"] != file_id or not _SIZE.fullmatch(file["size"]):
        raise DestinationError(
            f"Drive files.get of {file_id} answered about {file['id']:.100} "
            f"of {file['size']:.30} bytes"
        )
    return _read(file)


def _read(file: Mapping[str, Any]) -> DeliveredFile:
    sha256, properties = file.get("sha256Checksum"), file.get("appProperties")
    description = file.get("description")
    return DeliveredFile(
        id=file["id"],
        name=file["name"],
        size_bytes=int(file["size"]),
        md5=file["md5Checksum"],
        sha256=sha256 if isinstance(sha256, str) else None,
        link=str(file.get("webViewLink") or ""),
        properties=properties if isinstance(properties, dict) else {},
        description=description if isinstance(description, str) else None,
    )


def metadata(file: Mapping[str, Any], file_id: str) -> FileMetadata:
    """The file under `file_id`, in the trash or not, from its metadata with `FILE_FIELDS`.

    Raises `DestinationError` when Drive describes another file, or none.
    """
    if file.get("id") != file_id or not isinstance(file.get("name"), str):
        raise DestinationError(f"Drive files.get of {file_id} answered about another file")
    size, md5, sha256 = (file.get(key) for key in ("size", "md5Checksum", "sha256Checksum"))
    return FileMetadata(
        name=file["name"],
        size_bytes=int(size) if isinstance(size, str) and _SIZE.fullmatch(size) else None,
        md5=md5 if isinstance(md5, str) else None,
        sha256=sha256 if isinstance(sha256, str) else None,
        trashed=file.get("trashed") is True,
    )


def total_bytes(request: Request, answer: HttpResponse, *, offset: int) -> int:
    """The whole content's size, from a response with the part that starts at `offset`."""
    if answer.status == 200 and offset == 0:
        return len(answer.body)  # servers may ignore ranges: this is the whole content
    stated = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if stated is None or int(stated[1]) != offset or not answer.body:
        raise DestinationError(f"Drive {request.operation}: not the range that was asked for")
    return int(stated[2])
