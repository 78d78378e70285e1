"""The words of alerts and receipts in Thai. Commands, paths and names of settings stay English."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType

from daybook.export.model.figures import Corrector, EntryFault, RejectionReason
from daybook.export.model.notice import AlertEvent
from daybook.export.model.profile import DAILY, option_of
from daybook.export.queue.waiting import Unclaimed
from daybook.export.slot.orphans import OrphanReason
from daybook.notifications.facts import AlertText, Facts, commanded, needs_migrate, sentences

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
    RejectionReason.TOO_LARGE: "จำนวนเงินมีจำนวนหลักเกินที่ไฟล์รองรับ",
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
    RejectionReason.TOO_LONG: "ข้อความยาวเกินที่คอลัมน์ในไฟล์รองรับ",
    RejectionReason.UNMAPPED_ACCOUNT: "โปรไฟล์ไม่ได้กำหนดบัญชีปลายทางสำหรับรหัสบัญชีนี้",
    RejectionReason.DUPLICATE: "เคยส่งออกแล้ว หรืออยู่ในคิวซ้ำกัน",
}
"""Why an entry is rejected."""

FIELDS: Mapping[str, str] = {
    "_id": "รหัสรายการ",
    "date": "วันที่",
    "reference": "เลขที่อ้างอิง",
    "description": "คำอธิบาย",
    "currency": "สกุลเงิน",
    "amount": "จำนวนเงิน",
    "lines": "บรรทัดของรายการ",
    "accountCode": "รหัสบัญชี",
    "accountName": "ชื่อบัญชี",
    "debit": "เดบิต",
    "credit": "เครดิต",
    "batch.date": "วันที่ส่งออก",
}
"""Fields of an entry and its lines, by their default paths."""

UNCLAIMED: Mapping[str, str] = {
    Unclaimed.UNKNOWN_STATUS: "สถานะ (status) ไม่ถูกต้อง",
    Unclaimed.UNKNOWN_PATH: "ไม่ระบุช่องทางการส่งออก (exportPath) หรือระบุไม่ถูกต้อง",
    Unclaimed.UNKNOWN_PROFILE: "ไม่มีโปรไฟล์ (profile) ที่ระบุ",
    Unclaimed.UNREADABLE_ID: "ไม่สามารถอ่านรหัสรายการ (_id) ได้",
}
"""Why no run ever takes a queue item."""

CORRECTORS: Mapping[Corrector, str] = {
    Corrector.ACCOUNTANT: "ฝ่ายบัญชี",
    Corrector.DEVELOPER: "ผู้พัฒนาระบบ",
    Corrector.NOBODY: "ไม่มี",
}
"""Who corrects a rejected entry."""

DESTINATIONS: Mapping[str, str] = {
    "google_drive": "Google Drive",
    "s3": "S3",
    "local_folder": "โฟลเดอร์บนเครื่อง",
}

STAYS_QUEUED = "รายการยังอยู่ในคิวครบถ้วน ไม่มีรายการสูญหายและไม่มีการส่งออกซ้ำ"

MAY_BE_VISIBLE = (
    "อาจมีไฟล์ของวันนี้อยู่ที่ปลายทางแล้วแต่ยังไม่มีบันทึก การทำงานครั้งถัดไปจะค้นหาและบันทึกไฟล์นั้น หรือสร้างไฟล์ใหม่ "
    "ไม่มีรายการสูญหายและไม่มีการส่งออกซ้ำ"
)
"""The meaning for people while a file may be visible whose delivery could not be recorded."""

_HOW_IT_STANDS = {
    "failed": "ระบบหยุดดำเนินการของวันนี้แล้ว",
    "open": "ระบบเริ่มทำงานแล้วแต่ขณะนี้ไม่มีงานใดดำเนินการต่อ",
}
_NO_TRACE = "ไม่พบบันทึกการเริ่มทำงาน อาจไม่มีคำขอเข้ามา หรือติดต่อ MongoDB ไม่ได้เมื่อมีคำขอเข้ามา"

ORPHANS: Mapping[str, str] = {
    OrphanReason.UNSEALED: "ไฟล์ที่พบไม่ตรงกับไฟล์ที่ Daybook ส่ง แสดงว่ามีผู้แก้ไขไฟล์",
    OrphanReason.REFUSED_UNSEEN: "ปลายทางแจ้งว่ารหัสนี้ถูกใช้แล้ว แต่ไม่แสดงไฟล์ ระบบจะเฝ้าตรวจเป็นเวลา 8 วัน",
    OrphanReason.ID_INVALID: "ปลายทางไม่รับรหัสนี้แล้ว ทั้งที่อาจมีไฟล์ถูกส่งด้วยรหัสนี้ ระบบจะเฝ้าตรวจเป็นเวลา 8 วัน",
    OrphanReason.IDENTITY_CHANGED: "รหัสนี้ออกให้บัญชีผู้ใช้อื่น ซึ่งอาจมีไฟล์ถูกส่งไว้แล้ว กรุณาตรวจโฟลเดอร์ของบัญชีนั้น",
    OrphanReason.DAY_RECORDED_ELSEWHERE: "วันดังกล่าวบันทึกไว้กับไฟล์อื่นแล้ว",
}
"""Why an ID was abandoned."""


def to_correct(correctors: Sequence[Corrector]) -> str:
    """The end of a line that names a rejected entry."""
    if correctors == (Corrector.NOBODY,):
        return "ไม่ต้องแก้ไข"
    return f"ผู้แก้ไข: {', '.join(CORRECTORS[one] for one in correctors)}"


def other_months(count: int, entries: int, months: Mapping[str, int]) -> str:
    """The count with the months as in the file, and their Thai names."""
    of = f"{count:,} จาก {entries:,} รายการลงวันที่"
    named = [(f"เดือน{_month(name)} ({name[5:]}/{name[:4]})", part) for name, part in months.items()]
    if len(named) == 1 and named[0][1] == count:
        return f"{of}ใน{named[0][0]}"
    each = ", ".join(f"{month} {part:,} รายการ" for month, part in named)
    return f"{of}ในเดือนอื่น" + (f": {each}" if each else "")


def _month(name: str) -> str:
    year, month = int(name[:4]), int(name[5:])
    return f"{_MONTHS[month - 1]} {year + _BUDDHIST_ERA}"


def place(fault: EntryFault, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """A place such as `บรรทัดที่ 2 ช่องเดบิต`; empty for the entry as a whole.

    `names` are a source's own paths → those of `FIELDS`, or titles of columns.
    """
    line = None if fault.line is None else f"บรรทัดที่ {fault.line}"
    name = names.get(fault.field, fault.field) if fault.field else None
    field = None if not name else f"ช่อง{FIELDS[name]}" if name in FIELDS else f"ช่อง {name}"
    return " ".join(part for part in (line, field) if part)


def long_date(day: date) -> str:
    """A date such as `18 มกราคม 2569`, in the Buddhist Era."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year + _BUDDHIST_ERA}"


