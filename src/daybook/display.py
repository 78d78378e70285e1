"""Text for readers: what others wrote, without secrets; and counts, times and durations in English.

What libraries and servers wrote loses its secrets, in logs, errors, alerts and responses: a URL
keeps its host, its path and the names in its query; what works like a password becomes `…`. Every
pattern starts where a match before it cannot have ended, so the time grows only with the length of
the text, whatever it repeats.

Values written by others may contain what cannot be encoded, which becomes U+FFFD, and characters
that can clear a screen, forge a line, or make a reference look like another one: controls, format
characters, line and paragraph separators, and characters that Unicode has not assigned. White
space of any width is not among them. The result is for readers only: it is never stored in place
of the value and never used in a query.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

# Halves of surrogate pairs, which is how invalid UTF-8 is decoded: see `mongo/client.py`.
_SURROGATE = re.compile("[\ud800-\udfff]")
QUOTED_LENGTH = 80
_QUOTED_PARTS = 30  # more would not fit into the quote
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UUID_SUBTYPES = (3, 4)
_UUID_BYTES = 16

# Controls, line and paragraph separators, and the characters that change the direction of
# text: https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters
_BREAKS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
_REORDERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LONGEST_SHOWN = 60
DOCUMENT = "a document"
ARRAY = "an array"
"""What `shown` returns for a document and for an array, instead of their contents."""

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

LONGEST = 100_000
"""Characters of a text that are kept; Cloud Logging refuses a record of more than 256 KB."""

_HARMLESS = frozenset({"usp", "alt", "fields", "pageSize", "uploadType", "supportsAllDrives"})
"""Query parameters that are kept; `usp` is part of the links that Drive returns."""

# The user and password of a URL. MongoDB's may contain a slash or an @ that was not encoded.
_MONGODB_USER = re.compile(r"(?i)(?<!\w)(mongodb(?:\+srv)?://)([^\s\"'<>]++)")
# JSON may write a slash as `\/`.
_URL_USER = re.compile(r"(:\\?/\\?/)[^\s\"'<>/?#@]*@(?:[^\s\"'<>/?#@]*@)*+")
_QUERY = re.compile(r"([?&])([\w.%\[\]~-]++)=([^\s&\"'<>)\]}]*+)")
_QUERY_WITHOUT_NAMES = re.compile(r"(?<=[\w/])\?[\w%.~+/:-]{16,}+(?![=&?])")
# Webhooks have their token in the path: Slack, Discord, Telegram, Teams.
_WEBHOOK = re.compile(
    r"(?i)(hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)"
    r"|discord(?:app)?\.com/api/(?:v\d{1,3}/)?webhooks/\d{1,30}"
    r"|api\.telegram\.org/(?:file/)?bot"
    r"|webhook\.office\.com/webhookb2"
    r"|(?<=[\s:])/services(?=/T\w)"
    r"|(?<=[\s:])/api/(?:v\d{1,3}/)?webhooks/\d{1,30}"
    r"|(?<=[\s:])/bot(?=\d{5,20}:))"
    r"/?[^\s\"'<>?]++"
)
_HEADER = re.compile(
    r"(?i)(?<![\w-])((?:proxy-|x-serverless-)?authorization|x-amz-security-token|x-goog-api-key"
    r"|x-api-key|(?:set-)?cookie)([\"']?\s{0,3}[:=,]\s{0,3})((?:b?[\"'])?)"
    r"[^\s\"'][^\r\n\"']*+"
)
_SCHEME = re.compile(r"(?i)(?<![\w-])(bearer|basic)\s{1,3}[\w.~+/=-]{16,}+")
# In JSON, a form or a `repr`, even within another string; percent-encoded in a URL's query.
_FIELD = re.compile(
    r"(?i)(?:(?<![\w-])|(?<=%[0-9a-f]{2}))((?:access|id|refresh|session|security)[_-]?token"
    r"|client[_-]?secret|password|passwd|private[_-]?key|secret[_-]?access[_-]?key"
    r"|aws_secret_access_key|upload_id|signature"
    r"|x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential))"
    r"((?:\\{0,3}[\"'])?\s{0,3}(?:[:=]|%3[ad]|\\u003d)\s{0,3})((?:b?(\\{0,3}+[\"']))?+)(?!…)"
    # Up to the closing quote; without one, up to where a value cannot continue. Not possessive:
    # Python 3.11.2, which is Debian 12's, would take the closing quote, too.
    r"(?(4)(?:(?!\4)(?:\\[^\r\n]|[^\r\n\\]))+|[^\s\"'&,;<>)}]++)"
)
# In Secret Manager's response, the secret is `data` below `payload`.
_PAYLOAD = re.compile(
    r"(?i)([\"']?payload[\"']?\s{0,9}[:=]?\s{0,9}\{\s{0,40}(?:[\"']?data_?crc32c[\"']?\s{0,9}:"
    r"\s{0,9}[\"']?\d{1,20}[\"']?,?\s{0,40})?[\"']?data[\"']?\s{0,9}:\s{0,9}b?[\"'])[^\"']++"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[^-]*+")
# ID tokens and other JWTs, Google's access tokens and API keys, AWS's key IDs, Slack's tokens.
_TOKEN = re.compile(
    r"(?<![\w-])(?:eyJ[\w-]{6,}+(?:\.[\w-]*+){1,4}|ya29\.[\w.-]++|AIza[\w-]{30,}+|GOCSPX-[\w-]++"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}\b|xox[a-z]-[\w-]++)"
)

# The driver appends the server's reply to a MongoDB error's text, and the reply quotes documents.
# The server quotes a key as stored, with its line breaks; the driver escapes them.
_REPLY = ", full error: "
_KEY = re.compile(r"\bdup key: ")
_KEY_OF_LINE = re.compile(r"(\bdup key: )[^\r\n]*+")
_REST_OF_LINE = re.compile(r"\A[^\r\n]++")


def text(value: str) -> str:
    """`value` in a form that can be encoded; `visible` also shows characters hidden on a screen."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)


