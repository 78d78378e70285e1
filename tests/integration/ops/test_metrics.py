"""`GET /metrics` over batches, queue items, breakers and orphans as they may be stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pymongo
import pytest
from bson import Decimal128, Int64, ObjectId, raw_bson
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandListener, CommandStartedEvent

from daybook.export.model.profile import Profile
from daybook.mongo.migrate import migrate
from daybook.ops.metrics.metrics import TIMEOUT_SECONDS, Measured, render

pytestmark = pytest.mark.migrated

START = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
NOW = datetime(2026, 1, 19, 11, 0, tzinfo=UTC)
DAILY = Profile(name="daily")
BATCH = "daily_batch_export"
ALWAYS_SHOWN = (
    *("timeout", "google_drive", "mongodb", "unknown"),
    *("configuration", "queue_changing", "too_many_rejected"),
)
BUCKET = f"{BATCH}_duration_seconds_bucket"
Db = Database[dict[str, Any]]


def text(database: Db, *, destination: str = "google_drive") -> bytes:
    content_type, body = render(
        database,
        [Measured(profile=DAILY, destination=destination, breaker=destination)],
        now=NOW,
    )
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    return body


def values(database: Db, *, destination: str = "google_drive") -> dict[str, float]:
    """Every sample, under its name and labels as the text has them."""
    lines = text(database, destination=destination).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def chosen(found: dict[str, float], *names: str) -> list[float]:
    return [found[name] for name in names]


def day(date: str, *, state: str = "committed", **fields: Any) -> dict[str, Any]:
    return {
        "profile": "daily",
        "batchDate": date,
        "state": state,
        "generation": 1,
        "attempt": 1,
        "endedAttempt": 1,
        "createdAt": START,
        "updatedAt": START,
        "markedAt": START,
        **fields,
    }


def delivered(date: str, seconds: float, **fields: Any) -> dict[str, Any]:
    return day(
        date,
        startedAt=START,
        committedAt=START + timedelta(seconds=seconds),
        **{"entryCount": 1, "rowCount": 2, "rejectedCount": 0, "sizeBytes": 100, **fields},
    )


def put_days(database: Db, *days: dict[str, Any]) -> None:
    database["exportbatches"].insert_many(days)


def queue_item(**fields: Any) -> dict[str, Any]:
    return {"entryId": ObjectId(), "exportPath": "scheduled", "status": "queued", **fields}


# Batches


def test_before_the_first_run_every_figure_is_there_and_zero(database: Db) -> None:
    closed = 'daybook_circuit_breaker_state{destination="google_drive",state="closed"}'
    found = values(database)
    assert found.pop(closed) == 1
    assert set(found.values()) == {0}
    assert {name for name in found if name.startswith(f"{BATCH}_errors_total")} == {
        f'{BATCH}_errors_total{{error_type="{kind}"}}' for kind in ALWAYS_SHOWN
    }


def test_totals_are_sums_over_the_delivered_days(database: Db) -> None:
    put_days(
        database,
        delivered(
            "2026-01-15", 1, entryCount=3, rowCount=6, rejectedCount=2, sizeBytes=700,
            attemptCount=2, conflictCount=1,
        ),
        delivered(
            "2026-01-16", 2, entryCount=40, rowCount=80, rejectedCount=1, sizeBytes=9000,
            attemptCount=1, conflictCount=0,
        ),
        day("2026-01-17", state="failed", attemptCount=4, conflictCount=2),
        day("2026-01-18", state="open", attemptCount=1),
    )  # fmt: skip
    found = values(database)
    assert chosen(
        found,
        f"{BATCH}_entries_total",
        f"{BATCH}_rows_total",
        f"{BATCH}_rejected_entries_total",
        f"{BATCH}_bytes_total",
        f"{BATCH}_attempts_total",
        f"{BATCH}_conflicts_total",
    ) == [43, 86, 3, 9700, 8, 3]


def test_a_duration_counts_in_every_bucket_whose_bound_it_does_not_exceed(database: Db) -> None:
    took = [0.1, 0.3, 1.0, 1.001, 5.0, 10.0, 29.999, 30.001, 60.0, 61.5]
    put_days(
        database,
        *(delivered(f"2026-01-{at:02}", seconds) for at, seconds in enumerate(took, start=1)),
    )
    found = values(database)
    assert {name: value for name, value in found.items() if name.startswith(BUCKET)} == {
        f'{BUCKET}{{le="1.0"}}': 3,
        f'{BUCKET}{{le="5.0"}}': 5,
        f'{BUCKET}{{le="10.0"}}': 6,
        f'{BUCKET}{{le="30.0"}}': 7,
        f'{BUCKET}{{le="60.0"}}': 9,
        f'{BUCKET}{{le="+Inf"}}': 10,
    }
    assert found[f"{BATCH}_duration_seconds_count"] == 10
    assert found[f"{BATCH}_duration_seconds_sum"] == 198.901
    assert found[f"{BATCH}_last_duration_seconds"] == 61.5


def test_clocks_that_disagree_make_no_negative_duration(database: Db) -> None:
    put_days(database, delivered("2026-01-18", -3))
    found = values(database)
    names = (f'{BUCKET}{{le="1.0"}}', f"{BATCH}_duration_seconds_sum")
    assert chosen(found, *names) == [1, 0]


def test_the_last_day_is_the_one_that_ended_last(database: Db) -> None:
    put_days(
        database,
        delivered("2026-01-17", 90, entryCount=5),  # made up for after the next day
        delivered("2026-01-18", 30, entryCount=7),
        day("2026-01-19", state="open", entryCount=0, committedAt=None),
    )
    found = values(database)
    names = ("entries", "last_duration_seconds", "last_success_timestamp_seconds")
    expected = [5, 90, START.timestamp() + 90]
    assert chosen(found, *(f"{BATCH}_{name}" for name in names)) == expected


def test_an_empty_day_is_a_success_without_entries_and_without_a_duration(database: Db) -> None:
    ended = START + timedelta(days=1)
    put_days(
        database,
        delivered("2026-01-18", 4, entryCount=7),
        day("2026-01-19", state="empty", entryCount=0, startedAt=START, committedAt=ended),
    )
    found = values(database)
    assert found[f"{BATCH}_entries"] == 0
    assert found[f"{BATCH}_entries_total"] == 7
    assert found[f"{BATCH}_last_success_timestamp_seconds"] == ended.timestamp()
    assert found[f"{BATCH}_duration_seconds_count"] == 1
    assert found[f"{BATCH}_last_duration_seconds"] == 4


def test_a_failed_day_is_no_success(database: Db) -> None:
    put_days(
        database,
        delivered("2026-01-17", 4),
        day("2026-01-18", state="failed", startedAt=START, committedAt=NOW),
    )
    found = values(database)
    assert found[f"{BATCH}_last_success_timestamp_seconds"] == START.timestamp() + 4


def test_days_are_counted_by_state(database: Db) -> None:
    states = ["open", "committed", "committed", "committed", "empty", "empty", "failed"]
    put_days(database, *(day(f"2026-01-{at:02}", state=state) for at, state in enumerate(states)))
    found = values(database)
    name = f"{BATCH}_batches"
    assert {key: value for key, value in found.items() if key.startswith(name)} == {
        f'{name}{{state="open"}}': 1,
        f'{name}{{state="committed"}}': 3,
        f'{name}{{state="empty"}}': 2,
        f'{name}{{state="failed"}}': 1,
    }


def test_failed_attempts_are_counted_by_type_over_all_days(database: Db) -> None:
    put_days(
        database,
        delivered("2026-01-16", 1, errorCounts={"google_drive": 2, "timeout": 1}),
        day("2026-01-17", state="failed", errorCounts={"google_drive": 4}),
        day("2026-01-18", state="open", errorCounts={"queue_changing": 1, "tasks": 2}),
    )
    found = values(database, destination="s3")
    name = f"{BATCH}_errors_total"
    assert {key: value for key, value in found.items() if key.startswith(name)} == {
        **{f'{name}{{error_type="{kind}"}}': 0 for kind in (*ALWAYS_SHOWN, "s3")},
        f'{name}{{error_type="google_drive"}}': 6,
        f'{name}{{error_type="queue_changing"}}': 1,
        f'{name}{{error_type="tasks"}}': 2,
        f'{name}{{error_type="timeout"}}': 1,
    }


def test_a_batch_from_before_the_counters_counts_its_attempts(database: Db) -> None:
    put_days(database, delivered("2026-01-16", 1, attempt=3), day("2026-01-17", attempt=2))
    found = values(database)
    assert found[f"{BATCH}_attempts_total"] == 5
    assert found[f"{BATCH}_conflicts_total"] == 0
    assert sum(value for name, value in found.items() if "_errors_total" in name) == 0


def test_a_day_recorded_by_another_application_is_a_success_without_figures(database: Db) -> None:
    elsewhere = START + timedelta(days=1)
    put_days(
        database,
        delivered("2026-01-17", 4, entryCount=7),
        # Adopted after an attempt of our own had begun.
        day("2026-01-18", recordedElsewhere=True, startedAt=START, committedAt=elsewhere),
    )
    found = values(database)
    assert found[f'{BATCH}_batches{{state="committed"}}'] == 2
    assert found[f"{BATCH}_last_success_timestamp_seconds"] == elsewhere.timestamp()
    assert found[f"{BATCH}_duration_seconds_count"] == 1
    assert found[f"{BATCH}_entries"] == 7


def test_manual_exports_and_other_profiles_are_left_out(database: Db) -> None:
    manual = delivered("", 500, entryCount=1000, attemptCount=9, errorCounts={"timeout": 9})
    del manual["batchDate"]
    put_days(
        database,
        delivered("2026-01-18", 4, entryCount=7, attemptCount=1),
        {**manual, "manualKey": "copy"},
        delivered("2026-01-18", 600, profile="weekly", entryCount=5000, attemptCount=3),
    )
    found = values(database)
    names = ("entries", "entries_total", "attempts_total", "duration_seconds_count")
    assert chosen(found, *(f"{BATCH}_{name}" for name in names)) == [7, 7, 1, 1]
    assert found[f'{BATCH}_errors_total{{error_type="timeout"}}'] == 0
    assert found[f"{BATCH}_last_duration_seconds"] == 4


@pytest.mark.parametrize("odd", [None, "yesterday", True, [START]])
def test_values_of_another_type_count_as_nothing(database: Db, odd: Any) -> None:
    figures = ("entryCount", "rowCount", "sizeBytes", "rejectedCount", "conflictCount")
    names = (*figures, "errorCounts", "startedAt", "committedAt")
    put_days(
        database,
        delivered("2026-01-17", 4, entryCount=7, errorCounts={"timeout": odd}),
        day("2026-01-18", **dict.fromkeys(names, odd)),
    )
    found = values(database)
    assert found[f'{BATCH}_batches{{state="committed"}}'] == 2
    assert found[f"{BATCH}_entries"] == found[f"{BATCH}_entries_total"] == 7
    assert found[f"{BATCH}_duration_seconds_count"] == 1
    assert found[f"{BATCH}_last_success_timestamp_seconds"] == START.timestamp() + 4
    assert found[f'{BATCH}_errors_total{{error_type="timeout"}}'] == 0


# The queue


ODD_NAMES = {
    b"\xff\xfe": "\N{REPLACEMENT CHARACTER}" * 2,
    b"\xed\xa0\x80": "\N{REPLACEMENT CHARACTER}" * 3,  # half a surrogate pair
    b'"}\n# HELP \\': r"\"}\n# HELP \\",
    b"\r\x1b[31m": "\r\x1b[31m",
    "\N{LINE SEPARATOR}\N{NEXT LINE}".encode(): "\N{LINE SEPARATOR}\N{NEXT LINE}",
    "ผิดพลาด".encode(): "ผิดพลาด",
    b"": "",
    b"e" * 5000: "e" * 79 + "…",
}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_type_of_error_is_one_label(database: Db, name: bytes) -> None:
    """Also one that is not UTF-8, as another program's driver may store it."""
    stored = bson.encode(day("2026-01-17", _id=ObjectId(), errorCounts={"@" * len(name): 3}))
    raw = RawBSONDocument(stored.replace(b"@" * len(name) + b"\x00", name + b"\x00"))
    raws = database["exportbatches"].with_options(codec_options=raw_bson.DEFAULT_RAW_BSON_OPTIONS)
    raws.insert_one(raw)

    page = text(database).decode()

    assert f'{BATCH}_errors_total{{error_type="{ODD_NAMES[name]}"}} 3.0' in page.split("\n")
    assert len([*text_string_to_metric_families(page)]) > 10


