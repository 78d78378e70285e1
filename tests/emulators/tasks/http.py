"""The HTTP side of the stand-in for Cloud Tasks: requests, faults, answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.emulators import http
from tests.emulators.drive.faults import Fault, FaultKind, Struck
from tests.emulators.drive.log import LoggedRequest
from tests.emulators.http import ConnectionCut
from tests.emulators.tasks.answers import Answer, TasksError, html_page, refusal
from tests.emulators.tasks.routes import Route, find_route

if TYPE_CHECKING:
    from tests.emulators.tasks import TasksEmulator


class Handler(http.Handler):
    """Answers as Cloud Tasks does."""

    server: http.Server[TasksEmulator]

    def version_string(self) -> str:
        return "ESF"

    def serve(self) -> None:
        emulator = self.server.emulator
        body = self.read_all()
        route = find_route(self.command, self.path, body)
        entry = emulator.log.begin(
            operation=route.operation,
            method=self.command,
            path=route.path,
            identity=_identity(self.headers.get("Authorization")),
            content_range=None,
        )
        emulator.log.received(entry.number, len(body))
        struck = emulator.faults.strike(route.operation)
        emulator.log.note(entry.number, faults=tuple(fault.kind for fault in struck.faults))
        try:
            answer = self._answer(route, entry, struck)
            emulator.log.note(entry.number, status=answer.status)
            self._send(answer)
        except ConnectionCut:
            self.cut()
        finally:
            emulator.log.note(entry.number, ended=True)

    def _answer(self, route: Route, entry: LoggedRequest, struck: Struck) -> Answer:
        emulator = self.server.emulator
        emulator.call_hooks(entry.moment("before"))
        emulator.pause(struck.seconds(FaultKind.DELAY_BEFORE))
        if struck.first(FaultKind.HOLD_BEFORE):
            emulator.faults.hold(emulator.closing)
        if struck.first(FaultKind.CUT_BEFORE) or emulator.down == "cut":
            raise ConnectionCut
        if emulator.down:
            return refusal(503).answer()
        planned = struck.first(FaultKind.STATUS, FaultKind.HTML_PAGE)
        if planned and not planned.after:
            return _planned_answer(planned)
        answer = self._act(route)
        emulator.log.note(entry.number, acted=True)
        emulator.call_hooks(entry.moment("after"))
        emulator.pause(struck.seconds(FaultKind.DELAY_AFTER))
        if struck.first(FaultKind.HOLD_AFTER):
            emulator.faults.hold(emulator.closing)
        if struck.first(FaultKind.ANSWER_LOST):
            raise ConnectionCut
        if struck.first(FaultKind.TRUNCATED_JSON):
            answer = replace(answer, body=answer.body[: len(answer.body) // 2])
        if struck.first(FaultKind.EMPTY_JSON):
            answer = replace(answer, body=b"{}")
        return _planned_answer(planned) if planned else answer

    def _act(self, route: Route) -> Answer:
        emulator = self.server.emulator
        try:
            if emulator.require_auth and not self.headers.get("Authorization"):
                raise refusal(401)
            return route.act(emulator.world, route.call)
        except TasksError as error:
            return error.answer()

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)


def _identity(authorization: str | None) -> str:
    return (authorization or "").removeprefix("Bearer ") or "anonymous"


def _planned_answer(fault: Fault) -> Answer:
    if fault.kind is FaultKind.HTML_PAGE:
        return html_page(fault.status or 502)
    return refusal(fault.status or 500, message=fault.message, reason=fault.reason).answer()
