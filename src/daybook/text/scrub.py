"""Removing secrets from text that libraries and servers wrote: logs, errors, alerts, responses.

A URL keeps its host, its path and the names in its query; what works like a password becomes
`…`. Every pattern starts where a match before it cannot have ended, so the time grows only with
the length of the text, whatever it repeats.
"""

from __future__ import annotations

import re

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
    # Up to the closing quote; without one, up to where a value cannot continue.
    r"(?(4)(?:(?!\4)(?:\\[^\r\n]|[^\r\n\\]))++|[^\s\"'&,;<>)}]++)"
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
