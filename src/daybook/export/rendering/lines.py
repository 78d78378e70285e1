"""Lines in a collection of their own: which are an entry's, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from daybook.display import shown
from daybook.export.model.figures import RejectionReason
from daybook.export.model.ids import hashable
from daybook.export.model.profile import Profile
from daybook.export.model.source import LineCollection
from daybook.export.rendering.cells.values import RejectedValue
from daybook.mongo.query import Query

Line = Mapping[str, Any]


def of_entries(where: LineCollection) -> Query:
    """The lines of a page of entries."""
    return Query(
        name="lines_of_entries",
        collection=where.collection,
        filter=lambda entry_ids: {where.key: {"$in": entry_ids}},
        arguments=lambda doc: {"entry_ids": [value_at(doc, where.key)]},
        # With `order`, the entry says in which order its lines are.
        sort=() if where.order else (("_id", 1),),
        excused="sorts the lines of one page",
    )


def queries(profile: Profile) -> Sequence[Query]:
    lines = profile.source.lines
    return () if isinstance(lines, str) else (of_entries(lines),)


def value_at(doc: Any, path: str) -> Any:
    """The value of a dotted path; raises `LookupError` or `TypeError` when there is none."""
    for name in path.split("."):
        doc = doc[name]
    return doc


def in_order(
    where: LineCollection, lines: Sequence[Line], order: Any, *, id_of: Callable[[Any], Any]
) -> tuple[list[Line], RejectedValue | None]:
    """The lines in the order of their entry, and why they do not fit it.

    `order` is what the entry has in the field of that name; `id_of` undoes the form in which the
    `_id` of a line, there and in `order`, was read. Lines that the entry does not name come last.
    """
    found = list(lines)
    if not where.order:
        return found, None
    if not isinstance(order, list):
        if order is None and not found:
            return found, None
        return found, _rejected(f"{where.order} is no array of the IDs of its lines")
    positions: dict[Hashable, int] = {}
    twice: list[Any] = []
    for at, line_id in enumerate(map(id_of, order)):
        if positions.setdefault(hashable(line_id), at) != at:
            twice.append(line_id)
    known = {hashable(id_of(line["_id"])): id_of(line["_id"]) for line in found}
    found.sort(key=lambda line: positions.get(hashable(id_of(line["_id"])), len(positions)))
    return found, _fault(
        where,
        twice=twice,
        lost=[one for one in map(id_of, order) if hashable(one) not in known],
        unnamed=[one for key, one in known.items() if key not in positions],
    )


def _fault(
    where: LineCollection, *, twice: Sequence[Any], lost: Sequence[Any], unnamed: Sequence[Any]
) -> RejectedValue | None:
    faults = []
    if twice:
        faults.append(f"{where.order} names {_named(twice)} twice")
    if lost:
        faults.append(
            f"{where.order} names {_named(lost)}, which {where.collection} does not have with "
            f"this entry as {where.key}"
        )
    if unnamed:
        faults.append(f"{where.order} does not name {_named(unnamed)}")
    return _rejected(" and ".join(faults)) if faults else None


def _named(line_ids: Sequence[Any]) -> str:
    more = f" and {len(line_ids) - 1:,} more" if len(line_ids) > 1 else ""
    return f"line {shown(line_ids[0])}{more}"


def _rejected(why: str) -> RejectedValue:
    return RejectedValue(RejectionReason.INVALID_LINES, why)


def first_value(values: Iterable[Any]) -> Any:
    """The first of the lines' values that is neither missing nor empty text; None without one."""
    return next((value for value in values if value is not None and value != ""), None)
