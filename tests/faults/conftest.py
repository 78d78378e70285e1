"""What the fault tests share: the zygote, and worlds on a migrated database of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from daybook.mongo.migrate import migrate
from tests.faults.workers import Zygote
from tests.faults.world import World

MakeWorld = Callable[..., World]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Storms run only when they are asked for by their marker."""
    if "storm" in config.option.markexpr:
        return
    storms = [item for item in items if item.get_closest_marker("storm")]
    if storms:
        config.hook.pytest_deselected(items=storms)
        items[:] = [item for item in items if item not in storms]


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    with Zygote() as zygote:
        yield zygote


@pytest.fixture(scope="session")
def migrated(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """One database for all: building the indexes takes longer than most of the tests."""
    database = mongo_client[f"faults_{uuid.uuid4().hex}"]
    migrate(database, now=datetime.now(UTC))
    yield database
    mongo_client.drop_database(database)


@pytest.fixture
def make_world(
    migrated: Database[dict[str, Any]], mongo_uri: str, zygote: Zygote
) -> Iterator[MakeWorld]:
    """Builds a world on the emptied database; see `World` for its settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(World(migrated, mongo_uri, zygote, **settings))


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A small one."""
    return make_world()
