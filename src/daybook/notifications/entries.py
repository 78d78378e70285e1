"""The entries that a receipt names: those to check in the file, and those that are not in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from daybook.export.model.figures import EntryFault
from daybook.export.model.notice import Check, CheckedEntry, Receipt, RejectedEntry
from daybook.export.model.profile import command
from daybook.notifications import en, th
from daybook.notifications.en import number
from daybook.notifications.facts import one_line, paragraph

LISTED = 20
"""At most this many rejected entries are named; the others are only counted."""

CHECKED = 5
"""At most this many entries to check are named for each reason."""

_LISTS_LENGTH = 3500
"""At most this many characters of lines that name entries; LINE takes 5,000 in a message."""
_FAULTS = 3
"""At most this many faults of one entry are named; the day's records have more."""
_LONGEST_REFERENCE = 60
_LONGEST_PART = 50


def to_check_in_english(receipt: Receipt, *, every: bool) -> str | None:
    """What is in the file, and may yet be wrong, with the entries concerned."""
    if receipt.filename is None:
        return None

    def named(check: Check, count: int | None) -> str | None:
        entries, more = _concerned(receipt, check, "entry", count, every=every)
        if not entries:
            return None
        left = "" if more == 0 else f" and {more:,} more" if more else " and perhaps others"
        return f"  {entries}{left}{f'; all of them: {_all(receipt)}' if left else ''}"

    entries, bare = receipt.entry_count, receipt.no_currency_count
    months = en.other_months(receipt.other_month_count, entries, receipt.other_months)
    of = f"{bare:,} of {number(entries, 'entry', 'entries')}"
    verbs = "names no currency and counts" if bare == 1 else "name no currency and count"
    found = [
        f"- {months}." if receipt.other_month_count else None,
        named(Check.OTHER_MONTH, receipt.other_month_count),
        f"- {of} {verbs} as {receipt.currency}." if bare else None,
        named(Check.NO_CURRENCY, bare),
        f"- No column says which rows are in {', '.join(receipt.hidden_currencies)} instead of "
        f"{receipt.currency}."
        if receipt.hidden_currencies
        else None,
        named(Check.HIDDEN_CURRENCY, None),
    ]
    return paragraph("Check before you import the file:", *found) if any(found) else None


def rejected_in_english(receipt: Receipt, before: str | None, *, every: bool) -> str | None:
    if not receipt.rejected_count:
        return None
    count = number(receipt.rejected_count, "entry", "entries")
    listed = _listed(receipt, "entry", _faults_in_english, before, every=every)
    more = receipt.rejected_count - len(listed)
    return paragraph(
        f"Not in the file: {count}. Once corrected and queued again, they go into a later file.",
        *listed,
        f"- and {more:,} more; all of them: {_all(receipt)}" if more > 0 else None,
    )


def _faults_in_english(one: RejectedEntry, named: int, names: Mapping[str, str]) -> str:
    texts = [_fault(fault, en.place(fault, names), en.REASONS) for fault in one.faults[:named]]
    more = one.fault_count - len(texts)
    faults = "; ".join([*texts, *([f"and {more:,} more"] if more > 0 else [])])
    return f"{faults}. {en.to_correct(one.correctors)}"


def to_check_in_thai(receipt: Receipt, *, every: bool) -> str | None:
    if receipt.filename is None:
        return None

    def named(check: Check, count: int | None) -> str | None:
        entries, more = _concerned(receipt, check, "รายการ", count, every=every)
        if not entries:
            return None
        left = "" if more == 0 else f" และอีก {more:,} รายการ" if more else " และอาจมีรายการอื่นอีก"
        return f"  {entries}{left}{f' ดูทั้งหมด: {_all(receipt)}' if left else ''}"

    entries, bare = receipt.entry_count, receipt.no_currency_count
    months = th.other_months(receipt.other_month_count, entries, receipt.other_months)
    found = [
        f"- {months}" if receipt.other_month_count else None,
        named(Check.OTHER_MONTH, receipt.other_month_count),
        f"- {bare:,} จาก {entries:,} รายการไม่ระบุสกุลเงิน จึงนับเป็น {receipt.currency}"
        if bare
        else None,
        named(Check.NO_CURRENCY, bare),
        f"- ไฟล์ไม่มีคอลัมน์สกุลเงิน แต่มีบรรทัดที่เป็น {', '.join(receipt.hidden_currencies)} "
        f"นอกจาก {receipt.currency}"
        if receipt.hidden_currencies
        else None,
        named(Check.HIDDEN_CURRENCY, None),
    ]
    return paragraph("กรุณาตรวจสอบก่อนนำเข้าไฟล์:", *found) if any(found) else None