def moment(at: datetime) -> str:
    """A time with the name of its time zone."""
    return f"{long_date(at)} เวลา {at:%H:%M} น. ({at.tzinfo})"


def last_error(facts: Facts) -> str | None:
    return f"ข้อผิดพลาดล่าสุด: {facts.error}" if facts.error else None


_SETTLED = "ไม่ต้องดำเนินการใด การแจ้งเตือนก่อนหน้านี้ของวันนี้ได้รับการแก้ไขแล้ว"
_EXAMINE = "กด Force run ที่งาน `daybook-doctor` ใน Cloud Scheduler แล้วดูสาเหตุในบันทึก `examined`"
_IN_THE_WAY = "กรุณาแก้ไขตามที่ข้อผิดพลาดระบุ เพราะมีสิ่งใน MongoDB ที่เป็นของระบบอื่นขวางอยู่"


_LATEST = "งานนี้ทำวันล่าสุดที่ถึงกำหนด หากเป็นวันก่อนหน้านั้นให้ใช้คำสั่งหรือหน้าสถานะ"


def force_run(job: str, facts: Facts | None = None) -> str:
    """What makes the scheduler's job run at once: a button of the Google Cloud console and app.

    With `facts`, the job that each profile has of its own.
    """
    if facts is not None and facts.alert.profile != DAILY:
        job = f"{job}-{facts.alert.profile}"
    return f"กด Force run ที่งาน `daybook-{job}` ใน Cloud Scheduler"


