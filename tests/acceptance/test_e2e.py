"""`python -m e2e`: it refuses without credentials, and tells the stand-ins' behaviour apart."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import flask
import pytest
import requests
from requests.adapters import BaseAdapter
from werkzeug.test import EnvironBuilder

from daybook.destinations.drive.drive import DriveDestination
from daybook.http import callers
from e2e.cloud import INTERNAL, PREFERRED, USUAL, CloudProbe, Deployment
from e2e.drive import DriveProbe
from e2e.finding import Exit, Finding, Verdict, exit_of
from e2e.soak import _EVENTS, evenings
from tests import pages
from tests.acceptance.tokens import bearer
from tests.consistency.test_docs_logging import events_in_source
from tests.emulators.drive import DriveEmulator

DEPLOYMENT = Deployment(project="acme-books", region="asia-southeast1", name="daybook")
BANGKOK = ZoneInfo("Asia/Bangkok")


def e2e(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """The script where nobody is logged in."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GOOGLE")}
    return subprocess.run(
        [sys.executable, "-m", "e2e", *arguments],
        cwd=pages.ROOT,
        env={**kept, "PYTHONPATH": "src", "HOME": str(home), "NO_GCE_CHECK": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ((), "say what to ask"),
        (("probe",), "--project and --folder are needed"),
        (("probe", "--project", "acme-books"), "--project and --folder are needed"),
        (("probe", "--project", "acme-books", "--folder", "1AbCdEfGhIjK"), "credentials"),
        (("soak",), "--project is needed"),
        (("soak", "--project", "acme-books"), "credentials"),
    ],
)
def test_without_credentials_it_does_not_run_and_says_so(
    tmp_path: Path, arguments: tuple[str, ...], missing: str
) -> None:
    told = e2e(*arguments, home=tmp_path)
    assert told.returncode == Exit.NOT_RUN == 3
    assert told.stdout == ""
    assert told.stderr.startswith("e2e did not run: ")
    assert missing in told.stderr
    assert told.stderr.endswith("Nothing was asked of anybody.\n")


