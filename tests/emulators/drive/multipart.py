"""Multipart uploads, parsed strictly: one JSON part, one media part, nothing else.

https://developers.google.com/workspace/drive/api/guides/manage-uploads#multipart
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser

from tests.emulators.drive.answers import bad_request
from tests.emulators.drive.call import parse_json


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Metadata and media of one request."""

    metadata: object
    media: bytes
    media_type: str


def parse_multipart(content_type: str | None, body: bytes) -> Upload:
    """Split a `multipart/related` body; lines may end in CRLF or, as Python sends them, in LF."""
    boundary = _boundary(content_type)
    opening = b"--" + boundary
    line_end = next((end for end in (b"\r\n", b"\n") if body.startswith(opening + end)), None)
    if line_end is None:
        raise bad_request("Malformed multipart body: it does not begin with the boundary.")
    pieces = (line_end + body).split(line_end + opening)
    if len(pieces) != 4:
        raise bad_request(
            f"Malformed multipart body: {len(pieces) - 2} parts, where two are expected."
        )
    if pieces[3].rstrip(b"\r\n") != b"--":
        raise bad_request("Missing end boundary in multipart body.")
    metadata_headers, metadata = _part(pieces[1], line_end)
    media_headers, media = _part(pieces[2], line_end)
    if metadata_headers.get_content_type() != "application/json":
        raise bad_request("Media multipart must begin with a part of type application/json.")
    if "Content-Type" not in media_headers:
        raise bad_request("The media part has no Content-Type.")
    return Upload(
        metadata=parse_json(metadata),
        media=_decoded(media_headers, media),
        media_type=media_headers.get_content_type(),
    )


def _boundary(content_type: str | None) -> bytes:
    header = Message()
    header["Content-Type"] = content_type or ""
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        raise bad_request(f"Bad Content-Type for a multipart upload: {content_type}.")
    return boundary.encode("ascii")


def _part(piece: bytes, line_end: bytes) -> tuple[Message, bytes]:
    if not piece.startswith(line_end):
        raise bad_request("Malformed multipart body: a boundary does not end its line.")
    head, blank, content = piece[len(line_end) :].partition(line_end * 2)
    if not blank:
        raise bad_request("Malformed multipart body: a part has no end of its headers.")
    return BytesHeaderParser().parsebytes(head + line_end * 2), content


def _decoded(headers: Message, media: bytes) -> bytes:
    encoding = headers.get("Content-Transfer-Encoding", "binary").lower()
    if encoding in ("binary", "8bit", "7bit"):
        return media
    if encoding != "base64":
        raise bad_request(f"Unknown Content-Transfer-Encoding: {encoding}.")
    try:
        return base64.b64decode(b"".join(media.split()), validate=True)
    except binascii.Error as error:
        raise bad_request(f"The media part is not base64: {error}.") from error
