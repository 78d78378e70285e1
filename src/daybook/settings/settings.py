"""Settings: every environment variable that Daybook reads, checked before anything runs."""

# ruff: noqa: RUF009  (`setting` returns a dataclass field)

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo

from daybook.chart_of_accounts import Chart
from daybook.cloud import secrets
from daybook.errors import ConfigurationError
from daybook.settings import parsers
from daybook.settings.parsers import DestinationAddress, WalletRights
from daybook.settings.variable import Variable, setting, variables_of

__all__ = ["VARIABLES", "DestinationAddress", "Settings", "Variable", "unknown_variables", "unread"]

_SECRET_NAME = re.compile(r"projects/[a-z0-9:.-]+/secrets/[\w-]+/versions/[\w-]+", re.ASCII)
_SCHEME = "sm://"
_OWN_PREFIXES = ("DAYBOOK_", "DAILY_BATCH_")
_SIMILARITY = 0.7
"""From which on a name counts as a misspelling; `MONGODB_URI` does."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be configured. `from_env` builds it and checks every value."""

    mongodb_uri: str = setting(
        "DAYBOOK_MONGODB_URI",
        parse=parsers.mongodb_uri,
        description="Address of the MongoDB replica set",
        example="mongodb://127.0.0.1:27017/?replicaSet=rs0",
        required=True,
        secret=True,
    )
    database: str = setting(
        "DAYBOOK_DATABASE",
        parse=parsers.database,
        description="Database that holds the entries and Daybook's own collections",
        default="daybook",
    )
    destination: DestinationAddress = setting(
        "DAYBOOK_DESTINATION",
        parse=parsers.destination,
        description="Where files go: file:///FOLDER, drive://FOLDER_ID or s3://BUCKET/PREFIX",
        example="file:///tmp/daybook or drive://FOLDER_ID",
        required=True,
    )
    drive_subject: str | None = setting(
        "DAYBOOK_DRIVE_SUBJECT",
        parse=parsers.email,
        description="User to act for in Drive, by domain-wide delegation",
    )
    drive_endpoint: str | None = setting(
        "DAYBOOK_DRIVE_ENDPOINT",
        parse=parsers.web_url,
        description="Another root URL for Drive, then without credentials",
        empty_is_unset=False,
    )
    tasks_queue: str | None = setting(
        "DAYBOOK_TASKS_QUEUE",
        parse=parsers.queue,
        description="Cloud Tasks queue for retries and continuations",
    )
    tasks_endpoint: str | None = setting(
        "DAYBOOK_TASKS_ENDPOINT",
        parse=parsers.web_url,
        description="Another root URL for Cloud Tasks, then without credentials",
        empty_is_unset=False,
    )
    service_url: str | None = setting(
        "DAYBOOK_SERVICE_URL",
        parse=parsers.web_url,
        description="Daybook's own address, where tasks call back",
    )
    tasks_service_account: str | None = setting(
        "DAYBOOK_TASKS_SERVICE_ACCOUNT",
        parse=parsers.email,
        description="Service account as which tasks call back",
    )
    cron: str = setting(
        "DAILY_BATCH_CRON",
        parse=parsers.cron,
        description="When the batch is due, as five cron fields",
        default="0 18 * * *",
    )
    time_zone: ZoneInfo = setting(
        "DAILY_BATCH_TIMEZONE",
        parse=parsers.zone,
        description="IANA time zone of the schedule and of batch dates",
        default="Asia/Bangkok",
    )
    profiles: Mapping[str, Any] = setting(
        "DAYBOOK_PROFILES",
        parse=parsers.toml,
        description="Profiles: TOML, or the path of a .toml file in the deployed source",
        unset=MappingProxyType({}),
    )
    """The tables of the TOML, unchecked: `daybook.profiles.reading` reads them."""
    page_url: str | None = setting(
        "DAYBOOK_PAGE_URL",
        parse=parsers.page_address,
        description="Where people open the status page; alerts and receipts link to the day there",
    )
    retry_delays_seconds: tuple[int, ...] = setting(
        "DAYBOOK_RETRY_DELAYS_SECONDS",
        parse=parsers.delays,
        description="Waits before the second, third, … attempt",
        default="300,900,2700",
    )
    csv_timeout_seconds: float = setting(
        "DAYBOOK_CSV_TIMEOUT_SECONDS",
        parse=parsers.seconds(parsers.INVOCATION_MAX_SECONDS),
        description="Rendering time per invocation, not counting the wait for the destination",
        default="30",
    )
    run_deadline_seconds: float = setting(
        "DAYBOOK_RUN_DEADLINE_SECONDS",
        parse=parsers.seconds(parsers.INVOCATION_MAX_SECONDS),
        description="Length of one invocation, after which the run is continued in another",
        default="480",
    )
    lease_seconds: float = setting(
        "DAYBOOK_LEASE_SECONDS",
        parse=parsers.seconds(parsers.INVOCATION_MAX_SECONDS),
        description="How long a dead run keeps the slot; renewed while a run works",
        default="60",
    )
    breaker_failures: int = setting(
        "DAYBOOK_BREAKER_FAILURES",
        parse=parsers.whole(1),
        description="Failed attempts in a row that open the circuit breaker",
        default="3",
    )
    breaker_reset_seconds: float = setting(
        "DAYBOOK_BREAKER_RESET_SECONDS",
        parse=parsers.seconds(parsers.TASK_SCHEDULE_MAX_SECONDS),
        description="How long the breaker stays open before one trial",
        default="900",
    )
    upload_chunk_bytes: int = setting(
        "DAYBOOK_UPLOAD_CHUNK_BYTES",
        parse=parsers.whole(
            parsers.DRIVE_CHUNK_MULTIPLE_BYTES, multiple_of=parsers.DRIVE_CHUNK_MULTIPLE_BYTES
        ),
        description="Size of one chunk of an upload",
        default="8388608",
    )
    multipart_limit_bytes: int = setting(
        "DAYBOOK_MULTIPART_LIMIT_BYTES",
        parse=parsers.whole(0, parsers.DRIVE_MULTIPART_MAX_BYTES),
        description="Largest file that is sent in a single request",
        default=str(parsers.DRIVE_MULTIPART_MAX_BYTES),
    )
    alert_urls: tuple[str, ...] = setting(
        "DAYBOOK_ALERT_URLS",
        parse=parsers.urls,
        description="Where alerts also go, for the operator",
        secret=True,
        unset=(),
    )
    receipt_urls: tuple[str, ...] = setting(
        "DAYBOOK_RECEIPT_URLS",
        parse=parsers.urls,
        description="Where receipts go, for the accountant",
        secret=True,
        unset=(),
    )
    language: Literal["en", "th"] = setting(
        "DAYBOOK_LANGUAGE",
        parse=parsers.language,
        description="Language of alerts and receipts: en or th",
        default="en",
    )
    runbook_url: str = setting(
        "DAYBOOK_RUNBOOK_URL",
        parse=parsers.page,
        description="Where the runbook can be read, for the links in alerts",
        default="docs/runbook.md",
    )
    """An address, or a path in the repository; alerts add `#` and their chapter."""
    callers: Mapping[str, tuple[str, ...]] = setting(
        "DAYBOOK_CALLERS",
        parse=parsers.callers,
        description="Which service account may call which route",
        empty_is_unset=False,
        unset=MappingProxyType({}),
    )
    """Route → the service accounts that may call it; empty: every caller that IAM admits."""
    ledger_wallets: WalletRights | None = setting(
        "DAYBOOK_LEDGER_WALLETS",
        parse=WalletRights.parse,
        description="Whose wallets each account may move and read in the ledger",
        empty_is_unset=False,
    )
    """Rights on wallets. None: an account that may call a route may use it on every wallet."""
    ledger_profile: str = setting(
        "DAYBOOK_LEDGER_PROFILE",
        parse=parsers.profile_name,
        description="Profile of the queue items that the ledger writes",
        default="daily",
    )
    ledger_chart: Chart = setting(
        "DAYBOOK_LEDGER_ACCOUNTS",
        parse=Chart.parse,
        description="Chart of accounts of the ledger's journal entries, as JSON",
        unset=Chart(),
    )
    ledger_invite_codes: str = setting(
        "DAYBOOK_LEDGER_INVITE_CODES",
        parse=parsers.invite_codes,
        description="Whether invite codes are random, or may be chosen: random or chosen",
        default="random",
    )
    """`random`, or `chosen`: a caller that creates an invite may choose its code."""
    answer_days: int | None = setting(
        "DAYBOOK_ANSWER_DAYS",
        parse=parsers.whole(1, parsers.ANSWER_MAX_DAYS),
        description="How long the ledger's first answers are kept for repeated requests",
    )
    """None: stored answers of the ledger are never removed."""
    mongo_max_pool_size: int = setting(
        "DAYBOOK_MONGO_MAX_POOL_SIZE",
        parse=parsers.whole(1, 10_000),
        description="Most connections to each MongoDB server",
        default="50",
    )
    mongo_min_pool_size: int | None = setting(
        "DAYBOOK_MONGO_MIN_POOL_SIZE",
        parse=parsers.whole(0, 10_000),
        description="Connections kept open to each server; unset: 0, and 10 for the ledger",
    )
    """None when not set: each function then takes its own default."""
    mongo_server_selection_timeout_ms: int = setting(
        "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS",
        parse=parsers.whole(1, 600_000),
        description="How long to look for a primary",
        default="5000",
    )
    mongo_socket_timeout_ms: int = setting(
        "DAYBOOK_MONGO_SOCKET_TIMEOUT_MS",
        parse=parsers.whole(1, 600_000),
        description="How long to wait for an answer from MongoDB",
        default="45000",
    )

    @classmethod
    def from_env(
        cls, env: Mapping[str, str], *, fetch_secret: Callable[[str], str] = secrets.fetch
    ) -> Settings:
        """Read and check every variable; an empty one counts as unset where that grants no access.

        `fetch_secret` gets the resource name of a value `sm://…` and returns its content.
        Raises `ConfigurationError` naming each faulty variable, all of them at once.
        """
        faults: list[str] = []
        found: dict[str, Any] = {}
        for variable in VARIABLES:
            try:
                text, secret = _read(variable, env, fetch_secret)
                if text is not None:
                    found[variable.field] = variable.parse(text)
            except ConfigurationError as error:
                faults.append(f"{variable.name}: {error}")
            except ValueError as error:
                shown = "" if secret else f", not {text!r}"
                faults.append(f"{variable.name}: {error}{shown}")
        _refuse(faults)
        settings = cls(**found)
        _refuse(settings._contradictions())
        return settings

    def _contradictions(self) -> list[str]:
        faults = []
        least, most = self.mongo_min_pool_size or 0, self.mongo_max_pool_size
        if least > most:
            faults.append(
                f"DAYBOOK_MONGO_MIN_POOL_SIZE: {least} exceeds DAYBOOK_MONGO_MAX_POOL_SIZE, {most}"
            )
        if self.ledger_wallets is not None and not self.callers:
            # Without it nothing shows that Cloud Run verifies the caller.
            faults.append("DAYBOOK_CALLERS: is needed once DAYBOOK_LEDGER_WALLETS is set")
        if self.tasks_queue is not None:
            if self.service_url is None:
                faults.append("DAYBOOK_SERVICE_URL: is needed once DAYBOOK_TASKS_QUEUE is set")
            if self.tasks_service_account is None and self.tasks_endpoint is None:
                faults.append(
                    "DAYBOOK_TASKS_SERVICE_ACCOUNT: is needed once DAYBOOK_TASKS_QUEUE is set"
                )
        return faults


