"""What follows a commit: its file is published, and the items that it left are marked.

Items in the file are completed two parts at a time, outside of any transaction. Then a transaction
under the fence marks what is left of the part, such as its rejected items, and closes it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from datetime import datetime
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook import log
from daybook.errors import (
    DatabaseError,
    DestinationError,
    DestinationRefused,
)
from daybook.export.batch import batches, transitions
from daybook.export.batch.batch import Batch, profile_of, rejected_of
from daybook.export.context import Context
from daybook.export.model.budgets import wait_for
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.notice import AlertEvent
from daybook.export.model.part import Part
from daybook.export.queue import manifest as manifests
from daybook.export.queue.mark import Delivery, complete_queued
from daybook.export.recording import mark

COMPLETED_AT_ONCE = 2
"""Parts whose items are completed at the same time, while transactions close those before."""


def finish_marking(ctx: Context) -> None:
    """Publish the file and mark the items of every batch that has ended but is not yet marked.

    Raises `DestinationError` when a committed file cannot be given its name, and
    `DatabaseError` when items cannot be marked.
    """
    for batch in batches.unmarked(ctx.batches, ctx.job.key):
        _publish(ctx, batch)
        with log.bound(step="mark"):
            try:
                _mark_parts(ctx, batch)
            except PyMongoError as error:
                failure = DatabaseError.of(f"marking the items of {_name(batch)}", error)
                _alert_unmarked(ctx, batch, failure)
                raise failure from error


def _mark_parts(ctx: Context, batch: Batch) -> None:
    """Mark the parts that are not marked yet, then record that all of them are.

    Safe to repeat after a crash. Raises `Interrupted` between two parts when the process
    has to end.
    """
    database, now = ctx.database, ctx.now()
    assert batch.marking is not None  # noqa: S101  (it is unmarked)
    delivery = Delivery.of_batch(
        batch.doc,
        profile=profile_of(batch, batch.marking, ctx.exporter.profile),
        rejected=rejected_of(ctx.manifests, batch.doc),
    )
    parts = {
        doc["_id"]: delivery.closing_field in doc
        for doc in manifests.PARTS.find(
            database, prefix=delivery.manifest.prefix, projection={delivery.closing_field: 1}
        )
    }
    # Without a file nothing is lost with a missing part: its items are still queued.
    dispensable = delivery.file_id is None
    unmarked_parts = [
        number
        for number in range(delivery.manifest.part_count)
        if not parts.get(delivery.manifest.part_id(number), dispensable)
    ]
    with closing(_completed_ahead(ctx, delivery, unmarked_parts, now)) as completed_parts:
        for part, completed in completed_parts:

            def work(
                session: ClientSession, part: Part = part, completed: int | None = completed
            ) -> None:
                mark(
                    database,
                    session,
                    delivery,
                    part,
                    record_id=batch.doc["recordId"],
                    now=now,
                    completed=completed,
                )

            ctx.slot.transaction(work)
    if batch.state is BatchState.COMMITTED:
        _alert_discrepancies(ctx, batch)
    ctx.slot.transaction(
        lambda session: transitions.record_marked(
            database[batches.COLLECTION], session, batch.id, now=now
        )
    )


def _completed_ahead(
    ctx: Context, delivery: Delivery, numbers: Sequence[int], now: datetime
) -> Generator[tuple[Part, int | None], None, None]:
    """The parts, each with how many of its items `complete_queued` has completed.

    It is None where that is not to be tried, or has failed, or its outcome is unknown: then the
    transaction marks all of them. Raises `Interrupted` when the process has to end.
    """
    stored = ctx.database[manifests.COLLECTION]
    ahead: deque[tuple[Part, Future[int | None] | None]] = deque()
    pool = ThreadPoolExecutor(max_workers=COMPLETED_AT_ONCE, thread_name_prefix="mark")
    try:
        for number in numbers:
            ctx.stop_token.check_process()
            part = next(manifests.read(stored, delivery.manifest, first=number))
            completing = None
            if delivery.file_id is not None and delivery.batch_date is not None:
                completing = pool.submit(
                    copy_context().run, _complete, ctx.database, delivery, part, now
                )
            ahead.append((part, completing))
            if len(ahead) > COMPLETED_AT_ONCE:
                yield _awaited(ctx, *ahead.popleft())
        while ahead:
            ctx.stop_token.check_process()
            yield _awaited(ctx, *ahead.popleft())
    finally:
        # An update that hangs must not hold up a run that has to end. It may take effect later.
        pool.shutdown(wait=False, cancel_futures=True)


def _complete(
    database: Database[dict[str, Any]], delivery: Delivery, part: Part, now: datetime
) -> int | None:
    try:
        return complete_queued(database, delivery, part, now=now)
    except PyMongoError:
        # The transaction makes the same update. It is repeated after a failover, and raises what
        # MongoDB refuses in the thread in which the client's monitor has noted the collection.
        return None


def _awaited(
    ctx: Context, part: Part, completing: Future[int | None] | None
) -> tuple[Part, int | None]:
    if completing is None:
        return part, None
    wait_for(completing, check=ctx.stop_token.check_process)
    return part, completing.result()


def _name(batch: Batch) -> str:
    if batch.state is BatchState.EMPTY:
        return f"{batch.key.batch_date}, which has no file since all of them are rejected"
    return f"{batch.doc['filename']}, which is delivered"


def _alert_unmarked(ctx: Context, batch: Batch, error: DatabaseError) -> None:
    """Alert, once, that the items cannot be marked until an operator acts."""
    if not error.permanent or batch.doc.get("markingAlertedAt") is not None:
        return
    ctx.alert(
        AlertEvent.MARKING_REFUSED,
        logging.CRITICAL,
        batch,
        filename=batch.doc.get("filename"),
        file_id=batch.doc.get("fileId"),
        link=batch.doc.get("webViewLink"),
        error_type=error.type,
        error=str(error),
    )
    if ctx.exporter.reaches_operator:
        batches.record_marking_alert(ctx.batches, batch, now=ctx.now())


def _publish(ctx: Context, batch: Batch) -> None:
    hidden_at = batch.doc.get("hiddenAt")
    if hidden_at is None:
        return
    try:
        if hidden_at != ctx.destination.identity:
            raise DestinationRefused(
                f"the file is hidden in {hidden_at}, and DAYBOOK_DESTINATION now names "
                "another place: set it back until the file is published"
            )
        ctx.destination.publish(batch.doc["fileId"], batch.doc["filename"])
    except DestinationError as error:
        if batch.doc.get("publishAlertedAt") is None:  # later failures are only logged
            ctx.alert(
                AlertEvent.PUBLISH_FAILED,
                logging.CRITICAL,
                batch,
                filename=batch.doc["filename"],
                file_id=batch.doc["fileId"],
                error=str(error),
            )
            if ctx.exporter.reaches_operator:
                batches.record_publish_alert(ctx.batches, batch, now=ctx.now())
        raise


def _alert_discrepancies(ctx: Context, batch: Batch) -> None:
    record = ctx.logs.find_one({"_id": batch.doc["recordId"]})
    metadata = {} if record is None else record["metadata"]
    gone = metadata.get("goneCount", 0)
    elsewhere = metadata.get("completedElsewhereCount", 0)
    if gone or elsewhere:
        ctx.alert(
            AlertEvent.ITEMS_CHANGED_AFTER_SEAL,
            logging.CRITICAL,
            batch,
            filename=metadata["filename"],
            file_id=metadata["fileId"],
            gone_count=gone,
            completed_elsewhere_count=elsewhere,
        )
