"""Chromium without a window, through the DevTools protocol over a pipe.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 30.0
# The protocol's pipe is at descriptors 3 and 4 of the browser.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def found() -> str | None:
    """The browser of this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser with one page."""

    def __init__(self, sending: int, receiving: int) -> None:
        self._sending = sending
        self._receiving = receiving
        self._rest = b""
        self._number = 0
        self._events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session: str | None = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """A method of the protocol on the page."""
        return self._call(method, parameters, session=self._session)

    def look_like(self, *, width: int, height: int, dark: bool) -> None:
        """The size of the window, and the colours that its user prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go there, and wait until the page is loaded."""
        self._events.clear()
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self.wait_for("Page.loadEventFired")

    def click(self, selector: str) -> None:
        """Click what leads to another page, and wait until that is loaded."""
        self._events.clear()
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        self.wait_for("Page.loadEventFired")

    def point_and_click(self, element: str, *, leads_on: bool = False) -> None:
        """Click where a person sees the element, which a JavaScript expression gives.

        `leads_on`: wait until the page that it leads to is loaded.
        """
        self._events.clear()
        place = self.run(
            f"(() => {{ const one = {element}; one.scrollIntoView({{block: 'center'}});"
            "const box = one.getClientRects()[0];"
            "const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];"
            "const top = document.elementFromPoint(x, y);"
            "return one.checkVisibility() && (one === top || one.contains(top)) && [x, y]; })()"
        )
        assert place, f"{element} cannot be seen"
        at = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **at)
        if leads_on:
            self.wait_for("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, or of its promise."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, *, leads_on: bool = False) -> None:
        """`leads_on`: wait until the page that it leads to is loaded."""
        self._events.clear()
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **_CODES[key])
        if leads_on:
            self.wait_for("Page.loadEventFired")

    def text(self, selector: str) -> str:
        """What a person reads there."""
        found: str = self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def screenshot(self, path: Path) -> None:
        """The whole page."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def complaints(self) -> list[str]:
        """What the console says since the page was opened."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        self.call("Runtime.evaluate", expression="0")  # whatever came before has arrived
        return [json.dumps(event) for event in self._events if event["method"] in kinds]

    def requested(self) -> list[str]:
        """Every address that the page has loaded something from."""
        sent = [one for one in self._events if one["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def wait_for(self, event: str) -> None:
        until = time.monotonic() + SECONDS
        while not any(one["method"] == event for one in self._events):
            assert time.monotonic() < until, f"no {event} within {SECONDS:g} s"
            self._keep(self._receive())

    def _call(self, method: str, parameters: Any, *, session: str | None = None) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._sending, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._keep(answer)

    def _keep(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self._events.append(message)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._receiving], [], [], SECONDS)
            assert ready, f"the browser has said nothing for {SECONDS:g} s"
            piece = os.read(self._receiving, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        received: dict[str, Any] = json.loads(message)
        return received


_CODES = {
    "Tab": {"windowsVirtualKeyCode": 9},
    "Enter": {"windowsVirtualKeyCode": 13, "text": "\r"},
}


@contextmanager
def browsing(program: str, folder: Path) -> Iterator[Chromium]:
    """A browser with a profile of its own in the folder."""
    theirs, sending = os.pipe()
    receiving, writing = os.pipe()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _LAUNCH, str(theirs), str(writing), program),
            *("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"),
            *("--no-first-run", "--disable-extensions", "--hide-scrollbars"),
            *("--disable-background-networking", "--disable-dev-shm-usage"),
            f"--user-data-dir={folder}",
        ],
        pass_fds=(theirs, writing),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(writing)
    try:
        yield Chromium(sending, receiving)
    finally:
        os.close(sending)  # which ends it
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(receiving)
