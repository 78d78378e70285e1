"""What a new task must be like, as the reference of Cloud Tasks v2 lays down.

https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks
https://cloud.google.com/tasks/docs/quotas
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from tests.emulators.tasks.answers import TasksError, invalid
from tests.emulators.tasks.schema import content, duration, moment

MOST_AHEAD = timedelta(days=30)
DEFAULT_DEADLINE = timedelta(minutes=10)
SHORTEST_DEADLINE, LONGEST_DEADLINE = timedelta(seconds=15), timedelta(minutes=30)
LONGEST_URL = 2083
MOST_HEADER_BYTES = 80 * 1024
MOST_TASK_BYTES = 100 * 1024

_NAME = re.compile(
    r"(projects/[A-Za-z0-9:.-]+/locations/[A-Za-z0-9-]+/queues/[A-Za-z0-9-]{1,100})"
    r"/tasks/([A-Za-z0-9_-]{1,500})"
)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, kw_only=True)
class Oidc:
    """Whose token a delivery carries, and for whom."""

    email: str
    audience: str


@dataclass(frozen=True, kw_only=True)
class HttpCall:
    """The request that a task makes."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    oidc: Oidc | None


@dataclass(frozen=True, kw_only=True)
class NewTask:
    """A task that may be created."""

    task_id: str | None
    call: HttpCall
    schedule_time: datetime
    deadline: timedelta


def new_task(
    task: Mapping[str, Any], *, parent: str, now: datetime, most_task_bytes: int
) -> NewTask:
    """Read a task that fits the schema, and refuse what breaks a rule."""
    if "appEngineHttpRequest" in task or "retryConfig" in task:
        raise TasksError(501, "The stand-in has neither App Engine tasks nor task-level retries.")
    if "httpRequest" not in task:
        raise invalid("Task.payload_type must be set to one of HttpRequest, AppEngineHttpRequest.")
    made = NewTask(
        task_id=_task_id(task["name"], parent) if task.get("name") else None,
        call=_call(task["httpRequest"]),
        schedule_time=_schedule_time(task.get("scheduleTime"), now),
        deadline=_deadline(task.get("dispatchDeadline")),
    )
    _check_size(made.call, most_task_bytes)
    return made


def _task_id(name: str, parent: str) -> str:
    found = _NAME.fullmatch(name)
    if found is None:
        raise invalid(
            'Task name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/'
            '<QUEUE_ID>/tasks/<TASK_ID>"'
        )
    if found[1] != parent:
        raise invalid(f'The task name "{name}" must lie below the queue of the request, {parent}.')
    return found[2]


def _schedule_time(value: str | None, now: datetime) -> datetime:
    if value is None:
        return now
    wanted = moment(value, "task.schedule_time")
    if wanted - now > MOST_AHEAD:
        raise invalid(
            f"The Task.scheduleTime, {value}, is too far in the future. Schedule time must be no "
            "more than 720h in the future."
        )
    return max(wanted, now)


def _deadline(value: str | None) -> timedelta:
    if value is None:
        return DEFAULT_DEADLINE
    wanted = duration(value, "task.dispatch_deadline")
    if not SHORTEST_DEADLINE <= wanted <= LONGEST_DEADLINE:
        raise invalid(f"Task.dispatchDeadline must be in the interval [15s, 30m], not {value}.")
    return wanted


def _call(request: Mapping[str, Any]) -> HttpCall:
    if "oauthToken" in request:
        raise TasksError(501, "The stand-in issues no OAuth tokens.")
    url = request.get("url", "")
    verb = request.get("httpMethod", "POST").replace("HTTP_METHOD_UNSPECIFIED", "POST")
    body = content(request["body"], "task.http_request.body") if "body" in request else None
    if body and verb not in _WITH_BODY:
        raise invalid(f"HttpRequest.body is not allowed for the HTTP method {verb}.")
    _check_url(url)
    headers = dict(request.get("headers", {}))
    if sum(len(f"{name}{value}".encode()) for name, value in headers.items()) >= MOST_HEADER_BYTES:
        raise invalid("The size of HttpRequest.headers must be less than 80KB.")
    oidc = _oidc(request["oidcToken"], url) if "oidcToken" in request else None
    return HttpCall(url=url, method=verb, headers=headers, body=body, oidc=oidc)


def _check_url(url: str) -> None:
    if not url:
        raise invalid("HttpRequest.url is required.")
    if not url.startswith(("http://", "https://")):
        raise invalid("HttpRequest.url must start with 'http://' or 'https://'.")
    try:
        host = urlsplit(url).hostname
    except ValueError as error:
        raise invalid(f"HttpRequest.url is no URL: {error}") from error
    if not host:
        raise invalid("HttpRequest.url has no host.")
    if len(url.encode()) > LONGEST_URL:
        raise invalid(f"HttpRequest.url is longer than {LONGEST_URL} characters.")


def _oidc(token: Mapping[str, str], url: str) -> Oidc:
    email = token.get("serviceAccountEmail", "")
    if not email:
        raise invalid("OidcToken.serviceAccountEmail is required.")
    if not url.startswith("https://") and not _is_this_machine(urlsplit(url).hostname or ""):
        raise invalid(
            "HttpRequest.url must start with 'https://' for request with "
            "HttpRequest.authorization_header"
        )
    return Oidc(email=email, audience=token.get("audience") or url)


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_size(call: HttpCall, most_bytes: int) -> None:
    headers = sum(len(f"{name}{value}".encode()) for name, value in call.headers.items())
    if len(call.url.encode()) + headers + len(call.body or b"") > most_bytes:
        raise invalid("Task size too large")
