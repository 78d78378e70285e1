"""The keys of a profile's table in TOML: what each value must be.

Each reader gets a value as `tomllib` returns it and raises `ValueError` saying what it must be.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields, replace
from enum import StrEnum
from typing import Any, TypeVar

from daybook.errors import ConfigurationError
from daybook.export.model.profile import (
    Calendar,
    FileFormat,
    FormulaGuard,
    MatchValue,
    Required,
)
from daybook.export.model.source import (
    SOURCES,
    Column,
    ColumnType,
    LineCollection,
    Source,
    Value,
    is_path,
)
from daybook.export.rendering.cells.dates import check_format
from daybook.export.rendering.cells.money import is_own_code
from daybook.settings import parsers

Reader = Callable[[Any], Any]
_E = TypeVar("_E", bound=StrEnum)

MOST_DECIMALS = 18
LONGEST_FILENAME = 150
_ENCODINGS = ("utf-8-sig", "utf-8", "cp874")
_DELIMITERS = (",", ";", "\t", "|")
_NOT_IN_FILENAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')


class Fault(ValueError):
    """Says what a value must be."""


class Nested(Fault):
    """A fault inside the value of a key; `key` says where."""

    def __init__(self, key: str, fault: str, value: Any) -> None:
        super().__init__(fault)
        self.key = key
        self.value = value


def text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Fault("must be text")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Fault("must be true or false")
    return value


def parsed(parse: Callable[[str], Any]) -> Reader:
    """A key whose value is text that the parser of a setting reads."""
    return lambda value: parse(text(value))


def member(kind: type[_E]) -> Callable[[Any], _E]:
    def read(value: Any) -> _E:
        if not isinstance(value, str) or value not in kind.__members__.values():
            raise Fault(f"must be one of {', '.join(kind)}")
        return kind(value)

    return read


def choice(options: Iterable[str]) -> Callable[[Any], str]:
    options = tuple(options)

    def read(value: Any) -> str:
        if value not in options:
            raise Fault(f"must be one of {', '.join(map(toml_text, options))}")
        return str(value)

    return read


def whole(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Fault(f"must be a whole number from {least} to {most}")
    return value


def table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Fault("must be a table, such as {NAME = VALUE}")
    return value


def filename(value: Any) -> str:
    name = text(value)
    if "{date}" not in name:
        raise Fault("must contain {date}: each day's file needs a name of its own")
    rest = name.replace("{date}", "").replace("{profile}", "")
    if _NOT_IN_FILENAMES.search(rest) or set("{}") & set(rest) or name.startswith((".", " ")):
        raise Fault(
            'must be a file name with {date} and optionally {profile}, without / \\ : * ? " < > |'
            " and other braces, and not beginning with a dot or a space"
        )
    if len(name.encode()) > LONGEST_FILENAME:
        raise Fault(f"must have at most {LONGEST_FILENAME} bytes")
    return name


def match(value: Any) -> Mapping[str, MatchValue]:
    found = table(value)
    if not found:
        raise Fault("must name at least one field: without one every item would match")
    for field, wanted in found.items():
        if not is_path(field) or "." in field or field in _RESERVED:
            raise Nested(
                field,
                "must be a field of the queue item itself, without dots, and none of "
                + ", ".join(sorted(_RESERVED)),
                wanted,
            )
        if not isinstance(wanted, str | int) or (
            isinstance(wanted, int) and not -(2**63) <= wanted < 2**63
        ):
            raise Nested(field, "must be text, a whole number, true or false", wanted)
    return dict(found)


_RESERVED = frozenset({"_id", "entryId", "exportPath", "status"})
"""Fields of a queue item that Daybook itself reads or changes."""


def date_format(value: Any) -> str:
    found = text(value)
    try:
        check_format(found)
    except ConfigurationError as error:
        raise Fault(str(error)) from error
    return found


def currency(value: Any) -> str:
    """An ISO code, or one of the profile's own, which is checked when the profile is complete."""
    code = text(value)
    if not is_own_code(code):
        raise Fault("must be an ISO 4217 code such as THB, or one of decimals")
    return code


def decimals(value: Any) -> Mapping[str, int]:
    found = table(value)
    for code, places in found.items():
        if not is_own_code(code):
            raise Nested(code, "must be 1 to 16 capital letters or digits", places)
        try:
            whole(places, 0, MOST_DECIMALS)
        except ValueError as error:
            raise Nested(code, str(error), places) from error
    return dict(found)


def require(value: Any) -> frozenset[Required]:
    if not isinstance(value, list) or not all(x in Required.__members__.values() for x in value):
        raise Fault(f"must list some of {', '.join(map(toml_text, Required))}")
    return frozenset(map(Required, value))


def years(value: Any) -> tuple[int, int]:
    wrong = Fault("must be [FIRST, LAST], years of the Common Era from 1 to 9999")
    if not isinstance(value, list) or len(value) != 2:
        raise wrong
    try:
        first, last = (whole(year, 1, 9999) for year in value)
    except ValueError as error:
        raise wrong from error
    if first > last:
        raise wrong
    return first, last


