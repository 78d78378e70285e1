"""The dispatcher: finds the operation for a request, and turns errors into problems.

An operation is the handler of a method at a path, with what it reads and what it answers. Handlers
read their bodies and parameters by what is declared here, and `openapi` describes them by it:
neither can name a field that the other does not know. Every body is read to its end first, and
kept within a limit. Both functions use the dispatcher, each with routes and problems of its own.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Concatenate, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl

import flask
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, MapAdapter, Rule
from werkzeug.wsgi import get_input_stream

from daybook import display, log
from daybook.errors import BadRequest, Forbidden, TooLarge
from daybook.http.callers import is_foreign, refusal
from daybook.http.responses import bad_request, problem
from daybook.http.schema import Schema
from daybook.settings.settings import Settings

_SAFE = frozenset({"GET", "HEAD"})
_BRACES = str.maketrans("{}", "<>")

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MAX_BYTES = 64 * 1024
MAX_EXPORT_BYTES = 8 * 1024 * 1024
"""A manual export may name 100,000 entries."""

_PIECE_BYTES = 64 * 1024
_MAX_LEVELS = 8
_MAX_FIELDS = 50
_MAX_VALUES = 500_000
"""Five for each entry of an export, since an ID may contain the characters that are counted."""


class Configured(Protocol):
    @property
    def settings(self) -> Settings: ...


App = TypeVar("App", bound=Configured, contravariant=True)
Handler = Callable[Concatenate[App, flask.Request, ...], flask.Response]
"""Gets, after the request, the text of each segment that its route names in braces, in order."""

Routes = Mapping[str, Mapping[str, Handler[App]]]
"""Path → method → handler. A name in braces matches one segment; `GET` also answers HEAD."""


@dataclass(frozen=True, kw_only=True)
class Dispatcher(Generic[App]):
    routes: Routes[App]
    problem_of: Callable[[App, flask.Request, Exception], flask.Response | None]
    """The response to an error that a handler raised; None for an unexpected one."""
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
            return problem(404, f"there is nothing at {display.shortened(request.path)}")
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
        """Built with the first request, since it takes 15 ms that the other function does not need.

        No path is ever redirected: a client need not follow, nor send its body again. Bound
        to no host, so that neither `Host` nor `Upgrade` decides what a path means.
        """
        rules = [
            Rule(route.translate(_BRACES), endpoint=route, methods=list(methods))
            for route, methods in self.routes.items()
        ]
        urls = Map(rules, strict_slashes=False, merge_slashes=False, redirect_defaults=False)
        return urls.bind("")


def _described(request: flask.Request) -> dict[str, object]:
    """The request, as `httpRequest` of the log records that are made while it is handled."""
    return {
        "requestMethod": request.method,
        "requestUrl": request.url,
        "userAgent": request.user_agent.string,
        "protocol": request.environ.get("SERVER_PROTOCOL"),
    }


def _not_allowed(request: flask.Request, path: str, methods: Iterable[str]) -> flask.Response:
    method = display.shortened(request.method)
    response = problem(405, f"{method} is not possible at {display.shortened(path)}")
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


@dataclass(frozen=True, kw_only=True)
class Body:
    """The JSON object, or the form, that an operation reads; an empty body has no fields."""

    fields: Mapping[str, Schema]
    required: tuple[str, ...] = ()
    rules: Mapping[str, Any] = field(default_factory=dict)
    """What else a schema can say of the object."""
    longest: int = MAX_BYTES
    media: str = JSON

    def read(self, request: flask.Request) -> dict[str, Any]:
        """The fields that were given, not yet checked by type. Raises `BadRequest`, `TooLarge`."""
        if self.media == FORM:
            return dict(form_of(request, allowed=set(self.fields)))
        return body_of(request, allowed=set(self.fields))


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of the query, a header, or a segment of the path."""

    schema: Schema
    description: str
    required: bool = False


NOTHING = Body(fields={})


@dataclass(frozen=True, kw_only=True)
class Operation(Generic[App]):
    """Call it as the handler that it is."""

    handler: Handler[App]
    summary: str
    answers: Mapping[int, Schema]
    """Status → what is answered."""
    media: str = JSON
    """What an answer with status 200 is; any other is JSON."""
    page: bool = False
    """Whether an answer with status 200 is HTML, unless JSON is asked for."""
    body: Body | None = None
    """None for an operation that ignores its body."""
    query: Mapping[str, Parameter] = field(default_factory=dict)
    headers: Mapping[str, Parameter] = field(default_factory=dict)
    answer_headers: Mapping[int, Mapping[str, Parameter]] = field(default_factory=dict)
    problems: frozenset[str] = frozenset()
    """Codes of the problems that are its own, beside those that every operation has."""

    def __call__(self, app: App, request: flask.Request, *segments: str) -> flask.Response:
        return self.handler(app, request, *segments)


