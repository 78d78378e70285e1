"""What every command prints with `--json` is what docs/json.md promises."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
from bson import ObjectId
from pymongo.database import Database

from tests import books
from tests.acceptance.test_cli import daybook
from tests.consistency.test_docs_json import ERROR, SCHEMAS

Db = Database[dict[str, Any]]
DATE = "2026-01-18"


def check(schema: Any, doc: Any) -> None:
    jsonschema.validate(doc, schema, cls=jsonschema.Draft202012Validator)


def test_every_command_prints_what_the_page_promises(
    database: Db, mongo_uri: str, tmp_path: Path
) -> None:
    env = {
        "DAYBOOK_MONGODB_URI": mongo_uri,
        "DAYBOOK_DATABASE": database.name,
        "DAYBOOK_DESTINATION": tmp_path.as_uri(),
    }
    seen: set[str] = set()

    def answer(*arguments: str, codes: Sequence[int] = (0,)) -> Any:
        ended = daybook(env, *arguments, "--json")
        assert ended.returncode in codes, (arguments, ended.stdout + ended.stderr)
        doc = json.loads(ended.stdout)
        check(SCHEMAS[arguments[0]], doc)
        seen.add(arguments[0])
        return doc

    def error(*arguments: str, code: int) -> None:
        ended = daybook(env, *arguments, "--json")
        assert ended.returncode == code, (arguments, ended.stdout + ended.stderr)
        check(ERROR, json.loads(ended.stdout))

    answer("migrate", "--dry-run")
    answer("migrate")
    answer("migrate", "--status")
    answer("status", DATE)
    answer("history")
    answer("seed", "--entries", "2")
    wrong, right = books.entry("WRONG", currency="BAHT"), books.entry("RIGHT")
    books.put(database, wrong, right)
    answer("plan", "--date", DATE)
    assert answer("run", "--date", DATE)["rejectedCount"] == 1
    answer("status", DATE)
    (left,) = answer("status", DATE, "--rejected")["stillRejected"]
    assert (left["batchDate"], left["reference"]) == (DATE, "WRONG")
    assert left["faults"][0]["reason"] == "unknown_currency"
    answer("history")
    answer("verify", DATE)
    answer("audit")
    answer("audit", DATE)
    answer("compare", DATE, str(tmp_path / f"batch_{DATE}.csv"))
    answer("receipt", DATE)
    answer("lineage", str(right["_id"]))
    answer("lineage", str(wrong["_id"]))
    answer("export", "--entry-id", str(right["_id"]))
    answer("audit", codes=(0, 1))
    answer("doctor", codes=(0, 1))
    answer("explain", codes=(0, 1))
    answer("reconcile", codes=(0, 1))
    answer("sweep")
    answer("completion", "bash")
    answer("profiles")
    answer("profiles", "show", "xero")
    answer("profiles", "check")
    answer("plan", "--date", "2026-01-17", "--head", "3")
    error("requeue", str(wrong["_id"]), code=1)
    error("verify", "2026-01-17", code=1)
    error("release", DATE, code=1)
    database["journalentries"].update_one({"_id": wrong["_id"]}, {"$set": {"currency": "THB"}})
    answer("requeue", str(wrong["_id"]))
    user = ObjectId()
    database["users"].insert_one({"_id": user, "name": "A", "roles": ["brand"], "status": "active"})
    answer("erase", str(user))
    answer("erase", str(user), "--yes")
    env["DAYBOOK_DESTINATION"] = (tmp_path / "gone").as_uri()
    answer("retry", "2026-01-19", codes=(1, 4))
    answer("release", "2026-01-19")
    env["DAYBOOK_DESTINATION"] = tmp_path.as_uri()
    every = daybook(env, "run", "--profile", "*", "--json")
    check(SCHEMAS["run --profile *"], json.loads(every.stdout))
    seen.add("run --profile *")
    env["DAYBOOK_MONGODB_URI"] = "mongodb://127.0.0.1:1/?replicaSet=rs0"
    env["DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS"] = "200"
    error("status", DATE, code=1)
    del env["DAYBOOK_MONGODB_URI"]
    error("doctor", code=3)
    assert seen == set(SCHEMAS) - {"serve", "serve --demo"}
