"""What all pages share: the language, the profile, the headers, and who may do what."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

import flask

import daybook
from daybook.app import App
from daybook.display import quoted
from daybook.errors import BadRequest
from daybook.export.model.profile import DAILY
from daybook.export.operations.requeue import taking
from daybook.export.queue.manual import parse_date
from daybook.http.callers import refusal
from daybook.http.dispatcher import Parameter, parameters
from daybook.http.requests import PROFILE
from daybook.http.schema import one_of
from daybook.notifications.messages import chapter
from daybook.page import html
from daybook.page.days import ShownProfile
from daybook.page.language import Tongue
from daybook.profiles.configured import ConfiguredProfile

HTML = "text/html"
LANGUAGES = ("en", "th")
QUERY = {
    "profile": Parameter(schema=PROFILE, description="Whose days are shown."),
    "lang": Parameter(
        schema=one_of(LANGUAGES), description="The page's language; unset: DAYBOOK_LANGUAGE."
    ),
}
DATE = "date"
"""The segment of a path that is a day; errors name it as the path does."""
PERMISSION = "/page"
"""The name in `DAYBOOK_CALLERS` that opens the pages; `/` is that of a run."""
ACTIONS: Mapping[str, str] = {
    "retry": "/admin/retry",
    "release": "/admin/release",
    "requeue": "/admin/requeue",
    "verify": "/admin/verify",
    "audit": "/audit",
}
"""What an operator can do on the page, and the route whose callers may do it."""


def profiles(app: App) -> list[ShownProfile]:
    """The enabled profiles, in the order of the settings."""
    return [_shown(one) for one in app.profiles.values() if one.enabled]


def _shown(one: ConfiguredProfile) -> ShownProfile:
    return ShownProfile(profile=one.profile, schedule=one.schedule, enabled=one.enabled)


def profile_of(app: App, request: flask.Request, name: str | None = None) -> ShownProfile:
    """The one of that name, or of `?profile=`, enabled or not; raises `BadRequest`."""
    return _shown(app.configured(request.args.get("profile", DAILY) if name is None else name))


def profile_taking(app: App, request: flask.Request, entry: str) -> ShownProfile:
    """As `profile_of`, or the other one that alone takes the entry of this ID or reference."""
    asked = profile_of(app, request)
    return profile_of(app, request, taking(app.database, asked.profile, entry).name)


def day_of(app: App, shown: ShownProfile, text: str) -> date:
    """The day of a path; raises `BadRequest` for one that is none, or still to come."""
    return shown.schedule.check_day(parse_date({DATE: text}, DATE), app.now(), where=DATE)


def wants_json(request: flask.Request) -> bool:
    """Whether JSON is preferred to HTML; a browser and `*/*` get HTML."""
    best = request.accept_mimetypes.best_match([HTML, "application/json"], default=HTML)
    return best != HTML


def wants_html(request: flask.Request) -> bool:
    """Whether a problem is to be shown as a page: only to a client that names HTML."""
    return any(kind == HTML for kind, _ in request.accept_mimetypes) and not wants_json(request)


def settings_digest(app: App) -> str:
    """A short digest of the settings without the secrets: the same on instances set up alike."""
    return hashlib.sha256(repr(app.settings).encode()).hexdigest()[:8]


def may(app: App, request: flask.Request) -> frozenset[str]:
    """The actions whose routes the caller may call."""
    callers = app.settings.callers
    return frozenset(
        name for name, route in ACTIONS.items() if refusal(callers, route, request) is None
    )


@dataclass(frozen=True, kw_only=True)
class View:
    """A page for one request."""

    app: App
    request: flask.Request
    tongue: Tongue
    now: datetime

    @classmethod
    def of(
        cls, app: App, request: flask.Request, allowed: Collection[str] = frozenset(QUERY)
    ) -> View:
        """Raises `BadRequest` for a parameter that is not allowed, and for an unknown language."""
        parameters(request, allowed)
        language = request.args.get("lang", app.settings.language)
        if language not in LANGUAGES:
            raise BadRequest(f"must be en or th, not {quoted(language)}", where="lang")
        zone = app.settings.time_zone
        now = app.now()
        return cls(
            app=app,
            request=request,
            now=now,
            tongue=Tongue(
                language=language,  # type: ignore[arg-type]  # one of LANGUAGES
                zone=zone,
                today=now.astimezone(zone).date(),
            ),
        )

    def page(self, template: str, *, status: int = 200, **context: Any) -> flask.Response:
        """The template as a response with the headers of every page."""
        parameters = {
            name: text
            for name, text in self.request.args.items()
            if name in ("profile", "name", "entry")
        }
        text = html.render(
            template,
            self.tongue,
            default_language=self.app.settings.language,
            day_url=self.day_url,
            entry_url=lambda profile, name: self.url("/entries", profile, name=name),
            requeue_url=lambda profile, entry: self.url("/requeue", profile, entry=entry),
            date_of=date.fromisoformat,
            here={"path": quote(self.request.path), "parameters": parameters},
            may=may(self.app, self.request),
            runbook_url=self.app.settings.runbook_url,
            runbook=lambda event: chapter(self.app.settings.runbook_url, event),
            now=self.now,
            version=daybook.__version__,
            **{"home": False, "searched": "", **context},
        )
        response = flask.Response(text, status=status, content_type=f"{HTML}; charset=utf-8")
        for name, value in _headers().items():
            response.headers[name] = value
        return response

    def day_url(self, profile: str, day: str, rest: str = "") -> str:
        return self.url(f"/days/{day}{rest}", profile)

    def url(self, path: str, profile: str, **given: str) -> str:
        """A path of ours, with the profile unless it is the usual one, and the language."""
        parameters = dict(given)
        if profile != DAILY:
            parameters["profile"] = profile
        if self.tongue.language != self.app.settings.language:
            parameters["lang"] = self.tongue.language
        return f"{path}?{html.encoded(parameters)}" if parameters else path


def _headers() -> Mapping[str, str]:
    return {
        "Content-Security-Policy": html.security_policy(),
        "X-Content-Type-Options": "nosniff",
        # With `no-referrer` browsers would send `Origin: null` with the page's own forms.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def problem_page(app: App, request: flask.Request, response: flask.Response) -> flask.Response:
    """The problem as a page, with its status."""
    doc = response.get_json()
    language = request.args.get("lang")
    zone = app.settings.time_zone
    now = app.clock()  # not MongoDB's, which may be what is away
    tongue = Tongue(
        language="th" if (language or app.settings.language) == "th" else "en",
        zone=zone,
        today=now.astimezone(zone).date(),
    )
    view = View(app=app, request=request, tongue=tongue, now=now)
    page = view.page(
        "problem.html",
        status=response.status_code,
        title=doc["title"],
        detail=doc["detail"],
        away=tongue.at(now) if doc["code"] == "DATABASE_UNAVAILABLE" else None,
    )
    if "Allow" in response.headers:
        page.headers["Allow"] = response.headers["Allow"]
    return page
