"""Documents of any shape in the journal, the queue and the log: each is exported or explained.

Each example is a day: a few entries and queue items, some of them altered at random,
beside one that is as it should be. Nothing may crash; each item that is due is
completed with the right rows in the file, or failed with a reason; what is not due stays
as it was; the accountant gets the receipt; and every command answers afterwards.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import bson
import flask
import hypothesis
import pytest
from bson import Int64, ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import BulkWriteError
from werkzeug.test import EnvironBuilder

from daybook.app import App
from daybook.cli.main import main
from daybook.export.model.ids import LONGEST_BYTES
from daybook.http import routes
from tests import books
from tests.emulators.drive import DriveEmulator
from tests.fuzz import documents, oracle
from tests.fuzz.budget import rounds
from tests.fuzz.documents import RawText, encode
from tests.integration.notifications.test_alert_delivery import Inbox
from tests.integration.office import DAY, EVENING

DATE = DAY.isoformat()
EXAMPLES = 20
"""In a round."""

Db = Database[dict[str, Any]]
RAW = CodecOptions(
    document_class=RawBSONDocument,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="replace",
)
DUE = {
    "exportPath": "scheduled",
    "status": "queued",
    "profile": {"$in": [None, "daily"]},
}
COLLECTIONS = (
    *("journalentries", "exportqueues", "exportlogs", "exportslots", "exportbatches"),
    *("exportmanifests", "exportorphans", "circuitbreakers"),
)
AMOUNTS = st.one_of(documents.DECIMALS, documents.DOUBLES, documents.INTEGERS)
LIKELY = {
    "date": documents.DATES,
    "reference": st.one_of(documents.TEXTS, documents.RAW_TEXTS),
    "description": st.one_of(documents.TEXTS, documents.RAW_TEXTS),
    "accountCode": st.one_of(documents.TEXTS, documents.INTEGERS),
    "accountName": documents.TEXTS,
    "currency": documents.CURRENCIES,
    "debit": AMOUNTS,
    "credit": AMOUNTS,
    "amount": AMOUNTS,
    "status": st.sampled_from(["queued", "completed", "failed", "pending", None]),
    "exportPath": st.sampled_from(["scheduled", "manual", "Scheduled", None]),
    "profile": st.sampled_from(["daily", "other", None, ""]),
    "action": st.sampled_from(["csv_generated", "entry_rejected", "batch_empty", "other"]),
    "batchDate": st.sampled_from(["2026-01-17", "2026-01-16", "2026-13-99", ""]),
    "entryId": documents.IDS,
}


@dataclass(frozen=True)
class Day:
    """What the collections hold before the run: documents with their ids."""

    entries: list[tuple[Any, Any]]
    items: list[tuple[Any, Any]]
    logs: list[Any]
    controlled: bool
    """Whether there is also an entry that is as it should be."""


@st.composite
def lines(draw: st.DrawFn) -> list[dict[str, Any]]:
    amount = draw(AMOUNTS)
    return [
        {"accountCode": "1100", "accountName": "เงินสด", "debit": amount, "credit": None},
        {"accountCode": "4000", "accountName": "Revenue", "debit": 0, "credit": amount},
    ]


@st.composite
def entries(draw: st.DrawFn) -> Any:
    base = {
        "date": DatetimeMS(1_768_712_400_000),
        "reference": draw(st.one_of(st.just("RV-1"), documents.TEXTS)),
        "description": "ค่าบริการ",
        "currency": "THB",
    }
    if draw(st.integers(0, 4)):
        base["lines"] = draw(lines())
    else:
        base["amount"] = draw(AMOUNTS)
    return draw(documents.altered(base, LIKELY))


@st.composite
def items(draw: st.DrawFn, entry_id: Any) -> Any:
    base = {
        "entryId": entry_id,
        "exportPath": "scheduled",
        "status": "queued",
        "metadata": None,
        "createdAt": DatetimeMS(1_768_712_400_000),
    }
    return draw(documents.altered(base, LIKELY) if draw(st.integers(0, 1)) else st.just(base))


@st.composite
def logs(draw: st.DrawFn) -> Any:
    base = {
        "queueId": None,
        "action": draw(LIKELY["action"]),
        "message": "text",
        "performedBy": "system",
        "metadata": {
            "batchDate": "2026-01-17",
            "filename": "batch_2026-01-17.csv",
            "fileId": "f",
            "webViewLink": "https://drive.example/f",
            "entryCount": 1,
            "entryId": "x",
        },
        "createdAt": DatetimeMS(1_768_626_000_000),
        "updatedAt": DatetimeMS(1_768_626_000_000),
    }
    return draw(documents.altered(base, LIKELY))


@st.composite
def days(draw: st.DrawFn) -> Day:
    ids = st.one_of(st.builds(ObjectId, st.binary(min_size=12, max_size=12)), documents.IDS)
    entry_ids = draw(st.lists(ids, min_size=1, max_size=3))
    found = [(entry_id, draw(entries())) for entry_id in entry_ids]
    queued = [
        (draw(ids), draw(items(draw(st.sampled_from([entry_id, entry_id, entry_id, *entry_ids])))))
        for entry_id in entry_ids
    ]
    return Day(
        entries=found,
        items=queued,
        logs=draw(st.lists(logs(), max_size=2)),
        controlled=draw(st.integers(0, 3)) > 0,
    )


@dataclass(frozen=True)
class Office:
    """Daybook with a database, a Drive, and the accountant's inbox."""

    app: App
    database: Db
    drive: DriveEmulator
    inbox: Inbox
    env: dict[str, str]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the document of an answer, which has to be strict JSON."""
        builder = EnvironBuilder(path=path, method=method, json=body)
        response = routes.answer(self.app, flask.Request(builder.get_environ()))
        text = response.get_data().decode("utf-8", "strict")
        if not response.is_json and response.mimetype != "application/problem+json":
            return response.status_code, text
        return response.status_code, json.loads(text, parse_constant=_no_number)

    def command(self, *arguments: str) -> Any:
        """What a command prints with `--json`; it may refuse, but not crash."""
        result = self._invoked(*arguments, "--json")
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        assert "command_crashed" not in result.output, result.output
        doc = json.loads(result.stdout, parse_constant=_no_number) if result.stdout else {}
        kind = doc.get("error", {}) if isinstance(doc, dict) else {}
        assert not (isinstance(kind, dict) and kind.get("type") == "unknown"), doc
        words = self._invoked(*arguments)
        assert words.exception is None or isinstance(words.exception, SystemExit), words
        words.output.encode("utf-8", "strict")
        return doc

    def _invoked(self, *arguments: str) -> Result:
        """Run a command in this process, which leaves its log handlers behind."""
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        try:
            return CliRunner().invoke(main, [*arguments], env=self.env)
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)


def _no_number(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


@pytest.fixture(scope="module")
def office(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Office]:
    name = f"fuzz_{ObjectId()}"
    inbox = Inbox()
    with DriveEmulator() as drive:
        env = {
            "DAYBOOK_MONGODB_URI": mongo_uri,
            "DAYBOOK_DATABASE": name,
            "DAYBOOK_DESTINATION": f"drive://{drive.folder_id}",
            "DAYBOOK_DRIVE_ENDPOINT": drive.url,
            "DAYBOOK_RECEIPT_URLS": inbox.url("receipts"),
            "DAYBOOK_ALERT_URLS": inbox.url("alerts"),
        }
        destination = env["DAYBOOK_DESTINATION"]
        more = {key: env[key] for key in list(env)[3:]}
        app = replace(books.make_app(mongo_uri, name, destination, **more), clock=lambda: EVENING)
        yield Office(app, mongo_client[name], drive, inbox, env)
        app.client.close()
    inbox.server.shutdown()
    mongo_client.drop_database(name)


def store(database: Db, day: Day) -> dict[bytes, tuple[Any, Any]]:
    """Empty the collections and insert the day; the server refuses what it cannot hold.

    Returns the entries that it holds, by the bytes of their ids.
    """
    held = {}
    for name in COLLECTIONS:
        database[name].delete_many({})
    if day.controlled:
        books.put(database, books.entry("CONTROL"))
    found = {
        "journalentries": day.entries,
        "exportqueues": day.items,
        "exportlogs": [(ObjectId(), one) for one in day.logs],
    }
    for name, docs in found.items():
        for doc_id, doc in docs:
            try:
                database[name].insert_many([encode({"_id": doc_id, **doc})])
            except BulkWriteError as error:
                (refused,) = error.details["writeErrors"]
                assert refused["code"] in (11000, 2, 52, 53, 55, 171, 16755), refused
                continue
            if name == "journalentries":
                held[raw_id(doc_id)] = (doc_id, doc)
    return held


def raw_id(value: Any) -> bytes:
    return encode({"_id": value}).raw


ID_ALONE = {"id": {"_id": "$_id"}}
"""A projection: the `_id` in a document of its own, whose bytes serve as a key."""


def due_items(database: Db) -> list[tuple[bytes, list[bytes], Any]]:
    """The items that a run has to take: id, the ids that the server finds for it, entryId."""
    pipeline = [
        {"$match": DUE},
        {
            "$lookup": {
                "from": "journalentries",
                "let": {"entry": "$entryId"},
                "pipeline": [
                    {"$match": {"$expr": {"$eq": ["$_id", "$$entry"]}}},
                    {"$project": {"_id": 1}},
                ],
                "as": "entries",
            }
        },
        {"$project": {**ID_ALONE, "entries": 1, "entryId": 1}},
    ]
    queue = database.get_collection("exportqueues", codec_options=RAW)
    return [
        (doc["id"].raw, [entry.raw for entry in doc["entries"]], doc.get("entryId"))
        for doc in queue.aggregate(pipeline)
    ]


def stored_items(database: Db) -> dict[bytes, RawBSONDocument]:
    """Every queue item by the bytes of its id: `status`, `reason`, and all of it as `whole`."""
    queue = database.get_collection("exportqueues", codec_options=RAW)
    pipeline = [
        {
            "$project": {
                **ID_ALONE,
                "status": 1,
                "reason": "$error.reason",
                "whole": "$$ROOT",
            }
        }
    ]
    return {doc["id"].raw: doc for doc in queue.aggregate(pipeline)}


def check_day(office: Office, day: Day) -> None:
    database = office.database
    models = store(database, day)
    office.inbox.got.clear()
    due = due_items(database)
    before = stored_items(database)
    status, planned = office.ask("POST", "/run", {"batchDate": DATE, "dryRun": True})
    assert (status, planned["status"] in ("planned", "empty")) == (200, True), str(planned)
    status, answer = office.ask("POST", "/run", {"batchDate": DATE})
    assert status == 200, str(answer)
    assert answer["status"] in ("exported", "empty"), str(answer)
    assert (answer["status"] == "empty") == (planned["status"] == "empty"), (planned, answer)
    assert answer["sha256"] == planned["sha256"], (planned, answer)

    rows = _rows_by_entry(office, answer) if answer["status"] == "exported" else []
    after = stored_items(database)
    completed = rejected = 0
    for key, found, entry_id in due:
        item = after[key]
        if item.get("status") == "completed":
            completed += 1
            _assert_exported(rows, models, found, key)
        elif item.get("status") == "failed":
            rejected += 1
            assert item.get("reason"), key
            _assert_rightly_rejected(database, models, found, entry_id)
        else:
            assert not _nameable(key), (key, item.get("status"))
    for key in before.keys() - {key for key, _, _ in due}:
        assert after[key]["whole"].raw == before[key]["whole"].raw, "an item not due has changed"
    assert (answer["status"] == "exported") == (completed > 0), str(answer)
    counts = (answer["entryCount"] or 0, answer["rejectedCount"] or 0, answer["rowCount"] or 0)
    assert counts == (completed, rejected, sum(map(len, rows))), str(answer)
    _assert_everybody_is_told(office, rejected)
    _assert_everything_answers(office, day, answer["status"])


def _rows_by_entry(office: Office, answer: Any) -> list[list[list[str]]]:
    """The file's rows, entry by entry."""
    (file,) = (file for file in office.drive.files() if file.id == answer["fileId"])
    header, *rows = csv.reader(io.StringIO(file.content.decode("utf-8-sig"), newline=""))
    assert len(header) == 11
    groups: list[list[list[str]]] = []
    for row in rows:
        assert len(row) == 11, row
        if row[1] in ("", "1"):
            groups.append([])
        groups[-1].append(row)
    return groups


