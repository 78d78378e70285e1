"""Cloud Tasks: calls of this service that Google makes later.

https://cloud.google.com/tasks/docs/creating-http-target-tasks
"""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from daybook.cloud.tasks.errors import Failure
from daybook.destinations.base import Finding
from daybook.display import number
from daybook.errors import TaskError

if TYPE_CHECKING:
    from daybook.cloud.tasks.api import TasksApi

MAX_WAIT_SECONDS = 5.0
"""How long one call may take with its repeats; the last one may exceed it by a second."""
REQUEST_TIMEOUT_SECONDS = 3.0
SHORTEST_DEADLINE_SECONDS = 15.0
LONGEST_DEADLINE_SECONDS = 1800.0
_FIRST_PAUSE_SECONDS = 0.2
_LEAST_TIMEOUT_SECONDS = 1.0
RUN_PATH = "/tasks/run"


class CloudTasks:
    """One queue, `projects/P/locations/L/queues/Q`; may be used by several threads.

    Its tasks call `service_url` as `service_account` (an OIDC token for the audience
    `service_url`, both without a trailing slash), or without a token when that is None.
    A call is cut off after `dispatch_deadline_seconds`, limited to the 15 seconds to 30 minutes
    that Cloud Tasks allows. `endpoint` is another root URL for the API, which then gets no
    credentials.
    """

    def __init__(
        self,
        *,
        queue: str,
        service_url: str,
        service_account: str | None,
        endpoint: str | None,
        dispatch_deadline_seconds: float,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        request_timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> None:
        self._queue = queue
        self._service_url = service_url.rstrip("/")
        self._service_account = service_account
        self._endpoint = endpoint
        self._deadline_seconds = min(
            max(dispatch_deadline_seconds, SHORTEST_DEADLINE_SECONDS), LONGEST_DEADLINE_SECONDS
        )
        self._max_wait_seconds = max_wait_seconds
        self._request_timeout_seconds = request_timeout_seconds
        self._api: TasksApi | None = None
        self._api_lock = threading.Lock()

    def create(
        self,
        *,
        name: str,
        body: Mapping[str, Any],
        due: datetime,
        path: str = RUN_PATH,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Have `body` sent to `path` by `POST` when it is `due`, with these `headers` too.

        `due` is aware; a time that has passed means at once.

        `name` is the task's ID in the queue. A name that the queue has, or had within the last
        day, counts as created: so creating it again changes nothing, and a request whose
        response was lost is simply repeated. Raises `TaskError`, also for a `due` more than 30
        days ahead, which Cloud Tasks refuses.
        """
        if due.tzinfo is None:
            raise ValueError(f"due {due} of the task {name} has no time zone")
        task = {
            "name": f"{self._queue}/tasks/{name}",
            "scheduleTime": due.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "dispatchDeadline": f"{self._deadline_seconds:.3f}s",
            "httpRequest": self._http_request(path, body, headers or {}),
        }
        self._with_retries(
            lambda api, timeout_seconds: api.create_task(
                self._queue, task, timeout_seconds=timeout_seconds
            ),
            operation="tasks.create",
            permission="cloudtasks.tasks.create",
            role="roles/cloudtasks.enqueuer",
        )

    def check(self) -> Finding:
        """Whether the queue exists, is running, and limits its attempts. Never raises."""
        try:
            found = self._with_retries(
                lambda api, timeout_seconds: api.get_queue(
                    self._queue, timeout_seconds=timeout_seconds
                ),
                operation="queues.get",
                permission="cloudtasks.queues.get",
                role="roles/cloudtasks.viewer",
            )
        except TaskError as error:
            return _finding(str(error), ok=False)
        return _finding_of(self._queue, found or {})

    def _http_request(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        request: dict[str, Any] = {
            "url": f"{self._service_url}{path}",
            "httpMethod": "POST",
            "headers": {**headers, "Content-Type": "application/json"},
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
        }
        if self._service_account is not None:
            request["oidcToken"] = {
                "serviceAccountEmail": self._service_account,
                "audience": self._service_url,
            }
        return request

    def _with_retries(
        self,
        call: Callable[[TasksApi, float], Mapping[str, Any] | None],
        *,
        operation: str,
        permission: str,
        role: str,
    ) -> Mapping[str, Any] | None:
        """Call, with retries while the failure is transient; returns None if the task exists."""
        from daybook.cloud.tasks.api import ErrorAnswered

        until = time.monotonic() + self._max_wait_seconds
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            left_seconds = max(until - time.monotonic(), _LEAST_TIMEOUT_SECONDS)
            advice = ""
            try:
                return call(self._connected(), min(left_seconds, self._request_timeout_seconds))
            except ErrorAnswered as failure:
                if failure.refusal.says_it_exists:
                    return None
                advice = failure.refusal.advice(
                    permission=permission, role=role, service_account=self._service_account
                )
                last: Failure = failure
            except Failure as failure:
                last = failure
            pause = pause_seconds * random.uniform(0.75, 1.0)  # noqa: S311  (jitter, no secret)
            if not last.may_pass or time.monotonic() + pause >= until:
                raise TaskError(
                    f"Cloud Tasks {operation} in {self._queue}: {last}. {advice}".rstrip()
                ) from last
            time.sleep(pause)
            pause_seconds *= 2

    def _connected(self) -> TasksApi:
        # Imported at first use, because most cold starts create no task.
        from daybook.cloud.tasks.api import TasksApi

        with self._api_lock:
            if self._api is None:
                self._api = TasksApi(endpoint=self._endpoint)
            return self._api


def _finding_of(queue: str, found: Mapping[str, Any]) -> Finding:
    state = found.get("state")
    config = found.get("retryConfig")
    attempts = config.get("maxAttempts") if isinstance(config, Mapping) else None
    if state != "RUNNING":
        return _finding(
            f"{queue} is {state}: tasks are taken but not delivered. "
            f"`gcloud tasks queues resume {queue}`",
            ok=False,
        )
    if not isinstance(attempts, int) or attempts < 0:
        return _finding(
            f"{queue} delivers a task that fails again and again, for up to 31 days. "
            f"`gcloud tasks queues update {queue} --max-attempts=5`",
            ok=False,
        )
    return _finding(
        f"{queue} is RUNNING, {number(attempts, 'delivery', 'deliveries')} at most", ok=True
    )


def _finding(detail: str, *, ok: bool) -> Finding:
    return Finding(name="tasks queue", ok=ok, detail=detail)
