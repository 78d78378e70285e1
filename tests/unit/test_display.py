"""Text for readers: hidden characters, secrets, counts, times and durations."""

from __future__ import annotations

import json
import re
import time
import unicodedata
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.display import (
    LONGEST,
    clean,
    duration,
    escaped,
    moment,
    number,
    scrubbed,
    visible,
    visible_lines,
)

BIDIRECTIONAL = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
REORDERING = [
    *(
        chr(code)
        for code in range(0x10000)
        if unicodedata.bidirectional(chr(code)) in BIDIRECTIONAL
    ),
    *("\u200e", "\u200f", "\u061c"),
]


@pytest.mark.parametrize("sign", REORDERING)
def test_what_reorders_text_is_named(sign: str) -> None:
    assert visible(f"INV{sign}1") == f"INV[U+{ord(sign):04X}]1"


HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize("text", ["ใบแจ้งหนี้เลขที่ 1", "👩💻", "\u00a0", "\u3000", "مرحبا", "e\u0301"])
def test_letters_and_white_space_stay_as_they_are(text: str) -> None:
    assert visible(text) == text
    assert escaped(text) == text


@pytest.mark.parametrize("sign", ["\n", "\r", "\t", "\x1b", "\x9b", "\x85", "\u2028", "\u200b"])
def test_a_line_is_one_line(sign: str) -> None:
    assert visible(f"INV{sign}1") == f"INV[U+{ord(sign):04X}]1"


@given(st.text(st.characters()))
def test_any_line_can_be_encoded_and_hides_nothing(text: str) -> None:
    line = visible(text)
    assert line.encode().decode() == line
    assert {unicodedata.category(sign) for sign in line} & HIDDEN == set()
    assert visible(line) == line
    assert visible_lines(text).split("\n") == [visible(each) for each in text.split("\n")]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ใบแจ้งหนี้\u200bเลขที่ 1", "ใบแจ้งหนี้\u200bเลขที่ 1"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("a\tb\r\nc\u2028d", "a b c d"),
        ("INV\u202e1\x1b[2J\x9b", "INV1[2J"),
        ("A\udc80", "A\ufffd"),
    ],
)
def test_a_message_loses_what_controls_and_reorders_and_nothing_else(
    text: str, written: str
) -> None:
    assert clean(text) == written


@given(st.text(st.characters()))
def test_any_text_in_a_message_is_one_line_that_can_be_encoded(text: str) -> None:
    line = clean(text)
    assert line.encode().decode() == line
    assert {unicodedata.category(sign) for sign in line} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert not set(line) & set(REORDERING)


