"""Reading, changing and listing files, by the fields of the discovery document."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest
import requests

from tests.contract.drive_emulator.calls import (
    Client,
    Clock,
    metadata_of,
    refused,
)
from tests.emulators.drive import DriveEmulator
from tests.emulators.drive.items import Identity


def test_fields_select_parts_and_must_exist(drive: DriveEmulator, client: Client) -> None:
    file = drive.plant(b"abc", name="a.csv", properties={"batch": "1"})
    assert client.get(file.id).json().keys() == {"kind", "id", "name", "mimeType"}
    chosen = "name,size,appProperties,capabilities(canEdit,canDelete),webViewLink,sha256Checksum"
    assert client.get(file.id, fields=chosen).json() == {
        "name": "a.csv",
        "size": "3",
        "appProperties": {"batch": "1"},
        "capabilities": {"canEdit": True, "canDelete": False},
        "webViewLink": f"https://drive.google.com/file/d/{file.id}/view?usp=drivesdk",
        "sha256Checksum": hashlib.sha256(b"abc").hexdigest(),
    }
    assert client.get(file.id, fields="capabilities/canEdit").json() == {
        "capabilities": {"canEdit": True}
    }
    assert client.get(file.id, fields="*").json()["driveId"] == drive.drive_id
    for wrong in ("title", "name,capabilities(canFly)", "name,", "name(", "owners/shoeSize"):
        answer = client.get(file.id, fields=wrong)
        assert refused(answer) == (400, "invalidParameter"), wrong


def test_bad_selection_is_refused_before_anything_is_made(
    drive: DriveEmulator, client: Client
) -> None:
    assert client.create(metadata_of(drive), b"a", fields="title").status_code == 400
    assert drive.files() == []


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda c, i: c.get(i, supportAllDrives="true"), (400, "badRequest")),
        (lambda c, i: c.get(i, acknowledgeAbuse="yes"), (400, "invalidParameter")),
        (lambda c, i: c.patch(i, {"title": "x"}), (400, "badRequest")),
        (lambda c, i: c.patch(i, {"name": 7}), (400, "badRequest")),
        (lambda c, i: c.patch(i, {"appProperties": {"k": 7}}), (400, "badRequest")),
        (lambda c, i: c.patch(i, {"modifiedTime": "yesterday"}), (400, "badRequest")),
        (lambda c, i: c.patch(i, {"md5Checksum": "0" * 32}), (403, "fieldNotWritable")),
        (lambda c, i: c.patch(i, {"id": "x"}), (403, "fieldNotWritable")),
        (lambda c, i: c.http.put(f"{c.files}/{i}"), (404, "notFound")),
        (lambda c, i: c.http.get(f"{c.files}/{i}/blocks"), (404, "notFound")),
    ],
)
def test_what_the_discovery_document_does_not_know_is_refused(
    drive: DriveEmulator,
    client: Client,
    call: Callable[[Client, str], requests.Response],
    expected: tuple[int, str],
) -> None:
    file = drive.plant(b"abc", name="a.csv")
    assert refused(call(client, file.id)) == expected
    assert [found.name for found in drive.files()] == ["a.csv"]


def test_update_merges_properties_and_clears_with_null(
    drive: DriveEmulator, client: Client
) -> None:
    file = drive.plant(b"abc", name="a.csv", properties={"old": "1", "both": "1"})
    changes = {"description": "12 entries", "appProperties": {"both": "2", "old": None}}
    assert client.patch(file.id, changes, fields="description").json() == {
        "description": "12 entries"
    }
    [found] = drive.files()
    assert (found.description, found.properties) == ("12 entries", {"both": "2"})


def test_properties_are_private_to_the_application(drive: DriveEmulator, client: Client) -> None:
    file_id = client.create(metadata_of(drive, appProperties={"batch": "1"}), b"").json()["id"]
    query = "appProperties has { key='batch' and value='1' }"
    asked = {"fields": "appProperties"}
    assert client.get(file_id, **asked).json() == {"appProperties": {"batch": "1"}}
    assert [found["id"] for found in client.list(q=query).json()["files"]] == [file_id]

    drive.identities[""] = Identity(name="anonymous", application="gcloud")
    assert client.get(file_id, **asked).json() == {}
    assert client.list(q=query).json()["files"] == []
    client.patch(file_id, {"appProperties": {"batch": "2"}})
    assert client.get(file_id, **asked).json() == {"appProperties": {"batch": "2"}}

    del drive.identities[""]
    assert client.get(file_id, **asked).json() == {"appProperties": {"batch": "1"}}


def test_properties_are_limited_in_bytes_and_number(drive: DriveEmulator, client: Client) -> None:
    fits = {"key": "ก" * 40 + "a"}
    assert client.create(metadata_of(drive, appProperties=fits), b"").status_code == 200
    too_long = {"key": "ก" * 40 + "ab"}
    answer = client.create(metadata_of(drive, appProperties=too_long), b"")
    assert refused(answer) == (400, "invalid")
    many = {f"k{number}": "v" for number in range(31)}
    assert refused(client.create(metadata_of(drive, appProperties=many), b"")) == (400, "invalid")
    assert len(drive.files()) == 1


def test_listing_may_lag_while_get_never_does(
    drive: DriveEmulator, client: Client, clock: Clock
) -> None:
    drive.listing_lag = timedelta(seconds=30)
    file_id = client.create(metadata_of(drive, name="it's"), b"a").json()["id"]
    query = f"'{drive.folder_id}' in parents and name = 'it\\'s' and trashed = false"
    assert client.list(q=query).json()["files"] == []
    assert client.get(file_id).status_code == 200
    clock.now += timedelta(seconds=30)
    assert [found["id"] for found in client.list(q=query).json()["files"]] == [file_id]
    assert client.list(q="name = 'other'").json()["files"] == []
    assert refused(client.list(q="name like 'a'")) == (400, "invalid")


def test_listing_leaves_shared_drives_out_unless_asked(
    drive: DriveEmulator, client: Client
) -> None:
    drive.plant(b"a", name="a.csv")
    query = f"'{drive.folder_id}' in parents"
    assert client.http.get(client.files, params={"q": query}).json()["files"] == []
    pages = [client.list(q=query, pageSize="1").json()]
    drive.plant(b"b", name="b.csv")
    pages.append(client.list(q=query, pageSize="1", orderBy="name desc").json())
    token = pages[1]["nextPageToken"]
    pages.append(client.list(q=query, pageSize="1", orderBy="name desc", pageToken=token).json())
    assert [[file["name"] for file in page["files"]] for page in pages] == [
        ["a.csv"],
        ["b.csv"],
        ["a.csv"],
    ]


def test_about_and_drives_tell_who_and_where(drive: DriveEmulator) -> None:
    client = Client(drive.url, token="batch@example.com")
    about = f"{drive.url}drive/v3/about"
    assert refused(client.http.get(about)) == (400, "required")
    answer = client.http.get(about, params={"fields": "user(emailAddress),storageQuota/limit"})
    assert answer.json() == {
        "user": {"emailAddress": "batch@example.com"},
        "storageQuota": {"limit": "0"},
    }
    drives = f"{drive.url}drive/v3/drives"
    assert client.http.get(f"{drives}/{drive.drive_id}").json()["name"] == "Accounting"
    assert refused(client.http.get(f"{drives}/0Anone")) == (404, "notFound")
