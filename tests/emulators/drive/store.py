"""The stand-in's state as a file, so that a process of it can be stopped and started again."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.emulators.drive.items import Identity, Item, SharedDrive
from tests.emulators.drive.metadata import Metadata
from tests.emulators.drive.service import Service
from tests.emulators.drive.sessions import Session
from tests.emulators.drive.world import IssuedId

_COMPUTED = ("md5", "sha1", "sha256")


def save_state(service: Service, path: Path) -> None:
    """Write everything that outlives the process; replaces the file in one step."""
    world = service.world
    with world.lock:
        found = {
            "items": [_plain(asdict(item)) for item in world.items.values()],
            "drives": [asdict(drive) for drive in world.drives.values()],
            "issued": {key: asdict(value) for key, value in world.issued.items()},
            "usedIds": sorted(world.used_ids),
            "grants": [[*key, role] for key, role in world.grants.items()],
            "sessions": [
                _plain({**vars(session), "identity": asdict(session.identity)})
                for session in service.uploads.sessions.values()
                if session.failure is None
            ],
        }
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(found))
    scratch.replace(path)


def load_state(service: Service, path: Path) -> None:
    """Take over what `save_state` wrote."""
    found = json.loads(path.read_text())
    world = service.world
    with world.lock:
        world.items = {item["id"]: _item(item) for item in found["items"]}
        world.drives = {drive["id"]: SharedDrive(**drive) for drive in found["drives"]}
        world.issued = {key: IssuedId(**value) for key, value in found["issued"].items()}
        world.used_ids = set(found["usedIds"])
        world.grants = {(place, who): role for place, who, role in found["grants"]}
        service.uploads.sessions = {
            session["id"]: _session(session) for session in found["sessions"]
        }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in values.items() if key not in _COMPUTED}
    for key, value in plain.items():
        if isinstance(value, bytes | bytearray):
            plain[key] = base64.b64encode(value).decode()
        elif isinstance(value, datetime):
            plain[key] = value.isoformat()
        elif isinstance(value, Metadata):
            plain[key] = dict(value.values)
    return plain


def _item(values: dict[str, Any]) -> Item:
    for key in ("appeared", "created", "modified"):
        values[key] = datetime.fromisoformat(values[key])
    if values["content"] is not None:
        values["content"] = base64.b64decode(values["content"])
    return Item(**values)


def _session(values: dict[str, Any]) -> Session:
    values["identity"] = Identity(**values["identity"])
    values["metadata"] = Metadata(values=values["metadata"])
    values["opened"] = datetime.fromisoformat(values["opened"])
    values["data"] = bytearray(base64.b64decode(values["data"]))
    return Session(**values)
