"""Whatever concerns a profile can be asked of each: by command and over HTTP."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import requests

from daybook.cli.main import main
from tests import books
from tests.acceptance.evening import DAY, SIX, Evening, MakeEvening
from tests.acceptance.test_cli import answer

pytest_plugins = ["tests.acceptance.evening"]

NO_PROFILE = {
    *("completion", "demo", "doctor", "erase", "migrate", "profiles", "reconcile", "seed", "serve"),
}
"""Commands about the whole installation, the ledger, or this machine."""


@pytest.fixture
def sales(make_evening: MakeEvening, tmp_path: Path) -> Evening:
    evening = make_evening(
        DAYBOOK_TASKS_QUEUE="",
        DAYBOOK_PROFILES=f"""
[sales]
destination = "{tmp_path.as_uri()}"
time_zone = "Asia/Tokyo"
""",
    )
    entry = books.entry("S-1")
    evening.database["journalentries"].insert_one(entry)
    evening.database["exportqueues"].insert_one(books.queue_item(entry["_id"], profile="sales"))
    return evening


def test_every_command_about_days_entries_or_files_takes_a_profile() -> None:
    takes = {
        name
        for name, command in main.commands.items()
        if any("--profile" in parameter.opts for parameter in command.params)
    }
    assert set(main.commands) - takes <= NO_PROFILE


def test_commands_tell_of_the_profile_that_is_named(sales: Evening) -> None:
    of_sales = ("--profile", "sales")
    assert answer(sales.env, "run", "--date", DAY, *of_sales)["status"] == "exported"

    status = answer(sales.env, "status", "--date", DAY, *of_sales)
    assert (status["batch"]["state"], status["batch"]["filename"]) == (
        "committed",
        f"sales_{DAY}.csv",
    )
    assert status["nextSlot"].endswith("+09:00")
    assert answer(sales.env, "status", "--date", DAY)["batch"] is None
    history = answer(sales.env, "history", *of_sales)
    assert (history["profile"], len(history["batches"])) == ("sales", 1)
    assert answer(sales.env, "history")["batches"] == []
    lineage = answer(sales.env, "lineage", "S-1", *of_sales)
    assert [file["filename"] for file in lineage["files"]] == [f"sales_{DAY}.csv"]
    swept = answer(sales.env, "sweep", *of_sales)
    assert {slot["slot"] for slot in swept["slots"]} == {"sales", "sales/manual"}
    copied = answer(sales.env, "export", "--reference", "S-1", *of_sales)
    assert (copied["status"], copied["profile"]) == ("exported", "sales")


def test_the_schedule_is_healthy_when_that_of_every_profile_is(make_evening: MakeEvening) -> None:
    evening = make_evening(DAYBOOK_PROFILES="[sales]\n[off]\nenabled = false\n")
    for name in ("daily", "sales"):
        evening.function.post("/run", {"profile": name})
    evening.tasks.advance_to(SIX + timedelta(days=1))
    evening.function.post("/run")
    evening.tasks.advance(timedelta(hours=3))

    def health(query: str = "") -> tuple[int, list[str] | None]:
        found = requests.get(f"{evening.function.url}/health/cron{query}", timeout=60)
        return found.status_code, found.json().get("unhealthy")

    assert health() == (503, ["sales"])
    assert health("?profile=daily") == (200, None)
    assert health("?profile=sales") == (503, None)
    assert health("?profile=nobody")[0] == 400
    evening.function.post("/run", {"profile": "sales"})
    assert health() == (200, [])