def _attempt_failed(facts: Facts) -> AlertText:
    attempt, of = facts.count("attempt"), facts.count("max_attempts")
    which = f"การส่งออกครั้งที่ {attempt}" if attempt else "การส่งออก"
    which += f" จากทั้งหมด {of} ครั้ง" if attempt and of else ""
    due = facts.at("next_attempt_at")
    follows = f"ระบบจะลองใหม่เองในวันที่ {moment(due)}" if due else "ระบบจะลองใหม่เอง"
    sooner = (
        f"หากแก้ไขสาเหตุแล้วและต้องการเริ่มก่อนเวลา ให้{force_run('retry', facts)}" if facts.day else None
    )
    return AlertText(
        title=f"{which}ไม่สำเร็จ" + (f" จะลองใหม่เวลา {due:%H:%M} น. ({due.tzinfo})" if due else ""),
        phone=sentences("ยังไม่ต้องดำเนินการใด", follows, sooner),
        command=f"`{commanded('retry', facts)}` เริ่มก่อนเวลา"
        if facts.day
        else "หากแก้ไขสาเหตุแล้ว การส่งคำขอเดิมไปที่ POST /exports อีกครั้งจะเริ่มก่อนเวลา",
        happened=sentences(
            f"{which}ไม่สำเร็จ {'ยังไม่มีไฟล์ที่บันทึกไว้' if _file_possible(facts) else 'ยังไม่มีไฟล์'}",
            follows,
            last_error(facts),
        ),
        meaning=f"{'ไฟล์ประจำวัน' if facts.day else 'ไฟล์'}จะล่าช้า {_known(facts)}",
    )


def _batch_failed(facts: Facts) -> AlertText:
    name = "การส่งออกประจำวันล้มเหลว" if facts.day else "การส่งออกตามคำขอล้มเหลว"
    attempt = facts.count("attempt")
    if attempt is not None:
        name += f"หลังลองใหม่ {max(attempt - 1, 0)} ครั้ง (รวมทั้งหมด {attempt} ครั้ง)"
    no_use = "ระบบไม่ลองใหม่ต่อ เนื่องจากการลองใหม่จะไม่ช่วยแก้ปัญหา"
    queued = "รายการยังอยู่ในคิว และจะรวมอยู่ในไฟล์ของวันถัดไป"
    phone, command = _reopen(facts)
    return AlertText(
        title=f"{name} ต้องมีผู้ดูแลระบบดำเนินการ",
        phone=phone,
        command=command,
        happened=sentences(
            f"{name} ต้องมีผู้ดูแลระบบดำเนินการแก้ไข",
            no_use if facts.is_true("permanent") else None,
            last_error(facts),
        ),
        meaning=f"ยังไม่มีไฟล์ที่บันทึกไว้ {MAY_BE_VISIBLE}"
        if _file_possible(facts)
        else f"ไม่มีไฟล์ {queued if facts.day else 'รายการยังคงสถานะเดิม'}",
    )


def _reopen(facts: Facts) -> tuple[str, str]:
    """What to do about a failed day: from a phone, and by command."""
    if facts.day is None:
        return (
            "ทำไม่ได้ ต้องส่งคำขอส่งออกอีกครั้ง",
            "กรุณาแก้ไขสาเหตุ แล้วส่งคำขอเดิมไปที่ POST /exports หรือใช้คำสั่ง "
            f"`daybook export{option_of(facts.alert.profile)}` เดิมอีกครั้ง",
        )
    return (
        f"เมื่อแก้ไขสาเหตุแล้ว {force_run('retry', facts)} {_LATEST}",
        f"`{commanded('retry', facts)}` สร้างไฟล์ของวันนี้ หรือ `{commanded('release', facts)}` "
        "ปิดวันนี้โดยไม่มีไฟล์ รายการของวันนี้จะส่งออกพร้อมกับวันถัดไป",
    )


def _run_refused(facts: Facts) -> AlertText:
    at = facts.at("at")
    phone, command = _find_cause(facts)
    return AlertText(
        title="คำขอส่งออกประจำวันไม่สำเร็จ",
        phone=phone,
        command=command,
        happened=sentences(
            f"คำขอส่งออกประจำวัน{f'เมื่อวันที่ {moment(at)} ' if at else ''}ได้รับข้อผิดพลาด "
            "และไม่สามารถบันทึกผลการทำงานได้",
            last_error(facts),
        ),
        meaning=MAY_BE_VISIBLE if _file_possible(facts) else f"ยังไม่มีไฟล์ของวันนี้ {STAYS_QUEUED}",
    )


def _file_possible(facts: Facts) -> bool:
    """Whether a file of the day may be visible that is not recorded."""
    return facts.day is not None and facts.is_true("file_possible")


