"""What tests get to see of the stand-in's files and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.emulators.drive.items import Item
from tests.emulators.drive.sessions import Session


@dataclass(frozen=True, kw_only=True)
class DriveFile:
    """A file as it lies in the stand-in."""

    id: str
    name: str
    content: bytes
    properties: Mapping[str, str]
    """Its `appProperties`, of all applications."""
    md5: str
    size_bytes: int
    description: str | None
    folder_id: str
    mime_type: str
    trashed: bool
    created: datetime


@dataclass(frozen=True, kw_only=True)
class OpenSession:
    """An upload session as the stand-in sees it."""

    id: str
    file_id: str | None
    """The id that its metadata asks for."""
    held_bytes: int
    complete: bool
    gone: bool


def file_view(item: Item) -> DriveFile:
    content = item.content or b""
    return DriveFile(
        id=item.id,
        name=item.name,
        content=content,
        properties={
            key: value for own in item.app_properties.values() for key, value in own.items()
        },
        md5=item.md5 or "",
        size_bytes=len(content),
        description=item.description,
        folder_id=item.parents[0],
        mime_type=item.mime_type,
        trashed=item.trashed,
        created=item.created,
    )


def session_view(session: Session) -> OpenSession:
    return OpenSession(
        id=session.id,
        file_id=session.metadata.id,
        held_bytes=session.held,
        complete=session.file_id is not None,
        gone=session.gone_status is not None,
    )
