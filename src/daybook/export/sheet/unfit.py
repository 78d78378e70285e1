"""What keeps one entry out of the file, raised where the value is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybook.export.figures import Reason

DETAIL_LENGTH = 200
_SHOWN_LENGTH = 60


class Unfit(Exception):
    """A value that cannot be printed; `why` completes a sentence that begins with its field."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.why = why

    def at(self, place: str) -> Unfit:
        """The same fault with its field named, short enough for a record."""
        return Unfit(self.reason, f"{place}: {self.why}"[:DETAIL_LENGTH])


def shown(value: object) -> str:
    """A value as it may stand in a record: short, and without what no record can hold."""
    if isinstance(value, Mapping):
        return "a document"
    if isinstance(value, list):
        return "an array"
    # repr escapes what is left of invalid UTF-8.
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…"


def unwrapped(value: Any) -> Any:
    """What the source holds under a value that `layout` calls wrapped."""
    return value.get("v") if isinstance(value, Mapping) else value
