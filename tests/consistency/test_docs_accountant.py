"""The accountant's pages have every reason, as the receipt words it, in both languages."""

from __future__ import annotations

import pytest

from daybook.export.model.figures import RejectionReason, corrector
from daybook.notifications import en, th
from tests import pages

PAGES = [("accountant.md", en), ("accountant.th.md", th)]


@pytest.mark.parametrize(("page", "words"), PAGES, ids=[page for page, _ in PAGES])
def test_every_reason_is_explained_in_the_words_of_the_receipt(page, words):
    first = {"accountant.md": "the receipt says", "accountant.th.md": "ใบยืนยันระบุว่า"}[page]
    rows = pages.table(page, first)
    assert [(said, who) for said, who, _ in rows] == [
        (words.REASONS[reason], words.CORRECTORS[corrector(reason)]) for reason in RejectionReason
    ]
    assert all(todo for _, _, todo in rows)


def test_both_pages_have_the_same_form():
    english, thai = (
        [
            (line.split(" ")[0], line.count("|"), line.count("`"))
            for line in pages.text_of(page).splitlines()
            if line.startswith(("#", "|", "1.", "2.", "3.", "4."))
        ]
        for page, _ in PAGES
    )
    assert [kind for kind, _, _ in english] == [kind for kind, _, _ in thai]
    assert [bars for _, bars, _ in english] == [bars for _, bars, _ in thai]


def test_each_fits_a_page():
    assert all(len(pages.text_of(page).splitlines()) < 90 for page, _ in PAGES)
