"""The accountant's receipt, in both languages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daybook.export.model.figures import Corrector, EntryFault, RejectionReason, corrector
from daybook.export.model.notice import Check, CheckedEntry, Receipt, RejectedEntry
from daybook.export.model.source import MEDICI, Source
from daybook.notifications import en, th
from daybook.notifications.entries import CHECKED, LISTED
from daybook.notifications.messages import Language, Message
from daybook.notifications.receipt import receipt_message
from tests.unit.notifications.test_alerts import LANGUAGES, is_thai

DAY = "2026-01-18"
RECEIPT = Receipt(
    profile="daily",
    batch_date=DAY,
    batch_id="6b02f41f45263142d9ff1aea",
    filename="batch_2026-01-18.csv",
    link="https://drive.google.com/file/d/abc/view",
    sha256="ab" * 32,
    entry_count=1234,
    row_count=2468,
    totals={"THB": {"debit": "1234567.50", "credit": "1234567.50", "amount": "0.00"}},
    rejected_count=0,
    rejected=(),
    done_at=datetime(2026, 1, 18, 11, 1, tzinfo=UTC),
)
EMPTY = replace(
    RECEIPT, filename=None, link=None, sha256=None, entry_count=0, row_count=0, totals={}
)


def rejected_entry(
    reason: RejectionReason, *, entry_id: str = "id", reference: str | None = "INV-7"
) -> RejectedEntry:
    """With a fault of the entry as a whole."""
    fault = EntryFault(reason=reason, detail="")
    return RejectedEntry(entry_id=entry_id, reference=reference, faults=(fault,), fault_count=1)


EXAMPLE = replace(
    RECEIPT,
    totals={"THB": {"debit": "1234567.50", "credit": "1234567.50", "amount": "980.00"}},
    rejected_count=2,
    rejected=(
        RejectedEntry(
            entry_id="id1",
            reference="INV-2026-0117",
            faults=(
                EntryFault(
                    reason=RejectionReason.STORED_AS_TEXT,
                    line=2,
                    field="debit",
                    value="'250.00'",
                    detail="",
                ),
                EntryFault(reason=RejectionReason.MISSING_VALUE, field="date", detail=""),
            ),
            fault_count=2,
        ),
        rejected_entry(
            RejectionReason.MISSING, entry_id="6b02f41f45263142d9ff1aeb", reference=None
        ),
    ),
)
"""As docs/alerts.md shows it."""


def told(receipt: Receipt, language: Language = "en") -> Message:
    return receipt_message(receipt, language=language, zone=ZoneInfo("Asia/Bangkok"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_receipt_has_all_that_the_accountant_checks(language: Language) -> None:
    message = told(RECEIPT, language)
    for part in (DAY, "1,234", "2,468", "THB", "1,234,567.50", "batch_2026-01-18.csv", "ab" * 32):
        assert part in message.text
    assert "https://drive.google.com/file/d/abc/view" in message.text
    assert is_thai(message.text) is (language == "th")


def test_the_title_has_the_day_the_entries_and_the_sum() -> None:
    assert told(RECEIPT).title == f"Daybook receipt {DAY}: 1,234 entries, THB 1,234,567.50"
    assert told(RECEIPT, "th").title == (
        f"ใบยืนยันการส่งออก Daybook {DAY}: 1,234 รายการ, THB 1,234,567.50"
    )
    one = replace(RECEIPT, entry_count=1, row_count=1)
    assert told(one).title.startswith(f"Daybook receipt {DAY}: 1 entry, ")
    assert "Entries: 1 (rows: 1)\n" in told(one).text


def test_the_thai_receipt_is_dated_in_the_buddhist_era_beside_the_iso_date() -> None:
    text = told(RECEIPT, "th").text
    assert "ประจำวันที่ 18 มกราคม 2569 (2026-01-18)" in text
    assert "18 มกราคม 2569 เวลา 18:01 น." in text
    assert "กรุณา" not in text


@pytest.mark.parametrize(
    ("month", "name"),
    [(1, "มกราคม"), (2, "กุมภาพันธ์"), (6, "มิถุนายน"), (11, "พฤศจิกายน"), (12, "ธันวาคม")],
)
def test_the_months_have_their_thai_names(month: int, name: str) -> None:
    text = told(replace(RECEIPT, batch_date=f"2026-{month:02}-01"), "th").text
    assert f"ประจำวันที่ 1 {name} 2569" in text


def test_equal_sums_are_called_equal_and_others_not() -> None:
    assert "THB: debit 1,234,567.50, credit 1,234,567.50: equal\n" in told(RECEIPT).text
    assert "เดบิต 1,234,567.50 เครดิต 1,234,567.50 ยอดเท่ากัน\n" in told(RECEIPT, "th").text
    off = replace(RECEIPT, totals={"THB": {"debit": "1.00", "credit": "2.50", "amount": "-1.50"}})
    assert "debit 1.00, credit 2.50: NOT EQUAL, they differ by -1.50" in told(off).text
    assert "ยอดไม่เท่ากัน ต่างกัน -1.50" in told(off, "th").text


def test_entries_without_lines_have_an_amount_of_their_own() -> None:
    mixed = replace(
        RECEIPT, totals={"THB": {"debit": "100.00", "credit": "100.00", "amount": "1500.25"}}
    )
    assert "THB: debit 100.00, credit 100.00: equal\n" in told(mixed).text
    assert "THB: amount of entries without lines 1,500.25" in told(mixed).text
    assert "THB: จำนวนเงินของรายการที่ไม่มีบรรทัดย่อย 1,500.25" in told(mixed, "th").text
    bare = replace(RECEIPT, totals={"JPY": {"debit": "0", "credit": "0", "amount": "1500"}})
    assert "debit" not in told(bare).text
    assert told(bare).title.endswith(": 1,234 entries, JPY 1,500")


def test_each_currency_has_its_line() -> None:
    two = replace(
        RECEIPT,
        totals={
            "THB": {"debit": "1000.00", "credit": "1000.00", "amount": "0.00"},
            "KWD": {"debit": "2.125", "credit": "2.125", "amount": "0.000"},
        },
    )
    assert told(two).title.endswith("THB 1,000.00, KWD 2.125")
    assert "KWD: debit 2.125, credit 2.125: equal\n" in told(two).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_rejected_entries_are_named_by_reference_with_the_reason_in_words(
    language: Language,
) -> None:
    rejected = (
        rejected_entry(RejectionReason.UNBALANCED),
        rejected_entry(RejectionReason.MISSING, entry_id="id2", reference=None),
        rejected_entry(RejectionReason.UNBALANCED, reference="เลขที่ 5\n- forged\u202e"),
    )
    text = told(replace(RECEIPT, rejected_count=3, rejected=rejected), language).text
    said = {
        "en": [
            "- INV-7 (id): debit and credit differ. To correct: accountant",
            "- entry id2: the journal entry is missing. To correct: developer",
        ],
        "th": [
            "- INV-7 (id): ยอดเดบิตและยอดเครดิตไม่เท่ากัน ผู้แก้ไข: ฝ่ายบัญชี",
            "- รายการ id2: ไม่พบรายการบัญชีต้นทาง ผู้แก้ไข: ผู้พัฒนาระบบ",
        ],
    }[language]
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        *said,
        said[0].replace("INV-7", "เลขที่ 5 - forged"),
    ]


@pytest.mark.parametrize(
    ("language", "line"),
    [
        (
            "en",
            "- INV-2026-0117 (id1): line 2, debit: stored as text, not as a number or a date "
            "('250.00'); date: a required value is missing. "
            "To correct: developer, accountant",
        ),
        (
            "th",
            "- INV-2026-0117 (id1): บรรทัดที่ 2 ช่องเดบิต: "
            "บันทึกเป็นข้อความ ไม่ใช่ตัวเลขหรือวันที่ ('250.00'); ช่องวันที่: ขาดข้อมูลที่จำเป็น "
            "ผู้แก้ไข: ผู้พัฒนาระบบ, ฝ่ายบัญชี",
        ),
    ],
)
def test_a_rejected_entry_has_its_lines_and_fields_in_the_readers_language(
    language: Language, line: str
) -> None:
    assert line in told(EXAMPLE, language).text.splitlines()
    some = replace(EXAMPLE.rejected[0], faults=EXAMPLE.rejected[0].faults * 2, fault_count=1234)
    many = told(replace(EXAMPLE, rejected=(some,), rejected_count=1), language).text
    assert {"en": "; and 1,231 more", "th": "; และอีก 1,231 จุด"}[language] in many


@pytest.mark.parametrize("reason", RejectionReason)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_its_words(reason: RejectionReason, language: Language) -> None:
    one = rejected_entry(reason)
    text = told(replace(RECEIPT, rejected_count=1, rejected=(one,)), language).text
    (line,) = (line for line in text.splitlines() if line.startswith("- INV-7 (id): "))
    assert reason.value not in line
    assert is_thai(line) is (language == "th")


def test_of_many_rejected_entries_the_first_are_named_and_the_others_counted() -> None:
    many = replace(
        RECEIPT,
        rejected_count=1021,
        rejected=tuple(
            rejected_entry(RejectionReason.UNBALANCED, reference=f"INV-{number}")
            for number in range(LISTED + 5)
        ),
    )
    lines = [line for line in told(many).text.splitlines() if line.startswith("- ")]
    assert len(lines) == LISTED + 1
    assert lines[-1] == f"- and 1,001 more; all of them: `daybook receipt {DAY} --all`"
    assert f"- และอีก 1,001 รายการ ดูทั้งหมด: `daybook receipt {DAY} --all`" in told(many, "th").text
    exactly = replace(many, rejected_count=LISTED, rejected=many.rejected[:LISTED])
    assert "more" not in told(exactly).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_longest_receipt_still_fits_into_one_message_of_line(language: Language) -> None:
    longest = replace(
        RECEIPT,
        rejected_count=10**6,
        rejected=tuple(
            RejectedEntry(
                entry_id="i",
                reference="ก" * 500,
                faults=(
                    EntryFault(
                        reason=RejectionReason.TOO_MANY_DECIMALS,
                        line=10**6,
                        field="x" * 80,
                        value="ก" * 100,
                        detail="",
                    ),
                )
                * 10,
                fault_count=10**6,
            )
            for _ in range(LISTED)
        ),
        totals=dict.fromkeys(("THB", "USD", "EUR", "JPY", "SGD"), RECEIPT.totals["THB"]),
        other_month_count=10**6,
        no_currency_count=10**6,
        hidden_currencies=("EUR", "JPY", "SGD", "USD"),
        to_check=dict.fromkeys(
            Check, tuple(CheckedEntry(entry_id="i" * 60, reference="ก" * 500) for _ in range(9))
        ),
    )
    assert len(told(longest, language).title + told(longest, language).text) < 5000


def test_an_empty_day_says_that_it_ran_and_that_there_is_no_file() -> None:
    english, thai = told(EMPTY), told(EMPTY, "th")
    assert english.title == f"Daybook receipt {DAY}: nothing to export, no file"
    assert f"Daybook ran for {DAY} and found nothing to export, so there is no file." in (
        english.text
    )
    assert "if it had not run, you would not have received this receipt" in english.text
    assert thai.title == f"ใบยืนยันการส่งออก Daybook {DAY}: ไม่มีรายการต้องส่งออก ไม่มีไฟล์"
    assert "ข้อความนี้ยืนยันว่าระบบทำงานตามปกติ" in thai.text
    for message in (english, thai):
        assert "SHA-256" not in message.text
        assert "None" not in message.text


def test_an_empty_day_names_what_was_rejected() -> None:
    text = told(
        replace(EMPTY, rejected_count=1, rejected=(rejected_entry(RejectionReason.UNBALANCED),))
    ).text
    assert "- INV-7 (id): debit and credit differ" in text


def test_another_profile_is_named() -> None:
    assert told(replace(RECEIPT, profile="wallets")).title.startswith("Daybook wallets receipt ")
    assert " Daybook wallets " in told(replace(RECEIPT, profile="wallets"), "th").title


@pytest.mark.parametrize(
    ("months", "count", "english", "thai"),
    [
        (
            {"2026-11": 1234},
            1234,
            "- 1,234 of 1,234 entries are dated 11/2026.",
            "- 1,234 จาก 1,234 รายการลงวันที่ในเดือนพฤศจิกายน 2569 (11/2026)",
        ),
        (
            {"2025-12": 2, "2026-02": 1},
            3,
            "- 3 of 1,234 entries are dated in another month: 2 in 12/2025, 1 in 02/2026.",
            "- 3 จาก 1,234 รายการลงวันที่ในเดือนอื่น: เดือนธันวาคม 2568 (12/2025) 2 รายการ, "
            "เดือนกุมภาพันธ์ 2569 (02/2026) 1 รายการ",
        ),
        (
            {},
            1,
            "- 1 of 1,234 entries is dated in another month.",
            "- 1 จาก 1,234 รายการลงวันที่ในเดือนอื่น",
        ),
    ],
)
def test_entries_of_other_months_are_reported_by_month(
    months: dict[str, int], count: int, english: str, thai: str
) -> None:
    receipt = replace(RECEIPT, other_month_count=count, other_months=months)
    assert english in told(receipt).text.splitlines()
    assert thai in told(receipt, "th").text.splitlines()


def test_entries_without_a_currency_are_reported() -> None:
    receipt = replace(RECEIPT, no_currency_count=2, currency="THB")
    assert "- 2 of 1,234 entries name no currency and count as THB." in told(receipt).text
    assert "- 2 จาก 1,234 รายการไม่ระบุสกุลเงิน จึงนับเป็น THB" in told(receipt, "th").text
    one = replace(receipt, no_currency_count=1)
    assert "- 1 of 1,234 entries names no currency and counts as THB." in told(one).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_ordinary_receipt_asks_for_no_check(language: Language) -> None:
    text = told(RECEIPT, language).text
    assert "Check before" not in text
    assert "กรุณาตรวจสอบ" not in text


@pytest.mark.parametrize(
    ("changes", "word", "thai"),
    [
        ({"batch_date": "2026-01-19"}, "has not begun", "ยังไม่ถึงวันดังกล่าว"),
        ({"batch_date": "2026-01-16"}, "a day that is past", "วันที่ผ่านไปแล้ว"),
        ({"repeated": True}, "opened again", "เปิดให้ทำงานอีกครั้ง"),
    ],
)
def test_only_a_day_that_ran_on_time_is_called_normal(
    changes: dict[str, Any], word: str, thai: str
) -> None:
    unusual = replace(EMPTY, **changes)
    assert "This is normal" not in told(unusual).text
    assert "ทำงานตามปกติ" not in told(unusual, "th").text
    assert word in told(unusual).text
    assert thai in told(unusual, "th").text
    after_midnight = replace(EMPTY, batch_date="2026-01-17")
    assert "This is normal" in told(after_midnight).text


def test_the_first_twenty_are_all_named_even_with_many_faults() -> None:
    fault = EntryFault(
        reason=RejectionReason.STORED_AS_TEXT, line=12, field="debit", value="'250.00'", detail=""
    )
    many = tuple(
        RejectedEntry(
            entry_id="6b02f41f45263142d9ff1aea",
            reference=f"RV-202611-{number:07}",
            faults=(fault,) * 3,
            fault_count=7,
        )
        for number in range(1000)
    )
    receipt = replace(RECEIPT, rejected_count=1000, rejected=many)
    for language in LANGUAGES:
        text = told(receipt, language).text
        assert text.count("(6b02f41f45263142d9ff1aea)") == LISTED
        everything = receipt_message(
            receipt, language=language, zone=ZoneInfo("Asia/Bangkok"), every=True
        ).text
        assert everything.count("(6b02f41f45263142d9ff1aea)") == 1000


@pytest.mark.parametrize("reason", RejectionReason)
def test_every_reason_says_who_corrects_it(reason: RejectionReason) -> None:
    who = corrector(reason)
    one = rejected_entry(reason)
    assert one.to_doc()["correctedBy"] == [who.value]
    line = {
        Corrector.ACCOUNTANT: "To correct: accountant",
        Corrector.DEVELOPER: "To correct: developer",
        Corrector.NOBODY: "Nothing to correct",
    }[who]
    text = told(replace(RECEIPT, rejected_count=1, rejected=(one,))).text
    assert f". {line}\n" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_with_more_rows_than_the_importer_takes_says_so(language: Language) -> None:
    more = told(replace(RECEIPT, row_count=301, max_rows=300), language).text
    as_many = told(replace(RECEIPT, row_count=300, max_rows=300), language).text
    assert more.count("300") == as_many.count("300")  # as its limit here, as its rows there
    assert len(more.split("\n\n")) == len(as_many.split("\n\n")) + 1


def checked(count: int) -> tuple[CheckedEntry, ...]:
    return tuple(CheckedEntry(entry_id=f"id{n}", reference=f"INV-{n}") for n in range(count))


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        (Check.OTHER_MONTH, {"other_month_count": 7, "other_months": {"2026-02": 7}}),
        (Check.NO_CURRENCY, {"no_currency_count": 7, "currency": "THB"}),
        (Check.HIDDEN_CURRENCY, {"hidden_currencies": ("USD",), "currency": "THB"}),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_check_names_the_entries_concerned_and_where_the_others_are(
    language: Language, check: Check, changes: dict[str, Any]
) -> None:
    receipt = replace(RECEIPT, profile="wallets", to_check={check: checked(7)}, **changes)
    all_of_them = f"`daybook receipt --profile wallets {DAY} --all`"
    counted = check is not Check.HIDDEN_CURRENCY
    more = {
        "en": f" and {'2 more' if counted else 'perhaps others'}; all of them: {all_of_them}",
        "th": f" {'และอีก 2 รายการ' if counted else 'และอาจมีรายการอื่นอีก'} ดูทั้งหมด: {all_of_them}",
    }[language]
    first = ", ".join(f"INV-{n} (id{n})" for n in range(CHECKED))
    assert f"\n  {first}{more}\n" in told(receipt, language).text
    few = replace(
        receipt, to_check={check: checked(2)}, **({next(iter(changes)): 2} if counted else {})
    )
    assert "\n  INV-0 (id0), INV-1 (id1)\n" in told(few, language).text
    everything = receipt_message(
        receipt, language=language, zone=ZoneInfo("Asia/Bangkok"), every=True
    ).text
    assert f"\n  {', '.join(f'INV-{n} (id{n})' for n in range(7))}\n" in everything


@pytest.mark.parametrize("path", en.FIELDS)
def test_a_field_has_its_name_in_each_language_instead_of_its_path(path: str) -> None:
    fault = EntryFault(reason=RejectionReason.MISSING_VALUE, line=2, field=path, detail="")
    assert th.FIELDS.keys() == en.FIELDS.keys()
    assert en.place(fault) == f"line 2, {en.FIELDS[path]}"
    assert th.place(fault) == f"บรรทัดที่ 2 ช่อง{th.FIELDS[path]}"
    assert is_thai(th.FIELDS[path])
    assert not any(letter.isupper() for letter in en.FIELDS[path].replace("ID", ""))


def test_every_path_of_a_source_has_a_name() -> None:
    paths = {*Source().names, *MEDICI.names.values()}
    assert paths <= en.FIELDS.keys()
    assert MEDICI.names["medici_transactions"] == "lines"
    assert MEDICI.names["datetime"] == "date"


def test_fields_of_another_source_are_named_by_their_meaning_or_their_column() -> None:
    names = {"meta.cost": "Cost centre", **MEDICI.names}
    one = RejectedEntry(
        entry_id="id",
        reference=None,
        faults=tuple(
            EntryFault(reason=RejectionReason.INVALID_TEXT, line=1, field=path, detail="")
            for path in ("memo", "account_path.-1", "meta.cost")
        ),
        fault_count=3,
    )
    receipt = replace(RECEIPT, rejected=(one,), rejected_count=1, field_names=names)
    for words in ("line 1, description: ", "line 1, account name: ", "line 1, Cost centre: "):
        assert words in told(receipt).text
    assert "บรรทัดที่ 1 ช่อง Cost centre: " in told(receipt, "th").text
