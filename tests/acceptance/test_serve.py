"""`serve` as a newcomer meets it: real processes, real HTTP, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests

from daybook.errors import ConfigurationError
from daybook.local.mongod import find_mongod
from tests.child_processes import descendants_of
from tests.consistency.test_docs_json import SCHEMAS
from tests.installed import DAYBOOK

ROOT = Path(__file__).parents[2]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(autouse=True)
def _needs_mongod() -> None:
    try:
        find_mongod()
    except ConfigurationError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


def environment(**more: str) -> dict[str, str]:
    inherited = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("DAYBOOK_", "DAILY_BATCH_"))
    }
    return {**inherited, "PYTHONPATH": str(ROOT / "src"), **more}


class Served:
    """A running `serve` with what it announced."""

    def __init__(self, process: subprocess.Popen[str], announced: dict[str, Any]) -> None:
        self.process = process
        self.url = announced["url"]
        self.ledger_url = announced["ledgerUrl"]
        self.environment = announced["environment"]
        self.retries = announced["retries"]
        self.seeded = announced["seeded"]

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = requests.post(f"{self.url}{path}", json=body, timeout=60)
        doc: dict[str, Any] = answer.json()
        return doc

    def children(self) -> set[int]:
        """Every process below it."""
        return descendants_of(self.process.pid)

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@contextmanager
def serving(directory: Path, *arguments: str, **env: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [DAYBOOK, "serve", "--port", "0", "--json", *arguments],
        cwd=directory,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=(directory / "serve.log").open("ab"),
        text=True,
    )
    try:
        yield Served(process, announced(process, directory))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def announced(process: subprocess.Popen[str], directory: Path) -> dict[str, Any]:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            doc: dict[str, Any] = json.loads(text)
            jsonschema.validate(doc, SCHEMAS["serve"])
            return doc
    pytest.fail((directory / "serve.log").read_text())


def wait_for_end(pids: Iterable[int]) -> None:
    """Fails unless all of them end within 30 seconds."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        with os.fdopen(handle):
            assert select.select([handle], [], [], 30)[0], f"process {pid} goes on"


@linux_only
@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGTERM, marks=pytest.mark.storm), signal.SIGINT]
)
def test_it_serves_until_it_is_stopped_and_leaves_no_process(
    tmp_path: Path, how: signal.Signals
) -> None:
    with serving(tmp_path, "--seed", "5") as served:
        assert served.seeded == 5
        assert requests.get(f"{served.url}/health", timeout=60).json()["status"] == "ok"
        run = served.post("/run", {"batchDate": "2026-01-18"})
        assert (run["status"], run["entryCount"]) == ("exported", 5)
        assert (tmp_path / ".daybook" / "exports" / "batch_2026-01-18.csv").is_file()
        children = served.children()
        assert len(children) >= 2
        assert served.end(how) == 0
        wait_for_end(children)


@pytest.mark.storm
def test_what_was_served_is_kept_for_the_next_time(tmp_path: Path) -> None:
    for status in ("exported", "already_exported"):
        with serving(tmp_path, "--data-dir", "data", "--seed", "2") as served:
            run = served.post("/run", {"batchDate": "2026-01-18"})
            assert (run["status"], run["entryCount"]) == (status, 2)
            served.end(signal.SIGTERM)
    assert (tmp_path / "data" / "exports" / "batch_2026-01-18.csv").is_file()


