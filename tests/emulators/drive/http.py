"""The stand-in's HTTP side: reading requests, letting faults strike, sending answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.emulators import http
from tests.emulators.drive.answers import Answer, html_page, refusal
from tests.emulators.drive.call import Call
from tests.emulators.drive.control import CONTROL_PREFIX, control
from tests.emulators.drive.faults import Fault, FaultKind, Struck
from tests.emulators.drive.log import LoggedRequest
from tests.emulators.drive.routes import Head, Route, find_route
from tests.emulators.http import ConnectionCut

if TYPE_CHECKING:
    from tests.emulators.drive import DriveEmulator

_PIECE_BYTES = 64 * 1024
_CHUNKS = ("chunk", "chunk_last")


class Handler(http.Handler):
    """Answers as Drive does."""

    server: http.Server[DriveEmulator]

    def version_string(self) -> str:
        return "UploadServer"

    def do_PUT(self) -> None:  # noqa: N802 (named by http.server)
        self.serve()

    def do_PATCH(self) -> None:  # noqa: N802 (named by http.server)
        self.serve()

    def serve(self) -> None:
        if self.path.startswith(CONTROL_PREFIX):
            body = self.read_all()
            self._send(control(self.server.emulator, self.command, self.path, body))
            return
        try:
            self._serve_drive()
        except ConnectionCut:
            self.cut()

    def _serve_drive(self) -> None:
        emulator = self.server.emulator
        head = self._head()
        route = find_route(head)
        entry = emulator.log.begin(
            operation=route.operation,
            method=head.method,
            path=head.path,
            identity=head.identity.name,
            content_range=head.headers.get("content-range"),
        )
        struck = emulator.faults.strike(route.operation)
        emulator.log.note(entry.number, faults=tuple(fault.kind for fault in struck.faults))
        try:
            answer = self._answer(head, route, entry, struck)
            emulator.log.note(entry.number, status=answer.status)
            if struck.first(FaultKind.ANSWER_CUT):
                self._send(answer, only_half=True)
                raise ConnectionCut
            self._send(answer)
        finally:
            emulator.log.note(entry.number, ended=True)

    def _answer(self, head: Head, route: Route, entry: LoggedRequest, struck: Struck) -> Answer:
        emulator = self.server.emulator
        emulator.pause(emulator.latency_seconds)
        if emulator.down == "cut":
            raise ConnectionCut
        if struck.first(FaultKind.CUT_BEFORE):
            emulator.call_hooks(entry.moment("before"))
            raise ConnectionCut
        call = self._call(head, route, entry, struck)
        if emulator.down:
            return refusal(503).answer()
        emulator.call_hooks(entry.moment("before"))
        if call.whole:
            emulator.pause(struck.seconds(FaultKind.DELAY_BEFORE))
            if struck.first(FaultKind.HOLD_BEFORE):
                emulator.faults.hold(emulator.closing)
        planned = struck.first(FaultKind.STATUS, FaultKind.HTML_PAGE)
        if planned and not planned.after:
            return _planned_answer(planned)
        answer = emulator.service.perform(call)
        emulator.log.note(entry.number, acted=True)
        emulator.call_hooks(entry.moment("after"))
        if not call.whole:
            raise ConnectionCut
        emulator.pause(struck.seconds(FaultKind.DELAY_AFTER))
        if struck.first(FaultKind.HOLD_AFTER):
            emulator.faults.hold(emulator.closing)
        if struck.first(FaultKind.ANSWER_LOST):
            raise ConnectionCut
        return _planned_answer(planned) if planned else _spoilt(answer, struck)

    def _call(self, head: Head, route: Route, entry: LoggedRequest, struck: Struck) -> Call:
        cut = struck.first(FaultKind.CUT_BODY)
        limit = None
        if cut is not None:
            limit = head.body_bytes // 2 if cut.at_bytes is None else cut.at_bytes
        body, whole = self._read_body(entry, limit)
        if not whole and route.operation not in _CHUNKS:
            raise ConnectionCut
        partial, expired = (
            struck.first(FaultKind.PARTIAL_CHUNK),
            struck.first(FaultKind.SESSION_EXPIRED),
        )
        at_most = None
        if partial is not None:
            at_most = len(body) // 2 if partial.at_bytes is None else partial.at_bytes
        return Call(
            head=replace(head, body_bytes=head.body_bytes or len(body)),
            route=route,
            body=body,
            whole=whole,
            at_most=at_most,
            makes=struck.first(FaultKind.NOT_MADE) is None,
            gone_status=(expired.status or 404) if expired else None,
        )

    def _head(self) -> Head:
        headers = {key.lower(): value for key, value in self.headers.items()}
        return Head(
            method=self.command,
            target=self.path,
            headers=headers,
            identity=self.server.emulator.identify(headers.get("authorization")),
            body_bytes=int(headers.get("content-length", "0")),
        )

    # Reading

    def _read_body(self, entry: LoggedRequest, limit: int | None) -> tuple[bytes, bool]:
        """The body, or what came of it before it broke off, and whether it is whole."""
        emulator = self.server.emulator
        announced = int(self.headers.get("Content-Length", "0"))
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self._read_chunked()
            emulator.log.received(entry.number, len(body))
            return body, True
        wanted = announced if limit is None else min(limit, announced)
        parts: list[bytes] = []
        left = wanted
        while left:
            try:
                piece = self.rfile.read1(min(left, _PIECE_BYTES))
            except (ConnectionError, TimeoutError):
                piece = b""
            if not piece:
                break
            left -= len(piece)
            parts.append(piece)
            emulator.log.received(entry.number, len(piece))
            emulator.throttle(len(piece))
        return b"".join(parts), left == 0 and limit is None

    def _read_chunked(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            if size == 0:
                break
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    # Sending

    def _send(self, answer: Answer, *, only_half: bool = False) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        buffered: list[bytes] = self.__dict__.pop("_headers_buffer")
        head = b"".join([*buffered, b"\r\n"])
        message = head + answer.body
        if only_half:
            # Without a body it breaks off in the status line: clients take headers that end
            # early for complete ones.
            message = message[: len(head) + len(answer.body) // 2 if answer.body else 10]
        for start in range(0, len(message), _PIECE_BYTES):
            piece = message[start : start + _PIECE_BYTES]
            self.wfile.write(piece)
            self.server.emulator.throttle(len(piece))


def _planned_answer(fault: Fault) -> Answer:
    if fault.kind is FaultKind.HTML_PAGE:
        return html_page(fault.status or 502)
    return refusal(fault.status or 500, fault.reason, fault.message).answer()


def _spoilt(answer: Answer, struck: Struck) -> Answer:
    if struck.first(FaultKind.TRUNCATED_JSON):
        answer = replace(answer, body=answer.body[: len(answer.body) // 2])
    if struck.first(FaultKind.EMPTY_JSON):
        answer = replace(answer, body=b"{}")
    is_resource = answer.status == 200 and answer.content_type.startswith("application/json")
    wrong: dict[str, Any] = {}
    if struck.first(FaultKind.LYING_MD5):
        wrong["md5Checksum"] = "0" * 32
    if fault := struck.first(FaultKind.WRONG_FIELDS):
        wrong |= fault.fields or {}
    if wrong and is_resource:
        found = json.loads(answer.body)
        told = {key: wrong.get(key, value) for key, value in found.items()}
        kept = {key: value for key, value in told.items() if value is not None}
        answer = replace(answer, body=json.dumps(kept).encode())
    return answer
