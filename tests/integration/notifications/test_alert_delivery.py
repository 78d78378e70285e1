"""Messages on their way to real servers: delivered, refused, never answered, never quoted."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daybook import log
from daybook.export.model.notice import AlertEvent
from daybook.notifications import delivery
from daybook.notifications.alerts import Messages
from daybook.notifications.messages import Language, Message
from tests.contract.raw_server import serving
from tests.unit.notifications.test_alerts import alert
from tests.unit.notifications.test_alerts_receipt import EMPTY, RECEIPT

SECRET = "hunter2SECRETtoken"
MESSAGE = Message(title="Daybook", text="text")


class Inbox:
    """What arrived at a real HTTP server; a path with a number is answered with it."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.got.append({"path": self.path, **json.loads(body)})
                code = self.path.rpartition("/")[2]
                self.send_response(int(code) if code.isdigit() else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def url(self, path: str = SECRET) -> str:
        return f"json://user:{SECRET}@127.0.0.1:{self.server.server_port}/{path}"


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.server.shutdown()
    inbox.server.server_close()


@pytest.fixture
def silence() -> Iterator[str]:
    """The address of a server that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield f"json://127.0.0.1:{listener.getsockname()[1]}/{SECRET}?rto=600&cto=600"
        listener.shutdown(socket.SHUT_RDWR)
    for connection in accepted:
        connection.close()


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Everything that any library logs, from DEBUG on."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.setup(stream, level=logging.DEBUG)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    """The events but those of MongoDB clients: another test's may see its server at any time."""
    lines = (json.loads(line) for line in stream.getvalue().splitlines())
    return [line for line in lines if not line.get("event", "mongodb_").startswith("mongodb_")]


def messages(
    *,
    alerts: tuple[str, ...] = (),
    receipts: tuple[str, ...] = (),
    language: Language = "en",
    within_seconds: float = 10.0,
) -> Messages:
    return Messages(
        alert_urls=alerts,
        receipt_urls=receipts,
        language=language,
        time_zone=ZoneInfo("Asia/Bangkok"),
        project="acme",
        runbook="docs/runbook.md",
        within_seconds=within_seconds,
    )


def test_an_alert_arrives_as_it_was_written(inbox: Inbox, stream: io.StringIO) -> None:
    messages(alerts=(inbox.url(),)).alert(alert(AlertEvent.BATCH_FAILED))
    (got,) = inbox.got
    assert got["title"].startswith("[CRITICAL] Daybook 2026-01-18: Daily batch FAILED after 3")
    assert "`daybook retry 2026-01-18`" in got["message"]
    assert got["message"].splitlines()[-1].startswith("Logs: https://console.cloud.google.com/")
    assert got["type"] == "failure"
    assert [event["event"] for event in events(stream)] == ["batch_failed"]


def test_thai_arrives_as_it_was_written(inbox: Inbox) -> None:
    messages(alerts=(inbox.url(),), language="th").alert(alert(AlertEvent.ATTEMPT_FAILED))
    assert "18 มกราคม 2569 เวลา 18:20 น." in inbox.got[0]["message"]
    assert inbox.got[0]["type"] == "warning"


def test_alerts_and_receipts_go_to_their_own_addresses(inbox: Inbox) -> None:
    both = messages(alerts=(inbox.url("alerts"),), receipts=(inbox.url("receipts"),))
    both.alert(alert(AlertEvent.DAY_LATE))
    both.receipt(RECEIPT)
    assert [got["path"] for got in inbox.got] == ["/alerts", "/receipts"]


def test_every_address_gets_the_message(inbox: Inbox) -> None:
    messages(receipts=tuple(inbox.url(name) for name in "abc")).receipt(EMPTY)
    assert sorted(got["path"] for got in inbox.got) == ["/a", "/b", "/c"]
    assert {got["title"] for got in inbox.got} == {
        "Daybook receipt 2026-01-18: nothing to export, no file"
    }


def test_a_receipt_that_arrived_is_logged(inbox: Inbox, stream: io.StringIO) -> None:
    messages(receipts=(inbox.url("a"), inbox.url("500"))).receipt(RECEIPT)
    refused, sent = events(stream)
    assert (refused["event"], refused["messageKind"]) == ("message_undelivered", "receipt")
    assert (sent["event"], sent["severity"]) == ("receipt_sent", "INFO")
    assert sent["deliveredCount"] == 1
    assert sent["batchId"] == RECEIPT.batch_id
    assert sent["logging.googleapis.com/labels"]["batchDate"] == "2026-01-18"


def test_a_refused_receipt_is_not_called_sent(inbox: Inbox, stream: io.StringIO) -> None:
    messages(receipts=(inbox.url("404"),)).receipt(RECEIPT)
    assert [event["event"] for event in events(stream)] == ["message_undelivered"]
    assert "INV" not in stream.getvalue()


def test_what_is_undelivered_is_logged_with_the_kind_of_service(
    inbox: Inbox, stream: io.StringIO
) -> None:
    addresses = (
        inbox.url(),
        inbox.url("500"),
        f"json://127.0.0.1:1/{SECRET}",
        f"nosuchservice://{SECRET}",
        f"{SECRET.lower()}:{SECRET}",
        f"https://example.invalid/{SECRET}",
        f"line://{SECRET}",
        f"slack://{SECRET}",
    )
    messages(alerts=addresses).alert(alert(AlertEvent.BATCH_FAILED))
    first, *missed = events(stream)
    assert first["event"] == "batch_failed"
    assert {(one["event"], one["severity"], one["messageKind"]) for one in missed} == {
        ("message_undelivered", "WARNING", "batch_failed")
    }
    told = [(one["entry"], one["service"], one["fault"]) for one in missed]
    assert told[:5] == [
        (2, "json", "refused"),
        (3, "json", "refused"),
        (4, "unknown", "unusable"),
        (5, "unknown", "unusable"),
        (6, "unknown", "unusable"),
    ]
    assert {entry for entry, _, _ in told} >= {8}
    assert len(inbox.got) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_no_address_gets_into_the_log_whatever_the_server_answers(
    stream: io.StringIO, answer: bytes
) -> None:
    with serving(answer) as server:
        url = server.replace("http://", f"json://user:{SECRET}@") + SECRET
        messages(alerts=(url,)).alert(alert(AlertEvent.BATCH_FAILED))
        logging.getLogger("urllib3.poolmanager").debug("still heard")
    assert events(stream)[0]["event"] == "batch_failed"
    assert SECRET.lower() not in stream.getvalue().lower()
    assert "still heard" in stream.getvalue()


def test_no_address_gets_into_the_log_when_it_is_unusable(
    stream: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ("slack", "line", "gchat", "mailtos", "discord", "tgram", "msteams", "twilio", "xmpp")
    addresses = tuple(f"{name}://{SECRET}" for name in names)
    messages(alerts=(*addresses, "slack://", "json://", f"mailto:{SECRET}@example.com")).alert(
        alert(AlertEvent.BATCH_FAILED)
    )
    assert len(events(stream)) > 5
    said = stream.getvalue() + "".join(capfd.readouterr())
    assert SECRET.lower() not in said.lower()


def test_a_server_that_never_answers_does_not_hold_the_run(
    silence: str, inbox: Inbox, stream: io.StringIO
) -> None:
    delivery.unusable([silence])  # importing Apprise is not what is measured
    before = time.monotonic()
    messages(alerts=(silence, silence, inbox.url(), silence), within_seconds=0.5).alert(
        alert(AlertEvent.DAY_LATE)
    )
    assert time.monotonic() - before < 2
    assert len(inbox.got) == 1
    missed = [(one["entry"], one["service"], one["fault"]) for one in events(stream)[1:]]
    assert missed == [(1, "json", "timeout"), (2, "json", "timeout"), (4, "json", "timeout")]
    assert SECRET not in stream.getvalue()


def test_a_server_that_never_answers_does_not_hold_the_end_of_the_process(silence: str) -> None:
    program = (
        "import sys; from daybook.notifications import delivery;"
        "from daybook.notifications.messages import Message;"
        "print(delivery.deliver([sys.argv[1]], Message(title='t', text='t'), 50,"
        " within_seconds=1)[0].fault)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, silence],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "timeout"


def test_without_addresses_nothing_is_sent_and_nothing_said(stream: io.StringIO) -> None:
    messages().receipt(RECEIPT)
    assert stream.getvalue() == ""
    assert delivery.deliver((), MESSAGE, logging.INFO) == []


def test_addresses_that_cannot_work_are_reported_without_sending(inbox: Inbox) -> None:
    found = delivery.unusable(
        [inbox.url(), "mailto:accounts@example.com", "https://example.com/", "gchat://only"]
    )
    assert [(one.entry, one.service) for one in found] == [
        (2, "unknown"),
        (3, "unknown"),
        (4, "gchat"),
    ]
    assert inbox.got == []


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "slack"),
        ("https://chat.googleapis.com/v1/spaces/AAAA/messages?key=AIza&token=abc", "gchat"),
        ("line://TOKEN/U1234", "line"),
        ("mailtos://user:password@smtp.example.com?to=accounts@example.com", "mailtos"),
    ],
)
def test_the_services_of_the_documentation_are_usable(url: str, service: str) -> None:
    assert delivery.unusable([url]) == []
    assert delivery._service(url)[0] == service
