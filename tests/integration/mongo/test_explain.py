"""Every query that the code issues is declared, and runs on an index."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain, combinations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import Int64, ObjectId, json_util
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from daybook.app import App
from daybook.audit.lineage import lineage
from daybook.audit.verify import verify
from daybook.cli import breakers
from daybook.cli.explain import queries
from daybook.export.model.lifecycle import Schedule
from daybook.export.model.profile import DAILY, Profile
from daybook.export.operations import history
from daybook.export.operations.requeue import requeue
from daybook.export.outcome import Status
from daybook.export.queue import manual
from daybook.local.follow_ups import due_calls
from daybook.mongo import building
from daybook.mongo.explain import Explained, Plan, explain
from daybook.mongo.indexes import INDEXES
from daybook.mongo.migrate import migrate
from daybook.ops.doctor import examine
from daybook.ops.metrics import stored as stored_figures
from daybook.page import day as page_of_day
from daybook.page import overview
from daybook.page.days import ShownProfile
from daybook.wallets import history as wallet_history
from daybook.wallets import invites, move, users
from daybook.wallets.context import Ledger, stamp
from daybook.wallets.history import Cursor
from daybook.wallets.idempotency import IdempotencyKey, remove_answers_before
from daybook.wallets.invites import InviteStatus, NewInvite
from daybook.wallets.users import NewUser, Wanted
from daybook.wallets.wallet import open_wallet
from tests import books, commands
from tests.integration import ledgers
from tests.integration.ledgers import movement, prepare, purses

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
PROFILE = Profile(name=DAILY)
DECLARED = queries(PROFILE)
TODAY = date(2026, 1, 18)
FEW = 2_000
MANY = 100_000

# What goes over the wire


class Wire(CommandListener):
    """The shapes of all queries and updates that are sent: collection, filter, sort."""

    def __init__(self) -> None:
        self.shapes: set[str] = set()

    def started(self, event: CommandStartedEvent) -> None:
        command, name = event.command, event.command_name
        asked: list[tuple[Mapping[str, Any], Any]] = []
        if name == "find":
            asked = [(command["filter"], command.get("sort"))]
        elif name == "findAndModify":
            asked = [(command["query"], command.get("sort"))]
        elif name in ("count", "distinct"):
            asked = [(command.get("query", {}), None)]
        elif name in ("update", "delete"):
            asked = [(each["q"], None) for each in command[f"{name}s"]]
        elif name == "aggregate":
            asked = [(command["pipeline"][0].get("$match", {}), None)]
            joins = [stage["$lookup"] for stage in command["pipeline"] if "$lookup" in stage]
            self.shapes |= {
                shape(join["from"], {join["foreignField"]: 0}, None)
                for join in joins
                if join["foreignField"] != "_id"
            }
        self.shapes |= {
            shape(command[name], filters, sort) for filters, sort in asked if not names_ids(filters)
        }

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def names_ids(filters: Mapping[str, Any]) -> bool:
    """Whether it asks for given ids, which needs no declaration: `_id` always has an index."""
    named = filters.get("_id")
    return named is not None and not (isinstance(named, Mapping) and "$in" not in named)


def shape(collection: str, filters: Mapping[str, Any], sort: Mapping[str, int] | None) -> str:
    """The query without its values."""
    if isinstance(filters.get("_id"), Mapping) and "$gte" in filters["_id"]:
        filters = {"_id": filters["_id"]}
    return json.dumps([collection, _bare(filters), list((sort or {}).items())])


def _bare(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {
            name: value[name] if name == "$type" else _bare(value[name], name)
            for name in sorted(value)
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_bare(each) for each in value] if key == "$or" else ["?"]
    return "?"


def listening(app: App, uri: str, wire: Wire) -> App:
    """The app, its client not built yet, with one that is listened to in its place."""
    client = MongoClient[dict[str, Any]](
        uri, event_listeners=[wire], w="majority", readConcernLevel="majority", tz_aware=True
    )
    app.__dict__["_client"] = client
    return app


def a_day_with_everything(app: App) -> None:
    database, profile = app.database, app.profile()
    bad, twice = books.entry("BAD", lines=books.lines()[:1]), books.entry("TWICE")
    books.put(database, bad, twice)
    books.put_many(database, 3)
    database["exportqueues"].insert_one(books.queue_item(twice["_id"]))
    assert commands.plan_day(app, TODAY).status is Status.PLANNED
    assert commands.run_day(app, TODAY).status is Status.EXPORTED
    assert commands.run_day(app, TODAY + timedelta(days=1)).status is Status.EMPTY
    wanted = manual.parse({"from": "2026-01-18", "to": "2026-01-18"}, key=None)
    assert commands.run_manual(app, wanted).status is Status.EXPORTED
    by_id = manual.parse({"entryIds": [str(twice["_id"])]}, key="k")
    assert commands.run_manual(app, by_id).status is Status.EXPORTED
    commands.maintain(app)
    verify(database, app.destination, profile, TODAY)
    for entry in (bad, twice):
        lineage(database, profile, str(entry["_id"]))
        lineage(database, profile, entry["reference"])
    database["journalentries"].update_one({"_id": bad["_id"]}, {"$set": {"lines": books.lines()}})
    requeue(database, profile, str(bad["_id"]), now=app.clock())
    verify(database, app.destination, profile, TODAY)
    due_calls(database, DAILY, app.clock())
    history.history(database, profile, limit=5)
    history.status(database, profile, TODAY)
    now = app.clock()
    stored_figures.batch_figures(database, profile)
    stored_figures.queue_figures(database, profile, now)
    stored_figures.orphan_figures(database, profile, now)
    breakers.not_closed(database, now)
    from daybook.ops.watchdog import watch

    watch(database, DAILY, app.schedule, datetime(2026, 1, 18, 14, tzinfo=UTC), app.messenger)
    list(examine(app.installation(os.environ)))
    the_pages(database, profile, now)


def the_pages(database: Db, profile: Profile, now: datetime) -> None:
    """The overview of several profiles, and the day of a file, of a failure and of no run."""
    schedule = Schedule("0 18 * * *", ZoneInfo("Asia/Bangkok"))
    shown = ShownProfile(profile=profile, schedule=schedule)
    others = [
        ShownProfile(profile=replace(profile, name=f"other-{number}"), schedule=schedule)
        for number in range(2)
    ]
    overview.read(database, [shown, *others], kinds=["local"], selected=DAILY, now=now)
    for days in (0, 1, 2):
        page_of_day.read(database, shown, TODAY - timedelta(days=days), now)


def all_requests(ledger: Ledger) -> None:
    payer, payee = purses(ledger, 100, 0)
    for role in ({"brand_code": "B"}, {"mediator_code": "M"}):
        users.create(ledger, NewUser(name="A", roles=("brand",), status="active", **role))
    users.create(
        ledger,
        NewUser(name="A", roles=("brand",), status="active", brand_code="B", mediator_code="M"),
    )
    given = {"brand_code": "B", "mediator_code": "M", "role": "brand", "status": "active"}
    for fields in chain.from_iterable(combinations(given, count) for count in range(1, 5)):
        wanted = Wanted(**{name: given[name] for name in fields})
        query = wanted.query()
        if query is not None:
            users.find(ledger, query, wanted, limit=2)
    moved = move.transfer(ledger, payer, payee, movement(5)).body
    move.debit(ledger, payer, movement(1))
    originals = move.reversal_of(ledger, ObjectId(moved["from"]["transactionId"]))
    move.reverse(ledger, movement(5, type_="reversal"), originals)
    wallet_id = ObjectId(moved["from"]["walletId"])
    first = wallet_history.page(ledger, wallet_id, limit=1, cursor=None)
    wallet_history.page(ledger, wallet_id, limit=1, cursor=Cursor.parse(first["nextCursor"]))
    expires = datetime.now(UTC) + timedelta(days=1)
    invite = invites.create(ledger, NewInvite(parent_code="P", expires_at=expires))
    invites.accept(ledger, invite["code"], user_id=payer)
    invites.find(ledger, "P", InviteStatus.USED, limit=1)
    remembered(ledger)
    remove_answers_before(ledger.database, ledger.now(), now=ledger.now())
    remembered(ledger)


def remembered(ledger: Ledger) -> None:
    """One of everything that holds the first answer to its key."""
    once = IdempotencyKey.of(str(ObjectId()), "/", {})
    users.create_under_key(ledger, NewUser(name="A", roles=("brand",), status="active"), once)
    owner = ObjectId()
    open_wallet(ledger, owner, wanted=once)
    move.credit(ledger, owner, movement(1))
    expires = datetime.now(UTC) + timedelta(days=1)
    invites.create_under_key(ledger, NewInvite(parent_code="P", expires_at=expires), once)


def declared_shapes(database: Db) -> set[str]:
    """Of the declared queries, with arguments out of what is stored."""
    found = set()
    for query in DECLARED:
        for doc in database[query.collection].find():
            try:
                given = query.arguments(doc)
            except (LookupError, TypeError):
                continue
            found.add(shape(query.collection, query.filter(**given), dict(query.sort)))
    return found


OF_NO_DOCUMENT = {
    # Nothing is given up on such a day; asked all the same.
    '["exportorphans", {"alertedAt": {"$type": "null"}, "profile": "?"}, []]',
    '["exportorphans", {"profile": "?", "seenAt": "?", "watchUntil": {"$gt": "?"}}, []]',
    '["exportorphans", {"profile": "?", "watchUntil": {"$gt": "?"}}, []]',
    '["exportorphans", {"profile": {"$in": ["?"]}, "watchUntil": {"$gt": "?"}}, []]',
    '["circuitbreakers", {}, []]',
    # Counted by the collection's metadata, without a scan.
    '["wallets", {}, []]',
}


def test_every_query_that_goes_over_the_wire_is_declared(
    mongo_uri: str, database: Db, tmp_path: Path
) -> None:
    migrate(database, now=datetime.now(UTC))
    app = App.from_env(
        {
            "DAYBOOK_MONGODB_URI": mongo_uri,
            "DAYBOOK_DATABASE": database.name,
            "DAYBOOK_DESTINATION": f"file://{tmp_path}",
        }
    )
    wire = Wire()
    listening(app, mongo_uri, wire)
    a_day_with_everything(app)
    ledger = Ledger(database=app.database, clock=app.clock)
    all_requests(ledger)
    app.client.close()
    assert len(wire.shapes) > 40
    assert wire.shapes - declared_shapes(database) - OF_NO_DOCUMENT == set()


# How they run


@pytest.fixture(scope="module")
def stored(
    mongo_client: MongoClient[dict[str, Any]],
    mongo_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Db]:
    """A day and a ledger of their own making, and `FEW` of each document besides.

    For all tests; those that drop an index put it back.
    """
    database = mongo_client[f"test_{ObjectId()}"]
    prepare(database)
    real(mongo_uri, database, tmp_path_factory.mktemp("files"))
    fill(database, FEW)
    yield database
    mongo_client.drop_database(database.name)


def real(mongo_uri: str, database: Db, folder: Path) -> None:
    app = books.make_app(mongo_uri, database.name, f"file://{folder}")
    a_day_with_everything(app)
    app.client.close()
    ledger_app = ledgers.make_app(mongo_uri, database.name)
    all_requests(ledger_app.ledger)
    ledger_app.client.close()


def fill(database: Db, count: int) -> None:
    """As many users, wallets, transactions, invites, entries, items and records, and 3 years."""
    dice = random.Random(1)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    owners = [ObjectId() for _ in range(count)]
    wallets = [ObjectId() for _ in range(count)]
    entries = [ObjectId() for _ in range(count)]

    def at(number: int) -> datetime:
        return start + timedelta(minutes=number)

    def code(letter: str) -> str:
        return f"{letter}-{dice.randrange(count // 20)}"

    def answer(number: int) -> dict[str, Any]:
        return {"createdAt": stamp(at(number))}

    roles = ["brand", "mediator", "agency", "shopper"]
    documents: dict[str, Iterator[dict[str, Any]]] = {
        "users": (
            {
                "_id": owner,
                "name": "Ananya",
                "roles": [dice.choice(roles)],
                "status": dice.choice(["active", "blocked"]),
                "brandCode": code("B"),
                "mediatorCode": code("M"),
                "deletedAt": None,
                "answer": answer(number),
            }
            for number, owner in enumerate(owners)
        ),
        "wallets": (
            {
                "_id": wallet,
                "ownerUserId": owner,
                "currency": "INR",
                "availablePaise": Int64(dice.randrange(10**6)),
                "version": Int64(1),
                "deletedAt": None,
                "answer": answer(number),
            }
            for number, (wallet, owner) in enumerate(zip(wallets, owners, strict=True))
        ),
        "transactions": (
            {
                "walletId": dice.choice(wallets[: count // 10]),
                "idempotencyKey": f"key-{number}",
                "amountPaise": Int64(1),
                "direction": "credit",
                "journalEntryId": entries[number],
                "createdAt": at(number),
                "answer": answer(number),
            }
            for number in range(count)
        ),
        "invites": (
            {
                "code": f"I-{number}",
                "parentCode": code("P"),
                "status": dice.choice(["active", "used", "expired"]),
                "expiresAt": datetime(2990, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
                "createdAt": at(number),
                "answer": answer(number),
            }
            for number in range(count)
        ),
        "journalentries": (
            {"_id": entry, "date": at(number), "reference": f"RV-{number:07}", "lines": []}
            for number, entry in enumerate(entries)
        ),
        "exportqueues": (
            {
                "entryId": entry,
                "exportPath": "scheduled",
                "status": "queued" if number % 50 == 0 else "completed",
            }
            for number, entry in enumerate(entries)
        ),
        "exportlogs": (
            {
                "action": "entry_rejected",
                "metadata": {"batchDate": f"2025-{number % 12 + 1:02}-01", "entryId": entry},
                "createdAt": at(number),
            }
            for number, entry in enumerate(entries)
        ),
        "exportbatches": (
            {
                "profile": DAILY,
                "batchDate": (TODAY - timedelta(days=number)).isoformat(),
                "state": "committed",
                "markedAt": at(number),
                "alertedAt": at(number),
                "createdAt": at(number),
            }
            for number in range(1, 1000)
        ),
        "exportmanifests": (
            {
                "_id": f"{ObjectId()}:1:1:{number:06}",
                "profile": DAILY,
                "entryIds": entries[number : number + 100],
                "queueIds": [],
                "markedAt": at(number),
            }
            for number in range(0, count, 100)
        ),
    }
    for collection, docs in documents.items():
        database[collection].insert_many(docs)
    database["exportslots"].insert_many([{"_id": f"other{number}"} for number in range(9)])
    database["circuitbreakers"].insert_many([{"_id": "s3"}, {"_id": "google_drive"}])
    database["exportorphans"].insert_many(
        {
            "_id": f"orphan{number}",
            "profile": DAILY,
            "alertedAt": at(number) if number % 10 else None,
            "seenAt": None,
            "watchUntil": at(number),
            "createdAt": at(number),
        }
        for number in range(FEW)
    )


def by_name(database: Db) -> dict[str, Explained]:
    found = explain(database, DECLARED).queries
    names = {f"{each.collection}.{each.name}": each for each in found}
    assert len(names) == len(found) == len(DECLARED)
    return names


def test_every_query_runs_on_an_index(stored: Db) -> None:
    found = by_name(stored)
    assert {name: each.faults for name, each in found.items() if each.failed} == {}
    assert {name for name, each in found.items() if each.plan is None} == set()
    by_key = found["transactions.transactions_of_key"].plan
    assert by_key is not None
    assert by_key.indexes == ("idx_transaction_key_caller_unique",)
    assert by_key.documents <= 1


@pytest.mark.parametrize(
    ("collection", "index", "query"),
    [
        ("transactions", "idx_transaction_key_caller_unique", "transactions_of_key"),
        ("transactions", "idx_transaction_wallet", "history"),
        ("transactions", "idx_transaction_reverses_id_unique", "reversal"),
        ("wallets", "idx_wallet_owner_id_unique", "wallet_of_owner_to_debit"),
        ("users", "idx_user_role", "users_of_role"),
        ("invites", "idx_invite_code_text_unique", "invite"),
        ("invites", "idx_invite_parent", "invites_of_parent"),
        ("exportqueues", "idx_queue_entry", "items_of_entries"),
        ("exportmanifests", "idx_manifest_unmarked", "stray_parts"),
        ("exportlogs", "idx_log_entry", "records_of_entry"),
        ("exportbatches", "idx_batch_day_unique", "history"),
        ("journalentries", "idx_entry_date", "entries_of_dates"),
        ("journalentries", "idx_entry_reference", "entries_of_reference"),
    ],
)
def test_a_dropped_index_makes_its_query_fail_and_is_named(
    stored: Db, collection: str, index: str, query: str
) -> None:
    before = stored[collection].index_information()[index]
    stored[collection].drop_index(index)
    try:
        (asked,) = [
            each for each in DECLARED if (each.collection, each.name) == (collection, query)
        ]
        (found,) = explain(stored, [asked]).queries
        assert found.faults
        assert index in found.lacking
        assert found.failed, found.excused
    finally:
        restored = {name: before[name] for name in before if name not in ("key", "v", "ns")}
        stored[collection].create_index(before["key"], name=index, **restored)


def test_every_dropped_index_makes_it_fail_whether_a_query_suffers_or_not(database: Db) -> None:
    prepare(database)
    assert not explain(database, ()).failed
    for index in INDEXES:
        database[index.collection].drop_index(index.name)
        found = explain(database, ())
        assert (found.failed, found.missing) == (True, (f"{index.name} on {index.collection}",))
        building.build(database, [index])


def test_without_documents_nothing_is_asked_and_nothing_fails(database: Db) -> None:
    prepare(database)
    found = by_name(database)
    assert not any(each.failed for each in found.values())
    assert found["wallets.wallet_of_owner"].to_doc()["status"] == "not_asked"


def sharded(*shards: dict[str, Any]) -> Plan:
    """As mongos answers: https://www.mongodb.com/docs/manual/reference/explain-results/#sharded-collection."""
    stats = {"nReturned": 1, "totalKeysExamined": 1, "totalDocsExamined": 1}
    listed = [{"shardName": f"s{number}", **each} for number, each in enumerate(shards)]
    winning = {"stage": "SHARD_MERGE", "shards": listed}
    return Plan.of({"queryPlanner": {"winningPlan": winning}, "executionStats": stats})