VARIABLES = variables_of(Settings)


def _refuse(faults: list[str]) -> None:
    if faults:
        raise ConfigurationError("Settings cannot be used. " + "; ".join(faults))


def unknown_variables(env: Mapping[str, str]) -> list[str]:
    """Sorted names that look like Daybook's but that nothing reads: they are likely misspelt."""
    known = {variable.name for variable in VARIABLES}
    return sorted(name for name in env if name.startswith(_OWN_PREFIXES) and name not in known)


def unread(env: Mapping[str, str]) -> str | None:
    """Names the variables that nothing reads, and what each seems to be meant for, else None."""
    from difflib import get_close_matches

    known = [variable.name for variable in VARIABLES]
    named = []
    for name in unknown_variables(env):
        close = get_close_matches(name, known, n=1)
        named.append(f"{name} (is {close[0]} meant?)" if close else name)
    return f"nothing reads {', '.join(named)}: correct or remove them" if named else None


def _misspelt(variable: Variable, env: Mapping[str, str]) -> str:
    """Names the variable that seems to be set in its place, never its value."""
    from difflib import get_close_matches

    known = {one.name for one in VARIABLES}
    others = {name.upper(): name for name in env if name not in known}
    close = get_close_matches(variable.name, others, n=1, cutoff=_SIMILARITY)
    return f" ({others[close[0]]} is set: did you mean {variable.name}?)" if close else ""


