"""The doctor: finds what is wrong with the set-up and says what to do. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook import write_errors
from daybook.cloud.tasks.tasks import CloudTasks
from daybook.destinations.base import Destination, Finding
from daybook.display import duration, number, scrubbed
from daybook.errors import DaybookError, DocumentDamaged
from daybook.export import source_indexes
from daybook.export.model.lifecycle import BatchState, Schedule
from daybook.export.model.profile import Profile
from daybook.export.operations import foreign_documents, history
from daybook.export.queue import plan, waiting
from daybook.mongo import indexes, objects, rights
from daybook.mongo.client import unprotected
from daybook.notifications import delivery
from daybook.settings.settings import VARIABLES, unread
from daybook.write_errors import Cause

LEAST_VERSION = (6, 0)
CLOCK_TOLERANCE = timedelta(seconds=5)
"""Tolerated difference: batch dates come from this machine's clock, lease ends from MongoDB's."""
DUE_TOLERANCE = timedelta(hours=2)
_NAMED = 3
_AWARE = CodecOptions[dict[str, Any]](tz_aware=True)

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What is examined."""

    env: Mapping[str, str]
    client: MongoClient[Document]
    database: Database[Document]
    mongodb_uri: str = field(repr=False)
    destination: Callable[[], Destination]
    """Builds the destination, which may fail, for instance without credentials."""
    other_destinations: Mapping[str, Callable[[], Destination]] = field(default_factory=dict)
    """The same for the other profiles, by the profiles that deliver there."""
    tasks: CloudTasks | None
    """None without a queue."""
    messages: Mapping[str, Sequence[str]]
    """Variable → the addresses that alerts or receipts go to; they are secrets."""
    profile: Profile
    schedule: Schedule
    clock: Callable[[], datetime]
    needed: Mapping[str, frozenset[str]] = field(default_factory=lambda: rights.NEEDED)
    """Collection → actions that the database user must be allowed."""


def examine(installation: Installation) -> Iterator[Finding]:
    """Run every check; a check that cannot be made is a finding too."""
    for finding in _findings(installation):
        yield replace(finding, detail=scrubbed(finding.detail))


def _findings(installation: Installation) -> Iterator[Finding]:
    yield _variables(installation.env)
    reachable = _server(installation.client)
    yield reachable
    yield _encryption(installation.mongodb_uri)
    if reachable.ok:
        for name, check in _DATABASE_CHECKS:
            try:
                yield check(installation)
            except DocumentDamaged as error:
                yield _bad(name, str(error))
            except PyMongoError as error:
                yield _bad(name, f"MongoDB refused the check: {write_errors.describe(error)}")
    yield from _destination(installation.destination)
    for profiles, build in installation.other_destinations.items():
        for finding in _destination(build):
            yield replace(finding, name=f"{finding.name} of {profiles}")
    if installation.tasks is not None:
        yield installation.tasks.check()
    for name, urls in installation.messages.items():
        if urls:
            yield _addresses(name, urls)


def status(findings: Sequence[Finding]) -> str:
    """`ok`, with warnings too, or `not_ok`."""
    return "ok" if all(finding.ok for finding in findings) else "not_ok"


def to_doc(findings: Sequence[Finding]) -> dict[str, Any]:
    """The JSON answer of `doctor`."""
    return {
        "status": status(findings),
        "findings": [
            {
                "name": finding.name,
                "ok": finding.ok,
                "detail": finding.detail,
                **({"warning": True} if finding.warning else {}),
            }
            for finding in findings
        ],
    }


def _variables(env: Mapping[str, str]) -> Finding:
    fault = unread(env)
    if fault is not None:
        return _bad("variables", fault)
    known = sum(variable.name in env for variable in VARIABLES)
    return _good("variables", f"{known} set, none misspelt")


