"""The key of a batch: a day of a profile, or a manual export's key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daybook.export.model.profile import DAILY


@dataclass(frozen=True, kw_only=True)
class BatchKey:
    """A batch's key; exactly one of `batch_date` and `manual_key` is set."""

    profile: str
    batch_date: str | None = None
    """ISO date."""
    manual_key: str | None = None

    @property
    def slot_id(self) -> str:
        return self.profile if self.manual_key is None else f"{self.profile}/manual"

    def fields(self) -> dict[str, str]:
        """The key's fields in a batch document."""
        fields = {"profile": self.profile}
        if self.batch_date is not None:
            fields["batchDate"] = self.batch_date
        if self.manual_key is not None:
            fields["manualKey"] = self.manual_key
        return fields

    def filter(self) -> dict[str, Any]:
        """The filter for the batch; MongoDB uses a partial index only if it names the type."""
        day, key = self.batch_date, self.manual_key
        if key is None:
            return {"profile": self.profile, "batchDate": {"$eq": day, "$type": "string"}}
        return {"profile": self.profile, "manualKey": {"$eq": key, "$type": "string"}}


def command(name: str, profile: str, day: object = None, *, option: bool = False) -> str:
    """The command for a profile's day as it is typed; without `day`, for any.

    `option` gives the day as `--date`.
    """
    return f"daybook {name}{option_of(profile)} {'--date ' if option else ''}{day or 'DATE'}"


def option_of(profile: str) -> str:
    """What names the profile in a command; nothing for the daily one."""
    return "" if profile == DAILY else f" --profile {profile}"
