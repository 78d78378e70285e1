"""Values written by others, in a form that logs and JSON responses can hold.

What cannot be encoded becomes U+FFFD. The result is for readers only: it is never stored in
place of the value and never used in a query.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

# Halves of surrogate pairs, which is how invalid UTF-8 is decoded: see `mongo/client.py`.
_SURROGATE = re.compile("[\ud800-\udfff]")
QUOTED_LENGTH = 80
_QUOTED_PARTS = 30  # more would not fit into the quote
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UUID_SUBTYPES = (3, 4)
_UUID_BYTES = 16


def text(value: str) -> str:
    """`value` in a form that can be encoded; `visible` also shows characters hidden on a screen."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)


def quoted(value: Any) -> str:
    """A value from a request as a message quotes it, in at most 80 characters.

    It reads only the beginning, so neither size nor depth of the value costs time.
    """
    return shortened(repr(_start(value, levels=2)))


def shortened(name: str) -> str:
    """A name, ID or path from a request as a message quotes it, in at most 80 characters."""
    return name if len(name) <= QUOTED_LENGTH else f"{name[: QUOTED_LENGTH - 1]}…"


def _start(value: Any, *, levels: int) -> Any:
    if isinstance(value, str):
        return value[: QUOTED_LENGTH + 1]
    if isinstance(value, Mapping | list) and not levels:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(name)[:QUOTED_LENGTH]: _start(part, levels=levels - 1)
            for name, part in islice(value.items(), _QUOTED_PARTS)
        }
    if isinstance(value, list):
        return [_start(part, levels=levels - 1) for part in value[:_QUOTED_PARTS]]
    return value


def plain(value: Any) -> str:
    """A value of a type that JSON lacks, including BSON's, as text."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return _binary(value)
    if type(value).__name__ == "DatetimeMS":  # by name, so that logging does not import BSON
        return _moment(int(value))
    return text(str(value))


def document(value: Any) -> Any:
    """`value` in a form that `json.dumps` can write; numbers that JSON lacks become text."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {text(str(name)): document(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [document(part) for part in value]
    return plain(value)


def _moment(milliseconds: int) -> str:
    try:
        return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat()
    except OverflowError:  # Python's dates end with the year 9999
        return f"{milliseconds} ms since 1970"


def _binary(value: bytes) -> str:
    digits = value.hex()
    if getattr(value, "subtype", 0) in _UUID_SUBTYPES and len(value) == _UUID_BYTES:
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return digits