def test_types_of_error_that_look_alike_are_one_sample(database: Db) -> None:
    long = "e" * 79
    counts = {f"{long}{end}": 1 for end in ("aa", "bb", "cc")}
    put_days(database, day("2026-01-17", errorCounts=counts))

    assert values(database)[f'{BATCH}_errors_total{{error_type="{long}…"}}'] == 3
    assert text(database).decode().count(f'error_type="{long}') == 1


@pytest.mark.parametrize(
    "odd",
    [
        *(float("nan"), float("inf"), float("-inf"), 1e300, -1, -0.5, Int64(2**63 - 1)),
        *map(Decimal128, ("NaN", "sNaN", "Infinity", "-Infinity", "1E+6000", "-3")),
    ],
    ids=repr,
)
def test_a_number_that_counts_nothing_spoils_no_sum(database: Db, odd: Any) -> None:
    figures = ("entryCount", "rowCount", "sizeBytes", "rejectedCount", "conflictCount")
    put_days(
        database,
        delivered(
            "2026-01-16", 1, attemptCount=Decimal128("2"), entryCount=7,
            errorCounts={"timeout": 2.0},
        ),
        delivered(
            "2026-01-17", 1, attemptCount=odd, errorCounts={"timeout": odd},
            **dict.fromkeys(figures, odd),
        ),
    )  # fmt: skip

    found = values(database)

    names = [f"{BATCH}_{name}_total" for name in ("entries", "rows", "attempts", "conflicts")]
    assert chosen(found, *names) == [7, 2, 2, 0]
    assert found[f'{BATCH}_errors_total{{error_type="timeout"}}'] == 2
    assert found[f"{BATCH}_entries"] == 0


