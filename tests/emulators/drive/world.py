"""Everything the stand-in knows, and the acts that change it. Knows nothing of HTTP."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.emulators.drive.answers import (
    DriveError,
    file_not_found,
    invalid,
    no_permission,
    refusal,
)
from tests.emulators.drive.items import (
    FOLDER_TYPE,
    SHORTCUT_TYPE,
    Identity,
    Item,
    SharedDrive,
    capabilities,
    new_id,
    rank,
)
from tests.emulators.drive.metadata import Metadata

DRIVE_ID = "0AJxW4mT7cQz2Uk9PVA"
FOLDER_ID = "1mT0kQ5zWc8rY3uJp7LhVb2XsGf6DnEaq"
MY_DRIVE_FOLDER_ID = "1Rz8xTb4NvQe6YwHc2KjMs9UgPf3LaDiX"
READ_ONLY_DRIVE_ID = "0AGv7nB2yLr5XUk9PVA"
READ_ONLY_FOLDER_ID = "1Ha3WdPq9KsJx5ZtBe7VyCn4RfMg2LuTo"
MY_DRIVE_OWNER = "owner@example.com"

_DOCS_EDITORS = "application/vnd.google-apps."


@dataclass(frozen=True, kw_only=True)
class IssuedId:
    """An id from `files.generateIds`, which only its identity may use."""

    identity: str
    space: str
    type: str


class World:
    """Drives, files, ids and grants; every public method holds `lock` while it works."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.items: dict[str, Item] = {}
        self.drives: dict[str, SharedDrive] = {}
        self.issued: dict[str, IssuedId] = {}
        self.used_ids: set[str] = set()
        self.grants: dict[tuple[str, str | None], str] = {}
        """Role by (folder, drive or file, identity or None for everyone)."""
        self.listing_lag = timedelta(0)
        self._lay_out()

    def _lay_out(self) -> None:
        self.add_drive(DRIVE_ID, "Accounting", role="writer")
        self.add_folder("Daily batches", parent=DRIVE_ID, folder_id=FOLDER_ID)
        self.add_drive(READ_ONLY_DRIVE_ID, "Archive", role="reader")
        self.add_folder("Old batches", parent=READ_ONLY_DRIVE_ID, folder_id=READ_ONLY_FOLDER_ID)
        self.add_folder("Exports", parent=None, folder_id=MY_DRIVE_FOLDER_ID)
        self.grant(MY_DRIVE_FOLDER_ID, "writer")
        self.grant(MY_DRIVE_FOLDER_ID, "owner", MY_DRIVE_OWNER)

    # Setting the scene

    def add_drive(self, drive_id: str, name: str, *, role: str) -> str:
        """A shared drive; its id is also that of its root folder."""
        with self.lock:
            self.drives[drive_id] = SharedDrive(id=drive_id, name=name)
            self._put_folder(drive_id, name, parents=[], drive_id=drive_id)
            self.grant(drive_id, role)
            return drive_id

    def add_folder(self, name: str, *, parent: str | None, folder_id: str | None = None) -> str:
        with self.lock:
            found = self.items.get(parent) if parent else None
            self._put_folder(
                folder_id or new_id(),
                name,
                parents=[parent] if parent else [],
                drive_id=found.drive_id if found else None,
            )
            return folder_id or next(reversed(self.items))

    def _put_folder(
        self, folder_id: str, name: str, *, parents: list[str], drive_id: str | None
    ) -> None:
        now = self.clock()
        self.used_ids.add(folder_id)
        self.items[folder_id] = Item(
            id=folder_id,
            name=name,
            mime_type=FOLDER_TYPE,
            parents=parents,
            appeared=now,
            created=now,
            modified=now,
            drive_id=drive_id,
        )

    def grant(self, container_id: str, role: str, identity: str | None = None) -> None:
        """Give `role` on a drive, folder or file and what lies below; None means everyone."""
        rank(role)
        with self.lock:
            self.grants[container_id, identity] = role

    # Permissions

    def role(self, identity: Identity, item: Item) -> str:
        """The strongest role on the item or anything above it."""
        best = "none"
        for node_id in self._line(item):
            own = self.grants.get((node_id, identity.name))
            granted = own or self.grants.get((node_id, None), "none")
            best = max(best, granted, key=rank)
        return best

    def _line(self, item: Item) -> list[str]:
        line, current = [item.id], item
        while current.parents and current.parents[0] in self.items:
            current = self.items[current.parents[0]]
            line.append(current.id)
        return line

    def seen(self, identity: Identity, file_id: str, *, all_drives: bool) -> Item:
        """The item, or 404 for one that this request may not see."""
        with self.lock:
            item = self.items.get(self._resolve(identity, file_id))
            if item is None or (item.drive_id is not None and not all_drives):
                raise file_not_found(file_id)
            if self.role(identity, item) == "none":
                raise file_not_found(file_id)
            return item

    def _resolve(self, identity: Identity, file_id: str) -> str:
        if file_id != "root":
            return file_id
        root_id = f"0A{hashlib.sha256(identity.name.encode()).hexdigest()[:11]}Uk9PVA"
        if root_id not in self.items:
            self._put_folder(root_id, "My Drive", parents=[], drive_id=None)
            self.grant(root_id, "owner", identity.name)
        return root_id

    def resource(self, identity: Identity, item: Item) -> dict[str, Any]:
        with self.lock:
            return item.resource(identity, self.role(identity, item))

    # Acts

    def generate_ids(self, identity: Identity, count: int, space: str, kind: str) -> list[str]:
        if space not in ("drive", "appDataFolder"):
            raise invalid("Invalid Value", location="space")
        if kind not in ("files", "shortcuts"):
            raise invalid("Invalid Value", location="type")
        with self.lock:
            made = [new_id() for _ in range(count)]
            issued = IssuedId(identity=identity.name, space=space, type=kind)
            self.issued |= dict.fromkeys(made, issued)
            return made

    def check_create(self, identity: Identity, metadata: Metadata, *, all_drives: bool) -> Item:
        """Refuse what could not be created; returns the parent folder."""
        with self.lock:
            parent = self._parent(identity, metadata, all_drives)
            if not capabilities(parent, self.role(identity, parent))["canAddChildren"]:
                raise no_permission()
            is_folder = metadata.mime_type == FOLDER_TYPE
            if parent.drive_id is None and not identity.acts_for_user and not is_folder:
                raise refusal(403, "storageQuotaExceeded")
            if metadata.id is not None:
                self._check_issued(identity, metadata)
            return parent

    def _parent(self, identity: Identity, metadata: Metadata, all_drives: bool) -> Item:
        parents = metadata.parents or ["root"]
        if len(parents) > 1:
            raise DriveError(
                403, "teamDrivesParentLimit", "A shared drive item must have exactly one parent."
            )
        parent = self.seen(identity, parents[0], all_drives=all_drives)
        if not parent.is_folder:
            raise DriveError(403, "parentNotAFolder", "The specified parent is not a folder.")
        return parent

    def _check_issued(self, identity: Identity, metadata: Metadata) -> None:
        issued = self.issued.get(metadata.id or "")
        if (metadata.mime_type or "").startswith(_DOCS_EDITORS) and metadata.mime_type not in (
            FOLDER_TYPE,
            SHORTCUT_TYPE,
        ):
            raise DriveError(
                403,
                "insufficientFilePermissions",
                "Generated IDs are not supported for Docs Editors formats.",
            )
        kind = "shortcuts" if metadata.mime_type == SHORTCUT_TYPE else "files"
        if metadata.id in self.used_ids:
            return
        if issued is None or issued != IssuedId(identity=identity.name, space="drive", type=kind):
            raise invalid("The provided file ID is not usable.", location="file.id", kind="other")

    def check_id_free(self, metadata: Metadata) -> None:
        """409 for an id that ever was a file's: deleting frees nothing."""
        with self.lock:
            if metadata.id in self.used_ids:
                error = refusal(409, "fileIdInUse")
                error.location, error.location_type = "file.id", "other"
                raise error

    def create(
        self,
        identity: Identity,
        metadata: Metadata,
        content: bytes | None,
        *,
        media_type: str | None,
        all_drives: bool,
    ) -> Item:
        """Make the file, all checks included, in one step."""
        with self.lock:
            parent = self.check_create(identity, metadata, all_drives=all_drives)
            self.check_id_free(metadata)
            now = self.clock()
            mime_type = metadata.mime_type or media_type or "application/octet-stream"
            if content is None and not mime_type.startswith(_DOCS_EDITORS):
                content = b""
            item = Item(
                id=metadata.id or new_id(),
                name=metadata.name,
                mime_type=mime_type,
                parents=[parent.id],
                appeared=now,
                created=metadata.moment("createdTime") or now,
                modified=metadata.moment("modifiedTime") or now,
                drive_id=parent.drive_id,
                content=content,
                created_by=identity.name,
            )
            metadata.apply(item, identity.client)
            self.used_ids.add(item.id)
            self.items[item.id] = item
            if item.drive_id is None:
                self.grant(item.id, "owner", identity.name)
            return item

    def update(
        self, identity: Identity, file_id: str, metadata: Metadata, *, all_drives: bool
    ) -> Item:
        with self.lock:
            item = self.seen(identity, file_id, all_drives=all_drives)
            may = capabilities(item, self.role(identity, item))
            if not may["canEdit"]:
                raise no_permission()
            wanted = metadata.values.get("trashed", item.trashed)
            if wanted != item.trashed and not may["canTrash" if wanted else "canUntrash"]:
                raise no_permission()
            metadata.apply(item, identity.client)
            item.touch(self.clock())
            return item

    def delete(self, identity: Identity, file_id: str, *, all_drives: bool) -> None:
        with self.lock:
            item = self.seen(identity, file_id, all_drives=all_drives)
            if not capabilities(item, self.role(identity, item))["canDelete"]:
                raise no_permission()
            del self.items[item.id]