def _known(facts: Facts) -> str:
    return MAY_BE_VISIBLE if _file_possible(facts) else STAYS_QUEUED


def _find_cause(facts: Facts) -> tuple[str, str]:
    """What to do when calls fail: from a phone, and by command."""
    if needs_migrate(facts):
        return (
            f"{force_run('migrate')} เพื่อสร้างดัชนีที่ขาดไป แล้ว{force_run('batch')} {_LATEST}",
            f"`daybook migrate` สร้างดัชนี แล้ว {run_it(facts)} ส่งออกไฟล์",
        )
    return (
        f"{_EXAMINE} เมื่อแก้ไขแล้ว {force_run('batch')} "
        f"หากมีคำขอเข้ามาอีกครั้งหลังแก้ไขแล้ว ระบบจะส่งออกไฟล์เอง {_LATEST}",
        f"`daybook doctor` บอกสาเหตุ แล้ว {run_it(facts)} ส่งออกไฟล์",
    )


def _batch_recovered(facts: Facts) -> AlertText:
    attempt, entries = facts.count("attempt"), facts.count("entry_count")
    when = f"ในการส่งออกครั้งที่ {attempt}" if attempt else ""
    command = f"{_status(facts)} แสดงสถานะ"
    if facts.text("state") == "empty":
        return AlertText(
            title="กลับมาทำงานปกติ ไม่มีรายการต้องส่งออก",
            phone=_SETTLED,
            command=command,
            happened=sentences("หลังจากขัดข้องก่อนหน้านี้ ระบบปิดวันนี้เรียบร้อยแล้ว", when, "ไม่มีรายการในคิว"),
            meaning="ไม่มีไฟล์ของวันนี้ และไม่มีไฟล์ใดขาดหาย",
        )
    file = facts.text("filename") or "ไฟล์"
    what = f"จำนวน {entries:,} รายการ" if entries is not None else None
    return AlertText(
        title="กลับมาทำงานปกติ ส่งไฟล์เรียบร้อยแล้ว",
        phone=_SETTLED,
        command=command,
        happened=sentences(f"หลังจากขัดข้องก่อนหน้านี้ ระบบส่ง {file} เรียบร้อยแล้ว", what, when or None),
        meaning="ไฟล์ครบถ้วนและใช้งานได้ ไม่มีรายการซ้ำ",
        link=facts.text("link"),
    )


def _breaker_opened(facts: Facts) -> AlertText:
    kind = facts.text("destination")
    place = "ปลายทาง" if kind is None else DESTINATIONS.get(kind, kind)
    failures, until = facts.count("failures"), facts.at("open_until")
    often = f"ขัดข้องติดต่อกัน {failures:,} ครั้ง" if failures else "ขัดข้องติดต่อกันหลายครั้ง"
    rest = f"ถึงวันที่ {moment(until)}" if until else "ชั่วคราว"
    return AlertText(
        title=f"{place} {often}"
        + (f" หยุดพักถึง {until:%H:%M} น. ({until.tzinfo})" if until else " หยุดพักชั่วคราว"),
        phone="กรุณาตรวจสอบว่าบริการปลายทางขัดข้องหรือไม่ เมื่อปลายทางใช้งานได้แล้ว Daybook จะทำงานต่อเอง "
        f"หากต้องการลองก่อนเวลา ให้{force_run('retry', facts)} "
        f"หากต้องการตรวจสิทธิ์การเข้าถึง ให้{_EXAMINE}",
        command=f"`{commanded('retry', facts)}` ลองทันที และ `daybook doctor` ตรวจสิทธิ์การเข้าถึง",
        happened=f"{place} {often} Daybook จะหยุดเรียกใช้{rest} แล้วจึงลองใหม่หนึ่งครั้ง",
        meaning=f"ไฟล์จะล่าช้า โดยระหว่างนี้ไม่นับเป็นจำนวนครั้งที่ลอง {STAYS_QUEUED}",
    )


