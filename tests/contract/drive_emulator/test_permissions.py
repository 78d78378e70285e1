"""Shared drives, folders, and what each role may do there."""

from __future__ import annotations

import pytest

from tests.contract.drive_emulator.calls import (
    Client,
    metadata_of,
    refused,
)
from tests.emulators.drive import DriveEmulator


def test_shared_drive_needs_supports_all_drives(drive: DriveEmulator, client: Client) -> None:
    file = drive.plant(b"a", name="a.csv")
    off = {"supportsAllDrives": "false"}
    assert refused(client.get(file.id, **off)) == (404, "notFound")
    assert refused(client.patch(file.id, {"name": "b"}, **off)) == (404, "notFound")
    answer = client.create(metadata_of(drive), b"b", **off)
    assert refused(answer) == (404, "notFound")
    assert answer.json()["error"]["message"] == f"File not found: {drive.folder_id}."
    assert len(drive.files()) == 1


def test_folder_must_exist_and_be_visible(drive: DriveEmulator, client: Client) -> None:
    nowhere = {"name": "a", "parents": ["1" + "n" * 32]}
    assert refused(client.create(nowhere, b"")) == (404, "notFound")
    assert refused(client.open(nowhere)) == (404, "notFound")
    drive.grant(drive.drive_id, "none")
    assert refused(client.create(metadata_of(drive), b"")) == (404, "notFound")


def test_service_account_cannot_own_files_but_a_user_can(drive: DriveEmulator) -> None:
    place = {"name": "a.csv", "parents": [drive.my_drive_folder_id]}
    account = Client(drive.url, token="batch@example.com")
    assert refused(account.create(place, b"a")) == (403, "storageQuotaExceeded")
    assert refused(account.open(place)) == (403, "storageQuotaExceeded")
    assert refused(account.create({"name": "a.csv"}, b"a")) == (403, "storageQuotaExceeded")
    user = Client(drive.url, token="user:accountant@example.com")
    assert user.create(place, b"a").status_code == 200
    assert [file.folder_id for file in drive.files()] == [drive.my_drive_folder_id]


def test_viewer_may_look_but_not_add(drive: DriveEmulator, client: Client) -> None:
    may = client.get(drive.read_only_folder_id, fields="capabilities").json()["capabilities"]
    assert (may["canAddChildren"], may["canListChildren"]) == (False, True)
    place = {"name": "a.csv", "parents": [drive.read_only_folder_id]}
    assert refused(client.create(place, b"a")) == (403, "insufficientFilePermissions")
    assert refused(client.open(place)) == (403, "insufficientFilePermissions")


@pytest.mark.parametrize(
    ("role", "trash", "delete"),
    [("writer", 403, 403), ("fileOrganizer", 200, 403), ("organizer", 200, 204)],
)
def test_contributor_adds_and_edits_but_does_not_delete(
    drive: DriveEmulator, client: Client, role: str, trash: int, delete: int
) -> None:
    drive.grant(drive.drive_id, role)
    file_id = client.create(metadata_of(drive), b"a").json()["id"]
    assert client.patch(file_id, {"description": "x"}).status_code == 200
    assert client.patch(file_id, {"trashed": True}).status_code == trash
    assert len(drive.files()) == (1 if trash == 403 else 0)
    assert client.delete(file_id).status_code == delete
    assert len(drive.files(include_trashed=True)) == (0 if delete == 204 else 1)


def test_contributor_may_restore_from_the_trash(drive: DriveEmulator, client: Client) -> None:
    file_id = client.create(metadata_of(drive), b"a").json()["id"]
    drive.grant(drive.drive_id, "fileOrganizer")
    assert client.patch(file_id, {"trashed": True}).status_code == 200
    drive.grant(drive.drive_id, "writer")
    assert client.patch(file_id, {"trashed": False}).status_code == 200
    assert len(drive.files()) == 1
