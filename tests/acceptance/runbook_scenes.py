"""For each alert's chapter of the runbook the situation that it is about, brought about for real.

A scene yields the beginning of the command before which it goes on: there the operator has
removed the cause. What comes after the last one is done when all commands are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from daybook.export.model.part import FIRST_PART_SIZE
from tests import books
from tests.acceptance.runbook_stage import AT_EIGHT, DAY, NEXT_DAY, Stage
from tests.emulators.drive.log import Moment
from tests.emulators.mongo_proxy import Event, MongoProxy, Phase

Scene = Callable[[Stage, Path], Iterator[str]]
NOWHERE = {
    "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:1/",
    "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS": "200",
}
"""Settings with which no MongoDB answers, soon."""


def attempt_failed(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.drive.down = True
    stage.fails()
    yield "run"
    stage.drive.down = False


def batch_failed(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.drive.grant(stage.drive.drive_id, "reader")
    stage.fails()
    yield "retry"
    stage.drive.grant(stage.drive.drive_id, "writer")


def batch_recovered(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.drive.down = True
    stage.fails()
    stage.drive.down = False
    stage.delivers()
    yield from ()


def breaker_opened(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.drive.down = True
    for _ in range(3):
        stage.fails()
    yield "run"
    yield "retry"
    stage.drive.down = False


def entries_rejected(stage: Stage, _folder: Path) -> Iterator[str]:
    unfit = books.entry("INV-3", lines=books.lines()[:1])
    stage.ids["6b0326e4796afecb35d29315"] = str(unfit["_id"])
    stage.queue(books.entry("INV-1"), books.entry("INV-2"), unfit)
    stage.delivers()
    stage.database["journalentries"].update_one(
        {"_id": unfit["_id"]}, {"$set": {"lines": books.lines()}}
    )
    yield "requeue"
    yield "lineage"
    stage.delivers(NEXT_DAY)


def orphan_left_behind(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.drive.fault("status", on="create_multipart", status=409, reason="fileIdInUse", times=3)
    stage.fails()
    stage.fails()
    stage.delivers()
    yield from ()


def sent_and_not_recorded(stage: Stage) -> str:
    """The file is there, its answer was lost, and the run could not look; returns its id."""
    stage.queue()
    stage.drive.fault("answer_lost", on="create_multipart")
    stage.drive.fault("status", on="get", status=503, times=None)
    stage.fails()
    stage.drive.faults.clear()
    (file,) = stage.drive.files()
    return file.id


def unsealed_file(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.drive.tamper(sent_and_not_recorded(stage), b"somebody was here")
    stage.delivers()
    yield from ()


def file_changed(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    item = stage.drive.world.items[stage.delivers()]
    item.trashed = True
    assert stage.ask("/audit")["status"] == "differs"
    yield "audit"
    yield "audit"
    item.trashed = False


def entries_changed_after_export(stage: Stage, _folder: Path) -> Iterator[str]:
    entry = books.entry("INV-1", description="Office rent")
    stage.queue(entry)
    stage.ids["6b03274a796afecb35d29327"] = str(entry["_id"])
    stage.delivers()
    described = stage.database["journalentries"].update_one
    described({"_id": entry["_id"]}, {"$set": {"description": "Rent of the office"}})
    assert stage.ask("/audit")["status"] == "differs"
    yield "audit"
    yield "audit"
    described({"_id": entry["_id"]}, {"$set": {"description": "Office rent"}})


def items_changed_after_seal(stage: Stage, _folder: Path) -> Iterator[str]:
    first, _second = stage.queue()

    def withdraw(moment: Moment) -> None:
        if (moment.operation, moment.stage) == ("create_multipart", "before"):
            stage.database["exportqueues"].delete_one({"_id": first})

    stage.drive.on_request(withdraw)
    stage.delivers()
    yield from ()


def file_unrecorded(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()

    def forbid(moment: Moment) -> None:
        if (moment.operation, moment.stage) == ("create_multipart", "before"):
            stage.database.command("collMod", "exportlogs", validator={"tenant": "theirs"})

    stage.drive.on_request(forbid)
    stage.fails()
    assert len(stage.drive.files()) == 1
    batch = stage.database["exportbatches"].find_one({})
    assert batch is not None
    assert batch["unrecorded"]["fileId"] == stage.drive.files()[0].id
    yield "run"
    stage.database.command("collMod", "exportlogs", validator={})


def marking_refused(stage: Stage, _folder: Path) -> Iterator[str]:
    bad = books.entry("BAD", lines=books.lines()[:1])
    stage.queue(bad)
    books.put_many(stage.database, FIRST_PART_SIZE)
    stage.queue(books.entry("BAD-2", lines=books.lines()[:1]))
    queue = stage.database["exportqueues"]
    queue.insert_one(books.queue_item(bad["_id"]))
    queue.create_index(
        "entryId", name="theirs", unique=True, partialFilterExpression={"status": "failed"}
    )
    stage.fails()
    yield "run"
    queue.drop_index("theirs")


def publish_failed(stage: Stage, folder: Path) -> Iterator[str]:
    taken = folder / f"batch_{DAY}.csv"
    stage.env["DAYBOOK_DESTINATION"] = folder.as_uri()
    del stage.env["DAYBOOK_DRIVE_ENDPOINT"]
    stage.queue()

    def take_the_name(event: Event) -> None:
        committed = stage.database["exportbatches"].count_documents({"state": "committed"})
        if event.phase is Phase.AFTER and committed and not taken.exists():
            taken.write_text("somebody else's")

    address = urlsplit(stage.mongo_uri)
    with MongoProxy(address.hostname or "", address.port or 0, take_the_name) as proxy:
        stage.env["DAYBOOK_MONGODB_URI"] = proxy.uri
        stage.fails()
    stage.env["DAYBOOK_MONGODB_URI"] = stage.mongo_uri
    yield "run"
    taken.rename(folder / "theirs.csv")


def day_missing(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    assert stage.ask("/watchdog")["status"] == "missing"
    yield "run"
    yield ""
    assert stage.ask("/watchdog")["status"] == "done"


def day_late(stage: Stage, folder: Path) -> Iterator[str]:
    for command in attempt_failed(stage, folder):
        # The attempt had this machine's clock, the watchdog has the page's.
        soon = {"$set": {"pendingTask.due": AT_EIGHT + timedelta(minutes=5)}}
        stage.database["exportbatches"].update_one({}, soon)
        assert stage.ask("/watchdog")["status"] == "late"
        yield command


def run_refused(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    index = stage.database["exportlogs"].index_information()["idx_batch_daily_unique"]
    stage.database["exportlogs"].drop_index("idx_batch_daily_unique")
    assert stage.ask("/run", {"batchDate": DAY})["status"] == "failed"
    assert stage.ask("/watchdog")["refused"]["type"] == "configuration"
    stage.database["exportlogs"].create_index(
        index["key"],
        name="idx_batch_daily_unique",
        unique=True,
        partialFilterExpression=index["partialFilterExpression"],
    )
    stage.delivers()
    yield from ()


def batch_slow(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.delivers()
    yield from ()


def batch_large(stage: Stage, _folder: Path) -> Iterator[str]:
    books.put_many(stage.database, 4001)
    stage.delivers()
    yield from ()


def error_logged(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.database["exportlogs"].drop_index("idx_batch_daily_unique")
    assert stage.ask("/run", {"batchDate": DAY})["status"] == "failed"
    yield from ()


def job_refused(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.env["DAYBOOK_CALLERS"] = "/run=scheduler@acme.iam.gserviceaccount.com"
    assert stage.ask("/run")["status"] == 403
    yield from ()


def probe_failed(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.env |= NOWHERE
    assert stage.ask("/health/cron", method="GET")["status"] == "unhealthy"
    yield ""
    stage.env["DAYBOOK_MONGODB_URI"] = stage.mongo_uri
    assert stage.ask("/health/cron", method="GET")["status"] == "healthy"


def mongodb_slow(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.delivers()
    yield from ()


ALERTS: dict[str, Scene] = {
    scene.__name__.replace("_", "-"): scene
    for scene in (
        attempt_failed,
        batch_failed,
        batch_recovered,
        breaker_opened,
        entries_rejected,
        orphan_left_behind,
        unsealed_file,
        file_changed,
        entries_changed_after_export,
        items_changed_after_seal,
        file_unrecorded,
        marking_refused,
        publish_failed,
        day_missing,
        run_refused,
        day_late,
        batch_slow,
        batch_large,
        error_logged,
        job_refused,
        probe_failed,
        mongodb_slow,
    )
}