def _day_missing(facts: Facts) -> AlertText:
    due, state = facts.at("due"), facts.text("state")
    batch = f"การส่งออกประจำวัน{f'ที่กำหนดไว้วันที่ {moment(due)} ' if due else ''}"
    if state == "unknown":
        return AlertText(
            title="ไม่สามารถตรวจสอบการส่งออกประจำวันได้",
            phone=f"{_EXAMINE} โดยมากเกิดจากติดต่อ MongoDB ไม่ได้",
            command=f"`daybook doctor` บอกสาเหตุ แล้ว {_status(facts)} แสดงสถานะของวันนี้",
            happened=sentences(f"{batch}ถือว่ายังไม่เสร็จ เนื่องจากตรวจสอบสถานะไม่ได้", last_error(facts)),
            meaning="อาจยังไม่มีไฟล์ของวันนี้ และยังไม่ทราบว่าส่งออกรายการแล้วหรือไม่ "
            "แต่ไม่มีรายการสูญหายและไม่มีการส่งออกซ้ำ",
        )
    how = _HOW_IT_STANDS.get(state or "", _NO_TRACE)
    refused_at, count = facts.at("refused_at"), facts.count("refused_count")
    if refused_at:
        times = f" รวมทั้งหมด {count} ครั้ง" if count and count > 1 else ""
        how = f"มีคำขอเข้ามาเมื่อวันที่ {moment(refused_at)} แต่ไม่สำเร็จ{times}"
    phone, command = (
        _reopen(facts) if state == "failed" else _find_cause(facts) if refused_at else _start(facts)
    )
    return AlertText(
        title="ยังไม่มีการส่งออกประจำวัน",
        phone=phone,
        command=command,
        happened=sentences(f"{batch}ยังไม่เสร็จ {how}", last_error(facts)),
        meaning=f"วันนี้ยังไม่เสร็จ {MAY_BE_VISIBLE}"
        if _file_possible(facts)
        else f"ยังไม่มีไฟล์ของวันนี้ {STAYS_QUEUED}",
    )


def _start(facts: Facts) -> tuple[str, str]:
    """What to do when nothing has called: from a phone, and by command."""
    return (
        f"{force_run('batch')} {_LATEST} หากยังไม่สำเร็จ ให้กด Force run ที่งาน "
        "`daybook-doctor` และหากไม่พบบันทึกการเริ่มทำงาน กรุณาตรวจสอบที่นั่นว่างานส่งคำขอหรือไม่ "
        "และได้รับคำตอบใด",
        f"{run_it(facts)} เริ่มการทำงาน หากยังไม่สำเร็จ `daybook doctor` บอกสาเหตุ",
    )


def _day_late(facts: Facts) -> AlertText:
    due, next_at, lease = (
        facts.at(name) for name in ("due", "next_attempt_at", "lease_expires_at")
    )
    delivered = facts.text("state") == "committed"
    how = "ส่งไฟล์แล้ว แต่ยังปรับสถานะรายการไม่ครบ" if delivered else "ยังไม่เสร็จ"
    return AlertText(
        title="การส่งออกประจำวันยังดำเนินการไม่ครบ" if delivered else "การส่งออกประจำวันล่าช้า",
        phone="ยังไม่ต้องดำเนินการใด หากไม่สำเร็จจะมีการแจ้งเตือนอีกครั้ง",
        command=f"{_status(facts)} แสดงสถานะ",
        happened=sentences(
            f"การส่งออกประจำวัน{f'ที่กำหนดไว้วันที่ {moment(due)} ' if due else ''}{how}",
            f"ระบบจะดำเนินการต่อในวันที่ {moment(next_at)}" if next_at else None,
            f"ระบบกำลังทำงานอยู่ และถือสิทธิ์ถึงวันที่ {moment(lease)}" if lease else None,
        ),
        meaning="ไฟล์ใช้งานได้ ไม่มีรายการส่งออกซ้ำ" if delivered else f"ไฟล์ประจำวันจะล่าช้า {STAYS_QUEUED}",
    )


