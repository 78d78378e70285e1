"""Reading what Drive answers: documents, upload progress, a delivered file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from daybook.destinations.base import DeliveredFile, Held
from daybook.destinations.drive_errors import unanswered
from daybook.destinations.drive_http import Answer, Request
from daybook.errors import DestinationError, DestinationRefused

FILE_FIELDS = "id,name,size,md5Checksum,sha256Checksum,webViewLink,appProperties,trashed"
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


def document(request: Request, answer: Answer) -> Mapping[str, Any]:
    """The JSON object of an answer; one that is cut off raises what `unanswered` says."""
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise unanswered(
            request.operation, "the answer is not complete JSON", effect=request.effect
        )
    return content


def progress(request: Request, answer: Answer) -> Held:
    """How far a session has come, from its answer with status 200, 201 or 308."""
    if answer.status == 308:
        stated = answer.headers.get("Range")
        held = _RANGE.fullmatch(stated or "bytes=0-0")
        if held is None:
            raise unanswered(request.operation, "an unreadable Range", effect=request.effect)
        return Held(size_bytes=0 if stated is None else int(held[1]) + 1)
    size = str(document(request, answer).get("size"))
    if not size.isdecimal():
        raise unanswered(request.operation, "no size came back", effect=request.effect)
    return Held(size_bytes=int(size), complete=True)


def delivered(file: Mapping[str, Any]) -> DeliveredFile:
    """A file from its metadata with `FILE_FIELDS`.

    Raises `DestinationRefused` when it lies in the trash, `DestinationError` when Drive
    does not know its size or digest yet.
    """
    file_id = str(file.get("id"))
    if file.get("trashed"):
        raise DestinationRefused(
            f"Drive file {file_id} ({file.get('name')}) lies in the trash: restore it, then retry"
        )
    missing = [key for key in ("id", "name", "size", "md5Checksum") if not file.get(key)]
    if missing:
        raise DestinationError(f"Drive files.get of {file_id}: no {', '.join(missing)} yet")
    return DeliveredFile(
        id=file_id,
        name=str(file["name"]),
        size_bytes=int(file["size"]),
        md5=str(file["md5Checksum"]),
        sha256=file.get("sha256Checksum"),
        link=str(file.get("webViewLink") or ""),
        properties=dict(file.get("appProperties") or {}),
    )


def total_bytes(request: Request, answer: Answer, *, offset: int) -> int:
    """The whole content's size, from an answer with the part that begins at `offset`."""
    if answer.status == 200 and offset == 0:
        return len(answer.body)  # ranges are optional: this is the whole content
    stated = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if stated is None or int(stated[1]) != offset or not answer.body:
        raise DestinationError(f"Drive {request.operation}: not the range that was asked for")
    return int(stated[2])