@linux_only
def test_when_it_is_killed_nothing_outlives_it(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        children = served.children()
        assert len(children) >= 2
        served.end(signal.SIGKILL)
        wait_for_end(children)


@linux_only
def test_when_the_function_ends_it_ends_too(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        children = served.children()
        functions = [pid for pid in children if is_function(pid, served.process.pid)]
        assert len(functions) == 2
        os.kill(functions[0], signal.SIGKILL)
        assert served.process.wait(60) == 1
        wait_for_end(children)
    assert "ended with code -9" in (tmp_path / "serve.log").read_text()


@linux_only
def test_when_its_mongod_ends_it_says_so_and_ends_too(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        children = served.children()
        (mongod,) = [pid for pid in children if b"--replSet" in command_of(pid)]
        os.kill(mongod, signal.SIGKILL)
        assert served.process.wait(60) == 1
        wait_for_end(children)
    said = (tmp_path / "serve.log").read_text()
    assert "the embedded MongoDB has ended: mongod ended with code -9" in said
    assert "start it again" in said
    assert "): ." not in said


def test_a_newcomer_queues_an_entry_and_moves_money(tmp_path: Path) -> None:
    """By the lines that `serve` prints and the snippet of the document, with nothing else."""
    (tmp_path / "own.py").write_text(snippet("python"), encoding="utf-8")
    process = subprocess.Popen(
        [DAYBOOK, "serve", "--port", "0"],
        cwd=tmp_path,
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "serve.log").open("ab"),
        text=True,
    )
    try:
        assert process.stdout is not None
        exports = ""
        for line in process.stdout:
            exports += line if line.startswith("  export ") else ""
            if "docs/data-model.md#an-entry-of-your-own" in line:
                break
        commands = f"""set -eu
        {exports}
        {sys.executable} own.py
        curl -fsS -X POST "$DAYBOOK/run"
        echo
        curl -fsS -d '{{"ownerUserId": "6b0328ad9e163d60a37ccd42"}}' "$LEDGER/wallets"
        echo
        {DAYBOOK} status --json | tr -d '\\n'
        """
        shown = subprocess.run(
            ["bash", "-c", commands],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    queued, run, wallet, status = shown.stdout.splitlines()
    assert queued.startswith("queued ")
    assert json.loads(run)["entryCount"] == 1
    assert json.loads(run)["totals"] == {
        "THB": {"debit": "250.00", "credit": "250.00", "amount": "0.00"}
    }
    assert json.loads(wallet)["availablePaise"] == 0
    assert json.loads(status)["batch"]["state"] == "committed"


def snippet(language: str) -> str:
    text = (ROOT / "docs" / "data-model.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"(?ms)^## An entry of your own\n(.*?)^## ", text)
    (found,) = re.findall(rf"(?s)```{language}\n(.*?)```", section)
    return str(found)


def test_both_snippets_write_the_same_fields() -> None:
    fields = {
        language: re.findall(pattern, snippet(language))
        for language, pattern in (("python", r'"(\w+)": '), ("js", r"(?<![\w\"])(\w+): "))
    }
    assert fields["python"] == fields["js"]


def test_what_is_printed_is_not_what_was_given(
    tmp_path: Path, mongo_uri: str, database: Any
) -> None:
    """An address that was given may hold a password."""
    given = {"DAYBOOK_MONGODB_URI": mongo_uri, "DAYBOOK_DATABASE": database.name}
    with serving(tmp_path, **given) as served:
        folder = (tmp_path / ".daybook" / "exports").as_uri()
        assert served.environment == {"DAYBOOK_DESTINATION": folder}
        assert requests.get(f"{served.ledger_url}/health", timeout=60).status_code == 200


def test_what_was_exported_for_other_terminals_does_not_stop_the_next_start(tmp_path: Path) -> None:
    """The lines are pasted into the terminal in which `serve` is then started again."""
    with serving(tmp_path, "--seed", "1") as served:
        printed = served.environment
        assert set(printed) == {"DAYBOOK_MONGODB_URI", "DAYBOOK_DESTINATION"}
        with serving(tmp_path, **printed) as beside:
            assert beside.environment == {}
            beside.end(signal.SIGTERM)
        served.end(signal.SIGTERM)
    with serving(tmp_path, **printed) as again:
        assert again.environment == printed
        run = again.post("/run", {"batchDate": "2026-01-18"})
        assert (run["status"], run["entryCount"]) == ("exported", 1)


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def is_function(pid: int, parent: int) -> bool:
    """Whether it is the server itself, not one of its workers."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(stat[1]) == parent and b"--target" in command_of(pid)


def test_a_mongodb_and_a_destination_that_are_set_are_used(
    tmp_path: Path, mongo_uri: str, database: Any
) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    with serving(
        tmp_path,
        "--seed",
        "1",
        DAYBOOK_MONGODB_URI=mongo_uri,
        DAYBOOK_DATABASE=database.name,
        DAYBOOK_DESTINATION=folder.as_uri(),
    ) as served:
        assert served.post("/run", {"batchDate": "2026-01-18"})["status"] == "exported"
        served.end(signal.SIGTERM)
    assert database["exportbatches"].count_documents({"state": "committed"}) == 1
    assert (folder / "batch_2026-01-18.csv").is_file()
    assert not (tmp_path / ".daybook").exists()


def test_a_port_that_is_taken_is_named(tmp_path: Path, mongo_uri: str, database: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = subprocess.run(
            [DAYBOOK, "serve", "--port", port],
            cwd=tmp_path,
            env=environment(DAYBOOK_MONGODB_URI=mongo_uri, DAYBOOK_DATABASE=database.name),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert process.returncode == 3
    assert f"port {port} of 127.0.0.1 cannot be used" in process.stderr
    assert "--port" in process.stderr


def demonstrate(directory: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DAYBOOK, "serve", "--demo", *arguments],
        cwd=directory,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_demonstration_tells_a_day_in_words_and_can_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        shown = demonstrate(tmp_path)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        lines = shown.stdout.splitlines()
        assert len(lines) < 40
        assert shown.stderr == ""
        told = " ".join(shown.stdout.split())
        for words in (
            "queue 13 queued, 0 completed, 0 failed",
            "answer exported, batch_",
            "entries 12 in 24 rows",
            "rejected 1",
            "queue 0 queued, 12 completed, 1 failed",
            "answer already_exported, the same file",
            "is as it was delivered",
        ):
            assert words in told
        (path,) = [Path(line) for line in lines if line.startswith(str(tmp_path))]
        delivered = path.read_text("utf-8-sig").splitlines()
        assert len(delivered) == 25
        assert delivered[1][:60] in shown.stdout


@pytest.mark.storm
def test_the_demonstration_leaves_configured_books_alone(
    tmp_path: Path, mongo_uri: str, mongo_client: Any, database: Any
) -> None:
    before = set(mongo_client.list_database_names())
    shown = demonstrate(
        tmp_path,
        "--json",
        DAYBOOK_MONGODB_URI=mongo_uri,
        DAYBOOK_DATABASE=database.name,
        DAYBOOK_DESTINATION="drive://never",
        DAILY_BATCH_TIMEZONE="Not/AZone",
    )
    doc = json.loads(shown.stdout)
    jsonschema.validate(doc, SCHEMAS["serve --demo"])
    assert (doc["first"]["status"], doc["second"]["status"]) == ("exported", "already_exported")
    assert doc["verification"]["status"] == "verified"
    assert set(mongo_client.list_database_names()) - before == {doc["database"]}
    assert database.list_collection_names() == []
    mongo_client.drop_database(doc["database"])
