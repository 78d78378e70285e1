"""An operation: the handler of a method at a path, with what it reads and what it answers.

Handlers read their bodies and parameters by what is declared here, and `openapi` describes
them by it: neither can name a field that the other does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import flask

from daybook.http.body import MAX_BYTES, body_of, form_of
from daybook.http.dispatcher import Configured, Handler
from daybook.http.schema import Schema

AppT = TypeVar("AppT", bound=Configured, contravariant=True)

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


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
class Operation(Generic[AppT]):
    """Call it as the handler that it is."""

    handler: Handler[AppT]
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

    def __call__(self, app: AppT, request: flask.Request, *segments: str) -> flask.Response:
        return self.handler(app, request, *segments)


def operation(**declared: Any) -> Callable[[Handler[AppT]], Operation[AppT]]:
    """Make a handler an operation; the fields are those of `Operation`."""

    def declare(handler: Handler[AppT]) -> Operation[AppT]:
        return Operation(handler=handler, **declared)

    return declare
