"""What stand-ins that are served over HTTP share: start and end, hooks, the errors they keep."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tests.emulators.http import Handler, Server

if TYPE_CHECKING:
    from tests.emulators.drive.log import Hook, Moment


class StandIn:
    """Serves requests from `start` to `close`, or inside a `with` block.

    The end of the block raises what went wrong in handlers and hooks.
    """

    def __init__(self, handler: type[Handler], port: int) -> None:
        self.closing = threading.Event()
        self._hooks: list[Hook] = []
        self._errors: list[Exception] = []
        self._server = Server(("127.0.0.1", port), handler, self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if error is None and self._errors:
            raise ExceptionGroup(f"{type(self).__name__} failed", self._errors)

    def start(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop, let held requests go and cut all connections; a queue's deliveries go on."""
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.cut_all()

    @property
    def url(self) -> str:
        """The root URL, with a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def on_request(self, hook: Hook) -> None:
        """Have `hook` called before and after each act, in the request's own thread."""
        self._hooks.append(hook)

    def call_hooks(self, moment: Moment) -> None:
        for hook in list(self._hooks):
            try:
                hook(moment)
            except Exception as error:
                self.broke(error)
                raise

    def broke(self, error: Exception) -> None:
        """Keep an error, to be raised when the `with` block ends."""
        if error not in self._errors:
            self._errors.append(error)

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of the stand-in."""
        if seconds > 0:
            self.closing.wait(seconds)
