"""The layout of a file: the fields that a profile needs, their rows, and how rows are written.

MongoDB converts what is slow to decode on the client, so the source of entries hands the
renderer documents of this form, one per entry found:

- `_id`: an ObjectId as its hex text, any other ID wrapped as `{"v": id}`.
- a text field: the value as it is; absent when missing.
- a number field: the same.
- a date field: milliseconds since 1970 (UTC); anything else, including null and missing,
  wrapped as `{"v": value}`, without `v` when missing.
- an amount field: a Decimal128 as its text, a number or null as it is, absent when
  missing; anything else wrapped as `{"v": value}`. So text is never a string amount.
- `LINES`: one such document per line, None for a line that is not a document; when
  `lines` is not an array, its value wrapped as `{"v": value}`; for lines in a collection of their
  own that do not fit their entry, the `RejectedValue` that says why.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, repeat
from operator import itemgetter
from typing import Any, Protocol, TypeVar

from daybook.display import shown
from daybook.errors import ConfigurationError
from daybook.export.model.figures import EntryFault, RejectionReason
from daybook.export.model.profile import FileFormat, Profile, Required
from daybook.export.model.source import Column, ColumnType, Value, ValueKind, is_path
from daybook.export.rendering.cells.values import RejectedValue, unwrapped

ID = "_id"
LINES = "lines"
Entry = Mapping[str, Any]
_T = TypeVar("_T")
_NO_LINES: list[Entry] = [{}]
Quote = Callable[[str], str]
"""Puts a cell in quotes if necessary."""

_ENCODINGS = ("utf-8-sig", "utf-8", "cp874")
_LINE_ENDS = ("\r\n", "\n")
# These start numbers and formulas, or are quotes themselves.
_NO_DELIMITERS = "\"'.=+-@ \r\n"
# By default LibreOffice splits cells at all three of them: a cell that contains one would be
# split, and the rest could start like a formula.
_SEPARATORS = ",;\t"


class Entries(Protocol):
    """One page of entries, in the form that the module describes."""

    def find(self, entry_ids: Sequence[Any]) -> list[Mapping[str, Any] | None]:
        """The entries with these IDs, in this order; None for those not found."""

    def why_missing(self, entry_id: Any) -> RejectedValue:
        """Why `find` returned None for the ID."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of the entry, or of its lines, under the short key it is read by."""

    key: str
    path: str
    type: ColumnType
    of_line: bool


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Where the values of a column come from; `field` is None for computed columns."""

    column: Column
    value: Value
    type: ColumnType
    field: Field | None
    mapped: bool = False
    """Whether it prints the importer's account for the account code that it reads."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The fields that a profile reads, each once, however often it is printed or added up."""

    fields: tuple[Field, ...]
    cells: tuple[Cell, ...]
    date: Field
    currency: Field
    amount: Field
    debit: Field
    credit: Field
    account: Field | None
    """None when the profile does not require it, as for `reference`."""
    reference: Field | None

    @classmethod
    def of(cls, profile: Profile) -> Layout:
        """Raises `ConfigurationError` for a column that cannot be read."""
        fields: dict[tuple[bool, str, ColumnType], Field] = {}

        def field(path: str, kind: ColumnType, *, of_line: bool = False) -> Field:
            existing = fields.get((of_line, path, kind))
            if existing is None:
                _check_path(profile, path)
                printed_id = path == ID and kind is ColumnType.TEXT and not of_line
                key = ID if printed_id else f"f{len(fields)}"
                existing = Field(key=key, path=path, type=kind, of_line=of_line)
                fields[of_line, path, kind] = existing
            return existing

        def cell(column: Column) -> Cell:
            value, kind = _read(profile, column)
            if value.kind not in (ValueKind.ENTRY, ValueKind.LINE):
                return Cell(column=column, value=value, type=kind, field=None)
            of_line, path = value.kind is ValueKind.LINE, profile.source.path_of(value)
            mapped = of_line and path == account_path
            if mapped:
                path = profile.source.account_code
            return Cell(
                column=column,
                value=value,
                type=kind,
                field=field(path, kind, of_line=of_line),
                mapped=mapped,
            )

        source = profile.source
        account_path = _account_path(profile)
        if isinstance(source.lines, str):
            _check_path(profile, source.lines)
        return cls(
            date=field(source.date, ColumnType.DATE),
            currency=field(source.currency, ColumnType.TEXT),
            amount=field(source.amount, ColumnType.AMOUNT),
            debit=field(source.debit, ColumnType.AMOUNT, of_line=True),
            credit=field(source.credit, ColumnType.AMOUNT, of_line=True),
            account=(
                field(source.account_code, ColumnType.TEXT, of_line=True)
                if Required.ACCOUNT_CODE in profile.require
                else None
            ),
            reference=(
                field(source.reference, ColumnType.TEXT)
                if Required.REFERENCE in profile.require
                else None
            ),
            cells=tuple(cell(column) for column in profile.columns),
            fields=tuple(fields.values()),
        )

    def prints(self, field: Field) -> bool:
        return any(cell.field == field for cell in self.cells)


