"""The status page: the overview, a day and an entry, as HTML for people and as JSON."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import flask

from daybook.app import App
from daybook.audit import lineage as lineages
from daybook.audit.lineage import EntryUnknown, Lineage
from daybook.errors import BadRequest
from daybook.export.model.profile import command
from daybook.http.dispatcher import Parameter, operation
from daybook.http.page.answers import DAY_PAGE, ENTRY_PAGE, OVERVIEW
from daybook.http.page.view import (
    QUERY,
    View,
    day_of,
    may,
    profile_of,
    profile_taking,
    profiles,
    settings_digest,
    wants_html,
    wants_json,
)
from daybook.http.requests import MAX_TEXT_LENGTH, text_of
from daybook.http.responses import json_response
from daybook.notifications import logs_link
from daybook.page import day as day_pages
from daybook.page import overview
from daybook.page.days import DayState
from daybook.page.headline import headline
from daybook.page.html import strip
from daybook.page.language import Tongue
from daybook.page.slots import Working
from daybook.page.to_json import day_to_doc, overview_to_doc

OF_PAGE = frozenset({"CONFIGURATION", "DATABASE_UNAVAILABLE"})


@operation(
    summary="the status page: whether today is done, and the last 90 days",
    query=QUERY,
    answers={200: OVERVIEW},
    page=True,
    problems=OF_PAGE,
)
def index(app: App, request: flask.Request) -> flask.Response:
    """`GET /`."""
    selected = profile_of(app, request)
    view = View.of(app, request)
    shown = profiles(app)
    if selected.name not in {one.name for one in shown}:
        shown = [*shown, selected]
    found = overview.read(
        app.database,
        shown,
        kinds=[app.profiles[one.name].destination.kind for one in shown],
        selected=selected.name,
        now=view.now,
    )
    top = headline(found.verdicts, view.tongue)
    if wants_json(request):
        return json_response(200, overview_to_doc(found, top))
    day_names = {cell.day: view.tongue.day(cell.day) for cell in found.calendars[selected.name]}
    state_words = {state: view.tongue.words(f"state_{state.value}") for state in DayState}
    present = {cell.state for cells in found.calendars.values() for cell in cells}
    return view.page(
        "overview.html",
        found=found,
        headline=top,
        present=[state for state in DayState if state in present],
        step_of=lambda work: _step(work, view.tongue),
        unreadable=DayState.UNREADABLE,
        good=DayState.DELIVERED,
        bad=DayState.FAILED,
        nothing=DayState.NONE,
        has_queue=app.cloud_tasks is not None,
        settings_digest=settings_digest(app),
        home=True,
        strip_of=lambda name, cells: strip(
            cells, suffix=view.url("", name), days=day_names, words=state_words
        ),
    )


def _step(work: Working, tongue: Tongue) -> str:
    if work.planned_items is None:
        return str(tongue.words("step_planning"))
    if work.sealed_bytes is not None:
        return str(tongue.words("step_sealing", size=tongue.size(work.sealed_bytes)))
    if work.sent_bytes is not None:
        return str(tongue.words("step_sending", size=tongue.size(work.sent_bytes)))
    return str(tongue.words("step_rendering", count=tongue.number(work.planned_items)))


@operation(
    summary="a day: its batch, its file, its rejected entries, what was recorded",
    query=QUERY,
    answers={200: DAY_PAGE},
    page=True,
    problems=OF_PAGE,
)
def day(app: App, request: flask.Request, text: str) -> flask.Response:
    """`GET /days/{date}`."""
    shown = profile_of(app, request)
    wanted = day_of(app, shown, text)
    view = View.of(app, request)
    found = day_pages.read(app.database, shown, wanted, app.now())
    if wants_json(request):
        return json_response(200, day_to_doc(found))
    return view.page(
        "day.html",
        found=found,
        logs_link=logs_link.of_day(shown.name, wanted.isoformat(), view.tongue.zone, app.project),
        logs_query=logs_link.query_of_day(shown.name, wanted.isoformat(), view.tongue.zone),
        step_of=lambda work: _step(work, view.tongue),
        counted=day_pages.COUNTED,
        previous=wanted - timedelta(days=1),
        following=wanted + timedelta(days=1),
        offered=[name for name in found.offered if name in may(app, request)],
        many=len(profiles(app)) > 1,
        status_command=command("status", shown.name, wanted),
    )


_NAME = Parameter(
    schema=text_of(),
    description="The entry's ID as the file shows it, or its "
    "reference; without it, a form asks for it.",
)


@operation(
    summary="where an entry went: its files, its rows, its items in the queue",
    query=QUERY,
    answers={200: ENTRY_PAGE},
    page=True,
    problems=OF_PAGE | {"NOT_FOUND"},
)
def entry(app: App, request: flask.Request, name: str) -> flask.Response:
    """`GET /entries/{id}`."""
    return _entry(app, request, name, QUERY)


@operation(
    summary="where the entry of name, which may contain any character, went",
    query={
        **QUERY,
        "name": Parameter(schema=_NAME.schema, description=_NAME.description, required=True),
    },
    answers={200: ENTRY_PAGE},
    page=True,
    problems=OF_PAGE | {"NOT_FOUND"},
)
def entries(app: App, request: flask.Request) -> flask.Response:
    """`GET /entries?name=`: a reference may contain a slash."""
    if "name" not in request.args:
        raise BadRequest("is missing", where="name")
    return _entry(app, request, request.args["name"], {*QUERY, "name"})


def _entry(app: App, request: flask.Request, name: str, allowed: Collection[str]) -> flask.Response:
    if not 0 < len(name) <= MAX_TEXT_LENGTH or "\0" in name:
        raise BadRequest(f"must be text of 1 to {MAX_TEXT_LENGTH} characters", where="name")
    view = View.of(app, request, allowed)
    shown = profile_taking(app, request, name)
    try:
        found = lineages.lineage(app.database, shown.profile, name)
    except EntryUnknown:
        if not wants_html(request):
            raise
        return view.page("entry.html", status=404, name=name, found=(), searched=name)
    if wants_json(request):
        return json_response(200, lineages.to_doc(found))
    return view.page(
        "entry.html",
        name=_called(found, name),
        found=[one.to_doc() for one in found],
        searched=name,
        profile=shown.name,
        good=DayState.DELIVERED,
    )


def _called(found: tuple[Lineage, ...], name: str) -> str:
    """What people call the entry."""
    return next((one.reference for one in found if one.reference), name)
