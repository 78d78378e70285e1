"""docs/data-model.md and what is in the database say the same."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from daybook.app import App
from daybook.export.batch.export_log import LogAction
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.source import Source
from daybook.export.outcome import Status
from daybook.export.queue import manual
from daybook.export.slot import orphans
from daybook.mongo.indexes import INDEXES, Index
from daybook.mongo.migrate import MIGRATIONS
from daybook.settings.settings import Settings
from daybook.wallets import invites, move
from daybook.wallets.erase import erase
from daybook.wallets.idempotency import without_answer
from daybook.wallets.invites import NewInvite
from tests import books, commands, pages
from tests.emulators.drive import DriveEmulator
from tests.integration.ledgers import make_app, movement, prepare, purses


def sections() -> dict[str, str]:
    """Collection → its section of data-model.md."""
    parts = re.split(r"^## ", pages.text_of("data-model.md"), flags=re.MULTILINE)
    headings = {part: re.match(r"`(\w+)`\n", part) for part in parts}
    return {heading[1]: part for part, heading in headings.items() if heading}


SECTIONS = sections()


OF_THE_LEDGER = {
    *("wallets", "transactions", "users", "invites", "campaigns", "campaignassignments"),
}


def documented_fields(collection: str) -> set[str]:
    rows = next(rows for rows in pages.tables(SECTIONS[collection]) if rows[0][0] == "field")
    return set(pages.column(rows[1:]))


def collections_in_source() -> set[str]:
    return {
        node.value.value
        for path in pages.SOURCES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and [target.id for target in node.targets if isinstance(target, ast.Name)] == ["COLLECTION"]
    }


def test_every_collection_has_its_section() -> None:
    assert set(SECTIONS) == collections_in_source() | {index.collection for index in INDEXES}


def described(index: Index) -> list[str]:
    keys = ", ".join(f"`{key}`" for key in index.keys)
    return [f"`{index.collection}`", f"`{index.name}`", keys, index.reason]


def test_the_paths_of_an_entry_are_the_defaults_of_a_profiles_source() -> None:
    source = Source()
    assert {source.entries, source.queue} < set(sections())
    of_entry = (source.date, source.reference, source.description, source.currency, source.amount)
    of_line = (
        *(source.account_code, source.account_name, source.line_description),
        *(source.debit, source.credit),
    )
    paths = {*of_entry, source.lines, *(f"{source.lines}.{path}" for path in of_line)}
    (listed, *_) = pages.tables(sections()[source.entries])
    assert set(pages.column(listed[1:])) == {"_id", *paths}


def test_every_index_is_listed_as_declared() -> None:
    rows = pages.table("data-model.md", "collection")
    assert [row[:4] for row in rows] == [described(index) for index in INDEXES]
    for row, index in zip(rows, INDEXES, strict=True):
        assert row[4].startswith("unique") == index.unique
        fields = set(index.partial)
        if "$or" in fields:
            fields = {field for branch in index.partial["$or"] for field in branch}
        values = {"csv_generated", "queued", "completed", "failed"}
        assert set(pages.words(row[4])) - values == fields


@pytest.mark.parametrize(
    ("collection", "first", "members"),
    [
        ("exportlogs", "action", LogAction),
        ("exportorphans", "reason", orphans.OrphanReason),
    ],
)
def test_every_word_that_is_stored_is_explained(
    collection: str, first: str, members: type[LogAction] | type[orphans.OrphanReason]
) -> None:
    (rows,) = (rows for rows in pages.tables(SECTIONS[collection]) if rows[0][0] == first)
    assert pages.column(rows[1:]) == [member.value for member in members]


def test_every_state_of_a_batch_is_explained() -> None:
    (row,) = (
        row
        for rows in pages.tables(SECTIONS["exportbatches"])
        for row in rows
        if row[0] == "`state`"
    )
    assert pages.words(row[2]) == [state.value for state in BatchState]


def paths(doc: Mapping[str, Any]) -> Iterator[str]:
    """Field paths as the tables give them: one level into `metadata`, `error` and lines."""
    for name, value in doc.items():
        if name in ("metadata", "error") and isinstance(value, Mapping) and "at" not in value:
            yield from (f"{name}.{inner}" for inner in value)
        elif name == "lines":
            yield name
            yield from (f"{name}.{inner}" for line in value for inner in line)
        else:
            yield name


def days_with_everything(
    settings: Settings, database: Database[dict[str, Any]], drive: DriveEmulator
) -> None:
    """A failed attempt, an exported day with a rejected entry, an empty day, a manual copy.

    And a day that is released. Each failure opens the breaker.
    """
    now = datetime(2026, 1, 18, 11, tzinfo=UTC)
    app = App(settings, clock=lambda: now, sleep=lambda _: None)
    lines = [*books.lines(), {**books.lines()[0], "accountCode": "9"}]
    books.put(database, *(books.entry(f"INV-{n}") for n in range(3)))
    books.put(database, books.entry("INV-9", lines=lines))
    drive.down = True
    assert commands.run_day(app, date(2026, 1, 18)).status is Status.RETRY_SCHEDULED
    assert commands.run_day(app, date(2026, 1, 18)).status is Status.CIRCUIT_OPEN
    drive.down = False
    now += timedelta(seconds=settings.breaker_reset_seconds)
    assert commands.run_day(app, date(2026, 1, 18)).status is Status.EXPORTED
    assert commands.run_day(app, date(2026, 1, 19)).status is Status.EMPTY
    wanted = manual.parse({"from": "2026-01-18", "to": "2026-01-18"}, key=None)
    assert commands.run_manual(app, wanted).status is Status.EXPORTED
    app.refused_runs.announce(
        "daily", date(2026, 1, 20), kind="configuration", message="no index", now=app.now()
    )
    books.put_many(database, 1)
    drive.down = True
    assert commands.run_day(app, date(2026, 1, 20)).status is Status.RETRY_SCHEDULED
    assert commands.release_day(app, date(2026, 1, 20)).state is BatchState.FAILED


def test_a_real_run_stores_no_field_that_the_document_lacks(
    mongo_uri: str, database: Database[dict[str, Any]], drive: DriveEmulator
) -> None:
    app = books.make_app(
        mongo_uri,
        database.name,
        f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
        DAYBOOK_BREAKER_FAILURES="1",
    )
    days_with_everything(app.settings, database, drive)

    stored: dict[str, set[str]] = defaultdict(set)
    for name in database.list_collection_names():
        for doc in database[name].find():
            stored[name] |= set(paths(doc))

    assert set(stored) == set(SECTIONS) - {"exportorphans"} - OF_THE_LEDGER
    for name, fields in stored.items():
        assert fields - documented_fields(name) == set(), name
    assert stored["exportslots"] == documented_fields("exportslots")
    assert stored["circuitbreakers"] == documented_fields("circuitbreakers")
    seal_text = SECTIONS["exportslots"].split("A seal:")[1]
    batch = database["exportbatches"].find_one({"state": "committed"})
    assert batch is not None
    for field in (
        "sealedAt",
        "openedFence",
        "manifest",
        *batch["rejected"][0],
        *batch["totals"]["THB"],
    ):
        assert field in seal_text + SECTIONS["exportlogs"]


@pytest.fixture
def moved(mongo_uri: str, database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """One of everything that the ledger stores, a campaign, and the lock of a migration."""
    campaign = {"_id": 1, "allowedAgencyCodes": ["AG-7"], "assignments": {"u": {"fee": 1}}}
    database["campaigns"].insert_one(campaign)
    prepare(database)
    app = make_app(mongo_uri, database.name)
    ledger = app.ledger
    payer, payee = purses(ledger, 100, 0)
    transfer = movement(5)
    transfer = replace(transfer, key=replace(transfer.key, caller="shop@acme.example"))
    body = move.transfer(ledger, payer, payee, transfer).body
    originals = move.reversal_of(ledger, ObjectId(body["from"]["transactionId"]))
    move.reverse(ledger, movement(5, type_="reversal"), originals)
    brand = {"brandCode": "B-1", "mediatorCode": "M-1"}
    database["users"].update_one({"_id": payer}, {"$set": brand})
    in_time = invites.create(
        ledger, NewInvite(parent_code="M-1", expires_at=ledger.now().replace(year=2999))
    )
    invites.accept(ledger, in_time["code"], user_id=payer)
    database["transactions"].update_one({"reverses": None}, without_answer(ledger.now()))
    (gone,) = purses(ledger, 0)
    erase(database, str(gone), now=ledger.now())
    app.client.close()
    return database


def test_every_stored_field_of_the_ledger_is_explained_and_no_other(
    moved: Database[dict[str, Any]],
) -> None:
    for collection in OF_THE_LEDGER | {"schemamigrations"}:
        found = {name for doc in moved[collection].find() for name in doc}
        taken_away = {"assignments"} if collection == "campaigns" else set()
        assert documented_fields(collection) == found | taken_away, collection


def test_every_migration_is_explained() -> None:
    (rows,) = (
        rows for rows in pages.tables(SECTIONS["schemamigrations"]) if rows[0][0] == "version"
    )
    assert [row[0] for row in rows[1:]] == [f"{each.VERSION} `{each.NAME}`" for each in MIGRATIONS]
