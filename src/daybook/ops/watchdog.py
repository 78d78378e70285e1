"""The watchdog, a dead man's switch: alerts when the last due day is not done."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

import pymongo
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from daybook import log
from daybook.display import number, scrubbed
from daybook.errors import DatabaseError, DaybookError, DocumentDamaged
from daybook.export.batch import export_log
from daybook.export.model.lifecycle import Schedule
from daybook.export.model.notice import Alert, AlertEvent, Messenger
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.queue import waiting
from daybook.export.queue.waiting import Unclaimed
from daybook.export.slot import slot as slots
from daybook.export.slot.refused_run import RefusedRun, of_day
from daybook.export.slot.state import may_be_visible
from daybook.mongo.sessions import transaction
from daybook.ops.day import Day, find_day

WATCHED = timedelta(hours=24)
"""How long a due time is watched: the watchdog runs daily, so it has seen an older one before."""
TASK_GRACE = timedelta(minutes=10)
"""How late a task may still come; after that it counts as lost."""
ASKING_SECONDS = 15.0
"""How long to try to reach MongoDB: an election takes about twelve seconds."""


class WatchStatus(StrEnum):
    DONE = "done"  # committed, empty, or released by an operator
    LATE = "late"  # not done yet, but a run or a call is pending; a WARNING went out
    MISSING = "missing"  # not done, and no run or call is pending; a CRITICAL alert went out
    NO_SLOT = "no_slot"  # nothing was due in the past 24 hours


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What the watchdog found."""

    status: WatchStatus
    profile: str
    due: datetime
    """The last slot, in the schedule's zone."""
    unclaimed: Mapping[Unclaimed, int] = field(default_factory=dict)
    """Queue items that no run ever takes, by reason."""
    day: Day | None = None
    """The batch's state; None without a batch, or when it was not read."""
    lease_expires_at: datetime | None = None
    """End of the lease of the run in progress, in the schedule's zone."""
    refused: RefusedRun | None = None
    """Calls for the day that got an error instead of a run, if no attempt has begun since."""
    file_possible: bool = False
    """Whether a file of the day may be visible that no run could record yet."""

    @property
    def http_status(self) -> int:
        """Always 200: the alert has been sent, and another call would not help."""
        return 200

    @property
    def batch_date(self) -> date:
        return self.due.date()

    @property
    def next_attempt_at(self) -> datetime | None:
        """When the next call is, or was, due, in the schedule's zone."""
        return None if self.day is None else _in_zone_of(self.due, self.day.follow_up_due)

    def to_doc(self) -> dict[str, Any]:
        return {
            "status": self.status.value,
            "profile": self.profile,
            "batchDate": self.batch_date.isoformat(),
            "due": self.due.isoformat(),
            "state": _state(self),
            "nextAttemptAt": _iso(self.next_attempt_at),
            "leaseExpiresAt": _iso(self.lease_expires_at),
            "unclaimed": {reason.value: count for reason, count in self.unclaimed.items()},
            "refused": None if self.refused is None else self.refused.to_doc(),
        }


def watch(
    database: Database[dict[str, Any]],
    profile_name: str,
    schedule: Schedule,
    now: datetime,
    messenger: Messenger,
    *,
    profile: Profile | None = None,
) -> Watch:
    """Check the last due day, and alert the operator when it is not done.

    `profile` is the one of that name as it is configured; by default, it is the only one.

    Raises `DatabaseError`, after the CRITICAL alert, when MongoDB cannot be asked: a day
    whose state cannot be read counts as missing.
    """
    seen = Watch(status=WatchStatus.NO_SLOT, profile=profile_name, due=schedule.latest_slot(now))
    if not _is_watched(seen, now):
        _quiet(seen, f"Nothing was due in the past {WATCHED // timedelta(hours=1)} hours.")
        return seen
    try:
        with pymongo.timeout(ASKING_SECONDS):
            day, lease_expires_at, refused, recorded, sealed = _look(
                database, profile_name, seen.batch_date
            )
            unclaimed = waiting.unclaimed(database, profile or Profile(name=profile_name))
    except DocumentDamaged as error:
        _unseen(seen, messenger, error)
        raise
    except PyMongoError as error:
        failure = DatabaseError.of(
            f"watch over {seen.batch_date}: MongoDB did not answer, tried for at most "
            f"{ASKING_SECONDS:.0f} seconds",
            error,
        )
        _unseen(seen, messenger, failure)
        raise failure from error
    elsewhere = (day is None or not day.done) and export_log.by_another(
        recorded, None if day is None else day.batch_id
    )
    seen = replace(
        seen,
        status=WatchStatus.DONE
        if elsewhere
        else verdict(day, at_work=lease_expires_at is not None, now=now),
        day=day,
        lease_expires_at=_in_zone_of(seen.due, lease_expires_at),
        refused=None if elsewhere else _standing(refused, day),
        unclaimed=unclaimed,
        file_possible=sealed,
    )
    if unclaimed:
        _tell_unclaimed(seen)
    if elsewhere:
        _quiet(seen, f"{seen.batch_date} is done: another application recorded its file.")
    elif seen.status is WatchStatus.DONE:
        _quiet(seen, f"{seen.batch_date} is done.")
    elif seen.status is WatchStatus.LATE:
        messenger.alert(_late(seen))
    else:
        last_error = {} if day is None else day.error
        if seen.refused is not None:
            last_error = {"type": seen.refused.type, "message": seen.refused.message}
        messenger.alert(_missing(seen, state=_state(seen), error=last_error))
    return seen


