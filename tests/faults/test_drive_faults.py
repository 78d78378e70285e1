"""Every way in which Drive fails, at every request of an upload; then a clean run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from tests.emulators.drive.faults import FaultKind
from tests.faults.steps import Steps
from tests.faults.world import DAY, FILE_FORMAT, World

MakeWorld = Callable[..., World]
Fault = Mapping[str, Any]

SMALL = ("generateIds", "create_multipart", "get")
LARGE = ("generateIds", "session_open", "chunk", "chunk_last", "get", "update")

ANSWERS: Mapping[str, Fault] = {
    "answer_lost": {"kind": "answer_lost"},
    "answer_cut": {"kind": "answer_cut"},
    "cut_before": {"kind": "cut_before"},
    "cut_body": {"kind": "cut_body"},
    "delay_before": {"kind": "delay_before", "seconds": 0.05},
    "delay_after": {"kind": "delay_after", "seconds": 0.05},
    "html_page": {"kind": "html_page"},
    "html_page_after": {"kind": "html_page", "after": True},
    "page_called_good_after": {"kind": "html_page", "status": 200, "after": True},
    "truncated_json": {"kind": "truncated_json"},
    "empty_json": {"kind": "empty_json"},
    "lying_md5": {"kind": "lying_md5"},
    "session_expired": {"kind": "session_expired"},
    "session_gone": {"kind": "session_expired", "status": 410},
    "not_made": {"kind": "not_made"},
    "partial_chunk": {"kind": "partial_chunk"},
    "nothing_taken": {"kind": "partial_chunk", "at_bytes": 0},
}
WRONG: Mapping[str, Mapping[str, Any]] = {
    "no_id": {"id": None},
    "another_id": {"id": "1mT0kQ5zWc8rY3uJp7LhVb2XsGf6DnEaq"},
    "no_name": {"name": None},
    "another_name": {"name": f"batch_2026-01-17.{FILE_FORMAT}"},
    "no_size": {"size": None},
    "another_size": {"size": "7"},
    "no_md5": {"md5Checksum": None},
    "another_md5": {"md5Checksum": "0" * 32},
    "no_sha256": {"sha256Checksum": None},
    "another_sha256": {"sha256Checksum": "0" * 64},
    "no_link": {"webViewLink": None},
    "no_properties": {"appProperties": None},
    "another_fence": {"appProperties": {"daybookDate": DAY, "daybookFence": "999"}},
    "no_description": {"description": None},
    "another_description": {"description": "by somebody"},
    "no_trashed": {"trashed": None},
    "trashed": {"trashed": True},
}
WRONG_FIELDS: Mapping[str, Fault] = {
    f"says_{name}": {"kind": "wrong_fields", "fields": fields} for name, fields in WRONG.items()
}
REFUSALS: Mapping[str, Fault] = {
    f"{status}_{reason}{'_after' if after else ''}": {
        "kind": "status",
        "status": status,
        "reason": reason,
        "after": after,
    }
    for status, reason in (
        (400, "badRequest"),
        (401, "authError"),
        (403, "rateLimitExceeded"),
        (403, "backendError"),
        (403, "sharingRateLimitExceeded"),
        (403, "storageQuotaExceeded"),
        (404, "notFound"),
        (409, "conflict"),
        (409, "fileIdInUse"),
        (429, "rateLimitExceeded"),
        (500, "internalError"),
        (503, "backendError"),
    )
    for after in (False, True)
}
FAULTS: Mapping[str, Fault] = {**ANSWERS, **REFUSALS, **WRONG_FIELDS}
LIES = {"lying_md5", "says_another_size", "says_another_md5", "says_another_sha256"}
"""Of a file that was looked up; then it has to count as another one."""
AT_ONCE = {"empty_json", "truncated_json", "page_called_good_after", "409_conflict"}
"""Of the request that sends the file's end: the same run looks, or tries again, and delivers."""
IN_CI = {
    "create_multipart": set(FAULTS) - set(WRONG_FIELDS),
    "chunk_last": {
        "answer_lost",
        "answer_cut",
        "cut_body",
        "partial_chunk",
        "session_expired",
        "truncated_json",
        "empty_json",
        "page_called_good_after",
        "403_rateLimitExceeded_after",
        "409_conflict",
        "409_conflict_after",
        "409_fileIdInUse",
        "409_fileIdInUse_after",
        "500_internalError_after",
    },
    "chunk": {"answer_lost", "cut_body", "partial_chunk", "session_gone", "404_notFound"},
    "session_open": {"answer_lost", "409_fileIdInUse", "503_backendError"},
    "get": {"cut_before", "truncated_json", "empty_json", "404_notFound", *LIES, "says_no_md5"},
    "generateIds": {"answer_lost", "empty_json", "503_backendError"},
    "update": {"answer_lost", "403_storageQuotaExceeded"},
}


def _at_rest_after(world: World, operation: str, nth: int, name: str, times: int = 1) -> list[str]:
    """Run under a fault, then undisturbed; returns the answers of the disturbed run."""
    world.reset()
    entries = world.seed()
    fault = world.drive.fault(on=operation, nth=nth, times=times, **FAULTS[name])
    if operation == "get":
        _put_in_doubt(world)
    disturbed = world.run()
    assert fault.hits, f"{operation} #{nth} was never asked for"
    world.drive.faults.clear()
    if disturbed.statuses == ["failed"]:
        _open_again(world)
    world.run_until_done()
    lied_about = [orphan["_id"] for orphan in world.database["exportorphans"].find()]
    if name not in LIES or operation != "get":
        assert lied_about == [], "an id was abandoned although its file was not touched"
    assert world.check(orphans=lied_about) == {DAY: entries}
    return disturbed.statuses


