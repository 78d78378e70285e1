"""No message says `1 entries`: a count before a plural goes through `display.number`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests import pages

SOURCE = pages.ROOT / "src" / "daybook"
_COUNT = re.compile(
    r"(?i)count|\blen\(|\bsum\(|attempts?\b|failures|times|steps|watched|queued|size|unreachable|"
    r"settled|marked|deleted|entries|wallets|transactions|files|rows|continuations|sessions"
)
_VERBS = {"has", "is", "was", "does", "belongs", "says", "gives", "takes", "asks", "ends", "this"}
NEVER_ONE = {
    ("audit.py", "doc['sizeBytes']"),
    ("audit.py", "metadata.size_bytes"),
    ("receipt.py", "receipt.max_rows"),
    ("building.py", "self.count"),
    ("delivered.py", "size_bytes"),
    ("follow_up.py", "batch.continuations"),
    ("named_entries.py", "len(entry_ids)"),
    ("display.py", "len(text) - longest"),
    ("outcome.py", "count"),
    ("text.py", "length or len(text)"),
    ("sheets.py", "MOST_ROWS"),
    ("dispatcher.py", "len(values)"),
    ("watchdog.py", "WATCHED // timedelta(hours=1)"),
    ("dispatcher.py", "size"),
    ("manual.py", "len(value)"),
    ("requests.py", "len(values)"),
    ("erase.py", "len(known)"),
    ("upload.py", "held.size_bytes"),
    ("deliver.py", "batch.upload_sessions"),
    ("attempt.py", "batch.attempt"),
    ("answers.py", "file['size']"),
}
"""Sizes in bytes, and counts of which one is no fault; an ordinal is no count."""


def spoken() -> Iterator[tuple[str, str, str]]:
    """File, expression and following word of each value in a text that a plural follows."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.JoinedStr):
                continue
            for value, after in zip(node.values, node.values[1:], strict=False):
                if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                    continue
                word = re.match(r" (?:[a-z]+ )?([a-z]{2,}s)\b", str(after.value))
                expression = ast.unparse(value.value)
                if word and word[1] not in _VERBS and _COUNT.search(expression):
                    yield path.name, expression, word[1]


def test_every_count_before_a_plural_is_inflected() -> None:
    wrong = [
        (file, expression, word)
        for file, expression, word in spoken()
        if (file, expression) not in NEVER_ONE and "number(" not in expression
    ]
    assert wrong == []