def _server(client: MongoClient[Document]) -> Finding:
    try:
        version = client.server_info()["versionArray"]
    except PyMongoError as error:
        described = write_errors.describe(error)
        return _bad(
            "mongodb",
            str(described)
            if described.cause is Cause.LOGIN
            else "cannot be reached; start it, or correct DAYBOOK_MONGODB_URI and its network "
            f"access: {described}",
        )
    text = ".".join(str(number) for number in version[:3])
    if tuple(version[:2]) < LEAST_VERSION:
        return _bad("mongodb", f"version {text} is too old: upgrade to 6.0 or later")
    return _good("mongodb", f"version {text}")


def _encryption(uri: str) -> Finding:
    fault = unprotected(uri)
    if fault is None:
        return _good("encryption", "what is exchanged with MongoDB is protected, or stays here")
    return Finding(
        name="encryption", ok=True, warning=True, detail=f"what is exchanged with MongoDB {fault}"
    )


def _replica_set(installation: Installation) -> Finding:
    hello = installation.client.admin.command("hello")
    if hello.get("setName"):
        return _good("transactions", f"possible, replica set {hello['setName']}")
    if hello.get("msg") == "isdbgrid":
        return _good("transactions", "possible, sharded cluster")
    return _bad(
        "transactions",
        "impossible on a single server: start mongod with --replSet and run rs.initiate()",
    )


def _indexes(installation: Installation) -> Finding:
    missing = indexes.missing(installation.database)
    if not missing:
        return _indexes_of_source(installation)
    names = ", ".join(f"{index.name} on {index.collection}" for index in missing)
    guards = [index for index in missing if index in indexes.GUARDS]
    effect = "nothing is exported without them" if guards else "runs are slow without them"
    return _bad("indexes", f"missing or not as declared: {names}; {effect}: run `daybook migrate`")


def _indexes_of_source(installation: Installation) -> Finding:
    """Those on collections of another application, for which `migrate` is not responsible."""
    name, database = "indexes", installation.database
    missing = source_indexes.missing(database, installation.profile.source)
    if not missing:
        return _good(name, f"all {len(indexes.INDEXES)} are there")
    for_what = ", ".join(f"on {index.collection} for {index.reason}" for index in missing)
    return _bad(
        name,
        f"none {for_what}: queries scan the collection. Build what is missing, in mongosh: "
        f"{source_indexes.commands(database.name, missing)}",
    )


def _objects(installation: Installation) -> Finding:
    name = "collections"
    found = objects.faults(installation.database)
    if not found:
        return _good(name, "none is capped, a view, validated or otherwise in the way")
    return _bad(name, "; ".join(fault.detail for fault in found))


def _privileges(installation: Installation) -> Finding:
    source = installation.profile.source
    read = {source.entries: rights.READ}
    if not isinstance(source.lines, str):
        read[source.lines.collection] = rights.READ
    needed = {**read, source.queue: rights.NEEDED["exportqueues"], **installation.needed}
    lacking = rights.missing(installation.database, needed)
    if not lacking:
        return _good("privileges", "the user of the database has all that a run needs")
    named = ", ".join(
        f"{' and '.join(actions)} on {collection or 'the database'}"
        for collection, actions in lacking.items()
    )
    return _bad(
        "privileges",
        f"the user of DAYBOOK_MONGODB_URI may not {named}: give it the role that "
        "docs/security.md names",
    )


def _clock(installation: Installation) -> Finding:
    before = installation.clock()
    theirs: datetime = installation.client.admin.command("hello", codec_options=_AWARE)["localTime"]
    here = before + (installation.clock() - before) / 2
    ahead = here - theirs
    apart = duration(abs(ahead.total_seconds()))
    text = f"{apart} {'ahead of' if ahead > timedelta() else 'behind'}"
    if abs(ahead) > CLOCK_TOLERANCE:
        return _bad("clock", f"this machine is {text} MongoDB: set both by NTP")
    return _good("clock", f"{text} MongoDB's")


