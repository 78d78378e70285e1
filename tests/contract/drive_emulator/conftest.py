"""A stand-in whose time moves only when a test moves it, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.drive_emulator.calls import (
    Client,
    Clock,
)
from tests.emulators.drive import DriveEmulator


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drive(clock: Clock) -> Iterator[DriveEmulator]:
    with DriveEmulator(clock=clock) as emulator:
        yield emulator


@pytest.fixture
def client(drive: DriveEmulator) -> Iterator[Client]:
    client = Client(drive.url)
    yield client
    client.http.close()
