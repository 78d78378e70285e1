"""The acts behind the routes: from a complete request to an answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.emulators.drive.answers import Answer, DriveError, bad_request
from tests.emulators.drive.call import (
    DEFAULT_FIELDS,
    Call,
    all_drives,
    file_answer,
    resource_answer,
)
from tests.emulators.drive.items import Item, capabilities
from tests.emulators.drive.metadata import for_update
from tests.emulators.drive.search import search
from tests.emulators.drive.uploads import Uploads
from tests.emulators.drive.world import World

_IN_SESSION = frozenset(
    {"chunk", "chunk_last", "session_cancel", "session_finish", "session_query"}
)

_BYTES = re.compile(r"bytes=(\d+)-(\d*)")


class Service:
    """Drive v3 as far as Daybook and its tests need it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.uploads = Uploads(world)
        self.require_auth = False
        self._acts: dict[str, Callable[[Call], Answer]] = {
            "about": self._about,
            "delete": self._delete,
            "download": self._download,
            "drive_get": self._drive_get,
            "generateIds": self._generate_ids,
            "get": self._get,
            "list": self._list,
            "unknown": self._unknown,
            "update": self._update,
            **self.uploads.acts,
        }

    def perform(self, call: Call) -> Answer:
        """Act, in one step under the lock; a refusal is an answer, too."""
        with self.world.lock:
            try:
                self._check_auth(call)
                return self._acts[call.route.operation](call)
            except DriveError as error:
                return error.answer()

    def _check_auth(self, call: Call) -> None:
        """A session's address is enough by itself; everything else needs a token."""
        anonymous = call.identity.name == "anonymous"
        if self.require_auth and anonymous and call.route.operation not in _IN_SESSION:
            raise DriveError(
                401,
                "authError",
                "Invalid Credentials",
                location="Authorization",
                location_type="header",
            )

    def _unknown(self, call: Call) -> Answer:
        raise DriveError(404, "notFound", f"No method {call.head.method} {call.head.path}.")

    def _generate_ids(self, call: Call) -> Answer:
        query = call.query("files.generateIds", schema="GeneratedIds")
        space = query.get("space", "drive")
        ids = self.world.generate_ids(
            call.identity, int(query.get("count", "10")), space, query.get("type", "files")
        )
        found = {"kind": "drive#generatedIds", "space": space, "ids": ids}
        return resource_answer(found, "GeneratedIds", query.get("fields", "*"))

    def _about(self, call: Call) -> Answer:
        query = call.query("about.get", schema="About")
        if "fields" not in query:
            raise DriveError(
                400,
                "required",
                "The 'fields' parameter is required for this method.",
                location="fields",
            )
        name = call.identity.name
        user = {
            "kind": "drive#user",
            "displayName": name,
            "emailAddress": name,
            "me": True,
            "permissionId": name,
        }
        storage = {"usage": "0", "usageInDrive": "0", "usageInDriveTrash": "0"}
        if not call.identity.acts_for_user:
            storage["limit"] = "0"
        found = {"kind": "drive#about", "user": user, "storageQuota": storage}
        return resource_answer(found, "About", query["fields"])

    def _drive_get(self, call: Call) -> Answer:
        query = call.query("drives.get", schema="Drive")
        drive = self.world.drives.get(call.target_id)
        role = self.world.role(call.identity, self.world.items[drive.id]) if drive else "none"
        if drive is None or role == "none":
            message = f"Shared drive not found: {call.target_id}"
            raise DriveError(404, "notFound", message, location="driveId")
        may = capabilities(self.world.items[drive.id], role)
        known = {"canAddChildren", "canEdit", "canListChildren", "canComment", "canCopy"}
        found = {
            "kind": "drive#drive",
            "id": drive.id,
            "name": drive.name,
            "capabilities": {key: value for key, value in may.items() if key in known},
        }
        return resource_answer(found, "Drive", query.get("fields", "kind,id,name"))

    def _get(self, call: Call) -> Answer:
        query = call.query("files.get", schema="File")
        item = self._seen(call, query)
        return file_answer(self.world, call.identity, item, query.get("fields"))

    def _download(self, call: Call) -> Answer:
        query = call.query("files.get", schema="File")
        item = self._seen(call, query)
        if item.content is None:
            raise DriveError(
                403,
                "fileNotDownloadable",
                "Only files with binary content can be downloaded. "
                "Use Export with Docs Editors files.",
            )
        headers = {"Content-Type": item.mime_type}
        wanted = _BYTES.fullmatch(call.head.headers.get("range", ""))
        if wanted is not None:
            begin = int(wanted[1])
            part = item.content[begin : int(wanted[2]) + 1 if wanted[2] else None]
            last, size = begin + len(part) - 1, len(item.content)
            headers["Content-Range"] = f"bytes {begin}-{last}/{size}"
            return Answer(status=206, body=part, headers=headers)
        return Answer(status=200, body=item.content, headers=headers)

    def _list(self, call: Call) -> Answer:
        query = call.query("files.list", schema="FileList")
        items, more = search(self.world, call.identity, query)
        found: dict[str, Any] = {
            "kind": "drive#fileList",
            "incompleteSearch": False,
            "files": [self.world.resource(call.identity, item) for item in items],
        }
        if more is not None:
            found["nextPageToken"] = more
        default = f"kind,incompleteSearch,nextPageToken,files({DEFAULT_FIELDS})"
        return resource_answer(found, "FileList", query.get("fields", default))

    def _update(self, call: Call) -> Answer:
        query = call.query("files.update", schema="File")
        for name in ("addParents", "removeParents"):
            if name in query:
                raise bad_request(f"The stand-in does not move files: {name}.", location=name)
        metadata = for_update(call.metadata())
        item = self.world.update(
            call.identity, call.target_id, metadata, all_drives=all_drives(query)
        )
        return file_answer(self.world, call.identity, item, query.get("fields"))

    def _delete(self, call: Call) -> Answer:
        query = call.query("files.delete")
        self.world.delete(call.identity, call.target_id, all_drives=all_drives(query))
        return Answer(status=204)

    def _seen(self, call: Call, query: dict[str, str]) -> Item:
        return self.world.seen(call.identity, call.target_id, all_drives=all_drives(query))
