"""A profile: what one daily file contains, how it is written, and where it comes from.

A batch is a day of a profile, or a manual export of it. Its key is here, too, and the commands as
they are typed for a profile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Any, Self
from zoneinfo import ZoneInfo

from daybook.export.model.source import Column, ColumnType, Source, Value, ValueKind

DAILY = "daily"
EVERY = "*"
"""What a caller gives in place of a profile's name for all enabled profiles."""

DEFAULT_COLUMNS = (
    Column(title="Entry ID", value="entry._id"),
    Column(title="Line", value="line.number"),
    Column(title="Date", value="entry.date"),
    Column(title="Reference", value="entry.reference"),
    Column(title="Description", value="entry.description"),
    Column(title="Account Code", value="line.accountCode"),
    Column(title="Account Name", value="line.accountName"),
    Column(title="Debit", value="line.debit"),
    Column(title="Credit", value="line.credit"),
    Column(title="Amount", value="line.amount"),
    Column(title="Currency", value="entry.currency"),
)

MatchValue = str | int | bool


class FileFormat(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"


class Calendar(StrEnum):
    COMMON_ERA = "ce"
    BUDDHIST_ERA = "be"  # Common Era year + 543


class Required(StrEnum):
    """What an entry must have; one without lines needs no date or account."""

    DATE = "date"  # the entry's date
    ACCOUNT_CODE = "accountCode"  # of each line, and not blank
    AMOUNT = "amount"  # a debit or a credit of each line, or the amount of an entry without lines
    REFERENCE = "reference"  # the entry's reference, and not blank
    LINES = "lines"  # at least one line


class FormulaGuard(StrEnum):
    APOSTROPHE = "apostrophe"  # a leading ' before anything that a spreadsheet would compute
    NONE = "none"  # for files that only machines read


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How one kind of file is made. `DAILY` is the profile of the 18:00 batch."""

    name: str
    format: FileFormat = FileFormat.CSV
    filename: str = ""
    """Template with `{date}`, and optionally `{profile}`; empty: the default one."""
    match: Mapping[str, MatchValue] | None = None
    """Fields of a queue item and the values that they must have. None: `profile` is the name of
    this profile; `DAILY` then also takes items without a profile.
    """
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
    decimals: Mapping[str, int] = field(default_factory=dict)
    """Decimals of a currency that differ from ISO 4217, or of one that has no such code."""
    require: frozenset[Required] = frozenset(
        {Required.DATE, Required.ACCOUNT_CODE, Required.AMOUNT}
    )
    """An entry that lacks one of these is rejected."""
    years: tuple[int, int] = (2000, 2100)
    """First and last plausible year (Common Era) of a date; others are rejected."""
    accounts: Mapping[str, str] = field(default_factory=dict)
    """Account code → the importer's account. If there are any, an entry with another is rejected.
    """
    max_rows: int | None = None
    """Rows that the importer takes in one file; the receipt says when a file has more."""
    one_page_wide: bool = False
    """Whether an xlsx file prints on pages that are as wide as all columns. A CSV has no pages."""

    others: tuple[Profile, ...] = field(default=(), compare=False, repr=False)
    """The other profiles, which take the queue items that this one does not."""

    def file_name(self, day: date) -> str:
        """The name of the day's file."""
        template = self.filename or self.default_filename
        return template.replace("{date}", day.isoformat()).replace("{profile}", self.name)

    def matches(self, item: Mapping[str, Any]) -> bool:
        """Whether the profile takes a scheduled queue item with these fields."""
        if self.match is None:
            names = (None, self.name) if self.name == DAILY else (self.name,)
            return item.get("profile") in names
        return all(_equal(item.get(name), value) for name, value in self.match.items())

    @property
    def field_names(self) -> Mapping[str, str]:
        """Path → what it means in the default source; of other fields, the title of their column.

        Messages about faults take the words for fields by it.
        """
        titles = {
            value.path: column.title
            for column in self.columns
            if (value := Value.parse(column.value)).kind in (ValueKind.ENTRY, ValueKind.LINE)
        }
        return {**titles, **self.source.names}

    @property
    def default_filename(self) -> str:
        start = "batch" if self.name == DAILY else "{profile}"
        return f"{start}_{{date}}.{self.format.value}"

    @cached_property
    def form(self) -> str:
        """All that decides what is in a file, as JSON: the form in which a batch stores it.

        `one_page_wide` is in it only where it decides something, so that the digest of any other
        profile is that of the versions without it.
        """
        doc = {one.name: _plain(getattr(self, one.name)) for one in fields(self) if one.compare}
        if not (self.one_page_wide and self.format is FileFormat.XLSX):
            del doc["one_page_wide"]
        return json.dumps(doc, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `form`, hex: it changes with anything that may change a file."""
        return hashlib.sha256(self.form.encode()).hexdigest()

    @classmethod
    def from_form(cls, form: str) -> Self:
        """The profile of a stored `form`; what a form of an earlier version lacks is the default.

        Raises `ValueError`, `LookupError` or `TypeError` when it was altered.
        """
        doc: dict[str, Any] = json.loads(form)
        known = {one.name for one in fields(cls) if one.compare}
        found = {name: value for name, value in doc.items() if name in known}
        readers: dict[str, Callable[[Any], Any]] = {
            "format": FileFormat,
            "columns": lambda columns: tuple(map(_column, columns)),
            "source": Source.from_doc,
            "time_zone": ZoneInfo,
            "calendar": Calendar,
            "formula_guard": FormulaGuard,
            "require": lambda names: frozenset(map(Required, names)),
            "years": tuple,
        }
        return cls(**{name: readers.get(name, _same)(value) for name, value in found.items()})


@dataclass(frozen=True, kw_only=True)
class BatchKey:
    """A batch's key; exactly one of `batch_date` and `manual_key` is set."""

    profile: str
    batch_date: str | None = None
    """ISO date."""
    manual_key: str | None = None

    @property
    def slot_id(self) -> str:
        return self.profile if self.manual_key is None else f"{self.profile}/manual"

    def fields(self) -> dict[str, str]:
        """The key's fields in a batch document."""
        fields = {"profile": self.profile}
        if self.batch_date is not None:
            fields["batchDate"] = self.batch_date
        if self.manual_key is not None:
            fields["manualKey"] = self.manual_key
        return fields

    def filter(self) -> dict[str, Any]:
        """The filter for the batch; MongoDB uses a partial index only if it names the type."""
        day, key = self.batch_date, self.manual_key
        if key is None:
            return {"profile": self.profile, "batchDate": {"$eq": day, "$type": "string"}}
        return {"profile": self.profile, "manualKey": {"$eq": key, "$type": "string"}}


def command(name: str, profile: str, day: object = None, *, option: bool = False) -> str:
    """The command for a profile's day as it is typed; without `day`, for any.

    `option` gives the day as `--date`.
    """
    return f"daybook {name}{option_of(profile)} {'--date ' if option else ''}{day or 'DATE'}"


def option_of(profile: str) -> str:
    """What names the profile in a command; nothing for the daily one."""
    return "" if profile == DAILY else f" --profile {profile}"


def before_profiles(profile: Profile) -> Profile:
    """The profile of batches that store none: `DAILY` as it was when there was no other."""
    return Profile(name=profile.name, time_zone=profile.time_zone)


def _equal(value: Any, wanted: MatchValue) -> bool:
    """Whether MongoDB finds them equal: true is not 1."""
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _plain(value: Any) -> Any:
    """A value of a profile as JSON has it."""
    if isinstance(value, ZoneInfo):
        return value.key
    if isinstance(value, Source):
        return asdict(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [asdict(each) if isinstance(each, Column) else each for each in value]
    return dict(value) if isinstance(value, Mapping) else value


def _column(doc: Mapping[str, Any]) -> Column:
    found = _known(Column, doc)
    kind = found.get("type")
    return Column(
        **{
            **found,
            "type": None if kind is None else ColumnType(kind),
            "sides": tuple(found.get("sides", Column.sides)),
        }
    )


def _known(kind: type, doc: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in doc.items() if name in names}


def _same(value: Any) -> Any:
    return value