def _assert_exported(
    rows: list[list[list[str]]],
    models: dict[bytes, tuple[Any, Any]],
    found: list[bytes],
    key: bytes,
) -> None:
    assert len(found) == 1, f"{key!r} was exported without an entry"
    model = models.get(found[0])
    if model is None:
        return  # the control entry, whose rows every other test compares
    try:
        expected = oracle.rows_of(model[1], model[0])
    except oracle.Undecided:
        return
    except oracle.Unacceptable:
        raise AssertionError(f"exported, and should have been rejected: {model}") from None
    name = expected[0][0].text
    candidates = [group for group in rows if expected[0][0].shows(group[0][0])]
    assert any(
        len(group) == len(expected)
        and all(
            cell.shows(text)
            for row, cells in zip(group, expected, strict=True)
            for text, cell in zip(row, cells, strict=True)
        )
        for group in candidates
    ), f"{name}: expected {expected}, the file has {candidates}"


def _assert_rightly_rejected(
    database: Db, models: dict[bytes, tuple[Any, Any]], found: list[bytes], entry_id: Any
) -> None:
    if entry_id is None or not found or not _nameable(found[0]):
        return
    same = {"$expr": {"$eq": ["$entryId", {"$literal": entry_id}]}, "exportPath": "scheduled"}
    if database["exportqueues"].count_documents(same) > 1:
        return  # another item names the same entry
    model = models.get(found[0])
    assert model is not None, "the control entry was rejected"
    try:
        oracle.rows_of(model[1], model[0])
    except (oracle.Unacceptable, oracle.Undecided):
        return
    raise AssertionError(f"rejected without cause: {model}")