def rejected_in_thai(receipt: Receipt, before: str | None, *, every: bool) -> str | None:
    if not receipt.rejected_count:
        return None
    listed = _listed(receipt, "รายการ", _faults_in_thai, before, every=every)
    more = receipt.rejected_count - len(listed)
    return paragraph(
        f"รายการที่ไม่ได้อยู่ในไฟล์: {receipt.rejected_count:,} รายการ "
        "กรุณาแก้ไขและนำเข้าคิวอีกครั้ง เพื่อให้อยู่ในไฟล์ถัดไป",
        *listed,
        f"- และอีก {more:,} รายการ ดูทั้งหมด: {_all(receipt)}" if more > 0 else None,
    )


def _faults_in_thai(one: RejectedEntry, named: int, names: Mapping[str, str]) -> str:
    texts = [_fault(fault, th.place(fault, names), th.REASONS) for fault in one.faults[:named]]
    more = one.fault_count - len(texts)
    faults = "; ".join([*texts, *([f"และอีก {more:,} จุด"] if more > 0 else [])])
    return f"{faults} {th.to_correct(one.correctors)}"


def _listed(
    receipt: Receipt,
    word: str,
    faults: Callable[[RejectedEntry, int, Mapping[str, str]], str],
    before: str | None,
    *,
    every: bool,
) -> list[str]:
    """A line for each of the first rejected entries, as many as fit into a message.

    If they do not fit with several faults each, they have one each. `before` is the other list.
    """
    shown = receipt.rejected if every else receipt.rejected[:LISTED]
    longest = _LISTS_LENGTH - len(before or "")

    def line(one: RejectedEntry, most: int) -> str:
        return f"- {_name(one, word)}: {faults(one, most, receipt.field_names)}"

    lines = [line(one, _FAULTS) for one in shown]
    if every or _length(lines) <= longest:
        return lines
    lines = [line(one, 1) for one in shown]
    while len(lines) > 1 and _length(lines) > longest:
        lines.pop()
    return lines


def _concerned(
    receipt: Receipt, check: Check, word: str, count: int | None, *, every: bool
) -> tuple[str, int | None]:
    """The entries to check as one line, and how many of `count` it leaves out.

    None if it may leave out some: they were not counted, or have changed since.
    """
    known = receipt.to_check.get(check, ())
    shown = known if every else known[:CHECKED]
    left = None if count is None or len(known) > count else count - len(shown)
    if every or (count is None and len(shown) < CHECKED):
        left = 0
    return ", ".join(_name(one, word) for one in shown), left


def _all(receipt: Receipt) -> str:
    return f"`{command('receipt', receipt.profile, receipt.batch_date)} --all`"


def _length(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _fault(fault: EntryFault, place: str, reasons: Mapping[str, str]) -> str:
    """A fault such as `line 2, debit: stored as text ('100.00')`."""
    where = f"{one_line(place, longest=_LONGEST_PART)}: " if place else ""
    value = f" ({one_line(fault.value, longest=_LONGEST_PART)})" if fault.value else ""
    return f"{where}{reasons[fault.reason]}{value}"


def _name(one: RejectedEntry | CheckedEntry, word: str) -> str:
    """The name by which the accountant knows the entry, and its ID."""
    entry_id = one_line(one.entry_id, longest=_LONGEST_REFERENCE)
    if one.reference is None or not one.reference.strip():
        return f"{word} {entry_id}"
    return f"{one_line(one.reference, longest=_LONGEST_REFERENCE)} ({entry_id})"
