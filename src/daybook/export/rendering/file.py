"""One file from the parts of its manifest: CSV as it is rendered, xlsx once all rows are known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from types import TracebackType
from typing import Self

from daybook.export.model.figures import Figures
from daybook.export.model.part import Part
from daybook.export.model.profile import FileFormat, Profile
from daybook.export.rendering.cells.layout import Entries
from daybook.export.rendering.render import Renderer
from daybook.export.rendering.sheets import MOST_ITEMS_SHARED, Sheets


class FileRenderer:
    """The bytes of a file, in order: `header`, each `part`, `end`. Use it as a block.

    The bytes are a pure function of the manifest, the entries and the profile.
    """

    def __init__(self, profile: Profile, batch_date: date | None, *, item_count: int) -> None:
        """`item_count` is the manifest's. Raises `ConfigurationError`, as `Renderer` does."""
        self._sheets = None
        if profile.format is FileFormat.XLSX:
            huge = item_count > MOST_ITEMS_SHARED
            self._sheets = Sheets(profile, batch_date, huge=huge)
        receive = None if self._sheets is None else self._sheets.add
        self.renderer = Renderer(profile, batch_date, receive=receive)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sheets is not None:
            self._sheets.__exit__(kind, error, trace)

    def header(self) -> bytes:
        """What precedes the rows; see `Renderer.header`."""
        content = self.renderer.header()
        return content if self._sheets is None else b""

    def part(self, part: Part, entries: Entries) -> bytes:
        """The rows of a part as far as they are ready; see `Renderer.part`.

        Raises `ConfigurationError` when a sheet has no room for them.
        """
        content = self.renderer.part(part, entries)
        return content if self._sheets is None else b""

    def figures(self) -> Figures:
        return self.renderer.figures()

    def end(self) -> Iterator[bytes]:
        """The rest of the file, in blocks; it is made before this returns."""
        return iter(()) if self._sheets is None else self._sheets.finish(self.figures())
