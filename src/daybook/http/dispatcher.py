"""The dispatcher: finds the handler for a request and turns errors into problems.

Both functions use it, each with routes and problems of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Concatenate, Generic, Protocol, TypeVar

import flask
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, MapAdapter, Rule

from daybook import log
from daybook.errors import BadRequest, Forbidden
from daybook.http.body import MAX_BYTES, receive
from daybook.http.callers import refusal
from daybook.http.origin import is_foreign
from daybook.http.responses import bad_request, problem
from daybook.settings.settings import Settings
from daybook.text.display import shortened


class Configured(Protocol):
    @property
    def settings(self) -> Settings: ...


App = TypeVar("App", bound=Configured)
Handler = Callable[Concatenate[App, flask.Request, ...], flask.Response]
"""Gets, after the request, the text of each segment that its route names in braces, in order."""

Routes = Mapping[str, Mapping[str, Handler[App]]]
"""Path → method → handler. A name in braces matches one segment; `GET` also answers HEAD."""


@dataclass(frozen=True, kw_only=True)
class Dispatcher(Generic[App]):
    routes: Routes[App]
    problem_of: Callable[[App, flask.Request, Exception], flask.Response | None]
    """The response to an error that a handler raised; None for one that nobody expected."""
    body_limits: Mapping[str, int] = field(default_factory=dict)
    """Path → bytes that a body may have, where that is not `MAX_BYTES`."""
    permissions: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Path and method → the route whose callers may call it, where that is another one."""

    def answer(self, app: App, request: flask.Request) -> flask.Response:
        """Answer one request; every error becomes a problem that says what and where."""
        path = request.path.rstrip("/") or "/"
        try:
            receive(request, longest=self.body_limits.get(path, MAX_BYTES))
            route, segments = self._urls.match(path, request.method)
        except BadRequest as error:
            return bad_request(error)
        except NotFound:
            return problem(404, f"there is nothing at {shortened(request.path)}")
        except MethodNotAllowed as error:
            return _not_allowed(request, path, error.valid_methods or ())
        method = "GET" if request.method == "HEAD" else request.method
        handler = self.routes[route][method]
        with log.traced(dict(request.headers), _described(request)):
            try:
                _check_site(request)
                _check_caller(app, self.permissions.get((route, method), route), request)
                return handler(app, request, *segments.values())
            except BadRequest as error:
                return bad_request(error)
            except Forbidden as error:
                log.event(logging.WARNING, "caller_refused", str(error))
                return problem(403, str(error))
            except Exception as error:  # noqa: BLE001  (the HTTP boundary: nothing may go unanswered)
                response = self.problem_of(app, request, error)
                if response is not None:
                    return response
                log.event(logging.ERROR, "request_crashed", str(error), exc_info=error)
                return problem(500, f"{type(error).__name__}: {error}")

    @cached_property
    def _urls(self) -> MapAdapter:
        """Built with the first request: 15 ms that a process of the other function is spared.

        No path is ever redirected: a client need not follow, nor send its body again. Bound
        to no host, so that neither `Host` nor `Upgrade` decides what a path means.
        """
        rules = [
            Rule(route.translate(_BRACES), endpoint=route, methods=list(methods))
            for route, methods in self.routes.items()
        ]
        urls = Map(rules, strict_slashes=False, merge_slashes=False, redirect_defaults=False)
        return urls.bind("")


_SAFE = frozenset({"GET", "HEAD"})
_BRACES = str.maketrans("{}", "<>")


def _described(request: flask.Request) -> dict[str, object]:
    """The request, as `httpRequest` of the log records that are made while it is handled."""
    return {
        "requestMethod": request.method,
        "requestUrl": request.url,
        "userAgent": request.user_agent.string,
        "protocol": request.environ.get("SERVER_PROTOCOL"),
    }


def _not_allowed(request: flask.Request, path: str, methods: Iterable[str]) -> flask.Response:
    method = shortened(request.method)
    response = problem(405, f"{method} is not possible at {shortened(path)}")
    response.headers["Allow"] = ", ".join(sorted(methods))
    return response


def _check_site(request: flask.Request) -> None:
    """Raise `Forbidden` for a change that another site asks for in a caller's browser."""
    if request.method not in _SAFE and is_foreign(request):
        raise Forbidden("another site may not send this: the browser says that it comes from one")


def _check_caller(app: Configured, route: str, request: flask.Request) -> None:
    refused = refusal(app.settings.callers, route, request)
    if refused is not None:
        raise Forbidden(refused)
