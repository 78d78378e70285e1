"""The call that follows a run that has not ended its batch: which, when, and who makes it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from daybook.cli.outcome import row
from daybook.display import moment, number
from daybook.export.model.lifecycle import TaskKind
from daybook.export.model.profile import command

if TYPE_CHECKING:
    from daybook.app import App
    from daybook.export.model.lifecycle import Task
    from daybook.export.outcome import Outcome

_WORDS = {
    "retry": "attempt {attempt} is due at {due}",
    "continuation": "attempt {attempt} resumes where it stopped, at {due}",
    "half_open": "attempt {attempt} asks the destination again, at {due}",
    "look_again": "attempt {attempt} is checked, at {due}",
}


def described(kind: str, *, attempt: int, due: str, ended: bool) -> str:
    """The next call, in words; `due` is already formatted.

    Once the day is delivered or signed off, no attempt follows: the call only finishes the rest.
    """
    if ended:
        return f"the next call finishes what is left, at {due}"
    return _WORDS[kind].format(attempt=attempt, due=due)


def task_row(task: Task, *, ended: bool, zone: ZoneInfo) -> str:
    due = moment(task.due, zone)
    words = described(task.kind.value, attempt=task.attempt, due=due, ended=ended)
    return row("next", words)


def at_once(kind: str, profile: str, day: str | None, *, again: str) -> str:
    """The command that makes the next call now: `run` only waits while the circuit is open."""
    if kind in (TaskKind.RETRY, TaskKind.HALF_OPEN) and day is not None:
        return command("retry", profile, day)
    return again


def maker(app: App, *, again: str) -> list[str]:
    """Who makes the next call, or what the operator has to do."""
    if app.cloud_tasks is not None:
        return [row("", f"Cloud Tasks makes the call; at once: {again}")]
    return [
        row("", "without DAYBOOK_TASKS_QUEUE no call follows, unless `serve` is running:"),
        row("", again),
    ]


def advice(app: App, outcome: Outcome, *, again: str) -> list[str]:
    """The lines below an outcome that say what follows; none when it is done."""
    match outcome.status.value:
        case "continued" | "retry_scheduled" | "circuit_open":
            if outcome.pending is None:
                return [row("next", f"once the cause is removed: {again}")]
            ended = outcome.delivered or outcome.signed_off
            follows = task_row(outcome.pending, ended=ended, zone=app.settings.time_zone)
            again = at_once(outcome.pending.kind, outcome.profile, outcome.batch_date, again=again)
            return [follows, *maker(app, again=again)]
        case "in_progress":
            return [row("next", f"when it has ended: {again}")]
        case "failed":
            return _after_failure(app, outcome, again=again)
        case "already_exported" if outcome.batch_date is not None:
            return _queued_since(app, outcome)
    return []


def _queued_since(app: App, outcome: Outcome) -> list[str]:
    """How many items were queued after the file was made, and are not in it."""
    from daybook.export.queue import waiting

    count = waiting.count(app.database, app.profile(outcome.profile))
    if not count:
        return []
    items = number(count, "item has", "items have")
    return [row("queue", f"{items} been queued since, for the next file")]


def _after_failure(app: App, outcome: Outcome, *, again: str) -> list[str]:
    from daybook.export.batch import batches
    from daybook.export.model.profile import BatchKey

    if outcome.batch_date is None:
        return [row("next", f"once the cause is removed: {again}")]
    key = BatchKey(profile=outcome.profile, batch_date=outcome.batch_date)
    batch = batches.find(app.database[batches.COLLECTION], key)
    released = None if batch is None else batch.doc.get("releasedAt")
    if released is not None:
        return [released_row(released, app.settings.time_zone)]
    return [
        row("next", "once the cause is removed, for a file of its own:"),
        row("", command("retry", outcome.profile, outcome.batch_date)),
        row("", "else its entries go with the next day; to close this one for good:"),
        row("", command("release", outcome.profile, outcome.batch_date)),
    ]


def released_row(at: datetime, zone: ZoneInfo) -> str:
    return row("released", f"{moment(at, zone)}; closed for good, its entries go with the next day")
