"""Files, folders and shared drives, and who may do what with them."""

from __future__ import annotations

import hashlib
import secrets
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

FOLDER_TYPE = "application/vnd.google-apps.folder"
SHORTCUT_TYPE = "application/vnd.google-apps.shortcut"

# https://developers.google.com/workspace/drive/api/guides/ref-roles; "writer" is what the
# user interface of a shared drive calls contributor, "fileOrganizer" content manager.
ROLES = ("none", "reader", "commenter", "writer", "fileOrganizer", "organizer", "owner")

_ALPHABET = string.ascii_letters + string.digits + "-_"


def rank(role: str) -> int:
    return ROLES.index(role)


def new_id(prefix: str = "1", length: int = 33) -> str:
    """An id of the length and alphabet that Drive uses."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length - len(prefix)))


def timestamp(moment: datetime) -> str:
    """RFC 3339 with milliseconds, in UTC, as Drive prints it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who makes a request."""

    name: str
    acts_for_user: bool = False
    """True for a person, or a service account acting for one; only these own storage."""
    application: str = ""
    """The OAuth client that the credentials belong to; a service account is one by itself."""

    @property
    def client(self) -> str:
        return self.application or self.name


@dataclass(frozen=True, kw_only=True)
class SharedDrive:
    id: str
    name: str


@dataclass(kw_only=True)
class Item:
    """A file or folder as the stand-in keeps it."""

    id: str
    name: str
    mime_type: str
    parents: list[str]
    appeared: datetime
    """When it was made here; `created` may be set by the client."""
    created: datetime
    modified: datetime
    drive_id: str | None = None
    content: bytes | None = None
    description: str | None = None
    app_properties: dict[str, dict[str, str]] = field(default_factory=dict)
    """By the application that wrote them and alone can see them."""
    properties: dict[str, str] = field(default_factory=dict)
    starred: bool = False
    trashed: bool = False
    version: int = 1
    created_by: str | None = None
    other: dict[str, Any] = field(default_factory=dict)
    """Writable fields that the stand-in keeps but gives no meaning to."""
    md5: str | None = None
    sha1: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        self.take_content(self.content)

    @property
    def is_folder(self) -> bool:
        return self.mime_type == FOLDER_TYPE

    def take_content(self, content: bytes | None) -> None:
        self.content = content
        if content is not None:
            self.md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            self.sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            self.sha256 = hashlib.sha256(content).hexdigest()

    def touch(self, now: datetime) -> None:
        self.modified = now
        self.version += 1

    def resource(self, identity: Identity, role: str) -> dict[str, Any]:
        """The whole `File` resource.

        https://developers.google.com/workspace/drive/api/reference/rest/v3/files#File
        """
        place = "drive/folders" if self.is_folder else "file/d"
        view = f"https://drive.google.com/{place}/{self.id}"
        mine = self.created_by == identity.name
        found: dict[str, Any] = {
            **self.other,
            "kind": "drive#file",
            "id": self.id,
            "name": self.name,
            "mimeType": self.mime_type,
            "starred": self.starred,
            "trashed": self.trashed,
            "explicitlyTrashed": self.trashed,
            "parents": list(self.parents),
            "spaces": ["drive"],
            "version": str(self.version),
            "webViewLink": view if self.is_folder else f"{view}/view?usp=drivesdk",
            "createdTime": timestamp(self.created),
            "modifiedTime": timestamp(self.modified),
            "shared": True,
            "modifiedByMe": mine,
            "writersCanShare": True,
            "isAppAuthorized": True,
            "capabilities": capabilities(self, role),
        }
        if self.drive_id is not None:
            found |= {"driveId": self.drive_id, "teamDriveId": self.drive_id}
            found["hasAugmentedPermissions"] = False
        else:
            found["ownedByMe"] = mine
        if self.description is not None:
            found["description"] = self.description
        if private := self.app_properties.get(identity.client):
            found["appProperties"] = dict(private)
        if self.properties:
            found["properties"] = dict(self.properties)
        if self.content is not None:
            found |= self._of_content()
        return found

    def _of_content(self) -> dict[str, Any]:
        size = str(len(self.content or b""))
        extension = self.name.rpartition(".")[2] if "." in self.name else ""
        return {
            "size": size,
            "quotaBytesUsed": size,
            "md5Checksum": self.md5,
            "sha1Checksum": self.sha1,
            "sha256Checksum": self.sha256,
            "originalFilename": self.name,
            "fullFileExtension": extension,
            "fileExtension": extension,
            "headRevisionId": f"0B{hashlib.sha256(self.id.encode()).hexdigest()[:30]}",
            "webContentLink": f"https://drive.google.com/uc?id={self.id}&export=download",
        }


def capabilities(item: Item, role: str) -> dict[str, bool]:
    """What a role may do: a contributor adds and edits, but neither trashes nor deletes.

    https://support.google.com/a/answer/7337554
    """
    reads, writes = rank(role) >= rank("reader"), rank(role) >= rank("writer")
    owner_side = rank(role) >= rank("owner")
    shared = item.drive_id is not None
    trashes = rank(role) >= rank("fileOrganizer") if shared else owner_side
    deletes = rank(role) >= rank("organizer") if shared else owner_side
    found = {
        "canEdit": writes,
        "canRename": writes,
        "canModifyContent": writes,
        "canComment": rank(role) >= rank("commenter"),
        "canCopy": reads and not item.is_folder,
        "canDownload": reads,
        "canReadRevisions": writes and not item.is_folder,
        "canShare": writes,
        "canTrash": trashes,
        "canUntrash": writes if shared else owner_side,
        "canDelete": deletes,
        "canAddChildren": writes and item.is_folder,
        "canListChildren": reads and item.is_folder,
        "canRemoveChildren": trashes and item.is_folder,
    }
    if shared:
        found |= {
            "canReadDrive": reads,
            "canDeleteChildren": deletes and item.is_folder,
            "canTrashChildren": trashes and item.is_folder,
            "canMoveItemWithinDrive": writes,
            "canMoveItemOutOfDrive": deletes,
        }
    return found