def test_make_runs_it_and_fails_when_it_does_not_run(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL"}}
    told = subprocess.run(
        ["make", "-n", "e2e", "ARGS=probe"],
        cwd=pages.ROOT,
        env=kept,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines()[-1].endswith("-m e2e probe")


def answers(drive: DriveEmulator, *, folder: str | None = None) -> dict[str, Finding]:
    def client() -> DriveDestination:
        return DriveDestination(
            folder_id=folder or drive.folder_id, session=requests.Session(), root_url=drive.url
        )

    probe = DriveProbe(destination=client(), again=client)
    return {finding.question.partition(" ")[2]: finding for finding in probe.findings()}


def of(found: Mapping[str, Finding], words: str) -> Finding:
    (finding,) = (finding for question, finding in found.items() if words in question)
    return finding


def test_every_question_to_drive_is_settled_by_a_drive_as_it_is_assumed(
    drive: DriveEmulator,
) -> None:
    found = answers(drive)
    assert len(found) == 9
    assert {finding.verdict for finding in found.values()} <= {
        Verdict.AS_ASSUMED,
        Verdict.HARMLESS,
    }, [str(finding) for finding in found.values()]
    assert exit_of(found.values()) is Exit.OK


@pytest.mark.parametrize(("at_start", "when"), [(True, "begins"), (False, "ends")])
def test_it_tells_when_a_used_id_is_refused(
    drive: DriveEmulator, at_start: bool, when: str
) -> None:
    drive.conflict_at_session_start = at_start
    found = of(answers(drive), "a used id refused")
    assert found.verdict is Verdict.HARMLESS
    assert found.answer.startswith(f"when it {when}: ")


def test_a_folder_without_access_is_found_and_leaves_the_rest_unsettled(
    drive: DriveEmulator,
) -> None:
    found = answers(drive, folder=drive.read_only_folder_id)
    assert of(found, "shared drive, and may").verdict is Verdict.OTHERWISE
    assert of(found, "sha256Checksum").verdict is Verdict.UNSETTLED
    assert exit_of(found.values()) is Exit.OTHERWISE


def test_a_drive_that_reports_other_digests_is_found(drive: DriveEmulator) -> None:
    drive.fault("lying_md5", on="get", times=None)
    assert of(answers(drive), "sha256Checksum").verdict is Verdict.OTHERWISE


def clauses(query: str) -> dict[str, tuple[int, int]]:
    """The bounds that a query sets to each number: from, and below."""
    bounds: dict[str, tuple[int, int]] = {}
    for name, sign, text in re.findall(r"([\w.]+)(>=|<|=)(\d+)(?=\s|$)", query):
        low, high = bounds.get(name, (0, 1000))
        number = int(text)
        bounds[name] = {
            ">=": (number, high),
            "<": (low, number),
            "=": (number, number + 1),
        }[sign]
    return bounds


class Google(BaseAdapter):
    """Answers requests by what their address contains; what nothing is known of gets 404."""

    def __init__(self, known: Mapping[str, Callable[[dict[str, Any]], Any]]) -> None:
        super().__init__()
        self._known = known

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        response = requests.Response()
        response.url, response.request = str(request.url), request
        body = json.loads(request.body) if request.body else {}
        answer = next((make for part, make in self._known.items() if part in response.url), None)
        response.status_code = 404 if answer is None else 200
        text = json.dumps({} if answer is None else answer(body))
        response.raw = io.BytesIO(text.encode())
        return response

    def close(self) -> None:
        pass


def probe(known: Mapping[str, Callable[[dict[str, Any]], Any]]) -> CloudProbe:
    session = requests.Session()
    session.mount("https://", Google(known))
    moments = iter(range(0, 10_000, 60))
    return CloudProbe(
        deployment=DEPLOYMENT,
        session=session,
        clock=lambda: float(next(moments)),
        sleep=lambda _seconds: None,
    )


@pytest.mark.parametrize(
    ("status", "verdict"), [(200, Verdict.AS_ASSUMED), (403, Verdict.OTHERWISE)]
)
def test_it_tells_whether_a_scheduler_job_got_in(status: int, verdict: Verdict) -> None:
    asked: list[str] = []

    def entries(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body["filter"])
        return {"entries": [{"httpRequest": {"status": status}}]}

    found = probe({"jobs/daybook-doctor:run": lambda _: {"state": "PAUSED"}, "entries": entries})
    assert found._scheduler() == (verdict, f"the job is PAUSED and was answered {status}")
    assert 'resource.labels.job_id="daybook-doctor"' in asked[0]


def test_a_call_that_leaves_no_record_is_waited_for_and_then_unsettled() -> None:
    found = probe({":run": lambda _: {"state": "PAUSED"}, "entries": lambda _: {}})
    verdict, answer = found._scheduler()
    assert verdict is Verdict.UNSETTLED
    assert "no call within 180 s" in answer


class Cloud:
    """Cloud Tasks and a Cloud Run that verifies one header, before the function's own check."""

    def __init__(self, *, verified: tuple[str, ...], checks_signatures: bool = True) -> None:
        self._verified = verified
        self._checks_signatures = checks_signatures
        self._status = 0
        self.asked: list[dict[str, Any]] = []

    def probe(self) -> CloudProbe:
        return probe(
            {
                "cloudresourcemanager": lambda _: {"name": "projects/123456789012"},
                ":generateIdToken": lambda body: {"token": self._signed("tasks", body["audience"])},
                "/tasks": self._deliver,
                "entries": lambda _: {"entries": [{"httpRequest": {"status": self._status}}]},
            }
        )

    def _signed(self, purpose: str, audience: str) -> str:
        assert audience == "https://daybook-123456789012.asia-southeast1.run.app"
        return bearer(DEPLOYMENT.account(purpose)).removeprefix("Bearer ")

    def _deliver(self, body: dict[str, Any]) -> dict[str, Any]:
        if body:  # else the task is deleted
            request = body["task"]["httpRequest"]
            self.asked.append(request)
            headers = dict(request["headers"])
            if "oidcToken" in request:
                token = request["oidcToken"]
                headers["Authorization"] = bearer(token["serviceAccountEmail"])
            self._status = self._answer(request["url"], headers)
        return {"name": "projects/acme-books/tasks/1"}

    def _answer(self, url: str, headers: dict[str, str]) -> int:
        looked_at = next((headers[name] for name in self._verified if name in headers), None)
        signed = looked_at is not None and looked_at.endswith(".SIGNATURE_REMOVED_BY_GOOGLE")
        if self._checks_signatures and not signed:
            return 401
        route = url.removeprefix("https://daybook-123456789012.asia-southeast1.run.app")
        path = route.partition("?")[0]
        allowed = {
            "/tasks/run": (DEPLOYMENT.account("tasks"),),
            "/admin/doctor": (DEPLOYMENT.account("scheduler"),),
        }
        environ = EnvironBuilder(path=path, method="POST", headers=headers).get_environ()
        return 200 if callers.refusal(allowed, path, flask.Request(environ)) is None else 403


ALONE, BESIDE = ((None, PREFERRED), (None, USUAL)), ((USUAL, PREFERRED), (PREFERRED, USUAL))


@pytest.mark.parametrize("verified", [(PREFERRED, USUAL), (USUAL, PREFERRED), (USUAL,)])
@pytest.mark.parametrize(("own", "forged"), [*ALONE, *BESIDE])
def test_a_forged_token_opens_nothing_whichever_header_is_verified(
    verified: tuple[str, ...], own: str | None, forged: str
) -> None:
    cloud = Cloud(verified=verified)
    verdict, answer = cloud.probe()._called(own=own, forged=forged)
    assert verdict is Verdict.AS_ASSUMED
    assert answer in {"answered 401", "answered 403"}
    (asked,) = cloud.asked
    assert ("oidcToken" in asked) == (own == USUAL)
    assert asked["headers"][forged].startswith("Bearer ")


@pytest.mark.parametrize(("own", "forged"), ALONE)
def test_it_reports_that_an_unsigned_token_was_accepted(own: str | None, forged: str) -> None:
    cloud = Cloud(verified=(PREFERRED, USUAL), checks_signatures=False)
    verdict, answer = cloud.probe()._called(own=own, forged=forged)
    assert verdict is Verdict.OTHERWISE
    assert answer == "answered 200 to a token that nobody signed"


@pytest.mark.parametrize(("own", "forged"), BESIDE)
def test_two_accounts_are_refused_by_the_function_itself(own: str, forged: str) -> None:
    """Even where nothing in front of it looks at a signature."""
    cloud = Cloud(verified=(PREFERRED, USUAL), checks_signatures=False)
    assert cloud.probe()._called(own=own, forged=forged)[1] == "answered 403"


@pytest.mark.parametrize(
    ("verified", "verdict"),
    [((PREFERRED, USUAL), Verdict.AS_ASSUMED), ((USUAL,), Verdict.OTHERWISE)],
)
def test_it_tells_whether_a_token_in_the_preferred_header_gets_in(
    verified: tuple[str, ...], verdict: Verdict
) -> None:
    cloud = Cloud(verified=verified)
    assert cloud.probe()._called(own=PREFERRED, forged=None)[0] is verdict


def test_without_the_right_to_act_as_the_tasks_account_the_question_is_unsettled() -> None:
    known = {
        "services/daybook": lambda _: {"ingress": INTERNAL, "urls": ["https://127.0.0.1:9"]},
        "cloudresourcemanager": lambda _: {"name": "projects/123456789012"},
    }
    found = list(probe(known).findings())
    tokens = [finding for finding in found if "token" in finding.question]
    assert len(tokens) == 5
    assert {finding.verdict for finding in tokens} == {Verdict.UNSETTLED}
    assert ":generateIdToken answered 404" in of({f.question: f for f in found}, "alone").answer


def test_a_function_that_is_not_there_is_unsettled_and_ends_the_questions() -> None:
    (found,) = probe({}).findings()
    assert found.verdict is Verdict.UNSETTLED
    assert "services/daybook answered 404" in found.answer


def record(event: str) -> dict[str, Any]:
    return {"jsonPayload": {"event": event}}


@pytest.mark.parametrize(
    ("calls", "events", "errors", "fault"),
    [
        (1, ["batch_committed", "watchdog_quiet"], 0, None),
        (1, ["batch_empty", "watchdog_quiet"], 0, None),
        (1, ["attempt_failed", "batch_committed", "watchdog_quiet"], 0, None),
        (0, ["batch_committed", "watchdog_quiet"], 0, "did not call"),
        (1, ["watchdog_quiet"], 0, "exactly once"),
        (1, ["batch_committed", "batch_committed", "watchdog_quiet"], 0, "exactly once"),
        (1, ["batch_committed"], 0, "watchdog was not quiet"),
        (1, ["batch_committed", "watchdog_quiet"], 2, "2 records of ERROR"),
    ],
)
def test_the_soak_judges_each_day_by_its_records(
    calls: int, events: list[str], errors: int, fault: str | None
) -> None:
    def entries(body: dict[str, Any]) -> dict[str, Any]:
        query = body["filter"]
        if "cloud_scheduler_job" in query:
            return {"entries": [{"timestamp": "2026-01-18T11:00:01.123456789Z"}] * calls}
        if "severity>=ERROR" in query:
            return {"entries": [record("run_failed")] * errors}
        return {"entries": [record(event) for event in events]}

    days = evenings(probe({"entries": entries}), last=date(2026, 1, 18), days=2, zone=BANGKOK)
    first, last = (evening.finding for evening in days)
    assert (first.question, last.question) == ("2026-01-17", "2026-01-18")
    if fault is None:
        assert last.verdict is Verdict.AS_ASSUMED
        assert "called 18:00:01" in last.answer
    else:
        assert last.verdict is Verdict.OTHERWISE
        assert fault in last.answer


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.AS_ASSUMED),
        (202, Verdict.AS_ASSUMED),
        (403, Verdict.OTHERWISE),
        (503, Verdict.OTHERWISE),
    ],
)
def test_a_call_that_was_answered_with_a_continuation_or_a_retry_counts(
    status: int, verdict: Verdict
) -> None:
    def entries(body: dict[str, Any]) -> dict[str, Any]:
        query = body["filter"]
        if "cloud_scheduler_job" in query:
            low, high = clauses(query)["httpRequest.status"]
            call = {"timestamp": "2026-01-18T11:00:01.5Z", "httpRequest": {"status": status}}
            return {"entries": [call] if low <= status < high else []}
        if "severity>=ERROR" in query:
            return {}
        return {"entries": [record("batch_committed"), record("watchdog_quiet")]}

    days = evenings(probe({"entries": entries}), last=date(2026, 1, 18), days=1, zone=BANGKOK)
    assert [evening.finding.verdict for evening in days] == [verdict]


def test_the_soak_asks_for_events_that_are_logged() -> None:
    assert set(_EVENTS) <= set(events_in_source())
