"""Metadata as a client sends it: which fields may be written, and their limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.emulators.drive.answers import DriveError, invalid
from tests.emulators.drive.items import Item
from tests.emulators.drive.schema import check_body, output_only

# https://developers.google.com/workspace/drive/api/guides/properties
MAX_PROPERTY_BYTES = 124
MAX_PRIVATE_PROPERTIES = 30
MAX_PUBLIC_PROPERTIES = 30

_NOT_IN_UPDATES = frozenset({"id", "parents"})
_KEPT = frozenset({"name", "description", "starred", "trashed", "appProperties", "properties"})
_PLACED = frozenset({"id", "parents", "mimeType", "createdTime", "modifiedTime"})


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """A checked request body."""

    values: Mapping[str, Any]

    @property
    def id(self) -> str | None:
        return self.values.get("id")

    @property
    def name(self) -> str:
        return self.values.get("name") or "Untitled"

    @property
    def mime_type(self) -> str | None:
        return self.values.get("mimeType")

    @property
    def parents(self) -> list[str]:
        return list(self.values.get("parents") or [])

    def moment(self, field: str) -> datetime | None:
        text = self.values.get(field)
        return datetime.fromisoformat(text) if text else None

    def apply(self, item: Item, client: str) -> None:
        """Write the fields into an item; a null clears, and property maps are merged.

        `client` is the application to which `appProperties` are private.
        """
        for key, value in self.values.items():
            if key == "appProperties":
                private = _merged(item.app_properties.get(client, {}), value)
                _check_count(private, MAX_PRIVATE_PROPERTIES, "appProperties")
                item.app_properties = {**item.app_properties, client: private}
            elif key == "properties":
                item.properties = _merged(item.properties, value)
                _check_count(item.properties, MAX_PUBLIC_PROPERTIES, "properties")
            elif key == "name":
                item.name = value or "Untitled"
            elif key == "description":
                item.description = value or None
            elif key in ("starred", "trashed"):
                setattr(item, key, bool(value))
            elif key == "mimeType" and value:
                item.mime_type = value
            elif key not in _KEPT | _PLACED:
                item.other[key] = value


def for_create(body: object) -> Metadata:
    return _checked(body, refused=output_only())


def for_update(body: object) -> Metadata:
    return _checked(body, refused=output_only() | _NOT_IN_UPDATES)


def _checked(body: object, *, refused: frozenset[str]) -> Metadata:
    values = check_body(body)
    if refused & values.keys():
        raise DriveError(
            403,
            "fieldNotWritable",
            "The resource body includes fields which are not directly writable.",
        )
    for field in ("appProperties", "properties"):
        for key, value in (values.get(field) or {}).items():
            size = len(key.encode()) + len((value or "").encode())
            if size > MAX_PROPERTY_BYTES:
                raise invalid(
                    f"Property '{key}' takes {size} bytes; key and value may take "
                    f"{MAX_PROPERTY_BYTES} together.",
                    location=f"file.{field}",
                    kind="other",
                )
    return Metadata(values=values)


def _merged(old: Mapping[str, str], new: Mapping[str, str | None] | None) -> dict[str, str]:
    both = {**old, **(new or {})}
    return {key: value for key, value in both.items() if value is not None}


def _check_count(found: Mapping[str, str], limit: int, field: str) -> None:
    if len(found) > limit:
        raise invalid(
            f"{len(found)} properties; a file may have {limit}.",
            location=f"file.{field}",
            kind="other",
        )
