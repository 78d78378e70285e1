"""A stand-in that runs in another process, reached through its control API."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

_ROOT = Path(__file__).parents[3]


class RemoteDrive:
    """Sees and steers the stand-in at `url` (with a slash at its end)."""

    def __init__(self, url: str) -> None:
        self.url = url

    def state(self) -> dict[str, Any]:
        """Files, sessions, requests, faults and ids, as `GET /_control/state` gives them."""
        found: dict[str, Any] = json.loads(self._ask("GET", "state"))
        return found

    def content(self, file_id: str) -> bytes:
        return self._ask("GET", f"files/{file_id}")

    def tamper(self, file_id: str, content: bytes) -> None:
        self._ask("PUT", f"files/{file_id}", content)

    def remove(self, file_id: str) -> None:
        self._ask("DELETE", f"files/{file_id}")

    def fault(self, kind: str, **options: Any) -> None:
        """Plan a fault; the options are those of `DriveEmulator.fault`."""
        self._post("faults", {"kind": kind, **options})

    def clear_faults(self) -> None:
        self._ask("DELETE", "faults")

    def release(self) -> None:
        self._post("release", {})

    def configure(self, **settings: Any) -> None:
        """Change settings such as `down`; `listing_lag` is in seconds here."""
        self._post("settings", settings)

    def grant(self, container_id: str, role: str, identity: str | None = None) -> None:
        self._post("roles", {"id": container_id, "role": role, "identity": identity})

    def advance(self, seconds: float) -> None:
        self._post("clock", {"seconds": seconds})

    def _post(self, path: str, values: dict[str, Any]) -> None:
        self._ask("POST", path, json.dumps(values).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = Request(f"{self.url}_control/{path}", data=body, method=method)
        with urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
            return content


class DriveProcess(RemoteDrive):
    """Runs the stand-in as a process of its own for the length of a `with` block."""

    def __init__(self, *, port: int = 0, state_file: Path | None = None) -> None:
        command = [sys.executable, "-m", "tests.emulators.drive", "--port", str(port)]
        if state_file is not None:
            command += ["--state-file", str(state_file)]
        self.process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
        url = self.process.stdout.readline().strip() if self.process.stdout else ""
        if not url:
            raise RuntimeError(f"the stand-in ended with code {self.process.wait()}")
        super().__init__(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()
