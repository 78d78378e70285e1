"""Which fields of an entry a profile needs, and the form in which they reach the renderer.

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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from daybook.errors import ConfigurationError
from daybook.export.model.profile import Profile, Required
from daybook.export.model.source import Column, ColumnType, Value, ValueKind, is_path
from daybook.export.rendering.cells.values import RejectedValue

ID = "_id"
LINES = "lines"


class Entries(Protocol):
    """One page of entries in the form above."""

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
        raise _bad(profile, column, f"value {column.value!r} {error}") from error
    implied = profile.source.implied_type(value)
    if implied is None:
        return value, column.type or ColumnType.TEXT
    if column.type not in (None, implied):
        raise _bad(
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


def _bad(profile: Profile, column: Column, fault: str) -> ConfigurationError:
    return ConfigurationError(f"profile {profile.name}, column {column.title!r}: {fault}")


def _check_path(profile: Profile, path: str) -> None:
    if not is_path(path):
        raise ConfigurationError(f"profile {profile.name}: {path!r} is not a field path")
