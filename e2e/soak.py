"""A week of evenings, read from Cloud Logging: was each day called, done and watched?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from e2e.cloud import CloudProbe
from e2e.finding import Finding, Verdict

DONE = ("batch_committed", "batch_empty")
_EVENTS = (
    *DONE,
    "watchdog_quiet",
    "attempt_failed",
    "batch_failed",
    "day_missing",
    "run_continued",
)


@dataclass(frozen=True, kw_only=True)
class Evening:
    """One day of the soak, as its records tell it."""

    day: date
    called_at: datetime | None
    """When Cloud Scheduler's call of the batch came; None when none did."""
    events: Mapping[str, int]
    errors: int

    @property
    def finding(self) -> Finding:
        faults = []
        if self.called_at is None:
            faults.append("Cloud Scheduler did not call the batch")
        if sum(self.events.get(name, 0) for name in DONE) != 1:
            faults.append("not delivered or signed off exactly once")
        if not self.events.get("watchdog_quiet"):
            faults.append("the watchdog was not quiet")
        if self.errors:
            faults.append(f"{self.errors} records of ERROR or worse")
        told = ", ".join(f"{name} {count}" for name, count in self.events.items() if count)
        at = "never" if self.called_at is None else f"{self.called_at:%H:%M:%S}"
        return Finding(
            question=f"{self.day}",
            verdict=Verdict.OTHERWISE if faults else Verdict.AS_ASSUMED,
            answer="; ".join([*faults, f"called {at}", told or "no event"]),
        )


def evenings(probe: CloudProbe, *, last: date, days: int, zone: ZoneInfo) -> Iterator[Evening]:
    """The days up to `last`, oldest first."""
    for back in reversed(range(days)):
        yield _evening(probe, last - timedelta(days=back), zone)


def _evening(probe: CloudProbe, day: date, zone: ZoneInfo) -> Evening:
    begins = datetime(day.year, day.month, day.day, tzinfo=zone)
    within = (
        f'timestamp>="{begins.isoformat()}" timestamp<"{(begins + timedelta(days=1)).isoformat()}"'
    )
    name = probe.deployment.name
    function = f'resource.type="cloud_run_revision" resource.labels.service_name="{name}"'
    calls = probe.records(
        f'resource.type="cloud_scheduler_job" resource.labels.job_id="{name}-batch" '
        # 202 is an answer, too: a run that is continued, or that a task will repeat.
        f"httpRequest.status>=200 httpRequest.status<300 {within}"
    )
    named = " OR ".join(f'"{event}"' for event in _EVENTS)
    told = probe.records(
        f'{function} jsonPayload.event=({named}) labels.batchDate="{day.isoformat()}"', limit=1000
    )
    errors = probe.records(f"{function} severity>=ERROR {within}", limit=1000)
    return Evening(
        day=day,
        called_at=min((_time(call, zone) for call in calls), default=None),
        events={event: sum(_event(one) == event for one in told) for event in _EVENTS},
        errors=len(errors),
    )


def _event(record: Mapping[str, Any]) -> str:
    return str(record.get("jsonPayload", {}).get("event"))


def _time(record: Mapping[str, Any], zone: ZoneInfo) -> datetime:
    # Nanoseconds, which Python does not read.
    text = str(record["timestamp"]).removesuffix("Z").partition(".")[0]
    return datetime.fromisoformat(f"{text}+00:00").astimezone(zone)
