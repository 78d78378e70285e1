"""Reading the documents and the sources: Markdown tables, and what is in backquotes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def tables(text: str) -> Iterator[list[list[str]]]:
    """The cells of each Markdown table, the header row first."""
    rows: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("| "):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif rows and not line.startswith("|--"):
            yield rows
            rows = []


def table(name: str, first: str) -> list[list[str]]:
    """The rows of the page's only table whose first column has this title."""
    (found,) = (rows for rows in tables(text_of(name)) if rows[0][0] == first)
    return found[1:]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def column(rows: list[list[str]]) -> list[str]:
    """What is in backquotes in the first column."""
    return [word for row in rows for word in words(row[0])]