def test_a_shard_that_scans_or_sorts_is_seen() -> None:
    bounds = {"status": ['["queued", "queued"]']}
    found = {"stage": "IXSCAN", "indexName": "idx_queue_plan", "indexBounds": bounds}
    good = {"winningPlan": {"stage": "FETCH", "inputStage": found}}
    assert sharded(good, good).scans == []
    assert sharded(good, good).indexes == ("idx_queue_plan",)
    bad = {"winningPlan": {"stage": "SHARDING_FILTER", "inputStage": {"stage": "COLLSCAN"}}}
    assert sharded(good, bad).scans == ["scans the collection"]
    sorting = {"winningPlan": {"queryPlan": {"stage": "SORT", "inputStage": found}}}
    assert sharded(good, sorting).sorts == ["sorts in memory"]


def test_documents_that_supply_no_arguments_are_left_out(database: Db) -> None:
    """One of each declared query's collection, with nothing in it as the query expects."""
    prepare(database)
    odd: list[dict[str, Any]] = [
        {},
        {"action": "csv_superseded", "metadata": {"batchDate": "2026-01-16"}},
        {"profile": 7, "batchDate": {"a": 1}, "metadata": [], "state": "?", "lease": "x"},
    ]
    for collection in {query.collection for query in DECLARED}:
        for doc in odd:
            with suppress(PyMongoError):
                database[collection].insert_one({"_id": ObjectId(), **doc})
    assert {each.name for each in explain(database, DECLARED).queries}


