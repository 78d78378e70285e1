"""Settings: every environment variable that Daybook reads, checked before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo

from daybook.chart_of_accounts import Chart
from daybook.cloud import secrets
from daybook.errors import ConfigurationError
from daybook.settings.parsers import DRIVE_MULTIPART_MAX_BYTES, DestinationAddress
from daybook.settings.variables import VARIABLES, Variable
from daybook.settings.wallet_rights import WalletRights

__all__ = ["VARIABLES", "DestinationAddress", "Settings", "Variable", "unknown_variables"]

_SECRET_NAME = re.compile(r"projects/[a-z0-9:.-]+/secrets/[\w-]+/versions/[\w-]+", re.ASCII)
_OWN_PREFIXES = ("DAYBOOK_", "DAILY_BATCH_")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be configured. Built by `from_env`, which checks it all."""

    mongodb_uri: str = field(repr=False)
    destination: DestinationAddress
    database: str = "daybook"
    drive_subject: str | None = None
    drive_endpoint: str | None = None
    tasks_queue: str | None = None
    tasks_endpoint: str | None = None
    service_url: str | None = None
    tasks_service_account: str | None = None
    cron: str = "0 18 * * *"
    time_zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Bangkok"))
    retry_delays_seconds: tuple[int, ...] = (300, 900, 2700)
    csv_timeout_seconds: float = 30.0
    run_deadline_seconds: float = 480.0
    lease_seconds: float = 60.0
    breaker_failures: int = 3
    breaker_reset_seconds: float = 900.0
    upload_chunk_bytes: int = 8_388_608
    multipart_limit_bytes: int = DRIVE_MULTIPART_MAX_BYTES
    alert_urls: tuple[str, ...] = field(default=(), repr=False)
    receipt_urls: tuple[str, ...] = field(default=(), repr=False)
    language: Literal["en", "th"] = "en"
    callers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Route → the service accounts that may call it; empty: whoever IAM lets in."""
    ledger_wallets: WalletRights | None = None
    """None: every account that may call a route may move and read every wallet by it."""
    ledger_profile: str = "daily"
    ledger_chart: Chart = field(default_factory=Chart)
    ledger_invite_codes: str = "random"
    """`random`, or `chosen`: those who create an invite may choose its code."""
    answer_days: int | None = None
    """None: the ledger's first answers are kept for good."""
    mongo_max_pool_size: int = 50
    mongo_min_pool_size: int | None = None
    """None when not set: each function then takes its own default."""
    mongo_server_selection_timeout_ms: int = 5000
    mongo_socket_timeout_ms: int = 45000

    @classmethod
    def from_env(
        cls, env: Mapping[str, str], *, fetch_secret: Callable[[str], str] = secrets.fetch
    ) -> Settings:
        """Read and check every variable; an empty one counts as unset where that opens nothing.

        `fetch_secret` gets the resource name of a value `sm://…` and returns its content.
        Raises `ConfigurationError` naming each faulty variable, all of them at once.
        """
        faults: list[str] = []
        found: dict[str, Any] = {}
        for variable in VARIABLES:
            try:
                text, secret = _resolve(variable, env, fetch_secret)
                if text is not None:
                    found[variable.field] = variable.parse(text)
            except ConfigurationError as error:
                faults.append(f"{variable.name}: {error}")
            except ValueError as error:
                shown = "" if secret else f", not {text!r}"
                faults.append(f"{variable.name}: {error}{shown}")
        if not faults:
            faults = _contradictions(found)
        if faults:
            raise ConfigurationError("Settings cannot be used. " + "; ".join(faults))
        return cls(**found)


def unknown_variables(env: Mapping[str, str]) -> list[str]:
    """Names that look like Daybook's own but that nothing reads, in order: likely misspelt."""
    known = {variable.name for variable in VARIABLES}
    return sorted(name for name in env if name.startswith(_OWN_PREFIXES) and name not in known)


def _resolve(
    variable: Variable, env: Mapping[str, str], fetch_secret: Callable[[str], str]
) -> tuple[str | None, bool]:
    """The text to parse, and whether it must not be shown."""
    given = env.get(variable.name)
    if given is not None and not given.strip() and not variable.empty_is_unset:
        raise ConfigurationError("is set but empty; give it a value, or do not set it")
    text = (given or "").strip() or variable.default
    if text is None and variable.required:
        raise ConfigurationError(f"is not set; for example {variable.example}")
    if text is None or not text.startswith("sm://"):
        # An address with a user in it may hold a password, in whichever variable it was pasted.
        return text, variable.secret or (text is not None and "://" in text and "@" in text)
    name = text.removeprefix("sm://")
    if not _SECRET_NAME.fullmatch(name):
        raise ConfigurationError("must read sm://projects/P/secrets/S/versions/V to name a secret")
    content = fetch_secret(name).strip()
    if not content:
        raise ConfigurationError(f"the secret {name} is empty")
    return content, True


def _contradictions(found: Mapping[str, Any]) -> list[str]:
    faults = []
    least, most = found.get("mongo_min_pool_size", 0), found["mongo_max_pool_size"]
    if least > most:
        faults.append(
            f"DAYBOOK_MONGO_MIN_POOL_SIZE: {least} exceeds DAYBOOK_MONGO_MAX_POOL_SIZE, {most}"
        )
    if "ledger_wallets" in found and "callers" not in found:
        # Without it nothing says that Cloud Run verifies who calls.
        faults.append("DAYBOOK_CALLERS: is needed once DAYBOOK_LEDGER_WALLETS is set")
    if "tasks_queue" in found and "service_url" not in found:
        faults.append("DAYBOOK_SERVICE_URL: is needed once DAYBOOK_TASKS_QUEUE is set")
    credentials = "tasks_service_account" in found or "tasks_endpoint" in found
    if "tasks_queue" in found and not credentials:
        faults.append("DAYBOOK_TASKS_SERVICE_ACCOUNT: is needed once DAYBOOK_TASKS_QUEUE is set")
    return faults
