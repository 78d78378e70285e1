"""Log records as Cloud Logging and a person at a terminal read them."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId
from google.cloud import logging_v2
from google.cloud.logging_v2.handlers.structured_log import StructuredLogHandler

from daybook import log
from daybook.display import visible

logging_v2._instrumentation_emitted = True
"""Otherwise two records about the library follow its first one."""

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACE_FIELD = "logging.googleapis.com/trace"
LABELS_FIELD = "logging.googleapis.com/labels"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    log.setup(stream)
    return stream


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_name_and_fields(stream: io.StringIO) -> None:
    log.event(
        logging.INFO, "batch_committed", "Delivered 100 % {of} it.", entry_count=3, fileId="f"
    )
    (record,) = records(stream)
    assert record["severity"] == "INFO"
    assert record["message"] == "Delivered 100 % {of} it."
    assert record["event"] == "batch_committed"
    assert record["entryCount"] == 3
    assert record["fileId"] == "f"
    assert "@type" not in record


@pytest.mark.parametrize(
    "level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]
)
def test_severity_is_the_levels_name(level: int) -> None:
    stream = io.StringIO()
    log.setup(stream, level=logging.DEBUG)
    log.event(level, "tried", "Something happened.")
    assert records(stream)[0]["severity"] == logging.getLevelName(level)


def test_debug_is_left_out_by_default(stream: io.StringIO) -> None:
    log.event(logging.DEBUG, "tried", "Something happened.")
    assert records(stream) == []


def test_the_source_is_the_callers_line(stream: io.StringIO) -> None:
    log.event(logging.INFO, "tried", "Something happened.")
    source = records(stream)[0]["logging.googleapis.com/sourceLocation"]
    assert source["function"] == "test_the_source_is_the_callers_line"


def test_values_that_json_lacks_are_written_as_text(stream: io.StringIO) -> None:
    id_ = ObjectId()
    log.event(
        logging.INFO,
        "tried",
        "ส่งไฟล์แล้ว\nline two",
        id=id_,
        day=date(2026, 1, 18),
        at=datetime(2026, 1, 18, 11, tzinfo=UTC),
        total=Decimal("1.10"),
    )
    (record,) = records(stream)
    assert record["message"] == "ส่งไฟล์แล้ว\nline two"
    assert record["id"] == str(id_)
    assert record["day"] == "2026-01-18"
    assert record["at"] == "2026-01-18T11:00:00+00:00"
    assert record["total"] == "1.10"


def test_bound_fields_stand_on_every_record_inside_and_on_none_after(stream: io.StringIO) -> None:
    with log.bound(profile="daily", batch_date="2026-01-18", fence=7):
        with log.bound(step="upload", fence=8):
            log.event(logging.INFO, "inner", "Inside both.")
        logging.getLogger("somebody.else").warning("a %s record", "foreign")
        log.event(logging.INFO, "outer", "Inside one.", fence=9)
    log.event(logging.INFO, "after", "Outside.")
    inner, foreign, outer, after = records(stream)
    assert (inner["profile"], inner["batchDate"], inner["fence"]) == ("daily", "2026-01-18", 8)
    assert inner["step"] == "upload"
    assert foreign["message"] == "a foreign record"
    assert (foreign["fence"], "step" in foreign, "event" in foreign) == (7, False, False)
    assert outer["fence"] == 9
    assert "fence" not in after
    assert "profile" not in after


def test_profile_and_date_are_labels_to_filter_by(stream: io.StringIO) -> None:
    with log.bound(profile="daily", batch_date=date(2026, 1, 18), fence=7):
        log.event(logging.INFO, "tried", "Something happened.")
    labels = records(stream)[0][LABELS_FIELD]
    assert labels["profile"] == "daily"
    assert labels["batchDate"] == "2026-01-18"
    assert "fence" not in labels


def test_bound_fields_end_with_an_error_inside(stream: io.StringIO) -> None:
    with pytest.raises(ValueError, match="stop"), log.bound(fence=7):
        raise ValueError("stop")
    log.event(logging.INFO, "after", "Outside.")
    assert "fence" not in records(stream)[0]


def test_an_error_goes_to_error_reporting_with_its_stack_trace(stream: io.StringIO) -> None:
    try:
        int("many")
    except ValueError as error:
        log.event(logging.CRITICAL, "batch_failed", "The batch failed.", exc_info=error)
    (record,) = records(stream)
    assert record["severity"] == "CRITICAL"
    assert record["@type"].endswith("v1beta1.ReportedErrorEvent")
    assert record["message"] == "The batch failed."
    assert record["stack_trace"].startswith("Traceback (most recent call last):")
    assert record["stack_trace"].endswith("with base 10: 'many'")


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        {"Traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        {"X-Cloud-Trace-Context": f"{TRACE}/12345;o=1"},
        {"X-Cloud-Trace-Context": TRACE},
        {"traceparent": "00-broken", "X-Cloud-Trace-Context": f"{TRACE};o=1"},
        {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Cloud-Trace-Context": "f" * 32},
    ],
)
def test_records_of_a_request_carry_its_trace(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "acme")
    with log.traced(headers):
        log.event(logging.INFO, "tried", "Something happened.")
    log.event(logging.INFO, "after", "Outside.")
    inside, after = records(stream)
    assert inside[TRACE_FIELD] == f"projects/acme/traces/{TRACE}"
    assert after[TRACE_FIELD] == ""


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"traceparent": TRACE},
        {"X-Cloud-Trace-Context": 'x", "severity": "CRITICAL'},
        {"X-Cloud-Trace-Context": "/1"},
    ],
)
def test_a_malformed_trace_is_left_out(stream: io.StringIO, headers: dict[str, str]) -> None:
    with log.traced(headers):
        log.event(logging.INFO, "tried", "Something happened.")
    (record,) = records(stream)
    assert record[TRACE_FIELD] == ""
    assert record["severity"] == "INFO"


def test_setting_up_again_replaces_the_former_stream(stream: io.StringIO) -> None:
    second = io.StringIO()
    log.setup(second)
    log.event(logging.INFO, "tried", "Something happened.")
    assert len(records(second)) == 1
    assert records(stream) == []


def test_a_terminal_gets_readable_lines() -> None:
    terminal = Terminal()
    log.setup(terminal)
    with log.bound(batch_date="2026-01-18"):
        log.event(logging.WARNING, "rejected", "One entry was set aside.", entry_id="e1")
    (line,) = terminal.getvalue().splitlines()
    assert "WARNING  One entry was set aside." in line
    assert line.endswith("rejected  batchDate=2026-01-18  entryId=e1")


def test_a_terminal_shows_the_stack_trace() -> None:
    terminal = Terminal()
    log.setup(terminal)
    log.event(logging.ERROR, "failed", "It failed.", exc_info=ValueError("the cause"))
    assert "ValueError: the cause" in terminal.getvalue()


def test_a_new_process_writes_nothing_but_its_own_records_to_stdout() -> None:
    program = (
        "import logging; from daybook import log; log.setup();"
        "log.event(logging.INFO, 'first', 'One.'); log.event(logging.INFO, 'second', 'Two.')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["first", "second"]
    assert done.stderr == ""


REQUEST = {"requestMethod": "POST", "requestUrl": "https://example.com/run", "protocol": "HTTP/2"}


@pytest.mark.parametrize(
    ("headers", "span_id", "sampled"),
    [
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, "b7ad6b7169203331", True),
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}, "b7ad6b7169203331", False),
        ({"traceparent": f"00-{TRACE}-{'0' * 16}-01"}, "", True),
        ({"traceparent": f"00-{TRACE}-span-xx"}, "", False),
        ({"X-Cloud-Trace-Context": f"{TRACE}/12345;o=1"}, "0000000000003039", True),
        ({"X-Cloud-Trace-Context": f"{TRACE}/12345"}, "0000000000003039", False),
        ({"X-Cloud-Trace-Context": f"{TRACE}/{2**64};o=0"}, "", False),
        ({"X-Cloud-Trace-Context": f"{TRACE}/\u0e51;o=1"}, "", True),
        ({}, "", False),
    ],
)
def test_a_record_says_of_its_request_what_cloud_logging_shows(
    stream: io.StringIO, headers: dict[str, str], span_id: str, sampled: bool
) -> None:
    with log.traced(headers, REQUEST):
        logging.getLogger("some.library").warning("A line.")
    log.event(logging.INFO, "after", "Outside.")
    inside, after = records(stream)
    assert inside["httpRequest"] == REQUEST
    assert inside["logging.googleapis.com/spanId"] == span_id
    assert inside["logging.googleapis.com/trace_sampled"] is sampled
    assert inside[LABELS_FIELD] == {"python_logger": "some.library"}
    assert after["httpRequest"] == {}


def test_the_address_of_a_request_keeps_no_secret(stream: io.StringIO) -> None:
    with log.traced({}, {"requestUrl": URL}):
        log.event(logging.INFO, "tried", "Something happened.")
    assert records(stream)[0]["httpRequest"] == {"requestUrl": URL.replace(SECRET, "…")}


def test_a_field_cannot_change_the_record_itself(stream: io.StringIO) -> None:
    special = ("severity", "time", "timestamp", "httpRequest", LABELS_FIELD, TRACE_FIELD)
    more = [f"logging.googleapis.com/{name}" for name in ("insertId", "operation", "spanId")]
    forged = dict.fromkeys([*special, *more, "message"], "forged")
    logging.getLogger("some.library").warning("said", extra={"json_fields": {**forged, "own": 1}})
    (record,) = records(stream)
    assert "forged" not in record.values()
    assert (record["message"], record["severity"], record["own"]) == ("said", "WARNING", 1)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("A sentence.", {}),
        ("ค่าบริการ \u2028 {of} %d", {"entryCount": 3, "totals": {"THB": {"debit": "1.00"}}}),
        ("two\nlines", {"at": datetime(2026, 1, 18, tzinfo=UTC), "id": ObjectId(b"x" * 12)}),
        ("", {"nothing": None, "list": [1, True, 2.5, "\x1b[31m"]}),
    ],
)
def test_a_line_is_what_the_handler_of_google_cloud_logging_writes(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, message: str, fields: dict[str, Any]
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "a-project")
    (ours,) = (handler for handler in logging.getLogger().handlers if handler.name == "daybook")
    theirs = io.StringIO()
    handler = StructuredLogHandler(stream=theirs, project_id="a-project", json_encoder_cls=Plain)
    handler.filters[:] = [*ours.filters, of_request, *handler.filters]
    logging.getLogger().addHandler(handler)
    with log.traced({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, REQUEST):
        log.event(logging.WARNING, "tried", message, profile="daily", **fields)
    assert records(stream) == [json.loads(theirs.getvalue())]


class Plain(json.JSONEncoder):
    def default(self, value: Any) -> str:
        return str(value.isoformat() if isinstance(value, datetime) else value)


def of_request(record: logging.LogRecord) -> bool:
    """What the library would take from flask's current request."""
    record.trace = f"projects/a-project/traces/{TRACE}"
    record.span_id, record.trace_sampled = "b7ad6b7169203331", True
    record.http_request = REQUEST
    return True


