"""The receipt of a committed or an empty day, for the accountant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from daybook.export.model.figures import EntryFault
from daybook.export.model.notice import Receipt, RejectedEntry
from daybook.export.model.profile import DAILY
from daybook.notifications import en, th
from daybook.notifications.en import number
from daybook.notifications.facts import one_line
from daybook.notifications.messages import Language, Message
from daybook.text.visible import clean

LISTED = 20
"""At most this many rejected entries are named; the others are only counted."""

_REJECTED_LENGTH = 2800
"""At most this many characters of lines that name them; LINE takes 5,000 in a message."""
_FAULTS = 3
"""At most this many faults of one entry are named; the day's records have more."""
_LONGEST_REFERENCE = 60
_LONGEST_PART = 50


def receipt_message(receipt: Receipt, *, language: Language, zone: ZoneInfo) -> Message:
    """The receipt for people. A day without a file says so plainly."""
    return _thai(receipt, zone) if language == "th" else _english(receipt, zone)


def _english(receipt: Receipt, zone: ZoneInfo) -> Message:
    day, who = receipt.batch_date, _who(receipt)
    done = f"Done: {en.moment(receipt.done_at.astimezone(zone))}"
    rejected = _rejected_in_english(receipt)
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
                if unclaimed
                else f"Daybook ran for {day} and found nothing to export, so there is no file. "
                "This is normal: if it had not run, you would not have received this receipt.",
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


def _rejected_in_english(receipt: Receipt) -> str | None:
    if not receipt.rejected_count:
        return None
    count = number(receipt.rejected_count, "entry", "entries")
    listed = _listed(receipt, "entry", _faults_in_english)
    more = receipt.rejected_count - len(listed)
    return _lines(
        f"Not in the file: {count}. Once corrected and queued again, they go into a later file.",
        *listed,
        f"- and {more:,} more" if more > 0 else None,
    )


def _faults_in_english(one: RejectedEntry) -> str:
    texts = [_fault(fault, en.place(fault), en.REASONS) for fault in one.faults[:_FAULTS]]
    more = one.fault_count - len(texts)
    return "; ".join([*texts, *([f"and {more:,} more"] if more > 0 else [])])


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


def _thai(receipt: Receipt, zone: ZoneInfo) -> Message:
    day, who = receipt.batch_date, _who(receipt)
    full = f"{th.long_date(date.fromisoformat(day))} ({day})"
    done = f"ดำเนินการเสร็จเมื่อ: {th.moment(receipt.done_at.astimezone(zone))}"
    rejected = _rejected_in_thai(receipt)
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
                "จึงไม่มีไฟล์ของวันนี้"
                + (
                    ""
                    if unclaimed
                    else " ข้อความนี้ยืนยันว่าระบบทำงานตามปกติ หากระบบไม่ได้ทำงาน ท่านจะไม่ได้รับใบยืนยันนี้"
                ),
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


def _rejected_in_thai(receipt: Receipt) -> str | None:
    if not receipt.rejected_count:
        return None
    listed = _listed(receipt, "รายการ", _faults_in_thai)
    more = receipt.rejected_count - len(listed)
    return _lines(
        f"รายการที่ไม่ได้อยู่ในไฟล์: {receipt.rejected_count:,} รายการ "
        "กรุณาแก้ไขและนำเข้าคิวอีกครั้ง เพื่อให้อยู่ในไฟล์ถัดไป",
        *listed,
        f"- และอีก {more:,} รายการ" if more > 0 else None,
    )


def _faults_in_thai(one: RejectedEntry) -> str:
    texts = [_fault(fault, th.place(fault), th.REASONS) for fault in one.faults[:_FAULTS]]
    more = one.fault_count - len(texts)
    return "; ".join([*texts, *([f"และอีก {more:,} จุด"] if more > 0 else [])])


def _listed(receipt: Receipt, word: str, faults: Callable[[RejectedEntry], str]) -> list[str]:
    """A line for each of the first rejected entries, as many as fit into a message."""
    lines: list[str] = []
    room = _REJECTED_LENGTH
    for one in receipt.rejected[:LISTED]:
        line = f"- {_name(one, word)}: {faults(one)}"
        room -= len(line)
        if lines and room < 0:
            break
        lines.append(line)
    return lines


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


def _name(one: RejectedEntry, word: str) -> str:
    """The name by which the accountant knows the entry."""
    if one.reference is None or not one.reference.strip():
        return f"{word} {one_line(one.entry_id, longest=_LONGEST_REFERENCE)}"
    return one_line(one.reference, longest=_LONGEST_REFERENCE)


def _lines(*lines: str | None) -> str:
    return "\n".join(line for line in lines if line)


def _paragraphs(*paragraphs: str | None) -> str:
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
