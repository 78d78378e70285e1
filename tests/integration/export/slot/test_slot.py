"""The slot: lease, fence, hand-over, on a real MongoDB."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from daybook.errors import FencedOut
from daybook.export.model.seal import Prefix
from daybook.export.slot.slot import Slot
from daybook.export.slot.state import UploadState

pytestmark = pytest.mark.migrated

NO_SUCH_TRANSACTION = 251

Db = Database[dict[str, Any]]


@pytest.fixture
def slots(database: Db) -> Collection[dict[str, Any]]:
    return database["exportslots"]


def take(
    slots: Collection[dict[str, Any]], owner: str = "one", *, lease_seconds: float = 60
) -> Slot | None:
    return Slot.take(slots, "daily", owner=owner, lease_seconds=lease_seconds)


def taken(slots: Collection[dict[str, Any]], owner: str = "one", **more: Any) -> Slot:
    slot = take(slots, owner, **more)
    assert slot is not None
    return slot


def expire(slots: Collection[dict[str, Any]]) -> None:
    """Let the lease run out now, by the server's clock."""
    slots.update_one({}, [{"$set": {"lease.expiresAt": {"$subtract": ["$$NOW", 1]}}}])


UPLOAD = UploadState(
    session="https://…", manifest_digest="d", opened_fence=1, filename="batch_2026-01-18.csv"
)


def test_a_second_runner_loses_against_a_live_lease(slots: Collection[dict[str, Any]]) -> None:
    first = taken(slots)
    assert take(slots, "two") is None
    assert first.fence == 1


def test_a_released_slot_is_taken_under_a_higher_fence(slots: Collection[dict[str, Any]]) -> None:
    taken(slots).release()
    assert taken(slots, "two").fence == 2


def test_an_overtaken_run_changes_nothing(slots: Collection[dict[str, Any]]) -> None:
    old = taken(slots)
    expire(slots)
    taken(slots, "two")
    before = slots.find_one()
    for write in (
        old.renew,
        old.release,
        old.raise_fence,
        old.store_refusal,
        lambda: old.store_file_id("id", "me"),
        lambda: old.store_manifest(None),
        lambda: old.store_upload(UPLOAD),
        lambda: old.transaction(lambda _: None),
    ):
        with pytest.raises(FencedOut):
            write()
    assert slots.find_one() == before


def test_an_expired_lease_that_no_run_took_may_be_renewed(
    slots: Collection[dict[str, Any]],
) -> None:
    slot = taken(slots)
    expire(slots)
    slot.renew()
    assert take(slots, "two") is None


def test_a_lease_is_kept_while_the_run_works(slots: Collection[dict[str, Any]]) -> None:
    slot = taken(slots, lease_seconds=0.3)
    with slot.keep_lease(stop_after_seconds=60):
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            assert take(slots, "two") is None
    slot.release()
    assert take(slots, "two") is not None


def test_a_session_is_handed_over_once_and_only_when_handed_back(
    slots: Collection[dict[str, Any]],
) -> None:
    first = taken(slots)
    first.store_upload(UPLOAD)
    first.store_prefix(Prefix(size_bytes=5, sha256="s"))
    first.hand_back_session()
    first.release()

    second = taken(slots, "two")
    assert second.state.upload is not None
    assert second.state.upload.prefixes == (Prefix(size_bytes=5, sha256="s"),)
    second.touch_upload()
    second.release()
    assert taken(slots, "three").state.upload is None


def test_a_session_left_by_a_crash_belongs_to_no_run(slots: Collection[dict[str, Any]]) -> None:
    taken(slots).store_upload(UPLOAD)
    expire(slots)
    assert taken(slots, "two").state.upload is None


def test_a_session_that_was_not_used_is_passed_on(slots: Collection[dict[str, Any]]) -> None:
    first = taken(slots)
    first.store_upload(UPLOAD)
    first.hand_back_session()
    first.release()
    taken(slots, "two").release()
    assert taken(slots, "three").state.upload is not None


def test_a_transaction_left_open_under_an_expired_lease_is_ended_by_the_taker(
    slots: Collection[dict[str, Any]],
) -> None:
    dead = taken(slots, lease_seconds=0.05)
    in_transaction = dead._session
    with in_transaction.start_transaction():
        slots.update_one({"_id": "daily"}, {"$inc": {"writes": 1}}, session=in_transaction)
        time.sleep(0.1)
        started = time.monotonic()

        assert taken(slots, "two").fence == 2

        assert time.monotonic() - started < 2
        with pytest.raises(OperationFailure) as refused:
            in_transaction.commit_transaction()
        assert refused.value.code == NO_SUCH_TRANSACTION
    with pytest.raises(FencedOut):
        dead.transaction(lambda _: None)


def test_a_live_lease_protects_its_transaction(slots: Collection[dict[str, Any]]) -> None:
    slot = taken(slots)

    def work(_: Any) -> None:
        assert take(slots, "two") is None

    slot.transaction(work)
    assert slot.fence == 1


def test_another_session_that_holds_the_slot_keeps_no_taker_waiting(
    slots: Collection[dict[str, Any]],
) -> None:
    taken(slots).release()
    with slots.database.client.start_session() as session:
        session.start_transaction()
        slots.update_one({"_id": "daily"}, {"$inc": {"writes": 1}}, session=session)
        started = time.monotonic()
        assert take(slots, "two") is None
        assert time.monotonic() - started < 20
        session.abort_transaction()
    assert take(slots, "three") is not None