@pytest.mark.storm
def test_every_query_runs_on_an_index_among_a_hundred_thousand(
    mongo_uri: str, database: Db, tmp_path: Path
) -> None:
    prepare(database)
    real(mongo_uri, database, tmp_path)
    fill(database, MANY)
    found = by_name(database)
    failed = [each.to_doc() for each in found.values() if each.failed]
    candidates = [as_stored(database, each["collection"]) for each in failed]
    # As a message, since pytest would shorten the comparison.
    assert not failed, json_util.dumps(candidates, indent=1)
    for each in found.values():
        assert each.plan is not None
        print(each.to_doc())


def as_stored(database: Db, collection: str) -> dict[str, Any]:
    """How MongoDB plans `{profile}` by `batchDate`, with all candidates, and fields of its arrays.

    An index whose key was ever an array orders nothing, which its plan alone does not show.
    """
    arrays = {
        "$match": {"$or": [{"profile": {"$type": "array"}}, {"batchDate": {"$type": "array"}}]}
    }
    find = {"find": collection, "filter": {"profile": DAILY, "batchDate": {"$type": "string"}}}
    return {
        "arrays": list(database[collection].aggregate([arrays])),
        "explained": database.command(
            "explain", {**find, "sort": {"batchDate": -1}}, verbosity="allPlansExecution"
        ),
    }