def quoted(value: Any) -> str:
    """A value from a request as a message quotes it, in at most 80 characters.

    It reads only the beginning, so neither size nor depth of the value costs time.
    """
    return shortened(repr(_start(value, levels=2)))


def shortened(name: str) -> str:
    """A name, ID or path from a request as a message quotes it, in at most 80 characters."""
    return name if len(name) <= QUOTED_LENGTH else f"{name[: QUOTED_LENGTH - 1]}…"


def _start(value: Any, *, levels: int) -> Any:
    if isinstance(value, str):
        return value[: QUOTED_LENGTH + 1]
    if isinstance(value, Mapping | list) and not levels:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(name)[:QUOTED_LENGTH]: _start(part, levels=levels - 1)
            for name, part in islice(value.items(), _QUOTED_PARTS)
        }
    if isinstance(value, list):
        return [_start(part, levels=levels - 1) for part in value[:_QUOTED_PARTS]]
    return value


def plain(value: Any) -> str:
    """A value of a type that JSON lacks, including BSON's, as text."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return _binary(value)
    if type(value).__name__ == "DatetimeMS":  # by name, so that logging does not import BSON
        return _iso_time(int(value))
    return text(str(value))


def document(value: Any) -> Any:
    """`value` in a form that `json.dumps` can write; numbers that JSON lacks become text."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {text(str(name)): document(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [document(part) for part in value]
    return plain(value)


def _iso_time(milliseconds: int) -> str:
    try:
        return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat()
    except OverflowError:  # Python's dates end with the year 9999
        return f"{milliseconds} ms since 1970"


def _binary(value: bytes) -> str:
    digits = value.hex()
    if getattr(value, "subtype", 0) in _UUID_SUBTYPES and len(value) == _UUID_BYTES:
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return digits


def visible(text: str) -> str:
    """One line for a terminal: every hidden character, including line breaks, as `[U+202E]`.

    Everything printed to a terminal goes through it. Half a surrogate pair, which is how invalid
    UTF-8 is decoded, is hidden too, so the result can always be encoded.
    """
    if text.isprintable():
        return text
    return "".join(named(sign) if _is_hidden(sign) else sign for sign in text)


def visible_lines(text: str) -> str:
    """The same for text whose line feeds are its layout, and not part of a value."""
    return "\n".join(map(visible, text.split("\n")))


def clean(value: str) -> str:
    """One line for a message: without control and bidirectional characters.

    White space of any kind becomes single spaces. Invisible characters that the spelling of a
    language or an emoji needs are kept.
    """
    line = _REORDERING.sub("", _BREAKS.sub(" ", value))
    return text(" ".join(line.split()))


def escaped(json_text: str) -> str:
    """JSON with these characters as escapes, so that its values stay the same.

    `json_text` has line feeds only between its values, as `json.dumps` writes it.
    """
    if json_text.isprintable():
        return json_text
    return "".join(
        _json_escape(sign) if sign != "\n" and _is_hidden(sign) else sign for sign in json_text
    )