@pytest.mark.parametrize("first", [-(2**63), 0, 2**63 - 1])
@pytest.mark.parametrize("last", [-(2**63), 0, 2**63 - 1])
def test_dates_at_the_ends_of_what_can_be_stored_are_answered(
    database: Db, first: int, last: int
) -> None:
    times = {"startedAt": DatetimeMS(first), "committedAt": DatetimeMS(last)}
    put_days(database, {**delivered("2026-01-17", 1), **times})

    found = values(database)

    assert found[f'{BATCH}_batches{{state="committed"}}'] == 1
    assert found[f"{BATCH}_last_duration_seconds"] >= 0


def test_the_queue_holds_what_the_next_run_would_take(database: Db) -> None:
    created = NOW - timedelta(seconds=90.5)
    database["exportqueues"].insert_many(
        [
            queue_item(_id=ObjectId(), createdAt=created),
            queue_item(_id=ObjectId(), createdAt=NOW, profile="daily"),
            queue_item(_id=ObjectId(), createdAt=NOW, profile=None),
            *(queue_item(_id=f"done-{at}", status="completed") for at in range(5)),
            queue_item(_id="bad", status="failed"),
            queue_item(_id="copy", exportPath="manual"),
            queue_item(_id="other", profile="weekly"),
        ]
    )
    found = values(database)
    names = (f"{BATCH}_queue_entries", f"{BATCH}_queue_oldest_age_seconds")
    assert chosen(found, *names) == [3, 90.5]


