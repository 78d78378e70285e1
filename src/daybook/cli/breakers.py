"""Circuit breakers that are open or half-open, for `status`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pymongo.database import Database

from daybook.display import moment, number
from daybook.export.model.profile import command
from daybook.export.upload.breaker import ALL, BreakerRecord, BreakerState, is_own


def not_closed(database: Database[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Every circuit breaker that is open or half-open, of any destination."""
    found = ALL.find(database)
    states = {doc["_id"]: BreakerRecord.from_doc(doc) for doc in found if is_own(doc["_id"])}
    return [
        {
            "destination": name,
            "position": state.state_at(now).value,
            "failures": state.failures,
            "openUntil": state.open_until,
        }
        for name, state in sorted(states.items())
        if state.state_at(now) is not BreakerState.CLOSED
    ]


def sentence(breaker: Mapping[str, Any], zone: ZoneInfo, profile: str, day: str) -> str:
    """A breaker of `not_closed` as a sentence, with the command that tries its destination now."""
    name, failures = breaker["destination"], breaker["failures"]
    if breaker["position"] == BreakerState.OPEN:
        state = (
            f"the circuit is open until {moment(breaker['openUntil'], zone)}; "
            f"to try it at once: {command('retry', profile, day)}"
        )
    else:
        state = "the next run tries it."
    return f"Destination {name}: failed {number(failures, 'time')} in a row, {state}"