def _read(profile: Profile, column: Column) -> tuple[Value, ColumnType]:
    """The column's value and type; raises `ConfigurationError`."""
    try:
        value = Value.parse(column.value)
    except ValueError as error:
        raise _bad_column(profile, column, f"value {column.value!r} {error}") from error
    implied = profile.source.implied_type(value)
    if implied is None:
        return value, column.type or ColumnType.TEXT
    if column.type not in (None, implied):
        raise _bad_column(
            profile, column, f"type is {column.type}, but {column.value} is always {implied.value}"
        )
    return value, implied


def _account_path(profile: Profile) -> str | None:
    """The field of a line instead of which the importer's account is printed.

    It is the account code or, in a profile that prints none, the account name.
    """
    if not profile.accounts:
        return None
    source = profile.source
    printed = {
        source.path_of(value)
        for column in profile.columns
        if (value := _read(profile, column)[0]).kind is ValueKind.LINE
    }
    for path in (source.account_code, source.account_name):
        if path in printed:
            return path
    raise ConfigurationError(
        f"profile {profile.name}: accounts is set, but no column prints line.accountCode or "
        "line.accountName"
    )


def _bad_column(profile: Profile, column: Column, fault: str) -> ConfigurationError:
    return ConfigurationError(f"profile {profile.name}, column {column.title!r}: {fault}")


def _check_path(profile: Profile, path: str) -> None:
    if not is_path(path):
        raise ConfigurationError(f"profile {profile.name}: {path!r} is not a field path")


class Rows:
    """The rows of some entries, the values in them, and the faults found so far."""

    def __init__(self, entries: Sequence[Entry], *, lines_path: str) -> None:
        self.faults: dict[int, list[EntryFault]] = defaultdict(list)
        """By position of the entry."""
        self.uncountable: set[int] = set()
        """Entries with an amount, a currency or lines that cannot be read: an unbalanced total
        or a missing amount would only repeat that fault."""
        self.without_lines: list[int] = []
        """Entries that have one row all the same."""
        self._invalid_lines: list[tuple[int, int]] = []
        """(entry, index of the line) of lines that are not documents."""
        self._lines_path = lines_path
        self._entries = entries
        self._lines: list[Entry] = []
        self._values_of: dict[Field, list[Any]] = {}
        self.counts = self._take_lines()
        """How many rows each entry has."""
        self.ends = list(accumulate(self.counts, initial=0))
        """The rows of entry i are `ends[i]` to `ends[i + 1]`."""

    def entry_of(self, row: int) -> int:
        return bisect_right(self.ends, row) - 1

    def values(self, field: Field) -> list[Any]:
        """The field's value in each entry, or in each row; shared, so not to be changed."""
        if field not in self._values_of:
            documents = self._lines if field.of_line else self._entries
            try:
                values = list(map(itemgetter(field.key), documents))
            except KeyError:
                values = [document.get(field.key) for document in documents]
            self._values_of[field] = values
        return self._values_of[field]

    def per_row(self, values: Iterable[_T]) -> list[_T]:
        return list(chain.from_iterable(map(repeat, values, self.counts)))

    def lines_with(self, marks: list[bool]) -> Iterable[tuple[int, int]]:
        """(entry, index of the line) of the marked rows that are lines."""
        if True not in marks:
            return
        others = {self.ends[at] for at in self.without_lines}
        others.update(self.ends[at] + index for at, index in self._invalid_lines)
        for row, marked in enumerate(marks):
            if marked and row not in others:
                at = self.entry_of(row)
                yield at, row - self.ends[at]

    def _take_lines(self) -> list[int]:
        """Collect the rows of all entries and return how many each has."""
        lines_of = [entry[LINES] for entry in self._entries]
        for at, lines in enumerate(lines_of):
            if type(lines) is not list or not lines:
                lines_of[at] = _NO_LINES
                self.without_lines.append(at)
                self._check_lines(at, lines)
            elif None in lines:
                lines_of[at] = self._replace_invalid(at, lines)
        self._lines = list(chain.from_iterable(lines_of))
        return list(map(len, lines_of))

    def _check_lines(self, at: int, lines: Any) -> None:
        if isinstance(lines, RejectedValue):
            self.faults[at].append(lines.at(self._lines_path))
            self.uncountable.add(at)
        elif lines and unwrapped(lines) is not None:
            what = shown(unwrapped(lines))
            fault = RejectedValue(
                RejectionReason.INVALID_LINES, f"{what} is not an array", value=what
            )
            self.faults[at].append(fault.at(self._lines_path))
            self.uncountable.add(at)

    def _replace_invalid(self, at: int, lines: list[Entry | None]) -> list[Entry]:
        for index, line in enumerate(lines):
            if line is None:
                fault = RejectedValue(RejectionReason.INVALID_LINES, "is not a document")
                self.faults[at].append(fault.at(line=index + 1))
                self._invalid_lines.append((at, index))
        self.uncountable.add(at)
        return [line or {} for line in lines]


