"""Numbers that are no amounts of money, printed as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daybook.export.model.figures import RejectionReason
from daybook.export.rendering.cells.text import plain_number
from daybook.export.rendering.cells.values import RejectedValue
from daybook.text.visible import shown


class NumberReader:
    """Turns numbers into cells."""

    def read(self, value: Any) -> str:
        """Raises `RejectedValue` for anything but a finite number or null."""
        if value is None:
            return ""
        text = plain_number(value)
        if text is not None:
            return text
        what = shown(value)
        if isinstance(value, str):
            raise RejectedValue(
                RejectionReason.STORED_AS_TEXT,
                f"{what} is stored as text, not as a number",
                value=what,
            )
        raise RejectedValue(RejectionReason.INVALID_AMOUNT, f"{what} is not a number", value=what)

    def column(self, values: list[Any]) -> Sequence[str]:
        """Read many values. Raises `RejectedValue`."""
        return list(map(self.read, values))
