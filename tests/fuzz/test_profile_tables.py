"""Profiles of any shape in `DAYBOOK_PROFILES`: each is refused by name, or its day is delivered.

Each example is the table of one profile: likely and unlikely values under the keys that exist,
misspelt keys, values of the wrong type. What is refused names the profile and the key. What is
accepted prints as TOML that reads as the same profile, delivers what its dry run announced, and
the delivered file is verified, whatever it looks like.
"""

from __future__ import annotations

import logging
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from bson import Int64, ObjectId
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

from daybook.app import App
from daybook.audit.verify import verify
from daybook.errors import ConfigurationError
from daybook.export import run
from daybook.export.operations.dry_run import plan_day
from daybook.export.outcome import Status
from daybook.profiles import presets
from daybook.profiles.keys import KEYS, toml_text
from daybook.profiles.printed import to_toml
from daybook.profiles.sample import sample
from tests import books
from tests.fuzz.budget import SECONDS_IN_CI_OF_OTHERS, rounds
from tests.integration.office import DAY, EVENING, line
from tests.reusable import empty

EXAMPLES = 25
"""In a round."""
NAME = "fuzzed"
ENTRIES = 4

TEXTS = st.one_of(
    st.sampled_from(["", " ", "x", "บัญชี", "=1+2", "a,b;c\td", 'a"b', "{date}", "$a", "a..b", "."]),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8),
)
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1, 2, 18, 19, 2**31]),
    st.sampled_from([0.5, -0.0, 1e300]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
PATHS = st.sampled_from(
    [
        *("date", "reference", "description", "currency", "amount", "lines", "accountCode"),
        *("accountName", "debit", "credit", "_id", "a.b", "meta.ref", "company", "tags.-1"),
        *("lines.0.debit", "line.meta.ref", "createdAt", "-1", "a.-1.b", "ref number", "ชื่อ"),
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            *("line.number", "line.amount", "line.absolute", "line.side", "batch.date"),
            *("line.debit", "line.credit", "line.accountCode", "entry._id", "entry.date"),
            *("text:", "text:=1+2", "text:THB", "entry.currency", "entry.amount", "line._id"),
        ]
    ),
    PATHS.map("entry.{}".format),
    PATHS.map("line.{}".format),
    TEXTS,
)
COLUMNS = st.fixed_dictionaries(
    {"title": TEXTS, "value": VALUES},
    optional={
        "once": st.booleans(),
        "sides": st.lists(TEXTS, min_size=2, max_size=2),
        "max_length": st.integers(0, 60),
        "cut": st.booleans(),
        "type": st.sampled_from(["text", "date", "amount", "number", "money"]),
    },
)
SOURCES = st.one_of(
    st.just({"preset": "medici"}),
    st.dictionaries(
        st.sampled_from(
            [
                *("date", "reference", "description", "currency", "amount", "lines", "entries"),
                *("account_code", "account_name", "line_description", "debit", "credit"),
            ]
        ),
        PATHS,
        max_size=4,
    ),
    st.builds(
        lambda collection, key, order: {
            "lines": {"collection": collection, "key": key, "order": order}
        },
        st.sampled_from(["lines", "journalentries", "exportqueues", "system.views", "a$b"]),
        PATHS,
        st.one_of(PATHS, st.just("")),
    ),
)
LIKELY: Mapping[str, st.SearchStrategy[Any]] = {
    "preset": st.sampled_from([*presets.names(), "xeroo"]),
    "format": st.sampled_from(["csv", "xlsx", "xls"]),
    "filename": st.sampled_from(
        [
            "x_{date}.csv",
            "{profile}-{date}.xlsx",
            "ไฟล์ {date}.csv",
            "{date}",
            "{date}/x.csv",
            "x.csv",
        ]
    ),
    "match": st.dictionaries(
        st.sampled_from(["companyId", "profile", "status", "metadata", "a.b", "$or", "createdAt"]),
        st.one_of(st.sampled_from(["C-17", NAME, "", "$x"]), SCALARS),
        max_size=2,
    ),
    "encoding": st.sampled_from(["utf-8-sig", "utf-8", "cp874", "latin-1"]),
    "delimiter": st.sampled_from([",", ";", "\t", "|", ":"]),
    "formula_guard": st.sampled_from(["apostrophe", "none", "yes"]),
    "date_format": st.one_of(
        st.sampled_from(
            ["%d/%m/%Y", "%Y%m%d", "%d %B %Y", "%y", "%q", "%", "%%", "%F %T", "%Z,%m"]
        ),
        TEXTS,
    ),
    "calendar": st.sampled_from(["ce", "be", "BE"]),
    "time_zone": st.sampled_from(["Asia/Bangkok", "UTC", "America/St_Johns", "Mars/Phobos"]),
    "currency": st.sampled_from(["THB", "JPY", "BTC", "thb", "XXX", "KWD"]),
    "decimals": st.dictionaries(
        st.sampled_from(["BTC", "THB", "JPY", "thb", "X" * 17]), st.integers(-1, 19), max_size=2
    ),
    "require": st.lists(
        st.sampled_from(["date", "accountCode", "amount", "reference", "lines", "memo"]), max_size=4
    ),
    "years": st.lists(st.sampled_from([0, 1, 1999, 2000, 2026, 2027, 9999, 10000]), max_size=3),
    "max_rows": st.sampled_from([0, 1, 2, 10_000_000]),
    "one_page_wide": st.booleans(),
    "accounts": st.dictionaries(st.sampled_from(["1110", "4100", "9", ""]), TEXTS, max_size=3),
    "source": SOURCES,
    "columns": st.lists(COLUMNS, max_size=5),
    "cron": st.sampled_from(["0 19 * * *", "*/5 * * * *", "0 25 * * *", "0 0 31 2 *", "daily"]),
    "destination": st.sampled_from(["s3://", "drive://", "ftp://x/y", "file://relative", ""]),
    "receipt_urls": st.sampled_from(["", "json://127.0.0.1:9/x", "no url"]),
    "language": st.sampled_from(["en", "th", "de"]),
    "enabled": st.booleans(),
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=5))
    table = {name: draw(LIKELY[name]) for name in names}
    if not draw(st.integers(0, 7)):
        table[draw(st.one_of(st.sampled_from(KEYS), TEXTS))] = draw(ANYTHING)
    return table


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_text(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value)