def _entries_rejected(facts: Facts) -> AlertText:
    rejected, entries = facts.count("rejected_count"), facts.count("entry_count")
    file = facts.text("filename") or "ไฟล์"
    left = f"{rejected:,} รายการ" if rejected is not None else "บางรายการ"
    reasons = [
        f"{REASONS.get(reason, reason)} {count:,} รายการ"
        for reason, count in facts.counts("reasons").items()
    ]
    command = (
        f"{_status(facts)} แสดงรายการและช่องข้อมูลที่ต้องแก้ไข "
        f"เมื่อแก้ไขแล้วกรุณาใช้คำสั่ง `{commanded('requeue', facts, 'REFERENCE')}`"
    )
    if facts.text("state") == "empty":
        return AlertText(
            title=f"ไม่มีไฟล์ เนื่องจากไม่ผ่านการตรวจสอบ {left}",
            phone="ไม่ต้องดำเนินการใด ต้องแก้ไขรายการก่อน ซึ่งรอถึงเวลาทำงานได้",
            command=command,
            happened=sentences(
                f"ทุกรายการในคิวไม่ผ่านการตรวจสอบ ({left})",
                f"({', '.join(reasons)})" if reasons else None,
            ),
            meaning="ไม่มีไฟล์ของวันนี้ รายการเหล่านี้จะยังไม่อยู่ในไฟล์ใด จนกว่าจะแก้ไขและนำเข้าคิวอีกครั้ง",
        )
    return AlertText(
        title=f"{left}ไม่ได้อยู่ใน {file}",
        phone="ไม่ต้องดำเนินการใด ต้องแก้ไขรายการที่ไม่ได้รวม ซึ่งรอถึงเวลาทำงานได้",
        command=command,
        happened=sentences(
            f"{file} ไม่ได้รวม {left}",
            f"และมีรายการในไฟล์ {entries:,} รายการ" if entries is not None else None,
            f"({', '.join(reasons)})" if reasons else None,
        ),
        meaning="ไฟล์ใช้งานได้ตามปกติ ส่วนรายการที่ไม่ได้รวมจะยังไม่อยู่ในไฟล์ใด จนกว่าจะแก้ไขและนำเข้าคิวอีกครั้ง",
        link=facts.text("link"),
    )


