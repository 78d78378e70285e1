"""A stand-in for Cloud Tasks, REST version 2, that tests start on this machine.

    with TasksEmulator() as tasks:                  # 127.0.0.1, any free port
        tasks.url                                   # "http://127.0.0.1:40123/"
        tasks.queue_name                            # "projects/…/locations/…/queues/…"
        tasks.fault("answer_lost", on="create")
        ...                                         # something creates a task
        tasks.run_until(tasks.now() + timedelta(minutes=5))
        tasks.deliveries[-1].status

It is written from Google's published rules (`rules.py`, `queue.py`, `delivery.py`
name the pages) and refuses what Cloud Tasks refuses. Time moves only when a test moves it;
deliveries are real HTTP requests, made only when a test asks for them.

Where the documents are silent or disagree, or Google differs:

- A name stays taken for 24 hours after its task has gone (`names_kept_for`): "up to 24 hours"
  in the present reference, "about one hour" in older ones.
- A task has 100 KB at most (`most_task_bytes`), as `tasks.create` says; the page of quotas
  says 1 MiB.
- With an OIDC token the URL has to be https, which has been observed; not so for this machine.
- 301 to 308 are failures like others; Google may follow them.
- A retry carries `X-CloudTasks-TaskPreviousResponse` when there was an answer.
  `X-CloudTasks-TaskRetryReason` is left out: what it may say is not published.
- The ID token has Google's claims but no signature.
- Left out: rate limits and slowing down, `Retry-After`, the retention of 31 days, App Engine
  tasks, OAuth tokens, task-level retries, `fields`, and all methods but `tasks.create`, `get`,
  `list`, `delete` and `queues.get`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

from tests.emulators.drive.faults import Fault, FaultKind, FaultPlan
from tests.emulators.drive.log import LoggedRequest, RequestLog
from tests.emulators.stand_in import StandIn
from tests.emulators.tasks.delivery import Copies, Courier, Delivery
from tests.emulators.tasks.http import Handler
from tests.emulators.tasks.items import Task, TaskView
from tests.emulators.tasks.queue import Queue, RetryConfig
from tests.emulators.tasks.routes import OPERATIONS
from tests.emulators.tasks.world import Clock, World

QUEUE = "projects/acme-books/locations/asia-southeast1/queues/daybook-retries"

_FAULTS = frozenset(
    {
        FaultKind.ANSWER_LOST,
        FaultKind.CUT_BEFORE,
        FaultKind.DELAY_BEFORE,
        FaultKind.DELAY_AFTER,
        FaultKind.HOLD_BEFORE,
        FaultKind.HOLD_AFTER,
        FaultKind.STATUS,
        FaultKind.HTML_PAGE,
        FaultKind.TRUNCATED_JSON,
        FaultKind.EMPTY_JSON,
    }
)


class TasksEmulator(StandIn):
    """Cloud Tasks on 127.0.0.1, with the queues that are given and a clock of its own.

    Leaving the `with` block raises what went wrong inside the stand-in or in a hook.
    """

    def __init__(
        self,
        *,
        starts_at: datetime | None = None,
        queues: Sequence[str] = (QUEUE,),
        retry: RetryConfig | None = None,
        port: int = 0,
    ) -> None:
        self.now = Clock(starts_at or datetime.now(UTC))
        """Tells the stand-in's time; may serve as the clock of what is tested."""
        retry = retry or RetryConfig()
        self.world = World(self.now, [Queue(name=name, retry=retry) for name in queues])
        self.courier = Courier(self.world)
        self.faults = FaultPlan()
        self.log = RequestLog()
        self.require_auth = False
        """Whether a request without a token gets 401."""
        self.down: bool | str = False
        """True answers everything with 503, "cut" cuts every connection."""
        super().__init__(Handler, port)

    # Queues and what they let happen

    @property
    def queue_name(self) -> str:
        """The (first) queue's full name."""
        return self.queue().name

    def queue(self, name: str | None = None) -> Queue:
        """A queue, to read or to set its `state` and `retry`; the first unless named."""
        return self.world.queues[name] if name else next(iter(self.world.queues.values()))

    @property
    def denied(self) -> set[str]:
        """Permissions that callers lack, such as "cloudtasks.tasks.create"."""
        return self.world.denied

    def let_act_as(self, *accounts: str) -> None:
        """From now on callers may act as these service accounts only."""
        self.world.usable_accounts = set(accounts)

    @property
    def names_kept_for(self) -> timedelta:
        """How long a name stays taken after its task has gone."""
        return self.world.names_kept_for

    @names_kept_for.setter
    def names_kept_for(self, span: timedelta) -> None:
        self.world.names_kept_for = span

    @property
    def copies(self) -> Copies:
        """How often each delivery is made; set it to have duplicates."""
        return self.courier.copies

    @copies.setter
    def copies(self, copies: Copies | str) -> None:
        self.courier.copies = Copies(copies)

    @property
    def answer_timeout_seconds(self) -> float | None:
        """Real seconds to wait for a target in place of the task's deadline, if set.

        On the stand-in's clock the deadline has passed all the same.
        """
        return self.courier.answer_timeout_seconds

    @answer_timeout_seconds.setter
    def answer_timeout_seconds(self, seconds: float | None) -> None:
        self.courier.answer_timeout_seconds = seconds

    # Time and deliveries

    def advance(self, by: timedelta) -> None:
        """Let the stand-in's time jump ahead; delivers nothing."""
        self.now.advance(by)

    def advance_to(self, when: datetime) -> None:
        """Let time jump to a moment, unless it has passed; delivers nothing."""
        self.now.advance_to(when)

    def run_due(self) -> list[Delivery]:
        """Deliver what is due by now, one after the other, until nothing is."""
        made = []
        while (delivery := self.courier.deliver_next()) is not None:
            made.append(delivery)
        return made

    def run_until(self, when: datetime) -> list[Delivery]:
        """Let time pass: deliver each task at its schedule time, new and failed ones too."""
        made = self.run_due()
        while (task := self.world.next_due()) is not None and task.schedule_time <= when:
            self.now.advance_to(task.schedule_time)
            made += self.run_due()
        self.now.advance_to(when)
        return made

    def run_next(self) -> Delivery | None:
        """Jump to the next schedule time and deliver that task; None when there is none."""
        task = self.world.next_due()
        if task is None:
            return None
        self.now.advance_to(task.schedule_time)
        return self.courier.deliver_next()

    def deliver(self, task: str) -> Delivery:
        """Deliver a task (its id, or its full name) now, due or not.

        A pending task is dealt with as its answer demands. For one that is being delivered,
        or has gone, it is a copy that changes nothing.
        """
        return self.courier.deliver(self._known(task))

    def deliver_async(self, task: str) -> Future[Delivery]:
        """The same in a thread of its own, without the copies that `copies` asks for."""
        return self.courier.deliver_async(self._known(task))

    def _known(self, name: str) -> Task:
        with self.world.lock:
            for task in reversed(self.world.tasks.values()):
                if name in (task.id, task.name):
                    return task
        raise KeyError(f"no task {name} was ever created")

    # Faults and hooks

    def fault(
        self,
        kind: FaultKind | str,
        *,
        on: str | Sequence[str] | None = None,
        nth: int = 1,
        times: int | None = 1,
        seconds: float = 0.0,
        status: int | None = None,
        reason: str | None = None,
        message: str | None = None,
        after: bool = False,
    ) -> Fault:
        """Plan a fault for requests to the API; its `hits` tells later whether it struck.

        Kinds as in `drive.faults.FaultKind`, without those about uploads. Operations:
        create, get, list, delete, queue_get, unknown; None is any. `reason` is Google's
        name for the error ("ABORTED"), or the reason of its details ("SERVICE_DISABLED").
        """
        names = None if on is None else frozenset([on] if isinstance(on, str) else on)
        unknown = (names or frozenset()) - OPERATIONS
        if unknown or FaultKind(kind) not in _FAULTS:
            raise ValueError(f"no fault {kind} on {sorted(unknown) or 'any operation'} here")
        fault = Fault(
            kind=FaultKind(kind),
            on=names,
            nth=nth,
            times=times,
            seconds=seconds,
            status=status,
            reason=reason,
            message=message,
            after=after,
        )
        return self.faults.add(fault)

    def release(self) -> None:
        """Let the requests go that HOLD faults hold now."""
        self.faults.release()

    # Looking

    @property
    def tasks(self) -> list[TaskView]:
        """The tasks that are pending, soonest first."""
        with self.world.lock:
            return [task.view() for task in self.world.pending()]

    @property
    def created(self) -> list[TaskView]:
        """Every task as it was when it was created, in order."""
        with self.world.lock:
            return list(self.world.created)

    @property
    def dropped(self) -> list[TaskView]:
        """The tasks that were given up after too many failed deliveries."""
        with self.world.lock:
            return list(self.world.dropped)

    @property
    def deliveries(self) -> list[Delivery]:
        """Every delivery that has ended, in the order in which they did."""
        return list(self.courier.deliveries)

    @property
    def requests(self) -> list[LoggedRequest]:
        """Every request to the API, in order."""
        return self.log.all()

    def wait_for(
        self, operation: str, *, nth: int = 1, acted: bool = False, timeout_seconds: float = 30.0
    ) -> LoggedRequest:
        """Block until the nth request of an operation has arrived (or has acted)."""

        def found(requests: list[LoggedRequest]) -> list[LoggedRequest]:
            return [
                request
                for request in requests
                if request.operation == operation
                and request.nth == nth
                and (request.acted or not acted)
            ]

        return found(self.log.wait_for(lambda all_: bool(found(all_)), timeout_seconds))[0]
