"""All queues and tasks of the stand-in, and its clock. Knows nothing of HTTP."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.emulators.tasks.answers import TasksError, lacks, no_queue
from tests.emulators.tasks.items import Task, TaskView
from tests.emulators.tasks.queue import Queue
from tests.emulators.tasks.rules import MOST_TASK_BYTES, new_task

_EXISTED = (
    "The task cannot be created because a task with this name existed too recently. For more "
    "information about task de-duplication see https://cloud.google.com/tasks/docs/reference/rest/"
    "v2/projects.locations.queues.tasks/create#body.request_body.FIELDS.task."
)


class Clock:
    """The stand-in's time: it moves only when a test moves it."""

    def __init__(self, starts_at: datetime) -> None:
        if starts_at.tzinfo is None:
            raise ValueError(f"{starts_at} has no time zone")
        self._now = starts_at.astimezone(UTC)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            return self._now

    def advance(self, by: timedelta) -> None:
        if by < timedelta(0):
            raise ValueError(f"time does not go back by {-by}")
        with self._lock:
            self._now += by

    def advance_to(self, when: datetime) -> None:
        """Go on to a moment; one that has passed changes nothing."""
        with self._lock:
            self._now = max(self._now, when.astimezone(UTC))


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One delivery that has begun; later changes of the task do not touch it."""

    task: Task
    counts: bool
    """False for a copy of a delivery, whose outcome nobody waits for."""
    when: datetime
    eta: datetime
    retry_count: int
    handled_count: int
    previous_status: int | None


class World:
    """Queues and tasks; every public method holds `lock` while it works."""

    def __init__(self, clock: Clock, queues: Iterable[Queue]) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.queues = {queue.name: queue for queue in queues}
        self.tasks: dict[str, Task] = {}
        """By full name, those that have gone included, in the order of their creation."""
        self.created: list[TaskView] = []
        self.dropped: list[TaskView] = []
        self.denied: set[str] = set()
        self.usable_accounts: set[str] | None = None
        self.names_kept_for = timedelta(hours=24)
        self.most_task_bytes = MOST_TASK_BYTES

    # What the API does

    def require(self, permission: str, resource: str) -> None:
        if permission in self.denied:
            raise lacks(permission, resource)

    def queue(self, name: str) -> Queue:
        found = self.queues.get(name)
        if found is None:
            raise no_queue()
        return found

    def create(self, parent: str, body: Mapping[str, Any]) -> Task:
        """Create a task, all checks included, in one step."""
        with self.lock:
            now = self.clock()
            new = new_task(body, parent=parent, now=now, most_task_bytes=self.most_task_bytes)
            queue = self.queue(parent)
            account = new.call.oidc.email if new.call.oidc else None
            if account and self.usable_accounts is not None and account not in self.usable_accounts:
                raise lacks("iam.serviceAccounts.actAs", account)
            task_id = new.task_id or str(secrets.randbelow(10**20)).zfill(20)
            self._check_name(f"{parent}/tasks/{task_id}", now)
            task = Task(
                queue=queue,
                id=task_id,
                call=new.call,
                deadline=new.deadline,
                schedule_time=new.schedule_time,
                created=now,
            )
            # A name that became free again belongs at the end.
            self.tasks.pop(task.name, None)
            self.tasks[task.name] = task
            self.created.append(task.view())
            return task

    def _check_name(self, name: str, now: datetime) -> None:
        before = self.tasks.get(name)
        if before is None:
            return
        if before.gone_at is None:
            raise TasksError(409, "Requested entity already exists")
        if now - before.gone_at < self.names_kept_for:
            raise TasksError(409, _EXISTED)

    def task(self, name: str) -> Task:
        with self.lock:
            self.queue(name.partition("/tasks/")[0])
            found = self.tasks.get(name)
            if found is None or found.gone_at is not None:
                raise TasksError(404, f"The task {name} does not exist.")
            return found

    def pending(self, queue: str | None = None) -> list[Task]:
        """Tasks that have not gone, in the order of their schedule times."""
        with self.lock:
            found = [
                task
                for task in self.tasks.values()
                if task.gone_at is None and queue in (None, task.queue.name)
            ]
            return sorted(found, key=lambda task: task.schedule_time)

    def delete(self, name: str) -> None:
        with self.lock:
            self.task(name).gone_at = self.clock()

    # Deliveries

    def next_due(self) -> Task | None:
        """What is due first, leaving out what is under way and queues that do not run."""
        with self.lock:
            return next(
                (
                    task
                    for task in self.pending()
                    if task.queue.state == "RUNNING" and not task.in_flight
                ),
                None,
            )

    def begin_next(self) -> Attempt | None:
        """Begin the delivery of what is due first, if it is due by now."""
        with self.lock:
            task = self.next_due()
            if task is None or task.schedule_time > self.clock():
                return None
            return self.begin(task)

    def begin(self, task: Task, *, copy: bool = False) -> Attempt:
        """Note that a delivery begins. A copy, or one of a task that has gone, counts nothing."""
        with self.lock:
            counts = not (copy or task.in_flight or task.gone_at is not None)
            now = self.clock()
            attempt = Attempt(
                task=task,
                counts=counts,
                when=now,
                eta=task.schedule_time,
                retry_count=task.dispatch_count if counts else max(task.dispatch_count - 1, 0),
                handled_count=task.handled_count,
                previous_status=task.previous_status,
            )
            if counts:
                task.in_flight = True
                task.dispatch_count += 1
                task.first_dispatch = task.first_dispatch or now
                task.last_dispatch = now
            return attempt

    def end(self, attempt: Attempt, status: int | None, *, timed_out: bool) -> None:
        """Take note of how a delivery ended: remove the task, or plan the next delivery."""
        task = attempt.task
        with self.lock:
            if not attempt.counts:
                return
            task.in_flight = False
            ended = self.clock()
            if timed_out:
                ended = max(ended, attempt.when + task.deadline)
            task.previous_status = status
            if status is not None:
                task.response_count += 1
                task.handled_count += not 500 <= status < 600
            if task.gone_at is not None:
                return
            if status is not None and 200 <= status < 300:
                task.gone_at = ended
            elif task.queue.retry.gives_up(
                attempts=task.dispatch_count, age=ended - (task.first_dispatch or ended)
            ):
                task.gone_at = ended
                self.dropped.append(task.view())
            else:
                task.schedule_time = ended + task.queue.retry.backoff(task.dispatch_count)
