"""A task from its creation to its end, and what tests get to see of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.emulators.tasks.queue import Queue, seconds
from tests.emulators.tasks.rules import HttpCall, Oidc


@dataclass(frozen=True, kw_only=True)
class TaskView:
    """A task as it was at one moment."""

    name: str
    """In full; `id` is its last part."""
    id: str
    queue: str
    schedule_time: datetime
    """When it is to be delivered next; right after its creation: what was asked for."""
    dispatch_deadline: timedelta
    url: str
    method: str
    headers: Mapping[str, str]
    content: bytes
    oidc: Oidc | None
    dispatch_count: int

    @property
    def body(self) -> Any:
        """The content as JSON."""
        return json.loads(self.content)


@dataclass(kw_only=True)
class Task:
    """A task in the stand-in, also after it has gone."""

    queue: Queue
    id: str
    call: HttpCall
    deadline: timedelta
    schedule_time: datetime
    created: datetime
    first_dispatch: datetime | None = None
    last_dispatch: datetime | None = None
    dispatch_count: int = 0
    response_count: int = 0
    handled_count: int = 0
    """Answers that were not 5xx: what `X-CloudTasks-TaskExecutionCount` says."""
    previous_status: int | None = None
    in_flight: bool = False
    gone_at: datetime | None = None

    @property
    def name(self) -> str:
        return f"{self.queue.name}/tasks/{self.id}"

    def view(self) -> TaskView:
        return TaskView(
            name=self.name,
            id=self.id,
            queue=self.queue.name,
            schedule_time=self.schedule_time,
            dispatch_deadline=self.deadline,
            url=self.call.url,
            method=self.call.method,
            headers=dict(self.call.headers),
            content=self.call.body or b"",
            oidc=self.call.oidc,
            dispatch_count=self.dispatch_count,
        )

    def resource(self, view: str) -> dict[str, Any]:
        request: dict[str, Any] = {"url": self.call.url, "httpMethod": self.call.method}
        if self.call.headers:
            request["headers"] = dict(self.call.headers)
        if self.call.oidc is not None:
            request["oidcToken"] = {
                "serviceAccountEmail": self.call.oidc.email,
                "audience": self.call.oidc.audience,
            }
        if self.call.body and view == "FULL":
            request["body"] = base64.b64encode(self.call.body).decode()
        found: dict[str, Any] = {
            "name": self.name,
            "httpRequest": request,
            "scheduleTime": timestamp(self.schedule_time),
            "createTime": timestamp(self.created.replace(microsecond=0)),
            "dispatchDeadline": seconds(self.deadline),
            "view": "FULL" if view == "FULL" else "BASIC",
        }
        if self.dispatch_count:
            found["dispatchCount"] = self.dispatch_count
        if self.response_count:
            found["responseCount"] = self.response_count
        if self.first_dispatch is not None and self.last_dispatch is not None:
            found["firstAttempt"] = {"dispatchTime": timestamp(self.first_dispatch)}
            found["lastAttempt"] = {"dispatchTime": timestamp(self.last_dispatch)}
        return found


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
