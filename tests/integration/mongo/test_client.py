"""The MongoDB client on a real server: what it insists on, and what it logs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.errors import ConfigurationError
from daybook.mongo import client as client_module
from daybook.mongo.client import connect
from daybook.settings.settings import Settings
from tests.emulators.gate import Gate


def settings_for(uri: str, **env: str) -> Settings:
    return Settings.from_env(
        {"DAYBOOK_MONGODB_URI": uri, "DAYBOOK_DESTINATION": "file:///srv/books", **env}
    )


class Events(logging.Handler):
    """Collects events and lets a test wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.names.append(getattr(record, "event", record.getMessage()))
            self._changed.notify_all()

    def wait_for(self, names: list[str]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self.names) >= len(names), timeout=20)
        assert self.names == names


@pytest.fixture
def events() -> Iterator[Events]:
    logger = logging.getLogger("daybook")
    handler, level = Events(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def gate(mongo_uri: str) -> Iterator[Gate]:
    gate = Gate(parse_uri(mongo_uri)["nodelist"][0])
    yield gate
    gate.close()


def test_building_a_client_connects_to_nothing(events: Events) -> None:
    with connect(settings_for("mongodb://127.0.0.1:1/")) as client:
        assert client.nodes == frozenset()
    assert events.names == []


def test_reads_and_writes_are_majority_on_the_primary_whatever_the_address_says() -> None:
    uri = (
        "mongodb://127.0.0.1:1/?w=1&journal=false&readConcernLevel=local"
        "&readPreference=secondary&retryWrites=false&retryReads=false"
    )
    with connect(settings_for(uri)) as client:
        assert client.write_concern.document == {"w": "majority", "j": True}
        assert client.read_concern.level == "majority"
        assert client.read_preference.mongos_mode == "primary"
        assert client.options.retry_writes
        assert client.options.retry_reads


def test_pool_and_time_limits_come_from_the_settings() -> None:
    settings = settings_for(
        "mongodb://127.0.0.1:1/",
        DAYBOOK_MONGO_MAX_POOL_SIZE="7",
        DAYBOOK_MONGO_MIN_POOL_SIZE="2",
        DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS="1500",
        DAYBOOK_MONGO_SOCKET_TIMEOUT_MS="2500",
    )
    with connect(settings, app_name="ledger", default_min_pool_size=5) as client:
        pool = client.options.pool_options
        assert (pool.max_pool_size, pool.min_pool_size) == (7, 2)
        assert client.options.server_selection_timeout == 1.5
        assert pool.connect_timeout == 1.5
        assert pool.socket_timeout == 2.5
        assert pool.appname == "ledger"


def test_the_smallest_pool_is_the_functions_own_unless_it_is_set() -> None:
    settings = settings_for("mongodb://127.0.0.1:1/")
    with connect(settings) as client:
        assert client.options.pool_options.min_pool_size == 0
    with connect(settings, default_min_pool_size=10) as client:
        assert client.options.pool_options.min_pool_size == 10


@pytest.mark.parametrize("most", ["", "1", "5", "9", "10", "50", "10000"])
@pytest.mark.parametrize("least", ["", "0", "1", "5", "60"])
@pytest.mark.parametrize("usual", [0, 10])
def test_every_combination_of_pool_sizes_works_or_names_both_variables(
    most: str, least: str, usual: int
) -> None:
    given = {"DAYBOOK_MONGO_MAX_POOL_SIZE": most, "DAYBOOK_MONGO_MIN_POOL_SIZE": least}
    largest = int(most or 50)
    if least and int(least) > largest:
        with pytest.raises(ConfigurationError) as caught:
            settings_for("mongodb://127.0.0.1:1/", **given)
        assert all(name in str(caught.value) for name in given)
        assert "MONGODB_URI" not in str(caught.value)
        return
    settings = settings_for("mongodb://127.0.0.1:1/", **given)
    with connect(settings, default_min_pool_size=usual) as client:
        pool = client.options.pool_options
        smallest = int(least) if least else min(usual, largest)
        assert (pool.min_pool_size, pool.max_pool_size) == (smallest, largest)


@pytest.mark.parametrize("milliseconds", ["1", "5000", "600000"])
@pytest.mark.parametrize("socket", ["1", "45000", "600000"])
def test_every_combination_of_time_limits_works(milliseconds: str, socket: str) -> None:
    settings = settings_for(
        "mongodb://127.0.0.1:1/",
        DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS=milliseconds,
        DAYBOOK_MONGO_SOCKET_TIMEOUT_MS=socket,
    )
    with connect(settings) as client:
        assert client.options.pool_options.socket_timeout == int(socket) / 1000


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("mongodb://book:pass@a.example.com,b.example.com/?directConnection=true", "directConn"),
        ("mongodb://book:pass@a.example.com/?maxStalenessSeconds=90", "maxStalenessSeconds"),
    ],
)
def test_an_option_that_the_driver_refuses_is_not_blamed_on_the_password(
    uri: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match="DAYBOOK_MONGODB_URI") as caught:
        connect(settings_for(uri))
    assert words in str(caught.value)
    assert "percent-encoded" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://book:s3cr3t@word@db.example.com/",
        "mongodb://book:s3cr3t/word@db.example.com/",
        "mongodb://db.example.com:s3cr3t-word/",
    ],
)
def test_an_address_that_the_driver_refuses_is_a_fault_that_does_not_quote_it(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="DAYBOOK_MONGODB_URI") as caught:
        connect(settings_for(uri))
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_datetimes_come_back_aware(mongo_uri: str, database: Database[dict[str, Any]]) -> None:
    settings = settings_for(mongo_uri, DAYBOOK_DATABASE=database.name)
    with client_module.connect(settings) as client:
        collection = client_module.database(client, settings)["moments"]
        moment = datetime(2026, 1, 18, 11, tzinfo=UTC)
        collection.insert_one({"at": moment})
        stored: Any = collection.find_one()
        assert stored["at"] == moment
        assert stored["at"].utcoffset() == timedelta()


