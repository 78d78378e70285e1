"""The states that the previous version could stop in, as literal documents and files.

They are as that version wrote them, digests included: no code of this version has made them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from daybook.export.outcome import Status

Db = Database[dict[str, Any]]
Doc = dict[str, Any]

DAY, NEXT_DAY = date(2026, 1, 18), date(2026, 1, 19)
BEGAN = datetime(2026, 1, 18, 11, 0, 5, tzinfo=UTC)
NOW = BEGAN + timedelta(hours=1)
LONG_AGO = datetime(2026, 1, 18, 11, 1, 5, tzinfo=UTC)
"""By MongoDB's clock too: the end of a dead run's lease."""


def oid(number: int) -> ObjectId:
    return ObjectId(f"{number:024x}")


ENTRY_IDS = [oid(0xE0), oid(0xE1), oid(0xE2)]
QUEUE_IDS = [oid(0xA0), oid(0xA1), oid(0xA2)]
"""The third entry does not balance."""
BATCH_ID = oid(0xB0)
RECORD_ID = oid(0xC0)
FILE_ID = "1f442bddd0184fb9af1feda4b6e375ac"
SESSION = f".daybook-{FILE_ID}.{'5' * 32}"
NAME = "batch_2026-01-18.csv"
MANUAL_NAME = "manual_6f5a6034e770.csv"
MANUAL_KEY = "copy"

CONTENT = (
    (
        "\ufeffEntry ID,Line,Date,Reference,Description,Account Code,Account Name,Debit,Credit,"
        "Amount,Currency\n"
        "0000000000000000000000e0,1,2026-01-18,JV-0,Fee,1100,,100.00,,100.00,THB\n"
        "0000000000000000000000e0,2,2026-01-18,JV-0,Fee,4000,,,100.00,-100.00,THB\n"
        "0000000000000000000000e1,1,2026-01-18,JV-1,Fee,1100,,100.00,,100.00,THB\n"
        "0000000000000000000000e1,2,2026-01-18,JV-1,Fee,4000,,,100.00,-100.00,THB\n"
    )
    .replace("\n", "\r\n")
    .encode()
)
PREFIX_BYTES = 200
PREFIX_SHA256 = "8eb0060108ab9ea047b91d4c7ef2ba645d87e9a5a9154d453b709db090a818b6"

MANIFEST = {
    "batchId": str(BATCH_ID),
    "generation": 1,
    "fence": 1,
    "partCount": 1,
    "itemCount": 3,
    "digest": "39af92f0a7690a96d62484af54f3c6b7f1787c98721a69b24ef4d4ce54a1e47b",
}
MANIFEST_OF_TWO = {
    **MANIFEST,
    "partCount": 2,
    "digest": "16a7a279595284484484d97c691b7df7df6cb3f67d97e841de5f07d9b28c39ce",
}
MANUAL_MANIFEST = {
    **MANIFEST,
    "itemCount": 2,
    "digest": "21ef61f0d8e891b9fdae2f7248cab192a8b6f07f2658243b7eb5ae612d01e2be",
}
FIGURES = {
    "entryCount": 2,
    "rowCount": 4,
    "rejectedCount": 1,
    "normalisedCount": 0,
    "otherMonthCount": 0,
    "totals": {"THB": {"debit": "200.00", "credit": "200.00", "amount": "0.00"}},
}
NO_FIGURES = {
    "entryCount": 0,
    "rowCount": 0,
    "rejectedCount": 0,
    "normalisedCount": 0,
    "otherMonthCount": 0,
    "totals": {},
}
BYTES = {
    "sizeBytes": 394,
    "md5": "a6a23c911efe8b6d23de15702e13303e",
    "sha256": "c50b4ce85ff02b8b6ce09bf1ed1efd789e7d57d9d0d0c86a1c7e38d8b0fdcf5d",
}
REJECTED = [
    {
        "queueId": QUEUE_IDS[2],
        "entryId": ENTRY_IDS[2],
        "reason": "unbalanced",
        "detail": "lines: debit 100.00 is not credit 1.00",
    }
]
REJECTED_ID = f"{BATCH_ID}:1:1:rejected-29d3666170a5656205f87cf2c96861a0"
ERROR = {"type": "local_folder", "message": "cannot write", "at": BEGAN}
SEAL = {
    "batchDate": "2026-01-18",
    "filename": NAME,
    "manifest": MANIFEST,
    **BYTES,
    "openedFence": 1,
    "sealedAt": BEGAN,
    "attempt": 1,
    "rejectedId": REJECTED_ID,
    **FIGURES,
}
MANUAL_SEAL = {
    **SEAL,
    "batchDate": None,
    "filename": MANUAL_NAME,
    "manifest": MANUAL_MANIFEST,
    "rejectedId": None,
    "rejectedCount": 0,
}
UPLOAD = {
    "sessionUri": SESSION,
    "manifestDigest": MANIFEST["digest"],
    "openedFence": 1,
    "filename": NAME,
    "prefixes": [
        {
            "sizeBytes": PREFIX_BYTES,
            "sha256": PREFIX_SHA256,
        }
    ],
    "handedBack": False,
}


def batch(**changes: Any) -> Doc:
    """The day's batch while its first attempt runs."""
    return {
        "_id": BATCH_ID,
        "profile": "daily",
        "batchDate": "2026-01-18",
        "state": "open",
        "generation": 1,
        "attempt": 1,
        "endedAttempt": 0,
        "attemptCount": 1,
        "continuations": 0,
        "fence": 1,
        "nextAttemptAt": None,
        "pendingTask": None,
        "alertedAt": None,
        "createdAt": BEGAN,
        "startedAt": BEGAN,
        "updatedAt": BEGAN,
        **changes,
    }


