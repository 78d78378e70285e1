"""Deliveries: the HTTP requests that the stand-in makes, as Cloud Tasks makes them.

https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import requests

from tests.emulators.tasks.items import Task
from tests.emulators.tasks.rules import Oidc
from tests.emulators.tasks.world import Attempt, World

_REPLACED = ("host", "content-length", "user-agent", "x-google-", "x-appengine-", "x-cloudtasks-")


class Copies(StrEnum):
    """How often one delivery is made: Cloud Tasks promises at least once."""

    NONE = "none"  # once
    AFTER = "after"  # a second time, after the first was answered
    TOGETHER = "together"  # twice at the same time


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One request that was made, and what came of it."""

    name: str
    """The task's full name; `id` is its last part."""
    id: str
    when: datetime
    """By the stand-in's clock, when it was sent."""
    status: int | None
    """None when no answer came, for the reason in `problem`."""
    content: bytes
    """Of the answer."""
    retry_count: int
    copy: bool
    """Whether it was one more than Cloud Tasks owed: its outcome changed nothing."""
    problem: str | None = None

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Courier:
    """Makes deliveries over HTTP; each is kept in `deliveries` once it has ended."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._changed = threading.Lock()
        self.deliveries: list[Delivery] = []
        self.copies = Copies.NONE
        self.answer_timeout_seconds: float | None = None

    def deliver(self, task: Task) -> Delivery:
        """Deliver now, due or not, with the copies that are set; returns the delivery itself."""
        return self._deliver(self._world.begin(task))

    def deliver_next(self) -> Delivery | None:
        """Deliver what is due first; None when nothing is due."""
        attempt = self._world.begin_next()
        return self._deliver(attempt) if attempt else None

    def _deliver(self, attempt: Attempt) -> Delivery:
        if self.copies is Copies.NONE:
            return self._send(attempt)
        copy = self._world.begin(attempt.task, copy=True)
        if self.copies is Copies.TOGETHER:
            other = _in_background(lambda: self._send(copy))
            made = self._send(attempt)
            other.result()
        else:
            made = self._send(attempt)
            self._send(copy)
        return made

    def deliver_async(self, task: Task) -> Future[Delivery]:
        """Begin a delivery at once, in a thread of its own."""
        attempt = self._world.begin(task)
        return _in_background(lambda: self._send(attempt))

    def _send(self, attempt: Attempt) -> Delivery:
        call = attempt.task.call
        timeout = self.answer_timeout_seconds or attempt.task.deadline.total_seconds()
        status, content, problem, timed_out = None, b"", None, False
        with requests.Session() as session:
            session.trust_env = False
            try:
                answer = session.request(
                    call.method,
                    call.url,
                    headers=_headers(attempt),
                    data=call.body,
                    timeout=timeout,
                    allow_redirects=False,
                )
                status, content = answer.status_code, answer.content
            except requests.Timeout:
                problem, timed_out = "DEADLINE_EXCEEDED", True
            except requests.RequestException as error:
                problem = f"UNAVAILABLE: {type(error).__name__}"
        self._world.end(attempt, status, timed_out=timed_out)
        made = Delivery(
            name=attempt.task.name,
            id=attempt.task.id,
            when=attempt.when,
            status=status,
            content=content,
            retry_count=attempt.retry_count,
            copy=not attempt.counts,
            problem=problem,
        )
        with self._changed:
            self.deliveries.append(made)
        return made


def _headers(attempt: Attempt) -> dict[str, str]:
    task = attempt.task
    found = {
        name: value
        for name, value in task.call.headers.items()
        if not name.lower().startswith(_REPLACED)
    }
    if task.call.oidc is not None:
        found = {name: value for name, value in found.items() if name.lower() != "authorization"}
        found["Authorization"] = f"Bearer {_token(task.call.oidc, attempt.when)}"
    found |= {
        "User-Agent": "Google-Cloud-Tasks",
        "X-CloudTasks-QueueName": task.queue.short_name,
        "X-CloudTasks-TaskName": task.id,
        "X-CloudTasks-TaskRetryCount": str(attempt.retry_count),
        "X-CloudTasks-TaskExecutionCount": str(attempt.handled_count),
        "X-CloudTasks-TaskETA": f"{attempt.eta.timestamp():.6f}",
    }
    if attempt.previous_status is not None:
        found["X-CloudTasks-TaskPreviousResponse"] = str(attempt.previous_status)
    return found


def _token(oidc: Oidc, now: datetime) -> str:
    """An ID token with Google's claims and no signature.

    https://cloud.google.com/docs/authentication/token-types#id
    """
    issued = int(now.timestamp())
    claims = {
        "iss": "https://accounts.google.com",
        "aud": oidc.audience,
        "email": oidc.email,
        "email_verified": True,
        "azp": "100000000000000000000",
        "sub": "100000000000000000000",
        "iat": issued,
        "exp": issued + 3600,
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), ""])


def _in_background(send: Callable[[], Delivery]) -> Future[Delivery]:
    outcome: Future[Delivery] = Future()

    def run() -> None:
        try:
            outcome.set_result(send())
        except BaseException as error:  # noqa: BLE001  - raised again by the waiting thread
            outcome.set_exception(error)

    # A daemon, unlike an executor's: a target that hangs must not keep the tests from ending.
    threading.Thread(target=run, name="cloud tasks delivery", daemon=True).start()
    return outcome
