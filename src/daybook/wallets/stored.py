"""Reading stored documents. Other applications write them too, so each field is checked.

A document is decoded leniently, so that one unusable value neither hides the others nor
crashes a request; the fields that a request needs are then read strictly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import bson
from bson import Decimal128, ObjectId
from bson.errors import BSONError

from daybook.display import shown
from daybook.errors import DaybookError
from daybook.mongo.client import LENIENT
from daybook.wallets.context import MAX_PAISE, Document

SHOWABLE = LENIENT.with_options(unicode_decode_error_handler="replace")
"""Codec options for messages: as for documents, but bytes that are not UTF-8 become U+FFFD."""

_MISSING = object()


class DocumentInvalid(DaybookError):
    """A stored document cannot be used as it is. Names collection, `_id`, field and value."""

    type = "document_invalid"
    permanent = True

    def __init__(self, message: str, *, without_value: str) -> None:
        super().__init__(message)
        self.without_value = without_value
        """The message for the log, which must not show what is stored about a person."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One document. Every method raises `DocumentInvalid` for a value of another form.

    The `optional_` ones give None for a field that is missing or null.
    """

    collection: str
    doc: Mapping[str, Any]

    def invalid(self, name: str, must: str) -> DocumentInvalid:
        value = self.doc.get(name, _MISSING)
        found = "is missing" if value is _MISSING else f"is {shown(value)}"
        kind = "is missing" if value is _MISSING else f"is of type {type(value).__name__}"
        where = f"{self.collection} {shown(self.doc.get('_id'))}: {name}"
        return DocumentInvalid(
            f"{where} {found}; it must be {must}",
            without_value=f"{where} {kind}; it must be {must}",
        )

    def object_id(self, name: str) -> ObjectId:
        value = self.doc.get(name)
        if not isinstance(value, ObjectId):
            raise self.invalid(name, "an ObjectId")
        return value

    def optional_id(self, name: str) -> str | None:
        """The ID as text; another application may store IDs as text."""
        value = self.doc.get(name)
        if value is None or isinstance(value, ObjectId):
            return None if value is None else str(value)
        if not isinstance(value, str) or not is_utf8(value):
            raise self.invalid(name, "an ObjectId or text")
        return value

    def text(self, name: str) -> str:
        value = self.doc.get(name)
        if not isinstance(value, str) or not is_utf8(value):
            raise self.invalid(name, "valid text")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.doc.get(name) is None else self.text(name)

    def texts(self, name: str) -> list[str]:
        value = self.doc.get(name)
        if isinstance(value, list) and all(isinstance(v, str) and is_utf8(v) for v in value):
            return value
        raise self.invalid(name, "an array of valid texts")

    def moment(self, name: str) -> datetime:
        value = self.doc.get(name)
        if not isinstance(value, datetime):
            raise self.invalid(name, "a date of the years 1 to 9999")
        return value

    def optional_moment(self, name: str) -> datetime | None:
        return None if self.doc.get(name) is None else self.moment(name)

    def whole(self, name: str, *, least: int = -MAX_PAISE) -> int:
        """A whole number of any BSON type: JavaScript stores 120 as an int32 or a double."""
        value = number(self.doc.get(name))
        if value is None or value != value.to_integral_value() or not least <= value <= MAX_PAISE:
            raise self.invalid(name, f"a whole number from {least} to {MAX_PAISE}")
        return int(value)

    def optional_whole(self, name: str, *, least: int = -MAX_PAISE) -> int | None:
        return None if self.doc.get(name) is None else self.whole(name, least=least)

    def answer(self) -> Document:
        """The first answer to a key, as stored by `idempotency`."""
        value = self.doc.get("answer")
        try:
            encoded = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError) as error:  # also for surrogates
            raise self.invalid("answer", "what the ledger answered") from error
        if not isinstance(value, dict) or not encoded:
            raise self.invalid("answer", "what the ledger answered")
        return value


def number(value: Any) -> Decimal | None:
    """The finite number that was meant: 0.1 for the double 0.1. None for anything else."""
    if isinstance(value, Decimal128):
        found = value.to_decimal()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = Decimal(repr(float(value))) if isinstance(value, float) else Decimal(int(value))
    else:
        return None
    return found if found.is_finite() else None


def is_utf8(text: str) -> bool:
    """False for text with a byte that was escaped when read, and so cannot be stored again."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_storable(value: Mapping[str, Any]) -> bool:
    """Whether the document, read leniently, can be stored again as it was."""
    try:
        bson.decode(bson.encode(value, codec_options=LENIENT))
    except (BSONError, UnicodeEncodeError, OverflowError):
        return False
    return True
