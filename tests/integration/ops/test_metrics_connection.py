"""A real mongod that is stopped and started again, as the log and the metrics tell it."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from pymongo.errors import PyMongoError

from daybook.local.mongod import EmbeddedMongod
from daybook.mongo.client import connect
from daybook.mongo.monitoring import ClientMonitors
from daybook.settings.settings import Settings


class Events(logging.Handler):
    """Hands events out in order."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: SimpleQueue[str] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self.waiting.put(getattr(record, "event", record.getMessage()))

    def until(self, name: str) -> list[str]:
        """What comes up to and with `name`."""
        names: list[str] = []
        while name not in names:
            names.append(self.waiting.get(timeout=30))
        return names


@pytest.fixture
def events() -> Iterator[Events]:
    logger = logging.getLogger("daybook")
    handler, level = Events(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def settings_for(mongod: EmbeddedMongod) -> Settings:
    return Settings.from_env(
        {
            "DAYBOOK_MONGODB_URI": f"{mongod.uri}&heartbeatFrequencyMS=500",
            "DAYBOOK_DESTINATION": "file:///srv/books",
            "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS": "1600",
        }
    )


def test_a_restart_is_one_loss_and_one_return(tmp_path: Path, events: Events) -> None:
    told = []
    with EmbeddedMongod(tmp_path) as mongod:
        client = connect(settings_for(mongod))
        client.admin.command("ping")
        port = mongod.port
    told += events.until("mongodb_disconnected")
    with pytest.raises(PyMongoError):
        client.admin.command("ping")  # several heartbeats fail meanwhile

    with EmbeddedMongod(tmp_path, port=port):
        told += events.until("mongodb_reconnected")
        client.admin.command("ping")
        client.close()
    told += events.until("mongodb_disconnected")

    assert events.waiting.empty()
    # mongod steps down before it ends, so that a loss may be followed by its reason.
    assert told.count("mongodb_error") <= 1
    assert [name for name in told if name != "mongodb_error"] == [
        "mongodb_connected",
        "mongodb_disconnected",
        "mongodb_reconnected",
        "mongodb_disconnected",
    ]


def test_connections_are_counted_down_when_they_break(tmp_path: Path) -> None:
    with EmbeddedMongod(tmp_path) as mongod:
        client = connect(settings_for(mongod))
        monitors = ClientMonitors.of(client)
        assert monitors is not None
        client.admin.command("ping")
        assert monitors.pools.snapshot()[mongod.host].opened == 1
        os.kill(mongod.pid, signal.SIGKILL)
        with pytest.raises(PyMongoError):
            client.admin.command("ping")
    pool = monitors.pools.snapshot()[mongod.host]
    assert (pool.opened, pool.checked_out) == (0, 0)
    client.close()
