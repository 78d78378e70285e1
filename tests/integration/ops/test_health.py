"""`GET /health` on a real server that answers, is gone, or hangs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pymongo.uri_parser import parse_uri

from daybook.mongo.client import connect
from daybook.ops.health import database_health
from daybook.settings.settings import Settings
from tests.emulators.gate import Gate

NOW = datetime(2026, 1, 18, 18, 0, 1, 234567, tzinfo=timezone(timedelta(hours=7)))


def settings_for(uri: str, selection_ms: int = 5000) -> Settings:
    return Settings.from_env(
        {
            "DAYBOOK_MONGODB_URI": uri,
            "DAYBOOK_DESTINATION": "file:///srv/books",
            "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS": str(selection_ms),
        }
    )


def test_a_database_that_answers_is_ok(mongo_uri: str) -> None:
    with connect(settings_for(mongo_uri)) as client:
        health = database_health(client, NOW)
    assert health.http_status == 200
    assert health.to_doc() == {
        "status": "ok",
        "timestamp": "2026-01-18T11:00:01.234Z",
        "database": {"status": "connected", "readyState": 1},
    }


def test_a_database_that_is_gone_is_degraded_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with connect(settings_for("mongodb://127.0.0.1:1/", selection_ms=1000)) as client:
        health = database_health(client, datetime(2026, 1, 18, 11, tzinfo=UTC))
    assert health.http_status == 503
    assert health.to_doc() == {
        "status": "degraded",
        "timestamp": "2026-01-18T11:00:00.000Z",
        "database": {"status": "disconnected", "readyState": 0},
    }
    (record,) = [r for r in caplog.records if getattr(r, "event", "") == "health_degraded"]
    assert "refused" in record.fields["error"]  # type: ignore[attr-defined]


def test_a_database_that_hangs_is_degraded_within_the_selection_timeout(mongo_uri: str) -> None:
    gate = Gate(parse_uri(mongo_uri)["nodelist"][0])
    uri = f"mongodb://127.0.0.1:{gate.port}/?directConnection=true"
    with connect(settings_for(uri, selection_ms=400)) as client:
        assert database_health(client, NOW).http_status == 200
        gate.stall()
        start = time.perf_counter()
        assert database_health(client, NOW).http_status == 503
        assert time.perf_counter() - start < 3
        gate.flow()
        assert database_health(client, NOW).http_status == 200
    gate.close()
