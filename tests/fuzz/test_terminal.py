"""Whatever stored documents hold, no command lets a terminal do anything but show text.

Each example is a day whose stored texts, ids included, are hostile: entries that are exported
and rejected, a failed batch, a record and a slot of others, wallets. Every command that prints
stored values runs over it; the day itself is exported by one of them.
"""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from bson import ObjectId
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

from daybook.cli.main import main
from daybook.mongo.migrate import migrate
from tests import books
from tests.fuzz.budget import SECONDS_IN_CI_OF_OTHERS, rounds
from tests.fuzz.documents import RawText, encode
from tests.integration.office import DAY, EVENING, NEXT_DAY, line
from tests.reusable import empty

EXAMPLES = 3
"""In a round; each runs all commands."""
DATE, NEXT = DAY.isoformat(), NEXT_DAY.isoformat()
HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
FORGED = "FORGED"

SIGNS = st.one_of(
    st.characters(categories=["Cc", "Cf", "Zl", "Zp"]),
    st.sampled_from(
        ["\x1b]0;title\x07", "\x1b[2J", "\x9b2J", f"\n{FORGED}", f"\r\n{FORGED}", f"\r{FORGED}"]
    ),
    st.sampled_from([f"\u2028{FORGED}", f"\x85{FORGED}", f"\x0b{FORGED}", "\u202e", "\U000e0041"]),
    st.text(max_size=5),
)
TEXTS = st.lists(SIGNS, min_size=1, max_size=4).map(lambda signs: f"x{''.join(signs)}")
VALUES = st.one_of(
    TEXTS,
    TEXTS.map(lambda text: RawText(text.replace("\0", "").encode() + b"\xff\x9b")),
    TEXTS.map(lambda text: text.encode()),
)
"""Text, invalid UTF-8 and binary."""


class Screen:
    """The commands, with what they print checked."""

    def __init__(self, database: Database[dict[str, Any]], uri: str, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self._env = {
            "DAYBOOK_MONGODB_URI": uri,
            "DAYBOOK_DATABASE": database.name,
            "DAYBOOK_DESTINATION": folder.as_uri(),
            "DAYBOOK_MAX_ATTEMPTS": "1",
        }

    def run(self, *arguments: str, codes: Sequence[int] = (0,)) -> Result:
        """Once in words and once as JSON; the answer in words."""
        words = self._invoke(*arguments)
        _assert_shown(words.stdout)
        _assert_shown(words.stderr)
        assert words.exit_code in codes, (arguments, words.output)
        answer = self._invoke(*arguments, "--json")
        _assert_shown(answer.stdout)
        _assert_shown(answer.stderr)
        json.loads(answer.stdout)
        return words

    def _invoke(self, *arguments: str) -> Result:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        # The options come first: what follows `--` is an entry's id.
        name, *rest = arguments
        options = [each for each in rest if each == "--json"]
        rest = [each for each in rest if each != "--json"]
        try:
            return CliRunner().invoke(main, [name, *options, *rest], env=self._env)
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)


def _assert_shown(text: str) -> None:
    found = {sign for sign in text if unicodedata.category(sign) in HIDDEN} - {"\n"}
    assert not found, text
    assert not [each for each in text.split("\n") if each.lstrip().startswith(FORGED)], text


@pytest.fixture(scope="module")
def screen(
    mongo_uri: str, mongo_client: MongoClient[dict[str, Any]], tmp_path_factory: Any
) -> Iterator[Screen]:
    name = f"fuzz_terminal_{ObjectId()}"
    migrate(mongo_client[name], now=EVENING)
    yield Screen(mongo_client[name], mongo_uri, tmp_path_factory.mktemp("files"))
    mongo_client.drop_database(name)


def put(database: Database[dict[str, Any]], collection: str, doc: dict[str, Any]) -> None:
    database[collection].insert_many([encode({"_id": ObjectId(), **doc})])


def entry(entry_id: Any, value: Any, credit: str) -> dict[str, Any]:
    pair = [line("1110", "5.00", "0"), line("4100", "0", credit)]
    return {**books.entry(reference=value, lines=pair), "_id": entry_id}


def stage(database: Database[dict[str, Any]], value: Any, name: str) -> None:
    """A day before its run: one good entry, one that is rejected, one without a queue item."""
    empty(database)
    put(database, "journalentries", entry(name, name, "5.00"))
    put(database, "journalentries", entry(f"{name}!", value, "4.00"))
    put(database, "journalentries", entry(f"{name}?", value, "5.00"))
    for entry_id in (name, f"{name}!", value):
        put(database, "exportqueues", {**books.queue_item(entry_id), "_id": ObjectId()})
    for field in ("status", "exportPath", "profile"):
        item = {**books.queue_item(f"{name}?"), field: value, "_id": f"{field}{name}"}
        put(database, "exportqueues", item)


