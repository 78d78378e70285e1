"""Values that no decoder or display expects, in documents that others write: nothing crashes."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Code, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from click.testing import CliRunner
from pymongo.database import Database

from daybook import display, log
from daybook.audit.lineage import lineage
from daybook.audit.verify import verify
from daybook.cli.explain import queries
from daybook.cli.main import main
from daybook.export.model.ids import LENIENT, hashable
from daybook.export.operations import history
from daybook.export.operations.requeue import NotRequeued, requeue
from daybook.export.outcome import Status
from daybook.mongo.explain import explain
from daybook.ops import doctor
from daybook.ops.metrics import stored
from daybook.ops.watchdog import watch
from tests import books, commands
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated

_BROKEN = "\ue000BROKEN\ue000"
"""Stands for bytes that are no UTF-8 in a document that is to be encoded."""

ODD = {
    "bytes": _BROKEN,
    "nul": "a\0b",
    "escape": "\x1b[2J\x07",
    "date": DatetimeMS(2**62),
    "nan": float("nan"),
    "code": Code("x", {"y": 1}),
    "regex": Regex("("),
    "max": MaxKey(),
    "min": MinKey(),
    "timestamp": Timestamp(1, 1),
    "document": {"a": {"b": [_BROKEN, {"c": DatetimeMS(-(2**62))}]}},
    "array": [1, [2, {"reason": 3}]],
    "null": None,
    "binary": b"\x00\xff",
}
FIELDS = ["createdAt", "updatedAt", "metadata", "error", "note", "profileName"]


def raw(doc: dict[str, Any]) -> RawBSONDocument:
    """The document with the bytes A1 D2 C3 in place of each `_BROKEN`."""
    filler = _BROKEN.encode()
    broken = b"\xa1\xd2\xc3".ljust(len(filler))
    return RawBSONDocument(bson.encode(doc).replace(filler, broken))


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def everything_responds(office: Office, *entry_ids: Any, day: date = DAY) -> None:
    """Each command that reads what others have written, over the app's own connection."""
    app, profile = office.app, office.app.profile()
    database = app.database
    for entry_id in entry_ids:
        (found,) = lineage(database, profile, str(entry_id))
        json.dumps(display.document(found.to_doc()), allow_nan=False).encode()
        with pytest.raises(NotRequeued):
            requeue(database, profile, str(entry_id), now=EVENING)
    json.dumps(display.document(history.status(database, profile, day).to_doc()), allow_nan=False)
    assert verify(database, app.destination, profile, day).to_doc()["status"] == "verified"
    assert commands.maintain(app).in_progress is False
    watch(database, "daily", app.schedule, EVENING, app.messenger)
    stored.queue_figures(database, profile, EVENING)
    stored.batch_figures(database, profile)
    list(doctor.examine(app.installation(os.environ)))
    assert not explain(database, queries(profile)).missing


@pytest.mark.parametrize("odd", ODD)
def test_any_value_in_any_field_of_a_queue_item(office: Office, odd: str) -> None:
    entries = [books.entry(f"E-{field}") for field in FIELDS]
    bad = books.entry("BAD", lines=books.lines()[:1])
    office.entries.insert_many([*entries, bad])
    office.queue.insert_many(
        [
            *(
                raw(books.queue_item(entry["_id"], **{field: ODD[odd]}))
                for entry, field in zip(entries, FIELDS, strict=True)
            ),
            raw(books.queue_item(bad["_id"], **dict.fromkeys(FIELDS, ODD[odd]))),
        ]
    )

    outcome = commands.run_day(office.app, DAY)

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, len(FIELDS))
    assert office.queue.count_documents({"status": "completed"}) == len(FIELDS)
    assert office.batch()["alertedAt"] is not None
    everything_responds(office, bad["_id"], *(entry["_id"] for entry in entries))


