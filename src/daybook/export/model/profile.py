"""A profile: what one daily file contains, how it is written, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from zoneinfo import ZoneInfo


class ColumnType(StrEnum):
    TEXT = "text"  # guarded against formulas
    DATE = "date"  # a BSON date, printed in the profile's time zone
    AMOUNT = "amount"  # exact, printed with the currency's decimals
    NUMBER = "number"  # the line's number, computed by Daybook


class Calendar(StrEnum):
    COMMON_ERA = "ce"
    BUDDHIST_ERA = "be"  # Common Era year + 543


class Required(StrEnum):
    """What an entry with lines must have; one with only an amount needs no date or account."""

    DATE = "date"  # the entry's date
    ACCOUNT_CODE = "accountCode"  # of each line, and not blank
    AMOUNT = "amount"  # a debit or a credit of each line, or the amount of an entry without lines


class FormulaGuard(StrEnum):
    APOSTROPHE = "apostrophe"  # a leading ' before anything that a spreadsheet would compute
    NONE = "none"  # for files that only machines read


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: `path` is relative to the entry, or to its line after `lines.`.

    Three paths are computed: `_line` (from 1), `_amount` (debit minus credit of a
    line, or the amount of an entry without lines), `_id` is the entry's own.
    """

    title: str
    path: str
    type: ColumnType = ColumnType.TEXT


@dataclass(frozen=True, kw_only=True)
class Source:
    """Collections and field paths of the application that writes the entries."""

    entries: str = "journalentries"
    queue: str = "exportqueues"
    date: str = "date"
    reference: str = "reference"
    """The field by which receipts name an entry."""
    currency: str = "currency"
    lines: str = "lines"
    account_code: str = "accountCode"
    debit: str = "debit"
    credit: str = "credit"
    amount: str = "amount"


DEFAULT_COLUMNS = (
    Column(title="Entry ID", path="_id"),
    Column(title="Line", path="_line", type=ColumnType.NUMBER),
    Column(title="Date", path="date", type=ColumnType.DATE),
    Column(title="Reference", path="reference"),
    Column(title="Description", path="description"),
    Column(title="Account Code", path="lines.accountCode"),
    Column(title="Account Name", path="lines.accountName"),
    Column(title="Debit", path="lines.debit", type=ColumnType.AMOUNT),
    Column(title="Credit", path="lines.credit", type=ColumnType.AMOUNT),
    Column(title="Amount", path="_amount", type=ColumnType.AMOUNT),
    Column(title="Currency", path="currency"),
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How one kind of file is made. `DAILY` is the profile of the 18:00 batch."""

    name: str
    columns: tuple[Column, ...] = DEFAULT_COLUMNS
    source: Source = field(default_factory=Source)
    delimiter: str = ","
    encoding: str = "utf-8-sig"
    line_end: str = "\r\n"
    time_zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Bangkok"))
    date_format: str = "%Y-%m-%d"
    calendar: Calendar = Calendar.COMMON_ERA
    formula_guard: FormulaGuard = FormulaGuard.APOSTROPHE
    currency: str = "THB"
    """Assumed for decimals and totals when an entry names none."""
    decimals: dict[str, int] = field(default_factory=dict)
    """Decimals of a currency that differ from ISO 4217, or of one that has no such code."""
    require: frozenset[Required] = frozenset(Required)
    """An entry that lacks one of these is rejected."""
    years: tuple[int, int] = (2000, 2100)
    """First and last plausible year (Common Era) of a date; others are rejected."""


DAILY = "daily"
