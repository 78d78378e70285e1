"""The runbook's chapters that are about no alert: what an operator does to a day."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bson import ObjectId

from daybook.wallets import invites, move, users
from daybook.wallets.context import Ledger
from daybook.wallets.idempotency import IdempotencyKey
from daybook.wallets.invites import NewInvite
from daybook.wallets.users import NewUser
from daybook.wallets.wallet import open_wallet
from tests import books
from tests.acceptance.runbook import DAYBOOK, chapters
from tests.acceptance.runbook_scenes import NOWHERE, Scene, sent_and_not_recorded
from tests.acceptance.runbook_stage import DAY, Stage
from tests.integration.ledgers import movement


def running_a_day_again(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.delivers()
    yield "plan"
    stage.queue(books.entry("INV-3"), books.entry("INV-4"))


def correcting_a_delivered_day(stage: Stage, _folder: Path) -> Iterator[str]:
    wrong, other = books.entry("INV-1"), books.entry("INV-2")
    stage.queue(wrong, other)
    stage.ids["6b032895657afc1ecf40e936"] = str(wrong["_id"])
    stage.delivers()
    yield "export"
    for shown in ("6b032895657afc1ecf40e940", "6b032895657afc1ecf40e941"):
        corrected = books.entry("CORRECTION")
        stage.database["journalentries"].insert_one(corrected)
        stage.database["exportqueues"].insert_one(
            books.queue_item(corrected["_id"], exportPath="manual")
        )
        stage.ids[shown] = str(corrected["_id"])
    yield "requeue"
    assert stage.database["exportqueues"].count_documents({"status": "queued"}) == 0


def a_delivered_file_was_changed(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    file_id = stage.delivers()
    (file,) = stage.drive.files()
    stage.drive.tamper(file_id, file.content.replace(b"100.00", b"900.00", 1))
    yield "verify"
    yield "verify"
    stage.drive.tamper(file_id, file.content)


def a_file_is_in_the_bin(stage: Stage, folder: Path) -> Iterator[str]:
    stage.queue()
    file_id = stage.delivers()
    (lost,) = stage.drive.files()
    stage.drive.world.items[file_id].trashed = True
    told = stage.run(f"{DAYBOOK}verify {DAY}")
    assert told.code == 1
    assert any("is in the trash" in line for line in told.lines)
    stage.drive.remove(file_id)
    yield "status"
    (program,) = chapters()["a-file-is-in-the-bin"].blocks("python")
    entries = shlex.split(stage.script(program, DAY, folder=folder))
    copied = stage.run(f"{DAYBOOK}export --key copy-of-{DAY} {shlex.join(entries)}")
    assert copied.code == 0, copied
    (copy,) = stage.drive.files()
    assert copy.content == lost.content
    stage.clear()
    binned = stage.drive.world.items[sent_and_not_recorded(stage)]
    binned.trashed = True
    stage.fails()
    yield "retry"
    binned.trashed = False


def a_person_is_to_be_erased(stage: Stage, _folder: Path) -> Iterator[str]:
    ledger = Ledger(database=stage.database, clock=lambda: datetime.now(UTC))
    once = IdempotencyKey.of("order-7", "/", {})
    user = NewUser(name="Somchai", roles=("brand",), status="active", brand_code="B-1")
    shown = users.create_under_key(ledger, user, once).body["userId"]
    owner = ObjectId(shown)
    stage.ids["6b032895657afc1ecf40e950"] = shown
    open_wallet(ledger, owner, wanted=once)
    move.credit(ledger, owner, movement(700, type_="topup"))
    named = replace(movement(700), description="Salary of Somchai")
    move.debit(ledger, owner, named)
    expires_at = datetime.now(UTC) + timedelta(days=1)
    code = invites.create(ledger, NewInvite(parent_code="AG-7", expires_at=expires_at))["code"]
    invites.accept(ledger, code, user_id=owner)
    yield "reconcile"


def drive_refuses(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.env["DAYBOOK_DESTINATION"] = f"drive://{stage.drive.my_drive_folder_id}"
    assert stage.ask("/admin/doctor")["status"] == "not_ok"
    yield from ()


def the_database_was_restored(stage: Stage, folder: Path) -> Iterator[str]:
    stage.queue(books.entry("OLD-1"), books.entry("OLD-2"))
    stage.delivers("2026-01-17")
    lost_entry = books.entry("INV-1")
    stage.queue(books.entry("INV-2"))
    backup = {name: stage.database[name].find().to_list() for name in stage.names()}
    stage.queue(lost_entry)
    file_id = stage.delivers()
    content = next(file.content for file in stage.drive.files() if file.id == file_id)
    for name in stage.names():
        stage.database[name].delete_many({})
        if backup.get(name):
            stage.database[name].insert_many(backup[name])
    yield "run"
    path = folder / f"batch_{DAY}.csv"
    path.write_bytes(content)
    _, program = ["", *chapters()["the-database-was-restored"].blocks("python")]
    told = stage.script(program, DAY, file_id, str(path), folder=folder)
    assert told.splitlines() == [
        f"{DAY}: 2 entries in the file, 1 queue items completed",
        f"  entry {lost_entry['_id']} is in the file and no longer in the journal",
    ]
    stage.ids["1vwp-xaZLvaC2KttAWGffPA7lW23F25iC"] = file_id


def migrate_is_needed(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.database["exportlogs"].drop_index("idx_batch_daily_unique")
    assert stage.ask("/run", {"batchDate": DAY})["status"] == "failed"
    yield from ()


def the_queue_is_paused(stage: Stage, _folder: Path) -> Iterator[str]:
    stage.queue()
    stage.tasks.queue().state = "PAUSED"
    stage.drive.down = True
    stage.fails()
    stage.drive.down = False
    assert stage.ask("/sweep")["status"] == "swept"
    yield from ()


def a_secret_was_changed(stage: Stage, _folder: Path) -> Iterator[str]:
    # The driver tells its listeners twice a second; `mongodb_error` needs one of those times.
    stage.env |= {**NOWHERE, "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS": "2000"}
    assert stage.run(f"{DAYBOOK}doctor").code == 1
    yield from ()


def the_node_application_is_still_on(stage: Stage, _folder: Path) -> Iterator[str]:
    unfit: list[dict[str, Any]] = [
        books.entry(f"UNFIT-{number}", lines=books.lines()[:1]) for number in range(2)
    ]
    stage.queue(*(books.entry(f"INV-{number}") for number in range(4)), *unfit)
    index = stage.database["exportlogs"].create_index(
        [("metadata.batchDate", 1), ("action", 1)], unique=True, sparse=True
    )
    stage.fails()
    assert not stage.drive.files()
    yield "retry"
    assert f'db.exportlogs.dropIndex("{index}")' in "".join(
        chapters()["the-node-application-is-still-on"].blocks("js")
    )
    stage.database["exportlogs"].drop_index(index)
    yield ""
    assert len(stage.drive.files()) == 1
    assert ObjectId.is_valid(str(stage.database["exportbatches"].find_one({})["recordId"]))


REPAIRS: dict[str, Scene] = {
    scene.__name__.replace("_", "-"): scene
    for scene in (
        running_a_day_again,
        correcting_a_delivered_day,
        a_delivered_file_was_changed,
        a_file_is_in_the_bin,
        drive_refuses,
        the_database_was_restored,
        migrate_is_needed,
        the_queue_is_paused,
        a_secret_was_changed,
        a_person_is_to_be_erased,
        the_node_application_is_still_on,
    )
}
