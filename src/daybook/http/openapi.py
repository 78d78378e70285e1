"""The description of a function's routes, built from the operations that answer them.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import flask

import daybook
from daybook.http.answers import DESCRIPTION
from daybook.http.callers import OPEN
from daybook.http.dispatcher import JSON, Body, Configured, Operation, Parameter
from daybook.http.responses import CODES, json_response
from daybook.http.schema import COUNT, TEXT, Schema, listed, record

PATH = "/openapi.json"

AppT = TypeVar("AppT", bound=Configured)
Operations = Mapping[str, Mapping[str, Operation[AppT]]]
"""Path → method → operation."""

PROBLEM_MEDIA = "application/problem+json"
HTML = "text/html"
_EVERY = frozenset({"BAD_REQUEST", "BODY_TOO_LARGE", "INTERNAL"})
"""The codes that any request may be answered with."""
_SEGMENT = re.compile(r"\{(\w+)\}")


def with_description(
    routes: Operations[AppT],
    *,
    title: str,
    problems: Mapping[str, int],
    segments: Mapping[str, Schema] | None = None,
    schemas: Callable[[AppT], Mapping[str, Schema]] = lambda _app: {},
    retry_after: bool = False,
) -> Operations[AppT]:
    """The routes and `GET /openapi.json`, which describes all of them.

    `problems`: code → status, of those that `CODES` lacks. `segments`: what a path's names in
    braces stand for. `schemas`: those that depend on the settings. `retry_after`: whether a 503
    says when to come again.
    """

    def describe(app: AppT, _request: flask.Request) -> flask.Response:
        components = {"schemas": {"Problem": _PROBLEM, **schemas(app)}, **_SECURITY}
        return json_response(200, {**doc, "components": components})

    every: Operations[AppT] = {
        **routes,
        PATH: {
            "GET": Operation(
                handler=describe,
                summary="this interface as OpenAPI 3.1",
                answers={200: DESCRIPTION},
            )
        },
    }
    statuses = {**{code: status for status, code in CODES.items()}, **problems}
    doc = {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": daybook.__version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"identityToken": []}],
        "paths": {
            path: {
                method.lower(): _described(
                    path,
                    method,
                    operation,
                    statuses=statuses,
                    segments=segments or {},
                    retry_after=retry_after,
                )
                for method, operation in methods.items()
            }
            for path, methods in every.items()
        },
    }
    return every


_SECURITY = {
    "securitySchemes": {
        "identityToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An identity token of Google, which Cloud Run verifies.",
        }
    }
}

_PROBLEM = {
    **record(
        {
            "type": TEXT,
            "title": TEXT,
            "status": COUNT,
            "code": TEXT,
            "detail": TEXT,
            "where": TEXT,
            "duplicates": listed(
                {
                    **record(
                        {
                            "collection": TEXT,
                            "index": TEXT,
                            "key": {"type": "object"},
                            "count": COUNT,
                            "documentIds": listed({}),
                        }
                    ),
                    "description": "Documents that a unique index would refuse, the first 20.",
                }
            ),
        },
        optional={"where", "duplicates"},
    ),
    "description": "https://www.rfc-editor.org/rfc/rfc9457, with a code for programs.",
}


def _described(
    path: str,
    method: str,
    operation: Operation[Any],
    *,
    statuses: Mapping[str, int],
    segments: Mapping[str, Schema],
    retry_after: bool,
) -> Mapping[str, Any]:
    parameters = [
        *(_parameter(name, "path", schema) for name, schema in _of_path(path, segments)),
        *(_parameter(name, "query", given) for name, given in operation.query.items()),
        *(_parameter(name, "header", given) for name, given in operation.headers.items()),
    ]
    described: dict[str, Any] = {
        "operationId": _identifier(path, method),
        "summary": operation.summary[0].upper() + operation.summary[1:],
        "responses": _responses(
            operation, _codes(path, operation), statuses, retry_after=retry_after
        ),
    }
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = _request_body(operation.body)
    return described


def _identifier(path: str, method: str) -> str:
    """Such as `post_wallets_ownerUserId_credits`."""
    return "_".join([method.lower(), *re.findall(r"[A-Za-z]+", path)])


def _of_path(path: str, segments: Mapping[str, Schema]) -> Iterable[tuple[str, Parameter]]:
    for name in _SEGMENT.findall(path):
        yield name, Parameter(schema=segments[name], description="", required=True)


def _parameter(name: str, place: str, given: Parameter) -> Mapping[str, Any]:
    described = {"name": name, "in": place, "required": given.required, "schema": given.schema}
    return {**described, "description": given.description} if given.description else described


def _request_body(body: Body) -> Mapping[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": dict(body.fields),
        "additionalProperties": False,
        **body.rules,
    }
    if body.required:
        schema["required"] = list(body.required)
    return {
        # A choice of several sets of fields has none that is empty.
        "required": bool(body.required or "oneOf" in body.rules),
        "description": f"At most {body.longest} bytes. An empty body counts as an empty object.",
        "content": {body.media: {"schema": schema}},
    }


def _codes(path: str, operation: Operation[Any]) -> frozenset[str]:
    codes = _EVERY | operation.problems
    if path not in OPEN:
        codes |= {"FORBIDDEN"}
    if _SEGMENT.search(path):  # one of them may be empty
        codes |= {"NOT_FOUND"}
    return codes


def _responses(
    operation: Operation[Any],
    codes: frozenset[str],
    statuses: Mapping[str, int],
    *,
    retry_after: bool,
) -> Mapping[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(statuses[code], []).append(code)
    return {
        str(status): _response(operation, status, sorted(by_status.get(status, ())), retry_after)
        for status in sorted({*operation.answers, *by_status})
    }


def _response(
    operation: Operation[Any],
    status: int,
    codes: list[str],
    retry_after: bool,
) -> Mapping[str, Any]:
    content: dict[str, Any] = {}
    if status in operation.answers:
        media = operation.media if status == HTTPStatus.OK else JSON
        content[media] = {"schema": operation.answers[status]}
        if operation.page and status == HTTPStatus.OK:
            content[HTML] = {"schema": TEXT}
    if codes:
        content[PROBLEM_MEDIA] = {
            "schema": {
                "allOf": [
                    {"$ref": "#/components/schemas/Problem"},
                    {"properties": {"status": {"const": status}, "code": {"enum": codes}}},
                ]
            }
        }
    headers = {
        name: {"schema": given.schema, "description": given.description}
        for name, given in operation.answer_headers.get(status, {}).items()
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after:
        headers["Retry-After"] = {"schema": COUNT, "description": "In seconds."}
    response: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": content,
    }
    return {**response, "headers": headers} if headers else response
