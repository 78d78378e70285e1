"""Delivering: a manifest becomes the one file under the slot's ID.

Before the file is sealed, every item of the manifest must still be queued.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, Self

from pymongo.database import Database

from daybook import log
from daybook.destinations.base import DeliveredFile, NewFile
from daybook.display import number
from daybook.errors import DestinationError, IdInvalid, IdTaken, RunTimeout, TooManyRejected
from daybook.export.batch import transitions
from daybook.export.batch.batch import write_rejected
from daybook.export.context import Context
from daybook.export.model.budgets import wait_for
from daybook.export.model.figures import Figures, Rejected
from daybook.export.model.ids import hashable
from daybook.export.model.profile import FileFormat, Profile
from daybook.export.model.seal import DATE_PROPERTY, FENCE_PROPERTY, Content, ManifestRef, Seal
from daybook.export.queue import manifest as manifests
from daybook.export.queue import named_entries, plan
from daybook.export.recording import rehearse
from daybook.export.rendering.render import FileRenderer, Renderer
from daybook.export.rendering.source import EntrySource
from daybook.export.slot.state import UploadState
from daybook.export.upload.upload import RestartUpload, Upload, find_conflicting_file

MAX_REJECTED = 10_000
"""Rejected entries in a day beyond which something must be wrong upstream."""
QUIET_DAY = 100
"""Entries up to which a day may reject all of them."""

SESSIONS_PER_ATTEMPT = 3
"""Upload sessions that an attempt may open, over all of its invocations."""

CHECK_AHEAD = 20_000
"""Items left to render when the queue check begins, so that both end at about the same time."""
CHECK_FRESH_SECONDS = 5.0
"""A check that began longer than this before the seal is repeated."""


class SessionsUsedUp(DestinationError):
    """All upload sessions of the attempt have failed; the next attempt opens new ones."""


@dataclass(frozen=True, kw_only=True)
class Visible:
    """A file is visible under the slot's ID: this one, or one that took the ID first."""

    file: DeliveredFile


@dataclass(frozen=True, kw_only=True)
class AllRejected:
    """Every item of the manifest is rejected, so no file was made."""

    rejected: tuple[Rejected, ...]


class NoFile(Enum):
    """Why no file was made; the run plans again, or reports what another application did."""

    QUEUE_CHANGED = auto()  # items of the manifest left the queue before the seal
    RECORDED_ELSEWHERE = auto()  # another application recorded the day as delivered
    ID_REFUSED = auto()  # the destination says the ID is taken but shows no file under it
    ID_INVALID = auto()  # the destination no longer accepts the ID


DeliverResult = Visible | AllRejected | NoFile


def deliver(ctx: Context, manifest: ManifestRef) -> DeliverResult:
    """Render and upload the file, seal it and make it visible.

    Raises `DatabaseError`, `TooManyRejected`, `RunTimeout`, `DestinationError`, and, at a
    chunk boundary after handing the session back, `Interrupted`.
    """
    ctx.destination.check_name(ctx.job.filename)
    _ensure_id(ctx)
    resumed = _resumable(ctx, manifest)
    ended: BaseException | None = None
    while True:
        try:
            return _send(ctx, manifest, resumed)
        except IdInvalid:
            return NoFile.ID_INVALID
        except IdTaken as error:
            return _conflict(ctx, error)
        except SessionsUsedUp as error:
            raise (error if ended is None else SessionsUsedUp(f"{error}: {ended}")) from ended
        except TooManyRejected:
            if queue_changed(ctx, manifest):  # withdrawn items must not count as faulty
                return NoFile.QUEUE_CHANGED
            raise
        except RestartUpload as error:
            ended = error.__cause__
            if resumed is None:
                ctx.retry_budget.wait(
                    DestinationError(
                        f"upload of {ctx.job.filename}: the destination ended the session"
                    )
                )
            resumed = None
            ctx.slot.store_upload(None)


def _resumable(ctx: Context, manifest: ManifestRef) -> UploadState | None:
    """The session that an earlier invocation handed back, if it belongs to this file."""
    stored = ctx.slot.state.upload
    if stored is None:
        return None
    same = (
        stored.manifest_digest == manifest.digest
        and stored.filename == ctx.job.filename
        and stored.opened_fence >= manifest.fence  # not for an earlier plan of the same items
    )
    return stored if same else None


def _conflict(ctx: Context, error: IdTaken) -> DeliverResult:
    file = find_conflicting_file(ctx.destination, _file_id(ctx), ctx.retry_budget, error)
    if file is None:
        return NoFile.ID_REFUSED
    ctx.conflict_absorbed()
    return Visible(file=file)