class Company:
    """A migrated database and a folder; `app` is one with the profile of a table."""

    def __init__(self, uri: str, database: Database[dict[str, Any]], folder: Path) -> None:
        self.database = database
        self._folder = folder
        self._env = {
            "DAYBOOK_MONGODB_URI": uri,
            "DAYBOOK_DATABASE": database.name,
            "DAYBOOK_DESTINATION": folder.as_uri(),
        }
        books.make_app(uri, database.name, folder.as_uri()).client.close()
        self._collections = tuple(database.list_collection_names())

    def app(self, table: Mapping[str, Any]) -> App:
        text = f"{NAME} = {toml(table)}\n"
        assert tomllib.loads(text) == {NAME: table}
        return replace(App.from_env({**self._env, "DAYBOOK_PROFILES": text}), clock=lambda: EVENING)

    def fill(self, table: Mapping[str, Any]) -> None:
        """Queue entries of several kinds for the profile, whichever items it takes."""
        empty(self.database, self._collections)
        shutil.rmtree(self._folder)
        self._folder.mkdir()
        match = table.get("match", {"profile": NAME})
        pair = [line("1110", "100.00", "0"), line("4100", "0", "100.00")]
        entries = [
            books.entry(lines=pair, company="ก", tags=["x", 7], meta={"ref": "R-1"}),
            books.entry("=cmd()", lines=pair, currency="JPY", description="a;b\tc\n"),
            books.entry("INV-3", lines=pair, company=Int64(5), createdAt=books.NOON),
            {key: value for key, value in books.entry("A").items() if key != "lines"}
            | {"amount": Int64(5)},
        ]
        self.database["journalentries"].insert_many(entries)
        self.database["exportqueues"].insert_many(
            [books.queue_item(entry["_id"], **match) for entry in entries]
        )


@pytest.fixture(scope="module")
def company(
    mongo_uri: str,
    mongo_client: MongoClient[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Company]:
    name = f"fuzz_{ObjectId()}"
    yield Company(mongo_uri, mongo_client[name], tmp_path_factory.mktemp("folder"))
    mongo_client.drop_database(name)


def check_profile(company: Company, table: Mapping[str, Any]) -> None:
    try:
        app = company.app(table)
    except ConfigurationError as error:
        assert NAME in str(error), error  # noqa: PT017  (being refused is one of two right ends)
        return
    try:
        found = app.profiles[NAME]
        again = company.app(tomllib.loads(to_toml(found))[NAME])
        try:
            assert again.profiles[NAME].profile.form == found.profile.form
        finally:
            again.client.close()
        sample(found.profile)
        if found.enabled:
            check_day(company, app, table)
    finally:
        app.client.close()


def check_day(company: Company, app: App, table: Mapping[str, Any]) -> None:
    company.fill(table)
    profile = app.profile(NAME)
    planned = plan_day(app.database, profile, DAY)
    outcome = run.run_day(app.exporter(profile), DAY, None)
    assert outcome.status in (Status.EXPORTED, Status.EMPTY), (outcome.error, table)
    assert outcome.facts.get("sha256") == planned.facts.get("sha256"), table
    counts = [outcome.facts.get(name) or 0 for name in ("entryCount", "rejectedCount")]
    assert sum(counts) in (0, ENTRIES), (counts, table)
    verification = verify(app.database, app.destination_of(NAME), profile, DAY)
    assert verification.status in ("verified", "empty"), (verification.to_doc(), table)


def test_profiles_of_any_shape_are_refused_by_name_or_deliver_their_day(company: Company) -> None:
    logging.disable(logging.CRITICAL)
    try:
        for number in rounds(seconds_in_ci=SECONDS_IN_CI_OF_OTHERS):

            @settings(
                max_examples=EXAMPLES,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
                print_blob=False,
            )
            @hypothesis.seed(number)
            @given(table=tables())
            def property_of_a_profile(table: dict[str, Any]) -> None:
                check_profile(company, table)

            property_of_a_profile()
    finally:
        logging.disable(logging.NOTSET)
