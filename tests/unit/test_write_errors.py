"""How a refusal by MongoDB is described, from what servers answer."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DuplicateKeyError,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from daybook.errors import DatabaseError
from daybook.mongo import indexes
from daybook.write_errors import OWN_UNIQUE_KEYS, Cause, describe


def test_the_unique_indexes_known_here_are_those_that_are_declared() -> None:
    declared = {
        (index.collection, tuple(keys))
        for index in indexes.INDEXES
        if index.unique
        for keys in (index.keys, *index.former_keys)
    }
    known = {(name, keys) for name, of_it in OWN_UNIQUE_KEYS.items() for keys in of_it}
    assert known == declared


def duplicate(collection: str, index: str, *keys: str) -> DuplicateKeyError:
    values = ", ".join(f'{key}: "Somchai; Jaidee"' for key in keys)
    message = (
        f"E11000 duplicate key error collection: books.{collection} index: {index} dup key: "
        f"{{ {values} }}"
    )
    return DuplicateKeyError(message, 11000, {"code": 11000, "keyPattern": dict.fromkeys(keys, 1)})


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (duplicate("exportlogs", "theirs", "queueId", "action"), Cause.FOREIGN_INDEX),
        (duplicate("exportlogs", "idx_like_ours", "queueId"), Cause.FOREIGN_INDEX),
        (
            duplicate("exportlogs", "x", "metadata.batchDate", "action", "metadata.profile"),
            Cause.OWN_INDEX,
        ),
        (duplicate("exportlogs", "_id_", "_id"), Cause.OWN_INDEX),
        (duplicate("users", "mobile_1", "mobile"), Cause.FOREIGN_INDEX),
        (duplicate("transactions", "theirs", "idempotencyKey"), Cause.OWN_INDEX),
    ],
    ids=str,
)
def test_a_duplicate_is_permanent_when_the_index_is_not_declared(
    error: DuplicateKeyError, cause: Cause
) -> None:
    described = describe(error)
    assert described.cause is cause
    assert described.permanent is (cause is Cause.FOREIGN_INDEX)
    assert described.index is not None
    assert described.index in str(described)
    assert (described.collection or "") in str(described)
    assert "Somchai" not in str(described)


REFUSALS: tuple[tuple[dict[str, Any], str, Cause], ...] = (
    (
        {"code": 13, "errmsg": 'not authorized on books to execute command { update: "q", u: 1 }'},
        "the user may not run `update` on books.q; give the user of DAYBOOK_MONGODB_URI",
        Cause.PRIVILEGE,
    ),
    (
        {"code": 8000, "errmsg": "user is not allowed to do action [insert] on [books.logs]"},
        "the user may not run `insert` on books.logs; give the user of DAYBOOK_MONGODB_URI",
        Cause.PRIVILEGE,
    ),
    (
        {"code": 20, "errmsg": "Transaction numbers are only allowed on a replica set member"},
        "Transaction numbers are only allowed on a replica set member (code 20); start mongod",
        Cause.NO_TRANSACTIONS,
    ),
    (
        {"code": 246, "errmsg": "Reading from capped collections with readConcern snapshot"},
        "(code 246); replace the collection by an ordinary collection",
        Cause.CAPPED,
    ),
    (
        {"code": 17419, "errmsg": "Resulting document after update is larger than 16777216"},
        "larger than 16777216 (code 17419); make the document in the collection smaller",
        Cause.TOO_LARGE,
    ),
    (
        {"code": 171, "errmsg": "cannot index parallel arrays [queueIds] [entryIds]"},
        "(code 171); drop the index of the collection that Daybook does not declare",
        Cause.INDEX_KEYS,
    ),
)


@pytest.mark.parametrize(("reply", "told", "cause"), REFUSALS, ids=lambda value: str(value)[:30])
def test_a_refusal_is_described_by_its_cause_alone_and_in_a_bulk(
    reply: dict[str, Any], told: str, cause: Cause
) -> None:
    alone = OperationFailure(reply["errmsg"], reply["code"], reply)
    bulk = BulkWriteError({"writeErrors": [{**reply, "op": {"secret": "hunter2"}}]})
    for error in (alone, bulk):
        described = describe(error)
        assert (described.code, described.cause) == (reply["code"], cause)
        assert described.permanent
        assert told in str(described)
        assert "hunter2" not in str(described)


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("connection closed"),
        OperationFailure("WriteConflict", 112, {"code": 112}),
        OperationFailure("AtlasError: try later", 8000, {"code": 8000}),
        OperationFailure("the snapshot is too old", 246, {"code": 246}),
        OperationFailure("no details", 13388),
        BulkWriteError({}),
    ],
    ids=str,
)
def test_what_may_pass_is_not_permanent_and_has_no_advice(error: Exception) -> None:
    described = describe(error)
    assert (described.cause, described.permanent, described.hint) == (Cause.OTHER, False, None)
    assert not DatabaseError.of("run", error).permanent


def test_the_servers_reply_and_the_topology_are_left_out() -> None:
    for quoted in (", full error: {'secret': 1}", ", Topology Description: <secret>"):
        assert str(DatabaseError.of("run", AutoReconnect(f"gone{quoted}"))) == "run: gone"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OperationFailure("Authentication failed.", 18), Cause.LOGIN),
        (OperationFailure("bad auth : Authentication failed.", 8000), Cause.LOGIN),
        (
            ServerSelectionTimeoutError(
                "Authentication failed., full error: {'ok': 0.0, 'code': 18}, Timeout: 5s, "
                "Topology Description: <TopologyDescription id: 1>"
            ),
            Cause.LOGIN,
        ),
        (ServerSelectionTimeoutError("db1:27017: connection refused"), Cause.OTHER),
    ],
)
def test_a_refused_login_is_named_and_tried_again(error: Exception, cause: Cause) -> None:
    described = describe(error)
    assert described.cause is cause
    assert not described.permanent
    assert "full error" not in str(described)
    assert "Topology" not in str(described)