@pytest.mark.parametrize(
    ("item", "age_seconds"),
    [
        ({"_id": ObjectId.from_datetime(NOW - timedelta(hours=2))}, 7200),
        ({"_id": ObjectId.from_datetime(NOW - timedelta(hours=2)), "createdAt": "now"}, 7200),
        ({"_id": 17, "createdAt": NOW - timedelta(minutes=1)}, 60),
        ({"_id": 17}, 0),
        ({"_id": 17, "createdAt": NOW + timedelta(minutes=1)}, 0),
        ({"_id": 17, "createdAt": DatetimeMS(2**62)}, 0),
    ],
)
def test_the_first_item_tells_its_age(
    database: Db, item: dict[str, Any], age_seconds: float
) -> None:
    database["exportqueues"].insert_one(queue_item(**item))
    assert values(database)[f"{BATCH}_queue_oldest_age_seconds"] == age_seconds


# The breaker and the orphans


@pytest.mark.parametrize(
    ("open_until", "state"),
    [
        (None, "closed"),
        (NOW + timedelta(milliseconds=1), "open"),
        (NOW, "half_open"),
        (NOW - timedelta(hours=1), "half_open"),
    ],
)
def test_the_breaker_is_in_one_state(database: Db, open_until: datetime | None, state: str) -> None:
    database["circuitbreakers"].insert_many(
        [
            {"_id": "google_drive", "failures": 3, "openUntil": open_until, "trial": None},
            {"_id": "s3", "failures": 3, "openUntil": NOW + timedelta(days=1), "trial": None},
        ]
    )
    name = "daybook_circuit_breaker_state"
    found = {key: value for key, value in values(database).items() if key.startswith(name)}
    assert found == {
        f'{name}{{destination="google_drive",state="{one}"}}': one == state
        for one in ("closed", "open", "half_open")
    }