def accounts(value: Any) -> Mapping[str, str]:
    found = table(value)
    for code, account in found.items():
        if not isinstance(account, str) or not account.strip():
            raise Nested(code, "must be text, the importer's account", account)
    return dict(found)


def source(value: Any) -> Source:
    found = table(value)
    preset = found.get("preset")
    if preset is not None and preset not in SOURCES:
        raise Nested("preset", f"is no preset of a source{meant(str(preset), SOURCES)}", preset)
    base = Source() if preset is None else SOURCES[preset]
    known = [one.name for one in fields(Source)]
    given: dict[str, Any] = {}
    for name, path in found.items():
        if name == "preset":
            continue
        if name not in known:
            raise Nested(name, f"is no key of source{meant(name, ['preset', *known])}", path)
        if name == "lines" and isinstance(path, Mapping):
            given[name] = _line_collection(path, base.lines)
        else:
            given[name] = _place(name, path, collection=name in ("entries", "queue"))
    return replace(base, **given)


def _line_collection(value: Mapping[str, Any], base: str | LineCollection) -> LineCollection:
    """`base` supplies what is not given, if it has a collection of lines too."""
    known = [one.name for one in fields(LineCollection)]
    given = {} if isinstance(base, str) else asdict(base)
    for name, path in value.items():
        at = f"lines.{name}"
        if name not in known:
            raise Nested(at, f"is no key of lines{meant(name, known)}", path)
        given[name] = (
            "" if name == "order" and path == "" else _place(at, path, collection=name == known[0])
        )
    for name in ("collection", "key"):
        if name not in given:
            raise Nested(f"lines.{name}", "is missing", None)
    return LineCollection(**given)


def _place(key: str, value: Any, *, collection: bool) -> str:
    """A collection's name, or the path of a field."""
    if not isinstance(value, str) or not (_is_collection(value) if collection else is_path(value)):
        what = "a collection's name" if collection else "a field path such as meta.ref"
        raise Nested(key, f"must be {what}", value)
    return value


def _is_collection(name: str) -> bool:
    return bool(name) and not re.search(r"[$\x00]", name) and not name.startswith("system.")


def columns(value: Any) -> tuple[Column, ...]:
    if not isinstance(value, list) or not value:
        raise Fault("must be at least one [[columns]] table")
    return tuple(_column(each, f"columns[{at}]") for at, each in enumerate(value, start=1))


def _title(value: Any) -> str:
    if not isinstance(value, str):
        raise Fault("must be text")  # an importer may want an empty title
    return value


def _value(value: Any) -> str:
    found = text(value)
    Value.parse(found)
    return found


def _sides(value: Any) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(x, str) for x in value):
        raise Fault('must be [DEBIT, CREDIT], two texts such as ["D", "C"]')
    return value[0], value[1]


_COLUMN_KEYS: Mapping[str, Reader] = {
    "title": _title,
    "value": _value,
    "once": flag,
    "sides": _sides,
    "max_length": lambda value: whole(value, 1, 32_767),
    "cut": flag,
    "type": member(ColumnType),
}


def _column(value: Any, place: str) -> Column:
    if not isinstance(value, Mapping):
        raise Nested(place, "must be a table with title and value", value)
    found: dict[str, Any] = {}
    for key, given in value.items():
        at = f"{place}.{key}"
        if key not in _COLUMN_KEYS:
            raise Nested(at, f"is no key of a column{meant(key, _COLUMN_KEYS)}", given)
        try:
            found[key] = _COLUMN_KEYS[key](given)
        except ValueError as error:
            raise Nested(at, str(error), given) from error
    for key in ("title", "value"):
        if key not in found:
            raise Nested(f"{place}.{key}", "is missing", None)
    column = Column(**found)
    if column.cut and column.max_length is None:
        raise Nested(f"{place}.cut", "needs max_length", True)
    if "sides" in found and column.value != "line.side":
        raise Nested(f"{place}.sides", 'applies only to value = "line.side"', value["sides"])
    return column


LAYOUT: Mapping[str, Reader] = {
    "format": member(FileFormat),
    "filename": filename,
    "match": match,
    "encoding": choice(_ENCODINGS),
    "delimiter": choice(_DELIMITERS),
    "formula_guard": member(FormulaGuard),
    "date_format": date_format,
    "calendar": member(Calendar),
    "time_zone": parsed(parsers.zone),
    "currency": currency,
    "decimals": decimals,
    "require": require,
    "years": years,
    "max_rows": lambda value: whole(value, 1, 10_000_000),
    "one_page_wide": flag,
    "accounts": accounts,
    "source": source,
    "columns": columns,
}
"""Keys that are fields of `Profile`."""

DELIVERY: Mapping[str, Reader] = {
    "destination": parsed(parsers.destination),
    "cron": parsed(parsers.cron),
    "receipt_urls": parsed(parsers.urls),
    "language": parsed(parsers.language),
    "enabled": flag,
}
"""Keys that say when the file is made, and who gets it."""

KEYS = ("preset", *LAYOUT, *DELIVERY)


def meant(name: str, known: Iterable[str]) -> str:
    """`; did you mean "encoding"?`, or all names when none is close."""
    known = tuple(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def toml_text(value: str) -> str:
    """The text as TOML writes it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return '"' + _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04X}", escaped) + '"'


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
