"""Events: log records with a constant name and fields, in the form that Cloud Logging reads.

    log.event(logging.INFO, "batch_committed", "The file was delivered.", entry_count=3)

On a terminal, and beside the output of a command, they are readable lines; anywhere else one JSON
object per line with `severity`, `message`, `event`, the fields in camelCase, labels and the trace
(https://cloud.google.com/logging/docs/structured-logging).
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple, TextIO

from daybook import display

REPORTED_ERROR = (
    "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
)
"""Marks a record for Error Reporting: https://cloud.google.com/error-reporting/docs/formatting-error-messages"""

_LOGGER = logging.getLogger("daybook")
_LABELS = ("profile", "batchDate")
_CLOUD = "logging.googleapis.com/"
_RESERVED = frozenset(
    {
        *("severity", "httpRequest", "time", "timestamp", "timestampSeconds", "timestampNanos"),
        *(f"{_CLOUD}{name}" for name in ("insertId", "labels", "operation", "sourceLocation")),
        *(f"{_CLOUD}{name}" for name in ("spanId", "trace", "trace_sampled")),
    }
)
"""Keys that Cloud Logging interprets; a field of that name would change the record itself."""
_LONGEST_LINE = 250_000
"""Bytes of a line: Cloud Logging takes no record of more than 256 KB."""
_SHORTER = (20_000, 2_000, 200)
"""Characters to which the fields of a longer line are cut, one after the other until it fits."""
_TRACE_ID = r"((?!0{32})[0-9a-f]{32})"
_TRACEPARENT = re.compile(rf"[^-]*-{_TRACE_ID}-([^-]*)-([^-]*)(?:-.*)?")
_CLOUD_TRACE = re.compile(rf"{_TRACE_ID}(?:/([^;]*))?(?:;o=(\d))?.*")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")
_NOTHING: Mapping[str, object] = MappingProxyType({})


class _Trace(NamedTuple):
    id: str
    span_id: str
    sampled: bool


_NO_TRACE = _Trace(id="", span_id="", sampled=False)
_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default=_NOTHING)
_trace: ContextVar[_Trace] = ContextVar("trace", default=_NO_TRACE)
_request: ContextVar[Mapping[str, object]] = ContextVar("request", default=_NOTHING)


def setup(
    stream: TextIO | None = None, *, level: int = logging.INFO, readable: bool = False
) -> None:
    """Send the process's log records to `stream` (stdout); a second call replaces the first.

    `readable`: plain lines also where `stream` is not a terminal.
    """
    stream = stream or sys.stdout
    plain = readable or stream.isatty()
    handler = _readable_handler(stream) if plain else _json_handler(stream)
    handler.set_name(_LOGGER.name)
    handler.addFilter(_add_context)
    root = logging.getLogger()
    for former in [former for former in root.handlers if former.name == handler.name]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)