def committed(folder: Path, **changes: Any) -> Doc:
    return (
        batch(
            state="committed",
            endedAttempt=1,
            error=None,
            filename=NAME,
            fileId=FILE_ID,
            webViewLink=(folder / NAME).as_uri(),
            **BYTES,
            **FIGURES,
            rejected=REJECTED,
            manifest=MANIFEST,
            recordId=RECORD_ID,
            hiddenAt=folder.as_uri(),
            committedAt=BEGAN,
            markedAt=None,
        )
        | changes
    )


def pending(kind: str, attempt: int) -> Doc:
    task = {"kind": kind, "attempt": attempt, "fence": 1, "due": BEGAN + timedelta(minutes=5)}
    return {"pendingTask": task, "nextAttemptAt": task["due"]}


def slot(folder: Path, **changes: Any) -> Doc:
    """The slot of a run that died after it had stored its plan."""
    return {
        "_id": "daily",
        "fence": 1,
        "lease": {"owner": "f01f6920cbb142d0af0c5ec36b9148f2", "expiresAt": LONG_AGO},
        "fileId": FILE_ID,
        "identity": folder.as_uri(),
        "refusal": None,
        "seals": [],
        "upload": None,
        "manifest": MANIFEST,
        "writes": 1,
        "updatedAt": BEGAN,
        **changes,
    }


EMPTIED: Mapping[str, Any] = {
    "lease": None,
    "fileId": None,
    "identity": None,
    "manifest": None,
    "writes": 3,
}


def part(number: int = 0, first: int = 0, end: int = 3, **changes: Any) -> Doc:
    return {
        "_id": f"{BATCH_ID}:1:1:{number:06d}",
        "profile": "daily",
        "number": number,
        "queueIds": QUEUE_IDS[first:end],
        "entryIds": ENTRY_IDS[first:end],
        "duplicates": [],
        "createdAt": BEGAN,
        **changes,
    }


REJECTED_PART = {
    "_id": REJECTED_ID,
    "profile": "daily",
    "rejected": REJECTED,
    "createdAt": BEGAN,
}


def records(folder: Path) -> list[Doc]:
    rest = {"performedBy": "system", "createdAt": BEGAN, "updatedAt": BEGAN}
    return [
        {
            "_id": RECORD_ID,
            "queueId": None,
            "action": "csv_generated",
            "message": f"{NAME}: 2 entries delivered",
            "metadata": {
                "batchDate": "2026-01-18",
                "filename": NAME,
                "fileId": FILE_ID,
                "webViewLink": (folder / NAME).as_uri(),
                **FIGURES,
                **BYTES,
                "batchId": str(BATCH_ID),
                "generation": 1,
                "attempt": 1,
                "manifestDigest": MANIFEST["digest"],
            },
            **rest,
        },
        {
            "_id": oid(0xC1),
            "queueId": QUEUE_IDS[2],
            "action": "entry_rejected",
            "message": f"entry {ENTRY_IDS[2]} set aside: {REJECTED[0]['detail']}",
            "metadata": {
                "batchDate": "2026-01-18",
                "entryId": ENTRY_IDS[2],
                "reason": "unbalanced",
                "detail": REJECTED[0]["detail"],
            },
            **rest,
        },
    ]