def _nameable(key: bytes) -> bool:
    """Whether a strict reader can decode the id, a query name it, and it is of bearable length."""
    try:
        again = bson.encode(bson.decode(key))
    except Exception:  # noqa: BLE001  (InvalidBSON, and dates out of range)
        return False
    return again == key and len(key) < LONGEST_BYTES


def _assert_everybody_is_told(office: Office, rejected: int) -> None:
    paths = [message["path"] for message in office.inbox.got]
    assert paths.count("/receipts") == 1, office.inbox.got
    assert paths.count("/alerts") >= (1 if rejected else 0), office.inbox.got
    batch = office.database["exportbatches"].find_one({"batchDate": DATE})
    assert batch is not None
    assert batch["alertedAt"] is not None


def _assert_everything_answers(office: Office, day: Day, outcome: str) -> None:
    status, again = office.ask("POST", "/run", {"batchDate": DATE})
    repeated = {"exported": "already_exported", "empty": "empty"}[outcome]
    assert (status, again["status"]) == (200, repeated), str(again)
    for path in ("/watchdog", "/sweep", "/admin/doctor"):
        status, answer = office.ask("POST", path, {})
        assert status == 200, (path, answer)
    for path in ("/health", "/health/cron", "/metrics"):
        status, answer = office.ask("GET", path)
        assert status == 200, (path, answer)
    status, answer = office.ask("POST", "/admin/verify", {"batchDate": DATE})
    verified = {"exported": "verified", "empty": "empty"}[outcome]
    assert (status, answer.get("status")) == (200, verified), str(answer)
    for entry_id, _ in day.entries:
        name = _as_text(entry_id)
        if name:
            status, answer = office.ask("POST", "/admin/requeue", {"entryId": name})
            assert status in (200, 409), (name, answer)
            office.command("lineage", "--", name)
    office.command("status", DATE)
    office.command("history")


def _as_text(entry_id: Any) -> str | None:
    """How an operator would give the id, as the file shows it."""
    if isinstance(entry_id, RawText):
        return None
    if isinstance(entry_id, Int64):
        return str(int(entry_id))
    text = str(entry_id)
    return text if 0 < len(text) <= 255 and "\0" not in text else None


def test_documents_of_any_shape_are_exported_or_explained(office: Office) -> None:
    logging.disable(logging.CRITICAL)
    try:
        for number in rounds():

            @settings(
                max_examples=EXAMPLES,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
                print_blob=False,
            )
            @hypothesis.seed(number)
            @given(day=days())
            def property_of_a_day(day: Day) -> None:
                check_day(office, day)

            property_of_a_day()
    finally:
        logging.disable(logging.NOTSET)
