"""What an operator can do on the page: a form that says what will happen, then the same as /admin.

A form counts only from the page itself: the browser says that this site has sent it, and it
carries the token that the browser keeps in a cookie (docs/decisions).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import flask

from daybook.app import App
from daybook.audit import audit as audits
from daybook.audit import lineage as lineages
from daybook.audit.daily import audit_daily
from daybook.audit.verify import NotDelivered, verify
from daybook.errors import BadRequest, Forbidden
from daybook.export.batch import export_log
from daybook.export.model.profile import DAILY
from daybook.export.operations.reopen import release_day, reopen_day
from daybook.export.operations.requeue import requeue
from daybook.export.outcome import Status
from daybook.export.run import run_day
from daybook.http.callers import is_own_page, keep_token, token_matches, token_of
from daybook.http.dispatcher import FORM, Body, Operation, Parameter, operation
from daybook.http.page.pages import OF_PAGE
from daybook.http.page.view import DATE, HTML, QUERY, View, day_of, profile_of, profile_taking
from daybook.http.requests import (
    MAX_TEXT_LENGTH,
    PROFILE,
    performed_by,
    record_request,
    text,
    text_of,
)
from daybook.http.responses import run_response
from daybook.http.schema import TEXT
from daybook.page import day as day_pages
from daybook.page.days import DayState, ShownProfile

_OF_ACTION = OF_PAGE | {
    *("NOT_POSSIBLE", "DESTINATION_UNAVAILABLE", "QUEUE_UNAVAILABLE", "INTERRUPTED"),
}
_TOKEN = text_of(100)
OF_DAY = Body(fields={"token": _TOKEN, "profile": PROFILE}, required=("token",), media=FORM)
OF_ENTRY = Body(
    fields={"token": _TOKEN, "profile": PROFILE, "entry": text_of()},
    required=("token", "entry"),
    media=FORM,
)
_LANG = {"lang": QUERY["lang"]}
_ENTRY = {
    **QUERY,
    "entry": Parameter(schema=text_of(), description="The entry's ID or reference.", required=True),
}


_Do = Callable[[App, View, ShownProfile, date], flask.Response]


def _form(name: str) -> Operation[App]:
    """`GET /days/{date}/…`: the form of an action on a day."""

    @operation(
        summary=f"a form that says what {name} will do",
        query=QUERY,
        answers={200: TEXT},
        media=HTML,
        problems=OF_PAGE,
    )
    def ask(app: App, request: flask.Request, day_text: str) -> flask.Response:
        shown = profile_of(app, request)
        day = day_of(app, shown, day_text)
        view = View.of(app, request)
        cell = day_pages.read(app.database, shown, day, view.now).cell
        will = f"will_{name}"
        if name == "retry":
            failed = cell.state is DayState.FAILED
            will = "will_retry_failed" if failed else "will_retry_other"
        return _asked(
            view,
            question=view.tongue.words(f"confirm_{name}", day=view.tongue.long_day(day)),
            will=view.tongue.words(will),
            button=view.tongue.words(f"do_{name}"),
            state=cell.state,
            path=f"/days/{day.isoformat()}/{name}",
            fields={"profile": shown.name} if shown.name != DAILY else {},
            cancel=view.day_url(shown.name, day.isoformat()),
            serious=name == "release",
        )

    return ask


ask_retry, ask_release = _form("retry"), _form("release")
ask_verify, ask_audit = _form("verify"), _form("audit")


@operation(
    summary="a form that says what requeue will do",
    query=_ENTRY,
    answers={200: TEXT},
    media=HTML,
    problems=OF_PAGE | {"NOT_FOUND"},
)
def ask_requeue(app: App, request: flask.Request) -> flask.Response:
    """`GET /requeue?entry=`."""
    view = View.of(app, request, _ENTRY)
    name = _entry_of(request.args)
    shown = profile_taking(app, request, name)
    found = lineages.lineage(app.database, shown.profile, name)
    return _asked(
        view,
        question=view.tongue.words("confirm_requeue"),
        will=view.tongue.words("will_requeue"),
        button=view.tongue.words("do_requeue"),
        entry=found[0].reference or name,
        path="/requeue",
        fields={"entry": name, **({"profile": shown.name} if shown.name != DAILY else {})},
        cancel=view.url("/entries", shown.name, name=name),
    )


def _asked(view: View, *, path: str, fields: Mapping[str, str], **context: Any) -> flask.Response:
    token = token_of(view.request)
    language = view.tongue.language
    response = view.page(
        "confirm.html",
        action=path if language == view.app.settings.language else f"{path}?lang={language}",
        fields={**fields, "token": token},
        account=performed_by(view.app, view.request),
        nobody=export_log.OPERATOR,
        **{"entry": None, "state": None, "serious": False, **context},
    )
    keep_token(response, view.request, token)
    return response


def _action(name: str, do: _Do) -> Operation[App]:
    """`POST /days/{date}/…`: the form, sent."""

    @operation(
        summary=f"{name}, as the form has been sent",
        query=_LANG,
        body=OF_DAY,
        answers={200: TEXT},
        media=HTML,
        problems=_OF_ACTION,
    )
    def act(app: App, request: flask.Request, day_text: str) -> flask.Response:
        given = _checked(OF_DAY, request)
        shown = profile_of(app, request, given.get("profile", DAILY))
        return do(app, View.of(app, request, _LANG), shown, day_of(app, shown, day_text))

    return act


def _retry(app: App, view: View, shown: ShownProfile, day: date) -> flask.Response:
    profile = app.enabled(shown.name)
    record_request(app, view.request, "retry", shown.name, day)
    reopen_day(app.exporter(profile), day)
    done = run_response(shown.name, day, lambda: run_day(app.exporter(profile), day))
    outcome = done.get_json()
    status = outcome["status"]
    error = outcome.get("error")
    return _did(
        view,
        view.tongue.words(
            "done_retry",
            day=view.tongue.long_day(day),
            status=view.tongue.words(f"status_{status}"),
        ),
        good=status in (Status.EXPORTED, Status.ALREADY_EXPORTED, Status.EMPTY),
        details=[f"{error['type']}: {error['message']}"] if error else [],
        back=view.day_url(shown.name, day.isoformat()),
    )


def _release(app: App, view: View, shown: ShownProfile, day: date) -> flask.Response:
    shown.schedule.due_day(day, app.now(), where=DATE)
    record_request(app, view.request, "release", shown.name, day)
    release_day(app.exporter(shown.profile), day)
    return _did(
        view,
        view.tongue.words("done_release", day=view.tongue.long_day(day)),
        back=view.day_url(shown.name, day.isoformat()),
    )


def _verify(app: App, view: View, shown: ShownProfile, day: date) -> flask.Response:
    record_request(app, view.request, "verify", shown.name, day)
    found = verify(app.database, app.destination_of(shown.name), shown.profile, day).to_doc()
    key = {"verified": "done_verify_same", "empty": "done_verify_empty"}.get(
        found["status"], "done_verify_differs"
    )
    return _did(
        view,
        view.tongue.words(
            key,
            day=view.tongue.long_day(day),
            count=view.tongue.number(found["differenceCount"]),
        ),
        good=found["status"] != "differs",
        details=[one["detail"] for one in found["differences"]] + list(found["notes"]),
        back=view.day_url(shown.name, day.isoformat()),
    )


def _audit(app: App, view: View, shown: ShownProfile, day: date) -> flask.Response:
    days = audits.delivered_days(app.database, shown.name, since=day)
    chosen = [batch for batch in days if batch.key.batch_date == day.isoformat()]
    if not chosen:
        raise NotDelivered(f"Daybook has delivered no file of {day}: nothing can be audited")
    record_request(app, view.request, "audit", shown.name, day)
    found = audit_daily(
        app.database,
        app.destination_of(shown.name),
        shown.profile,
        chosen,
        messenger=app.messenger_of(shown.name),
        now=app.now,
        check=lambda: None,
    )
    findings = [finding for audited in found.days for finding in audited.findings]
    return _did(
        view,
        view.tongue.words(
            "done_audit_differs" if findings else "done_audit_same",
            day=view.tongue.long_day(day),
            count=view.tongue.number(len(findings)),
        ),
        good=not findings,
        details=[finding.detail for finding in findings],
        back=view.day_url(shown.name, day.isoformat()),
    )


do_retry = _action("retry", _retry)
do_release = _action("release", _release)
do_verify = _action("verify", _verify)
do_audit = _action("audit", _audit)


@operation(
    summary="requeue, as the form has been sent",
    query=_LANG,
    body=OF_ENTRY,
    answers={200: TEXT},
    media=HTML,
    problems=_OF_ACTION,
)
def do_requeue(app: App, request: flask.Request) -> flask.Response:
    """`POST /requeue`."""
    given = _checked(OF_ENTRY, request)
    shown = profile_of(app, request, given.get("profile", DAILY))
    view = View.of(app, request, _LANG)
    done = requeue(
        app.database,
        shown.profile,
        text(given, "entry"),
        now=view.now,
        performed_by=performed_by(app, request),
    ).to_doc()
    name = done["reference"] or done["entryId"]
    return _did(
        view,
        view.tongue.words("done_requeue", name=name),
        back=view.url("/entries", shown.name, name=done["entryId"]),
        back_key="to_entry",
    )


def _did(
    view: View,
    sentence: str,
    *,
    back: str,
    back_key: str = "to_day",
    good: bool = True,
    details: list[str] | None = None,
) -> flask.Response:
    return view.page(
        "did.html",
        sentence=sentence,
        good=good,
        state=DayState.DELIVERED if good else DayState.FAILED,
        details=details or [],
        back=back,
        back_key=back_key,
    )


def _checked(body: Body, request: flask.Request) -> dict[str, Any]:
    """The fields of the form; raises `Forbidden` unless the page itself has sent it."""
    if not is_own_page(request):
        raise Forbidden("only the page itself may send this form")
    given = body.read(request)
    if not token_matches(request, text(given, "token", longest=100)):
        raise Forbidden("the form is too old, or cookies are off: open it again")
    return given


def _entry_of(args: Mapping[str, str]) -> str:
    name = args.get("entry", "")
    if not 0 < len(name) <= MAX_TEXT_LENGTH or "\0" in name:
        raise BadRequest(f"must be text of 1 to {MAX_TEXT_LENGTH} characters", where="entry")
    return name
