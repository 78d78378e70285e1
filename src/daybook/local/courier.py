"""Calls the function as Cloud Tasks does: at least once, and again if a call fails."""

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
from daybook.display import duration
from daybook.export.model.lifecycle import Task

QUEUE_NAME = "serve"
LONGEST_PAUSE = timedelta(seconds=60)
HELD_PAUSE = timedelta(seconds=5)
"""Before the next call when another run held the slot."""


@dataclass(kw_only=True)
class _Call:
    """The state of a call."""

    under_way: bool = False
    made: bool = False
    failures: int = 0
    not_before: datetime | None = None


class Courier:
    """Calls `POST /tasks/run` of the function at `url`, each call in its own thread.

    A call that got a response is not repeated, as a queue refuses the name of a task that it
    had. A call without a response, or with anything but 2xx, is repeated when it is handed over
    after a pause, which doubles from one second to a minute.
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
        """Make the call, unless it was made, is being made, or is paused."""
        with self._changing:
            call = self._calls.setdefault(task.name, _Call())
            paused = call.not_before is not None and self._clock() < call.not_before
            if call.made or call.under_way or paused or self._stopped.is_set():
                return
            call.under_way = True
        threading.Thread(
            target=self._make, args=(task, call), name=f"call-{task.name[:8]}", daemon=True
        ).start()

    def stop(self) -> None:
        """Make no further call; calls in flight end with the function, and are not logged."""
        self._stopped.set()

    def _make(self, task: Task, call: _Call) -> None:
        try:
            code, content = self._post(task, retry_count=call.failures)
            problem = None if 200 <= code < 300 else f"it answered {code}"
        except (OSError, http.client.HTTPException) as error:
            content, problem = b"", f"{type(error).__name__}: {error}"
        held = problem is None and _status(content) == "in_progress"
        pause = HELD_PAUSE if held else _pause(call.failures)
        with self._changing:
            call.under_way = False
            call.made = problem is None and not held
            call.failures += problem is not None
            call.not_before = self._clock() + pause
        if not self._stopped.is_set():
            _log_result(task, problem, pause)

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


def _pause(failures: int) -> timedelta:
    """The pause after a failed call that had `failures` failures before it."""
    return min(timedelta(seconds=2 ** min(failures, 10)), LONGEST_PAUSE)


def _status(content: bytes) -> object:
    try:
        answer = json.loads(content)
    except ValueError:
        return None
    return answer.get("status") if isinstance(answer, dict) else None


def _log_result(task: Task, problem: str | None, pause: timedelta) -> None:
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
        f"The {task.kind.value} call for {about} is made again in "
        f"{duration(pause.total_seconds())}: "
        f"{problem}",
        kind=task.kind.value,
        attempt=task.attempt,
    )
