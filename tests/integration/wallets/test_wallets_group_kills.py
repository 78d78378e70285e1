"""A process that dies while it books groups: each request's repetition learns the truth."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.errors import DatabaseError
from daybook.export.model.profile import Profile
from daybook.ledger_app import LedgerApp
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.idempotency import KeyedResponse
from daybook.wallets.reconcile.reconcile import reconcile
from tests.emulators.mongo_proxy import CUT, Action, MongoProxy, Phase
from tests.integration.ledgers import check_books, check_whole, make_app, movement, prepare, purses
from tests.integration.wallet_crowd import ACTS
from tests.integration.wallets.test_wallets_groups import STEPS, STEPS_OF_SEVERAL, At, Watch

BALANCE = 2000


@pytest.fixture(scope="module")
def app(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    database = mongo_client[f"group_kills_{uuid.uuid4().hex}"]
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    assert reconcile(app.database, Profile(name="daily")).differences == ()
    app.client.close()
    mongo_client.drop_database(database.name)


def start(app: LedgerApp, uri: str, owners: Sequence[ObjectId], seed: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.integration.wallet_crowd", uri, app.database.name),
            *(seed, *map(str, owners)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def heard(process: subprocess.Popen[str], lines: int | None = None) -> list[list[str]]:
    """What it said until it was killed; after so many lines it is."""
    assert process.stdout is not None
    said = []
    with process.stdout as stream:
        if lines is not None:
            said = [stream.readline() for _ in range(lines)]
            process.kill()
        said += stream.readlines()
    process.wait(60)
    return [line.split() for line in said if line.endswith("\n")]


def moved_again(
    app: LedgerApp, owner: ObjectId, direction: str, amount: int, key: str
) -> KeyedResponse:
    """The movement, asked for again after a 503 as docs/ledger.md says.

    MongoDB may have begun a dead process's last command after its sessions were ended: then
    the wallet is held until that transaction is ended, too.
    """
    try:
        return ACTS[direction](app.ledger, owner, movement(amount, key=key))
    except DatabaseError:
        app.client.admin.command("killAllSessions", [])
        return ACTS[direction](app.ledger, owner, movement(amount, key=key))


def check_survivors(app: LedgerApp, owners: Sequence[ObjectId], said: list[list[str]]) -> None:
    """Every request that was sent is sent again under its key by another process."""
    app.client.admin.command("killAllSessions", [])  # as MongoDB does after a minute
    check_books(app.database, owners)
    check_whole(app.database)
    done = {key: rest for word, key, *rest in said if word == "done"}
    refused = {key for word, key, *_ in said if word == "refused"}
    tried = {key: rest for word, key, *rest in said if word == "try"}
    stored = {
        doc["idempotencyKey"]: doc
        for doc in app.database["transactions"].find({"idempotencyKey": {"$in": list(tried)}})
    }
    assert set(done) <= set(stored)
    assert not refused & set(stored)  # a refusal is the truth
    balance = BALANCE * len(owners)
    for key, (direction, amount, owner) in tried.items():
        if key in refused:
            continue
        try:
            answer = moved_again(app, ObjectId(owner), direction, int(amount), key)
        except LedgerError as error:
            if error.code is not ErrorCode.INSUFFICIENT_FUNDS:
                raise
            assert key not in stored
            continue
        assert answer.replayed is (key in stored)
        if key in done:
            assert done[key] == [answer.body["transactionId"], str(answer.body["version"])]
        balance += int(amount) * (1 if direction == "credit" else -1)
    assert check_books(app.database, owners) == balance
    check_whole(app.database)


@pytest.mark.parametrize(
    ("wallets", "step", "phase"),
    [
        *((1, step, Phase.BEFORE) for step in STEPS),
        (1, STEPS[-1], Phase.AFTER),
        *((6, step, Phase.BEFORE) for step in STEPS_OF_SEVERAL),
        (6, STEPS_OF_SEVERAL[-1], Phase.AFTER),
    ],
    ids=lambda one: " ".join(filter(None, one)) if isinstance(one, tuple) else str(one),
)
def test_a_process_that_dies_at_a_step_of_a_group_neither_loses_nor_doubles_a_movement(
    app: LedgerApp, wallets: int, step: tuple[str, str | None], phase: Phase
) -> None:
    """After a step is before the next one; after the commit its answer is lost."""
    owners = purses(app.ledger, *[BALANCE] * wallets)
    started: list[subprocess.Popen[str]] = []

    def kill() -> Action:
        started[0].kill()
        return CUT

    host, port = app.client.address or ("", 0)
    killed = At(step, phase, kill)
    with MongoProxy(host, port, Watch(killed, wallets=min(wallets, 2))) as proxy:
        started.append(start(app, proxy.uri, owners, f"{step} {phase}"))
        said = heard(started[0])
    assert killed.sprung
    assert said
    check_survivors(app, owners, said)


def survive_a_kill(app: LedgerApp, uri: str, dice: random.Random, *, wallets: int) -> None:
    owners = purses(app.ledger, *[BALANCE] * wallets)
    process = start(app, uri, owners, str(dice.random()))
    check_survivors(app, owners, heard(process, lines=dice.randint(1, 400)))


@pytest.mark.parametrize("wallets", [1, 6])
def test_a_process_that_dies_at_any_moment_neither_loses_nor_doubles_a_movement(
    app: LedgerApp, mongo_uri: str, wallets: int
) -> None:
    survive_a_kill(app, mongo_uri, random.Random("a crowd"), wallets=wallets)


@pytest.mark.storm
@pytest.mark.timeout(3600)
def test_a_hundred_killed_crowds_neither_lose_nor_double_a_movement(
    app: LedgerApp, mongo_uri: str
) -> None:
    for seed in range(100):
        dice = random.Random(f"crowd {seed}")
        survive_a_kill(app, mongo_uri, dice, wallets=dice.choice([1, 6, 20]))