def shown(value: object) -> str:
    """A stored value for a message: short, on one line, quoted if it is text."""
    if isinstance(value, Mapping):
        return DOCUMENT
    if isinstance(value, list):
        return ARRAY
    if not isinstance(value, str):
        return _short(visible(plain(value)))
    start = value[:_LONGEST_SHOWN]
    if not start.isprintable():  # includes white space other than a space, hidden in an amount
        start = "".join(sign if sign.isprintable() else named(sign) for sign in start)
    return _short(f"'{start}{'…' if len(value) > _LONGEST_SHOWN else ''}'")


def named(character: str) -> str:
    """A character by its number: `[U+202E]`."""
    return f"[U+{ord(character):04X}]"


def _is_hidden(sign: str) -> bool:
    return not sign.isprintable() and unicodedata.category(sign) != "Zs"


def _json_escape(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def file_rows(first: int, last: int | None = None) -> str:
    """`row 3 of the data, 4 in a spreadsheet`; rows count from 1 below the header."""
    if last is None or last == first:
        return f"row {first} of the data, {first + 1} in a spreadsheet"
    return f"rows {first} to {last} of the data, {first + 1} to {last + 1} in a spreadsheet"


def number(count: int, one: str, many: str | None = None) -> str:
    """A count such as `1 entry` or `1,234 entries`; the plural is `one` with an s unless given."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def moment(at: datetime, zone: ZoneInfo | None = None) -> str:
    """An aware time to the minute, with the name of its zone: `2026-01-18 18:20 (Asia/Bangkok)`.

    `zone` is where the reader is; without it the time is shown in its own zone.
    """
    local = at if zone is None else at.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M} ({local.tzinfo})"


def hour(at: datetime) -> str:
    """For a title: an aware time without its date, in its own zone: `18:20 (Asia/Bangkok)`."""
    return f"{at:%H:%M} ({at.tzinfo})"


def duration(seconds: float) -> str:
    """A duration in at most two units, rounded: `0.4 s`, `12 s`, `2 min 5 s`, `1 h 30 min`."""
    if seconds < 1:
        tenths = round(seconds, 1)
        if tenths < 1:
            return "0 s" if tenths <= 0 else f"{tenths:.1f} s"
    left = round(seconds)
    for (size, unit), (smaller, name) in pairwise(_UNITS):
        if left >= size:
            whole, rest = divmod(round(left / smaller) * smaller, size)
            return f"{whole} {unit}" + (f" {rest // smaller} {name}" if rest else "")
    return f"{left} s"


def scrubbed(text: str, *, longest: int = LONGEST) -> str:
    """`text` without secrets, cut to `longest` characters. Scrubbing twice changes nothing."""
    if len(text) > longest:
        text = f"{text[:longest]}… and {len(text) - longest} more characters"
    text = _PRIVATE_KEY.sub("…", text)
    text = _without_reply(text)
    text = _MONGODB_USER.sub(_without_user, text)
    text = _URL_USER.sub(r"\1…@", text)
    text = _WEBHOOK.sub(r"\1/…", text)
    text = _HEADER.sub(r"\1\2\3…", text)
    text = _SCHEME.sub(r"\1 …", text)
    text = _PAYLOAD.sub(r"\1…", text)
    text = _FIELD.sub(r"\1\2\3…", text)
    text = _TOKEN.sub("…", text)
    text = _QUERY.sub(_without_value, text)
    return _QUERY_WITHOUT_NAMES.sub("?…", text)


def _without_value(found: re.Match[str]) -> str:
    return found[0] if found[2] in _HARMLESS or not found[3] else f"{found[1]}{found[2]}=…"


def _without_user(found: re.Match[str]) -> str:
    _, at, rest = found[2].rpartition("@")
    return f"{found[1]}…@{rest}" if at else found[0]


def _without_reply(text: str) -> str:
    """Removes what follows `dup key: `, up to the reply, or to the line's end without one."""
    head, *replies = text.split(_REPLY)
    parts = [head, *(_REST_OF_LINE.sub("…", reply) for reply in replies)]
    for at, part in enumerate(parts):
        key = _KEY.search(part)
        if key is not None and at < len(replies):
            parts[at] = f"{part[: key.end()]}…"
        elif key is not None:
            parts[at] = part[: key.start()] + _KEY_OF_LINE.sub(r"\1…", part[key.start() :])
    return _REPLY.join(parts)