@given(st.dictionaries(st.text(), st.text(st.characters()) | st.sampled_from(REORDERING)))
def test_escaped_json_has_the_same_values(doc: dict[str, str]) -> None:
    text = escaped(json.dumps(doc, ensure_ascii=False))
    assert json.loads(text) == doc
    assert text.encode()
    assert {unicodedata.category(sign) for sign in text} & HIDDEN == set()


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries"), (1234, "1,234 entries")]
)
def test_a_count_has_its_plural(count: int, said: str) -> None:
    assert number(count, "entry", "entries") == said
    assert number(count, "item") == said.replace("entry", "item").replace("entries", "items")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.35, "0.3 s"),
        (0.96, "1 s"),
        (1.4, "1 s"),
        (45.678901, "46 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3599, "59 min 59 s"),
        (3599.7, "1 h"),
        (5400, "1 h 30 min"),
        (86_399, "24 h"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_is_rounded_to_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@given(st.floats(min_value=0, max_value=1e7))
def test_a_duration_is_never_far_from_the_truth(seconds: float) -> None:
    said = duration(seconds)
    assert re.fullmatch(r"0\.[1-9] s|\d+ s|\d+ min( \d+ s)?|\d+ h( \d+ min)?|\d+ d( \d+ h)?", said)
    sizes = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
    meant = sum(float(value) * sizes[unit] for value, unit in re.findall(r"([\d.]+) (\w+)", said))
    assert abs(meant - seconds) <= max(0.5 if seconds > 0.95 else 0.06, seconds / 47)


def test_a_time_is_local_and_names_its_zone() -> None:
    at = datetime(2026, 1, 18, 18, 30, tzinfo=UTC)
    assert moment(at, ZoneInfo("Asia/Bangkok")) == "2026-01-19 01:30 (Asia/Bangkok)"
    assert moment(at) == "2026-01-18 18:30 (UTC)"


S = "NeverToBeShown0123456789"
"""The secret of each case."""
JWT = f"eyJhbGciOiJSUzI1NiJ9.{S}.{S}"

CASES = {
    # text with the secret → what is left
    f"url: /upload/drive/v3/files?uploadType=resumable&upload_id={S} (Caused by": (
        "url: /upload/drive/v3/files?uploadType=resumable&upload_id=… (Caused by"
    ),
    f"mongodb://books:{S}@db1:27017,db2:27017/daybook: refused": (
        "mongodb://…@db1:27017,db2:27017/daybook: refused"
    ),
    f"mongodb+srv://books:{S}@cluster0.abcde.mongodb.net": (
        "mongodb+srv://…@cluster0.abcde.mongodb.net"
    ),
    f"mongodb://books:p@ss/{S}@db1/daybook": "mongodb://…@db1/daybook",
    f"mailtos://daybook:{S}@smtp.example.com:587": "mailtos://…@smtp.example.com:587",
    f"https://{S}@example.com/hook, https://a:{S}@b": "https://…@example.com/hook, https://…@b",
    f"socks5://proxy:{S}@10.0.0.1:1080 failed": "socks5://…@10.0.0.1:1080 failed",
    f'E11000 index: name_1 dup key: {{ name: "a }} {S}" }}': "E11000 index: name_1 dup key: …",
    f"refused, full error: {{'errInfo': {{'consideredValue': '{S}'}}}}\nnext": (
        "refused, full error: …\nnext"
    ),
    # The server quotes the key as it is stored, and the driver adds the reply.
    f"E11000 dup key: {{ name: \"a\n{S}\n{S}\" }}, full error: {{'code': '{S}'}}\nnext": (
        "E11000 dup key: …, full error: …\nnext"
    ),
    f"one, full error: {S}\ntwo dup key: a\n{S}, full error: {S}\nthree dup key: {S}\nnext": (
        "one, full error: …\ntwo dup key: …, full error: …\nthree dup key: …\nnext"
    ),
    f"Authorization: Bearer {S}": "Authorization: …",
    f"{{'authorization': 'Basic {S}', 'Accept': '*/*'}}": (
        "{'authorization': '…', 'Accept': '*/*'}"
    ),
    f"('X-Serverless-Authorization', 'bearer {S}')": "('X-Serverless-Authorization', '…')",
    f"Proxy-Authorization: Basic {S}": "Proxy-Authorization: …",
    f"Authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, Signature={S}": "Authorization: …",
    f"x-amz-security-token:{S}": "x-amz-security-token:…",
    f"sent bearer {S} to it": "sent bearer … to it",
    f"the token {JWT} has expired": "the token … has expired",
    f"id_token={JWT}&next=": "id_token=…&next=",
    f'{{"access_token": "{S}", "expires_in": 3599}}': '{"access_token": "…", "expires_in": 3599}',
    f"refresh_token='{S}'": "refresh_token='…'",
    f'{{"password": "a {S}, \\"{S}", "a": 1}}': '{"password": "…", "a": 1}',
    f"password='{S} {S}' user=a": "password='…' user=a",
    f'"{{\\"password\\": \\"a {S}\\", \\"a\\": 1}}"': ('"{\\"password\\": \\"…\\", \\"a\\": 1}"'),
    f"continue=https%3A%2F%2Fexample.com%2F%3Fupload_id%3D{S}": (
        "continue=https%3A%2F%2Fexample.com%2F%3Fupload_id%3D…"
    ),
    f"https://example.com/a?UPLOAD_ID={S}": "https://example.com/a?UPLOAD_ID=…",
    f'"https://example.com/a?upload_id\\u003d{S}"': ('"https://example.com/a?upload_id\\u003d…"'),
    f'"https:\\/\\/a:{S}@example.com\\/a"': '"https:\\/\\/…@example.com\\/a"',
    f"https://discord.com/api/v10/webhooks/1/{S}": "https://discord.com/api/v10/webhooks/1/…",
    f"https://hooks.slack-gov.com/services/T0/{S}": "https://hooks.slack-gov.com/services/…",
    f"ya29.{S} is no longer valid": "… is no longer valid",
    f"AIzaSy{S}{S} is not enabled": "… is not enabled",
    f'"private_key": "-----BEGIN PRIVATE KEY-----\\n{S}\\n-----END PRIVATE KEY-----"': (
        '"private_key": "…-----END PRIVATE KEY-----"'
    ),
    f"https://b.s3.amazonaws.com/k?X-Amz-Credential={S}%2F20260118&X-Amz-Signature={S}": (
        "https://b.s3.amazonaws.com/k?X-Amz-Credential=…&X-Amz-Signature=…"
    ),
    f"https://storage.googleapis.com/b/k?X-Goog-Signature={S}": (
        "https://storage.googleapis.com/b/k?X-Goog-Signature=…"
    ),
    f"aws_secret_access_key = {S}": "aws_secret_access_key = …",
    f"https://hooks.slack.com/services/T0/B0/{S}: 403": "https://hooks.slack.com/services/…: 403",
    f"host='hooks.slack.com': url: /services/T0AAAAAAA/B0/{S} (Caused": (
        "host='hooks.slack.com': url: /services/… (Caused"
    ),
    f"https://chat.googleapis.com/v1/spaces/A/messages?key={S}&token={S}": (
        "https://chat.googleapis.com/v1/spaces/A/messages?key=…&token=…"
    ),
    f"https://discord.com/api/webhooks/123456/{S}": "https://discord.com/api/webhooks/123456/…",
    f"url: /api/webhooks/123456/{S}": "url: /api/webhooks/123456/…",
    f"https://api.telegram.org/bot123456:{S}/sendMessage": "https://api.telegram.org/bot/…",
    f"url: /bot123456:{S}/sendMessage": "url: /bot/…",
    f"https://acme.webhook.office.com/webhookb2/{S}@x/IncomingWebhook/y": (
        "https://acme.webhook.office.com/webhookb2/…"
    ),
    f'{{"name": "projects/1", "payload": {{"data": "{S}"}}}}': (
        '{"name": "projects/1", "payload": {"data": "…"}}'
    ),
    f'payload {{\n  data: "{S}"\n}}': 'payload {\n  data: "…"\n}',
    f'"payload": {{"dataCrc32c": "12", "data": "{S}"}}': (
        '"payload": {"dataCrc32c": "12", "data": "…"}'
    ),
    f"GET /upload?{S} HTTP/1.1": "GET /upload?… HTTP/1.1",
}


@pytest.mark.parametrize("text", CASES)
def test_the_secret_goes_and_the_rest_stays(text: str) -> None:
    got = scrubbed(text)
    assert S not in got
    # The end of a webhook's path belongs to the secret; what follows it is told.
    assert got.rstrip(" :0123456789") == CASES[text].rstrip(" :0123456789")


@pytest.mark.parametrize(
    "text",
    [
        "https://drive.google.com/file/d/1aBcD/view?usp=drivesdk",
        "file:///var/daybook/exports/batch_2026-01-18.csv",
        "mongodb://localhost:27017/?",
        "Did it work? Look at docs/runbook.md#batch-failed",
        "files.create: 503 backendError: try again",
        "entry a@b.example: debit 100.00 & credit 99.00",
        "run `daybook retry 2026-01-18`; the token expired, the password is wrong",
        "projects/acme/secrets/uri/versions/latest",
        "x == 3; payload missing",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert scrubbed(text) == text


@given(st.lists(st.sampled_from([*CASES, " ", "\n", "?", "/", "://", "@", "'"]), max_size=6))
def test_scrubbing_again_changes_nothing(parts: list[str]) -> None:
    once = scrubbed("".join(parts))
    assert scrubbed(once) == once


UNITS = (
    *("/", "?", "://", "@", "&", "=", "?=", "&=", "?a", "a=", "a", "a.", "\"'", " ", "\n", "-"),
    *("eyJ", "eyJaaaaaa.", "ya29.", "AIza", "AKIA", "-----BEGIN PRIVATE KEY-----", "://a@"),
    *("mongodb://", "mongodb://@", "mongodb://a ", "hooks.slack.com/services/", "/services/T0 "),
    *("authorization", "authorization: ", "authorization: x", "bearer ", "bearer", "password="),
    *('password="', 'password=\\"', "password=\\", "password='\\'", "%3D", "%3Dupload_id%3D"),
    *(", full error: ", "dup key: ", "dup key: \n", "dup key: , full error: ", ":\\/\\/"),
    *("payload", "payload{", 'payload{"data":"', "api.telegram.org/bot", "/bot123456:", "x_token:"),
)


def _seconds(text: str) -> float:
    before = time.process_time()
    scrubbed(text, longest=len(text))
    return time.process_time() - before


def _grows_with_the_length_alone(short: str, long: str) -> bool:
    """The least of three counts, so that what else the machine does counts less."""
    limit = 10 * max(min(_seconds(short) for _ in range(3)), 0.002)
    return any(_seconds(long) < limit for _ in range(3))


@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_with_the_length_alone(unit: str) -> None:
    """Four times the text takes some four times as long; with nested scans it takes sixteen."""
    n = 20_000
    short, long = ((unit * length)[:length] for length in (n, 4 * n))
    assert _grows_with_the_length_alone(short, long)


def test_a_megabyte_of_slashes() -> None:
    short, long = "/" * 250_000, "/" * 1_000_000
    assert _grows_with_the_length_alone(short, long)
    assert scrubbed(long) == "/" * LONGEST + f"… and {len(long) - LONGEST} more characters"