@dataclass
class Before:
    """What a state is made of: documents by collection, and files in the folder."""

    folder: Path
    batches: list[Doc] = field(default_factory=list)
    slots: list[Doc] = field(default_factory=list)
    parts: list[Doc] = field(default_factory=list)
    logs: list[Doc] = field(default_factory=list)
    orphans: list[Doc] = field(default_factory=list)
    breakers: list[Doc] = field(default_factory=list)
    marked: int = 0
    """So many queue items, from the first, are marked."""

    def store(self, database: Db) -> None:
        for name, docs in (
            ("exportbatches", self.batches),
            ("exportslots", self.slots),
            ("exportmanifests", self.parts),
            ("exportlogs", self.logs),
            ("exportorphans", self.orphans),
            ("circuitbreakers", self.breakers),
        ):
            if docs:
                database[name].insert_many(deepcopy(docs))
        facts = {
            "fileId": FILE_ID,
            "webViewLink": (self.folder / NAME).as_uri(),
            "batchDate": "2026-01-18",
        }
        for number, queue_id in enumerate(QUEUE_IDS[: self.marked]):
            change: Doc = {"status": "completed", "metadata": facts}
            if number == 2:
                change = {
                    "status": "failed",
                    "error": {"reason": "unbalanced", "batchDate": "2026-01-18"},
                }
            database["exportqueues"].update_one({"_id": queue_id}, {"$set": change})

    def hide(self, *, name: str = NAME, content: bytes = CONTENT, under: str | None = None) -> None:
        """Put a complete, unpublished file, or what a session holds, into the folder."""
        hidden = self.folder / (under or f".daybook-{FILE_ID}")
        hidden.mkdir()
        (hidden / "content").write_bytes(content)
        properties = {
            "daybookProfile": "daily",
            "daybookBatch": str(BATCH_ID),
            "daybookFence": "1",
        }
        if name == NAME:
            properties["daybookDate"] = "2026-01-18"
        about = {"id": FILE_ID, "name": name, "properties": properties}
        (hidden / "file.json").write_text(json.dumps(about))


def begun(before: Before) -> None:
    """The batch is made, and nothing else."""
    made = batch(attempt=0, attemptCount=0)
    before.batches = [{k: v for k, v in made.items() if k not in ("fence", "startedAt")}]


def planned(before: Before) -> None:
    """The manifest is stored; no id yet."""
    before.batches = [batch()]
    before.slots = [slot(before.folder, fileId=None, identity=None)]
    before.parts = [part()]


def with_id(before: Before) -> None:
    planned(before)
    before.slots = [slot(before.folder)]


def refused(before: Before) -> None:
    """The id was refused once while no file could be seen."""
    planned(before)
    refusal = {"count": 1, "firstAt": LONG_AGO, "lastAt": LONG_AGO}
    before.slots = [slot(before.folder, refusal=refusal)]


def uploading(before: Before) -> None:
    """Killed between two chunks."""
    planned(before)
    before.slots = [slot(before.folder, upload=UPLOAD)]
    before.hide(content=CONTENT[:PREFIX_BYTES], under=SESSION)


def handed_back(before: Before) -> None:
    """Stopped between two chunks; the same attempt goes on with the same session."""
    planned(before)
    before.batches = [batch(**pending("continuation", 1))]
    before.slots = [slot(before.folder, lease=None, upload={**UPLOAD, "handedBack": True})]
    before.hide(content=CONTENT[:PREFIX_BYTES], under=SESSION)


def sealed(before: Before) -> None:
    """Killed before the request that makes the file visible."""
    planned(before)
    before.slots = [slot(before.folder, seals=[SEAL])]
    before.parts.append(REJECTED_PART)


def sent(before: Before) -> None:
    """Killed after that request."""
    sealed(before)
    before.hide()


def sent_and_failed(before: Before) -> None:
    """The file appeared after its day had been given up."""
    sent(before)
    before.batches = [batch(state="failed", endedAttempt=1, error=ERROR, alertedAt=BEGAN)]
    before.slots = [slot(before.folder, seals=[SEAL], lease=None)]


def sent_and_released(before: Before) -> None:
    sent_and_failed(before)
    before.batches[0]["releasedAt"] = BEGAN


def unpublished(before: Before) -> None:
    """Killed after the commit."""
    before.batches = [committed(before.folder)]
    before.slots = [slot(before.folder, **{**EMPTIED, "lease": slot(before.folder)["lease"]})]
    before.parts = [part(markedAt=BEGAN), REJECTED_PART]
    before.logs = records(before.folder)
    before.marked = 3
    before.hide()


def half_marked(before: Before) -> None:
    """Killed before the second part was marked."""
    unpublished(before)
    before.batches = [committed(before.folder, manifest=MANIFEST_OF_TWO)]
    before.parts = [part(0, 0, 2, markedAt=BEGAN), part(1, 2, 3), REJECTED_PART]
    before.logs = records(before.folder)[:1]
    before.logs[0]["metadata"]["manifestDigest"] = MANIFEST_OF_TWO["digest"]
    before.marked = 2


def unmarked(before: Before) -> None:
    """Published, and every item marked, but not signed off; a later call is due."""
    unpublished(before)
    before.batches = [committed(before.folder, **pending("retry", 2))]
    (before.folder / f".daybook-{FILE_ID}" / "content").rename(before.folder / NAME)