def _queue(installation: Installation) -> Finding:
    source = installation.profile.source
    queue, queued = installation.database[source.queue], plan.queued(installation.profile)
    entry = {
        "from": source.entries,
        "localField": "entryId",
        "foreignField": "_id",
        "pipeline": [{"$project": {"_id": 1}}],
        "as": "entry",
    }
    found = queue.aggregate(
        [
            {"$match": queued},
            {"$project": {"entryId": 1}},
            {"$lookup": entry},
            {"$match": {"entry": []}},
            {
                "$group": {
                    "_id": None,
                    "count": {"$sum": 1},
                    "items": {"$firstN": {"input": "$_id", "n": _NAMED}},
                }
            },
        ]
    )
    lost = next(found, None)
    if lost is None:
        return _good(
            "queue",
            f"{number(waiting.count(installation.database, installation.profile), 'item')} waiting",
        )
    named = ", ".join(str(item) for item in lost["items"])
    return _bad(
        "queue",
        f"{number(lost['count'], 'queued item')} without a journal entry, to be rejected "
        f"(queue item {named}): restore the entries or remove the items",
    )


def _unclaimed(installation: Installation) -> Finding:
    name = "unclaimed items"
    found = waiting.unclaimed(installation.database, installation.profile)
    if not found:
        return _good(name, "none: some run takes each item of the queue")
    return _bad(
        name,
        f"no run ever takes {number(sum(found.values()), 'item')} of "
        f"{installation.profile.source.queue} "
        f"({waiting.in_words(found)}): correct them, and the application that queues them",
    )


def _documents(installation: Installation) -> Finding:
    name, found = "documents", foreign_documents.unread(installation.database, installation.profile)
    if not found:
        return _good(name, "Daybook's collections hold its own documents, and all can be read")
    return _bad(name, "; ".join(found))


def _last_batch(installation: Installation) -> Finding:
    latest = history.history(installation.database, installation.profile, limit=1)
    if not latest:
        return _good("last batch", "none yet")
    batch, now = latest[0], installation.clock()
    day = batch.key.batch_date
    if batch.state is BatchState.FAILED:
        error = batch.doc.get("error") or {}
        return _bad(
            "last batch",
            f"{day} failed: {error.get('message')}; correct it. Its entries stay queued, "
            "the next day takes them along",
        )
    if batch.state is BatchState.COMMITTED and not batch.finished:
        return _bad("last batch", f"{day} is delivered, but not all marked: run `sweep`")
    due = installation.schedule.latest_slot(now)
    if now - due > DUE_TOLERANCE and (day or "") < due.date().isoformat():
        return _bad(
            "last batch",
            f"{day}, although {due.date()} was due at {due.isoformat()}: see whether Cloud "
            "Scheduler calls, then `run`",
        )
    return _good("last batch", f"{day} {batch.state.value}")


_DATABASE_CHECKS: tuple[tuple[str, Callable[[Installation], Finding]], ...] = (
    ("transactions", _replica_set),
    ("indexes", _indexes),
    ("collections", _objects),
    ("privileges", _privileges),
    ("clock", _clock),
    ("queue", _queue),
    ("unclaimed items", _unclaimed),
    ("documents", _documents),
    ("last batch", _last_batch),
)


def _destination(build: Callable[[], Destination]) -> Iterator[Finding]:
    try:
        yield from build().check()
    except DaybookError as error:
        yield _bad("destination", str(error))


def _addresses(variable: str, urls: Sequence[str]) -> Finding:
    name = "messages"
    wrong = delivery.unusable(tuple(urls))
    if not wrong:
        return _good(name, f"{variable}: {len(urls)} understood; nothing was sent")
    named = ", ".join(f"number {each.entry}, {each.service}" for each in wrong)
    return _bad(name, f"{variable}: not understood ({named}): see docs/alerts.md")


def _good(name: str, detail: str) -> Finding:
    return Finding(name=name, ok=True, detail=detail)


def _bad(name: str, detail: str) -> Finding:
    return Finding(name=name, ok=False, detail=detail)
