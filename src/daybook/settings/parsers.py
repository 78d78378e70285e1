"""Parsers for the values of environment variables.

Each parser raises `ValueError` saying what the text must be, without quoting it: it may
be a secret.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from daybook.errors import ConfigurationError

DRIVE_CHUNK_MULTIPLE_BYTES = 262_144
"""https://developers.google.com/workspace/drive/api/guides/manage-uploads#resumable"""
DRIVE_MULTIPART_MAX_BYTES = 5 * 1024 * 1024
"""https://developers.google.com/workspace/drive/api/guides/manage-uploads#multipart"""
TASK_SCHEDULE_MAX_SECONDS = 30 * 24 * 3600
"""Cloud Tasks cannot schedule tasks further ahead: https://cloud.google.com/tasks/docs/quotas"""
INVOCATION_MAX_SECONDS = 1800
"""Neither Cloud Scheduler nor Cloud Tasks waits longer for an answer."""

ANSWER_MAX_DAYS = 36_500
"""A century, which no date that is stored exceeds."""

EMAIL = re.compile(r"[^\s@,:/]+@[^\s@,:/]+\.[^\s@,:/]+")
_OWNERS = re.compile(r"[0-9a-f]{24}|[0-9a-f]{0,23}\*")


@dataclass(frozen=True, kw_only=True)
class DestinationAddress:
    """Where files go. `url` is the configured text; only the fields of its scheme are filled."""

    url: str
    scheme: Literal["file", "drive", "s3"]
    path: Path | None = None
    folder_id: str | None = None
    bucket: str | None = None
    prefix: str = ""
    """Prefix of S3 keys, without slashes at either end."""

    @property
    def place(self) -> tuple[str | None, ...]:
        """What two addresses of one folder have in common, however they are spelt."""
        path = None if self.path is None else os.path.normpath(self.path)
        return self.scheme, path, self.folder_id, self.bucket, self.prefix

    @property
    def kind(self) -> str:
        """`Destination.kind` of the destination, known without building it."""
        return {"drive": "google_drive", "s3": "s3", "file": "local_folder"}[self.scheme]


@dataclass(frozen=True, kw_only=True)
class WalletRights:
    """Account → the users whose wallets it may move and read. An account not named has none."""

    owners: Mapping[str, tuple[str, ...]]
    """An ID of 24 hexadecimal digits, or its beginning and `*`; `*` alone is every user."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `ACCOUNT=OWNER,…`; raises `ValueError` saying what the text must be."""
        owners: dict[str, tuple[str, ...]] = {}
        for pair in (pair.strip() for pair in text.split(",")):
            account, _, owner = pair.partition("=")
            account, owner = account.lower(), owner.lower()
            if not EMAIL.fullmatch(account) or not _OWNERS.fullmatch(owner):
                raise ValueError(
                    "must list ACCOUNT=OWNER, separated by commas; OWNER is a user's ID of 24 "
                    "hexadecimal digits, or its beginning and *"
                )
            owners[account] = (*owners.get(account, ()), owner)
        return cls(owners=MappingProxyType(owners))

    def allow(self, account: str | None, owner: str) -> bool:
        """Whether the account may move and read the wallet of the user with that ID."""
        return any(
            owner.startswith(one[:-1]) if one.endswith("*") else owner == one
            for one in self.owners.get(account or "", ())
        )

    def allow_all(self, account: str | None) -> bool:
        return "*" in self.owners.get(account or "", ())


def mongodb_uri(text: str) -> str:
    if not re.match(r"mongodb(\+srv)?://[^/?#]", text):
        raise ValueError("must begin with mongodb:// or mongodb+srv:// and name a host")
    return text


def database(text: str) -> str:
    if re.search(r'[/\\. "$*<>:|?\x00]', text) or len(text.encode()) > 63:
        raise ValueError('must be a database name: at most 63 bytes, none of /\\. "$*<>:|?')
    return text


def destination(text: str) -> DestinationAddress:
    if "drive.google.com" in text:
        raise ValueError(
            "must be drive://FOLDER_ID; the folder's ID is the last part of its address in Drive"
        )
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "file":
        return _folder(text, rest)
    if separator and scheme == "drive":
        if not re.fullmatch(r"[A-Za-z0-9_-]+", rest):
            raise ValueError("must be drive://FOLDER_ID, an ID of letters, digits, - and _ only")
        return DestinationAddress(url=text, scheme="drive", folder_id=rest)
    if separator and scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
            raise ValueError("must be s3://BUCKET/PREFIX with a valid bucket name")
        return DestinationAddress(url=text, scheme="s3", bucket=bucket, prefix=prefix.strip("/"))
    raise ValueError("must be file:///FOLDER, drive://FOLDER_ID or s3://BUCKET/PREFIX")