def hostile_rest(database: Database[dict[str, Any]], value: Any, name: str) -> None:
    """What others and earlier versions may have stored around it."""
    batch = {
        "profile": "daily",
        "batchDate": NEXT,
        "state": "failed",
        "generation": 1,
        "attempt": 1,
        "endedAttempt": 1,
        "error": {"type": name, "message": name, "at": EVENING},
        "rejected": [{"entryId": name, "queueId": name, "reason": "duplicate", "detail": name}],
        "alertedAt": EVENING,
        "createdAt": EVENING,
        "startedAt": EVENING,
        "updatedAt": EVENING,
    }
    put(database, "exportbatches", batch)
    metadata = {"batchDate": "2026-01-17", "filename": value, "fileId": value, "webViewLink": value}
    put(database, "exportlogs", {"action": "csv_generated", "metadata": metadata, "message": value})
    put(database, "exportlogs", {"action": "csv_generated", "entryId": name, "message": value})
    database["exportslots"].update_one(
        {"_id": "daily"}, {"$set": {"lease": {"owner": name, "expiresAt": EVENING}}}
    )
    wallet = {"ownerUserId": value, "currency": value, "availablePaise": value, "version": value}
    put(database, "wallets", {**wallet, "_id": name})
    transaction = {"walletId": name, "kind": value, "amountPaise": value, "idempotencyKey": value}
    put(database, "transactions", {**transaction, "_id": name})
    put(database, "journalentries", {"_id": f"w{name}", "walletId": name, "reference": value})
    put(database, "users", {"_id": name, "name": value, "email": value})
    put(database, "invites", {"_id": name, "code": value, "status": value})


def spoil_file(screen: Screen, value: Any) -> None:
    """The delivered entry and its queue item no longer read as they did."""
    entries = screen.database["journalentries"]
    entries.update_many({}, {"$set": {"description": "changed", "reference": "changed"}})
    if isinstance(value, str):
        entries.update_many({}, {"$set": {"description": value, "lines.0.accountName": value}})
        screen.database["exportqueues"].update_many({}, {"$set": {"status": value}})


def check(screen: Screen, value: Any, name: str) -> None:
    stage(screen.database, value, name)
    for file in screen.folder.glob("*.csv"):
        file.unlink()
    screen.run("plan", "--date", DATE)
    screen.run("doctor", codes=(0, 1))
    screen.run("run", "--date", DATE)
    ids = [name, f"{name}!", f"{name}?"]
    hostile_rest(screen.database, value, name)
    for entry_id in ids:
        screen.run("lineage", "--", entry_id)
        screen.run("requeue", "--", entry_id, codes=(0, 1))
    screen.run("verify", DATE, codes=(0, 1))
    spoil_file(screen, value)
    for day in (DATE, NEXT, "2026-01-17"):
        screen.run("status", day)
        screen.run("verify", day, codes=(0, 1))
        screen.run("receipt", day, codes=(0, 1))
    screen.run("history")
    screen.run("reconcile", "--files", codes=(0, 1))
    screen.run("doctor", codes=(0, 1))
    screen.run("explain", codes=(0, 1))
    screen.run("retry", NEXT, codes=(0, 1))
    screen.run("release", NEXT, codes=(0, 1))
    screen.run("sweep", codes=(0, 1, 4))
    screen.run("run", "--date", NEXT, codes=(0, 1, 4))
    # None is a name of ours, and what is typed wrongly may have been pasted.
    wrong = [("verify", f"--{name}"), ("verify", name, "x"), ("verify", name)]
    if "\0" in name:  # no process gets such an argument, and a request with one is refused
        wrong.append(("export", "--entry-id", name))
    else:
        screen.run("export", "--entry-id", name, codes=(0, 1))
    for arguments in wrong:
        found = screen._invoke(*arguments)
        assert found.exit_code == 2
        _assert_shown(found.stderr)


@pytest.mark.usefixtures("_quiet")
def test_no_command_prints_a_character_that_a_terminal_obeys(screen: Screen) -> None:
    for number in rounds(seconds_in_ci=SECONDS_IN_CI_OF_OTHERS):

        @settings(
            max_examples=EXAMPLES,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=False,
            deadline=None,
        )
        @hypothesis.seed(number)
        @given(value=VALUES, name=TEXTS)
        def property_of_a_day(value: Any, name: str) -> None:
            check(screen, value, name)

        property_of_a_day()


@pytest.fixture
def _quiet() -> Iterator[None]:
    """Logs go to a handler of pytest's, which cannot pass on surrogates."""
    handlers = logging.getLogger().handlers[:]
    logging.getLogger().handlers.clear()
    yield
    logging.getLogger().handlers[:] = handlers