def test_orphans_of_the_past_days_are_watched_for_or_seen(database: Db) -> None:
    later, before = NOW + timedelta(days=1), NOW - timedelta(seconds=1)
    database["exportorphans"].insert_many(
        [
            {"profile": "daily", "watchUntil": later, "seenAt": None},
            {"profile": "daily", "watchUntil": later},
            {"profile": "daily", "watchUntil": later, "seenAt": before},
            {"profile": "daily", "watchUntil": before, "seenAt": before},
            {"profile": "daily", "watchUntil": before, "seenAt": None},
            {"profile": "weekly", "watchUntil": later, "seenAt": None},
        ]
    )
    found = values(database)
    names = ('daybook_orphans{state="watched"}', 'daybook_orphans{state="seen"}')
    assert chosen(found, *names) == [2, 1]


# The page as a whole


def fill(database: Db) -> None:
    """Something of everything."""
    put_days(
        database,
        delivered("2026-01-16", 7.25, errorCounts={"google_drive": 2}, attemptCount=3),
        day("2026-01-17", state="failed", errorCounts={"timeout": 4}, attemptCount=4),
    )
    database["exportqueues"].insert_many(
        [
            *(queue_item(createdAt=NOW - timedelta(hours=1)) for _ in range(7)),
            *(queue_item(status="completed") for _ in range(300)),
        ]
    )
    database["circuitbreakers"].insert_one({"_id": "google_drive", "failures": 1})
    database["exportorphans"].insert_one(
        {"profile": "daily", "watchUntil": NOW + timedelta(days=1), "seenAt": None}
    )


def test_any_instance_answers_alike(mongo_uri: str, database: Db) -> None:
    fill(database)
    with MongoClient(mongo_uri, tz_aware=True) as one, MongoClient(mongo_uri, tz_aware=True) as two:
        first, second = text(one[database.name]), text(two[database.name])
    assert first == second == text(database)
    assert b"daybook_mongodb" not in first