def _read(
    variable: Variable, env: Mapping[str, str], fetch_secret: Callable[[str], str]
) -> tuple[str | None, bool]:
    """The text to parse, None if the variable is not set, and whether the text is secret."""
    given = env.get(variable.name)
    if given is not None and not given.strip() and not variable.empty_is_unset:
        raise ConfigurationError("is set but empty; give it a value, or do not set it")
    text = (given or "").strip() or None
    if text is None and variable.required:
        raise ConfigurationError(
            f"is not set; for example {variable.example}{_misspelt(variable, env)}"
        )
    if text is None or not text.startswith(_SCHEME):
        # An address with a user may contain a password, whichever variable it was pasted into.
        return text, variable.secret or (text is not None and "://" in text and "@" in text)
    return resolved(text, fetch_secret), True


def resolved(text: str, fetch_secret: Callable[[str], str]) -> str:
    """The text, or the content of the secret that it names; raises `ConfigurationError`."""
    if not text.startswith(_SCHEME):
        return text
    name = text.removeprefix(_SCHEME)
    if not _SECRET_NAME.fullmatch(name):
        raise ConfigurationError("must read sm://projects/P/secrets/S/versions/V to name a secret")
    content = fetch_secret(name).strip()
    if not content:
        raise ConfigurationError(f"the secret {name} is empty")
    return content
