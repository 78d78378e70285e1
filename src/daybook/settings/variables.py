"""The environment variables that Daybook reads: name, default, meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daybook.chart_of_accounts import Chart
from daybook.settings import parsers
from daybook.settings.wallet_rights import WalletRights


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable, and the field of `Settings` that it fills."""

    name: str
    field: str
    parse: Callable[[str], Any]
    description: str
    default: str | None = None
    """As it would be written; None: unset."""
    example: str = ""
    required: bool = False
    empty_is_unset: bool = True
    """False: set but empty is an error, since unset opens more than any value would."""
    secret: bool = False
    """True when the value must never be shown."""


VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="DAYBOOK_MONGODB_URI",
        field="mongodb_uri",
        parse=parsers.mongodb_uri,
        description="Address of the MongoDB replica set",
        example="mongodb://127.0.0.1:27017/?replicaSet=rs0",
        required=True,
        secret=True,
    ),
    Variable(
        name="DAYBOOK_DATABASE",
        field="database",
        parse=parsers.database,
        description="Database that holds the entries and Daybook's own collections",
        default="daybook",
    ),
    Variable(
        name="DAYBOOK_DESTINATION",
        field="destination",
        parse=parsers.destination,
        description="Where files go: file:///FOLDER, drive://FOLDER_ID or s3://BUCKET/PREFIX",
        example="file:///tmp/daybook or drive://FOLDER_ID",
        required=True,
    ),
    Variable(
        name="DAYBOOK_DRIVE_SUBJECT",
        field="drive_subject",
        parse=parsers.email,
        description="User to act for in Drive, by domain-wide delegation",
    ),
    Variable(
        name="DAYBOOK_DRIVE_ENDPOINT",
        field="drive_endpoint",
        parse=parsers.web_url,
        description="Another root URL for Drive, then without credentials",
        empty_is_unset=False,
    ),
    Variable(
        name="DAYBOOK_TASKS_QUEUE",
        field="tasks_queue",
        parse=parsers.queue,
        description="Cloud Tasks queue for retries and continuations",
    ),
    Variable(
        name="DAYBOOK_TASKS_ENDPOINT",
        field="tasks_endpoint",
        parse=parsers.web_url,
        description="Another root URL for Cloud Tasks, then without credentials",
        empty_is_unset=False,
    ),
    Variable(
        name="DAYBOOK_SERVICE_URL",
        field="service_url",
        parse=parsers.web_url,
        description="Daybook's own address, where tasks call back",
    ),
    Variable(
        name="DAYBOOK_TASKS_SERVICE_ACCOUNT",
        field="tasks_service_account",
        parse=parsers.email,
        description="Service account as which tasks call back",
    ),
    Variable(
        name="DAILY_BATCH_CRON",
        field="cron",
        parse=parsers.cron,
        description="When the batch is due, as five cron fields",
        default="0 18 * * *",
    ),
    Variable(
        name="DAILY_BATCH_TIMEZONE",
        field="time_zone",
        parse=parsers.zone,
        description="IANA time zone of the schedule and of batch dates",
        default="Asia/Bangkok",
    ),
    Variable(
        name="DAYBOOK_RETRY_DELAYS_SECONDS",
        field="retry_delays_seconds",
        parse=parsers.delays,
        description="Waits before the second, third, … attempt",
        default="300,900,2700",
    ),
    Variable(
        name="DAYBOOK_CSV_TIMEOUT_SECONDS",
        field="csv_timeout_seconds",
        parse=parsers.seconds(parsers.INVOCATION_MAX_SECONDS),
        description="Rendering time per invocation, not counting the wait for the destination",
        default="30",
    ),
    Variable(
        name="DAYBOOK_RUN_DEADLINE_SECONDS",
        field="run_deadline_seconds",
        parse=parsers.seconds(parsers.INVOCATION_MAX_SECONDS),
        description="Length of one invocation, after which the run is continued in another",
        default="480",
    ),
    Variable(
        name="DAYBOOK_LEASE_SECONDS",
        field="lease_seconds",
        parse=parsers.seconds(parsers.INVOCATION_MAX_SECONDS),
        description="How long a dead run keeps the slot; renewed while a run works",
        default="60",
    ),
    Variable(
        name="DAYBOOK_BREAKER_FAILURES",
        field="breaker_failures",
        parse=parsers.whole(1),
        description="Failed attempts in a row that open the circuit breaker",
        default="3",
    ),
    Variable(
        name="DAYBOOK_BREAKER_RESET_SECONDS",
        field="breaker_reset_seconds",
        parse=parsers.seconds(parsers.TASK_SCHEDULE_MAX_SECONDS),
        description="How long the breaker stays open before one trial",
        default="900",
    ),
    Variable(
        name="DAYBOOK_UPLOAD_CHUNK_BYTES",
        field="upload_chunk_bytes",
        parse=parsers.whole(
            parsers.DRIVE_CHUNK_MULTIPLE_BYTES, multiple_of=parsers.DRIVE_CHUNK_MULTIPLE_BYTES
        ),
        description="Size of one chunk of an upload",
        default="8388608",
    ),
    Variable(
        name="DAYBOOK_MULTIPART_LIMIT_BYTES",
        field="multipart_limit_bytes",
        parse=parsers.whole(0, parsers.DRIVE_MULTIPART_MAX_BYTES),
        description="Largest file that is sent in a single request",
        default="5242880",
    ),
    Variable(
        name="DAYBOOK_ALERT_URLS",
        field="alert_urls",
        parse=parsers.urls,
        description="Where alerts also go, for the operator",
        secret=True,
    ),
    Variable(
        name="DAYBOOK_RECEIPT_URLS",
        field="receipt_urls",
        parse=parsers.urls,
        description="Where receipts go, for the accountant",
        secret=True,
    ),
    Variable(
        name="DAYBOOK_LANGUAGE",
        field="language",
        parse=parsers.language,
        description="Language of alerts and receipts: en or th",
        default="en",
    ),
    Variable(
        name="DAYBOOK_CALLERS",
        field="callers",
        parse=parsers.callers,
        description="Which service account may call which route",
        empty_is_unset=False,
    ),
    Variable(
        name="DAYBOOK_LEDGER_WALLETS",
        field="ledger_wallets",
        parse=WalletRights.parse,
        description="Whose wallets each account may move and read in the ledger",
        empty_is_unset=False,
    ),
    Variable(
        name="DAYBOOK_LEDGER_PROFILE",
        field="ledger_profile",
        parse=parsers.profile_name,
        description="Profile of the queue items that the ledger writes",
        default="daily",
    ),
    Variable(
        name="DAYBOOK_LEDGER_ACCOUNTS",
        field="ledger_chart",
        parse=Chart.parse,
        description="Chart of accounts of the ledger's journal entries, as JSON",
    ),
    Variable(
        name="DAYBOOK_LEDGER_INVITE_CODES",
        field="ledger_invite_codes",
        parse=parsers.invite_codes,
        description="Whether invite codes are random, or may be chosen: random or chosen",
        default="random",
    ),
    Variable(
        name="DAYBOOK_ANSWER_DAYS",
        field="answer_days",
        parse=parsers.whole(1, parsers.ANSWER_MAX_DAYS),
        description="How long the ledger's first answers are kept for repeated requests",
    ),
    Variable(
        name="DAYBOOK_MONGO_MAX_POOL_SIZE",
        field="mongo_max_pool_size",
        parse=parsers.whole(1, 10_000),
        description="Most connections to each MongoDB server",
        default="50",
    ),
    Variable(
        name="DAYBOOK_MONGO_MIN_POOL_SIZE",
        field="mongo_min_pool_size",
        parse=parsers.whole(0, 10_000),
        description="Connections kept open to each server; unset: 0, and 10 for the ledger",
    ),
    Variable(
        name="DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS",
        field="mongo_server_selection_timeout_ms",
        parse=parsers.whole(1, 600_000),
        description="How long to look for a primary",
        default="5000",
    ),
    Variable(
        name="DAYBOOK_MONGO_SOCKET_TIMEOUT_MS",
        field="mongo_socket_timeout_ms",
        parse=parsers.whole(1, 600_000),
        description="How long to wait for an answer from MongoDB",
        default="45000",
    ),
)
