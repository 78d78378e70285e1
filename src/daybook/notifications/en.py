"""The words of alerts and receipts in English."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from daybook.display import hour
from daybook.display import moment as moment
from daybook.display import number as number
from daybook.export.model.figures import Corrector, EntryFault, RejectionReason
from daybook.export.model.notice import AlertEvent
from daybook.export.model.profile import DAILY, option_of
from daybook.export.queue.waiting import Unclaimed
from daybook.notifications.facts import AlertText, Facts, commanded, needs_migrate, sentences

REASONS: Mapping[str, str] = {
    RejectionReason.MISSING: "the journal entry is missing",
    RejectionReason.MISSING_VALUE: "a required value is missing",
    RejectionReason.STORED_AS_TEXT: "stored as text, not as a number or a date",
    RejectionReason.UNBALANCED: "debit and credit differ",
    RejectionReason.NOT_FINITE: "an amount is not a finite number",
    RejectionReason.TOO_LARGE: "an amount has more digits than the file can hold",
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
    RejectionReason.TOO_LONG: "a text is longer than the file's column takes",
    RejectionReason.UNMAPPED_ACCOUNT: "the profile names no account for an account code",
    RejectionReason.DUPLICATE: "exported already, or twice in the queue",
}
"""Why an entry is rejected."""

FIELDS: Mapping[str, str] = {
    "_id": "entry ID",
    "date": "date",
    "reference": "reference",
    "description": "description",
    "currency": "currency",
    "amount": "amount",
    "lines": "lines",
    "accountCode": "account code",
    "accountName": "account name",
    "debit": "debit",
    "credit": "credit",
    "batch.date": "batch date",
}
"""Fields of an entry and its lines, by their default paths."""

UNCLAIMED: Mapping[str, str] = {reason: reason.explanation for reason in Unclaimed}
"""Why no run ever takes a queue item."""

CORRECTORS: Mapping[Corrector, str] = {
    Corrector.ACCOUNTANT: "accountant",
    Corrector.DEVELOPER: "developer",
    Corrector.NOBODY: "nobody",
}
"""Who corrects a rejected entry."""

DESTINATIONS: Mapping[str, str] = {
    "google_drive": "Google Drive",
    "s3": "S3",
    "local_folder": "The local folder",
}

STAYS_QUEUED = "The entries stay queued; none is lost and none is exported twice."

MAY_BE_VISIBLE = (
    "A file of this day may already be visible without a record: the next run finds it and "
    "records it, or makes the file. None of the entries is lost and none is exported twice."
)
"""The meaning for people while a file may be visible whose delivery could not be recorded."""

_STATES = {
    "failed": "It has failed, and no further attempt follows.",
    "open": "A run began, but none is working on it now.",
}
_NO_TRACE = (
    "There is no trace of a run: either no call was made, or MongoDB could not be reached when "
    "it came."
)


def place(fault: EntryFault, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """A place such as `line 2, debit`; empty for the entry as a whole.

    `names` are a source's own paths → those of `FIELDS`, or titles of columns.
    """
    line = None if fault.line is None else f"line {fault.line}"
    field = None if fault.field is None else names.get(fault.field, fault.field)
    return ", ".join(part for part in (line, field and FIELDS.get(field, field)) if part)


def detail(faults: Sequence[EntryFault], count: int, names: Mapping[str, str]) -> str:
    """What is wrong and where, as far as it is listed; `count` is the number of all faults."""
    places = (place(fault, names) for fault in faults)
    texts = [
        f"{where}: {fault.detail}" if where else fault.detail
        for where, fault in zip(places, faults, strict=True)
    ]
    more = count - len(faults)
    return "; ".join([*texts, *([f"and {more:,} more"] if more > 0 else [])])


def to_correct(correctors: Sequence[Corrector]) -> str:
    """The end of a line that names a rejected entry."""
    if correctors == (Corrector.NOBODY,):
        return "Nothing to correct"
    return f"To correct: {', '.join(CORRECTORS[one] for one in correctors)}"


def other_months(count: int, entries: int, months: Mapping[str, int]) -> str:
    """Such as `4,000 of 4,000 entries are dated 11/2026`; `months` has the most frequent ones."""
    verb = "is" if count == 1 else "are"
    of = f"{count:,} of {number(entries, 'entry', 'entries')} {verb} dated"
    named = [(f"{name[5:]}/{name[:4]}", part) for name, part in months.items()]
    if len(named) == 1 and named[0][1] == count:
        return f"{of} {named[0][0]}"
    each = ", ".join(f"{part:,} in {month}" for month, part in named)
    return f"{of} in another month" + (f": {each}" if each else "")


def last_error(facts: Facts) -> str | None:
    return f"Last error: {facts.error.rstrip('.')}." if facts.error else None


_IN_THE_WAY = "an object in MongoDB that belongs to another application is in the way"
_SETTLED = "Nothing to do: the earlier alerts of this day are settled."
_EXAMINE = (
    "Force run `daybook-doctor` in Cloud Scheduler: its record `examined` in the log says what is "
    "wrong."
)


_LATEST = (
    "It takes the latest day that was due; for an earlier one use the command or the status page."
)


def force_run(job: str, facts: Facts | None = None) -> str:
    """What makes the scheduler's job run at once: a button of the Google Cloud console and app.

    With `facts`, the job that each profile has of its own.
    """
    if facts is not None and facts.alert.profile != DAILY:
        job = f"{job}-{facts.alert.profile}"
    return f"Force run `daybook-{job}` in Cloud Scheduler"


def _attempt_failed(facts: Facts) -> AlertText:
    attempt, of = facts.count("attempt"), facts.count("max_attempts")
    which = f"Attempt {attempt}" if attempt else "An attempt"
    which += f" of {of}" if attempt and of else ""
    due = facts.at("next_attempt_at")
    whose = "The day" if facts.day else "The manual export"
    follows = f"The next attempt is due at {moment(due)}." if due else "Another attempt follows."
    return AlertText(
        title=f"{which.lower()} failed" + (f", the next one at {hour(due)}" if due else ""),
        phone=f"Nothing to do yet. {follows}"
        + (
            f" {force_run('retry', facts)} to start it sooner, once the cause is removed."
            if facts.day
            else ""
        ),
        command=f"`{commanded('retry', facts)}` starts it sooner."
        if facts.day
        else "The same request to POST /exports starts it sooner, once the cause is removed.",
        happened=sentences(
            f"{which} ended without a recorded file."
            if _file_possible(facts)
            else f"{which} ended without a file.",
            follows,
            last_error(facts),
        ),
        meaning=f"{whose}'s file is late. {_known(facts)}",
    )


def _batch_failed(facts: Facts) -> AlertText:
    name = "Daily batch FAILED" if facts.day else "Manual export FAILED"
    attempt = facts.count("attempt")
    if attempt is not None:
        retries = number(max(attempt - 1, 0), "retry", "retries")
        name += f" after {retries} ({number(attempt, 'attempt')})"
    no_use = "It was not retried any further, because retrying would not help."
    queued = "Its entries stay queued and go with the next day's file."
    phone, command = _reopen(facts)
    return AlertText(
        title=f"{name}, manual intervention required",
        phone=phone,
        command=command,
        happened=sentences(
            f"{name}: manual intervention required.",
            no_use if facts.is_true("permanent") else None,
            last_error(facts),
        ),
        meaning=f"No file is recorded. {MAY_BE_VISIBLE}"
        if _file_possible(facts)
        else f"There is no file. {queued if facts.day else 'The entries are unchanged.'}",
    )


def _reopen(facts: Facts) -> tuple[str, str]:
    """What to do about a failed day: from a phone, and by command."""
    if facts.day is None:
        return "Nothing: a manual export has to be requested again.", (
            "Remove the cause, then repeat the same request to POST /exports, or the same "
            f"`daybook export{option_of(facts.alert.profile)}`."
        )
    return (
        f"{force_run('retry', facts)}, once the cause is removed. {_LATEST}",
        f"`{commanded('retry', facts)}` makes this day's file. "
        f"Or `{commanded('release', facts)}` closes the day without a file: its entries then go "
        "with the next day's.",
    )


def _run_refused(facts: Facts) -> AlertText:
    at = facts.at("at")
    phone, command = _find_cause(facts)
    return AlertText(
        title="the call for the run FAILED",
        phone=phone,
        command=command,
        happened=sentences(
            f"A call for the day's run{f' at {moment(at)}' if at else ''} was answered with an "
            "error, and no result of a run could be recorded.",
            last_error(facts),
        ),
        meaning=MAY_BE_VISIBLE
        if _file_possible(facts)
        else f"There is no file for this day yet. {STAYS_QUEUED}",
    )


def _file_possible(facts: Facts) -> bool:
    """Whether a file of the day may be visible that is not recorded."""
    return facts.day is not None and facts.is_true("file_possible")


def _known(facts: Facts) -> str:
    return MAY_BE_VISIBLE if _file_possible(facts) else STAYS_QUEUED


def _find_cause(facts: Facts) -> tuple[str, str]:
    """What to do when calls fail: from a phone, and by command."""
    if needs_migrate(facts):
        return (
            f"{force_run('migrate')}: it builds the index that is missing. Then force run "
            f"`daybook-batch`. {_LATEST}",
            f"`daybook migrate` builds the index. Then {run_it(facts)} delivers the file.",
        )
    return (
        f"{_EXAMINE} Once that is removed, force run `daybook-batch`; the next scheduled or "
        f"repeated call delivers the file as well. {_LATEST}",
        f"`daybook doctor` says what is wrong. Then {run_it(facts)} delivers the file.",
    )


def _batch_recovered(facts: Facts) -> AlertText:
    attempt, entries = facts.count("attempt"), facts.count("entry_count")
    when = f" on attempt {attempt}" if attempt else ""
    command = f"{_status(facts)} shows it."
    if facts.text("state") == "empty":
        return AlertText(
            title="recovered, nothing to export",
            phone=_SETTLED,
            command=command,
            happened=f"After an earlier failure the day is signed off{when}: nothing was queued.",
            meaning="There is no file for this day, and none is missing.",
        )
    file = facts.text("filename") or "The file"
    what = f" with {number(entries, 'entry', 'entries')}" if entries is not None else ""
    return AlertText(
        title="recovered, the file is delivered",
        phone=_SETTLED,
        command=command,
        happened=f"After an earlier failure {file}{what} was delivered{when}.",
        meaning="The file is complete and can be used; it contains no entry twice.",
        link=facts.text("link"),
    )


def _breaker_opened(facts: Facts) -> AlertText:
    kind = facts.text("destination")
    place = "The destination" if kind is None else DESTINATIONS.get(kind, kind)
    failures, until = facts.count("failures"), facts.at("open_until")
    often = f" {number(failures, 'time')} in a row" if failures else " repeatedly"
    rest = f"until {moment(until)}" if until else "for a while"
    return AlertText(
        title=f"{place} failed{often}, paused" + (f" until {hour(until)}" if until else ""),
        phone="Check whether the service has an outage. Daybook resumes by itself once the "
        f"destination works again; {_then_force_run('retry', facts)} to try it sooner. "
        f"To check access: {_EXAMINE}",
        command=f"`{commanded('retry', facts)}` tries it at once, `daybook doctor` checks access.",
        happened=f"{place} failed{often}. The circuit is open {rest}; then one run tries again.",
        meaning=f"Files are late; no attempt is used up while the circuit is open. {STAYS_QUEUED}",
    )


def _day_missing(facts: Facts) -> AlertText:
    due, state = facts.at("due"), facts.text("state")
    batch = f"The batch{f' due at {moment(due)}' if due else ''}"
    if state == "unknown":
        return AlertText(
            title="the batch cannot be checked",
            phone=f"{_EXAMINE} Most often MongoDB cannot be reached.",
            command=f"`daybook doctor` says what is wrong. Then {_status(facts)} shows the state "
            "of the day.",
            happened=sentences(
                f"{batch} counts as missing, because its state cannot be read.", last_error(facts)
            ),
            meaning="There may be no file for this day; whether its entries are exported is "
            "unknown. None is lost and none is exported twice.",
        )
    how = _STATES.get(state or "", _NO_TRACE)
    refused_at, count = facts.at("refused_at"), facts.count("refused_count")
    if refused_at:
        times = f", {number(count, 'time')} in all" if count and count > 1 else ""
        how = f"It was called at {moment(refused_at)}, and the call failed{times}."
    phone, command = (
        _reopen(facts) if state == "failed" else _find_cause(facts) if refused_at else _start(facts)
    )
    return AlertText(
        title="the batch is MISSING",
        phone=phone,
        command=command,
        happened=sentences(f"{batch} is not done. {how}", last_error(facts)),
        meaning=f"The day is not done. {MAY_BE_VISIBLE}"
        if _file_possible(facts)
        else f"There is no file for this day. {STAYS_QUEUED}",
    )


def _start(facts: Facts) -> tuple[str, str]:
    """What to do when nothing has called: from a phone, and by command."""
    return (
        f"{force_run('batch')}. {_LATEST} If that does not help, force "
        "run `daybook-doctor`. If there is no trace of a run, check there whether the job called, "
        "and which response it got.",
        f"{run_it(facts)} starts it. If that does not help, `daybook doctor` says what is wrong.",
    )


def _day_late(facts: Facts) -> AlertText:
    due, next_at, lease = (
        facts.at(name) for name in ("due", "next_attempt_at", "lease_expires_at")
    )
    delivered = facts.text("state") == "committed"
    how = "is delivered, but not all its entries are marked yet" if delivered else "is not done yet"
    return AlertText(
        title="the batch is not finished" if delivered else "the batch is late",
        phone="Nothing to do yet: another alert follows if it fails.",
        command=f"{_status(facts)} shows its state.",
        happened=sentences(
            f"The batch{f' due at {moment(due)}' if due else ''} {how}.",
            f"It resumes at {moment(next_at)}." if next_at else None,
            f"A run is working on it; its lease lasts until {moment(lease)}." if lease else None,
        ),
        meaning="The file can be used; no entry is exported twice."
        if delivered
        else f"The day's file is late. {STAYS_QUEUED}",
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
    command = (
        f"{_status(facts)} lists them, each with its invalid field. Correct each, then run "
        f"`{commanded('requeue', facts, 'REFERENCE')}`."
    )
    if facts.text("state") == "empty":
        return AlertText(
            title=f"no file, {left} rejected",
            phone="Nothing: the entries have to be corrected first, which can wait until morning.",
            command=command,
            happened=sentences(
                f"Everything that was queued is rejected: {left}.",
                f"({'; '.join(reasons)})" if reasons else None,
            ),
            meaning="There is no file for this day. The rejected entries are in no file until "
            "they are corrected and queued again.",
        )
    return AlertText(
        title=f"{left} left out of {file}",
        phone="Nothing: the entries left out have to be corrected, which can wait until morning.",
        command=command,
        happened=sentences(
            f"{file} leaves out {left}{has}.", f"({'; '.join(reasons)})" if reasons else None
        ),
        meaning="The file can be used. The entries left out are in no file until they are "
        "corrected and queued again.",
        link=facts.text("link"),
    )


def _orphan_left_behind(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename"), facts.text("file_id")
    # With a link the file has been seen, and the reason is why the ID was abandoned before.
    found = facts.text("link") is not None
    why = facts.text("reason") if found else facts.text("explanation") or facts.text("reason")
    return AlertText(
        title="a file without a record",
        phone="Find the file at the destination, and tell the accountant to use only the file that "
        "the day's receipt names.",
        command=f"{_status(facts)} shows which file the day is recorded with. If it is another "
        "one, remove this file.",
        happened=f"A file{f' ({file})' if file else ''} "
        f"{'is' if found else 'is, or may yet be,'} stored under "
        f"{f'ID {id_}' if id_ else 'an ID'}, which {'had been' if found else 'was'} abandoned"
        + (f": {why.rstrip('.')}." if why else "."),
        meaning="There may be two files for one day. Use only the one that the day's receipt "
        "names; the other must not be imported.",
        link=facts.text("link"),
    )


def _unsealed_file(facts: Facts) -> AlertText:
    file = facts.text("filename") or "The file"
    id_ = facts.text("file_id")
    return AlertText(
        title="a file was changed after it was sent",
        phone="Tell the accountant not to use the changed file. Find out at the destination who "
        "changed it.",
        command=f"{_status(facts)} shows the day's delivered file. Compare the changed one with "
        "it, and remove the changed one.",
        happened=f"{file}{f' under ID {id_}' if id_ else ''} is not what Daybook sent: it was "
        "changed. Daybook has abandoned the ID and uses another one.",
        meaning="The changed file must not be used. The day's receipt names the valid file.",
        link=facts.text("link"),
    )


def _items_changed_after_seal(facts: Facts) -> AlertText:
    file = facts.text("filename") or "The file"
    gone, elsewhere = facts.count("gone_count"), facts.count("completed_elsewhere_count")
    counts = [
        f"{number(gone, 'item')} deleted or changed" if gone else None,
        f"{number(elsewhere, 'item')} completed elsewhere" if elsewhere else None,
    ]
    changes = ", ".join(count for count in counts if count)
    return AlertText(
        title=f"queue items changed while {file} was delivered",
        phone="Tell the accountant not to import this file before its entries are checked.",
        command=f"`{commanded('verify', facts)}` names the entries, "
        f"`{commanded('lineage', facts, 'ENTRY_ID')}` the files that contain one: check that none "
        "was exported twice. Then find out what else changes the queue.",
        happened=f"{file} is delivered, but queue items of its entries changed during delivery"
        + (f": {changes}." if changes else "."),
        meaning="The file is complete, but entries in it may also be in another file or may "
        "have been withdrawn. Check before it is imported.",
    )


def _publish_failed(facts: Facts) -> AlertText:
    file = facts.text("filename") or "The file"
    id_ = facts.text("file_id")
    return AlertText(
        title=f"{file} does not have its name yet",
        phone=f"Usually another file has the name: move it away. Then {_then_force_run('batch')} "
        "to finish the delivery.",
        command=f"Then {run_it(facts)} finishes the delivery.",
        happened=sentences(
            f"{file}{f' (ID {id_})' if id_ else ''} is complete and recorded, but could not be "
            "given its name.",
            last_error(facts),
        ),
        meaning="The day counts as exported, but its file cannot be found by its name yet. "
        "Nothing is lost.",
    )


def _file_unrecorded(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename") or "The file", facts.text("file_id")
    return AlertText(
        title=f"{file} exists, but MongoDB refuses its record",
        phone="Do not delete the file. Once the cause is removed, "
        f"{_then_force_run('batch')} to record it.",
        command=f"Do what the error says: {_IN_THE_WAY}. Then {run_it(facts)} records this file.",
        happened=sentences(
            f"{file}{f' (ID {id_})' if id_ else ''} is complete at the destination, but it could "
            "not be recorded, and its entries could not be marked.",
            last_error(facts),
        ),
        meaning="The file is correct, but the day does not count as exported yet. Until it does, "
        "no later file is made. Nothing is exported twice.",
        link=facts.text("link"),
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
        phone=f"Once the cause is removed, {_then_force_run('batch')} to mark the other items.",
        command=f"Do what the error says: {_IN_THE_WAY}. Then {run_it(facts)} marks the other "
        "items.",
        happened=sentences(
            f"{done}, but some of its queue items could not be marked.", last_error(facts)
        ),
        meaning=f"{'The file is correct, and the' if file else 'The'} day is done. Until its items "
        "are marked, no later file is made. Nothing is exported twice.",
        link=facts.text("link"),
    )


def run_it(facts: Facts) -> str:
    if facts.day is None:
        return "the same request to POST /exports"
    return f"`{commanded('run', facts)}`"


def _status(facts: Facts) -> str:
    return f"`{commanded('status', facts)}`"


def _then_force_run(job: str, facts: Facts | None = None) -> str:
    text = force_run(job, facts)
    return text[0].lower() + text[1:]


def _file_changed(facts: Facts) -> AlertText:
    file = facts.text("filename") or "A delivered file"
    findings = facts.text("findings")
    return AlertText(
        title=f"{file} is gone or was changed",
        phone="Tell the accountant not to import this day. In Drive, the file's Activity says who "
        f"changed or moved it. Once it is restored, {_then_force_run('audit')} to check it.",
        command=f"`{commanded('audit', facts)}` checks the day again.",
        happened=sentences(
            f"{file} is not as it was delivered.", f"{findings}." if findings else None
        ),
        meaning="The file must not be used before this is cleared. The day's receipt has the "
        "totals of the file as it was delivered.",
        link=facts.text("link"),
    )


def _entries_changed_after_export(facts: Facts) -> AlertText:
    file = facts.text("filename") or "their file"
    entries, findings = facts.count("entry_count"), facts.text("findings")
    what = number(entries, "entry", "entries") if entries else "Entries"
    match, were = ("matches", "it was") if entries == 1 else ("match", "they were")
    if entries and facts.is_true("cut_short"):
        what, match, were = f"More than {what}", "match", "they were"
    return AlertText(
        title=f"{what} changed after the export",
        phone="Nothing. It can wait until office hours.",
        command=f"`{commanded('audit', facts)}` names each entry with its fields. Have the "
        "change undone, then correct the error by a reversing entry and a new one.",
        happened=sentences(
            f"{what} no longer {match} {file}: {were} changed or deleted after the export.",
            f"{findings}." if findings else None,
        ),
        meaning="The file is as it was delivered and can be used, but the application's books no "
        "longer say the same.",
        link=facts.text("link"),
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
    AlertEvent.FILE_CHANGED: _file_changed,
    AlertEvent.ENTRIES_CHANGED_AFTER_EXPORT: _entries_changed_after_export,
    AlertEvent.ITEMS_CHANGED_AFTER_SEAL: _items_changed_after_seal,
    AlertEvent.FILE_UNRECORDED: _file_unrecorded,
    AlertEvent.MARKING_REFUSED: _marking_refused,
    AlertEvent.PUBLISH_FAILED: _publish_failed,
}
