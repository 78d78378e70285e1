"""What all tests share: a real MongoDB, a database of their own, a fresh Drive.

`DAYBOOK_TEST_MONGODB_URI` names a replica set to use instead of the embedded one.
A test that needs MongoDB is skipped where there is none, and fails when `CI` is set.
"""

from __future__ import annotations

import gc
import logging
import os
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.periodic_executor import PeriodicExecutor

from daybook.errors import ConfigurationError
from daybook.local.mongod import EmbeddedMongod
from tests import options
from tests.in_memory import in_memory
from tests.reusable import ReusableDatabase

if TYPE_CHECKING:
    from tests.emulators.drive import DriveEmulator

# An example's time says more about the machine's other work than about the code.
hypothesis.settings.register_profile("daybook", deadline=None)
hypothesis.settings.load_profile("daybook")


EVENTS_PAUSE_SECONDS = 0.02
GC_THRESHOLD = (20_000, 20, 20)
"""In place of (700, 10, 10), with which collections take a twentieth of a worker's time."""


options.hide()
# Images of containers often set it; every worker and process of a test would compile again what
# others have compiled. `make` does the same.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure() -> None:
    """Closing a client waits for the driver's thread of events, which pauses half a second."""
    make = PeriodicExecutor.__init__

    def make_with_short_pauses(
        self: PeriodicExecutor, interval: float, min_interval: float, target: Any, name: Any = None
    ) -> None:
        if name == "pymongo_events_thread":
            min_interval = EVENTS_PAUSE_SECONDS
        make(self, interval, min_interval, target, name)

    PeriodicExecutor.__init__ = make_with_short_pauses  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests stay to the end, so no garbage collection needs to look through them.

    During this, collections would find nothing either, in a third of the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
        gc.set_threshold(*GC_THRESHOLD)


@pytest.fixture(autouse=True)
def _former_handlers() -> Iterator[None]:
    root = logging.getLogger()
    # A command that another test ran in this process sets logging up at its first record.
    root.handlers[:] = [
        one for one in root.handlers if not type(one).__module__.startswith("daybook.")
    ]
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """A replica set; with several workers, each has one of its own."""
    given = options.get("TEST_MONGODB_URI")
    if given:
        yield given
        return
    with in_memory() as folder:
        yield from _serve(folder)


def _serve(data_dir: Path | None) -> Iterator[str]:
    mongod = EmbeddedMongod(data_dir)
    try:
        mongod.__enter__()
    except ConfigurationError as error:
        if os.environ.get("CI"):
            pytest.fail(f"no MongoDB in CI: {error}")
        pytest.skip(f"no MongoDB here: {error}")
    try:
        yield mongod.uri
    finally:
        mongod.stop()


@pytest.fixture(scope="session")
def mongo_client(mongo_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](
        mongo_uri, w="majority", readConcernLevel="majority", tz_aware=True
    ) as client:
        yield client


@pytest.fixture(scope="session")
def reusable(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[ReusableDatabase]:
    reusable = ReusableDatabase(mongo_client)
    yield reusable
    reusable.drop()


@pytest.fixture
def database(
    request: pytest.FixtureRequest,
    mongo_client: MongoClient[dict[str, Any]],
    reusable: ReusableDatabase,
) -> Iterator[Database[dict[str, Any]]]:
    """An empty database; a migrated one where the test's module is marked `migrated`."""
    if request.node.get_closest_marker("migrated"):
        yield reusable.take()
        reusable.give_back()
        return
    name = f"test_{uuid.uuid4().hex}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


@pytest.fixture
def drive() -> Iterator[DriveEmulator]:
    from tests.emulators.drive import DriveEmulator

    with DriveEmulator() as emulator:
        yield emulator
