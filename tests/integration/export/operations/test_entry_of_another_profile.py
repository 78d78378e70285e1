"""An entry is found and checked by the profile that takes it, whichever is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from click.testing import CliRunner, Result
from pymongo.database import Database
from werkzeug.test import EnvironBuilder

from daybook.cli.main import main
from daybook.http import routes
from tests.acceptance.runbook_stage import own_logging
from tests.integration.office import DAY, Office

pytestmark = pytest.mark.migrated
PROFILES = """
[sales]
require = ["date", "accountCode", "amount", "reference"]
language = "th"
"""


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path, DAYBOOK_PROFILES=PROFILES) as office:
        yield office


def asked(office: Office, *arguments: str) -> Result:
    with own_logging():
        return CliRunner(env=office.env).invoke(main, arguments)


def of_sales(office: Office, **fields: Any) -> Any:
    entry_id = office.add(**fields)
    office.queue.update_one({"entryId": entry_id}, {"$set": {"profile": "sales"}})
    return entry_id


def deliver(office: Office) -> None:
    ran = asked(office, "run", DAY.isoformat(), "--profile", "sales")
    assert ran.exit_code == 0, ran.output


def test_its_file_is_found_without_naming_the_profile(office: Office) -> None:
    of_sales(office, reference="S-1")
    deliver(office)
    for arguments in (["lineage", "S-1"], ["lineage", "S-1", "--profile", "sales"]):
        found = json.loads(asked(office, *arguments, "--json").stdout)
        assert [file["filename"] for file in found["files"]] == ["sales_2026-01-18.csv"]


def page_of(office: Office, path: str, accept: str = "text/html") -> str:
    environ = EnvironBuilder(path=path, headers={"Accept": accept}).get_environ()
    return routes.answer(office.app, flask.Request(environ)).get_data(as_text=True)


def test_the_page_finds_its_file_and_links_the_day_of_its_profile(office: Office) -> None:
    entry_id = of_sales(office, reference="S-1")
    deliver(office)
    for path in ("/entries?name=S-1", f"/entries/{entry_id}", f"/entries/{entry_id}?profile=sales"):
        page = page_of(office, path)
        assert "sales_2026-01-18.csv" in page
        assert 'href="/days/2026-01-18?profile=sales"' in page
        (file,) = json.loads(page_of(office, path, "application/json"))["files"]
        assert file["filename"] == "sales_2026-01-18.csv"


def test_the_page_asks_its_own_profile_to_queue_it_again(office: Office) -> None:
    entry_id = of_sales(office, reference="")
    deliver(office)
    day = page_of(office, "/days/2026-01-18?profile=sales")
    assert f'href="/entries?name={entry_id}&amp;profile=sales"' in day
    form = page_of(office, f"/requeue?entry={entry_id}")
    assert '<input type="hidden" name="profile" value="sales">' in form


def test_it_is_not_queued_again_while_its_own_profile_would_reject_it(office: Office) -> None:
    entry_id = of_sales(office, reference="")
    of_sales(office, reference="S-2")
    deliver(office)
    refused = asked(office, "requeue", str(entry_id))
    assert refused.exit_code == 1
    assert "would be rejected again" in refused.output
    office.entries.update_one({"_id": entry_id}, {"$set": {"reference": "S-1"}})
    assert asked(office, "requeue", "S-1").exit_code == 0
    assert [item["status"] for item in office.items(entry_id)] == ["queued"]


def test_a_file_that_cannot_show_a_second_currency_says_so(office: Office) -> None:
    profiles = '[sales]\npreset = "xero"\nrequire = []'
    office.env["DAYBOOK_PROFILES"] = profiles
    for currency in ("THB", "USD"):
        of_sales(office, currency=currency, reference=f"S-{currency}")
    deliver(office)
    told = asked(office, "receipt", DAY.isoformat(), "--profile", "sales").stdout
    assert "No column says which rows are in USD instead of THB." in told
    office.add(currency="USD")
    assert asked(office, "run", DAY.isoformat()).exit_code == 0
    assert "No column says" not in asked(office, "receipt", DAY.isoformat()).stdout


def test_its_receipt_is_in_the_language_of_its_profile(office: Office) -> None:
    of_sales(office)
    deliver(office)
    shown = asked(office, "receipt", DAY.isoformat(), "--profile", "sales")
    assert "เดบิต" in shown.stdout


def test_an_entry_of_two_profiles_has_the_file_of_each(office: Office) -> None:
    entry_id = of_sales(office, reference="BOTH")
    office.enqueue(entry_id)
    deliver(office)
    assert asked(office, "run", DAY.isoformat()).exit_code == 0
    names = ["sales_2026-01-18.csv", "batch_2026-01-18.csv"]
    for arguments in (["lineage", "BOTH"], ["lineage", "BOTH", "--profile", "sales"]):
        words = asked(office, *arguments).stdout
        assert words.count("(batch of 2026-01-18, profile sales)") == 1
        assert words.count("(batch of 2026-01-18)") == 1
        files = json.loads(asked(office, *arguments, "--json").stdout)["files"]
        assert [(one["profile"], one["filename"]) for one in files] == [
            ("sales", names[0]),
            ("daily", names[1]),
        ]
    for path in ("/entries?name=BOTH", f"/entries/{entry_id}?profile=sales"):
        page = page_of(office, path)
        assert all(name in page for name in names)
        assert 'href="/days/2026-01-18?profile=sales"' in page
        assert 'href="/days/2026-01-18"' in page


def test_an_entry_that_one_profile_has_rejected_is_requeued_for_it(office: Office) -> None:
    """That another has delivered it is shown, and stops nothing."""
    entry_id = of_sales(office, reference=None)
    office.enqueue(entry_id)
    deliver(office)
    assert asked(office, "run", DAY.isoformat()).exit_code == 0
    page = page_of(office, f"/entries/{entry_id}?profile=sales")
    assert "batch_2026-01-18.csv" in page
    assert f"/requeue?entry={entry_id}" in page
    office.entries.update_one({"_id": entry_id}, {"$set": {"reference": "NOW"}})
    asked_back = asked(office, "requeue", str(entry_id), "--profile", "sales")
    assert asked_back.exit_code == 0, asked_back.output
    assert {item.get("profile"): item["status"] for item in office.items(entry_id)} == {
        "sales": "queued",
        None: "completed",
    }
    refused = asked(office, "requeue", str(entry_id))
    assert "was exported already with batch_2026-01-18.csv (file ID " in refused.output
