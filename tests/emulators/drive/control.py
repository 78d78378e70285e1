"""The control API under `/_control/`, for tests that share one stand-in between processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.emulators.drive.answers import (
    Answer,
    DriveError,
    bad_request,
    file_not_found,
    json_answer,
)
from tests.emulators.drive.faults import Fault, planned

if TYPE_CHECKING:
    from tests.emulators.drive import DriveEmulator

CONTROL_PREFIX = "/_control/"

_SETTINGS: dict[str, Callable[[Any], Any]] = {
    "bytes_per_second": lambda value: None if value is None else float(value),
    "conflict_at_session_start": bool,
    "down": lambda value: value if value in ("cut", "") else bool(value),
    "latency_seconds": float,
    "listing_lag": lambda value: timedelta(seconds=value),
    "multipart_limit_bytes": lambda value: None if value is None else int(value),
    "require_auth": bool,
}


def control(emulator: DriveEmulator, method: str, target: str, body: bytes) -> Answer:
    """Answer one control request; what is not understood is refused with its reason."""
    path = urlsplit(target).path.removeprefix(CONTROL_PREFIX).strip("/")
    try:
        values = json.loads(body) if body and not path.startswith("files/") else {}
        return _act(emulator, method, path, values, body)
    except DriveError as error:
        return error.answer()
    except (TypeError, ValueError, KeyError) as error:
        return bad_request(f"{method} {path}: {error!r}").answer()


def _act(
    emulator: DriveEmulator, method: str, path: str, values: dict[str, Any], body: bytes
) -> Answer:
    if path.startswith("files/"):
        return _file(emulator, method, path.split("/")[1], body)
    match method, path:
        case "GET", "state":
            return json_answer(state(emulator))
        case "POST", "faults":
            return json_answer(_fault(emulator.faults.add(planned(**values))))
        case "DELETE", "faults":
            emulator.faults.clear()
        case "POST", "release":
            emulator.faults.release()
        case "POST", "settings":
            for name, value in values.items():
                setattr(emulator, name, _SETTINGS[name](value))
        case "POST", "roles":
            emulator.grant(values["id"], values["role"], values.get("identity"))
        case "POST", "clock":
            emulator.advance(timedelta(seconds=values["seconds"]))
        case "POST", "save":
            emulator.save()
        case _:
            raise DriveError(404, "notFound", f"No control request {method} {path}.")
    return json_answer({})


def _file(emulator: DriveEmulator, method: str, file_id: str, body: bytes) -> Answer:
    """`GET` the content, `PUT` another one behind everybody's back, or `DELETE`."""
    found = next(
        (file for file in emulator.files(include_trashed=True) if file.id == file_id), None
    )
    if found is None:
        raise file_not_found(file_id)
    if method == "PUT":
        emulator.tamper(file_id, body)
    elif method == "DELETE":
        emulator.remove(file_id)
    elif method == "GET":
        return Answer(
            status=200, body=found.content, headers={"Content-Type": "application/octet-stream"}
        )
    return json_answer({})


def state(emulator: DriveEmulator) -> dict[str, Any]:
    """Everything there is to see, contents left out."""
    files = [
        {key: value for key, value in asdict(file).items() if key not in ("content", "created")}
        for file in emulator.files(include_trashed=True)
    ]
    return {
        "driveId": emulator.drive_id,
        "folderId": emulator.folder_id,
        "myDriveFolderId": emulator.my_drive_folder_id,
        "readOnlyFolderId": emulator.read_only_folder_id,
        "files": files,
        "sessions": [asdict(session) for session in emulator.sessions()],
        "issuedIds": list(emulator.world.issued),
        "requests": [asdict(request) for request in emulator.requests],
        "bytesReceived": emulator.bytes_received,
        "faults": [_fault(fault) for fault in emulator.faults.all()],
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {**asdict(fault), "on": sorted(fault.on) if fault.on is not None else None}
