"""The alerts in English."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daybook.export.model.notice import AlertEvent
from daybook.notifications import english, messages_en_files
from daybook.notifications.english import STAYS_QUEUED, at_link, last_error, moment, number, run_it
from daybook.notifications.facts import AlertText, Facts, sentences

_HOW_IT_STANDS = {
    "failed": "It was given up.",
    "open": "A run began, but nothing is at it any more.",
}
_NO_TRACE = (
    "There is no trace of a run: either nobody called, or MongoDB could not be reached when the "
    "call came."
)


def _attempt_failed(facts: Facts) -> AlertText:
    attempt, of = facts.count("attempt"), facts.count("max_attempts")
    which = f"Attempt {attempt}" if attempt else "An attempt"
    which += f" of {of}" if attempt and of else ""
    due = facts.at("next_attempt_at")
    whose = "The day" if facts.day else "The manual export"
    wait = f"Nothing yet: the next attempt starts at {moment(due)}." if due else "Nothing yet."
    return AlertText(
        title=f"{which.lower()} failed" + (f", the next one at {due:%H:%M}" if due else ""),
        happened=sentences(f"{which} ended without a file.", last_error(facts)),
        meaning=f"{whose}'s file is late. {STAYS_QUEUED}",
        action=f"{wait} Once the cause is gone, {run_it(facts)} starts it sooner.",
    )


def _batch_failed(facts: Facts) -> AlertText:
    name = "Daily batch FAILED" if facts.day else "Manual export FAILED"
    attempt = facts.count("attempt")
    if attempt is not None:
        retries = number(max(attempt - 1, 0), "retry", "retries")
        name += f" after {retries} ({number(attempt, 'attempt', 'attempts')})"
    no_use = "It was not retried any further, because retrying would not help."
    queued = "Its entries stay queued, and the next day's file takes them along."
    return AlertText(
        title=f"{name}, manual intervention required",
        happened=sentences(
            f"{name}: manual intervention required.",
            no_use if facts.is_true("permanent") else None,
            last_error(facts),
        ),
        meaning=f"There is no file. {queued if facts.day else 'The entries stay as they were.'}",
        action=_reopen(facts),
    )


def _reopen(facts: Facts) -> str:
    if facts.day is None:
        return f"Remove the cause, then send {run_it(facts)} again."
    return (
        f"Remove the cause, then run `python -m daybook retry {facts.day}` (or POST /admin/retry) "
        f"to have this day's file after all. Or run `python -m daybook release {facts.day}` to "
        "close the day without a file: its entries then go out with the next day's."
    )


def _run_refused(facts: Facts) -> AlertText:
    at = facts.at("at")
    return AlertText(
        title="the run was REFUSED",
        happened=sentences(
            f"A call for the day's run{f' at {moment(at)}' if at else ''} was answered with an "
            "error, before it became a run.",
            last_error(facts),
        ),
        meaning=f"There is no file for this day yet. {STAYS_QUEUED}",
        action="Remove the cause: `python -m daybook doctor` says what is wrong. Then "
        f"{run_it(facts)} delivers the file. A call that comes again by itself does so, too.",
    )


def _batch_recovered(facts: Facts) -> AlertText:
    attempt, entries = facts.count("attempt"), facts.count("entry_count")
    when = f" on attempt {attempt}" if attempt else ""
    if facts.text("state") == "empty":
        return AlertText(
            title="recovered, nothing to export",
            happened=f"After an earlier failure the day is signed off{when}: nothing was queued.",
            meaning="There is no file for this day, and none is missing.",
            action="Nothing. The earlier alerts of this day are settled.",
        )
    file = facts.text("filename") or "The file"
    what = f" with {number(entries, 'entry', 'entries')}" if entries is not None else ""
    return AlertText(
        title="recovered, the file is delivered",
        happened=f"After an earlier failure {file}{what} was delivered{when}.",
        meaning="The file is complete and can be used; no entry stands in it twice.",
        action=sentences(
            "Nothing. The earlier alerts of this day are settled.", at_link(facts, "The file")
        ),
    )


def _breaker_opened(facts: Facts) -> AlertText:
    kind = facts.text("destination")
    place = "The destination" if kind is None else english.DESTINATIONS.get(kind, kind)
    failures, until = facts.count("failures"), facts.at("open_until")
    often = f" {number(failures, 'time', 'times')} in a row" if failures else " repeatedly"
    rest = f"until {moment(until)}" if until else "for a while"
    return AlertText(
        title=f"{place} failed{often}, paused" + (f" until {until:%H:%M}" if until else ""),
        happened=f"{place} failed{often}. Daybook leaves it alone {rest}, then tries once.",
        meaning=f"Files are late, and no attempt is used up meanwhile. {STAYS_QUEUED}",
        action="Look whether the service has an outage, and run `python -m daybook doctor` to "
        "check access. Daybook goes on by itself once the destination works again.",
    )


def _day_missing(facts: Facts) -> AlertText:
    due, state = facts.at("due"), facts.text("state")
    batch = f"The batch{f' due at {moment(due)}' if due else ''}"
    if state == "unknown":
        return AlertText(
            title="the batch cannot be seen",
            happened=sentences(f"{batch} counts as missing: nobody can see it.", last_error(facts)),
            meaning="There may be no file for this day; nobody knows whether its entries are "
            "exported. None is lost and none is exported twice.",
            action="Look at MongoDB: `python -m daybook doctor` says what is wrong. Then "
            f"`python -m daybook status {facts.day or ''}".rstrip()
            + "` shows how the day stands.",
        )
    how = _HOW_IT_STANDS.get(state or "", _NO_TRACE)
    refused_at, count = facts.at("refused_at"), facts.count("refused_count")
    if refused_at:
        times = f", {number(count, 'time', 'times')} in all" if count and count > 1 else ""
        how = f"It was called at {moment(refused_at)}, and the run was refused{times}."
    return AlertText(
        title="the batch is MISSING",
        happened=sentences(f"{batch} is not done. {how}", last_error(facts)),
        meaning=f"There is no file for this day. {STAYS_QUEUED}",
        action=_reopen(facts)
        if state == "failed"
        else f"Remove the cause, then start it: {run_it(facts)}. `python -m daybook doctor` says "
        "what is wrong."
        if refused_at
        else f"Start it: {run_it(facts)}. If that does not help, `python -m daybook doctor` says "
        "what is wrong. If there is no trace of a run, check the Cloud Scheduler job: whether it "
        "called, and what it was answered.",
    )


def _day_late(facts: Facts) -> AlertText:
    due, next_at, lease = (
        facts.at(name) for name in ("due", "next_attempt_at", "lease_expires_at")
    )
    delivered = facts.text("state") == "committed"
    how = "is delivered, but not all its entries are marked yet" if delivered else "is not done yet"
    return AlertText(
        title="the batch is not finished" if delivered else "the batch is late",
        happened=sentences(
            f"The batch{f' due at {moment(due)}' if due else ''} {how}.",
            f"It goes on at {moment(next_at)}." if next_at else None,
            f"A run is at work; its lease lasts until {moment(lease)}." if lease else None,
        ),
        meaning="The file can be used; no entry is exported twice."
        if delivered
        else f"The day's file is late. {STAYS_QUEUED}",
        action=f"Nothing yet. `python -m daybook status {facts.day or ''}".rstrip()
        + "` shows how it stands; another alert follows if it fails.",
    )


TEXTS: Mapping[AlertEvent, Callable[[Facts], AlertText]] = {
    AlertEvent.ATTEMPT_FAILED: _attempt_failed,
    AlertEvent.BATCH_FAILED: _batch_failed,
    AlertEvent.RUN_REFUSED: _run_refused,
    AlertEvent.BATCH_RECOVERED: _batch_recovered,
    AlertEvent.BREAKER_OPENED: _breaker_opened,
    AlertEvent.DAY_MISSING: _day_missing,
    AlertEvent.DAY_LATE: _day_late,
    **messages_en_files.TEXTS,
}
