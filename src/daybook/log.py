"""Events: log records with a constant name and fields, in the form that Cloud Logging reads.

    log.event(logging.INFO, "batch_committed", "The file was delivered.", entry_count=3)

On a terminal, and beside what a command says, they are readable lines; anywhere else one JSON
object per line with
`severity`, `message`, `event`, the fields in camelCase, labels and the trace
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
from typing import Any, TextIO

from daybook.text import display
from daybook.text.scrub import scrubbed
from daybook.text.visible import escaped, visible, visible_lines

REPORTED_ERROR = (
    "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
)
"""Marks a record for Error Reporting: https://cloud.google.com/error-reporting/docs/formatting-error-messages"""

_LOGGER = logging.getLogger("daybook")
_LABELS = ("profile", "batchDate")
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_NOTHING: Mapping[str, object] = MappingProxyType({})
_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default=_NOTHING)
_trace: ContextVar[str | None] = ContextVar("trace", default=None)


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
    # First, because the JSON handler's own filter reads what this one adds.
    handler.filters.insert(0, _add_context)
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
def traced(headers: Mapping[str, str]) -> Iterator[None]:
    """Link every record made inside to the request that has these headers.

    Reads `traceparent` (https://www.w3.org/TR/trace-context/), else
    `X-Cloud-Trace-Context`; the names may be in any case.
    """
    token = _trace.set(_trace_id({name.lower(): text for name, text in headers.items()}))
    try:
        yield
    finally:
        _trace.reset(token)


def _trace_id(headers: Mapping[str, str]) -> str | None:
    parent = headers.get("traceparent", "").strip().split("-")
    candidates = [parent[1] if len(parent) >= 4 else ""]
    candidates.append(headers.get("x-cloud-trace-context", "").partition("/")[0].partition(";")[0])
    return next((id_ for id_ in map(str.lower, candidates) if _TRACE_ID.fullmatch(id_)), None)


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
    record.json_fields = {
        name: _scrubbed(display.document(value)) for name, value in printed.items()
    }
    record.labels = {
        name: scrubbed(display.text(str(fields[name])))
        for name in _LABELS
        if fields.get(name) is not None
    }
    trace = _trace.get()
    if trace:
        project = os.environ.get("GOOGLE_CLOUD_PROJECT")
        record.trace = f"projects/{project}/traces/{trace}" if project else trace
    return True


def _stack_trace(record: logging.LogRecord) -> str:
    """The exception with its causes, and the stack if the call asked for it; may be empty."""
    of_error = record.exc_text or ""
    if record.exc_info and record.exc_info[0]:
        of_error = logging.Formatter().formatException(record.exc_info)
    return "\n".join(stack for stack in (of_error, record.stack_info) if stack)


def _scrub(record: logging.LogRecord, stack: str) -> None:
    """Scrub the record itself, so that handlers of others print no secret either."""
    record.msg, record.args = visible_lines(scrubbed(_message(record))), ()
    record.exc_info, record.stack_info = None, None
    record.exc_text = visible_lines(scrubbed(stack)) or None


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # a library's arguments do not fit its text
        return f"{record.msg} {record.args}"


def _scrubbed(value: Any) -> Any:
    """The result of `display.document` without secrets in any of its texts."""
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, dict):
        return {scrubbed(name): _scrubbed(part) for name, part in value.items()}
    return [_scrubbed(part) for part in value] if isinstance(value, list) else value


def _json_handler(stream: TextIO) -> logging.Handler:
    # Imported here, because it takes most of a second and a terminal does not need it.
    from google.cloud import logging_v2
    from google.cloud.logging_v2.handlers.structured_log import StructuredLogHandler

    # Otherwise two records about the library would follow the first record of each process.
    logging_v2._instrumentation_emitted = True

    class Handler(StructuredLogHandler):
        """Escapes hidden characters, since `docker logs` and `less` print them to a terminal."""

        def format(self, record: logging.LogRecord) -> str:
            return escaped(super().format(record))  # type: ignore[no-untyped-call]  # not annotated

    handler: logging.Handler = Handler(  # type: ignore[no-untyped-call]  # not annotated
        stream=stream, json_encoder_cls=_Encoder
    )
    handler.setFormatter(_MessageOnly())
    return handler


class _Encoder(json.JSONEncoder):
    def default(self, value: Any) -> str:  # the base class calls it `o`
        return display.plain(value)


class _MessageOnly(logging.Formatter):
    """The message alone: the stack trace has its own field, so `message` stays a sentence."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        # The handler parses text that starts with `{`, and would log its names as our fields.
        return f" {text}" if text.startswith("{") else text


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
        return "\n".join(map(visible, lines))