def _tell_unclaimed(seen: Watch) -> None:
    """Log at ERROR, which alerts the operator: such items are never in a file."""
    log.event(
        logging.ERROR,
        "items_unclaimed",
        f"No run ever takes {number(sum(seen.unclaimed.values()), 'item')} of the queue "
        f"({waiting.in_words(seen.unclaimed)}).",
        profile=seen.profile,
        batch_date=seen.batch_date.isoformat(),
        reasons={reason.value: count for reason, count in seen.unclaimed.items()},
    )


def verdict(day: Day | None, *, at_work: bool, now: datetime) -> WatchStatus:
    """What to call a due day. `at_work`: a run holds the profile's slot."""
    if day is None:
        # A run makes the day's batch before it takes the slot, so the slot is held for another
        # day or by a sweep.
        return WatchStatus.MISSING
    if day.unmarked:
        # The file is delivered; the next run or sweep finishes the day.
        return WatchStatus.LATE
    if day.done or day.released:
        return WatchStatus.DONE
    due = day.follow_up_due
    # A time beyond the next slot was set by a wrong clock.
    follows = due is not None and -WATCHED <= now - due <= TASK_GRACE
    return WatchStatus.LATE if at_work or follows else WatchStatus.MISSING


_Seen = tuple[Day | None, datetime | None, RefusedRun | None, Mapping[str, Any] | None, bool]


def _look(database: Database[dict[str, Any]], profile_name: str, day: date) -> _Seen:
    """Read the day, the end of a live lease, refused calls, the file's record, and its seal.

    All are read as of one moment; otherwise a run that ends or begins between two reads could
    be missed.
    """
    slot_id = BatchKey(profile=profile_name, batch_date=day.isoformat()).slot_id

    def read(session: ClientSession) -> _Seen:
        batch_date = day.isoformat()
        return (
            find_day(database, profile_name, day, session),
            _lease_expires_at(database, slot_id, session),
            of_day(database, profile_name, batch_date, session=session),
            export_log.generated(database, profile_name, batch_date, session=session),
            may_be_visible(database[slots.COLLECTION], slot_id, batch_date, session=session),
        )

    return transaction(database.client, read, read_concern=ReadConcern("snapshot"))


def _standing(refused: RefusedRun | None, day: Day | None) -> RefusedRun | None:
    if refused is None:
        return None
    started_at, done = (None, False) if day is None else (day.started_at, day.done)
    return refused if refused.still_applies(started_at=started_at, done=done) else None


def _lease_expires_at(
    database: Database[dict[str, Any]], slot_id: str, session: ClientSession
) -> datetime | None:
    """End of the lease; None unless it is live by the server's clock, which leases use."""
    live = {"$gte": ["$lease.expiresAt", "$$NOW"]}  # null compares lower than any time
    slot = database[slots.COLLECTION].find_one(
        {"_id": slot_id, "lease.expiresAt": {"$type": "date"}, "$expr": live},
        {"lease.expiresAt": 1},
        session=session,
    )
    return None if slot is None else slot["lease"]["expiresAt"]


def _late(seen: Watch) -> Alert:
    facts = {
        "due": seen.due,
        "state": _state(seen),
        "next_attempt_at": seen.next_attempt_at,
        "lease_expires_at": seen.lease_expires_at,
    }
    return _alert(seen, AlertEvent.DAY_LATE, logging.WARNING, facts)


def _missing(seen: Watch, *, state: str | None, error: Mapping[str, str]) -> Alert:
    facts = {
        "due": seen.due,
        "state": state,
        "error_type": error.get("type"),
        "error": error.get("message"),
        "refused_at": None if seen.refused is None else seen.refused.last_at,
        "refused_count": None if seen.refused is None else seen.refused.count,
        "file_possible": seen.file_possible or None,
    }
    return _alert(seen, AlertEvent.DAY_MISSING, logging.CRITICAL, facts)


def cannot_look(
    profile_name: str, schedule: Schedule, now: datetime, messenger: Messenger, error: DaybookError
) -> None:
    """Alert that the last due day cannot be checked, since there is no client for MongoDB."""
    seen = Watch(status=WatchStatus.MISSING, profile=profile_name, due=schedule.latest_slot(now))
    if _is_watched(seen, now):
        _unseen(seen, messenger, error)


def _is_watched(seen: Watch, now: datetime) -> bool:
    return now.astimezone(UTC) - seen.due.astimezone(UTC) <= WATCHED


def _unseen(seen: Watch, messenger: Messenger, error: DaybookError) -> None:
    failure = {"type": error.type, "message": scrubbed(str(error))}
    messenger.alert(_missing(seen, state="unknown", error=failure))


def _alert(seen: Watch, event: AlertEvent, severity: int, facts: Mapping[str, Any]) -> Alert:
    """The alert's facts. Unknown ones are left out; only `state` may be None, without a batch."""
    return Alert(
        event=event,
        severity=severity,
        profile=seen.profile,
        batch_date=seen.batch_date.isoformat(),
        batch_id=None if seen.day is None else seen.day.batch_id,
        facts={name: fact for name, fact in facts.items() if fact is not None or name == "state"},
    )


def _quiet(seen: Watch, message: str) -> None:
    log.event(
        logging.INFO,
        "watchdog_quiet",
        message,
        profile=seen.profile,
        batch_date=seen.batch_date.isoformat(),
        due=seen.due,
    )


def _state(seen: Watch) -> str | None:
    return None if seen.day is None else seen.day.state.value


def _in_zone_of(due: datetime, moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(due.tzinfo)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
