"""Reading values: a column at once from a cache, and the error that keeps an entry out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

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


_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_SIZE = 20_000
_LONGEST = 100  # a few thousand long texts must not fill the memory


class Reader(Protocol[_T_co]):
    """Reads values of one type."""

    def read(self, value: Any) -> _T_co:
        """Raises `RejectedValue`."""

    def column(self, values: list[Any]) -> Sequence[_T_co]:
        """The same of many values, quickly.

        Raises `RejectedValue` or TypeError, without saying where, when any of them is unfit.
        """


class Cache(dict[Any, _T], Generic[_T]):
    """`memo[value]` is `read(value)`, remembered for values of the types `keep`.

    Values of other types are read each time: 1, 1.0 and True are one key of a dict
    and need not read alike.
    """

    def __init__(self, read: Callable[[Any], _T], *, keep: tuple[type, ...]) -> None:
        super().__init__()
        self._read = read
        self._keep = keep

    def __missing__(self, value: Any) -> _T:
        result = self._read(value)
        if isinstance(value, self._keep) and not (isinstance(value, str) and len(value) > _LONGEST):
            self[value] = result
        return result

    def trim(self) -> None:
        """Forget everything once it is much. Call between pages."""
        if len(self) > _SIZE:
            self.clear()
