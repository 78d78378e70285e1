"""The MongoDB client: majority everywhere, pools and time limits from the settings.

A run that waits for a primary logs it. A machine's clock that is far off is corrected by MongoDB's.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import unquote

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError as MongoConfigurationError
from pymongo.errors import InvalidURI, PyMongoError
from pymongo.monitoring import (
    TopologyClosedEvent,
    TopologyDescriptionChangedEvent,
    TopologyListener,
    TopologyOpenedEvent,
)
from pymongo.uri_parser import parse_uri

from daybook import log, write_errors
from daybook.display import duration
from daybook.errors import ConfigurationError
from daybook.mongo.monitoring import CommandMonitor, PoolMonitor
from daybook.settings.settings import Settings

Document = dict[str, Any]

LENIENT = CodecOptions[Document](
    tz_aware=True,
    tzinfo=UTC,
    unicode_decode_error_handler="surrogateescape",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
"""Codec options that can read anything that other applications have written.

Invalid UTF-8 becomes halves of surrogate pairs, which `display` replaces and which cannot
be written back; a date beyond Python's years becomes a `DatetimeMS`.
"""

_UNCHECKED = ("tlsInsecure", "tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames")
_IMPLY_TLS = ("tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile", *_UNCHECKED)
"""The driver takes each of these for `tls=true`."""

CLOCK_TOLERANCE = timedelta(minutes=1)
"""A smaller difference is not corrected: NTP keeps both clocks, and neither is exact."""

_KEPT_SECONDS = 30.0
"""How long a comparison is valid, so that a request makes only one."""
_ASKING_SECONDS = 2.0
"""How long MongoDB may take to answer; a later operation that needs it fails with its own error."""
_AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)

OUTAGE_SECONDS = 10.0
"""How long a primary must have been missing. An election takes a few seconds, or about twelve."""

_LOOK_SECONDS = 0.25


def connect(
    settings: Settings, *, app_name: str = "daybook", default_min_pool_size: int = 0
) -> MongoClient[Document]:
    """Make a client; it connects at its first operation.

    Reads and writes go to the primary with majority, whatever the address says: the
    protocol relies on reading its own writes. Raises `ConfigurationError` for an
    address that MongoDB's driver does not accept, and for certificates that it cannot read.
    """
    smallest, largest = settings.mongo_min_pool_size, settings.mongo_max_pool_size
    if smallest is None:
        smallest = min(default_min_pool_size, largest)
    try:
        return MongoClient(
            settings.mongodb_uri,
            connect=False,
            appname=app_name,
            tz_aware=True,
            w="majority",
            journal=True,
            readConcernLevel="majority",
            readPreference="primary",
            retryWrites=True,
            retryReads=True,
            maxPoolSize=largest,
            minPoolSize=smallest,
            serverSelectionTimeoutMS=settings.mongo_server_selection_timeout_ms,
            socketTimeoutMS=settings.mongo_socket_timeout_ms,
            connectTimeoutMS=settings.mongo_server_selection_timeout_ms,
            event_listeners=[_ConnectionLog(), CommandMonitor(), PoolMonitor()],
        )
    except (InvalidURI, MongoConfigurationError, ValueError) as error:
        # Not chained: the driver's message may quote a part of the address, including the
        # password.
        fault = _fault(settings.mongodb_uri, error)
        raise ConfigurationError(f"DAYBOOK_MONGODB_URI: {fault}") from None
    except OSError as error:
        # A file of certificates or keys: the driver reads it here, and names it if it is missing.
        file = "a file" if error.filename is None else repr(str(error.filename))
        raise ConfigurationError(
            f"DAYBOOK_MONGODB_URI: {file} that the address names for TLS (tlsCAFile, "
            f"tlsCertificateKeyFile or tlsCRLFile) cannot be read: {error.strerror or error}"
        ) from error


def unprotected(uri: str) -> str | None:
    """Why the traffic with MongoDB can be read or altered on its way; None if it cannot.

    `uri` is an address that the driver accepts. Traffic to a loopback address or a Unix socket
    does not leave this machine.
    """
    scheme, _, rest = uri.partition("://")
    by_name = scheme.lower() == "mongodb+srv"
    # Parsed without `+srv`, which would query DNS, and without reading the files that it names.
    parsed = parse_uri(f"mongodb://{rest}", validate=False)
    options = parsed["options"]
    if by_name or not all(_is_local(host) for host, _ in parsed["nodelist"]):
        implied = by_name or any(_is_set(options, name) for name in _IMPLY_TLS)
        if not (_is_set(options, "tls") if "tls" in options else implied):
            return "is not encrypted: add tls=true to DAYBOOK_MONGODB_URI, and enable TLS there"
        if any(_is_set(options, name) for name in _UNCHECKED):
            return (
                "is encrypted, but nobody checks with whom: remove tlsInsecure and "
                "tlsAllowInvalid… from DAYBOOK_MONGODB_URI, and name the authority in tlsCAFile"
            )
    return None


def _is_set(options: Mapping[str, str], name: str) -> bool:
    """Whether the option is on. Only `true` turns a switch on; other options name files."""
    text = options.get(name, "")
    return bool(text) if name.endswith("File") else text == "true"


def _is_local(host: str) -> bool:
    if host.startswith("/") or host.lower() in ("localhost", "localhost.localdomain"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _fault(uri: str, error: Exception) -> str:
    """The driver's message, without any part of user name or password."""
    secrets = {part for part in re.split(r"\W+", unquote(uri.rpartition("@")[0])) if part}
    message = str(error)
    if isinstance(error, InvalidURI) or secrets & set(re.split(r"\W+", message)):
        return (
            "MongoDB's driver does not accept the address; in user name and password, characters "
            "such as : / ? # @ must be percent-encoded"
        )
    return f"MongoDB's driver does not accept an option of the address: {message}"


