"""A complete request, and the steps that all acts share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.emulators.drive.answers import Answer, DriveError, bad_request, json_answer
from tests.emulators.drive.items import Identity, Item
from tests.emulators.drive.routes import Head, Route
from tests.emulators.drive.schema import check_query, parse_fields, project
from tests.emulators.drive.world import World

# What `files.*` answers without `fields`.
DEFAULT_FIELDS = "kind,id,name,mimeType"


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request with its body, ready to be acted on."""

    head: Head
    route: Route
    body: bytes
    whole: bool = True
    """False when the connection broke before the announced body had arrived."""
    at_most: int | None = None
    """Of a chunk, take no more than this."""
    makes: bool = True
    """False when a session with all bytes is not to make the file of them."""
    gone_status: int | None = None
    """Make the upload session disappear with this status."""

    @property
    def identity(self) -> Identity:
        return self.head.identity

    @property
    def target_id(self) -> str:
        return self.route.target_id

    def query(self, method: str, *, schema: str | None = None) -> dict[str, str]:
        """The checked query of `method`; `fields` must select from `schema` if given.

        A bad selection has to be refused before anything is done.
        """
        query = check_query(method, self.head.query)
        if schema is not None and "fields" in query:
            parse_fields(query["fields"], schema)
        return query

    def metadata(self) -> object:
        """The JSON body of a request that has no media."""
        kind = self.head.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.body.strip() and kind != "application/json":
            raise bad_request(f"The metadata must be application/json, not '{kind}'.")
        return parse_json(self.body)


def parse_json(body: bytes) -> object:
    """A body as JSON in UTF-8; an empty one is an empty object."""
    try:
        return json.loads(body.decode("utf-8")) if body.strip() else {}
    except ValueError as error:
        raise DriveError(400, "parseError", f"Parse Error: {error}") from error


def all_drives(query: dict[str, str]) -> bool:
    return "true" in (query.get("supportsAllDrives"), query.get("supportsTeamDrives"))


def resource_answer(found: dict[str, Any], schema: str, fields: str) -> Answer:
    return json_answer(project(found, parse_fields(fields, schema)))


def file_answer(world: World, identity: Identity, item: Item, fields: str | None) -> Answer:
    return resource_answer(world.resource(identity, item), "File", fields or DEFAULT_FIELDS)
