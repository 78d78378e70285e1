"""The embedded mongod: how it starts, what it survives, how it ends, and what it says."""

from __future__ import annotations

import os
import select
import signal
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from daybook.errors import ConfigurationError
from daybook.local.mongod import EmbeddedMongod, find_mongod

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")


@pytest.fixture(autouse=True)
def _needs_mongod() -> None:
    try:
        find_mongod()
    except ConfigurationError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


def client(mongod: EmbeddedMongod) -> MongoClient[dict[str, Any]]:
    return MongoClient(mongod.uri, w="majority", serverSelectionTimeoutMS=5000)


def member(port: int) -> dict[str, Any]:
    return {"_id": 0, "host": f"127.0.0.1:{port}"}


def ended(pid: int, timeout_seconds: float = 20) -> bool:
    """Whether the process ends in time; true at once when it already has."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout_seconds)[0])
    finally:
        os.close(handle)


def program(tmp_path: Path, script: str) -> Path:
    path = tmp_path / "mongod"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_runs_transactions_at_once() -> None:
    with EmbeddedMongod() as mongod, client(mongod) as mongo:
        with mongo.start_session() as session, session.start_transaction():
            mongo.books.entries.insert_one({"_id": 1}, session=session)
        assert mongo.books.entries.find_one() == {"_id": 1}


def test_listens_on_the_loopback_address_only() -> None:
    with EmbeddedMongod() as mongod, client(mongod) as mongo:
        options = mongo.admin.command("getCmdLineOpts")["parsed"]["net"]
        assert options["bindIp"] == "127.0.0.1"
        assert options["unixDomainSocket"] == {"enabled": False}


def test_a_temporary_data_directory_is_removed() -> None:
    with EmbeddedMongod() as mongod:
        directory, pid = mongod.data_dir, mongod.pid
        assert directory.is_dir()
    assert not directory.exists()
    assert ended(pid, 0)


def test_two_run_side_by_side() -> None:
    with EmbeddedMongod() as one, EmbeddedMongod() as other:
        assert one.port != other.port
        with client(one) as mongo:
            mongo.books.entries.insert_one({})
        with client(other) as mongo:
            assert mongo.books.entries.count_documents({}) == 0


@pytest.mark.storm
def test_data_survive_a_restart_under_another_port(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "here"
    with EmbeddedMongod(directory) as first, client(first) as mongo:
        mongo.books.entries.insert_one({"_id": 1})
        port = first.port
    for wanted in (port, 0, 0):
        with EmbeddedMongod(directory, port=wanted) as again, client(again) as mongo:
            assert mongo.books.entries.find_one() == {"_id": 1}
            assert mongo.admin.command("hello")["hosts"] == [f"127.0.0.1:{again.port}"]


class _HangingUp(socketserver.TCPServer):
    allow_reuse_address = True


@contextmanager
def _hanging_up(port: int) -> Iterator[None]:
    """Another process's server, which closes each connection.

    mongod asks at its former address whether it is there itself, and waits half a minute for a
    server that says nothing.
    """
    with _HangingUp(("127.0.0.1", port), socketserver.BaseRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_the_last_port_is_kept_unless_another_process_has_it(tmp_path: Path) -> None:
    ports = []
    for _ in range(2):
        with EmbeddedMongod(tmp_path) as served:
            ports.append(served.port)
    assert ports[0] == ports[1]
    with _hanging_up(ports[0]), EmbeddedMongod(tmp_path) as other, client(other) as mongo:
        assert other.port != ports[0]
        assert mongo.admin.command("hello")["hosts"] == [f"127.0.0.1:{other.port}"]
    (tmp_path / "daybook.port").write_text("no port")
    with EmbeddedMongod(tmp_path) as again:
        assert again.port > 0


def test_data_survive_a_kill(tmp_path: Path) -> None:
    with EmbeddedMongod(tmp_path) as killed:
        with client(killed) as mongo:
            mongo.books.entries.insert_one({"_id": 1})
        os.kill(killed.pid, signal.SIGKILL)
        assert ended(killed.pid)
    assert (tmp_path / "mongod.lock").read_text().strip() != ""
    with EmbeddedMongod(tmp_path) as again, client(again) as mongo:
        assert mongo.books.entries.find_one() == {"_id": 1}


def test_a_data_directory_in_use_is_named(tmp_path: Path) -> None:
    with EmbeddedMongod(tmp_path) as holder:
        with (
            pytest.raises(ConfigurationError, match=f"{tmp_path} is in use by another mongod"),
            EmbeddedMongod(tmp_path),
        ):
            pytest.fail("two mongods share a data directory")
        with client(holder) as mongo:
            mongo.books.entries.insert_one({})


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigurationError, match=f"port {port} of 127.0.0.1 is taken"),
            EmbeddedMongod(tmp_path, port=port),
        ):
            pytest.fail("the port was taken")


def test_another_mongod_on_the_port_is_left_alone(tmp_path: Path) -> None:
    with EmbeddedMongod() as other:
        with (
            pytest.raises(ConfigurationError, match="is taken"),
            EmbeddedMongod(tmp_path, port=other.port),
        ):
            pytest.fail("the port was taken")
        with client(other) as mongo:
            assert mongo.admin.command("replSetGetConfig")["config"]["version"] == 1


def test_another_replica_sets_data_are_refused(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = tmp_path / "data"
    data.mkdir()
    command = [find_mongod(), "--replSet", "books", "--dbpath", data, "--port", str(port)]
    with subprocess.Popen([*command, "--logpath", tmp_path / "log"]) as other:
        with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True) as mongo:
            mongo.admin.command("replSetInitiate", {"_id": "books", "members": [member(port)]})
        other.kill()
    with (
        pytest.raises(ConfigurationError, match=f"{data} belongs to the replica set 'books'"),
        EmbeddedMongod(data),
    ):
        pytest.fail("the data are another set's")


@linux_only
def test_dies_with_its_parent_and_the_next_start_tidies_up() -> None:
    script = textwrap.dedent(
        """
        import signal
        from daybook.local.mongod import EmbeddedMongod
        with EmbeddedMongod() as mongod:
            print(mongod.pid, mongod.data_dir, flush=True)
            signal.pause()
        """
    )
    environment = os.environ | {"PYTHONPATH": "src"}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        pid, _, directory = parent.stdout.readline().strip().partition(" ")
        parent.kill()
        parent.wait()
    assert ended(int(pid))
    assert Path(directory).is_dir()
    with EmbeddedMongod():
        assert not Path(directory).exists()


@linux_only
def test_outlives_the_thread_that_started_it() -> None:
    mongod = EmbeddedMongod()
    thread = threading.Thread(target=mongod.__enter__)
    thread.start()
    thread.join()
    try:
        assert not ended(mongod.pid, 0.5)
    finally:
        mongod.stop()


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    loader = "error while loading shared libraries: libcurl.so.4: cannot open shared object file"
    broken = program(tmp_path, f"echo '/opt/mongod: {loader}' >&2; exit 127")
    with (
        pytest.raises(ConfigurationError, match=r"needs libcurl\.so\.4.*install it"),
        EmbeddedMongod(tmp_path / "data", mongod=broken),
    ):
        pytest.fail("the program ends at once")


def test_a_processor_without_avx_is_named(tmp_path: Path) -> None:
    broken = program(tmp_path, "kill -ILL $$")
    with (
        pytest.raises(ConfigurationError, match=r"AVX.*DAYBOOK_MONGODB_URI"),
        EmbeddedMongod(tmp_path / "data", mongod=broken),
    ):
        pytest.fail("the program ends at once")


def test_any_other_end_is_reported_in_mongods_words(tmp_path: Path) -> None:
    (tmp_path / "storage.bson").write_bytes(b"no BSON")
    with (
        pytest.raises(ConfigurationError, match="ended with code") as told,
        EmbeddedMongod(tmp_path),
    ):
        pytest.fail("the files are no database")
    assert "InvalidBSON" in str(told.value)


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigurationError, match=f"{tmp_path}/file/data"),
        EmbeddedMongod(tmp_path / "file" / "data"),
    ):
        pytest.fail("a file is in the way")


def test_without_any_mongod_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match=r"DAYBOOK_MONGODB_URI.*install mongod"):
        find_mongod()
