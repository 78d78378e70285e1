"""Entry IDs as text: what a typed ID may be in the database, and how an ID is displayed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from bson import (
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Timestamp,
    json_util,
)
from bson.binary import (
    BINARY_SUBTYPE,
    OLD_UUID_SUBTYPE,
    UUID_SUBTYPE,
    Binary,
    UuidRepresentation,
)
from bson.errors import BSONError

from daybook import display
from daybook.export.model.ids import addressable, hashable
from daybook.export.rendering.cells.text import plain_text
from daybook.export.rendering.cells.values import RejectedValue

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(inf(inity)?|nan)", re.ASCII | re.IGNORECASE)
_HEX = re.compile(r"([0-9a-fA-F]{2})+", re.ASCII)
_INT64 = 2**63
_OLD_UUIDS = (
    UuidRepresentation.PYTHON_LEGACY,
    UuidRepresentation.JAVA_LEGACY,
    UuidRepresentation.CSHARP_LEGACY,
)
"""The byte orders in which drivers stored UUIDs before subtype 4."""
_JSON = json_util.RELAXED_JSON_OPTIONS
_WRITTEN_AS_JSON = (Mapping, DBRef, Timestamp, MinKey, MaxKey, Code, Binary)
"""Types that only MongoDB's extended JSON distinguishes from text."""
_AS_HEX = (BINARY_SUBTYPE, OLD_UUID_SUBTYPE, UUID_SUBTYPE)


def candidates(text: str) -> list[Any]:
    """The IDs of any type that are displayed as `text`, the text itself first.

    MongoDB compares numbers by value, so one integer covers int32, int64 and whole doubles and
    decimals.
    """
    return [value for value in _candidates(text) if addressable(value)]


def items_of(
    items: Iterable[Mapping[str, Any]], entry_ids: Iterable[Any]
) -> list[Mapping[str, Any]]:
    """The queue items whose `entryId` is one of the IDs, and not an array that contains it."""
    keys = set(map(hashable, entry_ids))
    return [item for item in items if hashable(item.get("entryId")) in keys]


def displayed(value: Any) -> str:
    """An ID as the file shows it, and any other value as readable text."""
    try:
        return display.text(plain_text(value))
    except RejectedValue:
        pass
    if isinstance(value, _WRITTEN_AS_JSON) and getattr(value, "subtype", None) not in _AS_HEX:
        return display.text(json_util.dumps(value, json_options=_JSON, ensure_ascii=False))
    return display.plain(value)


def type_name(value: Any) -> str:
    """The type of an ID, in words."""
    for kind, name in _TYPE_NAMES:
        if isinstance(value, kind):
            return name
    return type(value).__name__


_TYPE_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "text"),
    (ObjectId, "an ObjectId"),
    (bool, "a boolean"),
    ((int, float, Decimal128), "a number"),
    ((UUID, Binary, bytes), "binary"),
    (datetime, "a date"),
    (Mapping, "a document"),
)


def _candidates(text: str) -> Iterator[Any]:
    yield text
    if ObjectId.is_valid(text):
        yield ObjectId(text)
    if text.lower() in ("true", "false"):
        yield text.lower() == "true"
    yield from _numbers(text)
    yield from _binaries(text)
    yield from _written_as_json(text)
    try:
        moment = datetime.fromisoformat(text)
        yield moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return


def _numbers(text: str) -> Iterator[Any]:
    if _NOT_FINITE.fullmatch(text):
        yield float(text)
        return
    if not _NUMBER.fullmatch(text):
        return
    try:
        number = Decimal(text)
    except InvalidOperation:  # the exponent is out of range
        return
    whole = -_INT64 <= number < _INT64 and number == number.to_integral_value()
    if whole:
        yield Int64(number)
        return
    # 0.1 as a double and 0.1 as a decimal are different values, and both are displayed as 0.1.
    if Decimal(repr(float(text))) == number:
        yield float(text)
    try:
        yield Decimal128(text)
    except ArithmeticError:
        return


def _written_as_json(text: str) -> Iterator[Any]:
    """IDs that are documents, such as `{"company": 7, "no": 12}`, or of a rare type."""
    if not text.startswith("{"):
        return
    try:
        yield json_util.loads(text, json_options=_JSON)
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, BSONError):
        return


def _binaries(text: str) -> Iterator[Any]:
    if not _HEX.fullmatch(text.replace("-", "")):
        return
    try:
        uuid = UUID(text)
    except ValueError:
        pass
    else:
        yield Binary.from_uuid(uuid, UuidRepresentation.STANDARD)
        for order in _OLD_UUIDS:
            yield Binary.from_uuid(uuid, order)
        yield Binary(uuid.bytes, OLD_UUID_SUBTYPE)
    if "-" not in text:
        yield bytes.fromhex(text)
