"""Comparing a delivered file with its manifest rendered again, row by row.

Whole parts are compared as bytes. Where they differ, the entries of the part are
rendered one by one, and the file is searched for the next entry that stands in it as
expected; the rows up to there belong to the entries in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from daybook.audit.delivered import DeliveredBytes
from daybook.audit.difference import Difference, Kind
from daybook.audit.explain import Piece, explain, rows_of, shown_short
from daybook.audit.rerender import Rerendering
from daybook.export.part import Part

_LOOK_AHEAD = 100


def compare(
    file: DeliveredBytes, again: Rerendering, pieces_of: Rerendering
) -> Iterator[Difference]:
    """Each difference in the file's order.

    `again` renders whole parts and adds up the figures; `pieces_of`, of the same batch,
    renders single entries. Raises what the destination raises while it is read.
    """
    return _Comparison(file, again, pieces_of).differences()


class _Comparison:
    def __init__(self, file: DeliveredBytes, again: Rerendering, single: Rerendering) -> None:
        self._file = file
        self._again = again
        self._single = single
        self._profile = again.profile
        self._parts = again.parts()
        self._ahead: deque[Piece] = deque()
        self._row = 1

    def differences(self) -> Iterator[Difference]:
        if not self._file.skip(self._again.header()):
            yield Difference(
                kind=Kind.HEADER,
                detail="the file's header is not the profile's: the columns were changed "
                "since, or the file was edited; its rows are not compared",
            )
            return
        while (piece := self._next()) is not None:
            if piece.unfit is None and self._file.skip(piece.content):
                self._row += len(piece.rows)
                continue
            found = self._in_step_again(piece)
            if found is None:
                yield Difference(
                    kind=Kind.OUT_OF_STEP,
                    detail=f"from row {self._row} on, none of the next {_LOOK_AHEAD} entries "
                    "stands in the file as expected",
                    entry_id=piece.entry_id,
                    row=self._row,
                )
                return
            pieces, content = found
            rows = rows_of(content, self._profile)
            yield from explain(self._profile, pieces, rows, first_row=self._row)
            self._row += len(rows)
        rest = self._file.window()
        if rest:
            yield Difference(
                kind=Kind.ROW_EXTRA,
                detail=f"row {self._row} and what follows come after the last entry: "
                f"{shown_short(rest.decode(self._profile.encoding, 'replace'))}",
                row=self._row,
            )

    def _next(self) -> Piece | None:
        """The next entry that does not belong to a part which stands in the file as it is."""
        while not self._ahead:
            part = next(self._parts, None)
            if part is None:
                return None
            before = self._again.figures()
            content = self._again.render(part)
            after = self._again.figures()
            if len(after.rejected) == len(before.rejected) and self._file.skip(content):
                self._row += after.row_count - before.row_count
                continue
            self._ahead.extend(self._pieces(part))
        return self._ahead.popleft()

    def _pieces(self, part: Part) -> Iterator[Piece]:
        rejected = len(self._single.figures().rejected)
        for entry_id, content in self._single.render_each(part):
            unfit = self._single.figures().rejected[rejected:]
            rejected += len(unfit)
            yield Piece(
                entry_id=entry_id,
                content=content,
                rows=rows_of(content, self._profile),
                unfit=unfit[0].detail if unfit else None,
            )

    def _in_step_again(self, first: Piece) -> tuple[list[Piece], bytes] | None:
        """The entries from `first` on that differ, and the bytes that the file has for them."""
        window = self._file.window()
        line_end = self._profile.line_end.encode()
        passed = [first]
        for _ in range(_LOOK_AHEAD):
            if not self._ahead:
                part = next(self._parts, None)
                if part is None:
                    return passed, self._file.take(len(window))
                self._again.render(part)
                self._ahead.extend(self._pieces(part))
                continue
            piece = self._ahead[0]
            at = -1 if piece.unfit else _find_row(window, piece.content, line_end)
            if at >= 0:
                return passed, self._file.take(at)
            passed.append(self._ahead.popleft())
        return None


def _find_row(window: bytes, content: bytes, line_end: bytes) -> int:
    """Where `content` begins a row of `window`, or -1."""
    if window.startswith(content):
        return 0
    at = window.find(line_end + content)
    return at if at < 0 else at + len(line_end)
