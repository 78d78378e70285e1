"""While MongoDB is away the page says so, in plain words, and claims nothing about the days."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from bson import ObjectId
from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from daybook.ops.watchdog import ASKING_SECONDS
from tests.acceptance.test_http import Function
from tests.emulators.drive import DriveEmulator
from tests.emulators.mongo_proxy import MongoProxy

PLAIN = {"en": "Nothing is lost, and runs go on once it answers.", "th": "ไม่มีรายการสูญหาย"}
CLAIMS = ("drive://", "is done", "delivered", "ส่งแล้ว", ".csv", "Traceback", "<form method")
PATHS = ("/", "/days/2026-01-18")
NOISE_SECONDS = 5.0


class Away:
    """The function behind a proxy that can be cut off from MongoDB."""

    def __init__(self, proxy: MongoProxy, drive: DriveEmulator, function: Function) -> None:
        self.proxy, self.drive, self.function = proxy, drive, function

    def get(self, path: str, accept: str, language: str = "en") -> requests.Response:
        return requests.get(
            self.function.url + path,
            params={"lang": language},
            headers={"Accept": accept},
            timeout=60,
        )


@pytest.fixture(scope="module")
def away(mongo_client: MongoClient[dict[str, Any]], mongo_uri: str) -> Iterator[Away]:
    database = mongo_client[f"away_{ObjectId()}"]
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with DriveEmulator() as drive, MongoProxy(host, port) as proxy:
        function = Function(proxy.uri, database, drive)
        yield Away(proxy, drive, function)
        function.stop()
    mongo_client.drop_database(database.name)


def test_without_mongodb_page_and_watchdog_say_so_in_time_and_work_again_afterwards(
    away: Away,
) -> None:
    asked, ended = len(away.drive.requests), list[float]()
    with away.proxy.down(), ThreadPoolExecutor() as at_once:  # each takes its whole time limit
        begun = time.monotonic()
        watched = at_once.submit(away.function.post, "/watchdog", json={})
        watched.add_done_callback(lambda _: ended.append(time.monotonic()))
        pages = {
            (path, language): at_once.submit(away.get, path, "text/html", language)
            for path in PATHS
            for language in PLAIN
        }
        answers = [at_once.submit(away.get, path, "application/json") for path in PATHS]
    for (path, language), asked_page in pages.items():
        page = asked_page.result()
        assert page.status_code == 503, path
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["Cache-Control"] == "no-store"
        assert f'lang="{language}"' in page.text
        assert PLAIN[language] in page.text
        main = page.text.partition("<main")[2]
        assert [claim for claim in CLAIMS if claim in main] == [], path
    for asked_json in answers:
        answer = asked_json.result()
        problem = answer.json()
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.status_code == problem["status"] == 503
        assert problem["code"] == "DATABASE_UNAVAILABLE"
        assert "Drive" not in answer.text
    alerted = watched.result()
    assert (alerted.status_code, alerted.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert ended[0] - begun < ASKING_SECONDS + NOISE_SECONDS
    assert len(away.drive.requests) == asked  # nothing is known of the destination

    for path in PATHS:
        assert away.get(path, "text/html").status_code == 200
        assert away.get(path, "application/json").status_code == 200