class Dialect:
    """Writes the rows of a profile's file as CSV, in its delimiter, line end and encoding.

    https://www.rfc-editor.org/rfc/rfc4180
    """

    def __init__(self, profile: Profile) -> None:
        """Raises `ConfigurationError` for a profile that cannot produce a readable file."""
        delimiter = profile.delimiter
        if len(delimiter) != 1 or delimiter in _NO_DELIMITERS or delimiter.isalnum():
            raise _bad(profile, f"{delimiter!r} cannot be a delimiter")
        if profile.encoding not in _ENCODINGS:
            raise _bad(
                profile, f"encoding {profile.encoding!r} is not one of {', '.join(_ENCODINGS)}"
            )
        if profile.line_end not in _LINE_ENDS:
            raise _bad(profile, f"line end {profile.line_end!r} is neither CRLF nor LF")
        if not profile.columns:
            raise _bad(profile, "there are no columns")
        self._profile = profile
        special = {'"', *_SEPARATORS, delimiter}
        self._special = re.compile(f"[\r\n{re.escape(''.join(sorted(special)))}]")
        # `str.isprintable` finds the remaining ones.
        self._printable_special = tuple(sign for sign in special if sign.isprintable())
        # The byte order mark is written once, before the header.
        self._encoding = profile.encoding.removesuffix("-sig")
        self.is_sheet = profile.format is FileFormat.XLSX
        """Whether cells also go into a sheet: they are then quoted only in `rows`."""

    def quote(self, cell: str) -> str:
        return cell if self.is_sheet else self.quoted(cell)

    def quoted(self, cell: str) -> str:
        """The cell as `rows` writes it."""
        if self._special.search(cell) is None:
            return cell
        return '"' + cell.replace('"', '""') + '"'

    def all_plain(self, cells: list[str]) -> bool:
        """True when no cell needs quotes or contains a control character.

        Raises TypeError for a value that is not a string.
        """
        joined = "".join(cells)
        return joined.isprintable() and (
            self.is_sheet or not any(special in joined for special in self._printable_special)
        )

    def header(self, cells: Sequence[str]) -> bytes:
        """The header row, after the byte order mark if the encoding has one.

        Raises `ConfigurationError` for a title that the encoding cannot represent.
        """
        for cell in cells:
            if (unencodable := self.unencodable(cell)) is not None:
                raise _bad(self._profile, f"column title {cell!r}: {unencodable.why}")
        return self._text([[cell] for cell in cells]).encode(self._profile.encoding)

    def rows(self, columns: Sequence[Sequence[str]]) -> bytes:
        """Rows from columns of quoted cells. Raises UnicodeEncodeError."""
        return self._text(columns).encode(self._encoding)

    def unencodable(self, cell: str) -> RejectedValue | None:
        """The first character of a text that the encoding cannot represent, or None."""
        try:
            cell.encode(self._encoding)
        except UnicodeEncodeError as error:
            character = cell[error.start]
            code = f"U+{ord(character):04X}"
            which = f"{character} ({code})" if character.isprintable() else code
            why = f"not in {self._encoding}"
            if unicodedata.category(character) == "Cs":
                why = "half of a character or no UTF-8"
            return RejectedValue(
                RejectionReason.UNENCODABLE,
                f"character {error.start + 1} is {which}, {why}",
                value=which,
            )
        return None

    def _text(self, columns: Sequence[Sequence[str]]) -> str:
        rows: Iterable[str]
        if self.is_sheet:
            columns = [list(map(self.quoted, column)) for column in columns]
        if len(columns) == 1:
            # An empty line would not count as a row.
            rows = [cell or '""' for cell in columns[0]]
        else:
            rows = map(self._profile.delimiter.join, zip(*columns, strict=True))
        line_end = self._profile.line_end
        return line_end.join(rows) + line_end


def _bad(profile: Profile, fault: str) -> ConfigurationError:
    return ConfigurationError(f"profile {profile.name}: {fault}")
