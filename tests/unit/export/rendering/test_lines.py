"""Lines in a collection of their own, as their entry lists them."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from daybook.export.model.source import LineCollection
from daybook.export.rendering.lines import first_value, in_order

WHERE = LineCollection(collection="rows", key="voucher", order="rowIds")
_A, _B = ObjectId(), ObjectId()


def ordered(stored: list[Any], listed: Any) -> tuple[list[Any], str | None]:
    lines, fault = in_order(WHERE, [{"_id": one} for one in stored], listed, id_of=lambda one: one)
    return [line["_id"] for line in lines], None if fault is None else fault.why


@pytest.mark.parametrize(
    ("stored", "listed", "why"),
    [
        ([], [], None),
        ([], None, None),
        ([1], None, "rowIds is no array of the IDs of its lines"),
        ([1], {"a": 1}, "rowIds is no array of the IDs of its lines"),
        ([], 5, "rowIds is no array of the IDs of its lines"),
        ([1, 2], [2, 1], None),
        ([1], [1, 1], "rowIds names line 1 twice"),
        ([1], [1, 1, 1], "rowIds names line 1 and 1 more twice"),
        ([Int64(1)], [1.0], None),
        ([Decimal128("1.0")], [1], None),
        (
            [True],
            [1],
            "rowIds names line 1, which rows does not have with this entry as voucher "
            "and rowIds does not name line True",
        ),
        ([], [None], "rowIds names line None, which rows does not have with this entry as voucher"),
        (["x"], [], "rowIds does not name line 'x'"),
        ([_A, _B], [_B, _A], None),
        ([{"a": 1}], [{"a": 1.0}], None),
    ],
)
def test_list_and_lines_must_agree(stored: list[Any], listed: Any, why: str | None) -> None:
    assert ordered(stored, listed)[1] == why


@given(st.permutations(range(7)))
def test_the_order_is_that_of_the_list_whatever_that_of_the_collection(listed: list[int]) -> None:
    assert ordered(list(range(7)), listed) == (listed, None)


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5), unique=True))
def test_only_equal_sets_without_repetition_agree(listed: list[int], stored: list[int]) -> None:
    found, why = ordered(stored, listed)
    assert sorted(found) == sorted(stored)
    assert (why is None) == (sorted(listed) == sorted(stored))


def test_without_a_list_lines_stay_as_they_are_read() -> None:
    where = LineCollection(collection="rows", key="voucher")
    assert in_order(where, [{"_id": 2}, {"_id": 1}], "anything", id_of=lambda one: one) == (
        [{"_id": 2}, {"_id": 1}],
        None,
    )


def test_the_first_value_is_neither_missing_nor_empty() -> None:
    assert first_value([None, "", 0, "x"]) == 0
    assert first_value([None, ""]) is None