def _put_in_doubt(world: World) -> None:
    """Only then is the file looked up."""
    world.drive.fault("answer_lost", on="create_multipart" if world.small else "chunk_last")


def _open_again(world: World) -> None:
    """As an operator does with a failed day."""
    world.database["exportbatches"].update_one(
        {"batchDate": DAY, "state": "failed"},
        {"$set": {"state": "open", "attempt": 0, "endedAttempt": 0}, "$inc": {"generation": 1}},
    )


def _broken(world: World, cases: Iterable[tuple[str, int, str]]) -> list[str]:
    broken = []
    for operation, nth, name in cases:
        try:
            statuses = _at_rest_after(world, operation, nth, name)
            if name in AT_ONCE and operation in ("create_multipart", "chunk_last"):
                assert statuses == ["exported"]
        except (AssertionError, TimeoutError) as error:
            broken.append(f"{name} at {operation} #{nth}: {error}")
    return broken


def test_every_kind_of_fault_of_the_stand_in_is_tried() -> None:
    held = {FaultKind.HOLD_BEFORE, FaultKind.HOLD_AFTER}  # the frozen runs' business

    assert {FaultKind(fault["kind"]) for fault in FAULTS.values()} == set(FaultKind) - held


def test_a_small_upload_survives_each_fault(world: World) -> None:
    cases = [(op, 1, name) for op in SMALL for name in FAULTS if name in IN_CI[op]]

    assert _broken(world, cases) == []


def test_a_large_upload_survives_each_fault(make_world: MakeWorld) -> None:
    own = [op for op in LARGE if op not in SMALL]
    cases = [(op, 1, name) for op in own for name in FAULTS if name in IN_CI[op]]

    assert _broken(make_world(small=False), cases) == []


@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
def test_an_answer_that_does_not_describe_the_sealed_file_is_looked_up(
    make_world: MakeWorld, small: bool
) -> None:
    """At once, in the same run; the description alone is no reason to."""
    world = make_world(small=small)
    sends = "create_multipart" if small else "chunk_last"
    told: dict[str, tuple[list[str], int]] = {}
    for name in WRONG_FIELDS:
        statuses = _at_rest_after(world, sends, 1, name)
        asked = [request.operation for request in world.drive.requests]
        told[name] = (statuses, asked.count("get"))

    taken_as_told = {"says_no_sha256", "says_no_description", "says_another_description"}
    expected = {name: (["exported"], int(name not in taken_as_told)) for name in WRONG_FIELDS}
    if small:  # Drive says that it made another file; the next run finds ours
        expected["says_another_id"] = (["failed"], 1)
    assert told == expected


@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
@pytest.mark.parametrize("name", sorted(LIES))
def test_a_file_of_other_bytes_by_answer_and_lookup_is_never_committed(
    make_world: MakeWorld, name: str, small: bool
) -> None:
    world = make_world(small=small)
    entries = world.seed()
    sends = "create_multipart" if small else "chunk_last"
    for operation in (sends, "get"):
        world.drive.fault(on=operation, **FAULTS[name])

    worker = world.run()

    assert worker.statuses == ["exported"]
    (orphan,) = world.database["exportorphans"].find()
    assert orphan["reason"] == "unsealed"
    alerts = worker.events_named("unsealed_file", severity="CRITICAL")
    assert [alert["fileId"] for alert in alerts] == [orphan["_id"]]
    assert world.check(orphans=[orphan["_id"]]) == {DAY: entries}


def test_a_drive_that_is_down_for_a_whole_run_costs_an_attempt(world: World) -> None:
    entries = world.seed()
    world.drive.down = True
    assert world.run().statuses == ["retry_scheduled"]
    world.drive.down = False

    assert world.run().statuses == ["exported"]
    assert world.check() == {DAY: entries}


def test_while_drive_cannot_be_asked_nothing_new_is_planned(make_world: MakeWorld) -> None:
    world = make_world(small=False)
    entries = world.seed()
    world.drive.fault("answer_lost", on="chunk_last")
    world.drive.fault("cut_before", on=["get", "session_query"], times=None)
    assert world.run().statuses == ["retry_scheduled"]
    more = world.seed(2, start=6)

    assert world.run("2026-01-19").statuses == ["retry_scheduled"]

    assert world.database["exportmanifests"].count_documents({}) == 1
    world.drive.faults.clear()
    world.run_until_done("2026-01-19")
    assert world.check() == {DAY: entries, "2026-01-19": more}


@pytest.mark.storm
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
def test_storm_every_fault_at_every_request(make_world: MakeWorld, small: bool) -> None:
    world = make_world(small=small)
    world.seed()
    steps = Steps()
    world.watched(steps).go().wait()
    requests = [step for step in steps.seen if step.drive_operation]
    cases = [(step.drive_operation or "", step.nth, name) for step in requests for name in FAULTS]
    cases += [("get", 1, name) for name in FAULTS]

    broken = _broken(world, cases)

    print(f"\n{len(cases)} faults at {len(requests)} requests, {len(broken)} broke the guarantee")
    assert broken == []
