"""The check before the seal: when it begins, and when it is made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from daybook.export.context import Context, daily_job
from daybook.export.deliver import CHECK_AHEAD, CHECK_FRESH_SECONDS, QueueCheck
from daybook.export.model.seal import ManifestRef
from daybook.export.queue import manifest as manifests
from daybook.export.slot.slot import COLLECTION, Slot
from tests import books
from tests.integration.office import DAY, EVENING, Office

pytestmark = pytest.mark.migrated

COUNT = 3


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


@pytest.fixture
def ctx(office: Office) -> Iterator[Context]:
    profile = office.app.profile()
    slot = Slot.take(office.database[COLLECTION], profile.name, owner="test", lease_seconds=60)
    assert slot is not None
    job = daily_job(office.app.database, profile, DAY)
    yield Context.of(office.app.exporter(profile), job, slot)
    slot.release()


@pytest.fixture
def manifest(office: Office, ctx: Context) -> ManifestRef:
    books.put_many(office.database, COUNT)
    return manifests.write(
        ctx.manifests,
        ctx.job.scan(),
        batch_id=str(ObjectId()),
        generation=1,
        fence=ctx.slot.fence,
        slot_id=ctx.job.key.slot_id,
        profile=office.app.profile(),
        now=EVENING,
    )


def withdraw(office: Office, **change: Any) -> None:
    office.queue.update_one({"status": "queued"}, {"$set": change or {"status": "failed"}})


def test_a_check_made_during_the_rendering_counts_while_it_is_fresh(
    office: Office, ctx: Context, manifest: ManifestRef
) -> None:
    clock = Clock()
    with QueueCheck(ctx, manifest, clock=clock) as check:
        check.rendered(1)
        assert not check.changed()
        withdraw(office)
        clock.seconds += CHECK_FRESH_SECONDS
        assert not check.changed()  # as if the item had left the queue after the seal
        clock.seconds += 0.001
        assert check.changed()


def test_no_check_begins_while_much_is_to_be_rendered(
    office: Office, ctx: Context, manifest: ManifestRef
) -> None:
    large = replace(manifest, item_count=CHECK_AHEAD + COUNT)
    with QueueCheck(ctx, large) as check:
        check.rendered(COUNT - 1)
        withdraw(office)
        assert check.changed()


@pytest.mark.parametrize(
    "change",
    [
        {"status": "completed"},
        {"entryId": ObjectId()},
        {"entryId": "text"},
        {"exportPath": "manual"},
        {"profile": "other"},
    ],
    ids=["completed", "another entry", "of another type", "manual", "another profile"],
)
def test_an_item_that_is_withdrawn_or_given_to_another_entry_is_found(
    office: Office, ctx: Context, manifest: ManifestRef, change: dict[str, Any]
) -> None:
    withdraw(office, **change)
    with QueueCheck(ctx, manifest) as check:
        check.rendered(COUNT)
        assert check.changed()


def test_items_with_ids_of_other_types_are_compared_as_well(office: Office, ctx: Context) -> None:
    entry = books.entry("ODD", _id="text")
    office.entries.insert_one(entry)
    office.queue.insert_many([books.queue_item("text"), books.queue_item(7)])
    parts = list(ctx.job.scan())
    assert [sorted(map(str, part.entry_ids)) for part in parts] == [["7", "text"]]
    mixed = manifests.write(
        ctx.manifests,
        parts,
        batch_id=str(ObjectId()),
        generation=1,
        fence=ctx.slot.fence,
        slot_id=ctx.job.key.slot_id,
        profile=office.app.profile(),
        now=EVENING,
    )
    with QueueCheck(ctx, mixed) as check:
        assert not check.changed()
    office.queue.update_one({"entryId": 7}, {"$set": {"entryId": 8}})
    with QueueCheck(ctx, mixed) as check:
        assert check.changed()
