"""Numbers, times and phrases in Thai."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from daybook.export.model.figures import EntryFault, RejectionReason
from daybook.export.queue.waiting import Unclaimed
from daybook.notifications.facts import Facts

_MONTHS = (
    *("มกราคม", "กุมภาพันธ์", "มีนาคม", "เมษายน", "พฤษภาคม", "มิถุนายน"),
    *("กรกฎาคม", "สิงหาคม", "กันยายน", "ตุลาคม", "พฤศจิกายน", "ธันวาคม"),
)
_BUDDHIST_ERA = 543

REASONS: Mapping[str, str] = {
    RejectionReason.MISSING: "ไม่พบรายการบัญชีต้นทาง",
    RejectionReason.MISSING_VALUE: "ขาดข้อมูลที่จำเป็น",
    RejectionReason.STORED_AS_TEXT: "บันทึกเป็นข้อความ ไม่ใช่ตัวเลขหรือวันที่",
    RejectionReason.UNBALANCED: "ยอดเดบิตและยอดเครดิตไม่เท่ากัน",
    RejectionReason.NOT_FINITE: "จำนวนเงินไม่ใช่ตัวเลขที่ใช้ได้",
    RejectionReason.TOO_LARGE: "จำนวนเงินมีเลขหน้าจุดทศนิยมเกิน 18 หลัก",
    RejectionReason.TOO_MANY_DECIMALS: "จำนวนเงินมีทศนิยมเกินกว่าที่สกุลเงินกำหนด",
    RejectionReason.INVALID_AMOUNT: "จำนวนเงินไม่ใช่ตัวเลข",
    RejectionReason.INVALID_DATE: "วันที่ไม่ถูกต้อง",
    RejectionReason.BUDDHIST_YEAR: "บันทึกปีเป็นพุทธศักราช แต่ต้องเป็นคริสต์ศักราช",
    RejectionReason.IMPLAUSIBLE_YEAR: "ปีอยู่นอกช่วงที่เป็นไปได้",
    RejectionReason.INVALID_TEXT: "ช่องข้อความมีข้อมูลที่ไม่ใช่ข้อความ",
    RejectionReason.CONTROL_CHARACTER: "ข้อความมีอักขระควบคุม",
    RejectionReason.UNKNOWN_CURRENCY: "สกุลเงินไม่ใช่รหัสตามมาตรฐาน ISO 4217",
    RejectionReason.INVALID_LINES: "ไม่สามารถอ่านบรรทัดของรายการได้",
    RejectionReason.UNENCODABLE: "มีอักขระที่ไม่สามารถบันทึกลงไฟล์ได้",
    RejectionReason.DUPLICATE: "เคยส่งออกแล้ว หรืออยู่ในคิวซ้ำกัน",
}
"""Why an entry is rejected."""

UNCLAIMED: Mapping[str, str] = {
    Unclaimed.UNKNOWN_STATUS: "สถานะ (status) ไม่ถูกต้อง",
    Unclaimed.UNKNOWN_PATH: "ไม่ระบุช่องทางการส่งออก (exportPath) หรือระบุไม่ถูกต้อง",
    Unclaimed.UNKNOWN_PROFILE: "ไม่มีโปรไฟล์ (profile) ที่ระบุ",
    Unclaimed.UNREADABLE_ID: "ไม่สามารถอ่านรหัสรายการ (_id) ได้",
}
"""Why no run ever takes a queue item."""

DESTINATIONS: Mapping[str, str] = {
    "google_drive": "Google Drive",
    "s3": "S3",
    "local_folder": "โฟลเดอร์บนเครื่อง",
}

STAYS_QUEUED = "รายการยังอยู่ในคิวครบถ้วน ไม่มีรายการสูญหายและไม่มีการส่งออกซ้ำ"


def place(fault: EntryFault) -> str:
    """`บรรทัดที่ 2 ช่อง debit`; empty for the entry as a whole."""
    line = None if fault.line is None else f"บรรทัดที่ {fault.line}"
    field = f"ช่อง {fault.field}" if fault.field else None
    return " ".join(part for part in (line, field) if part)


def long_date(day: date) -> str:
    """`18 มกราคม 2569`, in the Buddhist Era."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year + _BUDDHIST_ERA}"


def moment(at: datetime) -> str:
    """With the name of its time zone."""
    return f"{long_date(at)} เวลา {at:%H:%M} น. ({at.tzinfo})"


def last_error(facts: Facts) -> str | None:
    return f"ข้อผิดพลาดล่าสุด: {facts.error}" if facts.error else None


def run_it(facts: Facts) -> str:
    if facts.day is None:
        return "ส่งคำขอเดิมไปที่ POST /exports อีกครั้ง"
    return f"ใช้คำสั่ง `python -m daybook run --date {facts.day}` (หรือ POST /run)"


def at_link(facts: Facts) -> str | None:
    link = facts.text("link")
    return f"ไฟล์: {link}" if link else None
