"""Which seal a file is: by its bytes, then by its properties, and by its name without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from string import ascii_uppercase
from typing import Any

import pytest

from daybook.destinations.base import DeliveredFile, NewFile
from daybook.export.model.figures import CurrencyTotals, Figures
from daybook.export.model.seal import (
    DATE_PROPERTY,
    FENCE_PROPERTY,
    Content,
    ManifestRef,
    Seal,
    SettlementAction,
    is_as_sent,
    settlement_of,
)

BYTES = Content(size_bytes=10, md5="a" * 32, sha256="b" * 64)
OTHER = Content(size_bytes=10, md5="c" * 32, sha256="d" * 64)


def seal(date: str | None, fence: int, content: Content = BYTES) -> Seal:
    return Seal(
        batch_date=date,
        filename=f"batch_{date}.csv" if date else "manual_abc.csv",
        manifest=ManifestRef(
            batch_id="0" * 24, generation=0, fence=fence, part_count=1, item_count=1, digest=""
        ),
        content=content,
        figures=Figures(
            entry_count=1,
            row_count=1,
            normalised_count=0,
            other_month_count=0,
            totals={},
            rejected_count=0,
        ),
        opened_fence=fence,
        sealed_at=datetime(2026, 1, 18, 11, tzinfo=UTC),
    )


def file(
    name: str, properties: Mapping[str, str], content: Content = BYTES, **changes: Any
) -> DeliveredFile:
    found = DeliveredFile(
        id="id",
        name=name,
        size_bytes=content.size_bytes,
        md5=content.md5,
        sha256=content.sha256,
        link="",
        properties=properties,
    )
    return replace(found, **changes)


def marks(date: str | None, fence: int) -> dict[str, str]:
    found = {FENCE_PROPERTY: str(fence)}
    return found if date is None else {**found, DATE_PROPERTY: date}


DAY, NEXT = "2026-01-18", "2026-01-19"
EARLY, LATE = f"batch_{DAY}.csv", f"batch_{NEXT}.csv"
TWO_DAYS = (seal(DAY, 3), seal(NEXT, 4))
ONE_DAY = (seal(DAY, 3), seal(DAY, 4))
HIDDEN: dict[str, str] = {}
FOREIGN = {"anotherApplication": "yes"}


@pytest.mark.parametrize(
    ("seals", "found", "fence"),
    [
        (TWO_DAYS, file(EARLY, marks(DAY, 3)), 3),
        (TWO_DAYS, file(LATE, marks(NEXT, 4)), 4),
        (TWO_DAYS, file("renamed.csv", marks(DAY, 3)), 3),
        (TWO_DAYS, file(LATE, marks(DAY, 3)), 3),
        (TWO_DAYS, file(EARLY, HIDDEN), 3),
        (TWO_DAYS, file(LATE, HIDDEN), 4),
        (TWO_DAYS, file(EARLY, FOREIGN), 3),
        (TWO_DAYS, file(LATE, FOREIGN), 4),
        (TWO_DAYS, file(EARLY, HIDDEN, sha256=None), 3),
        (ONE_DAY, file(EARLY, marks(DAY, 3)), 3),
        (ONE_DAY, file(EARLY, marks(DAY, 4)), 4),
        (ONE_DAY, file(EARLY, marks(DAY, 9)), 4),
        (ONE_DAY, file(EARLY, HIDDEN), 4),
        (ONE_DAY, file("renamed.csv", HIDDEN), 4),
        ((seal(DAY, 3),), file("renamed.csv", HIDDEN), 3),
        ((seal(DAY, 3), seal(NEXT, 4, OTHER)), file(LATE, HIDDEN), 3),
        ((seal(None, 1),), file("manual_abc.csv", marks(None, 1)), 1),
        ((seal(None, 1),), file("manual_abc.csv", HIDDEN), 1),
    ],
)
def test_file_is_committed_with_its_own_seal(
    seals: tuple[Seal, ...], found: DeliveredFile, fence: int
) -> None:
    settled = settlement_of(seals, found)
    assert settled.action is SettlementAction.COMMIT
    assert settled.seal is next(one for one in seals if one.opened_fence == fence)


@pytest.mark.parametrize(
    "found",
    [
        file(EARLY, marks(DAY, 3), OTHER),
        file(EARLY, HIDDEN, OTHER),
        file(EARLY, marks("2026-01-20", 5)),
        file(EARLY, marks(None, 3)),
        file(EARLY, marks(DAY, 3), size_bytes=11),
        file(EARLY, marks(DAY, 3), md5="c" * 32),
        file(EARLY, marks(DAY, 3), sha256="d" * 64),
    ],
)
def test_file_that_no_seal_describes_belongs_to_no_day(found: DeliveredFile) -> None:
    assert settlement_of(TWO_DAYS, found).action is SettlementAction.TAMPERED


@pytest.mark.parametrize("properties", [HIDDEN, FOREIGN])
def test_renamed_file_of_one_of_two_days_is_for_a_person_to_decide(
    properties: dict[str, str],
) -> None:
    settled = settlement_of(TWO_DAYS, file("renamed.csv", properties))
    assert (settled.action, settled.seal) == (SettlementAction.UNCLEAR, None)


def test_nothing_under_the_id_changes_nothing() -> None:
    assert settlement_of(TWO_DAYS, None).action is SettlementAction.CONTINUE


SENT = NewFile(id="id", name=EARLY, properties={DATE_PROPERTY: DAY, FENCE_PROPERTY: "3"})
MADE = file(EARLY, marks(DAY, 3))


@pytest.mark.parametrize(
    "told",
    [
        None,
        replace(MADE, id="other"),
        replace(MADE, name=LATE),
        replace(MADE, size_bytes=9),
        replace(MADE, md5=OTHER.md5),
        replace(MADE, sha256=OTHER.sha256),
        replace(MADE, properties=HIDDEN),
        replace(MADE, properties=marks(DAY, 4)),
        replace(MADE, properties=marks(NEXT, 3)),
        replace(MADE, properties={**marks(DAY, 3), **FOREIGN}),
    ],
)
def test_a_response_that_differs_in_any_detail_does_not_describe_the_sealed_file(
    told: DeliveredFile | None,
) -> None:
    assert not is_as_sent(told, SENT, seal(DAY, 3))


@pytest.mark.parametrize("told", [MADE, replace(MADE, sha256=None), replace(MADE, description="")])
def test_a_response_that_agrees_in_every_detail_describes_the_sealed_file(
    told: DeliveredFile,
) -> None:
    assert is_as_sent(told, SENT, seal(DAY, 3))


def test_the_fence_of_a_resumed_session_is_that_of_its_opening() -> None:
    resumed_by = replace(SENT, properties={DATE_PROPERTY: DAY, FENCE_PROPERTY: "5"})
    assert is_as_sent(MADE, resumed_by, seal(DAY, 3))


@pytest.mark.parametrize(
    ("currencies", "text"),
    [
        (0, "1 entry. SHA-256 "),
        (1, "1 entry. AAA: debit 1.50, credit 1.50, amount 0.00. SHA-256 "),
        (11, " And 1 more currency. SHA-256 "),
        (26, " And 16 more currencies. SHA-256 "),
    ],
)
def test_the_description_names_totals_and_digest_and_stays_short(
    currencies: int, text: str
) -> None:
    one = CurrencyTotals(debit=Decimal("1.50"), credit=Decimal("1.50"), amount=Decimal("0.00"))
    totals = {letter * 3: one for letter in ascii_uppercase[:currencies]}
    made = seal(DAY, 3)
    described = replace(made, figures=replace(made.figures, totals=totals)).description
    assert f"{text}{BYTES.sha256}" in described
    assert described.endswith(BYTES.sha256)
    assert len(described) < 800
