"""Questions to a deployed function: who gets through its ingress.

https://cloud.google.com/run/docs/securing/ingress
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import requests

from daybook.cloud.tasks.tasks import CloudTasks
from daybook.errors import TaskError
from daybook.http import callers
from e2e.finding import Finding, Verdict

INTERNAL = "INGRESS_TRAFFIC_INTERNAL_ONLY"
WAIT_SECONDS = 180.0
_POLL_SECONDS = 5.0
_ATTEMPT = "type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished"
_NOBODYS_DAY = "1970-01-01"
"""A task for it is answered 200 and changes nothing: no run ever began for that day."""
_HARMLESS_TASK = {
    "profile": "daily",
    "batchDate": _NOBODYS_DAY,
    "generation": 1,
    "attempt": 1,
    "kind": "look_again",
}
PREFERRED, USUAL = callers.HEADERS


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where the function is."""

    project: str
    region: str
    name: str

    @property
    def location(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"

    def account(self, purpose: str) -> str:
        return f"{self.name}-{purpose}@{self.project}.iam.gserviceaccount.com"


class Refused(Exception):
    """Google answered, and not with 200."""


@dataclass(frozen=True, kw_only=True)
class CloudProbe:
    """A deployment, as the account of `session` sees it."""

    deployment: Deployment
    session: requests.Session
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def findings(self) -> Iterator[Finding]:
        where = self.deployment
        try:
            service = self._get(
                f"https://run.googleapis.com/v2/{where.location}/services/{where.name}"
            )
        except Refused as error:
            yield _unsettled("What is the function's ingress?", str(error))
            return
        ingress, url = str(service["ingress"]), str(service["urls"][0])
        internal = ingress == INTERNAL
        advice = "whether calls count as internal cannot be seen; set ALLOW_INTERNAL_ONLY"
        yield Finding(
            question="What is the function's ingress?",
            verdict=Verdict.AS_ASSUMED if internal else Verdict.UNSETTLED,
            answer=ingress if internal else f"{ingress}: {advice}",
        )
        questions: tuple[tuple[str, Callable[[], tuple[Verdict, str]]], ...] = (
            ("Is a call from the internet turned away?", lambda: self._outside(url, internal)),
            ("Does a forced Cloud Scheduler job get in, even a paused one?", self._scheduler),
            ("Does a task of Cloud Tasks get in?", lambda: self._task(url)),
            (
                f"Does a token alone in {PREFERRED} get in?",
                lambda: self._called(own=PREFERRED, forged=None),
            ),
            *(
                (
                    f"Is a forged token in {forged} refused{beside}?",
                    partial(self._called, own=own, forged=forged),
                )
                for own, forged, beside in (
                    (None, PREFERRED, ""),
                    (None, USUAL, ""),
                    (USUAL, PREFERRED, f" beside one's own in {USUAL}"),
                    (PREFERRED, USUAL, f" beside one's own in {PREFERRED}"),
                )
            ),
        )
        for question, ask in questions:
            try:
                verdict, answer = ask()
            except (Refused, TaskError, requests.RequestException) as error:
                verdict, answer = Verdict.UNSETTLED, str(error)
            yield Finding(question=question, verdict=verdict, answer=answer)

    def _outside(self, url: str, internal: bool) -> tuple[Verdict, str]:
        status = requests.get(f"{url}/health", timeout=30, allow_redirects=False).status_code
        if status == 200:
            return Verdict.OTHERWISE, "200 without any token: the function is open to everybody"
        wanted = 404 if internal else 403
        verdict = Verdict.AS_ASSUMED if status == wanted else Verdict.HARMLESS
        return verdict, f"answered {status}"

    def _scheduler(self) -> tuple[Verdict, str]:
        job = f"{self.deployment.location}/jobs/{self.deployment.name}-doctor"
        since = datetime.now(UTC)
        state = self._post(f"https://cloudscheduler.googleapis.com/v1/{job}:run", {}).get("state")
        record = self._record(
            'resource.type="cloud_scheduler_job" '
            f'resource.labels.job_id="{self.deployment.name}-doctor" '
            f'jsonPayload."@type"="{_ATTEMPT}"',
            since,
        )
        if record is None:
            return Verdict.UNSETTLED, f"no call within {WAIT_SECONDS:g} s; the job is {state}"
        return _judged(record, f"the job is {state}")

    def _task(self, url: str) -> tuple[Verdict, str]:
        where, since = self.deployment, datetime.now(UTC)
        queue = CloudTasks(
            queue=f"{where.location}/queues/{where.name}",
            service_url=self._service_url(),
            service_account=where.account("tasks"),
            endpoint=None,
            dispatch_deadline_seconds=60,
        )
        queue.create(name=f"e2e-{secrets.token_hex(8)}", body=_HARMLESS_TASK, due=since)
        record = self._record(
            'resource.type="cloud_run_revision" '
            f'resource.labels.service_name="{where.name}" '
            'log_id("run.googleapis.com/requests") httpRequest.requestUrl=~"/tasks/run$"',
            since,
        )
        if record is None:
            return Verdict.OTHERWISE, f"no call reached {url} within {WAIT_SECONDS:g} s"
        return _judged(record, "the task was delivered")

    def _service_url(self) -> str:
        """The address that the function's own tasks call, and the audience that it expects."""
        where = self.deployment
        number = self._get(
            f"https://cloudresourcemanager.googleapis.com/v3/projects/{where.project}"
        )["name"].removeprefix("projects/")
        return f"https://{where.name}-{number}.{where.region}.run.app"

    def _called(self, *, own: str | None, forged: str | None) -> tuple[Verdict, str]:
        """A call with the tasks' account's token in one header, and a forged one in another.

        Cloud Tasks makes it, since only calls from within get through internal ingress. The
        forged token names the scheduler's account, for a route that is open to that alone.
        """
        where, since, url = self.deployment, datetime.now(UTC), self._service_url()
        path, body = ("/tasks/run", _HARMLESS_TASK) if forged is None else ("/admin/doctor", {})
        mark = secrets.token_hex(8)
        request: dict[str, Any] = {
            "url": f"{url}{path}?e2e={mark}",
            "httpMethod": "POST",
            "headers": {"Content-Type": "application/json"},
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
        }
        if own == USUAL:
            request["oidcToken"] = {"serviceAccountEmail": where.account("tasks"), "audience": url}
        elif own is not None:
            request["headers"][own] = f"Bearer {self._id_token(url)}"
        if forged is not None:
            request["headers"][forged] = f"Bearer {_forged(where.account('scheduler'), url)}"
        tasks = f"https://cloudtasks.googleapis.com/v2/{where.location}/queues/{where.name}/tasks"
        task = self._post(tasks, {"task": {"httpRequest": request}})
        record = self._record(
            'resource.type="cloud_run_revision" '
            f'resource.labels.service_name="{where.name}" '
            f'log_id("run.googleapis.com/requests") httpRequest.requestUrl=~"e2e={mark}$"',
            since,
        )
        # What was refused would be delivered again; what was answered 200 is gone already.
        self.session.delete(f"https://cloudtasks.googleapis.com/v2/{task['name']}", timeout=30)
        if record is None:
            return Verdict.UNSETTLED, f"no call within {WAIT_SECONDS:g} s"
        if forged is None:
            return _judged(record, "the call was let through")
        status = record.get("httpRequest", {}).get("status")
        if status in {401, 403}:
            return Verdict.AS_ASSUMED, f"answered {status}"
        verdict = Verdict.OTHERWISE if status == 200 else Verdict.UNSETTLED
        return verdict, f"answered {status} to a token that nobody signed"

    def _id_token(self, audience: str) -> str:
        """Of the tasks' account; needs the right to act as it."""
        account = self.deployment.account("tasks")
        answer = self._post(
            f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateIdToken",
            {"audience": audience, "includeEmail": True},
        )
        return str(answer["token"])

    def records(self, query: str, *, limit: int = 100) -> list[Mapping[str, Any]]:
        """What Cloud Logging has for a query, newest first."""
        found = self._post(
            "https://logging.googleapis.com/v2/entries:list",
            {
                "resourceNames": [f"projects/{self.deployment.project}"],
                "filter": query,
                "orderBy": "timestamp desc",
                "pageSize": limit,
            },
        )
        entries: list[Mapping[str, Any]] = found.get("entries", [])
        return entries

    def _record(self, query: str, since: datetime) -> Mapping[str, Any] | None:
        """The first record since then, waited for; None when none comes."""
        until = self.clock() + WAIT_SECONDS
        while True:
            found = self.records(f'{query} timestamp>="{since.isoformat()}"', limit=1)
            if found:
                return found[0]
            if self.clock() >= until:
                return None
            self.sleep(_POLL_SECONDS)

    def _get(self, url: str) -> dict[str, Any]:
        return _content(self.session.get(url, timeout=30))

    def _post(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return _content(self.session.post(url, json=body, timeout=30))


def _forged(account: str, audience: str) -> str:
    """A token of the right form, with a signature that is none."""
    now = int(time.time())
    claims = {
        "iss": "https://accounts.google.com",
        "aud": audience,
        "sub": "1",
        "azp": "1",
        "email": account,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": "1"}
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), bytes(256)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _content(answer: requests.Response) -> dict[str, Any]:
    if answer.status_code != 200:
        path = answer.url.partition("?")[0]
        raise Refused(f"{path} answered {answer.status_code}: {answer.text[:300]}")
    content: dict[str, Any] = answer.json()
    return content


def _judged(record: Mapping[str, Any], what: str) -> tuple[Verdict, str]:
    status = record.get("httpRequest", {}).get("status")
    if status == 200:
        return Verdict.AS_ASSUMED, f"{what} and was answered 200"
    return Verdict.OTHERWISE, f"{what} and was answered {status}"


def _unsettled(question: str, answer: str) -> Finding:
    return Finding(question=question, verdict=Verdict.UNSETTLED, answer=answer)
