"""Daybook's own documents, read field by field: damage is reported by field, never guessed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar

from daybook import display
from daybook.errors import DocumentDamaged

Document = Mapping[str, Any]

_E = TypeVar("_E", bound=StrEnum)
_T = TypeVar("_T")

_ABSENT = object()
_DIGITS = 100
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


class Fields:
    """The fields of a stored document, or of one inside it.

    Each method returns the value of a field, or raises `DocumentDamaged` when the field is
    missing or of another type. A `default` replaces a field that is missing or null.
    """

    def __init__(self, doc: Any, *, collection: str, doc_id: Any, path: str = "") -> None:
        self._collection = collection
        self._id = doc_id
        self._path = path
        if not isinstance(doc, Mapping):
            raise self._damaged(path, "is not a document")
        self._doc: Document = doc

    @classmethod
    def of(cls, doc: Document, collection: str) -> Fields:
        """The fields of a whole document."""
        return cls(doc, collection=collection, doc_id=doc.get("_id"))

    def damaged(self, name: str, fault: str) -> DocumentDamaged:
        """The error that says what is wrong with the field."""
        return self._damaged(self._path_of(name), fault)

    def has(self, name: str) -> bool:
        return self._doc.get(name) is not None

    def text(self, name: str) -> str:
        value = self._doc.get(name)
        if not isinstance(value, str) or not _encodable(value):
            raise self._wrong(name, "text")
        return value

    def text_or_none(self, name: str) -> str | None:
        return None if self._doc.get(name) is None else self.text(name)

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number from 0; some shells store every number as a double."""
        value = self._doc.get(name)
        if type(value) is int and value >= 0:
            return value
        if value is None and default is not None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong(name, "a whole number")
        return int(value)

    def decimal(self, name: str) -> Decimal:
        """A decimal that is stored as text: finite, and short enough to calculate with and print.

        An exponent of a billion is short to store, and takes a gigabyte to print.
        """
        text = self.text(name)
        value = None
        if len(text) <= _DIGITS:
            with suppress(InvalidOperation):
                value = Decimal(text)
        if value is None or not value.is_finite() or abs(value.adjusted()) > _DIGITS:
            raise self._wrong(name, f"a decimal of at most {_DIGITS} digits")
        return value

    def names(self, name: str) -> list[str]:
        """The names in the document that the field holds."""
        found = list(self.inner(name)._doc)
        for one in found:
            if not _encodable(one):
                raise self.damaged(name, f"has a name that is not UTF-8: {display.quoted(one)}")
        return found

    def present(self, name: str) -> None:
        """Raises `DocumentDamaged` when the field is missing; null counts as present."""
        if name not in self._doc:
            raise self._wrong(name, "there")

    def day(self, name: str) -> str:
        """An ISO date, as text."""
        value = self.text(name)
        try:
            date.fromisoformat(value)
        except ValueError as error:
            raise self._wrong(name, "a date such as 2026-01-18") from error
        return value

    def time(self, name: str) -> datetime:
        value = self._doc.get(name)
        if not isinstance(value, datetime):
            raise self._wrong(name, "a date")
        return value

    def time_or_none(self, name: str) -> datetime | None:
        return None if self._doc.get(name) is None else self.time(name)

    def one_of(self, name: str, kind: type[_E]) -> _E:
        value = self._doc.get(name)
        if isinstance(value, str):
            with suppress(ValueError):
                return kind(value)
        raise self._wrong(name, f"one of {', '.join(kind)}")

    def array(self, name: str) -> list[Any]:
        value = self._doc.get(name)
        if not isinstance(value, list):
            raise self._wrong(name, "an array")
        return value

    def inner(self, name: str) -> Fields:
        """The fields of the document that the field holds."""
        if not isinstance(self._doc.get(name), Mapping):
            raise self._wrong(name, "a document")
        return self._inside(self._doc[name], name)

    def inner_or_none(self, name: str) -> Fields | None:
        return self.inner(name) if self.has(name) else None

    def inner_list(self, name: str) -> list[Fields]:
        """The fields of each document of an array; none when the field is missing or null."""
        values = self.array(name) if self.has(name) else []
        return [self._inside(value, f"{name}.{at}") for at, value in enumerate(values)]

    def read(self, name: str, reader: Callable[[Any], _T]) -> _T:
        """The result of `reader` for the field's value."""
        self.present(name)
        with self.reading(name):
            return reader(self._doc[name])

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Name the field in the error when handling its value fails."""
        try:
            yield
        except _UNREADABLE as error:
            raise self.damaged(name, f"cannot be read ({type(error).__name__}: {error})") from error

    def _inside(self, doc: Any, name: str) -> Fields:
        return Fields(
            doc, collection=self._collection, doc_id=self._id, path=f"{self._path_of(name)}."
        )

    def _wrong(self, name: str, expected: str) -> DocumentDamaged:
        value = self._doc.get(name, _ABSENT)
        if value is _ABSENT:
            return self.damaged(name, "is missing")
        return self.damaged(name, f"must be {expected}, not {display.quoted(value)}")

    def _path_of(self, name: str) -> str:
        return f"{self._path}{name}"

    def _damaged(self, path: str, fault: str) -> DocumentDamaged:
        return DocumentDamaged(
            f"document {display.quoted(self._id)} in {self._collection} was altered: "
            f"{path.rstrip('.')} {fault}. Restore the field from a backup; do not delete the "
            "document, except where the runbook allows it (Run refused)"
        )


def _encodable(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