@pytest.mark.parametrize("odd", ODD)
def test_any_value_as_the_reference_of_a_rejected_entry(
    office: Office, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The receipt names rejected entries by it."""
    bad = books.entry(ODD[odd], lines=books.lines()[:1])
    good = books.entry("GOOD")
    office.entries.insert_many([raw(bad), good])
    office.queue.insert_many([books.queue_item(one["_id"]) for one in (bad, good)])
    assert commands.run_day(office.app, DAY).status is Status.EXPORTED
    assert office.batch()["alertedAt"] is not None
    assert "announce_failed" not in {getattr(record, "event", "") for record in caplog.records}
    everything_responds(office, bad["_id"], good["_id"])


@pytest.mark.parametrize("odd", ODD)
def test_any_value_in_a_record_of_another_application(office: Office, odd: str) -> None:
    value = ODD[odd]
    entry_id = office.add("10.00", credit="9.00")
    office.add()
    office.logs.insert_many(
        [
            raw(
                {
                    "action": "csv_generated",
                    "message": value,
                    "createdAt": value,
                    "metadata": {
                        "batchDate": NEXT_DAY.isoformat(),
                        **dict.fromkeys(("filename", "fileId", "webViewLink", "totals"), value),
                    },
                }
            ),
            raw(
                {
                    "action": "entry_rejected",
                    "message": value,
                    "createdAt": value,
                    "metadata": {"entryId": entry_id, "detail": value, "batchDate": value},
                }
            ),
            raw({"action": "entry_rejected", "metadata": [{"entryId": entry_id}]}),
        ]
    )
    office.export()
    outcome = commands.run_day(office.app, NEXT_DAY)
    assert outcome.status is Status.ALREADY_EXPORTED
    json.dumps(display.document(outcome.to_doc()), allow_nan=False).encode()
    everything_responds(office, entry_id)
    history.history(office.app.database, office.app.profile(), limit=5)


def test_a_batch_that_cannot_be_announced_keeps_no_other_from_being_announced(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    batches = office.database["exportbatches"]
    office.add()
    office.export()
    batches.update_one({}, {"$set": {"alertedAt": None}, "$unset": {"committedAt": ""}})
    office.add()

    assert office.export(NEXT_DAY).status is Status.EXPORTED

    assert office.batch(NEXT_DAY)["alertedAt"] is not None
    assert office.batch(DAY)["alertedAt"] is None
    events = [getattr(record, "event", "") for record in caplog.records]
    assert "announce_failed" in events
    commands.maintain(office.app)
    batches.update_one({"batchDate": DAY.isoformat()}, {"$set": {"committedAt": EVENING}})
    commands.maintain(office.app)
    assert office.batch(DAY)["alertedAt"] is not None


def test_a_queue_item_whose_id_no_query_can_name_is_shown_and_not_queued_again(
    office: Office,
) -> None:
    entry = books.entry("A")
    office.entries.insert_one(entry)
    office.queue.insert_one(raw(books.queue_item(entry["_id"], _id=_BROKEN, status="failed")))
    database, profile = office.app.database, office.app.profile()
    (item,) = lineage(database, profile, str(entry["_id"]))[0].items
    assert item.to_doc()["queueId"].startswith("\N{REPLACEMENT CHARACTER}" * 3)
    with pytest.raises(NotRequeued, match="not valid text"):
        requeue(database, profile, str(entry["_id"]), now=EVENING)


def test_a_terminal_and_json_show_a_replacement_character(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = books.entry(_BROKEN)
    office.entries.insert_one(raw(entry))
    office.enqueue(entry["_id"])
    for name, value in office.env.items():
        monkeypatch.setenv(name, value)
    told = CliRunner().invoke(main, ["lineage", str(entry["_id"])])
    assert "(\N{REPLACEMENT CHARACTER}" in told.stdout
    told = CliRunner().invoke(main, ["lineage", str(entry["_id"]), "--json"])
    assert json.loads(told.stdout)["reference"].startswith("\N{REPLACEMENT CHARACTER}")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO, _Terminal])
def test_a_log_record_has_nothing_that_cannot_be_displayed(stream: type[io.StringIO]) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    out = stream()
    try:
        root.handlers.clear()
        log.setup(out)
        for value in ("\ud800", "\udcff", "\x1b[2J", "a\0b", float("nan"), DatetimeMS(2**62)):
            log.event(logging.INFO, "odd", f"Told {value}.", value=value, many={"a": [value]})
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    written = out.getvalue()
    written.encode()
    assert written.count("odd") >= 6
    assert not set(written) & set("\x00\x1b")
    if not out.isatty():
        for line in written.splitlines():
            json.loads(line, parse_constant=pytest.fail)


def test_ids_are_displayed_without_what_cannot_be() -> None:
    assert display.document({"a": [ObjectId("6" * 24), b"\x00\xff", DatetimeMS(5)]}) == {
        "a": ["6" * 24, "00ff", "1970-01-01T00:00:00.005000+00:00"]
    }


def test_figures_of_the_queue_count_around_an_id_that_no_query_can_name(office: Office) -> None:
    office.queue.insert_one(raw({**books.queue_item(ObjectId()), "_id": _BROKEN}))
    office.add()
    figures = stored.queue_figures(office.database, office.app.profile(), EVENING)
    assert figures.entries == 2
    assert office.export().facts["entryCount"] == 1
    figures = stored.queue_figures(office.database, office.app.profile(), EVENING)
    assert figures.entries == 1


def test_an_unreadable_id_is_a_key_that_equals_no_other() -> None:
    broken = bson.decode(raw({"_id": _BROKEN}).raw, LENIENT)["_id"]
    assert (
        len({hashable(broken), hashable({"a": broken}), hashable("x"), hashable(repr(broken))}) == 4
    )
