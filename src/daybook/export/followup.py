"""Following up: the call that has to come after a run is asked for, once the slot is free."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from daybook import log
from daybook.errors import TaskError
from daybook.export.batch.batch import Batch
from daybook.export.context import Exporter, Job
from daybook.export.model.lifecycle import attempt_to_recheck
from daybook.export.model.task import Task, TaskKind, TaskQueue
from daybook.export.outcome import Outcome
from daybook.export.slot.lease import lease_of
from daybook.export.slot.slot import COLLECTION
from daybook.text.scrub import scrubbed

AFTER_LEASE = timedelta(seconds=5)
"""How long after a lease could end somebody looks whether it did."""


PAUSE = timedelta(seconds=30)
"""How long somebody waits who gives way to a day that nobody works at right now."""


def follow_up(exporter: Exporter, job: Job, outcome: Outcome) -> Outcome:
    """Create the task that the outcome calls for, if any; again, if it may be missing.

    Its name makes repeating it harmless. When it cannot be created the answer says so by
    503, so that whoever called calls again.
    """
    if exporter.tasks is None or outcome.batch is None:
        return outcome
    task = outcome.pending
    if outcome.needs_recheck:
        task = _recheck_task(exporter, job, outcome.batch)
    if task is None:
        return outcome
    try:
        create(exporter.tasks, task, batch_id=outcome.batch_id)
    except TaskError as error:
        return replace(
            outcome, task_missing=True, error={"type": error.type, "message": scrubbed(str(error))}
        )
    return outcome


def create(queue: TaskQueue, task: Task, *, batch_id: str | None = None) -> None:
    """Ask for the call, and log how that went. Raises `TaskError`."""
    with log.bound(
        profile=task.key.profile,
        batch_date=task.key.batch_date,
        batch_id=batch_id,
        attempt=task.attempt,
        fence=task.fence,
        step="follow_up",
    ):
        fields: dict[str, Any] = {"kind": task.kind.value, "due": task.due}
        try:
            queue.create(task)
        except TaskError as error:
            message = f"The {task.kind.value} task is not in the queue: {error}"
            log.event(logging.ERROR, "task_not_created", message, **fields)
            raise
        message = f"A {task.kind.value} task is due at {task.due.isoformat()}."
        log.event(logging.INFO, "task_created", message, **fields)


def _recheck_task(exporter: Exporter, job: Job, batch: Batch) -> Task | None:
    """A look at what became of the run that holds the slot, when its lease could be over.

    It is about the attempt as it stood before the slot was refused: were it read now, the
    run might have failed meanwhile, and the look would begin its retry too early.
    """
    lease = lease_of(exporter.database[COLLECTION], job.key.slot_id)
    if lease is None:
        return None
    return Task(
        key=job.key,
        kind=TaskKind.RECHECK,
        generation=batch.generation,
        attempt=attempt_to_recheck(attempt=batch.attempt, ended_attempt=batch.ended_attempt),
        fence=lease.fence,
        due=exporter.clock() + (lease.left + AFTER_LEASE if lease.left > timedelta() else PAUSE),
        after=job.task_name,
    )
