"""The words of alerts and receipts in English."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from daybook.export.model.figures import EntryFault, RejectionReason
from daybook.export.model.notice import AlertEvent
from daybook.export.queue.waiting import Unclaimed
from daybook.notifications.facts import AlertText, Facts, sentences

REASONS: Mapping[str, str] = {
    RejectionReason.MISSING: "the journal entry is missing",
    RejectionReason.MISSING_VALUE: "a required value is missing",
    RejectionReason.STORED_AS_TEXT: "stored as text, not as a number or a date",
    RejectionReason.UNBALANCED: "debit and credit differ",
    RejectionReason.NOT_FINITE: "an amount is not a finite number",
    RejectionReason.TOO_LARGE: "an amount has more than 18 digits before the decimal point",
    RejectionReason.TOO_MANY_DECIMALS: "an amount has more decimals than its currency",
    RejectionReason.INVALID_AMOUNT: "an amount is not a number",
    RejectionReason.INVALID_DATE: "the date is not valid",
    RejectionReason.BUDDHIST_YEAR: "the year is of the Buddhist Era where the Common Era is stored",
    RejectionReason.IMPLAUSIBLE_YEAR: "the year is implausible",
    RejectionReason.INVALID_TEXT: "a text field does not hold text",
    RejectionReason.CONTROL_CHARACTER: "a text contains a control character",
    RejectionReason.UNKNOWN_CURRENCY: "the currency is not an ISO 4217 code",
    RejectionReason.INVALID_LINES: "the lines cannot be read",
    RejectionReason.UNENCODABLE: "a character cannot be written to the file",
    RejectionReason.DUPLICATE: "exported already, or twice in the queue",
}
"""Why an entry is rejected."""

UNCLAIMED: Mapping[str, str] = {reason: reason.explanation for reason in Unclaimed}
"""Why no run ever takes a queue item."""

DESTINATIONS: Mapping[str, str] = {
    "google_drive": "Google Drive",
    "s3": "S3",
    "local_folder": "The local folder",
}

STAYS_QUEUED = "The entries stay queued; none is lost and none is exported twice."

_STATES = {
    "failed": "It has failed, and no further attempt follows.",
    "open": "A run began, but none is working on it now.",
}
_NO_TRACE = (
    "There is no trace of a run: either no call was made, or MongoDB could not be reached when "
    "it came."
)


def place(fault: EntryFault) -> str:
    """A place such as `line 2, debit`; empty for the entry as a whole."""
    return fault.place


def number(count: int, one: str, many: str) -> str:
    """A count such as `1 entry` or `1,234 entries`."""
    return f"{count:,} {one if count == 1 else many}"


def moment(at: datetime) -> str:
    """A time with the name of its time zone."""
    return f"{at:%Y-%m-%d %H:%M} ({at.tzinfo})"


def last_error(facts: Facts) -> str | None:
    return f"Last error: {facts.error.rstrip('.')}." if facts.error else None


def run_it(facts: Facts) -> str:
    if facts.day is None:
        return "the same request to POST /exports"
    return f"`daybook run --date {facts.day}` (or POST /run)"


def at_link(facts: Facts, what: str) -> str | None:
    link = facts.text("link")
    return f"{what}: {link}" if link else None


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
        action=f"{wait} Once the cause is removed, {run_it(facts)} starts it sooner.",
    )


def _batch_failed(facts: Facts) -> AlertText:
    name = "Daily batch FAILED" if facts.day else "Manual export FAILED"
    attempt = facts.count("attempt")
    if attempt is not None:
        retries = number(max(attempt - 1, 0), "retry", "retries")
        name += f" after {retries} ({number(attempt, 'attempt', 'attempts')})"
    no_use = "It was not retried any further, because retrying would not help."
    queued = "Its entries stay queued and go with the next day's file."
    return AlertText(
        title=f"{name}, manual intervention required",
        happened=sentences(
            f"{name}: manual intervention required.",
            no_use if facts.is_true("permanent") else None,
            last_error(facts),
        ),
        meaning=f"There is no file. {queued if facts.day else 'The entries are unchanged.'}",
        action=_reopen(facts),
    )


def _reopen(facts: Facts) -> str:
    if facts.day is None:
        return f"Remove the cause, then send {run_it(facts)} again."
    return (
        f"Remove the cause, then run `daybook retry {facts.day}` (or POST /admin/retry) "
        f"to make this day's file. Or run `daybook release {facts.day}` to close the day "
        "without a file: its entries then go with the next day's."
    )


def _run_refused(facts: Facts) -> AlertText:
    at = facts.at("at")
    return AlertText(
        title="the run was REFUSED",
        happened=sentences(
            f"A call for the day's run{f' at {moment(at)}' if at else ''} was answered with an "
            "error before a run began.",
            last_error(facts),
        ),
        meaning=f"There is no file for this day yet. {STAYS_QUEUED}",
        action="Remove the cause: `daybook doctor` says what is wrong. Then "
        f"{run_it(facts)} delivers the file. So does the next scheduled or repeated call.",
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
        meaning="The file is complete and can be used; it contains no entry twice.",
        action=sentences(
            "Nothing. The earlier alerts of this day are settled.", at_link(facts, "The file")
        ),
    )


def _breaker_opened(facts: Facts) -> AlertText:
    kind = facts.text("destination")
    place = "The destination" if kind is None else DESTINATIONS.get(kind, kind)
    failures, until = facts.count("failures"), facts.at("open_until")
    often = f" {number(failures, 'time', 'times')} in a row" if failures else " repeatedly"
    rest = f"until {moment(until)}" if until else "for a while"
    return AlertText(
        title=f"{place} failed{often}, paused" + (f" until {until:%H:%M}" if until else ""),
        happened=f"{place} failed{often}. The circuit is open {rest}; then one run tries again.",
        meaning=f"Files are late; no attempt is used up while the circuit is open. {STAYS_QUEUED}",
        action="Check whether the service has an outage, and run `daybook doctor` to "
        "check access. Daybook resumes by itself once the destination works again.",
    )


def _day_missing(facts: Facts) -> AlertText:
    due, state = facts.at("due"), facts.text("state")
    batch = f"The batch{f' due at {moment(due)}' if due else ''}"
    if state == "unknown":
        return AlertText(
            title="the batch cannot be checked",
            happened=sentences(
                f"{batch} counts as missing, because its state cannot be read.", last_error(facts)
            ),
            meaning="There may be no file for this day; whether its entries are exported is "
            "unknown. None is lost and none is exported twice.",
            action="Check MongoDB: `daybook doctor` says what is wrong. Then "
            f"`daybook status {facts.day or ''}".rstrip()
            + "` shows the state of the day.",
        )
    how = _STATES.get(state or "", _NO_TRACE)
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
        else f"Remove the cause, then start it: {run_it(facts)}. `daybook doctor` says "
        "what is wrong."
        if refused_at
        else f"Start it: {run_it(facts)}. If that does not help, `daybook doctor` says "
        "what is wrong. If there is no trace of a run, check whether the Cloud Scheduler job "
        "called, and which response it got.",
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
            f"It resumes at {moment(next_at)}." if next_at else None,
            f"A run is working on it; its lease lasts until {moment(lease)}." if lease else None,
        ),
        meaning="The file can be used; no entry is exported twice."
        if delivered
        else f"The day's file is late. {STAYS_QUEUED}",
        action=f"Nothing yet. `daybook status {facts.day or ''}".rstrip()
        + "` shows its state; another alert follows if it fails.",
    )


def _entries_rejected(facts: Facts) -> AlertText:
    rejected, entries = facts.count("rejected_count"), facts.count("entry_count")
    file = facts.text("filename") or "The file"
    left = number(rejected, "entry", "entries") if rejected is not None else "entries"
    has = f" and contains {entries:,}" if entries is not None else ""
    reasons = [
        f"{count:,}: {REASONS.get(reason, reason)}"
        for reason, count in facts.counts("reasons").items()
    ]
    day = facts.day or "DATE"
    correct = (
        f"`daybook status {day}` lists them, each with its invalid field. Correct "
        "each, then run `daybook requeue ENTRY_ID`."
    )
    if facts.text("state") == "empty":
        return AlertText(
            title=f"no file, {left} rejected",
            happened=sentences(
                f"Everything that was queued is rejected: {left}.",
                f"({'; '.join(reasons)})" if reasons else None,
            ),
            meaning="There is no file for this day. The rejected entries are in no file until "
            "they are corrected and queued again.",
            action=correct,
        )
    return AlertText(
        title=f"{left} left out of {file}",
        happened=sentences(
            f"{file} leaves out {left}{has}.", f"({'; '.join(reasons)})" if reasons else None
        ),
        meaning="The file can be used. The entries left out are in no file until they are "
        "corrected and queued again.",
        action=sentences(correct, at_link(facts, "The file")),
    )


def _orphan_left_behind(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename"), facts.text("file_id")
    # With a link the file has been seen, and the reason is why the ID was abandoned before.
    found = facts.text("link") is not None
    why = facts.text("reason") if found else facts.text("explanation") or facts.text("reason")
    return AlertText(
        title="a file without a record",
        happened=f"A file{f' ({file})' if file else ''} "
        f"{'is' if found else 'is, or may yet be,'} stored under "
        f"{f'ID {id_}' if id_ else 'an ID'}, which {'had been' if found else 'was'} abandoned"
        + (f": {why.rstrip('.')}." if why else "."),
        meaning="There may be two files for one day. Use only the one that the day's receipt "
        "names; the other must not be imported.",
        action=sentences(
            "Find the file at the destination. Remove it if the day is recorded with another "
            f"one: `daybook status {facts.day or 'DATE'}` shows which.",
            at_link(facts, "The file"),
        ),
    )


def _unsealed_file(facts: Facts) -> AlertText:
    file = facts.text("filename") or "The file"
    id_ = facts.text("file_id")
    return AlertText(
        title="a file was changed after it was sent",
        happened=f"{file}{f' under ID {id_}' if id_ else ''} is not what Daybook sent: it was "
        "changed. Daybook has abandoned the ID and uses another one.",
        meaning="The changed file must not be used. The day's receipt names the valid file.",
        action=sentences(
            "Find out who changed it, compare it with the day's delivered file, and remove it.",
            at_link(facts, "The file"),
        ),
    )


def _items_changed_after_seal(facts: Facts) -> AlertText:
    file = facts.text("filename") or "The file"
    gone, elsewhere = facts.count("gone_count"), facts.count("completed_elsewhere_count")
    counts = [
        f"{number(gone, 'item', 'items')} deleted or changed" if gone else None,
        f"{number(elsewhere, 'item', 'items')} completed elsewhere" if elsewhere else None,
    ]
    changes = ", ".join(count for count in counts if count)
    return AlertText(
        title=f"queue items changed while {file} was delivered",
        happened=f"{file} is delivered, but queue items of its entries changed during delivery"
        + (f": {changes}." if changes else "."),
        meaning="The file is complete, but entries in it may also be in another file or may "
        "have been withdrawn. Check before it is imported.",
        action="The day's record in exportlogs lists them (goneItems, completedElsewhereItems): "
        "check that none was exported twice. Then find out what else changes the queue.",
    )


def _publish_failed(facts: Facts) -> AlertText:
    file = facts.text("filename") or "The file"
    id_ = facts.text("file_id")
    return AlertText(
        title=f"{file} does not have its name yet",
        happened=sentences(
            f"{file}{f' (ID {id_})' if id_ else ''} is complete and recorded, but could not be "
            "given its name.",
            last_error(facts),
        ),
        meaning="The day counts as exported, but its file cannot be found by its name yet. "
        "Nothing is lost.",
        action=f"Usually another file has the name: move it away. Then {run_it(facts)} finishes "
        "the delivery.",
    )


def _file_unrecorded(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename") or "The file", facts.text("file_id")
    return AlertText(
        title=f"{file} exists, but MongoDB refuses its record",
        happened=sentences(
            f"{file}{f' (ID {id_})' if id_ else ''} is complete at the destination, but it could "
            "not be recorded, and its entries could not be marked.",
            last_error(facts),
        ),
        meaning="The file is correct, but the day does not count as exported yet. Until it does, "
        "no later file is made. Nothing is exported twice.",
        action=sentences(
            "Do what the error says: an object in MongoDB that belongs to another application is "
            f"in the way. Then {run_it(facts)} records this file; do not delete it.",
            at_link(facts, "The file"),
        ),
    )


def _marking_refused(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename"), facts.text("file_id")
    done = (
        f"{file}{f' (ID {id_})' if id_ else ''} is delivered and recorded"
        if file
        else "The day is signed off as empty, since all of its entries were rejected"
    )
    return AlertText(
        title=f"MongoDB refuses to mark the items of {file or 'an empty day'}",
        happened=sentences(
            f"{done}, but some of its queue items could not be marked.", last_error(facts)
        ),
        meaning=f"{'The file is correct, and the' if file else 'The'} day is done. Until its items "
        "are marked, no later file is made. Nothing is exported twice.",
        action=sentences(
            "Do what the error says: an object in MongoDB that belongs to another application is "
            f"in the way. Then {run_it(facts)} marks the other items.",
            at_link(facts, "The file"),
        ),
    )


TEXTS: Mapping[AlertEvent, Callable[[Facts], AlertText]] = {
    AlertEvent.ATTEMPT_FAILED: _attempt_failed,
    AlertEvent.BATCH_FAILED: _batch_failed,
    AlertEvent.RUN_REFUSED: _run_refused,
    AlertEvent.BATCH_RECOVERED: _batch_recovered,
    AlertEvent.BREAKER_OPENED: _breaker_opened,
    AlertEvent.DAY_MISSING: _day_missing,
    AlertEvent.DAY_LATE: _day_late,
    AlertEvent.ENTRIES_REJECTED: _entries_rejected,
    AlertEvent.ORPHAN_LEFT_BEHIND: _orphan_left_behind,
    AlertEvent.UNSEALED_FILE: _unsealed_file,
    AlertEvent.ITEMS_CHANGED_AFTER_SEAL: _items_changed_after_seal,
    AlertEvent.FILE_UNRECORDED: _file_unrecorded,
    AlertEvent.MARKING_REFUSED: _marking_refused,
    AlertEvent.PUBLISH_FAILED: _publish_failed,
}
