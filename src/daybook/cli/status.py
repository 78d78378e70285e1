"""`status` and `history`: the state of a day, and the latest days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from daybook.cli.command import (
    CommandResult,
    app_from_env,
    asks_for_details,
    command,
    takes_profile,
)
from daybook.cli.day import takes_day
from daybook.cli.following import at_once, described, maker, released_row, task_row
from daybook.cli.invocations import run_again
from daybook.cli.outcome import figures, rejected, row
from daybook.display import moment, number

if TYPE_CHECKING:
    from daybook.app import App
    from daybook.export.batch.batch import Batch
    from daybook.export.model.profile import Profile
    from daybook.export.operations.corrections import StillRejected
    from daybook.export.operations.history import DayStatus, SlotStatus
    from daybook.export.slot.refused_run import RefusedRun

_STORED = 100
"""Rejected entries that a batch itself lists; `--all` shows the others of one day."""
_FAULTS = 3


@command("status")
@takes_day(default="by default the day that the page speaks of")
@click.option("--all", "every", is_flag=True, help="Name every rejected entry.")
@click.option(
    "--rejected", "earlier", is_flag=True, help="List what is still rejected of the last 30 days."
)
@takes_profile
def status(day: date | None, every: bool, earlier: bool, profile_name: str) -> CommandResult:
    """Show the state of a day.

    Shows its batch and the next call, the slot, the queue, an open circuit, and when the
    next batch is due. Without DATE, it first says what the status page says, and shows that
    day: the latest that was due, or an earlier one that is not done.
    """
    from daybook.cli import breakers
    from daybook.export.model.profile import command as typed
    from daybook.export.operations import history

    app = app_from_env()
    profile, schedule = app.profile(profile_name), app.schedule_of(profile_name)
    now, zone = app.now(), profile.time_zone
    verdict, sentence = None, None
    if day is None:
        verdict, sentence = _verdict(app, profile_name, now)
        said = verdict["batchDate"]
        day = schedule.batch_date(now, schedule_time=None) if said is None else said
    found = history.status(app.database, profile, day, every=every)
    next_slot = schedule.next_batch(now, partial(history.is_delivered, app.database, profile))
    doc = {
        **found.to_doc(),
        "batch": None if found.batch is None else _summary(found.batch),
        "breakers": breakers.not_closed(app.database, now),
        "nextSlot": next_slot,
        **({} if verdict is None else {"verdict": verdict}),
    }
    waiting = _still_rejected(app, profile) if earlier else []
    if earlier:
        doc["stillRejected"] = [
            {
                "batchDate": one.day.isoformat(),
                "entryId": one.entry_id,
                "reference": one.reference,
                "faults": [fault.to_doc() for fault in one.faults],
            }
            for one in waiting
        ]
    return CommandResult(
        doc=doc,
        lines=[
            *([] if sentence is None else [sentence]),
            *_batch(found.batch_date, doc["batch"], zone),
            *(_attempts(doc["batch"], zone) if asks_for_details() else ()),
            *_recorded(found.recorded_elsewhere),
            *_refused(found.refused, zone),
            *_rejected(found, profile.field_names, every=every),
            *_next(app, found, profile),
            _slot(found.slot, zone),
            *(
                breakers.sentence(each, zone, profile.name, found.batch_date)
                for each in doc["breakers"]
            ),
            *_unclaimed(found),
            *(_waiting(waiting, typed("requeue", profile.name, "REFERENCE")) if earlier else []),
            f"Queue: {found.queued:,} waiting. "
            + (
                f"Next batch due: {moment(next_slot, zone)}."
                if app.configured(profile_name).enabled
                else "The profile is disabled: no batch is due."
            ),
        ],
    )


@command("history")
@click.option("--limit", type=click.IntRange(1, 1000), default=14, show_default=True)
@takes_profile
def history(limit: int, profile_name: str) -> CommandResult:
    """List the latest days, newest first."""
    from daybook.export.operations import history as past

    app = app_from_env()
    profile = app.profile(profile_name)
    days = [_summary(batch) for batch in past.history(app.database, profile, limit=limit)]
    zone = profile.time_zone
    lines = [_day(day, zone) for day in days] or ["There is no batch yet."]
    return CommandResult(doc={"profile": profile.name, "batches": days}, lines=lines)


def _verdict(app: App, profile_name: str, now: datetime) -> tuple[dict[str, Any], str]:
    """What the status page says of the profile: as its JSON has it, and its sentence."""
    from daybook.page import overview
    from daybook.page.days import ShownProfile
    from daybook.page.headline import headline
    from daybook.page.language import Tongue

    configured = app.configured(profile_name)
    schedule = configured.schedule
    shown = ShownProfile(profile=configured.profile, schedule=schedule, enabled=configured.enabled)
    found, zone = overview.verdict(app.database, shown, now), schedule.time_zone
    tongue = Tongue(language="en", zone=zone, today=now.astimezone(zone).date())
    doc = {
        "state": found.state.value,
        "batchDate": None if found.cell is None else found.cell.day,
        "lastDone": found.last_good,
    }
    return doc, headline([found], tongue).text


def _batch(day: str, batch: Mapping[str, Any] | None, zone: ZoneInfo) -> list[str]:
    if batch is None:
        return [f"{day}: no run yet."]
    again = ", opened again" if batch["generation"] > 1 else ""
    lines = [f"{day}: {batch['state']}, {number(batch['attempt'], 'attempt')}{again}."]
    if batch["recordedElsewhere"]:
        lines.append(row("recorded", "by another application"))
    lines += figures(batch)
    if batch["committedAt"] is not None:
        lines.append(row("done", moment(batch["committedAt"], zone)))
    if batch["unmarked"]:
        lines.append(row("marking", "unfinished; the next run or `sweep` finishes it"))
    if batch["error"]:
        lines.append(row("error", f"{batch['error']['type']}: {batch['error']['message']}"))
    if batch["continuations"]:
        lines.append(row("continued", f"{number(batch['continuations'], 'time')} in this attempt"))
    if _is_released(batch):
        lines.append(released_row(batch["releasedAt"], zone))
    return lines


def _attempts(batch: Mapping[str, Any] | None, zone: ZoneInfo) -> list[str]:
    return [] if batch is None else [_attempt(one, zone) for one in batch["attempts"]]


def _attempt(one: Mapping[str, Any], zone: ZoneInfo) -> str:
    began = "" if one["startedAt"] is None else f" at {moment(one['startedAt'], zone)}"
    ended = _OUTCOMES[one["outcome"]]
    if one["error"] is not None:
        ended += f": {one['error']['type']}: {one['error']['message']}"
    return row(f"attempt {one['attempt']}", f"begun{began}; {ended}")


_OUTCOMES = {
    None: "no end yet",
    "exported": "exported",
    "recorded_elsewhere": "another application had recorded the day",
    "empty": "nothing to export",
    "failed": "failed",
    "unfinished": "ended without a record",
}


def _recorded(file: Mapping[str, str | None] | None) -> list[str]:
    if file is None:
        return []
    name = file["filename"] or file["fileId"] or "a file"
    return [row("recorded", f"{name}, by another application; the next run takes that over")]


def _refused(refused: RefusedRun | None, zone: ZoneInfo) -> list[str]:
    if refused is None:
        return []
    at = moment(refused.last_at, zone)
    calls = number(refused.count, "call") + (", the last one" if refused.count > 1 else "")
    return [row("refused", f"{calls} at {at}: {refused.type}: {refused.message}")]


def _next(app: App, found: DayStatus, profile: Profile) -> list[str]:
    """The next call, if there is one, and who makes it."""
    task = None if found.batch is None else found.batch.pending
    if task is None:
        return []
    again = at_once(
        task.kind, profile.name, found.batch_date, again=run_again(profile.name, found.batch_date)
    )
    ended = found.batch is not None and found.batch.unmarked
    return [task_row(task, ended=ended, zone=profile.time_zone), *maker(app, again=again)]


def _summary(batch: Batch) -> dict[str, Any]:
    from daybook.export.batch import attempts
    from daybook.export.operations.history import summary

    return {
        **summary(batch),
        "attempts": [one.to_doc() for one in attempts.of_batch(batch.doc)],
        "continuations": batch.continuations,
        "pendingTask": None if batch.pending is None else batch.pending.to_doc(),
        "releasedAt": batch.doc.get("releasedAt"),
        "unmarked": batch.unmarked,
    }


def _is_released(batch: Mapping[str, Any]) -> bool:
    """False once a file of the day has been found."""
    return batch["state"] == "failed" and batch["releasedAt"] is not None


def _unclaimed(found: DayStatus) -> list[str]:
    from daybook.export.queue.waiting import in_words

    if not found.unclaimed:
        return []
    return [f"Items in the queue that no run takes: {in_words(found.unclaimed)}."]


def _rejected(found: DayStatus, names: Mapping[str, str], *, every: bool) -> list[str]:
    if found.batch is None:
        return []
    count = max(len(found.rejected), found.batch.doc.get("rejectedCount") or 0)
    return rejected(found.rejected, count, names, every=every)


def _still_rejected(app: App, profile: Profile) -> list[StillRejected]:
    """The entries of the last days whose items were not queued again, newest day first."""
    from daybook.export.operations import corrections, history

    days = {
        str(batch.id): date.fromisoformat(batch.key.batch_date)
        for batch in history.history(app.database, profile, limit=corrections.DAYS)
        if batch.key.batch_date is not None and batch.doc.get("rejectedCount")
    }
    return [
        entry
        for batch_id, day in days.items()
        for entry in corrections.of_batches(app.database, profile, {batch_id: day}, limit=_STORED)
        if entry.waiting
    ]


def _waiting(entries: list[StillRejected], requeue: str) -> list[str]:
    from daybook.notifications import en

    if not entries:
        return ["Still rejected: nothing of the last 30 days."]
    return [
        f"Still rejected: {number(len(entries), 'entry', 'entries')} of the last 30 days.",
        *(
            row(
                one.day.isoformat(),
                f"{one.reference or one.entry_id}: "
                f"{en.detail(one.faults[:_FAULTS], one.fault_count, one.field_names)}",
            )
            for one in entries
        ),
        row("next", f"correct each, then: {requeue}"),
    ]


def _slot(slot: SlotStatus | None, zone: ZoneInfo) -> str:
    """Fence, file ID and seals only with --verbose: operators do not need them."""
    if slot is None:
        return "Slot: never taken."
    state = "free"
    if slot.held and slot.lease_expires_at is not None:
        until = moment(slot.lease_expires_at, zone)
        state = f"held by {slot.lease_owner} until {until}"
    elif slot.lease_owner is not None:
        state = f"left behind by {slot.lease_owner}, free for the next run"
    text = f"Slot: {state}."
    if slot.seals:
        sent = number(len(slot.seals), "file")
        text += f" {sent} may be at the destination unrecorded; the next run looks."
    if asks_for_details():
        text += f" Fence {slot.fence}."
        if slot.file_id is not None:
            text += f" File ID {slot.file_id}, {number(len(slot.seals), 'seal')}."
    return text


def _day(batch: Mapping[str, Any], zone: ZoneInfo) -> str:
    text = f"{batch['batchDate']}  {batch['state']:<10}"
    if batch["entryCount"] is not None:
        text += f"{number(batch['entryCount'], 'entry', 'entries'):>16}"
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
        due = moment(task["due"], zone)
        words = described(task["kind"], attempt=task["attempt"], due=due, ended=batch["unmarked"])
        text += f"  ({words})"
    return text.rstrip()
