"""Rows of a file as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from daybook.text.display import visible

_WIDEST = 32
"""Cells that are wider are cut off; the file has them in full."""


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose first row is the header."""
    from rich.cells import cell_len, set_cell_size

    cells = [[_short(visible(cell)) for cell in row] for row in rows]
    count = max(map(len, cells), default=0)
    widths = [
        max((cell_len(row[at]) for row in cells if at < len(row)), default=0) for at in range(count)
    ]
    return [
        "  ".join(
            set_cell_size(cell, width) for cell, width in zip(row, widths, strict=False)
        ).rstrip()
        for row in cells
    ]


def _short(cell: str) -> str:
    return cell if len(cell) <= _WIDEST else cell[: _WIDEST - 1] + "…"