def test_connection_changes_are_logged_once_each(gate: Gate, events: Events) -> None:
    uri = f"mongodb://127.0.0.1:{gate.port}/?directConnection=true&heartbeatFrequencyMS=500"
    client: MongoClient[dict[str, Any]] = connect(settings_for(uri))
    client.admin.command("ping")
    events.wait_for(["mongodb_connected"])
    gate.shut()
    events.wait_for(["mongodb_connected", "mongodb_disconnected"])
    gate.open()
    client.admin.command("ping")
    events.wait_for(["mongodb_connected", "mongodb_disconnected", "mongodb_reconnected"])
    client.close()
    events.wait_for(
        [
            "mongodb_connected",
            "mongodb_disconnected",
            "mongodb_reconnected",
            "mongodb_disconnected",
        ]
    )


def test_a_server_that_never_answered_is_logged_as_one_error(gate: Gate, events: Events) -> None:
    gate.shut()
    uri = f"mongodb://127.0.0.1:{gate.port}/?directConnection=true&heartbeatFrequencyMS=500"
    settings = settings_for(uri, DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS="1600")
    with connect(settings) as client:
        with pytest.raises(Exception, match=r"closed|reset|refused"):
            client.admin.command("ping")  # several heartbeats fail meanwhile
        events.wait_for(["mongodb_error"])
        gate.open()
        client.admin.command("ping")
        events.wait_for(["mongodb_error", "mongodb_connected"])


@pytest.mark.parametrize("option", ["tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile"])
@pytest.mark.parametrize("what", ["missing", "no certificate", "binary", "a folder", "empty"])
def test_a_file_for_tls_that_cannot_be_read_is_a_configuration_error(
    tmp_path: Path, option: str, what: str
) -> None:
    file = tmp_path / "ca.pem"
    contents = {"no certificate": b"not PEM", "binary": b"\x30\x82\xff\x00", "empty": b""}
    if what in contents:
        file.write_bytes(contents[what])
    elif what == "a folder":
        file.mkdir()
    uri = f"mongodb://books:{PASSWORD}@db.example.com/?{option}={file}"
    with pytest.raises(ConfigurationError, match="DAYBOOK_MONGODB_URI: ") as caught:
        connect(settings_for(uri))
    assert PASSWORD not in str(caught.value)
    if what in ("missing", "a folder"):
        assert str(file) in str(caught.value)


PASSWORD = "NeverInAnError"
