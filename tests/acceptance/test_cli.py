"""The command line as an operator meets it: real processes, their output and exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from daybook.cli.main import main
from daybook.export.slot.slot import Slot
from tests import forked
from tests.installed import DAYBOOK
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated

ROOT = Path(__file__).parents[2]
DATE = DAY.isoformat()
COMMANDS = {
    *("audit", "completion", "profiles"),
    *(
        "run",
        "plan",
        "status",
        "history",
        "verify",
        "compare",
        "lineage",
        "requeue",
        "sweep",
        "export",
    ),
    *(
        "retry",
        "release",
        "receipt",
        "doctor",
        "erase",
        "migrate",
        "explain",
        "reconcile",
        "seed",
        "serve",
    ),
}


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def surroundings(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: Daybook's own variables are those of `env` only."""
    inherited = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("DAYBOOK_", "DAILY_BATCH_"))
    }
    return {**inherited, "PYTHONPATH": str(ROOT / "src"), **env}


def daybook(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.run(["daybook", *arguments], surroundings(env), timeout=120)


def all_at_once(
    env: Mapping[str, str], commands: Sequence[Sequence[str]]
) -> list[subprocess.CompletedProcess[str]]:
    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(lambda arguments: daybook(env, *arguments), commands))


def installed(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same by the program that `make` installs, which has to import everything."""
    return subprocess.run(
        [DAYBOOK, *arguments],
        env=surroundings(env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def answer(env: Mapping[str, str], *arguments: str, code: int = 0) -> Any:
    """The one document that stdout carries with `--json`."""
    process = daybook(env, *arguments, "--json")
    assert process.returncode == code, process.stdout + process.stderr
    return json.loads(process.stdout)


def test_every_command_is_there_and_explains_itself() -> None:
    assert set(main.commands) == COMMANDS
    for name, command in main.commands.items():
        assert command.help, name
        assert {"--json", "--verbose"} <= {
            option for parameter in command.params for option in parameter.opts
        }, name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(shell: str) -> None:
    script = daybook({}, "completion", shell)
    assert (script.returncode, script.stderr) == (0, "")
    assert "_DAYBOOK_COMPLETE" in script.stdout
    asked = {
        "_DAYBOOK_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "daybook ver",
        "COMP_CWORD": "ver" if shell == "fish" else "1",
    }
    assert "verify" in re.split(r"[,\s]+", daybook(asked).stdout)
    if shell == "bash":
        read = subprocess.run(
            ["bash", "-c", 'eval "$1"; complete -p daybook', "bash", script.stdout],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (read.returncode, "-F" in read.stdout) == (0, True), read.stderr


def test_help_is_quick_because_it_loads_no_client() -> None:
    heavy = "('pymongo', 'flask', 'rich', 'google.auth', 'boto3', 'requests')"
    process = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys, daybook.cli.main; "
            f"print([name for name in {heavy} if name in sys.modules])",
        ],
        env=surroundings({}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "[]"


def test_a_day_from_plan_to_verification(office: Office) -> None:
    office.add("1234.50")
    wrong = office.add("10.00", credit="9.00")
    entry_id = office.add("100.00")
    planned = answer(office.env, "plan", "--date", DATE)
    assert (planned["status"], list(office.folder.iterdir())) == ("planned", [])

    run = installed(office.env, "run", "--date", DATE)
    assert run.returncode == 0
    (line,) = run.stderr.splitlines()  # in words, since no log was asked for
    assert "WARNING" in line
    assert "entries_rejected" in line
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)
    assert run.stdout.splitlines() == [
        f"batch_{DATE}.csv is delivered.",
        "  entries   2 in 4 rows",
        "  THB       debit 1,334.50 = credit 1,334.50",
        "  rejected  1",
        f"  file      {office.file().as_uri()}",
        f"  SHA-256   {planned['sha256']}",
    ]
    again = answer(office.env, "run", "--date", DATE)
    assert (again["status"], again["sha256"]) == ("already_exported", planned["sha256"])

    status = answer(office.env, "status", DATE)
    assert (status["batch"]["state"], status["queued"], status["slot"]["held"]) == (
        "committed",
        0,
        False,
    )
    assert [item["entryId"] for item in status["rejected"]] == [str(wrong)]
    words = installed(office.env, "status", DATE).stdout
    assert f"rejected  RV-1 ({wrong}): lines: debit 10.00 is not credit 9.00. To correct: " in words
    (day,) = answer(office.env, "history")["batches"]
    assert (day["batchDate"], day["entryCount"]) == (DATE, 2)

    verified = installed(office.env, "verify", DATE)
    assert verified.returncode == 0
    assert verified.stdout.startswith(f"batch_{DATE}.csv is as it was delivered")
    office.entries.update_one({"_id": entry_id}, {"$set": {"reference": "RV-2"}})
    differs = answer(office.env, "verify", DATE, code=1)
    assert differs["status"] == "differs"
    assert {each["entryId"] for each in differs["differences"]} == {str(entry_id)}
    assert str(entry_id) in installed(office.env, "verify", DATE).stdout

    followed = answer(office.env, "lineage", str(entry_id))
    assert [(file["firstRow"], file["lastRow"]) for file in followed["files"]] == [(3, 4)]
    assert (
        "rows 3 to 4 of the data, 4 to 5 in a spreadsheet, whose row 1 is the header "
        "(batch of 2026-01-18)" in installed(office.env, "lineage", str(entry_id)).stdout
    )


def test_a_rejected_entry_goes_back_once(office: Office) -> None:
    office.add()
    wrong = office.add("10.00", credit="9.00")
    office.add()
    office.export()
    office.entries.update_one({"_id": wrong}, {"$set": {"lines.1.credit": Decimal128("10.00")}})
    assert answer(office.env, "requeue", str(wrong))["reason"] == "unbalanced"
    refused = daybook(office.env, "requeue", str(wrong), "--json")
    assert refused.returncode == 1
    error = json.loads(refused.stdout)["error"]
    assert error["type"] == "not_requeued"
    assert "queued already" in error["message"]
    assert refused.stderr == f"Error: {error['message']}\n"


def test_an_entry_is_named_by_its_reference(office: Office) -> None:
    office.add(reference="OTHER")
    wrong = office.add("10.00", credit="9.00", reference="RV-7")
    office.add(reference="OTHER")
    office.export()
    office.entries.update_one({"_id": wrong}, {"$set": {"lines.1.credit": Decimal128("10.00")}})
    assert answer(office.env, "lineage", "RV-7")["entryId"] == str(wrong)
    both = answer(office.env, "lineage", "OTHER")
    assert [both["reference"], *(one["reference"] for one in both["others"])] == ["OTHER"] * 2
    requeued = daybook(office.env, "requeue", "RV-7").stdout
    assert requeued.startswith(f"Entry RV-7 ({wrong}) is queued for the next run")
    assert answer(office.env, "export", "--reference", "RV-7")["entryCount"] == 1
    refused = daybook(office.env, "export", "--reference", "OTHER", "--json")
    assert (refused.returncode, "2 entries have the reference" in refused.stderr) == (2, True)


def test_a_held_slot_is_not_done_yet(office: Office) -> None:
    office.add()
    slot = Slot.take(office.database["exportslots"], "daily", owner="a run", lease_seconds=60)
    assert slot is not None
    assert answer(office.env, "run", "--date", DATE, code=4)["status"] == "in_progress"
    assert answer(office.env, "sweep", code=4)["status"] == "in_progress"
    held = daybook(office.env, "status", DATE).stdout
    assert "Slot: held by a run until " in held
    slot.release()
    assert answer(office.env, "sweep")["status"] == "swept"


def test_a_failed_run_exits_with_one(office: Office) -> None:
    for _ in range(101):
        office.add("10.00", credit="9.00")
    failed = daybook(office.env, "run", "--date", DATE)
    assert failed.returncode == 1
    assert "error     too_many_rejected: 101 of 101 entries would be rejected" in failed.stdout


def test_a_day_whose_only_entry_is_rejected_says_so(office: Office) -> None:
    office.add("10.00", credit="9.00")
    told = daybook(office.env, "run", "--date", DATE)
    assert told.returncode == 0
    assert told.stdout.startswith(f"Every queued entry is rejected; no file for {DATE}.\n")


def test_a_manual_export_by_id_and_by_date(office: Office) -> None:
    entry_id = office.add()
    by_id = answer(office.env, "export", "--entry-id", str(entry_id), "--key", "copy")
    assert (by_id["status"], by_id["entryCount"], by_id["batchDate"]) == ("exported", 1, None)
    by_date = answer(office.env, "export", "--from", DATE, "--to", DATE)
    assert (by_date["status"], by_date["entryCount"]) == ("exported", 1)
    assert by_date["filename"] != by_id["filename"]


def test_a_manual_export_takes_entries_as_arguments_as_other_commands_do(office: Office) -> None:
    first, second = office.add(reference="RV-7"), office.add(reference="RV-8")
    copied = answer(office.env, "export", "RV-7", str(second))
    assert (copied["status"], copied["entryCount"]) == ("exported", 2)
    again = answer(office.env, "export", "--reference", "RV-7", "--entry-id", str(second))
    assert (again["status"], again["fileId"]) == ("already_exported", copied["fileId"])
    assert str(first) in (office.folder / copied["filename"]).read_text(encoding="utf-8-sig")


def test_what_was_queued_after_the_days_file_is_said_to_wait(office: Office) -> None:
    office.add()
    assert "queue " not in daybook(office.env, "run", DATE).stdout
    assert "queue " not in daybook(office.env, "run", DATE).stdout
    office.add(reference="RV-2")
    repeated = daybook(office.env, "run", DATE)
    assert (repeated.returncode, repeated.stdout.splitlines()[0]) == (
        0,
        f"batch_{DATE}.csv was delivered before; no second file was made.",
    )
    assert repeated.stdout.splitlines()[-1] == (
        "  queue     1 item has been queued since, for the next file"
    )


def test_a_variable_that_nothing_reads_is_a_warning(office: Office) -> None:
    env = {**office.env, "DAYBOOK_TIMEZONE": "Asia/Tokyo"}
    told = daybook(env, "status", DATE, "--json")
    assert (told.returncode, json.loads(told.stdout)["batchDate"]) == (0, DATE)
    assert told.stderr == (
        "Warning: nothing reads DAYBOOK_TIMEZONE (is DAILY_BATCH_TIMEZONE meant?): "
        "correct or remove them\n"
    )
    assert daybook(office.env, "status", DATE).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--date", "18.01.2026"], "'18.01.2026' is not a date like 2026-01-18"),
        (["run", "--date", "20260118"], "'20260118' is not a date"),
        (["run", "--profile", "weekly"], "--profile: there is no profile 'weekly'"),
        (["profiles", "check", "weekly"], "NAME: there is no profile 'weekly'"),
        (["profiles", "show", "weekly"], "NAME: there is no profile 'weekly'"),
        (["release"], "Missing argument 'DATE'"),
        (["retry"], "Missing argument 'DATE'"),
        (["retry", "2026-01-32"], "'2026-01-32' is not a date"),
        (["release", "2026-01-18", "--profile", "weekly"], "there is no profile 'weekly'"),
        (["run", "2026-01-18", "--date", "2026-01-19"], "--date: 2026-01-19 is not DATE"),
        (["release", "2126-01-18"], "--date: 2126-01-18 is still to come"),
        (["export"], "give either entries, by ID or reference, or --from and --to"),
        (["export", "--entry-id", "a", "--from", "2026-01-18"], "give either entries, by"),
        (["export", "a", "--from", "2026-01-18"], "give either entries, by"),
        (["export", "--from", "2026-01-18"], "--to: is missing"),
        (["export", "--entry-id", ""], "ID_OR_REFERENCE: must be a string"),
        (["export", "--entry-id", "a", "--key", ""], "--key: must have 1 to 255 characters"),
        (
            ["export", "--from", "2026-01-19", "--to", "2026-01-18"],
            "--from: 2026-01-19 is after the last day",
        ),
        (["history", "--limit", "0"], "0 is not in the range"),
        (["frobnicate"], "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_explained_on_stderr_only(
    office: Office, arguments: list[str], said: str
) -> None:
    process = daybook(office.env, *arguments)
    assert (process.returncode, process.stdout) == (2, "")
    assert said in process.stderr


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    process = daybook({"DAYBOOK_DESTINATION": tmp_path.as_uri()}, "status", "--json")
    assert process.returncode == 3
    assert "DAYBOOK_MONGODB_URI: is not set" in process.stderr
    assert json.loads(process.stdout)["error"]["type"] == "configuration"


def test_without_mongodb_commands_fail_and_the_doctor_goes_on(tmp_path: Path) -> None:
    env = {
        "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:1/",
        "DAYBOOK_DESTINATION": tmp_path.as_uri(),
        "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS": "100",
    }
    error = answer(env, "status", code=1)["error"]
    assert error["type"] == "mongodb"
    assert "does DAYBOOK_MONGODB_URI lead to it" in error["message"]
    report = answer(env, "doctor", code=1)
    assert {each["name"]: each["ok"] for each in report["findings"]} == {
        "variables": True,
        "mongodb": False,
        "encryption": True,
        "folder": True,
    }


NEEDS_MONGODB = {
    "audit": [[]],
    "compare": [["2026-01-18", __file__]],
    "doctor": [[]],
    "erase": [["6b0326e4796afecb35d29315"]],
    "explain": [[]],
    "export": [["RV-1"]],
    "history": [[]],
    "lineage": [["RV-1"]],
    "migrate": [[], ["status"], ["--dry-run"]],
    "plan": [[]],
    "receipt": [["2026-01-18"]],
    "reconcile": [[]],
    "release": [["2026-01-18"]],
    "requeue": [["RV-1"]],
    "retry": [["2026-01-18"]],
    "run": [[]],
    "seed": [[]],
    "serve": [["--port", "0"]],
    "status": [[]],
    "sweep": [[]],
    "verify": [["2026-01-18"]],
}
"""Command → arguments with which it asks MongoDB."""


def test_every_command_that_needs_mongodb_is_tried_without_it() -> None:
    assert set(NEEDS_MONGODB) == COMMANDS - {"completion", "profiles"}


def test_no_command_waits_long_for_a_mongodb_that_is_away(tmp_path: Path) -> None:
    """All at the same time, since they do little but wait."""
    env = {
        "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:1/",
        "DAYBOOK_DESTINATION": tmp_path.as_uri(),
        "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS": "100",
    }
    commands = [[name, *given] for name, each in NEEDS_MONGODB.items() for given in each]
    for arguments, process in zip(commands, all_at_once(env, commands), strict=True):
        assert process.returncode == 1, (arguments, process.stderr)
        assert "127.0.0.1:1: " in process.stdout + process.stderr, arguments
        if arguments[0] == "serve":
            assert "`unset DAYBOOK_MONGODB_URI DAYBOOK_DESTINATION`" in process.stderr


def test_the_doctor_says_ok_line_by_line(office: Office) -> None:
    process = daybook(office.env, "doctor")
    assert process.returncode == 0, process.stdout
    assert all(line.startswith("ok  ") for line in process.stdout.splitlines())
    office.queue.drop_index("idx_queue_plan")
    process = daybook(office.env, "doctor")
    assert process.returncode == 1
    (line,) = [line for line in process.stdout.splitlines() if not line.startswith("ok  ")]
    assert line.startswith("NOT OK  indexes ")


@pytest.fixture
def bare(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """A database without indexes."""
    name = f"bare_{ObjectId()}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


def test_without_indexes_nothing_runs_until_migrate(
    bare: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path
) -> None:
    env = Office(bare, mongo_uri, tmp_path).env
    refused = daybook(env, "run", "--date", DATE)
    assert refused.returncode == 3
    assert "run `daybook migrate`" in refused.stderr
    assert answer(env, "migrate")["migrations"][0]["changed"] is True
    assert daybook(env, "migrate").stdout.splitlines() == [
        "0001 indexes: nothing to do",
        "0002 ledger_indexes: nothing to do",
        "0003 campaign_assignments: nothing to do",
    ]
    seeded = answer(env, "seed", "--entries", "3", "--bad", "1")
    assert (seeded["queued"], seeded["broken"]) == (4, {"unbalanced": 1})
    assert answer(env, "run", "--date", DATE)["entryCount"] == 3


def test_migrate_lists_duplicates_and_changes_nothing(
    bare: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path
) -> None:
    record = {"action": "csv_generated", "metadata": {"batchDate": DATE}}
    bare["exportlogs"].insert_many([{**record, "_id": "a"}, {**record, "_id": "b"}])
    process = daybook(Office(bare, mongo_uri, tmp_path).env, "migrate")
    assert (process.returncode, process.stdout) == (3, "")
    assert "exportlogs has 2 documents for" in process.stderr
    assert "_id a, b; keep one. To keep the first" in process.stderr
    assert 'updateMany({"_id": {"$in": ["b"]}}, {"$set": ' in process.stderr
    assert bare["exportlogs"].count_documents({}) == 2
    assert set(bare["exportlogs"].index_information()) == {"_id_"}


def test_logs_go_to_stderr_and_only_when_asked_for(office: Office) -> None:
    office.add()
    process = daybook(office.env, "run", "--date", DATE, "--json", "--verbose")
    assert json.loads(process.stdout)["status"] == "exported"
    events = [json.loads(line).get("event") for line in process.stderr.splitlines()]
    assert "batch_committed" in events


def on_terminal(env: Mapping[str, str], *arguments: str) -> tuple[str, str]:
    """Stdout, and what a terminal on stderr shows."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [DAYBOOK, *arguments],
        env=surroundings({**env, "TERM": "xterm", "COLUMNS": "100"}),
        stdout=subprocess.PIPE,
        stderr=end,
        text=True,
    )
    os.close(end)
    shown = b""
    try:
        while block := os.read(terminal, 4096):
            shown += block
    except OSError:  # Linux: the other end is closed
        pass
    finally:
        os.close(terminal)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return stdout, shown.decode()


def test_progress_is_shown_on_a_terminal_and_never_with_json(office: Office) -> None:
    office.add()
    stdout, shown = on_terminal(office.env, "run", "--date", DATE)
    assert "Rendering and uploading" in shown
    assert "100%" in shown
    assert stdout.startswith(f"batch_{DATE}.csv is delivered.")
    office.add()
    stdout, shown = on_terminal(office.env, "run", "--date", NEXT_DAY.isoformat(), "--json")
    assert json.loads(stdout)["status"] == "exported"
    assert shown == ""


def test_the_default_day_is_the_latest_that_was_due(office: Office) -> None:
    due = office.app.schedule.batch_date(EVENING, None)
    assert due == DAY
    status = answer(office.env, "status")
    assert status["batch"] is None
    assert status["batchDate"] < status["nextSlot"][:10]
