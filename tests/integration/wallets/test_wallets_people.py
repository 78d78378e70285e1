"""Users, invites, and the queries that the ledger declares, on a real MongoDB."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.ledger_app import LedgerApp
from daybook.mongo.indexes import LEDGER_INDEXES, built_indexes
from daybook.mongo.query import Query
from daybook.wallets import invites, move, queries, users
from daybook.wallets.context import Ledger
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.invites import InviteStatus, NewInvite
from daybook.wallets.users import NewUser, Wanted
from tests.integration.ledgers import make_app, movement, prepare, purses

pytestmark = pytest.mark.migrated

NOON = datetime(2026, 1, 18, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def app(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    database = mongo_client[f"people_{uuid.uuid4().hex}"]
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    app.client.close()
    mongo_client.drop_database(database.name)


@pytest.fixture
def ledger(app: LedgerApp) -> Ledger:
    """At noon."""
    return replace(app.ledger, clock=lambda: NOON)


def at(ledger: Ledger, moment: datetime) -> Ledger:
    return replace(ledger, clock=lambda: moment)


def invite(ledger: Ledger, *, lasts: timedelta = MINUTE, parent: str = "M-1") -> str:
    created = invites.create(ledger, NewInvite(parent_code=parent, expires_at=NOON + lasts))
    return str(created["code"])


def status_of(ledger: Ledger, code: str) -> str:
    doc = ledger.database["invites"].find_one({"code": code})
    assert doc is not None
    return str(doc["status"])


def test_exactly_one_of_many_accepts_an_invite(ledger: Ledger) -> None:
    code = invite(ledger)
    shopper = NewUser(name="n", roles=("shopper",), status="active")
    people = [ObjectId(users.create(ledger, shopper)["userId"]) for _ in range(16)]
    barrier = Barrier(len(people))

    def accept(user_id: ObjectId) -> str:
        barrier.wait(30)
        try:
            return str(invites.accept(ledger, code, user_id=user_id)["usedBy"])
        except LedgerError as refused:
            return refused.code.value

    with ThreadPoolExecutor(len(people)) as pool:
        told = list(pool.map(accept, people))

    winners = [answer for answer in told if answer != "INVITE_USED"]
    assert len(winners) == 1
    doc = ledger.database["invites"].find_one({"code": code})
    assert doc is not None
    assert (doc["status"], str(doc["usedBy"]), doc["usedAt"]) == ("used", winners[0], NOON)


def test_an_invite_is_not_accepted_for_an_unknown_user(ledger: Ledger) -> None:
    code = invite(ledger)
    with pytest.raises(LedgerError) as refused:
        invites.accept(ledger, code, user_id=ObjectId())
    assert refused.value.code is ErrorCode.USER_NOT_FOUND
    assert status_of(ledger, code) == "active"


def test_an_invite_is_refused_from_the_moment_it_expires_and_marked(ledger: Ledger) -> None:
    code = invite(ledger)
    before, after = at(ledger, NOON + MINUTE), at(ledger, NOON + 2 * MINUTE)
    for late in (before, after):
        with pytest.raises(LedgerError) as refused:
            invites.accept(late, code, user_id=None)
        assert refused.value.code is ErrorCode.INVITE_EXPIRED
        assert status_of(ledger, code) == "expired"


def test_an_invite_lasts_until_the_last_millisecond(ledger: Ledger) -> None:
    code = invite(ledger)
    almost = at(ledger, NOON + MINUTE - timedelta(milliseconds=1))
    assert invites.accept(almost, code, user_id=None)["status"] == "used"


def test_a_used_invite_is_not_reported_as_an_expired_one(ledger: Ledger) -> None:
    code = invite(ledger)
    invites.accept(ledger, code, user_id=None)
    with pytest.raises(LedgerError) as refused:
        invites.accept(at(ledger, NOON + 2 * MINUTE), code, user_id=None)
    assert refused.value.code is ErrorCode.INVITE_USED
    with pytest.raises(LedgerError) as unknown:
        invites.accept(ledger, "NOBODYS", user_id=None)
    assert unknown.value.code is ErrorCode.INVITE_NOT_FOUND


def test_the_sweep_marks_what_is_over_and_nothing_else(ledger: Ledger) -> None:
    ledger.database["invites"].delete_many({})
    over, running, used = invite(ledger), invite(ledger, lasts=3 * MINUTE), invite(ledger)
    invites.accept(ledger, used, user_id=None)

    assert invites.mark_expired(ledger.database, NOON + MINUTE) == 1
    assert invites.mark_expired(ledger.database, NOON + MINUTE) == 0
    assert [status_of(ledger, code) for code in (over, running, used)] == [
        "expired",
        "active",
        "used",
    ]


def test_a_code_is_given_once(ledger: Ledger) -> None:
    wanted = NewInvite(parent_code="M-1", expires_at=NOON + MINUTE, code="SUMMER")
    assert invites.create(ledger, wanted)["code"] == "SUMMER"
    with pytest.raises(LedgerError) as refused:
        invites.create(ledger, wanted)
    assert refused.value.code is ErrorCode.INVITE_EXISTS
    assert invite(ledger) != invite(ledger)


def test_invites_of_a_parent_are_listed_newest_first(ledger: Ledger) -> None:
    parent = f"M-{ObjectId()}"
    codes = [invite(at(ledger, NOON + n * MINUTE), parent=parent, lasts=9 * MINUTE) for n in (0, 1)]
    found = invites.find(ledger, parent, InviteStatus.ACTIVE, limit=1)
    assert ([one["code"] for one in found["invites"]], found["more"]) == ([codes[1]], True)
    found = invites.find(ledger, parent, InviteStatus.ACTIVE, limit=2)
    assert ([one["code"] for one in found["invites"]], found["more"]) == (codes[::-1], False)
    assert invites.find(ledger, parent, InviteStatus.USED, limit=2)["invites"] == []


def test_an_expired_invite_goes_30_days_after_its_time_and_no_other_does(app: LedgerApp) -> None:
    """MongoDB's own sweep runs once a minute; what it removes is what the index says."""
    index = built_indexes(app.database, "invites")["idx_invite_ttl"]
    assert index["expireAfterSeconds"] == 30 * 24 * 3600
    assert dict(index["partialFilterExpression"]) == {"status": "expired"}


