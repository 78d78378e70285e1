"""What a run has to do about its batch, and what it reports when there is nothing to do."""

from __future__ import annotations

from dataclasses import replace

from daybook.errors import DaybookError
from daybook.export.batch.batch import Batch
from daybook.export.context import Job
from daybook.export.model.lifecycle import BatchState, Next, Step, TaskKind, next_step, task_applies
from daybook.export.outcome import Outcome, Status


def applies(job: Job, batch: Batch) -> bool:
    """Whether a task that called this run, if one did, still has something to do."""
    return job.task is None or task_applies(
        job.task,
        state=batch.state,
        finished=batch.finished,
        generation=batch.generation,
        attempt=batch.attempt,
        ended_attempt=batch.ended_attempt,
    )


def decide(job: Job, batch: Batch, *, attempts: int) -> Step:
    """The next step for the batch; `attempts` is how many a batch gets."""
    if not applies(job, batch):
        return Step(next=Next.REPORT, attempt=batch.attempt)
    trigger = job.schedule_time
    return next_step(
        state=batch.state,
        attempt=batch.attempt,
        ended_attempt=batch.ended_attempt,
        continued=batch.continued,
        same_delivery=trigger is not None and batch.schedule_time == trigger,
        max_attempts=attempts,
    )


def report(batch: Batch, *, error: DaybookError | None = None) -> Outcome:
    """The outcome of a run that has nothing to do: the batch as it is stored."""
    status = _status(batch)
    # A repeated call finds out only through the recheck that the run has died.
    at_work = status is Status.IN_PROGRESS
    return replace(Outcome.of_batch(status, batch, error=error), needs_recheck=at_work)


def _status(batch: Batch) -> Status:
    match batch.state:
        case BatchState.COMMITTED:
            return Status.ALREADY_EXPORTED if batch.finished else Status.RETRY_SCHEDULED
        case BatchState.EMPTY:
            return Status.EMPTY
        case BatchState.FAILED:
            return Status.FAILED
    if batch.pending is None:
        return Status.IN_PROGRESS if batch.attempt > batch.ended_attempt else Status.RETRY_SCHEDULED
    match batch.pending.kind:
        case TaskKind.CONTINUATION:
            return Status.CONTINUED
        case TaskKind.HALF_OPEN:
            return Status.CIRCUIT_OPEN
    return Status.RETRY_SCHEDULED
