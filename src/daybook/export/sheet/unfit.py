"""What keeps one entry out of the file, raised where the value is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybook.export.figures import Fault, Reason
from daybook.visible import named, visible

_SHOWN_LENGTH = 60
_DOCUMENT = "a document"
_ARRAY = "an array"


class Unfit(Exception):
    """A value that cannot be printed; `why` completes a sentence that begins with its field."""

    def __init__(self, reason: Reason, why: str, *, value: str = "") -> None:
        """`value` is in no language: what is wrong there, or empty."""
        super().__init__(why)
        self.reason = reason
        self.why = why
        self.value = "" if value in (_DOCUMENT, _ARRAY) else value

    def at(self, field: str | None = None, *, line: int | None = None) -> Fault:
        """The same as a fault of an entry; `line` is counted from 1."""
        return Fault(
            reason=self.reason, field=field, line=line, value=self.value, detail=self.why
        ).shortened()


def shown(value: object) -> str:
    """A value for a record or a message: short, quoted if it is text, every character visible."""
    if isinstance(value, Mapping):
        return _DOCUMENT
    if isinstance(value, list):
        return _ARRAY
    if not isinstance(value, str):
        return _short(visible(str(value)))
    start = value[:_SHOWN_LENGTH]
    if not start.isprintable():
        start = "".join(sign if sign.isprintable() else named(sign) for sign in start)
    return _short(f"'{start}{'…' if len(value) > _SHOWN_LENGTH else ''}'")


def unwrapped(value: Any) -> Any:
    """What the source holds under a value that `layout` calls wrapped."""
    return value.get("v") if isinstance(value, Mapping) else value


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…"