def finished(before: Before) -> None:
    unpublished(before)
    before.batches = [committed(before.folder, markedAt=BEGAN, alertedAt=BEGAN)]
    before.slots = [slot(before.folder, **EMPTIED)]
    (before.folder / f".daybook-{FILE_ID}" / "content").rename(before.folder / NAME)


def finished_with_a_call(before: Before) -> None:
    """A call was recorded although nothing was left to do."""
    finished(before)
    before.batches[0] |= pending("retry", 2)


def retry_due(before: Before) -> None:
    with_id(before)
    before.batches = [
        batch(endedAttempt=1, error=ERROR, errorCounts={"local_folder": 1}, **pending("retry", 2))
    ]
    before.slots = [slot(before.folder, lease=None)]


def breaker_tried(before: Before) -> None:
    """The breaker may close; the run that tried it died."""
    retry_due(before)
    before.batches = [batch(endedAttempt=1, error=ERROR, **pending("half_open", 2))]
    before.slots = [slot(before.folder)]
    trial = {"slot": "daily", "owner": slot(before.folder)["lease"]["owner"]}
    before.breakers = [
        {
            "_id": "local_folder",
            "failures": 3,
            "openedAt": BEGAN,
            "openUntil": BEGAN + timedelta(minutes=15),
            "trial": trial,
            "updatedAt": BEGAN,
        }
    ]


def orphaned(before: Before) -> None:
    """An earlier id was abandoned, and no alert was sent."""
    summary = {name: SEAL[name] for name in ("batchDate", "filename", "entryCount", *BYTES)}
    before.orphans = [
        {
            "_id": "0" * 32,
            "profile": "daily",
            "identity": before.folder.as_uri(),
            "reason": "unsealed",
            "seals": [summary],
            "seenAt": None,
            "alertedAt": None,
            "watchUntil": BEGAN + timedelta(days=8),
            "createdAt": BEGAN,
            "updatedAt": BEGAN,
        }
    ]
    begun(before)


def empty(before: Before) -> None:
    """The day was signed off as empty; its entries came later. The version set no `markedAt`."""
    before.batches = [
        batch(
            state="empty",
            endedAttempt=1,
            error=None,
            committedAt=BEGAN,
            alertedAt=BEGAN,
            **NO_FIGURES,
        )
    ]
    before.slots = [slot(before.folder, **EMPTIED)]
    before.logs = [
        {
            "_id": oid(0xC2),
            "queueId": None,
            "action": "batch_empty",
            "message": "2026-01-18: nothing was queued, no file was made",
            "performedBy": "system",
            "metadata": {"batchDate": "2026-01-18", "batchId": str(BATCH_ID), "entryCount": 0},
            "createdAt": BEGAN,
            "updatedAt": BEGAN,
        }
    ]


def failed(before: Before) -> None:
    """Given up, with its plan and seal in the slot, and no file."""
    sealed(before)
    before.batches = [batch(state="failed", endedAttempt=1, error=ERROR, alertedAt=BEGAN)]
    before.slots = [slot(before.folder, seals=[SEAL], lease=None)]


def released(before: Before) -> None:
    failed(before)
    before.batches[0]["releasedAt"] = BEGAN


State = Callable[[Before], None]

BY_THE_DAY: dict[State, tuple[Status, int]] = {
    begun: (Status.EXPORTED, 1),
    planned: (Status.EXPORTED, 2),
    with_id: (Status.EXPORTED, 2),
    refused: (Status.EXPORTED, 2),
    uploading: (Status.EXPORTED, 2),
    handed_back: (Status.EXPORTED, 1),
    sealed: (Status.EXPORTED, 2),
    sent: (Status.ALREADY_EXPORTED, 1),
    sent_and_failed: (Status.ALREADY_EXPORTED, 1),
    sent_and_released: (Status.ALREADY_EXPORTED, 1),
    unpublished: (Status.ALREADY_EXPORTED, 1),
    half_marked: (Status.ALREADY_EXPORTED, 1),
    unmarked: (Status.ALREADY_EXPORTED, 1),
    finished: (Status.ALREADY_EXPORTED, 1),
    finished_with_a_call: (Status.ALREADY_EXPORTED, 1),
    retry_due: (Status.EXPORTED, 2),
    breaker_tried: (Status.EXPORTED, 2),
    orphaned: (Status.EXPORTED, 1),
    empty: (Status.EXPORTED, 1),
}
"""States in which the day is delivered by its own next run: its answer, and the attempt."""
DELIVERED = (sent, unpublished, half_marked, unmarked, finished, finished_with_a_call)
NEXT_DAY_TAKES_THEM = (failed, released)
LEFT_TO_DO = (sent, sent_and_failed, unpublished, half_marked, unmarked)
