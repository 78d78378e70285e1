"""An object's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from daybook.destinations.base import NewFile, media_type, require_plain_name
from daybook.errors import UNREADABLE

_KEY = "daybook"


@dataclass(frozen=True, kw_only=True)
class Note:
    """Stored as one ASCII value, since S3 converts metadata keys to lower case.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """

    id: str = ""
    name: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    published: bool = False
    """True for the tombstone left in place of a published file."""
    etag: str = ""
    size_bytes: int = 0

    @classmethod
    def of(cls, file: NewFile) -> Note:
        require_plain_name(file.name)
        return cls(id=file.id, name=file.name, properties=file.properties)

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Note:
        """Read it from a HEAD or GET; an object that is not ours has an empty ID."""
        found = cls(etag=answer["ETag"], size_bytes=answer["ContentLength"])
        try:
            note = json.loads(answer["Metadata"].get(_KEY, "{}"))
            return replace(
                found,
                id=str(note.get("id", "")),
                name=str(note.get("name", "")),
                properties=dict(note.get("properties", {})),
                published=note.get("published") is True,
            )
        except UNREADABLE:
            return found  # another program's metadata under our key

    def to_parameters(self) -> dict[str, Any]:
        """Parameters of a request that creates an object."""
        note = {
            "id": self.id,
            "name": self.name,
            "properties": dict(self.properties),
            "published": self.published,
        }
        return {"ContentType": media_type(self.name), "Metadata": {_KEY: json.dumps(note)}}
