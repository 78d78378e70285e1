"""The facts of an alert in the form that its text needs: checked, one line each, never raising."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from daybook.display import clean, scrubbed
from daybook.errors import RUN_MIGRATE
from daybook.export.model.notice import Alert
from daybook.export.model.profile import command

_LONGEST = 600
"""Characters of one fact in a message; LINE takes 5,000 in all."""


@dataclass(frozen=True, kw_only=True)
class AlertText:
    """An alert in one language, without its links. The title is one line."""

    title: str
    phone: str
    """What can be done from a phone, such as Cloud Scheduler's "Force run"."""
    command: str
    """What can be done on the command line."""
    happened: str
    meaning: str
    link: str | None = None
    """The address of the file that the alert is about."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of an alert. One that is missing, or has another type, reads as None."""

    alert: Alert
    zone: ZoneInfo

    @property
    def day(self) -> str | None:
        return self.alert.batch_date

    def text(self, name: str) -> str | None:
        value = self.alert.facts.get(name)
        return None if value is None or value == "" else one_line(str(value))

    def count(self, name: str) -> int | None:
        value = self.alert.facts.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def is_true(self, name: str) -> bool:
        return self.alert.facts.get(name) is True

    def at(self, name: str) -> datetime | None:
        """A time in the schedule's time zone."""
        value = self.alert.facts.get(name)
        if not isinstance(value, datetime) or value.tzinfo is None:
            return None
        return value.astimezone(self.zone)

    def counts(self, name: str) -> dict[str, int]:
        """Counts by name, the largest first."""
        value = self.alert.facts.get(name)
        if not isinstance(value, Mapping):
            return {}
        whole = {str(key): count for key, count in value.items() if isinstance(count, int)}
        return dict(sorted(whole.items(), key=lambda item: -item[1]))

    @property
    def error(self) -> str | None:
        """The last error's type and message."""
        parts = [text for text in (self.text("error_type"), self.text("error")) if text]
        return scrubbed(": ".join(parts)) or None


def commanded(name: str, facts: Facts, of: str | None = None) -> str:
    """The command for the alert's profile and its day, or `of` something else, as it is typed."""
    return command(name, facts.alert.profile, of or facts.day, option=name == "run")


def needs_migrate(facts: Facts) -> bool:
    """Whether the error is a missing index, which `migrate` builds."""
    return RUN_MIGRATE in (facts.text("error") or "")


def one_line(text: str, longest: int = _LONGEST) -> str:
    """`text` without line breaks, control characters and direction marks, shortened."""
    line = clean(text)
    return line if len(line) <= longest else line[: longest - 1] + "…"


def sentences(*parts: str | None) -> str:
    """The parts that are not empty, joined."""
    return " ".join(part for part in parts if part)


def paragraph(*lines: str | None) -> str:
    """The lines that are not empty, one below the other."""
    return "\n".join(line for line in lines if line)
