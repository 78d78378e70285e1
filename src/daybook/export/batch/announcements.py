"""What is stored of a batch's alerts and receipts: fields that are added, without a fence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection

from daybook.export.batch.batch import Batch
from daybook.export.model.lifecycle import BatchState


def record_unrecorded(
    batches: Collection[dict[str, Any]],
    batch_id: ObjectId,
    *,
    file: Mapping[str, Any],
    now: datetime,
) -> None:
    """Store that the file is visible, and MongoDB refuses its record. Only adds a field."""
    batches.update_one(
        {"_id": batch_id, "state": {"$ne": BatchState.COMMITTED.value}},
        {"$set": {"unrecorded": {**file, "at": now}}},
    )


def record_publish_alert(
    batches: Collection[dict[str, Any]], batch: Batch, *, now: datetime
) -> None:
    """Record the alert that the file could not be given its name. Only adds a field."""
    batches.update_one({"_id": batch.id}, {"$set": {"publishAlertedAt": now}})


def record_marking_alert(
    batches: Collection[dict[str, Any]], batch: Batch, *, now: datetime
) -> None:
    """Record the alert that items cannot be marked. Only adds a field."""
    batches.update_one({"_id": batch.id}, {"$set": {"markingAlertedAt": now}})


def record_announced(batches: Collection[dict[str, Any]], batch: Batch, *, now: datetime) -> None:
    """Record that this end of the batch was announced. Needs no fence: it only adds a field."""
    batches.update_one(
        {
            "_id": batch.id,
            "state": batch.state.value,
            "generation": batch.generation,
            "attempt": batch.attempt,
        },
        {"$set": {"alertedAt": now}},
    )
