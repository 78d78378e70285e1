"""Rendering a delivered file again: its manifest without what was rejected, entries as now."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from pymongo.database import Database

from daybook.errors import DaybookError
from daybook.export.batch.batch import Batch, profile_of, rejected_of
from daybook.export.model.figures import Figures
from daybook.export.model.ids import hashable
from daybook.export.model.part import Part
from daybook.export.model.profile import Profile
from daybook.export.model.seal import ManifestRef
from daybook.export.queue import manifest as manifests
from daybook.export.queue.named_entries import references_of
from daybook.export.rendering.cells.text import text_form
from daybook.export.rendering.cells.values import RejectedValue, missing
from daybook.export.rendering.render import FileRenderer, Renderer
from daybook.export.rendering.source import EntrySource


class Rerendering:
    """Renders the parts of a committed batch once more, in order, as the rows of a CSV.

    Those of an xlsx file are in its text form, in which `delivered` reads it; only `file` gives
    the bytes of the file itself.
    """

    def __init__(self, database: Database[dict[str, Any]], profile: Profile, batch: Batch) -> None:
        """Renders with the profile that the batch was planned for; `profile` is today's.

        Raises `DaybookError` for a batch without a manifest, which was not delivered.
        """
        if batch.manifest is None:
            raise DaybookError(f"batch {batch.id} has no manifest, so no file of its own")
        profile = profile_of(batch, batch.manifest, profile)
        # What a profile requires decides which entries go into a file. Those in one are printed
        # as they are now, so that a value missing since shows as a cell that differs.
        profile = replace(profile, require=frozenset(), years=(1, 9999))
        self._of_file = profile
        self.profile = text_form(profile)
        """The profile as whose CSV the rows are rendered."""
        self.day = (
            None if batch.key.batch_date is None else date.fromisoformat(batch.key.batch_date)
        )
        self.manifest: ManifestRef = batch.manifest
        self._database = database
        self._parts = database[manifests.COLLECTION]
        self._source = EntrySource(database, profile)
        self._renderer = Renderer(profile, self.day)
        rejected = rejected_of(self._parts, batch.doc)
        self._rejected = {_key(item.queue_id, item.entry_id) for item in rejected}

    def header(self) -> bytes:
        return self._renderer.header()

    def parts(self) -> Iterator[Part]:
        """The parts, with only the items in the file.

        Raises `DaybookError` when a part is missing or was altered.
        """
        return map(self.delivered, manifests.read(self._parts, self.manifest))

    def delivered(self, part: Part) -> Part:
        """The part without the items that were rejected when the file was made."""
        pairs = [
            pair
            for pair in zip(part.queue_ids, part.entry_ids, strict=True)
            if _key(*pair) not in self._rejected
        ]
        return Part(
            number=part.number,
            queue_ids=[queue_id for queue_id, _ in pairs],
            entry_ids=[entry_id for _, entry_id in pairs],
            duplicates={},
        )

    def render(self, part: Part) -> bytes:
        """The part's rows; entries that can no longer be printed are left out and counted."""
        return self._renderer.part(part, self._source.read(part.entry_ids))

    def file(self) -> Iterator[bytes]:
        """The whole file that the manifest's entries would give now. Raises `DaybookError`."""
        item_count = self.manifest.item_count
        with FileRenderer(self._of_file, self.day, item_count=item_count) as file:
            yield file.header()
            for part in self.parts():
                yield file.part(part, self._source.read(part.entry_ids))
            yield from file.end()

    def render_each(self, part: Part) -> Iterator[tuple[Any, bytes]]:
        """Each entry of the part with its rows, empty if it can no longer be printed."""
        entries = self._source.read(part.entry_ids).find(part.entry_ids)
        for at, entry in enumerate(entries):
            yield (
                part.entry_ids[at],
                self._renderer.part(slice_of(part, at, at + 1), _SingleEntry(entry)),
            )

    def references(self, entry_ids: Iterable[Any]) -> dict[Hashable, str]:
        """`hashable` ID → the entry's reference as it is now; entries without one are left out."""
        return references_of(self._database, self.profile, entry_ids)

    def figures(self) -> Figures:
        """Figures of everything rendered; `rejected` are entries that have changed since."""
        return self._renderer.figures()


def _key(queue_id: Any, entry_id: Any) -> tuple[Hashable, Hashable]:
    # In a manual export entries have no queue item; in a day two items may have one entry.
    return hashable(queue_id), hashable(entry_id)


class _SingleEntry:
    """A page of a single entry."""

    def __init__(self, entry: Mapping[str, Any] | None) -> None:
        self._entry = entry

    def find(self, entry_ids: Sequence[Any]) -> list[Mapping[str, Any] | None]:  # noqa: ARG002  # the page's form
        return [self._entry]

    def why_missing(self, entry_id: Any) -> RejectedValue:
        return missing(entry_id)


def slice_of(part: Part, first: int, end: int) -> Part:
    """The items from position `first` up to, but not including, `end`."""
    return Part(
        number=part.number,
        queue_ids=part.queue_ids[first:end],
        entry_ids=part.entry_ids[first:end],
        duplicates={},
    )
