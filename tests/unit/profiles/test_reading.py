"""Profiles read from TOML: what each key may hold, and what an error says."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import replace
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daybook.errors import ConfigurationError
from daybook.export.model.profile import (
    Calendar,
    FileFormat,
    FormulaGuard,
    Profile,
    Required,
)
from daybook.export.model.source import MEDICI, Column, ColumnType, LineCollection, Source
from daybook.profiles import presets
from daybook.profiles.configured import Profiles
from daybook.profiles.printed import to_toml
from daybook.profiles.reading import read
from daybook.settings.settings import Settings
from tests import pages

LEAST = {
    "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:27017/",
    "DAYBOOK_DESTINATION": "file:///srv/books",
}
FULL = """
[sales]
preset = "generic"
format = "csv"
destination = "drive://FOLDER"
filename = "{profile}-{date}.txt"
cron = "0 19 * * 1-5"
time_zone = "Asia/Kolkata"
match = {companyId = "C-17", branch = 3, live = true, profile = "sales"}
receipt_urls = "json://example.com/x"
language = "th"
encoding = "cp874"
delimiter = "|"
formula_guard = "none"
date_format = "%d/%m/%Y"
calendar = "be"
currency = "BTC"
decimals = {BTC = 8}
require = ["date", "reference", "lines"]
max_rows = 300
one_page_wide = true
years = [2010, 2030]
accounts = {"1100" = "Cash on hand", "a.b" = "x"}
source = {entries = "books", queue = "outbox", lines = "rows", account_code = "acc"}
enabled = false
[[sales.columns]]
title = "*Amount"
value = "line.amount"
[[sales.columns]]
title = "Side"
value = "line.side"
sides = ["JD", "JC"]
[[sales.columns]]
title = "Memo"
value = "entry.meta.memo"
once = true
max_length = 60
cut = true
type = "text"
[[sales.columns]]
title = ""
value = "line.accountCode"
"""


def profiles(toml: str = "", **env: str) -> Profiles:
    settings = Settings.from_env({**LEAST, "DAYBOOK_PROFILES": toml, **env})
    return read(settings, fetch_secret=lambda name: f"json://secret.example/{name[-1]}")


def fault(toml: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        profiles(toml)
    return str(caught.value)


def test_without_the_setting_there_is_daily_alone_as_it_always_was() -> None:
    found = profiles(DAILY_BATCH_CRON="0 3 * * *", DAILY_BATCH_TIMEZONE="Asia/Kolkata")
    assert list(found) == ["daily"]
    daily = found["daily"]
    assert daily.profile == Profile(name="daily", time_zone=ZoneInfo("Asia/Kolkata"))
    assert daily.profile.file_name(date(2026, 1, 18)) == "batch_2026-01-18.csv"
    assert (daily.cron, daily.language, daily.receipt_urls) == ("0 3 * * *", "en", ())
    assert daily.destination.url == "file:///srv/books"
    assert daily.schedule.time_zone == ZoneInfo("Asia/Kolkata")


def test_the_three_profiles_of_the_readme_are_accepted() -> None:
    readme = (pages.ROOT / "README.md").read_text(encoding="utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    found = profiles(toml)
    assert list(found) == ["daily", "xero", "thai"]
    assert [one.profile.default_filename for one in found.values()] == [
        "batch_{date}.csv",
        "{profile}_{date}.csv",
        "{profile}_{date}.xlsx",
    ]
    named = re.search(r"# also (.*)", toml)
    assert named is not None
    assert {*named[1].split(", "), "xero", "generic", "readable"} == set(presets.names())


def test_every_key_reaches_the_profile() -> None:
    sales = profiles(FULL)["sales"]
    assert sales.profile == Profile(
        name="sales",
        filename="{profile}-{date}.txt",
        match={"companyId": "C-17", "branch": 3, "live": True, "profile": "sales"},
        columns=(
            Column(title="*Amount", value="line.amount"),
            Column(title="Side", value="line.side", sides=("JD", "JC")),
            Column(
                title="Memo",
                value="entry.meta.memo",
                once=True,
                max_length=60,
                cut=True,
                type=ColumnType.TEXT,
            ),
            Column(title="", value="line.accountCode"),
        ),
        source=Source(entries="books", queue="outbox", lines="rows", account_code="acc"),
        delimiter="|",
        encoding="cp874",
        time_zone=ZoneInfo("Asia/Kolkata"),
        date_format="%d/%m/%Y",
        calendar=Calendar.BUDDHIST_ERA,
        formula_guard=FormulaGuard.NONE,
        currency="BTC",
        decimals={"BTC": 8},
        require=frozenset({Required.DATE, Required.REFERENCE, Required.LINES}),
        max_rows=300,
        one_page_wide=True,
        years=(2010, 2030),
        accounts={"1100": "Cash on hand", "a.b": "x"},
    )
    assert sales.profile.file_name(date(2026, 1, 18)) == "sales-2026-01-18.txt"
    assert (sales.cron, sales.language, sales.enabled) == ("0 19 * * 1-5", "th", False)
    assert sales.destination.folder_id == "FOLDER"
    assert sales.receipt_urls == ("json://example.com/x",)


def test_what_a_profile_leaves_out_comes_from_the_settings() -> None:
    found = profiles("[sales]", DAYBOOK_RECEIPT_URLS="json://a.example", DAYBOOK_LANGUAGE="th")
    assert list(found) == ["daily", "sales"]
    sales = found["sales"]
    assert sales.profile == Profile(name="sales")
    assert sales.profile.file_name(date(2026, 1, 18)) == "sales_2026-01-18.csv"
    assert (sales.cron, sales.language) == ("0 18 * * *", "th")
    assert sales.receipt_urls == ("json://a.example",)
    assert sales.enabled


def test_a_profile_may_be_a_file_and_its_addresses_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text(
        '[sales]\nreceipt_urls = "sm://projects/p/secrets/urls/versions/7"\n', encoding="utf-8"
    )
    assert profiles(str(path))["sales"].receipt_urls == ("json://secret.example/7",)
    with pytest.raises(ConfigurationError, match=r"DAYBOOK_PROFILES: the file .* cannot be read"):
        profiles(str(tmp_path / "none.toml"))


def test_the_form_that_a_batch_stores_is_the_whole_profile() -> None:
    for found in profiles(FULL).values():
        profile = replace(found.profile, format=FileFormat.XLSX)
        assert Profile.from_form(profile.form) == profile
    daily, sales = (each.profile for each in profiles(FULL).values())
    assert Profile.from_form(sales.form) == replace(sales, one_page_wide=False)
    edited = replace(sales, accounts={**sales.accounts, "1200": "Bank"})
    assert len({daily.digest, sales.digest, edited.digest}) == 3
    assert Profile.from_form('{"name": "daily", "later": 1}') == Profile(name="daily")


def test_the_generic_preset_is_the_default_profile() -> None:
    layout = presets.load("generic")
    assert "generic" in presets.names()
    columns = [Column(**column) for column in layout["columns"]]
    assert tuple(columns) == Profile(name="daily").columns


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[sales", "DAYBOOK_PROFILES: is no TOML: "),
        ("[Sales]", "profile 'Sales': a profile's name has 1 to 40 of a-z, 0-9 and -"),
        (f"[{'a' * 41}]", "a profile's name has 1 to 40"),
        ("sales = 1", "profile sales: must be a table, [sales], not 1"),
        ('[sales]\npreset = "xro"', 'profile sales, preset: there is no preset "xro"'),
        ("[sales]\npreset = 1", "profile sales, preset: there is no preset 1"),
        ('[sales]\nfilname = "a"', "profile sales: unknown key filname; did you mean filename?"),
        ('[sales]\nqqq = "a"', "unknown key qqq; known are preset, format, filename"),
        ('[sales]\nformat = "xml"', 'sales, format: must be one of csv, xlsx, not "xml"'),
        (
            '[sales]\nformat = "xlsx"\nfilename = "{date}.csv"',
            'sales, filename: must end in .xlsx: format is xlsx, not "{date}.csv"',
        ),
        (
            '[sales]\nfilename = "{date}.xlsx"',
            'sales, filename: must not end in .xlsx: format is csv, not "{date}.xlsx"',
        ),
        (
            '[sales]\nformat = "xlsx"\ndate_format = "%j"',
            "sales, date_format '%j': cells of an xlsx file cannot show %j",
        ),
        ('[sales]\nfilename = "a.csv"', 'filename: must contain {date}: each day\'s file needs'),
        ('[sales]\nfilename = "../{date}"', 'filename: must be a file name with {date}'),
        ('[sales]\nfilename = "{date}{day}"', 'filename: must be a file name with {date}'),
        ('[sales]\ncron = "0 25 * * *"', "sales, cron: must be a cron schedule"),
        ("[sales]\ncron = 7", "sales, cron: must be text, not 7"),
        ('[sales]\ntime_zone = "Mars"', "time_zone: must be an IANA time zone"),
        ('[sales]\ndestination = "ftp://x"', "destination: must be file:///FOLDER, drive://"),
        ('[sales]\nlanguage = "de"', 'sales, language: must be en or th, not "de"'),
        ("[sales]\nenabled = 1", "sales, enabled: must be true or false, not 1"),
        ("[sales]\nmatch = {}", "sales, match: must name at least one field"),
        ('[sales]\nmatch = "C"', "sales, match: must be a table"),
        ("[sales]\nmatch = {c = 1.5}", "match: c must be text, a whole number, true or false"),
        ("[sales]\nmatch = {c = {d = 1}}", "match: c must be text, a whole number"),
        ('[sales]\nmatch = {"$where" = "x"}', "match: $where must be a field of the queue item"),
        ('[sales]\nmatch = {"a.b" = "x"}', "match: a.b must be a field of the queue item itself"),
        ('[sales]\nmatch = {status = "x"}', "match: status must be a field of the queue item"),
        ('[sales]\nencoding = "utf8"', 'encoding: must be one of "utf-8-sig", "utf-8", "cp874"'),
        ('[sales]\ndelimiter = "."', r'delimiter: must be one of ",", ";", "\t", "|", not "."'),
        ('[sales]\nformula_guard = "x"', "formula_guard: must be one of apostrophe, none"),
        ('[sales]\ndate_format = "%Q"', "sales, date_format: date_format '%Q': '%Q' is not"),
        ('[sales]\ndate_format = "dd/mm/yyyy"', "has no directive such as %d"),
        ('[sales]\ncalendar = "BE"', "sales, calendar: must be one of ce, be"),
        ('[sales]\ncurrency = "baht"', "sales, currency: must be an ISO 4217 code"),
        ('[sales]\ncurrency = "ABC"', "profile sales: currency 'ABC' is neither an ISO 4217"),
        ("[sales]\ndecimals = {BTC = 99}", "decimals: BTC must be a whole number from 0 to 18"),
        ("[sales]\ndecimals = {btc = 8}", "decimals: btc must be 1 to 16 capital letters"),
        ('[sales]\nrequire = ["dat"]', 'require: must list some of "date", "accountCode"'),
        ("[sales]\nyears = [2030, 2010]", "years: must be [FIRST, LAST], years of the Common"),
        ("[sales]\nyears = 2030", "years: must be [FIRST, LAST]"),
        ('[sales]\naccounts = {"1100" = 7}', "accounts: 1100 must be text, the importer's account"),
        ('[sales]\nsource = {enties = "x"}', "enties is no key of source; did you mean entries?"),
        ('[sales]\nsource = {date = "$x"}', "source: date must be a field path such as meta.ref"),
        ('[sales]\nsource = {queue = "a$b"}', "source: queue must be a collection's name"),
        ("[sales]\ncolumns = []", "columns: must be at least one [[columns]] table"),
        ("[[sales.columns]]\ntitle = 'A'", "columns: columns[1].value is missing"),
        ("[[sales.columns]]\nvalue = 'line.side'", "columns: columns[1].title is missing"),
        (
            "[[sales.columns]]\ntitle = 'A'\nvalue = 'amount'",
            "columns: columns[1].value must be entry.PATH, line.PATH, line.number",
        ),
        (
            "[[sales.columns]]\ntitle = 'A'\nvalue = 'line.side'\nside = ['a', 'b']",
            "columns[1].side is no key of a column; did you mean sides?",
        ),
        (
            "[[sales.columns]]\ntitle = 'A'\nvalue = 'line.side'\nsides = ['a']",
            "columns[1].sides must be [DEBIT, CREDIT]",
        ),
        (
            "[[sales.columns]]\ntitle = 'A'\nvalue = 'entry.x'\nsides = ['a', 'b']",
            'columns[1].sides applies only to value = "line.side"',
        ),
        (
            "[[sales.columns]]\ntitle = 'A'\nvalue = 'entry.x'\ncut = true",
            "columns[1].cut needs max_length",
        ),
        *(
            (
                f"[[sales.columns]]\ntitle = 'A'\nvalue = '{value}'\ncut = true\n{rest}",
                f"profile sales, column 'A': cut applies only to texts, and {value} is of type",
            )
            for value, rest in [
                *((name, "max_length = 3") for name in ("line.amount", "line.absolute")),
                *((name, "max_length = 3") for name in ("line.debit", "line.number")),
                *((name, "max_length = 3") for name in ("entry.date", "batch.date")),
                ("entry.x", "max_length = 3\ntype = 'amount'"),
                ("entry.x", "max_length = 3\ntype = 'date'"),
                ("entry.x", "max_length = 3\ntype = 'number'"),
            ]
        ),
        (
            "[[sales.columns]]\ntitle = 'A'\nvalue = 'entry.x'\nmax_length = 0",
            "columns[1].max_length must be a whole number from 1 to 32767, not 0",
        ),
        (
            "[[sales.columns]]\ntitle = 'A'\nvalue = 'entry.x'\ntype = 'money'",
            "columns[1].type must be one of text, date, amount, number",
        ),
        (
            "[[sales.columns]]\ntitle = 'A'\nvalue = 'line.debit'\ntype = 'text'",
            "profile sales, column 'A': type is text, but line.debit is always amount",
        ),
        (
            "[sales]\nencoding = 'cp874'\n[[sales.columns]]\ntitle = '€uro 😀'\nvalue = 'entry.x'",
            "profile sales: column title",
        ),
        (
            "[sales]\nencoding = 'cp874'\n[[sales.columns]]\ntitle = 'A'\nvalue = 'text:😀'",
            "profile sales, column 'A': '😀': character 1 is",
        ),
        (
            "[[sales.columns]]\ntitle = 'A'\nvalue = 'text:abc'\nmax_length = 2",
            "profile sales, column 'A': 'abc':",
        ),
        (
            "[sales]\naccounts = {a = 'b'}\n[[sales.columns]]\ntitle = 'A'\nvalue = 'entry.x'",
            "profile sales: accounts is set, but no column prints line.accountCode",
        ),
    ],
)  # fmt: skip
def test_an_error_names_profile_key_value_and_what_would_be_right(toml: str, said: str) -> None:
    message = fault(toml)
    assert message.startswith("Settings cannot be used. DAYBOOK_PROFILES: ")
    assert said in message


def test_all_errors_are_named_at_once_and_no_address_is() -> None:
    message = fault('[a]\ncron = "x"\nreceipt_urls = "pa55word"\n[b]\nyears = 1\n')
    for said in ("profile a, cron: ", "profile a, receipt_urls: ", "profile b, years: "):
        assert said in message
    assert "pa55word" not in message


@pytest.mark.parametrize(
    "toml",
    [
        '[sales]\nmatch = {companyId = "C-17"}',
        '[sales]\nmatch = {profile = "daily"}',
        '[a]\nmatch = {x = 1, profile = "a"}\n[sales]\nmatch = {y = 1, profile = "a"}',
        '[daily]\nmatch = {x = "1"}\n[sales]\nmatch = {y = "1"}',
        "[a]\nmatch = {profile = 'sales'}\n[sales]",
    ],
)
def test_profiles_whose_items_can_overlap_are_refused_by_name(toml: str) -> None:
    message = fault(toml)
    assert "and sales: a queue item can match both" in message
    assert "enabled = false" in message


@pytest.mark.parametrize(
    "toml",
    [
        "[sales]\n[weekly]",
        '[daily]\nmatch = {c = "1"}\n[sales]\nmatch = {c = "2"}\n[b]\nmatch = {c = 2}',
        '[daily]\nenabled = false\n[sales]\nmatch = {companyId = "C-17"}',
        "[a]\nmatch = {x = 1, y = true}\n[sales]\nmatch = {x = 1, y = 1}\n[daily]\nmatch = {x = 2}",
        '[sales]\nmatch = {companyId = "C-17"}\nsource = {queue = "other"}',
    ],
)
def test_profiles_whose_items_differ_in_a_field_are_accepted(toml: str) -> None:
    assert set(tomllib.loads(toml)) <= set(profiles(toml))


def test_two_profiles_never_write_the_same_file() -> None:
    same = '[a]\nfilename = "x_{date}.csv"\n[b]\nfilename = "X_{date}.csv"\n'
    assert "profiles a and b, filename: both would write x_2026-01-18.csv" in fault(same)
    assert profiles(same + 'destination = "file:///srv/other"\n')


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///srv/books", "file:///srv/books/"),
        ("file:///srv/books", "file:///srv/x/..//books"),
        ("file:///srv/b%6Foks", "file:///srv/books"),
        ("s3://bucket/books", "s3://bucket/books/"),
    ],
)
def test_one_folder_spelt_in_two_ways_is_one_folder(one: str, other: str) -> None:
    toml = (
        f'[a]\nfilename = "x_{{date}}.csv"\ndestination = "{one}"\n'
        f'[b]\nfilename = "x_{{date}}.csv"\ndestination = "{other}"\n'
    )
    assert "profiles a and b, filename: both would write" in fault(toml)
    assert profiles(toml.replace(f'"{other}"', f'"{other}2"'))


def test_one_name_in_two_forms_of_unicode_is_one_name() -> None:
    names = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    toml = "".join(f'[{at}]\nfilename = "{name}_{{date}}.csv"\n' for at, name in enumerate(names))
    assert "profiles 0 and 1, filename: both would write" in fault(toml)


MEDICI_RENAMED = """[sales]
source = {preset = "medici", entries = "j", date = "at", lines = {collection = "t"}}
"""


def test_a_preset_of_a_source_is_a_starting_point_whose_keys_can_be_replaced() -> None:
    found = profiles(MEDICI_RENAMED)["sales"].profile.source
    lines = LineCollection(collection="t", key="_journal", order="_transactions")
    assert found == replace(MEDICI, entries="j", date="at", lines=lines)
    assert Profile.from_form(Profile(name="x", source=found).form).source == found


def test_lines_of_a_collection_are_printed_as_they_are_read() -> None:
    toml = '[sales]\nsource = {lines = {collection = "rows", key = "voucher.id"}}'
    found = profiles(toml)["sales"]
    assert found.profile.source.lines == LineCollection(collection="rows", key="voucher.id")
    assert profiles(to_toml(found))["sales"].profile.source == found.profile.source


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('{preset = "medic"}', "preset is no preset of a source; did you mean medici?"),
        ('{lines = {key = "a"}}', "lines.collection is missing"),
        ('{lines = {collection = "a"}}', "lines.key is missing"),
        ('{lines = {collection = "a", key = "$b"}}', "lines.key must be a field path"),
        ('{lines = {collection = "a$", key = "b"}}', "lines.collection must be a collection"),
        (
            '{lines = {collection = "a", keys = "b"}}',
            "lines.keys is no key of lines; did you mean key?",
        ),
        ('{lines = ["a"]}', "lines must be a field path"),
        ('{entries = {collection = "a"}}', "entries must be a collection"),
    ],
)
def test_a_fault_of_a_source_names_the_key_in_it(source: str, said: str) -> None:
    assert f"profile sales, source: {said}" in fault(f"[sales]\nsource = {source}")
