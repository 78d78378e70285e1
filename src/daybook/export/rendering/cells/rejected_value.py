"""What keeps one entry out of the file, raised where the value is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybook.export.model.figures import EntryFault, RejectionReason
from daybook.text.visible import ARRAY, DOCUMENT, shown


class RejectedValue(Exception):
    """A value that cannot be printed; `why` completes a sentence that begins with its field."""

    def __init__(self, reason: RejectionReason, why: str, *, value: str = "") -> None:
        """`value` is in no language: what is wrong there, or empty."""
        super().__init__(why)
        self.reason = reason
        self.why = why
        self.value = "" if value in (DOCUMENT, ARRAY) else value

    def at(self, field: str | None = None, *, line: int | None = None) -> EntryFault:
        """The same as a fault of an entry; `line` is counted from 1."""
        return EntryFault(
            reason=self.reason, field=field, line=line, value=self.value, detail=self.why
        ).shortened()


def missing(entry_id: Any, more: str = "") -> RejectedValue:
    """The reason for an entry that is not there."""
    if entry_id is None:
        return RejectedValue(
            RejectionReason.MISSING,
            "the entry's id is missing, not valid text, no possible date, or longer than "
            "1,024 bytes",
        )
    return RejectedValue(RejectionReason.MISSING, f"entry {shown(entry_id)} does not exist{more}")


def unwrapped(value: Any) -> Any:
    """What the source holds under a value that `layout` calls wrapped."""
    return value.get("v") if isinstance(value, Mapping) else value
