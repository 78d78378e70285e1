"""Without MongoDB a run answers 503, and its redelivery makes up for it."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.uri_parser import parse_uri

from tests import books
from tests.acceptance.evening import (
    DAY,
    MakeEvening,
)
from tests.acceptance.tasks_calls import (
    CALL,
    assert_only_told,
    hold_run,
)
from tests.emulators.mongo_proxy import CUT, Action, Event, MongoProxy

pytest_plugins = ["tests.acceptance.evening"]


@pytest.fixture
def proxy(mongo_uri: str) -> Any:
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with MongoProxy(host, port) as proxy:
        yield proxy


QUICK = {
    "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS": "1000",
    "DAYBOOK_MONGO_SOCKET_TIMEOUT_MS": "2000",
}


@pytest.mark.parametrize("path", ["/run", "/tasks/run", "/exports"])
def test_while_mongodb_is_away_every_run_answers_503_and_creates_no_task(
    proxy: MongoProxy, make_evening: MakeEvening, path: str
) -> None:
    evening = make_evening(DAYBOOK_MONGODB_URI=proxy.uri, **QUICK)
    books.put_many(evening.database, 1)
    before = evening.noise()
    bodies = {
        "/run": {"batchDate": DAY},
        "/tasks/run": CALL,
        "/exports": {"from": DAY, "to": DAY},
    }

    with proxy.down():
        answer = evening.function.post(path, bodies[path])

    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["error"]["type"]) == ("failed", "mongodb")
    assert_only_told(evening, before, path)


def test_a_run_that_loses_mongodb_for_good_is_made_up_for_by_its_redelivery(
    proxy: MongoProxy, make_evening: MakeEvening
) -> None:
    evening = make_evening(DAYBOOK_MONGODB_URI=proxy.uri, **QUICK)
    books.put_many(evening.database, 1)
    running, held = hold_run(evening, "create_multipart")

    with proxy.down():
        held.let_go()
        answer = running.result()

    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "mongodb")
    assert evening.tasks.created == []
    evening.bury()
    again = evening.trigger()
    assert (again.status_code, again.json()["status"]) == (200, "already_exported")
    assert evening.delivered() == {f"batch_{DAY}.csv": ["INV-0"]}
    assert evening.attempts() == 1


def test_a_failure_of_mongodb_that_passes_ends_the_attempt_and_is_retried(
    proxy: MongoProxy, make_evening: MakeEvening
) -> None:
    def hook(event: Event) -> Action | None:
        return CUT if event.collection == "exportmanifests" and event.name == "insert" else None

    evening = make_evening(DAYBOOK_MONGODB_URI=proxy.uri)
    books.put_many(evening.database, 1)
    proxy.hook = hook

    answer = evening.trigger()

    assert (answer.status_code, answer.json()["status"]) == (202, "retry_scheduled")
    assert evening.batch()["errorCounts"] == {"mongodb": 1}
    assert evening.breaker() == {}
    proxy.hook = None
    evening.tasks.run_until(evening.at(5))
    assert evening.batch()["state"] == "committed"
