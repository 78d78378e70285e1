"""A run that loses MongoDB says that it waits, and when MongoDB is back."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from daybook import log
from daybook.local.mongod import EmbeddedMongod
from daybook.mongo.client import primary_watched


class Records:
    """What is logged, as Cloud Logging gets it."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def named(self, event: str) -> list[dict[str, Any]]:
        lines = self.stream.getvalue().splitlines()
        return [found for found in map(json.loads, lines) if found.get("event") == event]


@pytest.fixture
def records() -> Iterator[Records]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    records = Records()
    log.setup(records.stream)
    yield records
    root.handlers[:] = handlers
    root.setLevel(level)


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_outage_is_logged_once_with_the_runs_fields_and_so_is_its_end(
    tmp_path: Path, records: Records
) -> None:
    mongod = EmbeddedMongod(tmp_path / "mongo", port=0)
    with mongod:
        port = mongod.port
        client = MongoClient[dict[str, Any]](
            mongod.uri, serverSelectionTimeoutMS=200, heartbeatFrequencyMS=500
        )
        client.admin.command("ping")
        with log.bound(batch_date="2026-01-18"), primary_watched(client, after_seconds=1.0):
            mongod.stop()
            until(lambda: records.named("mongodb_waiting") != [])
            assert records.named("mongodb_recovered") == []
            with EmbeddedMongod(tmp_path / "mongo", port=port):
                until(lambda: records.named("mongodb_recovered") != [])
        client.close()
    (waiting,) = records.named("mongodb_waiting")
    (recovered,) = records.named("mongodb_recovered")
    assert waiting["message"].startswith("Still waiting for MongoDB: no primary for ")
    assert waiting["batchDate"] == recovered["batchDate"] == "2026-01-18"
    assert recovered["severity"] == waiting["severity"] == "WARNING"
    assert recovered["seconds"] >= 1


def test_a_short_outage_is_not_told(tmp_path: Path, records: Records) -> None:
    with EmbeddedMongod(tmp_path / "mongo") as mongod:
        # Closing it waits for MongoDB as long as any other command does, to end its sessions.
        client = MongoClient[dict[str, Any]](mongod.uri, serverSelectionTimeoutMS=200)
        client.admin.command("ping")
        with primary_watched(client, after_seconds=3600.0):
            mongod.stop()
            until(lambda: not client.topology_description.has_writable_server())
        client.close()
    assert records.named("mongodb_waiting") == []