def _folder(text: str, rest: str) -> DestinationAddress:
    if not rest.startswith("/"):
        raise ValueError("must be file:///FOLDER, an absolute path after three slashes")
    path = unquote(rest)
    if re.search(r"[?#]", rest) or "\x00" in path or not path.strip("/"):
        raise ValueError("must be file:///FOLDER naming a folder (write ? as %3F, # as %23)")
    return DestinationAddress(url=text, scheme="file", path=Path(path))


def email(text: str) -> str:
    if not EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address")
    return text


def web_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # unmatched brackets, a port that is not a number
        usable = False
    if not usable or re.search(r"\s", text):
        raise ValueError("must be an http:// or https:// URL")
    return text


def page(text: str) -> str:
    """An address or a path, to which a chapter can be added."""
    if re.search(r"[\s#]", text):
        raise ValueError("must be an address or a path without # and white space")
    return text


def page_address(text: str) -> str:
    """The address of the status page without a slash at its end; paths are added to it."""
    if re.search(r"[?#]", text):
        raise ValueError("must be an http:// or https:// URL without ? and #")
    return web_url(text).rstrip("/")


def queue(text: str) -> str:
    if not re.fullmatch(r"projects/[^/\s]+/locations/[^/\s]+/queues/[A-Za-z0-9-]+", text):
        raise ValueError("must read projects/P/locations/L/queues/Q")
    return text


def cron(text: str) -> str:
    try:
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"must be a cron schedule that can fall due ({error})") from error
    if len(text.split()) != 5:
        raise ValueError("must be a cron schedule of five fields")
    return text


def zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("must be an IANA time zone such as Asia/Bangkok") from error


def whole(least: int, most: int | None = None, *, multiple_of: int = 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
        if value < least or (most is not None and value > most) or value % multiple_of:
            step = f", a multiple of {multiple_of}" if multiple_of > 1 else ""
            limit = "" if most is None else f" and at most {most}"
            raise ValueError(f"must be a whole number of at least {least}{limit}{step}")
        return value

    return parse


def seconds(most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else math.nan
        if not 0 < value <= most:
            raise ValueError(f"must be a number of seconds above 0 and at most {most:g}")
        return value

    return parse


def delays(text: str) -> tuple[int, ...]:
    parse = whole(1, TASK_SCHEDULE_MAX_SECONDS)
    try:
        return tuple(parse(delay.strip()) for delay in text.split(","))
    except ValueError as error:
        raise ValueError(
            f"must list whole seconds, 1 to {TASK_SCHEDULE_MAX_SECONDS}, separated by commas"
        ) from error


def urls(text: str) -> tuple[str, ...]:
    urls = tuple(url for url in re.split(r"[\s,]+", text) if url)
    for number, url in enumerate(urls, start=1):
        if not re.match(r"[a-z][a-z0-9+.-]*:.", url):
            raise ValueError(f"entry {number} is no URL")
    return urls


def language(text: str) -> str:
    if text not in {"en", "th"}:
        raise ValueError("must be en or th")
    return text


def invite_codes(text: str) -> str:
    if text not in {"random", "chosen"}:
        raise ValueError("must be random or chosen")
    return text


def callers(text: str) -> Mapping[str, tuple[str, ...]]:
    callers: dict[str, tuple[str, ...]] = {}
    for pair in (pair.strip() for pair in text.split(",")):
        route, _, account = pair.partition("=")
        if not route.startswith("/") or not EMAIL.fullmatch(account):
            raise ValueError("must list ROUTE=SERVICE_ACCOUNT, separated by commas")
        callers[route] = (*callers.get(route, ()), account.lower())
    return MappingProxyType(callers)


def toml(text: str) -> Mapping[str, Any]:
    """The tables of a TOML text, or of the file with that path if the text ends in `.toml`.

    Raises `ConfigurationError`, since the text is too long to be quoted.
    """
    if text.endswith(".toml") and "\n" not in text:
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the file {text!r} cannot be read in {Path.cwd()} ({type(error).__name__}); give "
                "TOML, or the path of a .toml file in the deployed source"
            ) from error
    try:
        return MappingProxyType(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"is no TOML: {error}") from error


def profile_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", text):
        raise ValueError("must be a profile's name: lower-case letters, digits, - and _")
    return text
