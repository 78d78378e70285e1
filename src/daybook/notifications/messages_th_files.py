"""The alerts about files and what stands in them, in Thai."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daybook.export.model.notice import AlertEvent
from daybook.export.slot.orphans import OrphanReason as OrphanReason
from daybook.notifications import thai
from daybook.notifications.facts import AlertText, Facts, sentences
from daybook.notifications.thai import at_link, last_error, run_it

ORPHANS: Mapping[str, str] = {
    OrphanReason.UNSEALED: "ไฟล์ที่พบไม่ตรงกับไฟล์ที่ Daybook ส่ง แสดงว่ามีผู้แก้ไขไฟล์",
    OrphanReason.REFUSED_UNSEEN: "ปลายทางแจ้งว่ารหัสนี้ถูกใช้แล้ว แต่ไม่แสดงไฟล์ ระบบจะเฝ้าตรวจเป็นเวลา 8 วัน",
    OrphanReason.ID_INVALID: "ปลายทางไม่รับรหัสนี้แล้ว ทั้งที่อาจมีไฟล์ถูกส่งด้วยรหัสนี้ ระบบจะเฝ้าตรวจเป็นเวลา 8 วัน",
    OrphanReason.IDENTITY_CHANGED: "รหัสนี้ออกให้บัญชีผู้ใช้อื่น ซึ่งอาจมีไฟล์ถูกส่งไว้แล้ว กรุณาตรวจโฟลเดอร์ของบัญชีนั้น",
    OrphanReason.DAY_RECORDED_ELSEWHERE: "วันดังกล่าวบันทึกไว้กับไฟล์อื่นแล้ว",
}
"""Why an id was given up."""


def _entries_rejected(facts: Facts) -> AlertText:
    rejected, entries = facts.count("rejected_count"), facts.count("entry_count")
    file = facts.text("filename") or "ไฟล์"
    left = f"{rejected:,} รายการ" if rejected is not None else "บางรายการ"
    reasons = [
        f"{thai.REASONS.get(reason, reason)} {count:,} รายการ"
        for reason, count in facts.counts("reasons").items()
    ]
    day = facts.day or "DATE"
    correct = (
        f"ใช้คำสั่ง `python -m daybook status {day}` เพื่อดูรายการและช่องข้อมูลที่ต้องแก้ไข "
        "เมื่อแก้ไขแล้วกรุณาใช้คำสั่ง `python -m daybook requeue ENTRY_ID`"
    )
    if facts.text("state") == "empty":
        return AlertText(
            title=f"ไม่มีไฟล์ เนื่องจากไม่ผ่านการตรวจสอบ {left}",
            happened=sentences(
                f"ทุกรายการในคิวไม่ผ่านการตรวจสอบ ({left})",
                f"({', '.join(reasons)})" if reasons else None,
            ),
            meaning="ไม่มีไฟล์ของวันนี้ รายการเหล่านี้จะยังไม่อยู่ในไฟล์ใด จนกว่าจะแก้ไขและนำเข้าคิวอีกครั้ง",
            action=correct,
        )
    return AlertText(
        title=f"{left}ไม่ได้อยู่ใน {file}",
        happened=sentences(
            f"{file} ไม่ได้รวม {left}",
            f"และมีรายการในไฟล์ {entries:,} รายการ" if entries is not None else None,
            f"({', '.join(reasons)})" if reasons else None,
        ),
        meaning="ไฟล์ใช้งานได้ตามปกติ ส่วนรายการที่ไม่ได้รวมจะยังไม่อยู่ในไฟล์ใด จนกว่าจะแก้ไขและนำเข้าคิวอีกครั้ง",
        action=sentences(correct, at_link(facts)),
    )


def _orphan_left_behind(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename"), facts.text("file_id")
    # With a link the file has been seen, and the reason is how it stood before.
    found = facts.text("link") is not None
    stands = "พบไฟล์" if found else "มีหรืออาจมีไฟล์"
    named = f" {file}" if file else ""
    at = f"ที่รหัส {id_} " if id_ else ""
    reason = facts.text("reason") or ""
    return AlertText(
        title="มีไฟล์ที่ไม่มีบันทึก",
        happened=sentences(
            f"{stands}{named} {at}ซึ่งระบบเลิกใช้รหัสนั้นแล้ว",
            f"(เหตุผลในขณะนั้น: {reason})" if found and reason else None,
            None if found else ORPHANS.get(reason) or facts.text("explanation") or reason,
        ),
        meaning="อาจมีสองไฟล์สำหรับวันเดียวกัน กรุณาใช้เฉพาะไฟล์ที่ระบุในใบยืนยันของวันนั้น และห้ามนำเข้าอีกไฟล์หนึ่ง",
        action=sentences(
            "กรุณาค้นหาไฟล์ที่ปลายทาง และลบออกหากวันนั้นบันทึกไว้กับไฟล์อื่น ตรวจสอบได้ด้วยคำสั่ง "
            f"`python -m daybook status {facts.day or 'DATE'}`",
            at_link(facts),
        ),
    )


def _unsealed_file(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename") or "ไฟล์", facts.text("file_id")
    return AlertText(
        title="ไฟล์ถูกแก้ไขโดยผู้อื่น",
        happened=f"{file} {f'ที่รหัส {id_} ' if id_ else ''}ไม่ตรงกับไฟล์ที่ Daybook ส่ง "
        "แสดงว่ามีผู้แก้ไขไฟล์ Daybook เลิกใช้รหัสนี้แล้วและจะใช้รหัสใหม่",
        meaning="ห้ามใช้ไฟล์ที่ถูกแก้ไข ไฟล์ที่ถูกต้องคือไฟล์ที่ระบุในใบยืนยันของวันนั้น",
        action=sentences(
            "กรุณาตรวจสอบว่าผู้ใดแก้ไข เปรียบเทียบกับไฟล์ของวันนั้นที่ส่งแล้ว และลบไฟล์ที่ถูกแก้ไขออก",
            at_link(facts),
        ),
    )


def _items_changed_after_seal(facts: Facts) -> AlertText:
    file = facts.text("filename") or "ไฟล์"
    gone, elsewhere = facts.count("gone_count"), facts.count("completed_elsewhere_count")
    counts = [
        f"ถูกลบหรือเปลี่ยน {gone:,} รายการ" if gone else None,
        f"เสร็จสิ้นจากที่อื่น {elsewhere:,} รายการ" if elsewhere else None,
    ]
    told = ", ".join(count for count in counts if count)
    return AlertText(
        title=f"รายการในคิวเปลี่ยนแปลงระหว่างส่ง {file}",
        happened=sentences(
            f"ส่ง {file} แล้ว แต่รายการในคิวเปลี่ยนแปลงระหว่างการส่ง", f"({told})" if told else None
        ),
        meaning="ไฟล์ครบถ้วน แต่บางรายการอาจอยู่ในไฟล์อื่นด้วยหรืออาจถูกยกเลิกแล้ว กรุณาตรวจสอบก่อนนำเข้า",
        action="บันทึกของวันนั้นใน exportlogs ระบุรายการไว้ (goneItems, completedElsewhereItems) "
        "กรุณาตรวจว่าไม่มีรายการใดส่งออกซ้ำ แล้วตรวจสอบว่าระบบใดแก้ไขคิวในเวลาเดียวกัน",
    )


def _publish_failed(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename") or "ไฟล์", facts.text("file_id")
    return AlertText(
        title=f"{file} ยังไม่ได้ใช้ชื่อที่ถูกต้อง",
        happened=sentences(
            f"{file}{f' (รหัส {id_})' if id_ else ''} ครบถ้วนและบันทึกแล้ว แต่ยังตั้งชื่อไฟล์ไม่ได้",
            last_error(facts),
        ),
        meaning="วันนี้นับว่าส่งออกแล้ว แต่ยังค้นหาไฟล์ตามชื่อไม่พบ ไม่มีรายการสูญหาย",
        action=f"โดยมากเกิดจากมีไฟล์อื่นใช้ชื่อนี้อยู่ กรุณาย้ายไฟล์นั้นออก แล้ว{run_it(facts)} เพื่อดำเนินการให้เสร็จ",
    )


def _file_unrecorded(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename") or "ไฟล์", facts.text("file_id")
    return AlertText(
        title=f"มี {file} แล้ว แต่ MongoDB ไม่ยอมรับบันทึก",
        happened=sentences(
            f"{file}{f' (รหัส {id_})' if id_ else ''} ครบถ้วนที่ปลายทางแล้ว "
            "แต่บันทึกไม่ได้และทำเครื่องหมายรายการไม่ได้",
            last_error(facts),
        ),
        meaning="ไฟล์ถูกต้อง แต่วันนี้ยังไม่นับว่าส่งออกแล้ว และจะยังไม่สร้างไฟล์ถัดไป ไม่มีรายการใดส่งออกซ้ำ",
        action=sentences(
            "กรุณาแก้ไขตามที่ข้อผิดพลาดระบุ เพราะมีสิ่งใน MongoDB ที่เป็นของระบบอื่นขวางอยู่ "
            f"แล้ว{run_it(facts)} เพื่อบันทึกไฟล์นี้ ห้ามลบไฟล์",
            at_link(facts),
        ),
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
        happened=sentences(f"{done} แต่ทำเครื่องหมายรายการในคิวบางรายการไม่ได้", last_error(facts)),
        meaning=f"{'ไฟล์ถูกต้องและ' if file else ''}วันนี้เสร็จสมบูรณ์แล้ว "
        "แต่จะยังไม่สร้างไฟล์ถัดไปจนกว่าจะทำเครื่องหมายครบ ไม่มีรายการใดส่งออกซ้ำ",
        action=sentences(
            "กรุณาแก้ไขตามที่ข้อผิดพลาดระบุ เพราะมีสิ่งใน MongoDB ที่เป็นของระบบอื่นขวางอยู่ "
            f"แล้ว{run_it(facts)} เพื่อทำเครื่องหมายรายการที่เหลือ",
            at_link(facts),
        ),
    )


TEXTS: Mapping[AlertEvent, Callable[[Facts], AlertText]] = {
    AlertEvent.ENTRIES_REJECTED: _entries_rejected,
    AlertEvent.ORPHAN_LEFT_BEHIND: _orphan_left_behind,
    AlertEvent.UNSEALED_FILE: _unsealed_file,
    AlertEvent.ITEMS_CHANGED_AFTER_SEAL: _items_changed_after_seal,
    AlertEvent.FILE_UNRECORDED: _file_unrecorded,
    AlertEvent.MARKING_REFUSED: _marking_refused,
    AlertEvent.PUBLISH_FAILED: _publish_failed,
}
