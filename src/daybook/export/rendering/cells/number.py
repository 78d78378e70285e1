"""Numbers that are no amounts of money, printed as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from daybook.export.model.figures import RejectionReason
from daybook.export.rendering.cells.spreadsheet import MOST_DIGITS
from daybook.export.rendering.cells.text import plain_number
from daybook.export.rendering.cells.values import RejectedValue
from daybook.text.display import shown


class NumberReader:
    """Turns numbers into cells; those of a sheet are printed without an exponent."""

    def __init__(self, *, of_sheet: bool) -> None:
        self._of_sheet = of_sheet

    def read(self, value: Any) -> str:
        """Raises `RejectedValue` for anything but a finite number or null."""
        if value is None:
            return ""
        text = plain_number(value)
        if text is not None:
            return cell_number(text) if self._of_sheet else text
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


_MOST_MAGNITUDE = 300
"""Powers of ten, up or down, within which every double has all of its digits."""


def cell_number(text: str) -> str:
    """A number as a sheet gives it back. Raises `RejectedValue` for one that it cannot keep."""
    number = Decimal(text)
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if not digits:
        return "0"
    if len(digits) > MOST_DIGITS or abs(number.adjusted()) > _MOST_MAGNITUDE:
        raise RejectedValue(
            RejectionReason.TOO_LARGE,
            f"{text} has more than the {MOST_DIGITS} digits that a spreadsheet keeps",
            value=text,
        )
    return f"{number.normalize():f}"