def operation(**declared: Any) -> Callable[[Handler[App]], Operation[App]]:
    """Make a handler an operation; the fields are those of `Operation`."""

    def declare(handler: Handler[App]) -> Operation[App]:
        return Operation(handler=handler, **declared)

    return declare


def receive(request: flask.Request, *, longest: int) -> None:
    """Read the body and keep at most `longest` bytes. Raises `BadRequest`, `TooLarge`.

    Every request must go through it first. After the response, functions-framework reads the
    rest of the body into memory at once, and responds with 500 if that fails; this leaves no rest.
    """
    environ = request.environ
    try:
        kept = _read(get_input_stream(environ), request.content_length, longest)
    except BadRequest:
        kept = b""
        raise
    except Exception as error:  # the server's own errors, of any class
        kept = b""
        raise BadRequest(
            f"cannot be read: {display.shortened(str(error))}", where="body"
        ) from error
    finally:
        environ["wsgi.input"] = io.BytesIO(kept)
        environ["wsgi.input_terminated"] = True


def _read(stream: Any, announced: int | None, longest: int) -> bytes:
    """The whole body. Raises `BadRequest`, `TooLarge`.

    What exceeds the limit is read and dropped: a client whose connection is closed while it
    sends does not see the response.
    """
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(_PIECE_BYTES):
        size += len(piece)
        if size <= longest:
            pieces.append(piece)
        else:
            pieces.clear()
    # gunicorn ends a body where the connection ends; a lost body would count as an empty object.
    if announced is not None and size < announced:
        raise BadRequest(f"ends after {size} of {announced} bytes", where="body")
    if size > longest:
        raise TooLarge(f"has {size} bytes; at most {longest} are read", where="body")
    return b"".join(pieces)


def body_of(request: flask.Request, *, allowed: set[str]) -> dict[str, Any]:
    """The received JSON object, empty for an empty body; at most 8 levels deep.

    Raises `BadRequest`, also for a name that is not `allowed`, and for one that occurs twice
    at any level, since parsers differ in which of the two values they take
    (https://www.rfc-editor.org/rfc/rfc8259#section-4). Raises `TooLarge`.
    """
    text = request.get_data(cache=False)
    if not text or text.isspace():
        return {}
    if sum(map(text.count, (b",", b"[", b"{"))) > _MAX_VALUES:  # parsed, 70 bytes for each 3
        raise TooLarge(f"has more than {_MAX_VALUES} values", where="body")
    body = _parsed(text)
    if not isinstance(body, dict):
        raise BadRequest(f"must be a JSON object, not {type(body).__name__}", where="body")
    for name in body:
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise BadRequest(f"unknown field {display.quoted(name)}; known are {known}", where=name)
    _check_levels(body)
    return body


def form_of(request: flask.Request, *, allowed: set[str]) -> dict[str, str]:
    """The received form's fields. Raises `BadRequest`, also for a field given twice or unknown.

    https://url.spec.whatwg.org/#application/x-www-form-urlencoded
    """
    text = request.get_data(cache=False)
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise BadRequest("is no form", where="body") from error
    for name, _ in pairs:
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            raise BadRequest(f"unknown field {display.quoted(name)}; known are {known}", where=name)
    return dict(_once_each(list(pairs)))


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once_each)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"is not JSON: {error}", where="body") from error
    except RecursionError as error:
        raise BadRequest("is nested too deeply", where="body") from error
    except (
        ValueError
    ) as error:  # https://docs.python.org/3/library/stdtypes.html#int-max-str-digits
        most = sys.get_int_max_str_digits()
        raise BadRequest(f"has a number of more than {most} digits", where="body") from error


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRequest("is given more than once", where=_twice(name for name, _ in pairs))
    return found


def _twice(names: Iterable[str]) -> str:
    """The first name that repeats an earlier one."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("no name is repeated")


def _check_levels(body: dict[str, Any]) -> None:
    """Raise `BadRequest` for a body so deep that recursive code could fail on it."""
    level: list[Any] = [body]
    for _ in range(_MAX_LEVELS):
        parts = (part for whole in level for part in _parts(whole))
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return
    raise BadRequest(f"is nested more than {_MAX_LEVELS} levels deep", where="body")


def _parts(whole: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return whole.values() if isinstance(whole, dict) else whole


def parameters(request: flask.Request, allowed: Collection[str]) -> dict[str, str]:
    """The query string's parameters, each at most once; raises `BadRequest`."""
    found: dict[str, str] = {}
    for name, values in request.args.lists():
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise BadRequest(f"unknown parameter; known are {known}", where=name[:80])
        if len(values) > 1:
            raise BadRequest(f"is given {len(values)} times", where=name)
        found[name] = values[0]
    return found
