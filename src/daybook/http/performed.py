"""Who asked for what: a record in `exportlogs` of each operation that a person requests."""

from __future__ import annotations

from datetime import date

import flask
from pymongo.errors import PyMongoError

from daybook.app import App
from daybook.errors import DatabaseError
from daybook.export.batch import export_log
from daybook.http.callers import verified_account


def performed_by(app: App, request: flask.Request) -> str:
    """The account that Cloud Run has verified; `operator` without `DAYBOOK_CALLERS`."""
    return verified_account(app.settings.callers, request) or export_log.OPERATOR


def record_request(
    app: App, request: flask.Request, operation: str, profile: str, day: date
) -> None:
    """Store who asked for it, before it is done: what cannot be recorded is not done.

    Raises `DatabaseError`.
    """
    record = export_log.requested(
        operation,
        profile=profile,
        batch_date=day.isoformat(),
        performed_by=performed_by(app, request),
        now=app.now(),
    )
    try:
        app.database[export_log.COLLECTION].insert_one(record)
    except PyMongoError as error:
        raise DatabaseError.of(f"recording the {operation} of {day}", error) from error
