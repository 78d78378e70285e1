"""Whether a Drive folder can take files from this account, and what to do if not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybook.destinations.base import Finding
from daybook.destinations.drive.errors import NO_ACCESS_ADVICE, NO_STORAGE_ADVICE

FIELDS = "id,name,mimeType,driveId,trashed,capabilities(canAddChildren)"
_FOLDER_TYPE = "application/vnd.google-apps.folder"


def findings(folder: Mapping[str, Any], *, subject: str | None) -> list[Finding]:
    """Check a folder's metadata as returned by `files.get` with `FIELDS`."""
    return [
        _is_folder(folder),
        _has_storage(folder, subject),
        _takes_files(folder),
    ]


def _is_folder(folder: Mapping[str, Any]) -> Finding:
    name = folder.get("name")
    if folder.get("mimeType") != _FOLDER_TYPE:
        detail = f"{name!r} is not a folder. Set DAYBOOK_DESTINATION to drive://FOLDER_ID"
    elif folder.get("trashed"):
        detail = f"folder {name!r} is in the trash. Restore it"
    else:
        return Finding(name="drive folder", ok=True, detail=f"folder {name!r}")
    return Finding(name="drive folder", ok=False, detail=detail)


def _has_storage(folder: Mapping[str, Any], subject: str | None) -> Finding:
    if folder.get("driveId"):
        return Finding(name="drive storage", ok=True, detail="the folder is in a shared drive")
    if subject:
        return Finding(name="drive storage", ok=True, detail=f"files will belong to {subject}")
    return Finding(
        name="drive storage",
        ok=False,
        detail=f"the folder is not in a shared drive. {NO_STORAGE_ADVICE}",
    )


def _takes_files(folder: Mapping[str, Any]) -> Finding:
    capabilities = folder.get("capabilities")
    if isinstance(capabilities, Mapping) and capabilities.get("canAddChildren"):
        return Finding(name="drive access", ok=True, detail="this account may add files")
    return Finding(
        name="drive access", ok=False, detail=f"this account may not add files. {NO_ACCESS_ADVICE}"
    )
