"""The receipt of a committed or an empty day, for the accountant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum, auto
from zoneinfo import ZoneInfo

from daybook.display import clean
from daybook.export.model.notice import Receipt
from daybook.export.model.profile import DAILY
from daybook.notifications import en, th
from daybook.notifications.en import number
from daybook.notifications.entries import (
    rejected_in_english,
    rejected_in_thai,
    to_check_in_english,
    to_check_in_thai,
)
from daybook.notifications.facts import one_line, paragraph
from daybook.notifications.messages import Language, Message


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
    BEFORE_DUE = auto()  # the day had begun, and its own run was not due yet
    LATE = auto()  # the day was over for more than a day
    AGAIN = auto()  # the day had failed, and was opened again


def _run(receipt: Receipt, zone: ZoneInfo) -> _Run:
    late = receipt.done_at.astimezone(zone).date() - date.fromisoformat(receipt.batch_date)
    if late < timedelta(0):
        return _Run.EARLY
    if receipt.repeated:
        return _Run.AGAIN
    if receipt.early:
        return _Run.BEFORE_DUE
    return _Run.LATE if late > timedelta(days=1) else _Run.ON_TIME


_EMPTY_IN_ENGLISH = {
    _Run.ON_TIME: "This is normal: if it had not run, you would not have received this receipt.",
    _Run.EARLY: "The day has not begun: what is queued from now on may go into a file of it.",
    _Run.BEFORE_DUE: "The day was closed before its time: what is queued until then may still go "
    "into a file of it.",
    _Run.LATE: "The run was for a day that is past: check which file has that day's entries.",
    _Run.AGAIN: "The day had failed and was opened again: check which file has its entries.",
}
_EMPTY_IN_THAI = {
    _Run.ON_TIME: "ข้อความนี้ยืนยันว่าระบบทำงานตามปกติ หากระบบไม่ได้ทำงาน ท่านจะไม่ได้รับใบยืนยันนี้",
    _Run.EARLY: "ยังไม่ถึงวันดังกล่าว รายการที่เข้าคิวหลังจากนี้อาจอยู่ในไฟล์ของวันนั้น",
    _Run.BEFORE_DUE: "วันดังกล่าวปิดก่อนเวลาที่กำหนด รายการที่เข้าคิวจนถึงเวลานั้นอาจยังอยู่ในไฟล์ของวันนั้น",
    _Run.LATE: "เป็นการทำงานสำหรับวันที่ผ่านไปแล้ว กรุณาตรวจสอบว่ารายการของวันนั้นอยู่ในไฟล์ใด",
    _Run.AGAIN: "วันดังกล่าวเคยไม่สำเร็จและเปิดให้ทำงานอีกครั้ง กรุณาตรวจสอบว่ารายการของวันนั้นอยู่ในไฟล์ใด",
}


def _english(receipt: Receipt, zone: ZoneInfo, *, every: bool) -> Message:
    day, who = receipt.batch_date, _who(receipt)
    done = f"Done: {en.moment(receipt.done_at.astimezone(zone))}"
    unusual = to_check_in_english(receipt, every=every)
    rejected = rejected_in_english(receipt, unusual, every=every)
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
            paragraph(f"Entries: {receipt.entry_count:,} (rows: {receipt.row_count:,})", *sums),
            unusual,
            f"The importing program takes at most {receipt.max_rows:,} rows in one file. Split the "
            "file between two entries before importing it."
            if receipt.has_too_many_rows
            else None,
            rejected,
            unclaimed,
            paragraph(
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


def _unclaimed_in_english(receipt: Receipt) -> str | None:
    if not receipt.unclaimed:
        return None
    items = number(sum(receipt.unclaimed.values()), "queued item", "queued items")
    return paragraph(
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
    unusual = to_check_in_thai(receipt, every=every)
    rejected = rejected_in_thai(receipt, unusual, every=every)
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
            paragraph(
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
            paragraph(
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


def _unclaimed_in_thai(receipt: Receipt) -> str | None:
    if not receipt.unclaimed:
        return None
    return paragraph(
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


def _paragraphs(*paragraphs: str | None) -> str:
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
