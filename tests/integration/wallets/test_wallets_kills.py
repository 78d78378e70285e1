"""A process that dies while money moves: no balance is lost or made, nothing moves twice."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.errors import DatabaseError
from daybook.ledger_app import LedgerApp
from daybook.wallets import move
from daybook.wallets.booking import Movement
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.idempotency import KeyedResponse
from tests import forked
from tests.integration.ledgers import check_books, check_whole, make_app, movement, prepare, purses

BALANCES = (300, 200, 100, 0)


@pytest.fixture(scope="module")
def app(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    database = mongo_client[f"kills_{uuid.uuid4().hex}"]
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    app.client.close()
    mongo_client.drop_database(database.name)


def killed_after(
    app: LedgerApp, uri: str, owners: list[ObjectId], dice: random.Random
) -> list[list[str]]:
    """What a mover said until it was killed, at some moment after so many words of it."""
    process = forked.start(
        [
            *("tests.integration.wallet_mover", uri, app.database.name),
            *(str(dice.random()), *map(str, owners)),
        ],
        os.environ,
    )
    assert process.stdout is not None
    with process.stdout as stream:
        said = [stream.readline() for _ in range(dice.randint(1, 120))]
        process.kill()
        said += stream.readlines()
    process.wait(60)
    assert said[0], "the mover never moved anything"
    return [line.split() for line in said if line.endswith("\n")]


def moved_again(
    app: LedgerApp, payer: ObjectId, payee: ObjectId, wanted: Movement
) -> KeyedResponse:
    """The transfer, asked for again after each 503 as docs/ledger.md says.

    MongoDB may have begun a dead process's last command after its sessions were ended: then
    the wallets are held until that transaction is ended, too.
    """
    for _ in range(3):
        try:
            return move.transfer(app.ledger, payer, payee, wanted)
        except DatabaseError:
            app.client.admin.command("killAllSessions", [])
    return move.transfer(app.ledger, payer, payee, wanted)


def survive_a_kill(app: LedgerApp, uri: str, dice: random.Random) -> None:
    """Every request that was sent is sent again under its key by another process."""
    owners = purses(app.ledger, *BALANCES)
    said = killed_after(app, uri, owners, dice)
    app.client.admin.command("killAllSessions", [])  # as MongoDB does after a minute
    assert check_books(app.database, owners) == sum(BALANCES)

    done = {key: rest[0] for word, key, *rest in said if word == "done"}
    refused = {key for word, key, *_ in said if word == "refused"}
    for _, key, payer, payee, amount in (words for words in said if words[0] == "try"):
        if key in refused:
            continue
        wanted = movement(int(amount), key=key)
        try:
            answer = moved_again(app, ObjectId(payer), ObjectId(payee), wanted)
        except LedgerError as error:
            assert key not in done
            if error.code is not ErrorCode.INSUFFICIENT_FUNDS:
                raise
        else:
            assert answer.replayed or key not in done
            assert (
                done.get(key, answer.body["from"]["transactionId"])
                == (answer.body["from"]["transactionId"])
            )
    assert check_books(app.database, owners) == sum(BALANCES)
    check_whole(app.database)
    keys = [words[1] for words in said if words[0] == "try"]
    moved = app.database["transactions"].count_documents({"idempotencyKey": {"$in": keys}})
    assert len(done) <= moved <= len(keys) - len(refused)


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_process_neither_loses_nor_doubles_a_transfer(
    app: LedgerApp, mongo_uri: str, seed: int
) -> None:
    survive_a_kill(app, mongo_uri, random.Random(seed))


@pytest.mark.storm
@pytest.mark.timeout(3600)
def test_two_hundred_killed_processes_neither_lose_nor_double_a_transfer(
    app: LedgerApp, mongo_uri: str
) -> None:
    for seed in range(200):
        survive_a_kill(app, mongo_uri, random.Random(f"storm {seed}"))
