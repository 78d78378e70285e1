"""`status` and `history`: the state of a day, and the latest days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from daybook.cli.command import CommandResult, app_from_env, command
from daybook.cli.day import DAY
from daybook.cli.following import described, maker, released_row, task_row
from daybook.cli.outcome import figures, rejected, row

if TYPE_CHECKING:
    from daybook.app import App
    from daybook.export.batch.batch import Batch
    from daybook.export.operations.history import Overview, SlotStatus
    from daybook.export.slot.refused_run import RefusedRun


@command("status")
@click.argument("day", type=DAY, required=False, metavar="[DATE]")
@click.option("--all", "every", is_flag=True, help="Name every rejected entry.")
def status(day: date | None, every: bool) -> CommandResult:
    """Show the state of a day.

    Shows its batch and the next call, the slot, the queue, an open circuit, and when the
    next batch is due. DATE defaults to the latest day that was due.
    """
    from daybook.cli import breakers
    from daybook.export.operations import history

    app = app_from_env()
    now = app.now()
    found = history.status(
        app.database,
        app.profile(),
        day or app.schedule.batch_date(now, schedule_time=None),
        every=every,
    )
    next_slot = app.schedule.next_slot(now)
    doc = {
        **found.to_doc(),
        "batch": None if found.batch is None else _summary(found.batch),
        "breakers": breakers.not_closed(app.database, now),
        "nextSlot": next_slot,
    }
    return CommandResult(
        doc=doc,
        lines=[
            *_batch(found.batch_date, doc["batch"]),
            *_recorded(found.recorded_elsewhere),
            *_refused(found.refused),
            *_rejected(found, every=every),
            *_next(app, found),
            _slot(found.slot),
            *map(breakers.sentence, doc["breakers"]),
            *_unclaimed(found),
            f"Queue: {found.queued} waiting. Next batch due: {next_slot.isoformat()}.",
        ],
    )


@command("history")
@click.option("--limit", type=click.IntRange(1, 1000), default=14, show_default=True)
def history(limit: int) -> CommandResult:
    """List the latest days, newest first."""
    from daybook.export.operations import history as past

    app = app_from_env()
    days = [_summary(batch) for batch in past.history(app.database, app.profile(), limit=limit)]
    lines = [_day(day) for day in days] or ["There is no batch yet."]
    return CommandResult(doc={"profile": app.profile().name, "batches": days}, lines=lines)


def _batch(day: str, batch: Mapping[str, Any] | None) -> list[str]:
    if batch is None:
        return [f"{day}: no run yet."]
    again = ", opened again" if batch["generation"] > 1 else ""
    lines = [f"{day}: {batch['state']}, {batch['attempt']} attempts{again}."]
    if batch["recordedElsewhere"]:
        lines.append(row("recorded", "by another application"))
    lines += figures(batch)
    if batch["committedAt"] is not None:
        lines.append(row("done", batch["committedAt"].isoformat(timespec="seconds")))
    if batch["unmarked"]:
        lines.append(row("marking", "unfinished; the next run or `sweep` finishes it"))
    if batch["error"]:
        lines.append(row("error", f"{batch['error']['type']}: {batch['error']['message']}"))
    if batch["continuations"]:
        lines.append(row("continued", f"{batch['continuations']} times in this attempt"))
    if _is_released(batch):
        lines.append(released_row(batch["releasedAt"]))
    return lines


def _recorded(file: Mapping[str, str | None] | None) -> list[str]:
    if file is None:
        return []
    name = file["filename"] or file["fileId"] or "a file"
    return [row("recorded", f"{name}, by another application; the next run takes that over")]


def _refused(refused: RefusedRun | None) -> list[str]:
    if refused is None:
        return []
    at = refused.last_at.isoformat(timespec="seconds")
    calls = "1 call" if refused.count == 1 else f"{refused.count} calls, the last one"
    return [row("refused", f"{calls} at {at}: {refused.type}: {refused.message}")]


def _next(app: App, found: Overview) -> list[str]:
    """The next call, if there is one, and who makes it."""
    task = None if found.batch is None else found.batch.pending
    if task is None:
        return []
    again = f"daybook run --date {found.batch_date}"
    ended = found.batch is not None and found.batch.unmarked
    return [task_row(task, ended=ended), *maker(app, again=again)]


def _summary(batch: Batch) -> dict[str, Any]:
    from daybook.export.operations.history import summary

    return {
        **summary(batch),
        "continuations": batch.continuations,
        "pendingTask": None if batch.pending is None else batch.pending.to_doc(),
        "releasedAt": batch.doc.get("releasedAt"),
        "unmarked": batch.unmarked,
    }


def _is_released(batch: Mapping[str, Any]) -> bool:
    """False once a file of the day has been found."""
    return batch["state"] == "failed" and batch["releasedAt"] is not None


def _unclaimed(found: Overview) -> list[str]:
    from daybook.export.queue.waiting import in_words

    if not found.unclaimed:
        return []
    return [f"Items in the queue that no run takes: {in_words(found.unclaimed)}."]


def _rejected(found: Overview, *, every: bool) -> list[str]:
    if found.batch is None:
        return []
    count = max(len(found.rejected), found.batch.doc.get("rejectedCount") or 0)
    return rejected(found.rejected, count, every=every)


def _slot(slot: SlotStatus | None) -> str:
    if slot is None:
        return "Slot: never taken."
    state = "free"
    if slot.held and slot.lease_expires_at is not None:
        until = slot.lease_expires_at.isoformat(timespec="seconds")
        state = f"held by {slot.lease_owner} until {until}"
    elif slot.lease_owner is not None:
        state = f"left behind by {slot.lease_owner}, free for the next run"
    text = f"Slot: {state}, fence {slot.fence}."
    if slot.file_id is not None:
        text += f" File ID {slot.file_id}, {len(slot.seals)} seals."
    return text


def _day(batch: Mapping[str, Any]) -> str:
    text = f"{batch['batchDate']}  {batch['state']:<10}"
    if batch["entryCount"] is not None:
        text += f"{batch['entryCount']:>8} entries"
    if batch["rejectedCount"]:
        text += f", {batch['rejectedCount']} rejected"
    if batch["error"]:
        text += f"  {batch['error']['type']}: {batch['error']['message']}"
    if batch["recordedElsewhere"]:
        text += "  (recorded by another application)"
    if _is_released(batch):
        text += "  (released)"
    if batch["unmarked"]:
        text += "  (not all items are marked yet)"
    if batch["pendingTask"]:
        task = batch["pendingTask"]
        due = task["due"].isoformat(timespec="seconds")
        words = described(task["kind"], attempt=task["attempt"], due=due, ended=batch["unmarked"])
        text += f"  ({words})"
    return text.rstrip()
