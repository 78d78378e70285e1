"""Makes calls of the function as Cloud Tasks makes them: at least once, again if they fail."""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from daybook import log
from daybook.export.model.task import Task

QUEUE_NAME = "serve"
LONGEST_REST = timedelta(seconds=60)
HELD_REST = timedelta(seconds=5)
"""Before the next call when another run had the slot."""


@dataclass(kw_only=True)
class _Call:
    """What became of a call so far."""

    under_way: bool = False
    made: bool = False
    failures: int = 0
    not_before: datetime | None = None


class Courier:
    """Calls `POST /tasks/run` of the function at `url`, each call in a thread of its own.

    A call that was answered is not made again, as a queue refuses the name of a task that
    it had. One that was not, or with anything but 2xx, is made again when it is handed
    over after a rest, which doubles from one second to a minute.
    """

    def __init__(
        self, url: str, *, answer_timeout_seconds: float, clock: Callable[[], datetime]
    ) -> None:
        self._address = urlsplit(url)
        self._answer_timeout_seconds = answer_timeout_seconds
        self._clock = clock
        self._calls: dict[str, _Call] = {}
        self._changing = threading.Lock()
        self._stopped = threading.Event()

    def hand_over(self, task: Task) -> None:
        """Make the call, unless it was made, is being made, or rests."""
        with self._changing:
            call = self._calls.setdefault(task.name, _Call())
            resting = call.not_before is not None and self._clock() < call.not_before
            if call.made or call.under_way or resting or self._stopped.is_set():
                return
            call.under_way = True
        threading.Thread(
            target=self._make, args=(task, call), name=f"call-{task.name[:8]}", daemon=True
        ).start()

    def stop(self) -> None:
        """Make no further call; those under way end with the function, and nobody is told."""
        self._stopped.set()

    def _make(self, task: Task, call: _Call) -> None:
        try:
            code, content = self._post(task, retry_count=call.failures)
            problem = None if 200 <= code < 300 else f"it answered {code}"
        except (OSError, http.client.HTTPException) as error:
            content, problem = b"", f"{type(error).__name__}: {error}"
        held = problem is None and _status(content) == "in_progress"
        rest = HELD_REST if held else _rest(call.failures)
        with self._changing:
            call.under_way = False
            call.made = problem is None and not held
            call.failures += problem is not None
            call.not_before = self._clock() + rest
        if not self._stopped.is_set():
            _tell(task, problem, rest)

    def _post(self, task: Task, *, retry_count: int) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            self._address.hostname or "",
            self._address.port,
            timeout=self._answer_timeout_seconds,
        )
        try:
            connection.request(
                "POST",
                "/tasks/run",
                json.dumps(task.body()).encode(),
                _headers(task, retry_count=retry_count),
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _headers(task: Task, *, retry_count: int) -> Mapping[str, str]:
    """https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler"""
    return {
        "Content-Type": "application/json",
        "X-CloudTasks-QueueName": QUEUE_NAME,
        "X-CloudTasks-TaskName": task.name,
        "X-CloudTasks-TaskRetryCount": str(retry_count),
        "X-CloudTasks-TaskETA": f"{task.due.timestamp():.6f}",
    }


def _rest(failures: int) -> timedelta:
    """After a failed call, when so many had failed before it."""
    return min(timedelta(seconds=2 ** min(failures, 10)), LONGEST_REST)


def _status(content: bytes) -> object:
    try:
        answer = json.loads(content)
    except ValueError:
        return None
    return answer.get("status") if isinstance(answer, dict) else None


def _tell(task: Task, problem: str | None, rest: timedelta) -> None:
    about = task.key.batch_date or f"manual export {task.key.manual_key}"
    if problem is None:
        log.event(
            logging.INFO,
            "follow_up_made",
            f"The {task.kind.value} call for {about} was made.",
            kind=task.kind.value,
            attempt=task.attempt,
        )
        return
    log.event(
        logging.WARNING,
        "follow_up_failed",
        f"The {task.kind.value} call for {about} is made again in {rest.total_seconds():g} s: "
        f"{problem}",
        kind=task.kind.value,
        attempt=task.attempt,
    )
