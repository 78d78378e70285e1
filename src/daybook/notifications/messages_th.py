"""The alerts in Thai. Commands, paths and the names of settings stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daybook.export.model.notice import AlertEvent
from daybook.notifications import messages_th_files, thai
from daybook.notifications.facts import AlertText, Facts, sentences
from daybook.notifications.thai import STAYS_QUEUED, at_link, last_error, moment, run_it

_HOW_IT_STANDS = {
    "failed": "ระบบหยุดดำเนินการของวันนี้แล้ว",
    "open": "ระบบเริ่มทำงานแล้วแต่ขณะนี้ไม่มีงานใดดำเนินการต่อ",
}
_NO_TRACE = "ไม่พบบันทึกการเริ่มทำงาน อาจไม่มีคำขอเข้ามา หรือติดต่อ MongoDB ไม่ได้เมื่อมีคำขอเข้ามา"


def _attempt_failed(facts: Facts) -> AlertText:
    attempt, of = facts.count("attempt"), facts.count("max_attempts")
    which = f"การส่งออกครั้งที่ {attempt}" if attempt else "การส่งออก"
    which += f" จากทั้งหมด {of} ครั้ง" if attempt and of else ""
    due = facts.at("next_attempt_at")
    wait = f"ระบบจะลองใหม่เองในวันที่ {moment(due)}" if due else "ระบบจะลองใหม่เอง"
    return AlertText(
        title=f"{which}ไม่สำเร็จ" + (f" จะลองใหม่เวลา {due:%H:%M} น." if due else ""),
        happened=sentences(f"{which}ไม่สำเร็จ ยังไม่มีไฟล์", last_error(facts)),
        meaning=f"{'ไฟล์ประจำวัน' if facts.day else 'ไฟล์'}จะล่าช้า {STAYS_QUEUED}",
        action=f"ยังไม่ต้องดำเนินการใด {wait} หากแก้ไขสาเหตุแล้วและต้องการเริ่มก่อนเวลา กรุณา{run_it(facts)}",
    )


def _batch_failed(facts: Facts) -> AlertText:
    name = "การส่งออกประจำวันล้มเหลว" if facts.day else "การส่งออกตามคำขอล้มเหลว"
    attempt = facts.count("attempt")
    if attempt is not None:
        name += f"หลังลองใหม่ {max(attempt - 1, 0)} ครั้ง (รวมทั้งหมด {attempt} ครั้ง)"
    no_use = "ระบบไม่ลองใหม่ต่อ เนื่องจากการลองใหม่จะไม่ช่วยแก้ปัญหา"
    queued = "รายการยังอยู่ในคิว และจะรวมอยู่ในไฟล์ของวันถัดไป"
    return AlertText(
        title=f"{name} ต้องมีผู้ดูแลระบบดำเนินการ",
        happened=sentences(
            f"{name} ต้องมีผู้ดูแลระบบดำเนินการแก้ไข",
            no_use if facts.is_true("permanent") else None,
            last_error(facts),
        ),
        meaning=f"ไม่มีไฟล์ {queued if facts.day else 'รายการยังคงสถานะเดิม'}",
        action=_reopen(facts),
    )


def _reopen(facts: Facts) -> str:
    if facts.day is None:
        return f"กรุณาแก้ไขสาเหตุ แล้ว{run_it(facts)}"
    return (
        f"กรุณาแก้ไขสาเหตุ แล้วใช้คำสั่ง `python -m daybook retry {facts.day}` "
        "(หรือ POST /admin/retry) เพื่อสร้างไฟล์ของวันนี้ หรือใช้คำสั่ง "
        f"`python -m daybook release {facts.day}` เพื่อปิดวันนี้โดยไม่มีไฟล์ "
        "รายการของวันนี้จะส่งออกพร้อมกับวันถัดไป"
    )


def _run_refused(facts: Facts) -> AlertText:
    at = facts.at("at")
    return AlertText(
        title="ระบบปฏิเสธการเริ่มส่งออกประจำวัน",
        happened=sentences(
            f"คำขอส่งออกประจำวัน{f'เมื่อวันที่ {moment(at)} ' if at else ''}ได้รับข้อผิดพลาดก่อนเริ่มทำงาน",
            last_error(facts),
        ),
        meaning=f"ยังไม่มีไฟล์ของวันนี้ {STAYS_QUEUED}",
        action="กรุณาแก้ไขสาเหตุ โดยใช้คำสั่ง `python -m daybook doctor` เพื่อตรวจสอบ "
        f"แล้ว{run_it(facts)} เพื่อส่งออกไฟล์ หากมีคำขอเข้ามาอีกครั้งหลังแก้ไขแล้ว ระบบจะส่งออกไฟล์เอง",
    )


def _batch_recovered(facts: Facts) -> AlertText:
    attempt, entries = facts.count("attempt"), facts.count("entry_count")
    when = f"ในการส่งออกครั้งที่ {attempt}" if attempt else ""
    settled = "ไม่ต้องดำเนินการใด การแจ้งเตือนก่อนหน้านี้ของวันนี้ได้รับการแก้ไขแล้ว"
    if facts.text("state") == "empty":
        return AlertText(
            title="กลับมาทำงานปกติ ไม่มีรายการต้องส่งออก",
            happened=sentences("หลังจากขัดข้องก่อนหน้านี้ ระบบปิดวันนี้เรียบร้อยแล้ว", when, "ไม่มีรายการในคิว"),
            meaning="ไม่มีไฟล์ของวันนี้ และไม่มีไฟล์ใดขาดหาย",
            action=settled,
        )
    file = facts.text("filename") or "ไฟล์"
    what = f"จำนวน {entries:,} รายการ" if entries is not None else None
    return AlertText(
        title="กลับมาทำงานปกติ ส่งไฟล์เรียบร้อยแล้ว",
        happened=sentences(f"หลังจากขัดข้องก่อนหน้านี้ ระบบส่ง {file} เรียบร้อยแล้ว", what, when or None),
        meaning="ไฟล์ครบถ้วนและใช้งานได้ ไม่มีรายการซ้ำ",
        action=sentences(settled, at_link(facts)),
    )


def _breaker_opened(facts: Facts) -> AlertText:
    kind = facts.text("destination")
    place = "ปลายทาง" if kind is None else thai.DESTINATIONS.get(kind, kind)
    failures, until = facts.count("failures"), facts.at("open_until")
    often = f"ขัดข้องติดต่อกัน {failures:,} ครั้ง" if failures else "ขัดข้องติดต่อกันหลายครั้ง"
    rest = f"ถึงวันที่ {moment(until)}" if until else "ชั่วคราว"
    return AlertText(
        title=f"{place} {often}" + (f" หยุดพักถึง {until:%H:%M} น." if until else " หยุดพักชั่วคราว"),
        happened=f"{place} {often} Daybook จะหยุดเรียกใช้{rest} แล้วจึงลองใหม่หนึ่งครั้ง",
        meaning=f"ไฟล์จะล่าช้า โดยระหว่างนี้ไม่นับเป็นจำนวนครั้งที่ลอง {STAYS_QUEUED}",
        action="กรุณาตรวจสอบว่าบริการปลายทางขัดข้องหรือไม่ และใช้คำสั่ง `python -m daybook doctor` "
        "เพื่อตรวจสิทธิ์การเข้าถึง เมื่อปลายทางใช้งานได้แล้ว Daybook จะทำงานต่อเอง",
    )


def _day_missing(facts: Facts) -> AlertText:
    due, state = facts.at("due"), facts.text("state")
    batch = f"การส่งออกประจำวัน{f'ที่กำหนดไว้วันที่ {moment(due)} ' if due else ''}"
    status = f"python -m daybook status {facts.day or ''}".rstrip()
    if state == "unknown":
        return AlertText(
            title="ไม่สามารถตรวจสอบการส่งออกประจำวันได้",
            happened=sentences(f"{batch}ถือว่ายังไม่เสร็จ เนื่องจากตรวจสอบสถานะไม่ได้", last_error(facts)),
            meaning="อาจยังไม่มีไฟล์ของวันนี้ และยังไม่ทราบว่าส่งออกรายการแล้วหรือไม่ "
            "แต่ไม่มีรายการสูญหายและไม่มีการส่งออกซ้ำ",
            action="กรุณาตรวจสอบ MongoDB ด้วยคำสั่ง `python -m daybook doctor` "
            f"แล้วดูสถานะของวันนี้ด้วยคำสั่ง `{status}`",
        )
    how = _HOW_IT_STANDS.get(state or "", _NO_TRACE)
    refused_at, count = facts.at("refused_at"), facts.count("refused_count")
    if refused_at:
        times = f" รวมทั้งหมด {count} ครั้ง" if count and count > 1 else ""
        how = f"มีคำขอเข้ามาเมื่อวันที่ {moment(refused_at)} แต่ระบบปฏิเสธ{times}"
    return AlertText(
        title="ยังไม่มีการส่งออกประจำวัน",
        happened=sentences(f"{batch}ยังไม่เสร็จ {how}", last_error(facts)),
        meaning=f"ยังไม่มีไฟล์ของวันนี้ {STAYS_QUEUED}",
        action=_reopen(facts)
        if state == "failed"
        else "กรุณาแก้ไขสาเหตุ โดยใช้คำสั่ง `python -m daybook doctor` เพื่อตรวจสอบ "
        f"แล้ว{run_it(facts)} เพื่อเริ่มการทำงาน"
        if refused_at
        else f"กรุณา{run_it(facts)} เพื่อเริ่มการทำงาน หากยังไม่สำเร็จ ให้ใช้คำสั่ง "
        "`python -m daybook doctor` เพื่อหาสาเหตุ และหากไม่พบบันทึกการเริ่มทำงาน "
        "กรุณาตรวจสอบงานใน Cloud Scheduler ว่าส่งคำขอหรือไม่ และได้รับคำตอบใด",
    )


def _day_late(facts: Facts) -> AlertText:
    due, next_at, lease = (
        facts.at(name) for name in ("due", "next_attempt_at", "lease_expires_at")
    )
    status = f"python -m daybook status {facts.day or ''}".rstrip()
    delivered = facts.text("state") == "committed"
    how = "ส่งไฟล์แล้ว แต่ยังปรับสถานะรายการไม่ครบ" if delivered else "ยังไม่เสร็จ"
    return AlertText(
        title="การส่งออกประจำวันยังดำเนินการไม่ครบ" if delivered else "การส่งออกประจำวันล่าช้า",
        happened=sentences(
            f"การส่งออกประจำวัน{f'ที่กำหนดไว้วันที่ {moment(due)} ' if due else ''}{how}",
            f"ระบบจะดำเนินการต่อในวันที่ {moment(next_at)}" if next_at else None,
            f"ระบบกำลังทำงานอยู่ และถือสิทธิ์ถึงวันที่ {moment(lease)}" if lease else None,
        ),
        meaning="ไฟล์ใช้งานได้ ไม่มีรายการส่งออกซ้ำ" if delivered else f"ไฟล์ประจำวันจะล่าช้า {STAYS_QUEUED}",
        action=f"ยังไม่ต้องดำเนินการใด ตรวจสอบสถานะได้ด้วยคำสั่ง `{status}` หากไม่สำเร็จจะมีการแจ้งเตือนอีกครั้ง",
    )


TEXTS: Mapping[AlertEvent, Callable[[Facts], AlertText]] = {
    AlertEvent.ATTEMPT_FAILED: _attempt_failed,
    AlertEvent.BATCH_FAILED: _batch_failed,
    AlertEvent.RUN_REFUSED: _run_refused,
    AlertEvent.BATCH_RECOVERED: _batch_recovered,
    AlertEvent.BREAKER_OPENED: _breaker_opened,
    AlertEvent.DAY_MISSING: _day_missing,
    AlertEvent.DAY_LATE: _day_late,
    **messages_th_files.TEXTS,
}
