"""`migrate`, `migrate status` and `migrate --dry-run` as an operator meets them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from click.testing import CliRunner
from pymongo import MongoClient
from pymongo.database import Database

from daybook.cli.explain import explain
from daybook.cli.migrate import migrate as command
from daybook.cli.reconcile import reconcile
from daybook.errors import ConfigurationError
from daybook.mongo.migrate import migrate
from tests.acceptance.test_mongo_role import become_primary, guarded_mongod
from tests.integration.mongo.test_migrate import old_shape

NOW = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
Db = Database[dict[str, Any]]


@pytest.fixture
def environment(mongo_uri: str, database: Db, tmp_path: Path) -> dict[str, str]:
    return {
        "DAYBOOK_MONGODB_URI": mongo_uri,
        "DAYBOOK_DATABASE": database.name,
        "DAYBOOK_DESTINATION": f"file://{tmp_path}",
    }


def asked(environment: Mapping[str, str], *arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(command, [*arguments, "--json"], env=environment)
    return result.exit_code, json.loads(result.stdout)


def everything(database: Db) -> dict[str, Any]:
    """All documents and indexes, byte by byte, and when each collection was made."""
    return {
        info["name"]: (
            info.get("info"),
            [bson.encode(index) for index in database[info["name"]].list_indexes()],
            [bson.encode(doc) for doc in database[info["name"]].find().sort("_id", 1)],
        )
        for info in database.list_collections()
    }


@pytest.mark.parametrize("question", [("--dry-run",), ("--status",), ("status",)], ids=str)
@pytest.mark.parametrize("state", ["empty", "old", "in the way", "migrated"])
def test_a_question_writes_nothing(
    environment: dict[str, str], database: Db, question: tuple[str, ...], state: str
) -> None:
    if state != "empty":
        old_shape(database)
        database["campaigns"].insert_one({"assignments": {"u1": {"fee": 1}}})
    if state == "in the way":
        database["campaigns"].insert_one({"assignments": [{"fee": 1}]})
    if state == "migrated":
        migrate(database, now=NOW)
    before = everything(database)
    code, answer = asked(environment, *question)
    assert everything(database) == before
    assert code == (3 if (question, state) == (("--dry-run",), "in the way") else 0)
    pending = [each["pending"] for each in answer["migrations"]]
    assert pending == [state != "migrated"] * 3


def test_what_a_newer_version_applied_is_shown(environment: dict[str, str], database: Db) -> None:
    migrate(database, now=NOW)
    database["schemamigrations"].insert_one({"_id": 4, "name": "later", "appliedAt": NOW})
    code, answer = asked(environment, "status")
    newer = answer["migrations"][3]
    assert (code, newer["version"], newer["known"], newer["pending"]) == (0, 4, False, False)
    text = CliRunner().invoke(command, ["status"], env=environment).stdout
    assert (
        "0004 later: applied 2026-01-18 18:00 (Asia/Bangkok) by a newer version of Daybook\n"
        in text
    )
    assert asked(environment)[0] == 0


def test_after_a_newer_version_this_one_changes_nothing(
    environment: dict[str, str], database: Db
) -> None:
    migrate(database, now=NOW)
    database["schemamigrations"].insert_one({"_id": 4, "name": "later", "appliedAt": NOW})
    database["users"].drop_index("idx_user_role")
    before = everything(database)
    code, answer = asked(environment)
    assert (code, answer["error"]["type"]) == (3, "configuration")
    assert "migration 4 (later)" in answer["error"]["message"]
    assert asked(environment, "--dry-run")[0] == 3
    assert everything(database) == before


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A user who may read `books`, and nothing else."""
    with guarded_mongod(tmp_path_factory.mktemp("guarded")) as port:
        with MongoClient[dict[str, Any]](
            "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=500
        ) as first:
            become_primary(first, port)
            first.admin.command("createUser", "admin", pwd="secret", roles=["root"])
        with MongoClient[dict[str, Any]](
            "127.0.0.1", port, username="admin", password="secret", directConnection=True
        ) as admin:
            role = {"role": "read", "db": "books"}
            admin.admin.command("createUser", "reader", pwd="secret", roles=[role])
            admin.admin.command("createUser", "nobody", pwd="secret", roles=[])
        yield {
            "DAYBOOK_MONGODB_URI": f"mongodb://reader:secret@127.0.0.1:{port}/?replicaSet=rs0",
            "DAYBOOK_DATABASE": "books",
            "DAYBOOK_DESTINATION": "file:///tmp",
        }


def test_the_error_names_the_rights_that_the_user_lacks(guarded: dict[str, str]) -> None:
    code, answer = asked(guarded)
    assert (code, answer["error"]["type"]) == (3, "configuration")
    message = answer["error"]["message"]
    assert "the user may not run `createIndexes` on books.exportbatches" in message
    assert "docs/security.md" in message
    assert "signature" not in message


@pytest.mark.parametrize("asks", [command, explain, reconcile], ids=lambda each: each.name)
def test_every_command_reports_a_user_without_any_rights(
    guarded: dict[str, str], asks: Any
) -> None:
    nobody = guarded["DAYBOOK_MONGODB_URI"].replace("reader", "nobody")
    environment = {**guarded, "DAYBOOK_MONGODB_URI": nobody}
    result = CliRunner().invoke(asks, [], env=environment)
    assert result.exit_code == 3
    assert "the user may not run" in result.stderr
    assert "Traceback" not in result.output


def test_the_error_names_what_stands_in_the_way(database: Db) -> None:
    database["schemamigrations"].insert_one({"_id": 7, "name": "later", "appliedAt": NOW})
    with pytest.raises(ConfigurationError, match=r"migration 7 \(later\).*newer version"):
        migrate(database, now=NOW)