def test_users_are_found_by_what_is_given_and_deleted_ones_are_not(ledger: Ledger) -> None:
    ledger.database["users"].delete_many({})
    for name, roles, brand, mediator, status in (
        ("a", ("brand",), "B-1", None, "active"),
        ("b", ("agency", "brand"), "B-1", None, "paused"),
        ("c", ("mediator",), None, "M-1", "active"),
        ("d", ("shopper",), None, "M-1", "active"),
        ("e", ("brand",), "B-2", None, "active"),
    ):
        user = NewUser(
            name=name, roles=roles, status=status, brand_code=brand, mediator_code=mediator
        )
        users.create(ledger, user)
    ledger.database["users"].update_one({"name": "e"}, {"$set": {"deletedAt": NOON}})

    def names(limit: int = 9, **given: str) -> list[str]:
        wanted = Wanted(**given)
        query = wanted.query()
        assert query is not None
        return sorted(
            user["name"] for user in users.find(ledger, query, wanted, limit=limit)["users"]
        )

    assert names(role="brand") == ["a", "b"]
    assert names(role="brand", status="active") == ["a"]
    assert names(brand_code="B-1") == ["a", "b"]
    assert names(brand_code="B-1", role="agency") == ["b"]
    assert names(brand_code="B-1", status="active") == ["a"]
    assert names(brand_code="B-2") == []
    assert names(mediator_code="M-1") == ["c", "d"]
    assert names(mediator_code="M-1", role="shopper") == ["d"]
    assert len(names(mediator_code="M-1", limit=1)) == 1
    assert Wanted(status="active").query() is None


# What is declared


@pytest.fixture(scope="module")
def stocked(app: LedgerApp) -> LedgerApp:
    """Some documents of everything, so that a plan is more than a guess."""
    ledger = app.ledger
    owners = purses(ledger, *range(100, 140))
    for payer, payee in zip(owners[:20], owners[20:], strict=True):
        move.transfer(ledger, payer, payee, movement(5))
    credited = ledger.database["transactions"].find_one({"ownerUserId": owners[20]})
    assert credited is not None
    move.reverse(ledger, movement(120, type_="reversal"), [move.BookedMovement.from_doc(credited)])
    for number in range(40):
        user = NewUser(
            name="n",
            roles=("agency", "brand"),
            status="active",
            brand_code=f"B-{number}",
            mediator_code=f"M-{number}",
        )
        users.create(ledger, user)
        expires_at = datetime.now(UTC) + number * MINUTE
        invites.create(ledger, NewInvite(parent_code=f"M-{number}", expires_at=expires_at))
    for name in (queries.USERS, queries.WALLETS, queries.INVITES):
        answered = {"answer.createdAt": {"$dateToString": {"date": "$createdAt"}}}
        ledger.database[name].update_many({}, [{"$set": answered}])
    return app


WITH_EVERYTHING = {
    queries.USERS: {"brandCode": {"$exists": True}},
    queries.TRANSACTIONS: {"idempotencyKey": {"$exists": True}},
}
"""Which document of a collection has all that its queries ask for."""


def stages(plan: dict[str, Any]) -> list[str]:
    below = [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", [])
    return [plan["stage"], *(stage for one in below for stage in stages(one))]


@pytest.mark.parametrize("query", queries.QUERIES, ids=lambda query: query.name)
def test_every_query_goes_by_an_index_and_sorts_by_it(stocked: LedgerApp, query: Query) -> None:
    database = stocked.database
    doc = database[query.collection].find_one(WITH_EVERYTHING.get(query.collection, {}))
    assert doc is not None
    given = query.arguments(doc)

    cursor = database[query.collection].find(query.filter(**given), query.projection)
    plan = (cursor.sort(list(query.sort)) if query.sort else cursor).explain()

    used = stages(plan["queryPlanner"]["winningPlan"])
    assert set(used) & {"IXSCAN", "IDHACK"}
    assert not set(used) & {"COLLSCAN", "SORT"}
    figures = plan["executionStats"]
    assert figures["totalDocsExamined"] <= max(1, figures["nReturned"])


def test_queries_have_names_of_their_own() -> None:
    assert len({query.name for query in queries.QUERIES}) == len(queries.QUERIES)
    declared = [value for value in vars(queries).values() if isinstance(value, Query)]
    assert declared == [query for query in queries.QUERIES if query in declared]


def test_every_declared_index_is_built_as_declared(app: LedgerApp) -> None:
    for index in LEDGER_INDEXES:
        built = built_indexes(app.database, index.collection)
        assert index.matches(built[index.name])
    names = [(index.collection, tuple(index.keys.items())) for index in LEDGER_INDEXES]
    assert len(set(names)) == len(names)
