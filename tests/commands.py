"""What callers ask for, on an app and its default profile."""

from __future__ import annotations

from datetime import date, datetime

from daybook.app import App
from daybook.export import run
from daybook.export.batch.batch import Batch
from daybook.export.model.lifecycle import TaskCall
from daybook.export.model.notice import Receipt
from daybook.export.model.profile import BatchKey
from daybook.export.operations import dry_run, receipt, reopen
from daybook.export.operations.sweep import Sweep
from daybook.export.outcome import Outcome
from daybook.export.queue.manual import ManualRequest
from daybook.ops import maintenance


def run_day(app: App, day: date, schedule_time: datetime | None = None) -> Outcome:
    return run.run_day(app.exporter(app.profile()), day, schedule_time)


def plan_day(app: App, day: date) -> Outcome:
    return dry_run.plan_day(app.database, app.profile(), day)


def run_manual(app: App, request: ManualRequest) -> Outcome:
    return run.run_manual(app.exporter(app.profile()), request)


def run_task(app: App, key: BatchKey, call: TaskCall) -> Outcome:
    return run.run_task(app.exporter(app.profile()), key, call)


def reopen_day(app: App, day: date) -> Batch | None:
    return reopen.reopen_day(app.exporter(app.profile()), day)


def release_day(app: App, day: date) -> Batch:
    return reopen.release_day(app.exporter(app.profile()), day)


def receipt_of_day(app: App, day: date) -> Receipt:
    return receipt.receipt_of_day(app.database, app.profile(), day)


def maintain(app: App) -> Sweep:
    return maintenance.maintain(
        app.exporter(app.profile()), queue=app.cloud_tasks, answer_days=app.settings.answer_days
    )
