"""The receipt of a committed or an empty day, for the accountant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum, auto
from zoneinfo import ZoneInfo

from daybook.export.model.batch_key import command
from daybook.export.model.figures import EntryFault
from daybook.export.model.notice import Check, CheckedEntry, Receipt, RejectedEntry
from daybook.export.model.profile import DAILY
from daybook.notifications import en, th
from daybook.notifications.en import number
from daybook.notifications.facts import one_line
from daybook.notifications.messages import Language, Message
from daybook.text.visible import clean

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


def receipt_message(
    receipt: Receipt, *, language: Language, zone: ZoneInfo, every: bool = False
) -> Message:
    """The receipt for people. A day without a file says so plainly.

    It names as many rejected entries as fit into a message, or `every` one that the receipt has.
    """
    compose = _thai if language == "th" else _english
    return compose(receipt, zone, every=every)


class _Run(Enum):
    """How the run that found nothing to export was related to its day."""

    ON_TIME = auto()
    EARLY = auto()  # the day had not begun
    LATE = auto()  # the day was over for more than a day
    AGAIN = auto()  # the day had failed, and was opened again


def _run(receipt: Receipt, zone: ZoneInfo) -> _Run:
    late = receipt.done_at.astimezone(zone).date() - date.fromisoformat(receipt.batch_date)
    if late < timedelta(0):
        return _Run.EARLY
    if receipt.repeated:
        return _Run.AGAIN
    return _Run.LATE if late > timedelta(days=1) else _Run.ON_TIME


_EMPTY_IN_ENGLISH = {
    _Run.ON_TIME: "This is normal: if it had not run, you would not have received this receipt.",
    _Run.EARLY: "The day has not begun: what is queued from now on may go into a file of it.",
    _Run.LATE: "The run was for a day that is past: check which file has that day's entries.",
    _Run.AGAIN: "The day had failed and was opened again: check which file has its entries.",
}
_EMPTY_IN_THAI = {
    _Run.ON_TIME: "ข้อความนี้ยืนยันว่าระบบทำงานตามปกติ หากระบบไม่ได้ทำงาน ท่านจะไม่ได้รับใบยืนยันนี้",
    _Run.EARLY: "ยังไม่ถึงวันดังกล่าว รายการที่เข้าคิวหลังจากนี้อาจอยู่ในไฟล์ของวันนั้น",
    _Run.LATE: "เป็นการทำงานสำหรับวันที่ผ่านไปแล้ว กรุณาตรวจสอบว่ารายการของวันนั้นอยู่ในไฟล์ใด",
    _Run.AGAIN: "วันดังกล่าวเคยไม่สำเร็จและเปิดให้ทำงานอีกครั้ง กรุณาตรวจสอบว่ารายการของวันนั้นอยู่ในไฟล์ใด",
}


def _english(receipt: Receipt, zone: ZoneInfo, *, every: bool) -> Message:
    day, who = receipt.batch_date, _who(receipt)
    done = f"Done: {en.moment(receipt.done_at.astimezone(zone))}"
    unusual = _unusual_in_english(receipt, every=every)
    rejected = _rejected_in_english(receipt, unusual, every=every)
    unclaimed = _unclaimed_in_english(receipt)
    if receipt.filename is None and receipt.rejected_count:
        count = number(receipt.rejected_count, "entry", "entries")
        return Message(
            title=f"{who} receipt {day}: {count} rejected, no file",
            text=_paragraphs(
                f"Daybook ran for {day}. Every queued entry has a fault, so there is no file.",
                rejected,
                unclaimed,
                done,
            ),
        )
    if receipt.filename is None:
        return Message(
            title=f"{who} receipt {day}: nothing to export, no file",
            text=_paragraphs(
                f"Daybook ran for {day} and found nothing to export, so there is no file."
                + ("" if unclaimed else f" {_EMPTY_IN_ENGLISH[_run(receipt, zone)]}"),
                rejected,
                unclaimed,
                done,
            ),
        )
    entries = number(receipt.entry_count, "entry", "entries")
    sums = [line for code, sums in receipt.totals.items() for line in _sums_in_english(code, sums)]
    return Message(
        title=_title(f"{who} receipt {day}: {entries}", receipt),
        text=_paragraphs(
            f"The entries of {day} are exported.",
            _lines(f"Entries: {receipt.entry_count:,} (rows: {receipt.row_count:,})", *sums),
            unusual,
            f"The importing program takes at most {receipt.max_rows:,} rows in one file. Split the "
            "file between two entries before importing it."
            if receipt.has_too_many_rows
            else None,
            rejected,
            unclaimed,
            _lines(
                f"File: {one_line(receipt.filename)}",
                f"Link: {clean(receipt.link)}" if receipt.link else None,
                f"SHA-256: {receipt.sha256}" if receipt.sha256 else None,
                done,
            ),
        ),
    )


def _sums_in_english(currency: str, sums: Mapping[str, str]) -> list[str]:
    debit, credit, without_lines = _sums(sums)
    lines = []
    if debit or credit or not without_lines:
        equal = "equal" if debit == credit else f"NOT EQUAL, they differ by {debit - credit:+,f}"
        lines.append(f"{currency}: debit {debit:,f}, credit {credit:,f}: {equal}")
    if without_lines:
        lines.append(f"{currency}: amount of entries without lines {without_lines:,f}")
    return lines


def _unusual_in_english(receipt: Receipt, *, every: bool) -> str | None:
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
    return _lines("Check before you import the file:", *found) if any(found) else None


def _rejected_in_english(receipt: Receipt, before: str | None, *, every: bool) -> str | None:
    if not receipt.rejected_count:
        return None
    count = number(receipt.rejected_count, "entry", "entries")
    listed = _listed(receipt, "entry", _faults_in_english, before, every=every)
    more = receipt.rejected_count - len(listed)
    return _lines(
        f"Not in the file: {count}. Once corrected and queued again, they go into a later file.",
        *listed,
        f"- and {more:,} more; all of them: {_all(receipt)}" if more > 0 else None,
    )


def _faults_in_english(one: RejectedEntry, named: int, names: Mapping[str, str]) -> str:
    texts = [_fault(fault, en.place(fault, names), en.REASONS) for fault in one.faults[:named]]
    more = one.fault_count - len(texts)
    faults = "; ".join([*texts, *([f"and {more:,} more"] if more > 0 else [])])
    return f"{faults}. {en.to_correct(one.correctors)}"


def _unclaimed_in_english(receipt: Receipt) -> str | None:
    if not receipt.unclaimed:
        return None
    items = number(sum(receipt.unclaimed.values()), "queued item", "queued items")
    return _lines(
        f"No run takes {items}, so no file will have them. Tell the operator.",
        *(
            f"- {count:,}: {en.UNCLAIMED.get(reason, reason)}"
            for reason, count in receipt.unclaimed.items()
        ),
    )


def _thai(receipt: Receipt, zone: ZoneInfo, *, every: bool) -> Message:
    day, who = receipt.batch_date, _who(receipt)
    full = f"{th.long_date(date.fromisoformat(day))} ({day})"
    done = f"ดำเนินการเสร็จเมื่อ: {th.moment(receipt.done_at.astimezone(zone))}"
    unusual = _unusual_in_thai(receipt, every=every)
    rejected = _rejected_in_thai(receipt, unusual, every=every)
    unclaimed = _unclaimed_in_thai(receipt)
    if receipt.filename is None and receipt.rejected_count:
        return Message(
            title=f"ใบยืนยันการส่งออก {who} {day}: "
            f"ไม่ผ่านการตรวจสอบ {receipt.rejected_count:,} รายการ ไม่มีไฟล์",
            text=_paragraphs(
                f"ระบบ Daybook ทำงานประจำวันที่ {full} เรียบร้อยแล้ว "
                "แต่ทุกรายการในคิวมีข้อผิดพลาด จึงไม่มีไฟล์ของวันนี้",
                rejected,
                unclaimed,
                done,
            ),
        )
    if receipt.filename is None:
        return Message(
            title=f"ใบยืนยันการส่งออก {who} {day}: ไม่มีรายการต้องส่งออก ไม่มีไฟล์",
            text=_paragraphs(
                f"ระบบ Daybook ทำงานประจำวันที่ {full} เรียบร้อยแล้ว ไม่พบรายการบัญชีที่ต้องส่งออก "
                "จึงไม่มีไฟล์ของวันนี้" + ("" if unclaimed else f" {_EMPTY_IN_THAI[_run(receipt, zone)]}"),
                rejected,
                unclaimed,
                done,
            ),
        )
    sums = [line for code, sums in receipt.totals.items() for line in _sums_in_thai(code, sums)]
    return Message(
        title=_title(f"ใบยืนยันการส่งออก {who} {day}: {receipt.entry_count:,} รายการ", receipt),
        text=_paragraphs(
            f"ระบบ Daybook ส่งออกรายการบัญชีประจำวันที่ {full} เรียบร้อยแล้ว",
            _lines(
                f"จำนวนรายการบัญชี: {receipt.entry_count:,} รายการ ({receipt.row_count:,} บรรทัด)",
                *sums,
            ),
            unusual,
            f"โปรแกรมที่นำเข้ารับไฟล์ละไม่เกิน {receipt.max_rows:,} บรรทัด "
            "กรุณาแบ่งไฟล์ระหว่างรายการบัญชีก่อนนำเข้า"
            if receipt.has_too_many_rows
            else None,
            rejected,
            unclaimed,
            _lines(
                f"ไฟล์: {one_line(receipt.filename)}",
                f"ลิงก์: {clean(receipt.link)}" if receipt.link else None,
                f"SHA-256: {receipt.sha256}" if receipt.sha256 else None,
                done,
            ),
        ),
    )


def _sums_in_thai(currency: str, sums: Mapping[str, str]) -> list[str]:
    debit, credit, without_lines = _sums(sums)
    lines = []
    if debit or credit or not without_lines:
        equal = "ยอดเท่ากัน" if debit == credit else f"ยอดไม่เท่ากัน ต่างกัน {debit - credit:+,f}"
        lines.append(f"{currency}: เดบิต {debit:,f} เครดิต {credit:,f} {equal}")
    if without_lines:
        lines.append(f"{currency}: จำนวนเงินของรายการที่ไม่มีบรรทัดย่อย {without_lines:,f}")
    return lines


def _unusual_in_thai(receipt: Receipt, *, every: bool) -> str | None:
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
    return _lines("กรุณาตรวจสอบก่อนนำเข้าไฟล์:", *found) if any(found) else None


def _rejected_in_thai(receipt: Receipt, before: str | None, *, every: bool) -> str | None:
    if not receipt.rejected_count:
        return None
    listed = _listed(receipt, "รายการ", _faults_in_thai, before, every=every)
    more = receipt.rejected_count - len(listed)
    return _lines(
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

    None if it may leave out some: nobody has counted them, or they have changed since.
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


def _unclaimed_in_thai(receipt: Receipt) -> str | None:
    if not receipt.unclaimed:
        return None
    return _lines(
        f"มีข้อมูลในคิว {sum(receipt.unclaimed.values()):,} รายการที่จะไม่ถูกส่งออกในไฟล์ใด กรุณาแจ้งผู้ดูแลระบบ",
        *(
            f"- {th.UNCLAIMED.get(reason, reason)}: {count:,} รายการ"
            for reason, count in receipt.unclaimed.items()
        ),
    )


def _who(receipt: Receipt) -> str:
    return "Daybook" if receipt.profile == DAILY else f"Daybook {receipt.profile}"


def _title(start: str, receipt: Receipt) -> str:
    """The entry count with the debits of each currency, or the amounts if no entry has lines."""
    sums = {code: _sums(sums) for code, sums in receipt.totals.items()}
    sums_in_title = [
        f"{code} {debit or without_lines:,f}" for code, (debit, _, without_lines) in sums.items()
    ]
    return one_line(", ".join([start, *sums_in_title]), longest=200)


def _sums(sums: Mapping[str, str]) -> tuple[Decimal, Decimal, Decimal]:
    """Debit, credit, and the amount of entries without lines."""
    debit, credit, amount = (Decimal(sums[name]) for name in ("debit", "credit", "amount"))
    return debit, credit, amount - (debit - credit)


def _name(one: RejectedEntry | CheckedEntry, word: str) -> str:
    """The name by which the accountant knows the entry, and its ID."""
    entry_id = one_line(one.entry_id, longest=_LONGEST_REFERENCE)
    if one.reference is None or not one.reference.strip():
        return f"{word} {entry_id}"
    return f"{one_line(one.reference, longest=_LONGEST_REFERENCE)} ({entry_id})"


def _lines(*lines: str | None) -> str:
    return "\n".join(line for line in lines if line)


def _paragraphs(*paragraphs: str | None) -> str:
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
