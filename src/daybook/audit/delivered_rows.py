"""Comparing a delivered file with its manifest rendered again, row by row.

Whole parts are compared as bytes. If they differ, the entries of the part are rendered one by
one, and the file is searched for the next entry that is in it as expected; the rows up to there
belong to the entries in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from daybook.audit.delivered import DeliveredBytes
from daybook.audit.difference import VerifyDifference, VerifyKind
from daybook.audit.explain import Piece, Row, explain, rows_of, same_rows, shown_short
from daybook.audit.rerender import Rerendering
from daybook.display import file_rows
from daybook.export.model.figures import RejectionReason
from daybook.export.model.part import Part

_LOOK_AHEAD = 100
_SLACK_BYTES = 1000
_LATER_RULES = {
    RejectionReason.CONTROL_CHARACTER,
    RejectionReason.TOO_LARGE,
    RejectionReason.UNKNOWN_CURRENCY,
}
"""Reasons to reject an entry that an earlier version exported."""


class Comparison:
    """Compares a delivered file with its manifest rendered again, in a single pass.

    `rerendered` renders whole parts and adds up the figures; `single`, for the same batch,
    renders single entries. `earlier` is true for a file that an earlier version of the renderer
    may have written.
    """

    def __init__(
        self, file: DeliveredBytes, rerendered: Rerendering, single: Rerendering, *, earlier: bool
    ) -> None:
        self._file = file
        self._rerendered = rerendered
        self._single = single
        self._earlier = earlier
        self._profile = rerendered.profile
        self._parts = rerendered.parts()
        self._ahead: deque[Piece] = deque()
        self._row = 1
        self.respelt = 0
        """Entries with the same content in the file, but quoted or spelt in an earlier way."""
        self.no_longer_printed: list[str] = []
        """Entries of an earlier version's file that today's rules reject."""

    def differences(self) -> Iterator[VerifyDifference]:
        """Each difference, in the file's order. Raises what the destination raises."""
        header = self._rerendered.header()
        if not self._file.skip(header) and not self._skip_alike(
            header, rows_of(header, self._profile)
        ):
            yield VerifyDifference(
                kind=VerifyKind.HEADER,
                detail="the file's header is not the profile's: the columns were changed "
                "since, or the file was edited; its rows are not compared",
            )
            return
        while (piece := self._next()) is not None:
            if piece.rejection is None and self._file.skip(piece.content):
                self._row += len(piece.rows)
                continue
            if piece.rejection is None and self._skip_alike(piece.content, piece.rows):
                self._row += len(piece.rows)
                self.respelt += 1
                continue
            found = self._resynchronised(piece)
            if found is None:
                yield VerifyDifference(
                    kind=VerifyKind.OUT_OF_STEP,
                    detail=f"none of the next {_LOOK_AHEAD} entries is in the file as expected, "
                    f"from {file_rows(self._row)}, on",
                    entry_id=piece.entry_id,
                    row=self._row,
                )
                return
            pieces, content = found
            rows = rows_of(content, self._profile)
            references = self._rerendered.references(one.entry_id for one in pieces)
            for difference in explain(
                self._profile, pieces, rows, first_row=self._row, references=references
            ):
                if self._is_by_new_rules(difference, pieces):
                    self.no_longer_printed.append(difference.detail)
                else:
                    yield difference
            self._row += len(rows)
        rest = self._file.window()
        if rest:
            yield VerifyDifference(
                kind=VerifyKind.ROW_EXTRA,
                detail=f"{file_rows(self._row)}, and what follows come after the last entry: "
                f"{shown_short(rest.decode(self._profile.encoding, 'replace'))}",
                row=self._row,
            )

    def _skip_alike(self, content: bytes, expected: list[Row]) -> bool:
        """Skip rows with the expected content, if they come next; see `same_rows`."""
        window = self._file.window(2 * len(content) + _SLACK_BYTES)
        end = _end_of_rows(window, len(expected), self._profile.line_end.encode())
        if end < 0:
            return False
        found = rows_of(window[:end], self._profile)
        if not same_rows(self._profile, found, expected):
            return False
        self._file.take(end)
        return True

    def _is_by_new_rules(self, difference: VerifyDifference, pieces: Sequence[Piece]) -> bool:
        return (
            self._earlier
            and difference.kind is VerifyKind.ENTRY_UNFIT
            and any(
                piece.entry_id == difference.entry_id and piece.reasons <= _LATER_RULES
                for piece in pieces
            )
        )

    def _next(self) -> Piece | None:
        """The next entry that is not in a part found unchanged in the file."""
        while not self._ahead:
            part = next(self._parts, None)
            if part is None:
                return None
            before = self._rerendered.figures()
            content = self._rerendered.render(part)
            after = self._rerendered.figures()
            if len(after.rejected) == len(before.rejected) and self._file.skip(content):
                self._row += after.row_count - before.row_count
                continue
            self._ahead.extend(self._pieces(part))
        return self._ahead.popleft()

    def _pieces(self, part: Part) -> Iterator[Piece]:
        rejected = len(self._single.figures().rejected)
        for entry_id, content in self._single.render_each(part):
            rejections = self._single.figures().rejected[rejected:]
            rejected += len(rejections)
            yield Piece(
                entry_id=entry_id,
                content=content,
                rows=rows_of(content, self._profile),
                rejection=rejections[0].detail if rejections else None,
                reasons=frozenset(fault.reason for one in rejections for fault in one.faults),
            )

    def _resynchronised(self, first: Piece) -> tuple[list[Piece], bytes] | None:
        """The differing entries, starting with `first`, and the bytes that the file has instead."""
        window = self._file.window()
        line_end = self._profile.line_end.encode()
        passed = [first]
        for _ in range(_LOOK_AHEAD):
            if not self._ahead:
                part = next(self._parts, None)
                if part is None:
                    return passed, self._file.take(len(window))
                self._rerendered.render(part)
                self._ahead.extend(self._pieces(part))
                continue
            piece = self._ahead[0]
            at = -1 if piece.rejection else _find_row(window, piece.content, line_end)
            if at >= 0:
                return passed, self._file.take(at)
            passed.append(self._ahead.popleft())
        return None


def _end_of_rows(window: bytes, count: int, line_end: bytes) -> int:
    """Where the first rows of `window` end, or -1: at line ends outside quotes."""
    at = 0
    for _ in range(count):
        quotes = 0
        while True:
            end = window.find(line_end, at)
            if end < 0:
                return -1
            quotes += window.count(b'"', at, end)
            at = end + len(line_end)
            if quotes % 2 == 0:
                break
    return at


def _find_row(window: bytes, content: bytes, line_end: bytes) -> int:
    """Where in `window` a row starts with `content`, or -1."""
    if window.startswith(content):
        return 0
    at = window.find(line_end + content)
    return at if at < 0 else at + len(line_end)
