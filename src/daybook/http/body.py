"""A request's body: read to its end, kept within a limit, and parsed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import flask
from werkzeug.wsgi import get_input_stream

from daybook.errors import BadRequest, TooLarge
from daybook.text import display

MAX_BYTES = 64 * 1024
MAX_EXPORT_BYTES = 8 * 1024 * 1024
"""A manual export may name 100,000 entries."""

_PIECE_BYTES = 64 * 1024
_MAX_LEVELS = 8
_MAX_FIELDS = 50
_MAX_VALUES = 500_000
"""Five for each entry of an export, since an ID may contain the characters that are counted."""


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