class Reads(CommandListener):
    """Keeps the commands."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append(dict(event.command))

    def succeeded(self, event: object) -> None: ...

    def failed(self, event: object) -> None: ...


@pytest.fixture
def reads(mongo_uri: str, database: Db) -> Iterator[list[dict[str, Any]]]:
    """What a page asks MongoDB, in a filled database with all indexes."""
    migrate(database, now=NOW)
    fill(database)
    listener = Reads()
    with MongoClient(mongo_uri, tz_aware=True, event_listeners=[listener]) as client:
        text(client[database.name])
        yield list(listener.commands)


def winning(plan: Any) -> Iterator[dict[str, Any]]:
    """The stages of a plan that was chosen."""
    if isinstance(plan, list):
        for part in plan:
            yield from winning(part)
    elif isinstance(plan, dict):
        if "stage" in plan:
            yield plan
        for name, part in plan.items():
            if name != "rejectedPlans":
                yield from winning(part)


def test_every_question_is_answered_by_an_index(database: Db, reads: list[dict[str, Any]]) -> None:
    used: dict[str, set[str]] = {}
    for command in reads:
        kind = "find" if "find" in command else "aggregate"
        own = ("filter", "projection", "sort", "limit", "singleBatch", "pipeline", "cursor")
        asked = {kind: command[kind], **{key: command[key] for key in own if key in command}}
        plan = database.command("explain", asked, verbosity="queryPlanner")
        for stage in winning(plan):
            assert stage["stage"] not in ("COLLSCAN", "SORT"), asked
            if stage["stage"] in ("IXSCAN", "IDHACK", "COUNT_SCAN"):
                used.setdefault(command[kind], set()).add(stage.get("indexName", "_id_"))
    batches = used.pop("exportbatches")
    assert batches <= {"idx_batch_day_unique", "idx_batch_unmarked"}
    assert used == {
        "exportqueues": {"idx_queue_plan", "idx_queue_profile", "idx_queue_status_unknown"},
        "circuitbreakers": {"_id_"},
        "exportorphans": {"idx_orphan_watched"},
    }


def test_the_batches_are_read_once_and_every_question_is_bounded_in_time(
    reads: list[dict[str, Any]],
) -> None:
    assert [command.get("aggregate") for command in reads].count("exportbatches") == 1
    assert len(reads) == 9
    for command in reads:
        assert 0 < command["maxTimeMS"] <= TIMEOUT_SECONDS * 1000


def test_a_database_that_is_away_is_no_page() -> None:
    with (
        MongoClient("mongodb://127.0.0.1:1/") as client,
        pytest.raises(PyMongoError),
        pymongo.timeout(0.2),
    ):
        text(client["daybook"])


# Several profiles


def of_profiles(database: Db, *names: str) -> dict[str, float]:
    _, body = render(
        database,
        [
            Measured(
                profile=Profile(name=name),
                destination="google_drive" if name == "daily" else "s3",
                breaker="google_drive" if name == "daily" else f"s3://books/{name}",
            )
            for name in names
        ],
        now=NOW,
    )
    lines = body.decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_each_profile_has_its_own_figures(database: Db) -> None:
    put_days(
        database,
        delivered("2026-01-17", 4, entryCount=7, errorCounts={"timeout": 2}, attemptCount=3),
        delivered("2026-01-17", 20, entryCount=11, profile="sales", conflictCount=1),
        day("2026-01-18", state="failed", profile="sales", errorCounts={"s3": 4}),
    )
    database["exportqueues"].insert_many(
        {"exportPath": "scheduled", "status": "queued", "createdAt": START, **fields}
        for fields in ({}, {"profile": "sales"}, {"profile": "sales"}, {"profile": "nobody"})
    )
    database["circuitbreakers"].insert_one(
        {"_id": "s3://books/sales", "failures": 3, "openUntil": NOW + timedelta(minutes=5)}
    )
    database["exportorphans"].insert_one(
        {"_id": "x", "profile": "sales", "seenAt": None, "watchUntil": NOW + timedelta(days=1)}
    )
    found = of_profiles(database, "daily", "sales")

    def of(name: str, label: str = "") -> list[float]:
        """Of both profiles; the text has labels in alphabetical order."""
        named = [sorted(filter(None, (label, f'profile="{one}"'))) for one in ("daily", "sales")]
        return [found[f"{name}{{{','.join(labels)}}}"] for labels in named]

    assert of(f"{BATCH}_entries") == [7, 11]
    assert of(f"{BATCH}_entries_total") == [7, 11]
    assert of(f"{BATCH}_last_duration_seconds") == [4, 20]
    assert of(f"{BATCH}_conflicts_total") == [0, 1]
    assert of(f"{BATCH}_errors_total", 'error_type="timeout"') == [2, 0]
    assert found[f'{BATCH}_errors_total{{error_type="s3",profile="sales"}}'] == 4
    assert of(f"{BATCH}_batches", 'state="failed"') == [0, 1]
    assert of(f"{BATCH}_queue_entries") == [1, 2]
    assert of("daybook_orphans", 'state="watched"') == [0, 1]
    assert found[f'{BATCH}_duration_seconds_bucket{{le="5.0",profile="daily"}}'] == 1
    assert found[f'{BATCH}_duration_seconds_bucket{{le="5.0",profile="sales"}}'] == 0
    state = "daybook_circuit_breaker_state"
    assert found[f'{state}{{destination="google_drive",state="closed"}}'] == 1
    assert found[f'{state}{{destination="s3://books/sales",state="open"}}'] == 1


def test_every_sample_of_the_batches_names_its_profile_if_there_are_several(database: Db) -> None:
    one, several = of_profiles(database, "daily"), of_profiles(database, "daily", "sales")
    apart = ("daybook_circuit", "daybook_damaged", f"{BATCH}_queue_unclaimed", "daybook_mongodb")
    assert not [name for name in one if "profile=" in name]
    assert not [name for name in several if "profile=" not in name and not name.startswith(apart)]


def test_a_profile_other_than_daily_is_named_even_alone(database: Db) -> None:
    assert f'{BATCH}_entries{{profile="sales"}}' in of_profiles(database, "sales")


def test_items_that_no_profile_takes_are_counted_once_for_each_queue(database: Db) -> None:
    database["exportqueues"].insert_one({"exportPath": "nowhere", "status": "queued"})
    found = of_profiles(database, "daily", "sales")
    assert found[f'{BATCH}_queue_unclaimed_entries{{reason="unknown_path"}}'] == 1
