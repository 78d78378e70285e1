"""Reading a column of values by one C loop over remembered readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

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