def event(
    severity: int,
    name: str,
    message: str,
    *,
    exc_info: BaseException | None = None,
    **fields: object,
) -> None:
    """Log `message`, a sentence for people, as the event `name` with `fields`.

    `severity` is one of `logging`'s levels; `exc_info` adds the stack trace.
    """
    _LOGGER.log(
        severity,
        message,
        exc_info=exc_info,
        extra={"event": name, "fields": _camel_case(fields)},
        stacklevel=2,
    )


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Add `fields` to every record made inside, including records of libraries."""
    token = _bound.set(MappingProxyType({**_bound.get(), **_camel_case(fields)}))
    try:
        yield
    finally:
        _bound.reset(token)


@contextmanager
def traced(headers: Mapping[str, str], request: Mapping[str, object] = _NOTHING) -> Iterator[None]:
    """Link every record made inside to the request that has these headers.

    Reads `traceparent` (https://www.w3.org/TR/trace-context/), else
    `X-Cloud-Trace-Context`; the names may be in any case. `request` becomes the records'
    `httpRequest`:
    https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#HttpRequest
    """
    trace = _trace.set(_trace_of({name.lower(): text for name, text in headers.items()}))
    of_request = _request.set(request)
    try:
        yield
    finally:
        _request.reset(of_request)
        _trace.reset(trace)


def _trace_of(headers: Mapping[str, str]) -> _Trace:
    if found := _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip().lower()):
        id_, span_id, flags = found.groups()
        sampled = re.fullmatch("[0-9a-f]{2}", flags) is not None and int(flags, 16) % 2 == 1
        return _Trace(id_, span_id if _SPAN_ID.fullmatch(span_id) else "", sampled)
    if found := _CLOUD_TRACE.fullmatch(headers.get("x-cloud-trace-context", "").lower()):
        id_, span, option = found.groups(default="")
        # Decimal here, hexadecimal in a record.
        span_id = f"{int(span):016x}" if re.fullmatch(r"[0-9]{1,20}", span) else ""
        return _Trace(id_, span_id if _SPAN_ID.fullmatch(span_id) else "", option == "1")
    return _NO_TRACE


def _camel_case(fields: Mapping[str, object]) -> dict[str, object]:
    return {re.sub(r"_(\w)", lambda m: m[1].upper(), name): fields[name] for name in fields}


def _add_context(record: logging.LogRecord) -> bool:
    """Add what the handlers print to the record."""
    fields = {**_bound.get(), **getattr(record, "fields", _NOTHING)}
    printed: dict[str, object] = {**getattr(record, "json_fields", _NOTHING), **fields}
    if hasattr(record, "event"):
        printed["event"] = record.event
    if record.levelno >= logging.ERROR:
        printed["@type"] = REPORTED_ERROR
    stack = _stack_trace(record)
    if stack:
        printed["stack_trace"] = stack
    _scrub(record, stack)
    record.json_fields = {name: _printable(value) for name, value in printed.items()}
    record.labels = {
        name: display.scrubbed(display.text(str(fields[name])))
        for name in _LABELS
        if fields.get(name) is not None
    }
    return True


def _stack_trace(record: logging.LogRecord) -> str:
    """The exception with its causes, and the stack if the call asked for it; may be empty."""
    of_error = record.exc_text or ""
    if record.exc_info and record.exc_info[0]:
        of_error = logging.Formatter().formatException(record.exc_info)
    return "\n".join(stack for stack in (of_error, record.stack_info) if stack)


def _scrub(record: logging.LogRecord, stack: str) -> None:
    """Scrub the record itself, so that handlers of others print no secret either."""
    record.msg, record.args = display.visible_lines(display.scrubbed(_message(record))), ()
    record.exc_info, record.stack_info = None, None
    record.exc_text = display.visible_lines(display.scrubbed(stack)) or None


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # a library's arguments do not fit its text
        return f"{_printable(record.msg)} {_printable(record.args)}"


def _printable(value: object) -> Any:
    """The value without secrets, in a form that JSON can hold.

    Whatever a value raises when it is printed, such as one that contains itself, neither ends what
    is logged nor loses the record.
    """
    try:
        return _scrubbed(display.document(value))
    except Exception as error:  # noqa: BLE001  # the value's own code runs here
        return f"a {type(value).__name__} that cannot be printed ({type(error).__name__})"


def _scrubbed(value: Any) -> Any:
    """The result of `display.document` without secrets in any of its texts."""
    if isinstance(value, str):
        return display.scrubbed(value)
    if isinstance(value, dict):
        return {display.scrubbed(name): _scrubbed(part) for name, part in value.items()}
    return [_scrubbed(part) for part in value] if isinstance(value, list) else value


def _json_handler(stream: TextIO) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json())
    return handler


class _Json(logging.Formatter):
    """A line that Cloud Logging reads: https://cloud.google.com/logging/docs/structured-logging

    As the handler of google-cloud-logging writes it, without its import: see
    docs/decisions/0024-log-lines-without-google-cloud-logging.md. Hidden characters are escaped,
    since `docker logs` and `less` print them to a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        stored: Mapping[str, object] = getattr(record, "json_fields", _NOTHING)
        fields = {name: value for name, value in stored.items() if name not in _RESERVED}
        fields["message"] = record.getMessage()
        trace = _trace.get()
        project = os.environ.get("GOOGLE_CLOUD_PROJECT")
        entry = {
            "severity": record.levelname,
            f"{_CLOUD}labels": {"python_logger": record.name, **getattr(record, "labels", {})},
            f"{_CLOUD}trace": (
                f"projects/{project}/traces/{trace.id}" if project and trace.id else trace.id
            ),
            f"{_CLOUD}spanId": trace.span_id,
            f"{_CLOUD}trace_sampled": trace.sampled,
            f"{_CLOUD}sourceLocation": {
                "line": record.lineno,
                "file": record.pathname,
                "function": record.funcName,
            },
            "httpRequest": _printable(_request.get()),
        }
        line = _line({**fields, **entry})
        for longest in _SHORTER:
            if len(line) <= _LONGEST_LINE // 4 or len(line.encode()) <= _LONGEST_LINE:
                break
            fields = {name: _shortened(value, longest) for name, value in fields.items()}
            line = _line({**fields, **entry})
        return line


def _line(entry: Mapping[str, object]) -> str:
    return display.escaped(json.dumps(entry, ensure_ascii=False, cls=_Encoder))


def _shortened(value: object, longest: int) -> object:
    """The value, or the beginning of its JSON as text."""
    text = value if isinstance(value, str) else _line({"": value})[5:-1]
    return value if len(text) <= longest else f"{text[:longest]}… and {len(text) - longest} more"


class _Encoder(json.JSONEncoder):
    def default(self, value: Any) -> str:  # the base class calls it `o`
        return display.plain(value)


def _readable_handler(stream: TextIO) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Readable())
    return handler


class _Readable(logging.Formatter):
    """One line per record, and the stack trace indented, so that no value can forge a record."""

    def format(self, record: logging.LogRecord) -> str:
        printed = getattr(record, "json_fields", _NOTHING)
        names = {**_bound.get(), **getattr(record, "fields", _NOTHING)}
        parts = [
            f"{self.formatTime(record, '%H:%M:%S')} {record.levelname:<8} {record.getMessage()}",
            getattr(record, "event", ""),
            *(f"{name}={printed.get(name)}" for name in names),
        ]
        stack = record.exc_text.split("\n") if record.exc_text else []
        lines = ["  ".join(part for part in parts if part), *(f"    {line}" for line in stack)]
        return "\n".join(map(display.visible, lines))