def _ensure_id(ctx: Context) -> None:
    while ctx.slot.state.file_id is None:
        try:
            file_id = ctx.destination.new_id()
        except DestinationError as error:
            ctx.retry_budget.wait(error)
            continue
        ctx.slot.store_file_id(file_id, ctx.destination.identity)


def _send(ctx: Context, manifest: ManifestRef, resumed: UploadState | None) -> DeliverResult:
    manual = ctx.job.key.batch_date is None
    profile, item_count = ctx.exporter.profile, manifest.item_count
    with (
        FileRenderer(profile, ctx.job.day, item_count=item_count) as file,
        Upload(
            ctx.slot,
            ctx.destination,
            _new_file(ctx, manifest),
            manifest_digest=manifest.digest,
            limits=ctx.exporter.limits.upload,
            retry_budget=ctx.retry_budget,
            stop_token=ctx.stop_token,
            on_conflict=ctx.conflict_absorbed,
            before_session=partial(_count_session, ctx),
        ) as upload,
        QueueCheck(ctx, manifest) as check,
        log.bound(step="upload"),
    ):
        if resumed is not None:
            upload.resume(resumed)
        upload.write(file.header())
        renderer = file.renderer
        source = EntrySource(ctx.database, profile)
        rendered = 0
        for part, reading in source.read_ahead(manifests.read(ctx.manifests, manifest)):
            try:
                with ctx.rendering:
                    data = file.part(part, ctx.rendering.result(reading))
                    rendered += len(part.queue_ids)
            except RunTimeout as error:
                reached = f"{rendered:,} of {number(item_count, 'item')}"
                raise _too_slow(error, profile, reached, renderer.figures()) from error
            check_rejected(ctx.database, profile, renderer, manual=manual)
            upload.write(data)
            check.rendered(rendered)
            if ctx.exporter.progress is not None:
                ctx.exporter.progress(rendered, item_count)
            ctx.stop_token.check_process()
        figures = renderer.figures()
        check_rejected(ctx.database, profile, renderer, item_count=item_count, manual=manual)
        if figures.entry_count == 0 and not manual:
            if check.changed():
                return NoFile.QUEUE_CHANGED
            return AllRejected(rejected=_referenced(ctx, figures))
        # Outside the rendering's budget: an xlsx whose rows were made in time is always delivered,
        # since another attempt would only make the same rows again.
        for block in file.end():
            upload.write(block)
        content = upload.content()
        if check.changed():
            return NoFile.QUEUE_CHANGED
        seal = _seal(ctx, manifest, content, figures, opened_fence=upload.opened_fence)
        with log.bound(step="rehearse"):
            if not rehearse(ctx, seal):
                return NoFile.RECORDED_ELSEWHERE
        ctx.slot.store_seal(seal)
        delivered = upload.complete(seal)
        return NoFile.ID_REFUSED if delivered is None else Visible(file=delivered)


def _too_slow(error: RunTimeout, profile: Profile, reached: str, figures: Figures) -> RunTimeout:
    hint = "raise that setting"
    if profile.format is FileFormat.XLSX:
        hint += ', or use format = "csv", which takes a fraction of the time'
    return RunTimeout(f"{error} and reached {reached} ({number(figures.row_count, 'row')}): {hint}")


def _seal(
    ctx: Context, manifest: ManifestRef, content: Content, figures: Figures, *, opened_fence: int
) -> Seal:
    return Seal(
        batch_date=ctx.job.key.batch_date,
        manual_key=ctx.job.key.manual_key,
        filename=ctx.job.filename,
        manifest=manifest,
        content=content,
        figures=figures,
        opened_fence=opened_fence,
        sealed_at=ctx.now(),
        attempt=ctx.batch().attempt,
        rejected_id=write_rejected(
            ctx.manifests,
            _referenced(ctx, figures),
            ref=manifest,
            profile=ctx.job.key.slot_id,
            now=ctx.now(),
        ),
    )


def _referenced(ctx: Context, figures: Figures) -> tuple[Rejected, ...]:
    """The rejected items with their references, by which people look for them in the records."""
    return named_entries.rejected_with_references(
        ctx.database, ctx.exporter.profile, figures.rejected
    )


def _count_session(ctx: Context) -> None:
    """Count an upload session before it is opened, so that one lost in a crash counts as well."""
    batch = ctx.batch()
    if batch.upload_sessions >= SESSIONS_PER_ATTEMPT:
        raise SessionsUsedUp(
            f"upload of {ctx.job.filename}: attempt {batch.attempt} has opened "
            f"{batch.upload_sessions} upload sessions, and none completed"
        )
    ctx.slot.transaction(
        lambda session: transitions.count_session(ctx.batches, session, batch, now=ctx.now())
    )


