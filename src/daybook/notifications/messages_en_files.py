"""The alerts about files and what stands in them, in English."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daybook.export.model.notice import AlertEvent
from daybook.notifications import english
from daybook.notifications.english import at_link, last_error, number, run_it
from daybook.notifications.facts import AlertText, Facts, sentences


def _entries_rejected(facts: Facts) -> AlertText:
    rejected, entries = facts.count("rejected_count"), facts.count("entry_count")
    file = facts.text("filename") or "The file"
    left = number(rejected, "entry", "entries") if rejected is not None else "entries"
    has = f" and contains {entries:,}" if entries is not None else ""
    reasons = [
        f"{count:,}: {english.REASONS.get(reason, reason)}"
        for reason, count in facts.counts("reasons").items()
    ]
    day = facts.day or "DATE"
    correct = (
        f"`python -m daybook status {day}` lists them with the field that is wrong. Correct "
        "each, then run `python -m daybook requeue ENTRY_ID`."
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
    # With a link the file has been seen, and the reason is how it stood before.
    found = facts.text("link") is not None
    why = facts.text("reason") if found else facts.text("explanation") or facts.text("reason")
    return AlertText(
        title="a file without a record",
        happened=f"A file{f' ({file})' if file else ''} "
        f"{'stands' if found else 'stands, or may yet appear,'} at "
        f"{f'id {id_}' if id_ else 'an id'}, which {'had been' if found else 'was'} given up"
        + (f": {why.rstrip('.')}." if why else "."),
        meaning="There may be two files for one day. Use only the one that the day's receipt "
        "names; the other must not be imported.",
        action=sentences(
            "Look for the file at the destination. Remove it if the day is recorded with another "
            f"one: `python -m daybook status {facts.day or 'DATE'}` shows which.",
            at_link(facts, "The file"),
        ),
    )


def _unsealed_file(facts: Facts) -> AlertText:
    file = facts.text("filename") or "The file"
    id_ = facts.text("file_id")
    return AlertText(
        title="a file was changed by somebody else",
        happened=f"{file}{f' at id {id_}' if id_ else ''} is not what Daybook sent: somebody "
        "changed it. Daybook gave the id up and uses another from now on.",
        meaning="The changed file must not be used. The day's receipt names the file that counts.",
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
    told = ", ".join(count for count in counts if count)
    return AlertText(
        title=f"queue items changed while {file} was delivered",
        happened=f"{file} is delivered, but queue items of its entries changed meanwhile"
        + (f": {told}." if told else "."),
        meaning="The file is complete, but entries in it may also stand in another file or may "
        "have been withdrawn. Check before it is imported.",
        action="The day's record in exportlogs lists them (goneItems, completedElsewhereItems): "
        "check that none was exported twice. Then find out what else changes the queue.",
    )


def _publish_failed(facts: Facts) -> AlertText:
    file = facts.text("filename") or "The file"
    id_ = facts.text("file_id")
    return AlertText(
        title=f"{file} has not got its name",
        happened=sentences(
            f"{file}{f' (id {id_})' if id_ else ''} is complete and recorded, but could not be "
            "given its name.",
            last_error(facts),
        ),
        meaning="The day counts as exported, but its file cannot be found by its name yet. "
        "Nothing is lost.",
        action=f"Most often another file has the name: move it away. Then {run_it(facts)} finishes "
        "the delivery.",
    )


def _file_unrecorded(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename") or "The file", facts.text("file_id")
    return AlertText(
        title=f"{file} exists, but MongoDB refuses its record",
        happened=sentences(
            f"{file}{f' (id {id_})' if id_ else ''} is complete at the destination, but it could "
            "not be recorded, and its entries could not be marked.",
            last_error(facts),
        ),
        meaning="The file is right, but the day does not count as exported yet. Until it does, no "
        "later file is made. Nothing is exported twice.",
        action=sentences(
            "Do what the error says: an object in MongoDB that belongs to somebody else is in the "
            f"way. Then {run_it(facts)} records this file; do not delete it.",
            at_link(facts, "The file"),
        ),
    )


def _marking_refused(facts: Facts) -> AlertText:
    file, id_ = facts.text("filename"), facts.text("file_id")
    done = (
        f"{file}{f' (id {id_})' if id_ else ''} is delivered and recorded"
        if file
        else "The day is signed off as empty, since all of its entries were rejected"
    )
    return AlertText(
        title=f"MongoDB refuses to mark the items of {file or 'an empty day'}",
        happened=sentences(
            f"{done}, but some of its queue items could not be marked.", last_error(facts)
        ),
        meaning=f"{'The file is right, and the' if file else 'The'} day is done. Until its items "
        "are marked, no later file is made. Nothing is exported twice.",
        action=sentences(
            "Do what the error says: an object in MongoDB that belongs to another application is "
            f"in the way. Then {run_it(facts)} marks the other items.",
            at_link(facts, "The file"),
        ),
    )


TEXTS: Mapping[AlertEvent, Callable[[Facts], AlertText]] = {
    AlertEvent.ENTRIES_REJECTED: _entries_rejected,
    AlertEvent.ORPHAN_LEFT_BEHIND: _orphan_left_behind,
    AlertEvent.UNSEALED_FILE: _unsealed_file,
    AlertEvent.ITEMS_CHANGED_AFTER_SEAL: _items_changed_after_seal,
    AlertEvent.FILE_UNRECORDED: _file_unrecorded,
    AlertEvent.MARKING_REFUSED: _marking_refused,
    AlertEvent.PUBLISH_FAILED: _publish_failed,
}
