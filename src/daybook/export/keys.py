"""Ids of any BSON type: as dictionary keys, and what may stand in a query."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from decimal import Decimal
from typing import Any

import bson
from bson import DBRef, Decimal128, ObjectId, Regex
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON

LENIENT = CodecOptions[dict[str, Any]](
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="surrogateescape",
)
"""Decodes whatever is stored: dates beyond the year 9999, and invalid UTF-8."""

BY_ID = {"_id": 1}
"""A hint: given two lists of ids, the planner would try both ways each time."""


def hashable(value: Any) -> Hashable:
    """A key that is equal for ids that MongoDB holds equal.

    Numbers of different types are equal, inside documents too; 1 and true are not.
    """
    if type(value) is ObjectId:
        return value
    if isinstance(value, Decimal128):
        return _number(value.to_decimal())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(Decimal(value))
    if isinstance(value, DBRef):
        value = value.as_doc()
    if isinstance(value, Mapping):
        return ("document", tuple((name, hashable(part)) for name, part in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(hashable, value)))
    try:
        return ("other", bson.encode({"": value}, codec_options=LENIENT))
    except UnicodeEncodeError:  # text that was only read leniently equals no other text
        return ("unreadable", repr(value))


def addressable(value: Any) -> bool:
    """Whether a query can name the id, and every reader can decode it.

    False for what `$in` would take for a condition, and for what was only read
    leniently: invalid UTF-8, dates beyond the year 9999.
    """
    if type(value) is ObjectId:
        return True
    if isinstance(value, Regex | re.Pattern | list):
        return False
    if isinstance(value, Mapping) and any(name.startswith("$") for name in value):
        return False
    try:
        bson.decode(bson.encode({"": value}, codec_options=LENIENT))
    except (InvalidBSON, UnicodeEncodeError):
        return False
    return True


def _number(value: Decimal) -> tuple[str, Any]:
    return ("number", "NaN" if value.is_nan() else value)