def _new_file(ctx: Context, manifest: ManifestRef) -> NewFile:
    properties = {
        "daybookProfile": ctx.job.key.profile,
        "daybookBatch": manifest.batch_id,
        FENCE_PROPERTY: str(ctx.slot.fence),
    }
    if ctx.job.key.batch_date is not None:
        properties[DATE_PROPERTY] = ctx.job.key.batch_date
    return NewFile(id=_file_id(ctx), name=ctx.job.filename, properties=properties)


def _file_id(ctx: Context) -> str:
    file_id = ctx.slot.state.file_id
    assert file_id is not None  # noqa: S101  (stored by `_ensure_id`)
    return file_id


def check_rejected(
    database: Database[dict[str, Any]],
    profile: Profile,
    renderer: Renderer,
    *,
    item_count: int | None = None,
    manual: bool = False,
) -> None:
    """Raise `TooManyRejected` when so many rejected entries mean that the source is broken.

    `item_count` is the number of all items, once all have been rendered. A `manual` export
    may leave out any number of the entries requested. Duplicates count neither as rejected
    nor as items: their entries are in this file or in an earlier one.
    """
    count = len(renderer.faulty)
    limit = MAX_REJECTED
    total = ""
    if item_count is not None and not manual:
        entries = item_count - renderer.duplicate_count
        total = f" of {entries}"
        if entries > QUIET_DAY:
            limit = min(limit, entries // 2)
    if count > limit:
        first = renderer.faulty[0]
        named = named_entries.references_of(database, profile, [first.entry_id])
        entry = named_entries.called(first.entry_id, named.get(hashable(first.entry_id)))
        raise TooManyRejected(
            f"{count}{total} entries would be rejected, which is more than {MAX_REJECTED}, or more "
            f"than half of a day with more than {QUIET_DAY}; something is wrong where they come "
            f"from. The first: entry {entry}: {first.detail}"
        )


class QueueCheck:
    """Checks the items part by part, in the background while the last ones are rendered.

    Use it as a block. What leaves the queue after its part was checked counts as changed after
    the seal: it is marked all the same, listed in the record, and alerted. `CHECK_FRESH_SECONDS`
    limits that time where the upload or the formatting is slow.
    """

    def __init__(
        self, ctx: Context, manifest: ManifestRef, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ctx = ctx
        self._manifest = manifest
        self._clock = clock
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="check")
        self._running: Future[list[Any]] | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        # A query that hangs must not hold up a run that has to end.
        self._pool.shutdown(wait=False, cancel_futures=True)

    def rendered(self, count: int) -> None:
        """Begin the check once few enough items are left; `count` of them are rendered."""
        if self._running is None and self._manifest.item_count - count <= CHECK_AHEAD:
            self._running = self._begin()

    def changed(self) -> bool:
        """Whether items have left the queue. Call it before the seal is stored."""
        if self._running is None or self._clock() - self._began > CHECK_FRESH_SECONDS:
            self._running = self._begin()
        wait_for(self._running, check=self._ctx.stop_token.check_process)
        return _log_changed(self._running.result())

    def _begin(self) -> Future[list[Any]]:
        self._began = self._clock()
        return self._pool.submit(copy_context().run, _changed_items, self._ctx, self._manifest)


def queue_changed(ctx: Context, manifest: ManifestRef) -> bool:
    """Whether items of the manifest have left the queue."""
    return _log_changed(_changed_items(ctx, manifest))


def _changed_items(ctx: Context, manifest: ManifestRef) -> list[Any]:
    """The items of the first part of which any has left the queue."""
    return next(filter(None, _changed_by_part(ctx, manifest)), [])


def _changed_by_part(ctx: Context, manifest: ManifestRef) -> Iterator[list[Any]]:
    if ctx.job.key.batch_date is None:
        return  # a manual export copies its entries regardless
    for part in manifests.read(ctx.manifests, manifest):
        ctx.stop_token.check_process()
        yield plan.no_longer_queued(ctx.database, ctx.exporter.profile, part)


def _log_changed(changed: list[Any]) -> bool:
    if changed:
        log.event(
            logging.WARNING,
            "queue_changed",
            "Items left the queue while the file was being made; planning again.",
            first_queue_id=str(changed[0]),
            count=len(changed),
        )
    return bool(changed)
