"""The outcome of a run in words, and the exit code it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from daybook.cli.command import CommandResult, Exit
from daybook.display import number

if TYPE_CHECKING:
    from daybook.export.model.notice import RejectedEntry
    from daybook.export.outcome import Outcome

_SENTENCES = {
    "exported": "{name} is delivered.",
    "already_exported": "{name} was delivered before; no second file was made.",
    "empty": "Nothing is queued; no file for {day}.",
    "planned": "{name} would be delivered; nothing was written.",
    "in_progress": "Another run is working, or a later day has to finish first.",
    "continued": "{name} is not complete yet; what is done of it is kept.",
    "retry_scheduled": "{name} is not delivered; its entries stay queued.",
    "circuit_open": "The destination failed too often: the circuit is open, and nothing was done.",
    "failed": "{name} could not be delivered, and no further attempt follows.",
}
_UNMARKED = {
    "in_progress": "{name} is delivered; another run is marking its entries.",
    "continued": "{name} is delivered; not all of its entries are marked yet.",
    "retry_scheduled": "{name} is delivered; not all of its entries are marked yet.",
    "circuit_open": "{name} is delivered; not all of its entries are marked yet, as the "
    "circuit is open.",
}
"""Says that the file is delivered and recorded, and that marking or its name is still missing."""
_UNMARKED_EMPTY = "{day} is signed off without a file; not all rejected entries are marked yet."
_UNSETTLED = "An earlier file's entries are not all marked yet; a run does that first."
_ACCEPTED = 202
_FAILED = 500


def answer(outcome: Outcome, *, follows: Sequence[str] = ()) -> CommandResult:
    """A run's answer for the terminal; `follows` are lines that say what comes next."""
    code = Exit.OK
    if outcome.http_status >= _FAILED:
        code = Exit.FAILED
    elif outcome.http_status == _ACCEPTED:
        code = Exit.ACCEPTED
    return CommandResult(doc=outcome.to_doc(), lines=[*_lines(outcome), *follows], code=code)


def figures(facts: Any) -> list[str]:
    """The lines of a file's counts, totals and digest, from its stored description."""
    lines = []
    if facts.get("rowCount") is not None:
        lines.append(
            row("entries", f"{facts['entryCount']:,} in {number(facts['rowCount'], 'row')}")
        )
    for currency, sums in (facts.get("totals") or {}).items():
        lines.append(row(currency, _totals(sums)))
    if facts.get("rejectedCount"):
        lines.append(row("rejected", f"{facts['rejectedCount']:,}"))
    if facts.get("otherMonthCount"):
        lines.append(row("check", _other_months(facts)))
    if facts.get("noCurrencyCount"):
        count = f"{facts['noCurrencyCount']:,} of {facts['entryCount']:,}"
        lines.append(row("check", f"{count} entries name no currency"))
    if facts.get("normalisedCount"):
        lines.append(row("rounded", number(facts["normalisedCount"], "inexact double")))
    if facts.get("webViewLink"):
        lines.append(row("file", facts["webViewLink"]))
    if facts.get("sha256"):
        lines.append(row("SHA-256", facts["sha256"]))
    return lines


NAMED = 20
"""Rejected entries that a command shows without `--all`."""


def rejected(
    entries: Sequence[RejectedEntry], count: int, names: Mapping[str, str], *, every: bool
) -> list[str]:
    """A line for each rejected entry; of `count` in all, the first or `every` one.

    `names` are `Profile.field_names`: fields are called as in receipts and on the page.
    """
    shown = entries if every else entries[:NAMED]
    lines = [row("rejected", _rejected(one, names)) for one in shown]
    more = count - len(shown)
    if more > 0:
        how = "" if every else "; --all shows them"
        lines.append(row("", f"and {more:,} more{how}"))
    return lines


def _rejected(one: RejectedEntry, names: Mapping[str, str]) -> str:
    from daybook.notifications import en

    name = f"entry {one.entry_id}"
    if one.reference is not None:
        name = f"{one.reference} ({one.entry_id})"
    detail = en.detail(one.faults, one.fault_count, names)
    return f"{name}: {detail}. {en.to_correct(one.correctors)}"


def row(name: str, text: object) -> str:
    """A labelled line below a sentence."""
    return f"  {name + ' ':<10}{text}"


def _other_months(facts: Any) -> str:
    from daybook.notifications import en

    return en.other_months(
        facts["otherMonthCount"], facts.get("entryCount") or 0, facts.get("otherMonths") or {}
    )


def planned(outcome: Outcome, names: Mapping[str, str], *, every: bool) -> CommandResult:
    """A dry run's answer, which names the first entries that would be rejected, or `every` one.

    `names` are `Profile.field_names`.
    """
    found = answer(outcome)
    listed = outcome.rejected or ()
    count = outcome.facts.get("rejectedCount") or len(listed)
    lines = rejected(listed, count, names, every=every) if listed else []
    return replace(found, lines=[*found.lines, *lines])


def _lines(outcome: Outcome) -> list[str]:
    sentence = _sentence(outcome).format(
        name=outcome.facts.get("filename") or f"The file of {outcome.batch_date or 'the request'}",
        day=outcome.batch_date or "the request",
    )
    if outcome.status.value == "empty" and outcome.facts.get("rejectedCount"):
        sentence = f"Every queued entry is rejected; no file for {outcome.batch_date}."
    lines = [sentence, *figures(outcome.facts)]
    if outcome.error is not None:
        lines.append(row("error", f"{outcome.error['type']}: {outcome.error['message']}"))
    return lines


def _sentence(outcome: Outcome) -> str:
    status = outcome.status.value
    if outcome.delivered:
        return _UNMARKED.get(status, _SENTENCES[status])
    if outcome.signed_off and status in _UNMARKED:
        return _UNMARKED_EMPTY
    if outcome.error is not None and outcome.error["type"] == "not_settled":
        return _UNSETTLED
    return _SENTENCES[status]


def _totals(sums: dict[str, str]) -> str:
    debit, credit = Decimal(sums["debit"]), Decimal(sums["credit"])
    sign = "=" if debit == credit else "and"
    text = f"debit {debit:,} {sign} credit {credit:,}"
    net = Decimal(sums["amount"])
    return f"{text}, amount {net:,}" if net else text
