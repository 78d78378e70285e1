"""docs/configuration.md and the variables that Daybook reads say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daybook.app import App
from daybook.notifications import delivery
from daybook.settings.settings import VARIABLES, Settings, Variable

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
LEAST = {
    "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1/",
    "DAYBOOK_DESTINATION": "file:///srv/daybook",
}
NEEDED_TOGETHER = {
    "DAYBOOK_TASKS_QUEUE": {
        "DAYBOOK_SERVICE_URL": "https://daybook.example.com",
        "DAYBOOK_TASKS_SERVICE_ACCOUNT": "tasks@acme.iam.gserviceaccount.com",
    },
    "DAYBOOK_LEDGER_WALLETS": {"DAYBOOK_CALLERS": "/wallets=shop@acme.iam.gserviceaccount.com"},
}


def rows() -> dict[str, list[str]]:
    """Variable → default, unit, meaning, example, as the tables give them."""
    found: dict[str, list[str]] = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        row = re.fullmatch(r"\| `([A-Z_]+)` \|(.+)\|", line)
        if row:
            assert row[1] not in found, f"{row[1]} is documented twice"
            found[row[1]] = [cell.strip() for cell in row[2].split(" | ")]
    return found


ROWS = rows()

ONE_VALUE = {"DAYBOOK_LEDGER_PROFILE"}
"""Must name a profile, and there is only the default one."""


def test_every_variable_has_its_row_and_every_row_a_variable() -> None:
    assert set(ROWS) == {variable.name for variable in VARIABLES}


def test_the_text_names_no_variable_that_nothing_reads() -> None:
    named = set(re.findall(r"\b(?:DAYBOOK|DAILY_BATCH)_[A-Z_]+", DOCS.read_text(encoding="utf-8")))
    assert named == set(ROWS)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_documented_default_is_the_real_one(variable: Variable) -> None:
    default = ROWS[variable.name][0]
    if variable.default is not None:
        assert default == f"`{variable.default}`"
    elif variable.required:
        assert default == "none, required"
    else:
        assert default in {"none", "unset"}


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_documented_example_is_accepted_and_is_not_the_default(variable: Variable) -> None:
    _default, unit, meaning, example = ROWS[variable.name]
    assert unit
    assert meaning.endswith(".")
    text = example.strip("`")
    assert text != variable.default or variable.name in ONE_VALUE
    env = {**LEAST, **NEEDED_TOGETHER.get(variable.name, {}), variable.name: text}
    settings = App.from_env(env).settings
    assert getattr(settings, variable.field) == variable.parse(text)


@pytest.mark.parametrize("name", ["DAYBOOK_ALERT_URLS", "DAYBOOK_RECEIPT_URLS"])
def test_the_documented_address_is_one_that_messages_can_be_sent_to(name: str) -> None:
    assert delivery.unusable([ROWS[name][3].strip("`")]) == []
    assert delivery.unusable(["mailto:accounts@example.com"])


def test_the_two_line_minimum_is_enough() -> None:
    block = DOCS.read_text(encoding="utf-8").split("```sh\n")[1].split("```")[0]
    env = dict(re.findall(r"^export (\w+)='(.+)'$", block, re.MULTILINE))
    assert len(env) == block.count("\n") == 2
    assert Settings.from_env(env).mongodb_uri == env["DAYBOOK_MONGODB_URI"]


def test_the_example_of_a_secret_is_well_formed() -> None:
    text = DOCS.read_text(encoding="utf-8")
    (reference,) = re.findall(r"'(sm://.+)'", text)
    asked: list[str] = []

    def fetch(name: str) -> str:
        asked.append(name)
        return LEAST["DAYBOOK_MONGODB_URI"]

    Settings.from_env({**LEAST, "DAYBOOK_MONGODB_URI": reference}, fetch_secret=fetch)
    assert asked == [reference.removeprefix("sm://")]
