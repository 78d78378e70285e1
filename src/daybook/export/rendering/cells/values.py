"""Reading values: columns from a cache, and the error that keeps an entry out of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from daybook.display import ARRAY, DOCUMENT, shown
from daybook.export.model.figures import EntryFault, RejectionReason


class RejectedValue(Exception):
    """A value that cannot be printed; `why` completes a sentence that starts with its field."""

    def __init__(self, reason: RejectionReason, why: str, *, value: str = "") -> None:
        """`value` shows what is wrong, in no particular language; it may be empty."""
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
    """The rejection of an entry that does not exist."""
    if entry_id is None:
        return RejectedValue(
            RejectionReason.MISSING,
            "the entry's ID is missing, not valid text, no possible date, or longer than "
            "1,024 bytes",
        )
    return RejectedValue(RejectionReason.MISSING, f"entry {shown(entry_id)} does not exist{more}")


def unwrapped(value: Any) -> Any:
    """The source's value, taken out of the wrapping that `layout` describes."""
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
        """Read many values fast.

        Raises `RejectedValue` or TypeError, without naming the place, when one is invalid.
        """


class Cache(dict[Any, _T], Generic[_T]):
    """`cache[value]` is `read(value)`, stored for values of the types in `keep`.

    Values of other types are read each time: 1, 1.0 and True are the same dict key but may
    have different readings.
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
        """Clear the cache once it is large. Call between pages."""
        if len(self) > _SIZE:
            self.clear()
