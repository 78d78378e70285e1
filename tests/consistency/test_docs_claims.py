"""Claims of the documents about numbers, events and variables, checked against what they name."""

from __future__ import annotations

import re

import pytest

from daybook.export.batch.batch import LISTED_REJECTED
from daybook.mongo.indexes import INDEXES
from daybook.settings.settings import VARIABLES
from tests import pages
from tests.consistency.test_docs_json import SCHEMAS

DECLARED = (pages.ROOT / "terraform/environment/variables.tf").read_text(encoding="utf-8")


def test_what_cutover_compares_is_in_a_plan_as_json():
    rows = pages.table("cutover.md", "Daybook")
    named = {word for row in rows for word in pages.words(row[0])} - {"--all"}
    assert {"entryCount", "rejectedCount", "totals", "rejected"} <= named
    assert named <= set(SCHEMAS["plan"]["properties"])
    (listed,) = re.findall(
        r"`rejected` \(the first (\d+); all with `--all`\)", "".join(map(str, rows))
    )
    assert int(listed) == LISTED_REJECTED


def test_contributing_says_that_serve_serves_both_functions():
    """`functions`: that both answer is in `acceptance/test_serve.py`."""
    makefile = (pages.ROOT / "Makefile").read_text(encoding="utf-8")
    (told,) = re.findall(r"^serve: .*## Serve (.+)$", makefile, re.M)
    assert told.startswith("the functions ")
    assert f"| `make serve` | serves {told} |" in pages.text_of("../CONTRIBUTING.md")


@pytest.mark.parametrize("page", ["deploy.md", "runbook.md"])
def test_the_number_of_indexes_is_that_of_doctor(page):
    numbers = re.findall(r"all (\d+) are there", pages.text_of(page))
    assert numbers
    assert set(map(int, numbers)) == {len(INDEXES)}


def test_the_only_event_with_control_totals_is_the_one_that_security_names():
    rows = pages.table("logging.md", "event")
    with_totals = {pages.words(row[0])[0] for row in rows if "`totals`" in " ".join(row)}
    assert with_totals == {"planned"}
    assert "control totals of a dry run (`planned`)" in pages.text_of("security.md")


def test_attributes_of_terraform_variables_exist():
    """Written as `function.memory`, or as `function = { memory = … }`."""
    named = set()
    for page in pages.DOCS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        named |= set(re.findall(r"`(function|limits|schedules|tasks)\.(\w+)`", text))
        named |= set(re.findall(r"`(function|limits|schedules|tasks) = \{ ?(\w+) =", text))
    assert {"function", "limits"} <= {variable for variable, _ in named}
    for variable, attribute in named:
        (body,) = re.findall(rf'^variable "{variable}" \{{\n(.*?)^\}}', DECLARED, re.M | re.S)
        assert re.search(rf"^\s+{attribute}\s+= optional\(", body, re.M), (variable, attribute)


def test_no_page_names_a_version_that_does_not_exist():
    released = set(re.findall(r"^## \[(\d+\.\d+\.\d+)\]", pages.text_of("../CHANGELOG.md"), re.M))
    for page in [*pages.DOCS.glob("*.md"), pages.ROOT / "README.md"]:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"\bgit (?:switch|checkout)[^\n]* v(\d+\.\d+\.\d+)", text))
        assert named <= released, page.name


def test_the_number_of_variables_is_that_of_an_environment_as_committed():
    """`staging.tfvars` sets nothing but what has no default, so the module's defaults count."""
    module = pages.ROOT / "terraform/modules/export-function"
    assigned = re.findall(
        r"^    ([A-Z_]+)\s+= (.+)$", (module / "environment.tf").read_text(encoding="utf-8"), re.M
    )
    declared = (module / "variables.tf").read_text(encoding="utf-8")
    staging = (pages.ROOT / "terraform/environment/staging.tfvars").read_text(encoding="utf-8")
    unset = {"local.ledger_accounts", "local.profiles", "var.drive_subject", "local.page_url"}
    for value in (value for _, value in assigned if value.startswith("var.settings.")):
        name = value.removeprefix("var.settings.")
        if not re.search(rf"^\s+{name}\s+= optional\(.+, .+\)$", declared, re.M):
            unset.add(value)
    known = {variable.name for variable in VARIABLES}
    names = {name for name, value in assigned if value not in unset and name in known}
    names |= set(re.findall(r"^  (DAYBOOK_\w+)\s+= \{ secret_id", staging, re.M))
    names -= {"DAYBOOK_LEDGER_WALLETS"}  # the ledger's alone
    (number,) = re.findall(r'"(\d+) set, none misspelt"', pages.text_of("deploy.md"))
    assert int(number) == len(names), sorted(names)