def _orphan_left_behind(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename"), facts.text("file_id")
    # With a link the file has been seen, and the reason is why the ID was abandoned before.
    found = facts.text("link") is not None
    seen = "พบไฟล์" if found else "มีหรืออาจมีไฟล์"
    named = f" {file}" if file else ""
    at = f"ที่รหัส {id_} " if id_ else ""
    reason = facts.text("reason") or ""
    return AlertText(
        title="มีไฟล์ที่ไม่มีบันทึก",
        phone="กรุณาค้นหาไฟล์ที่ปลายทาง และแจ้งฝ่ายบัญชีให้ใช้เฉพาะไฟล์ที่ระบุในใบยืนยันของวันนั้น",
        command=f"{_status(facts)} แสดงไฟล์ที่วันนั้นบันทึกไว้ หากเป็นไฟล์อื่น กรุณาลบไฟล์นี้ออก",
        happened=sentences(
            f"{seen}{named} {at}ซึ่งระบบเลิกใช้รหัสนั้นแล้ว",
            f"(เหตุผลในขณะนั้น: {reason})" if found and reason else None,
            None if found else ORPHANS.get(reason) or facts.text("explanation") or reason,
        ),
        meaning="อาจมีสองไฟล์สำหรับวันเดียวกัน กรุณาใช้เฉพาะไฟล์ที่ระบุในใบยืนยันของวันนั้น และห้ามนำเข้าอีกไฟล์หนึ่ง",
        link=facts.text("link"),
    )


def _unsealed_file(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename") or "ไฟล์", facts.text("file_id")
    return AlertText(
        title="ไฟล์ถูกแก้ไขโดยผู้อื่น",
        phone="กรุณาแจ้งฝ่ายบัญชีไม่ให้ใช้ไฟล์ที่ถูกแก้ไข และตรวจสอบที่ปลายทางว่าผู้ใดแก้ไข",
        command=f"{_status(facts)} แสดงไฟล์ของวันนั้นที่ส่งแล้ว กรุณาเปรียบเทียบกับไฟล์ที่ถูกแก้ไข "
        "แล้วลบไฟล์ที่ถูกแก้ไขออก",
        happened=f"{file} {f'ที่รหัส {id_} ' if id_ else ''}ไม่ตรงกับไฟล์ที่ Daybook ส่ง "
        "แสดงว่ามีผู้แก้ไขไฟล์ Daybook เลิกใช้รหัสนี้แล้วและจะใช้รหัสใหม่",
        meaning="ห้ามใช้ไฟล์ที่ถูกแก้ไข ไฟล์ที่ถูกต้องคือไฟล์ที่ระบุในใบยืนยันของวันนั้น",
        link=facts.text("link"),
    )


def _items_changed_after_seal(facts: Facts) -> AlertText:
    file = facts.text("filename") or "ไฟล์"
    gone, elsewhere = facts.count("gone_count"), facts.count("completed_elsewhere_count")
    counts = [
        f"ถูกลบหรือเปลี่ยน {gone:,} รายการ" if gone else None,
        f"เสร็จสิ้นจากที่อื่น {elsewhere:,} รายการ" if elsewhere else None,
    ]
    listed = ", ".join(count for count in counts if count)
    return AlertText(
        title=f"รายการในคิวเปลี่ยนแปลงระหว่างส่ง {file}",
        phone="กรุณาแจ้งฝ่ายบัญชีไม่ให้นำเข้าไฟล์นี้ก่อนตรวจรายการเสร็จ",
        command=f"`{commanded('verify', facts)}` แสดงรายการเหล่านี้ "
        f"`{commanded('lineage', facts, 'ENTRY_ID')}` แสดงว่ารายการอยู่ในไฟล์ใดบ้าง "
        "กรุณาตรวจว่าไม่มีรายการใดส่งออกซ้ำ "
        "แล้วตรวจสอบว่าระบบใดแก้ไขคิวในเวลาเดียวกัน",
        happened=sentences(
            f"ส่ง {file} แล้ว แต่รายการในคิวเปลี่ยนแปลงระหว่างการส่ง", f"({listed})" if listed else None
        ),
        meaning="ไฟล์ครบถ้วน แต่บางรายการอาจอยู่ในไฟล์อื่นด้วยหรืออาจถูกยกเลิกแล้ว กรุณาตรวจสอบก่อนนำเข้า",
    )


def _publish_failed(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename") or "ไฟล์", facts.text("file_id")
    return AlertText(
        title=f"{file} ยังไม่ได้ใช้ชื่อที่ถูกต้อง",
        phone="โดยมากเกิดจากมีไฟล์อื่นใช้ชื่อนี้อยู่ กรุณาย้ายไฟล์นั้นออก แล้ว"
        f"{force_run('batch')} เพื่อดำเนินการให้เสร็จ",
        command=f"จากนั้น {run_it(facts)} ดำเนินการให้เสร็จ",
        happened=sentences(
            f"{file}{f' (รหัส {id_})' if id_ else ''} ครบถ้วนและบันทึกแล้ว แต่ยังตั้งชื่อไฟล์ไม่ได้",
            last_error(facts),
        ),
        meaning="วันนี้นับว่าส่งออกแล้ว แต่ยังค้นหาไฟล์ตามชื่อไม่พบ ไม่มีรายการสูญหาย",
    )


def _file_unrecorded(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename") or "ไฟล์", facts.text("file_id")
    return AlertText(
        title=f"มี {file} แล้ว แต่ MongoDB ไม่ยอมรับบันทึก",
        phone=f"ห้ามลบไฟล์ เมื่อแก้ไขสาเหตุแล้ว {force_run('batch')} เพื่อบันทึกไฟล์นี้",
        command=f"{_IN_THE_WAY} แล้ว {run_it(facts)} บันทึกไฟล์นี้",
        happened=sentences(
            f"{file}{f' (รหัส {id_})' if id_ else ''} ครบถ้วนที่ปลายทางแล้ว "
            "แต่บันทึกไม่ได้และทำเครื่องหมายรายการไม่ได้",
            last_error(facts),
        ),
        meaning="ไฟล์ถูกต้อง แต่วันนี้ยังไม่นับว่าส่งออกแล้ว และจะยังไม่สร้างไฟล์ถัดไป ไม่มีรายการใดส่งออกซ้ำ",
        link=facts.text("link"),
    )


def _marking_refused(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename"), facts.text("file_id")
    done = (
        f"ส่งและบันทึก {file}{f' (รหัส {id_})' if id_ else ''} แล้ว"
        if file
        else "ปิดวันโดยไม่มีไฟล์แล้ว เพราะทุกรายการถูกปฏิเสธ"
    )
    return AlertText(
        title=f"MongoDB ไม่ยอมให้ทำเครื่องหมายรายการของ{f' {file}' if file else 'วันที่ไม่มีไฟล์'}",
        phone=f"เมื่อแก้ไขสาเหตุแล้ว {force_run('batch')} เพื่อทำเครื่องหมายรายการที่เหลือ",
        command=f"{_IN_THE_WAY} แล้ว {run_it(facts)} ทำเครื่องหมายรายการที่เหลือ",
        happened=sentences(f"{done} แต่ทำเครื่องหมายรายการในคิวบางรายการไม่ได้", last_error(facts)),
        meaning=f"{'ไฟล์ถูกต้องและ' if file else ''}วันนี้เสร็จสมบูรณ์แล้ว "
        "แต่จะยังไม่สร้างไฟล์ถัดไปจนกว่าจะทำเครื่องหมายครบ ไม่มีรายการใดส่งออกซ้ำ",
        link=facts.text("link"),
    )


def run_it(facts: Facts) -> str:
    if facts.day is None:
        return "คำขอเดิมที่ POST /exports"
    return f"`{commanded('run', facts)}`"


def _status(facts: Facts) -> str:
    return f"`{commanded('status', facts)}`"


def _file_changed(facts: Facts) -> AlertText:
    file = facts.text("filename") or "ไฟล์ที่ส่งออกแล้ว"
    findings = facts.text("findings")
    return AlertText(
        title=f"{file} หายไปหรือถูกแก้ไข",
        phone="แจ้งฝ่ายบัญชีว่าอย่าเพิ่งนำเข้าไฟล์ของวันนี้ กิจกรรม (Activity) ของไฟล์ใน Drive บอกว่าใครแก้ไขหรือย้าย "
        f"เมื่อกู้คืนแล้ว {force_run('audit')} เพื่อตรวจอีกครั้ง",
        command=f"`{commanded('audit', facts)}` ตรวจวันนี้อีกครั้ง",
        happened=sentences(f"{file} ไม่ตรงกับที่ส่งออกไว้", f"({findings})" if findings else None),
        meaning="ห้ามใช้ไฟล์นี้จนกว่าจะตรวจสอบเสร็จ ใบแจ้งผลของวันนี้มียอดรวมของไฟล์ตามที่ส่งออก",
        link=facts.text("link"),
    )


def _entries_changed_after_export(facts: Facts) -> AlertText:
    file = facts.text("filename") or "ไฟล์"
    entries, findings = facts.count("entry_count"), facts.text("findings")
    what = f"รายการ {entries:,} รายการ" if entries else "รายการ"
    if entries and facts.is_true("cut_short"):
        what = f"รายการมากกว่า {entries:,} รายการ"
    return AlertText(
        title=f"{what}ถูกแก้ไขหลังส่งออก",
        phone="ยังไม่ต้องทำอะไร รอถึงเวลาทำการได้",
        command=f"`{commanded('audit', facts)}` แสดงแต่ละรายการพร้อมช่องที่เปลี่ยน กรุณาแก้ข้อมูลกลับ "
        "แล้วแก้ไขข้อผิดพลาดด้วยรายการกลับบัญชีและรายการใหม่",
        happened=sentences(
            f"{what}ไม่ตรงกับ {file} เพราะถูกแก้ไขหรือลบหลังส่งออก",
            f"({findings})" if findings else None,
        ),
        meaning="ไฟล์ยังเป็นไปตามที่ส่งออกและใช้ได้ แต่ข้อมูลบัญชีในระบบไม่ตรงกับไฟล์แล้ว",
        link=facts.text("link"),
    )


TEXTS: Mapping[AlertEvent, Callable[[Facts], AlertText]] = {
    AlertEvent.ATTEMPT_FAILED: _attempt_failed,
    AlertEvent.BATCH_FAILED: _batch_failed,
    AlertEvent.RUN_REFUSED: _run_refused,
    AlertEvent.BATCH_RECOVERED: _batch_recovered,
    AlertEvent.BREAKER_OPENED: _breaker_opened,
    AlertEvent.DAY_MISSING: _day_missing,
    AlertEvent.DAY_LATE: _day_late,
    AlertEvent.ENTRIES_REJECTED: _entries_rejected,
    AlertEvent.ORPHAN_LEFT_BEHIND: _orphan_left_behind,
    AlertEvent.UNSEALED_FILE: _unsealed_file,
    AlertEvent.FILE_CHANGED: _file_changed,
    AlertEvent.ENTRIES_CHANGED_AFTER_EXPORT: _entries_changed_after_export,
    AlertEvent.ITEMS_CHANGED_AFTER_SEAL: _items_changed_after_seal,
    AlertEvent.FILE_UNRECORDED: _file_unrecorded,
    AlertEvent.MARKING_REFUSED: _marking_refused,
    AlertEvent.PUBLISH_FAILED: _publish_failed,
}
