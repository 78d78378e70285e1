"""What all tests share: a real MongoDB, a database of their own, a fresh Drive.

`DAYBOOK_TEST_MONGODB_URI` names a replica set to use instead of the embedded one.
A test that needs MongoDB is skipped where there is none, and fails when `CI` is set.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from daybook.errors import ConfigurationError
from daybook.local.mongod import EmbeddedMongod

if TYPE_CHECKING:
    from tests.emulators.drive import DriveEmulator

# An example's time says more about the machine's other work than about the code.
hypothesis.settings.register_profile("daybook", deadline=None)
hypothesis.settings.load_profile("daybook")


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """A replica set; with several workers, each has one of its own."""
    given = os.environ.get("DAYBOOK_TEST_MONGODB_URI")
    if given:
        yield given
        return
    mongod = EmbeddedMongod()
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


@pytest.fixture
def database(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """An empty database under a name of its own, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


@pytest.fixture
def drive() -> Iterator[DriveEmulator]:
    from tests.emulators.drive import DriveEmulator

    with DriveEmulator() as emulator:
        yield emulator
