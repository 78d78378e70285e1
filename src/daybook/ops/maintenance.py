"""Daily maintenance: the sweep, and expiring invites, stored answers and the unused queue."""

from __future__ import annotations

import logging
from datetime import timedelta

from daybook import log
from daybook.cloud.tasks.tasks import CloudTasks
from daybook.export.context import Exporter
from daybook.export.operations.sweep import Sweep, sweep
from daybook.wallets import invites
from daybook.wallets.idempotency import remove_answers_before


def maintain(exporter: Exporter, *, queue: CloudTasks | None, answer_days: int | None) -> Sweep:
    """Sweep the profile's slots, mark expired invites, remove answers older than `answer_days`.

    Cloud Tasks may remove a queue that is not used for 30 days, so that the first retry would
    not find it; checking the queue counts as use (https://cloud.google.com/tasks/docs/queues-and-limits).
    """
    found = sweep(exporter)
    now = exporter.clock()
    invites.mark_expired(exporter.database, now)
    checked = None if queue is None else queue.check()
    if checked is not None and not checked.ok:
        log.event(logging.WARNING, "queue_unusable", checked.detail)
    if answer_days is not None:
        # Last, since the database user may lack the rights.
        remove_answers_before(exporter.database, now - timedelta(days=answer_days), now=now)
    return found