def database(client: MongoClient[Document], settings: Settings) -> Database[Document]:
    """The database that all collections are in, with lenient reads: see `LENIENT`."""
    return client.get_database(settings.database, codec_options=LENIENT)


class _ConnectionLog(TopologyListener):
    """Logs when a primary is found and lost, once each, not at every heartbeat."""

    def __init__(self) -> None:
        self._connected = False
        self._before = False
        self._error_logged = False

    def opened(self, event: TopologyOpenedEvent) -> None:
        pass  # not connected yet

    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None:
        now = event.new_description
        servers = now.server_descriptions().values()
        found = next((server.error for server in servers if server.error), None)
        error = None if found is None else str(write_errors.describe(found))
        if now.has_writable_server():
            self._found()
        elif self._connected and servers:
            self._connected = False
            self._error_logged = True  # the record below says it
            log.event(
                logging.WARNING,
                "mongodb_disconnected",
                "MongoDB has no primary that can be reached.",
                error=error,
            )
        elif error and not self._error_logged:
            self._error_logged = True
            log.event(logging.WARNING, "mongodb_error", "MongoDB cannot be reached.", error=error)

    def closed(self, event: TopologyClosedEvent) -> None:  # noqa: ARG002  # the listener's signature
        if self._connected:
            self._connected = False
            log.event(logging.INFO, "mongodb_disconnected", "The MongoDB client was closed.")

    def _found(self) -> None:
        self._error_logged = False
        if self._connected:
            return
        name = "mongodb_reconnected" if self._before else "mongodb_connected"
        self._connected = self._before = True
        log.event(logging.INFO, name, "MongoDB's primary can be reached.")


def _now() -> datetime:
    return datetime.now(UTC)


class MachineClock:
    """Reads this machine's clock, which may be wrong.

    Decisions by time, and times that are stored for other processes, use `compared_with`: a
    process whose clock is a year ahead would otherwise keep the circuit breaker open until
    next year, and take entries for a future day.
    """

    def __init__(self, read: Callable[[], datetime] = _now) -> None:
        self._read = read
        self._lock = Lock()
        self._offset = timedelta()
        self._compared_at: float | None = None

    def __call__(self) -> datetime:
        return self._read()

    def compared_with(self, client: MongoClient[dict[str, Any]]) -> Callable[[], datetime]:
        """The clock, moved by its difference from MongoDB's if that exceeds `CLOCK_TOLERANCE`.

        While MongoDB does not answer, the last known difference counts.
        """
        with self._lock:
            if not self._is_fresh():
                self._compare(client)
            offset = self._offset
        return lambda: self._read() + offset

    def _is_fresh(self) -> bool:
        at = self._compared_at
        return at is not None and time.monotonic() - at < _KEPT_SECONDS

    def _compare(self, client: MongoClient[dict[str, Any]]) -> None:
        before, started = self._read(), time.monotonic()
        try:
            with pymongo.timeout(_ASKING_SECONDS):
                theirs = client.admin.command("hello", codec_options=_AWARE)["localTime"]
        except PyMongoError:
            theirs = None  # operations that need MongoDB fail with a better message of their own
        self._compared_at = time.monotonic()
        if theirs is None:
            return
        waited = timedelta(seconds=self._compared_at - started)
        behind = theirs - (before + waited / 2)
        self._offset = behind if abs(behind) > CLOCK_TOLERANCE else timedelta()
        if self._offset:
            seconds = round(-behind.total_seconds())
            where = "ahead of" if seconds > 0 else "behind"
            log.event(
                logging.WARNING,
                "clock_wrong",
                f"This machine's clock is {duration(abs(seconds))} {where} MongoDB's, which is "
                "used instead: set both by NTP.",
                ahead_seconds=seconds,
            )


@contextmanager
def primary_watched(
    client: MongoClient[dict[str, Any]], *, after_seconds: float = OUTAGE_SECONDS
) -> Iterator[None]:
    """Log `mongodb_waiting` when the block has had no primary for so long, and its end.

    The end is `mongodb_recovered`; if the block ends without MongoDB, what it reports says so.
    Goes by what the driver knows and asks no server. The records carry the block's log fields.
    """
    ended = Event()
    watcher = Thread(
        target=copy_context().run,
        args=(_watch_primary, client, ended, after_seconds),
        name="mongodb-outage",
        daemon=True,
    )
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch_primary(client: MongoClient[dict[str, Any]], ended: Event, after_seconds: float) -> None:
    lost_at: float | None = None
    announced = False
    while not ended.wait(_LOOK_SECONDS):
        now = time.monotonic()
        if client.topology_description.has_writable_server():
            if lost_at is not None and announced:
                _log_recovered(now - lost_at)
            lost_at, announced = None, False
        elif lost_at is None:
            lost_at = now
        elif not announced and now - lost_at >= after_seconds:
            announced = True
            log.event(
                logging.WARNING,
                "mongodb_waiting",
                f"Still waiting for MongoDB: no primary for {duration(now - lost_at)}.",
            )


def _log_recovered(seconds: float) -> None:
    # As severe as what it clears, so that it is seen wherever that was.
    log.event(
        logging.WARNING,
        "mongodb_recovered",
        f"MongoDB's primary can be reached again, after {duration(seconds)}.",
        seconds=round(seconds, 1),
    )
