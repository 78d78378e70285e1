"""IDs of any BSON type: as dictionary keys, and which of them a query can match."""

from __future__ import annotations

import re
from collections.abc import Generator, Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import bson
from bson import DBRef, Decimal128, ObjectId, Regex
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection

from daybook.mongo.query import Query

LENIENT = CodecOptions[dict[str, Any]](
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="surrogateescape",
)
"""Decodes whatever is stored, including dates beyond the year 9999 and invalid UTF-8."""

LONGEST_BYTES = 1024
"""Limit for an ID that is text; for others, the limit of their size in BSON.

Thousands of IDs share a document or a query, of at most 16 MiB each. MongoDB itself refused
longer ones in an index until version 4.2.
"""

_RAW = CodecOptions[RawBSONDocument](
    document_class=RawBSONDocument,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="surrogateescape",
)
_IDS = ("_id", "entryId")
_OBJECT_ID_BYTES = len(bson.encode({"": ObjectId()}))
_WRAPPER_BYTES = len(bson.encode({"": ""}))

BY_ID = {"_id": 1}
"""A hint: given two lists of IDs, the planner would try both indexes each time."""


def hashable(value: Any) -> Hashable:
    """A key that is equal for IDs that MongoDB treats as equal.

    Numbers of different types are equal, including inside documents; 1 and true are not.
    """
    if type(value) is ObjectId:
        return value
    if isinstance(value, Decimal128):
        return _number(value.to_decimal())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(Decimal(value))
    if isinstance(value, Altered):
        return ("unreadable", repr(value))
    if isinstance(value, DBRef):
        value = value.as_doc()
    if isinstance(value, Mapping):
        return ("document", tuple((name, hashable(part)) for name, part in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(hashable, value)))
    try:
        return ("other", bson.encode({"": value}, codec_options=LENIENT))
    except UnicodeEncodeError:  # text that was read leniently equals no other text
        return ("unreadable", repr(value))


def addressable(value: Any) -> bool:
    """Whether a query can match the ID, and every reader can decode it.

    False for what `$in` would take for a condition, for what was only read leniently
    (invalid UTF-8, dates beyond the year 9999, `Altered`), and beyond `LONGEST_BYTES`.
    """
    if type(value) is ObjectId:
        return True
    if isinstance(value, Regex | re.Pattern | list | Altered):
        return False
    if isinstance(value, Mapping) and any(name.startswith("$") for name in value):
        return False
    try:
        encoded = bson.encode({"": value}, codec_options=LENIENT)
        bson.decode(encoded)
    except (BSONError, ValueError, OverflowError):
        return False
    return len(encoded) - _WRAPPER_BYTES <= LONGEST_BYTES


def size_of(value: Any) -> int:
    """The approximate size of an addressable ID in BSON."""
    if value is None or type(value) is ObjectId:
        return _OBJECT_ID_BYTES
    return len(bson.encode({"": value}, codec_options=LENIENT))


@dataclass(frozen=True)
class Altered:
    """An ID that decoding has changed, so that a query with it would not match.

    Python cannot represent a document that names a field twice, nor BSON's deprecated types,
    such as DBPointer.
    """

    read_as: Any

    def __str__(self) -> str:
        return str(self.read_as)


def read_items(
    queue: Collection[dict[str, Any]], query: Query, *, batch_size: int = 0, **given: Any
) -> Generator[dict[str, Any], None, None]:
    """Queue items, whatever their IDs are; see `decode_items`."""
    with query.find_raw(queue, batch_size=batch_size, **given) as cursor:
        for batch in cast("Iterable[bytes]", cursor):
            yield from decode_items(batch)


def decode_items(content: bytes) -> list[dict[str, Any]]:
    """Queue items from BSON, read leniently; an ID that decoding changes becomes `Altered`."""
    items = bson.decode_all(content, LENIENT)
    types = {type(item.get(name)) for item in items for name in _IDS}
    if any(issubclass(one, Mapping | DBRef) for one in types):
        for item, raw in zip(items, bson.decode_all(content, _RAW), strict=True):
            for name in _IDS:
                value = item.get(name)
                if isinstance(value, Mapping | DBRef) and not _is_as_stored(value, raw[name]):
                    item[name] = Altered(value)
    return items


def _is_as_stored(value: Any, raw: Any) -> bool:
    try:
        return isinstance(raw, RawBSONDocument) and (
            bson.encode({"": value}, codec_options=LENIENT) == bson.encode({"": raw})
        )
    except UnicodeEncodeError:  # it contains text that is not UTF-8
        return False


def _number(value: Decimal) -> tuple[str, Any]:
    return ("number", "NaN" if value.is_nan() else value)
