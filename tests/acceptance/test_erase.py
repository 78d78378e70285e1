"""`erase` as an operator runs it, beside the ledger that goes on answering."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.export.model.profile import Profile
from daybook.wallets.reconcile.reconcile import reconcile
from tests import forked
from tests.acceptance.test_cli import answer, daybook, surroundings
from tests.acceptance.test_ledger import Function
from tests.emulators.mongo_proxy import CUT, FORWARD, Action, Event, MongoProxy, Phase
from tests.integration.ledgers import check_books, prepare

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
DAILY = Profile(name="daily")
NAME = "Somchai Jaidee"
OF_THE_PERSON = ("users", "wallets", "invites", "transactions")
KILLED_AT = {
    Phase.BEFORE: {"update", "insert", "findAndModify", "commitTransaction", "abortTransaction"},
    Phase.AFTER: {"commitTransaction"},  # after the others it is as before the next one
}


@pytest.fixture(scope="module")
def database(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Db]:
    database = mongo_client[f"erase_{ObjectId()}"]
    prepare(database)
    yield database
    mongo_client.drop_database(database.name)


@pytest.fixture(scope="module")
def ledger(mongo_uri: str, database: Db) -> Iterator[Function]:
    function = Function(mongo_uri, database)
    try:
        function.wait()
        yield function
    finally:
        function.stop()


@pytest.fixture
def env(mongo_uri: str, database: Db, tmp_path: Path) -> dict[str, str]:
    return {
        "DAYBOOK_MONGODB_URI": mongo_uri,
        "DAYBOOK_DATABASE": database.name,
        "DAYBOOK_DESTINATION": tmp_path.as_uri(),
    }


def somchai(ledger: Function) -> tuple[str, dict[str, Any]]:
    """A person with an empty wallet, and the requests by key that led there."""
    calls: dict[str, Any] = {}

    def call(path: str, body: dict[str, Any]) -> Any:
        key = str(ObjectId())
        calls[key] = path, body
        response = ledger.post(path, body, key=key)
        assert response.ok, response.text
        return response.json()

    user: str = call("/users", {"name": NAME, "roles": ["brand"]})["userId"]
    call("/wallets", {"ownerUserId": user})
    call(f"/wallets/{user}/credits", {"amountPaise": 700, "type": "topup"})
    body = {"amountPaise": 700, "type": "payout", "description": f"Salary of {NAME}"}
    call(f"/wallets/{user}/debits", body)
    code = ledger.post("/invites", {"parentCode": "AG-7"}).json()["code"]
    call(f"/invites/{code}/accept", {"userId": user})
    return user, calls


def stored(database: Db) -> dict[str, list[dict[str, Any]]]:
    """All but the times of the erasure itself, which differ from run to run."""
    return {
        name: [_timeless(doc) for doc in database[name].find().sort("_id", 1)]
        for name in (*OF_THE_PERSON, "journalentries", "exportqueues")
    }


def _timeless(doc: dict[str, Any]) -> dict[str, Any]:
    times = ("updatedAt", "deletedAt", "erasedAt", "answerRemovedAt")
    return {
        name: isinstance(value, datetime) if name in times else value for name, value in doc.items()
    }


def test_erase_shows_then_does_then_has_nothing_to_do(
    ledger: Function, database: Db, env: dict[str, str]
) -> None:
    user, calls = somchai(ledger)
    before = stored(database)

    planned = answer(env, "erase", user)
    assert (planned["status"], planned["erasedAt"]) == ("planned", None)
    assert planned["kept"] == {"transactions": 2, "naming": 1}
    shown = daybook(env, "erase", user)
    assert (shown.returncode, shown.stderr) == (0, "")
    for words in (
        f"User {user} would be erased; --yes does it.",
        "answer, idempotencyKey, name, requestHash, roles, status",
        "1 closed",
        "1 without the name of who accepted them",
        "3 stored answers",
        "2 transactions",
        "1 with the user's name in the description",
        "journal entries",
        "delivered files",
        "backups",
    ):
        assert words in shown.stdout
    assert NAME not in shown.stdout
    assert stored(database) == before, "nothing is changed without --yes"

    done = answer(env, "erase", user, "--yes")
    assert {**done, "status": "planned"} == planned
    assert done["status"] == "erased"
    after = stored(database)
    assert NAME not in str([after[name] for name in ("users", "wallets", "invites")])
    assert after["journalentries"] == before["journalentries"]
    assert answer(env, "erase", user, "--yes")["status"] == "already_erased"
    assert "nothing is left to erase" in daybook(env, "erase", user).stdout
    assert stored(database) == after
    assert daybook(env, "reconcile").returncode == 0

    assert ledger.get(f"/wallets/{user}").status_code == 404
    for key, (path, body) in calls.items():
        again = ledger.post(path, body, key=key)
        assert again.status_code == (404 if path.startswith("/invites") else 410), again.text
        assert again.json()["code"] in {"USER_ERASED", "ANSWER_EXPIRED", "USER_NOT_FOUND"}
    assert stored(database) == after


def test_erase_refuses_who_has_money_and_who_is_not_there(
    ledger: Function, database: Db, env: dict[str, str]
) -> None:
    user = ledger.holder(450)
    before = stored(database)
    refused = answer(env, "erase", user, "--yes", code=1)["error"]
    assert refused["type"] == "not_erased"
    assert "holds 450 minor units of INR" in refused["message"]
    process = daybook(env, "erase", str(ObjectId()), "--yes")
    assert (process.returncode, process.stdout) == (1, "")
    assert "there is no user" in process.stderr
    assert stored(database) == before


class Killer:
    """Kills the command at its `number`-th write, before or after MongoDB carried it out."""

    def __init__(self, number: int, phase: Phase) -> None:
        self.process: forked.Process | None = None
        self._at, self._phase = number, phase
        self._seen: list[int] = []
        self.killed = False

    def __call__(self, event: Event) -> Action | None:
        if event.name not in KILLED_AT[self._phase]:
            return None
        if event.phase is Phase.BEFORE:
            self._seen.append(event.number)
        if event.number not in self._seen or event.phase is not self._phase:
            return None
        if self._seen.index(event.number) + 1 != self._at or self.killed:
            return None
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.killed = True
        return CUT if self._phase is Phase.BEFORE else FORWARD


@pytest.mark.parametrize("phase", Phase)
def test_erase_can_be_killed_at_any_write_and_repeated(
    ledger: Function, database: Db, env: dict[str, str], phase: Phase
) -> None:
    host, port = parse_uri(env["DAYBOOK_MONGODB_URI"])["nodelist"][0]
    for number in range(1, 20):
        user, calls = somchai(ledger)
        owner = ObjectId(user)
        killer = Killer(number, phase)
        with MongoProxy(host, port) as proxy:
            killer.process = forked.start(
                ["daybook", "erase", user, "--yes", "--json"],
                surroundings({**env, "DAYBOOK_MONGODB_URI": proxy.uri}),
            )
            proxy.hook = killer
            stdout, stderr = killer.process.communicate(timeout=60)
        if killer.killed:
            assert stdout == ""
            wallet = database["wallets"].find_one({"ownerUserId": owner})
            doc = database["users"].find_one({"_id": owner})
            assert wallet is not None
            assert doc is not None
            assert (wallet["deletedAt"] is None) == (doc["name"] == NAME), "both, or neither"
            database.client.admin.command("killAllSessions", [])  # as MongoDB does after a minute
        else:
            assert json.loads(stdout)["status"] == "erased", stderr
        status = answer(env, "erase", user, "--yes")["status"]
        assert status in ({"erased", "already_erased"} if killer.killed else {"already_erased"})
        assert answer(env, "erase", user)["status"] == "already_erased"
        _is_erased(database, owner)
        for key, (path, body) in calls.items():
            assert ledger.post(path, body, key=key).status_code in {404, 410}
        if not killer.killed:
            break
    least = {Phase.BEFORE: 5, Phase.AFTER: 1}[phase]  # user, wallet, commit, invite, answers
    assert number == least + 1
    assert reconcile(database, DAILY).differences == ()


def _is_erased(database: Db, owner: ObjectId) -> None:
    (user,) = database["users"].find({"_id": owner})
    assert (user["name"], user["roles"], "answer" in user) == ("erased", [], False)
    (wallet,) = database["wallets"].find({"ownerUserId": owner})
    assert (wallet["availablePaise"], wallet["deletedAt"] is None) == (0, False)
    assert database["invites"].count_documents({"usedBy": {"$in": [owner, str(owner)]}}) == 0
    moved = list(database["transactions"].find({"ownerUserId": owner}))
    assert [("answer" in doc, "idempotencyKey" in doc) for doc in moved] == [(False, True)] * 2
    check_books(database, [owner])
