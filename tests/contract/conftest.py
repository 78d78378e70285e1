from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from daybook.destinations.base import Destination
from daybook.destinations.s3.s3 import s3_client
from tests.contract.places import DrivePlace, LocalPlace, Place, S3Place
from tests.emulators.drive import DriveEmulator


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        pass


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """Moto as a server that takes one request at a time.

    S3 decides a conditional write in one step; moto looks first and writes later, so with
    threads two writers could both win.
    """
    server = make_server(
        "127.0.0.1",
        0,
        DomainDispatcherApplication(create_backend_app),
        threaded=False,
        request_handler=_Quiet,
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def s3_place(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> S3Place:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = s3_client()
    bucket = f"bucket-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return S3Place(client, bucket)


@pytest.fixture
def drive() -> Iterator[DriveEmulator]:
    with DriveEmulator() as emulator:
        yield emulator


@pytest.fixture(params=["drive", "local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return LocalPlace(tmp_path)
    if request.param == "s3":
        return request.getfixturevalue("s3_place")
    return DrivePlace(request.getfixturevalue("drive"))


@pytest.fixture
def destination(place: Place) -> Destination:
    return place.destination()
