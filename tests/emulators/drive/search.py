"""The part of `files.list` that the stand-in knows: a few terms of `q`, order and pages.

https://developers.google.com/workspace/drive/api/guides/ref-search-terms
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.emulators.drive.answers import DriveError, bad_request, invalid
from tests.emulators.drive.items import Identity, Item
from tests.emulators.drive.world import World

_TEXT = r"'((?:[^'\\]|\\.)*)'"
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_Test = Callable[[Item, str], bool]
"""Whether an item is found by an application, which sees its own properties alone."""
_TERMS: tuple[tuple[re.Pattern[str], Callable[..., _Test]], ...] = (
    (re.compile(rf"{_TEXT}\s+in\s+parents"), lambda a: lambda item, _: a in item.parents),
    (
        re.compile(r"trashed\s*=\s*(true|false)"),
        lambda a: lambda item, _: item.trashed is (a == "true"),
    ),
    (re.compile(rf"name\s*=\s*{_TEXT}"), lambda a: lambda item, _: item.name == a),
    (re.compile(rf"mimeType\s*=\s*{_TEXT}"), lambda a: lambda item, _: item.mime_type == a),
    (
        re.compile(
            rf"appProperties\s+has\s+\{{\s*key\s*=\s*{_TEXT}\s+and\s+value\s*=\s*{_TEXT}\s*\}}"
        ),
        lambda a, b: lambda item, client: item.app_properties.get(client, {}).get(a) == b,
    ),
)
_ORDERS: dict[str, Callable[[Item], Any]] = {
    "createdTime": lambda item: item.created,
    "modifiedTime": lambda item: item.modified,
    "name": lambda item: item.name,
}


def search(
    world: World, identity: Identity, query: dict[str, str]
) -> tuple[list[Item], str | None]:
    """The items of one page and the next page's token."""
    matches = parse_query(query.get("q", ""))
    everywhere = query.get("includeItemsFromAllDrives") == "true"
    if everywhere and query.get("supportsAllDrives") != "true":
        raise DriveError(
            403,
            "teamDrivesNotSupported",
            "The includeItemsFromAllDrives parameter requires supportsAllDrives.",
        )
    if (query.get("corpora") == "drive") != ("driveId" in query):
        raise bad_request("driveId goes with corpora=drive, and the other way round.")
    with world.lock:
        visible_from = world.clock() - world.listing_lag
        found = [
            item
            for item in world.items.values()
            if item.appeared <= visible_from
            and (everywhere or item.drive_id is None)
            and query.get("driveId") in (None, item.drive_id)
            and item.id != item.drive_id
            and world.role(identity, item) != "none"
            and matches(item, identity.client)
        ]
    _sort(found, query.get("orderBy", ""))
    token = query.get("pageToken", "0")
    if not token.isdigit():
        raise invalid("Invalid Value", location="pageToken")
    start, size = int(token), int(query.get("pageSize", "100"))
    more = str(start + size) if start + size < len(found) else None
    return found[start : start + size], more


def parse_query(text: str) -> _Test:
    """A `q` as a test of one item; terms that the stand-in does not know are refused."""
    tests: list[_Test] = []
    rest = text.strip()
    while rest:
        for pattern, build in _TERMS:
            match = pattern.match(rest)
            if match:
                tests.append(build(*(re.sub(r"\\(.)", r"\1", part) for part in match.groups())))
                rest = rest[match.end() :]
                break
        else:
            raise invalid("Invalid Value", location="q")
        if rest:
            joint = _AND.match(rest)
            if joint is None or joint.end() == len(rest):
                raise invalid("Invalid Value", location="q")
            rest = rest[joint.end() :]
    return lambda item, client: all(test(item, client) for test in tests)


def _sort(found: list[Item], order: str) -> None:
    for key in reversed([part.strip() for part in order.split(",") if part.strip()]):
        name, _, direction = key.partition(" ")
        if name not in _ORDERS or direction not in ("", "desc"):
            raise invalid(f"Invalid Value: {key}", location="orderBy")
        found.sort(key=_ORDERS[name], reverse=direction == "desc")