@pytest.mark.parametrize("terminal", [False, True])
def test_logging_takes_no_library_of_google(terminal: bool) -> None:
    program = (
        "import io, sys; from daybook import log, settings; stream = io.StringIO();"
        f"stream.isatty = lambda: {terminal}; log.setup(stream);"
        "print([name for name in sys.modules if name.startswith(('google.api', 'grpc'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "[]"


def _chained() -> Exception:
    """What `requests` raises after an upload's connection broke: the URL is in each cause."""
    url = (
        f"https://www.googleapis.com/upload/drive/v3/files?uploadType=resumable&upload_id={SECRET}"
    )
    error = OSError(f"HTTPSConnectionPool: Max retries exceeded with url: {url}")
    error.__cause__ = ConnectionResetError(f"reset while sending to {url}")
    return error


SECRET = "AHmUCY2nsNeverInALog"
URL = f"https://example.com/upload?upload_id={SECRET}"
RECORDS: Mapping[str, Callable[[], object]] = {
    "own message": lambda: log.event(logging.ERROR, "tried", f"It failed: {URL}"),
    "own field": lambda: log.event(logging.ERROR, "tried", "It failed.", error=URL),
    "own nested field": lambda: log.event(logging.ERROR, "t", "It.", facts={"a": [URL], URL: 1}),
    "own object": lambda: log.event(logging.ERROR, "tried", "It failed.", error=_chained()),
    "own exception": lambda: log.event(logging.ERROR, "tried", "It.", exc_info=_chained()),
    "label": lambda: log.event(logging.ERROR, "tried", "It failed.", profile=URL),
    "other's argument": lambda: logging.getLogger("some.library").error("to %s", URL),
    "other's mapping": lambda: logging.getLogger("some.library").error("%(at)s", {"at": URL}),
    "other's document": lambda: logging.getLogger("some.library").error({"at": URL}),
    "other's misfit": lambda: logging.getLogger("some.library").error("%d", URL),
    "other's exception": lambda: logging.getLogger("l").error("It.", exc_info=_chained()),
    "other's fields": lambda: logging.getLogger("l").error(
        "It.", extra={"json_fields": {"a": URL}}
    ),
}


def _bound_field() -> None:
    with log.bound(at=URL):
        logging.getLogger("l").error("It.")


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("which", [*RECORDS, "bound field"])
def test_no_record_of_any_logger_holds_a_secret(which: str, terminal: bool) -> None:
    logging.getLogger().handlers.clear()  # pytest's fail where arguments do not fit
    stream = Terminal() if terminal else io.StringIO()
    log.setup(stream)
    other = io.StringIO()
    handler = logging.StreamHandler(other)
    logging.getLogger().addHandler(handler)
    {**RECORDS, "bound field": _bound_field}[which]()
    logging.getLogger().removeHandler(handler)
    assert stream.getvalue()
    assert SECRET not in stream.getvalue()
    assert SECRET not in other.getvalue()
    if which == "own exception":
        assert "ConnectionResetError" in stream.getvalue()
        assert "upload_id=…" in stream.getvalue()


FORGED = "Done.\n12:00:00 CRITICAL Daily batch FAILED  batch_failed"


@pytest.mark.parametrize("sign", ["\x1b[2J", "\x9b2J", "\r", "\n", "\u2028", "\u202e", "\udc80"])
def test_a_terminal_gets_no_control_character_and_no_forged_record(sign: str) -> None:
    logging.getLogger().handlers.clear()  # pytest's cannot pass a surrogate on
    terminal = Terminal()
    log.setup(terminal)
    text = f"a{sign}{FORGED}"
    with log.bound(reference=text):
        log.event(logging.ERROR, "tried", text, value=text, exc_info=ValueError(text))
        logging.getLogger("some.library").warning("said %s", text, stack_info=True)
    lines = terminal.getvalue().removesuffix("\n").split("\n")
    assert [line.split("  ")[0].split(" ")[1] for line in lines if not line.startswith("    ")] == [
        "ERROR",
        "WARNING",
    ]
    assert all(visible(line) == line for line in lines)


def test_a_message_that_is_json_makes_no_fields(stream: io.StringIO) -> None:
    text = '{"severity": "CRITICAL", "event": "batch_failed", "profile": "daily"}'
    logging.getLogger("some.library").warning(text)
    log.event(logging.INFO, "tried", text)
    foreign, own = records(stream)
    assert "event" not in foreign
    assert (own["event"], own["severity"]) == ("tried", "INFO")
    assert foreign["message"] == own["message"] == text


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def _endless() -> dict[str, Any]:
    inside: dict[str, Any] = {}
    inside["self"] = inside
    return inside


@pytest.mark.parametrize("terminal", [False, True], ids=["json", "terminal"])
@pytest.mark.parametrize(
    "value", [Unprintable(), [{"a": Unprintable()}], {Unprintable(): 1}, _endless()]
)
def test_a_value_that_cannot_be_printed_ends_nothing_and_loses_no_record(
    value: Any, terminal: bool
) -> None:
    stream = Terminal() if terminal else io.StringIO()
    logging.getLogger().handlers.clear()  # pytest's own raise such errors
    log.setup(stream)
    log.event(logging.WARNING, "odd", "It is odd.", value=value, count=3)
    logging.getLogger("library").warning(value)
    logging.getLogger("library").warning("%c", 10**9)
    logging.getLogger("library").warning("%s and %d", "one", value)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert "It is odd." in lines[0]
    assert "cannot be printed" in lines[0]
    if not terminal:
        assert records(stream)[0]["count"] == 3


@pytest.mark.parametrize(
    "value",
    [["ก" * 1000] * 500, {str(number): "x" * 100 for number in range(9000)}, "\u202e" * 90_000],
    ids=["list", "document", "escaped"],
)
def test_no_line_is_longer_than_cloud_logging_takes(stream: io.StringIO, value: Any) -> None:
    others: dict[str, Any] = {f"field{number}": "ก" * 90_000 for number in range(20)}
    log.event(logging.WARNING, "large", "ข" * 90_000, value=value, count=3, **others)
    (record,) = records(stream)
    assert len(stream.getvalue().encode()) <= 256_000
    assert (record["event"], record["severity"], record["count"]) == ("large", "WARNING", 3)
    assert record["message"].startswith("ข" * 200)
    assert record["value"].endswith(" more") or record["value"].endswith(" more characters")
