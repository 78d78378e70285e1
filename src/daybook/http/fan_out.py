"""One call for all profiles: a task for each, or one after the other without a queue.

A task is the request that the caller would have made for that profile alone, sent to the same
route. So nothing about a first attempt differs between the two, and a task that is delivered
twice is a repeated request.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import flask
from pymongo.errors import PyMongoError

from daybook import log
from daybook.app import App
from daybook.cloud.tasks.tasks import CloudTasks
from daybook.display import scrubbed
from daybook.errors import DatabaseError, DaybookError, RunTimeout, TaskError
from daybook.http.responses import json_response

THREADS = 20
"""Tasks that are created at the same time."""
_ACCEPTED, _UNAVAILABLE = 202, 503


@dataclass(frozen=True, kw_only=True)
class Call:
    """One profile's request, and the function that answers it here if there is no queue."""

    profile: str
    body: Mapping[str, Any]
    here: Callable[[], flask.Response]


def fan_out(
    app: App,
    path: str,
    calls: Sequence[Call],
    *,
    trigger: datetime,
    headers: Mapping[str, str] | None = None,
) -> flask.Response:
    """Have each call made, and answer which ones are.

    202 once every call is a task, or has been answered here. 503 asks the sender to repeat the
    request, since some calls are not made: the tasks that exist are not created again.
    `trigger` names the request: a repeated one has the same.
    """
    if app.cloud_tasks is None:
        return one_after_the_other(app, calls)
    queue, now = app.cloud_tasks, app.now()

    def create(call: Call) -> TaskError | None:
        return _create(queue, path, call, trigger=trigger, now=now, headers=headers)

    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        errors = list(threads.map(create, calls))
    made = [call.profile for call, error in zip(calls, errors, strict=True) if error is None]
    missing = [call.profile for call, error in zip(calls, errors, strict=True) if error is not None]
    return _answer(made, missing, error=next(filter(None, errors), None))


def _create(
    queue: CloudTasks,
    path: str,
    call: Call,
    *,
    trigger: datetime,
    now: datetime,
    headers: Mapping[str, str] | None,
) -> TaskError | None:
    body = json.dumps(call.body, sort_keys=True)
    name = hashlib.sha256("\n".join([path, body, trigger.isoformat()]).encode()).hexdigest()
    try:
        queue.create(name=name, body=call.body, due=now, path=path, headers=headers)
    except TaskError as error:
        return error
    return None


def one_after_the_other(app: App, calls: Sequence[Call]) -> flask.Response:
    """Answer each call here; 202, or the highest status of those that failed."""
    until = time.monotonic() + app.settings.run_deadline_seconds
    answers: list[flask.Response] = []
    for call in calls:
        if app.shutdown.requested() or time.monotonic() > until:
            break
        with log.bound(profile=call.profile):
            answers.append(_answered(call))
    made, missing = calls[: len(answers)], calls[len(answers) :]
    return _answer(
        [call.profile for call in made],
        [call.profile for call in missing],
        error=RunTimeout("the call ended before these profiles' turn") if missing else None,
        answers=answers,
    )


def _answered(call: Call) -> flask.Response:
    """The answer of one profile, whose failure must not keep the others from their turn."""
    try:
        return call.here()
    except DaybookError as error:
        return _failed(call, error)
    except PyMongoError as error:
        return _failed(call, DatabaseError.of(f"profile {call.profile}", error))


def _failed(call: Call, error: DaybookError) -> flask.Response:
    log.event(logging.ERROR, "request_failed", str(error), error_type=error.type)
    failure = {"type": error.type, "message": scrubbed(str(error))}
    return json_response(500, {"status": "failed", "profile": call.profile, "error": failure})


def _answer(
    made: Sequence[str],
    missing: Sequence[str],
    *,
    error: DaybookError | None,
    answers: Sequence[flask.Response] | None = None,
) -> flask.Response:
    doc: dict[str, Any] = {"status": "fanned_out", "profiles": list(made)}
    status = _ACCEPTED
    if answers is not None:
        doc["answers"] = [answer.get_json() for answer in answers]
        status = max([status, *(answer.status_code for answer in answers)])
    if error is not None:
        doc["missing"] = list(missing)
        doc["error"] = {"type": error.type, "message": scrubbed(str(error))}
        status = _UNAVAILABLE
    return json_response(status, doc)
