"""The stand-in for Google Drive as a process of its own."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.emulators.drive.emulator import DriveEmulator


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stand-in as a process until SIGTERM or SIGINT; prints its URL."""
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.drive", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 (default): any free port")
    parser.add_argument("--state-file", type=Path, help="read at start, written at the end")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with DriveEmulator(port=options.port, state_file=options.state_file) as drive:
        print(drive.url, flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
