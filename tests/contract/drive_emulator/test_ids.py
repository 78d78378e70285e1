"""IDs that Drive issues: each creates one file, for the identity that asked for it."""

from __future__ import annotations

from tests.contract.drive_emulator.calls import (
    Client,
    metadata_of,
    refused,
)
from tests.emulators.drive import DriveEmulator


def test_id_makes_create_safe_to_repeat(drive: DriveEmulator, client: Client) -> None:
    file_id = client.new_id()
    first = client.create(metadata_of(drive, id=file_id), b"one")
    second = client.create(metadata_of(drive, id=file_id), b"two")
    assert first.json() == {
        "kind": "drive#file",
        "id": file_id,
        "name": "batch.csv",
        "mimeType": "text/csv",
    }
    assert refused(second) == (409, "fileIdInUse")
    assert second.json()["error"]["message"] == "A file already exists with the provided ID."
    assert [(file.id, file.content) for file in drive.files()] == [(file_id, b"one")]


def test_id_stays_used_after_its_file_is_deleted(drive: DriveEmulator, client: Client) -> None:
    drive.grant(drive.drive_id, "organizer")
    file_id = client.new_id()
    client.create(metadata_of(drive, id=file_id), b"one")
    assert client.delete(file_id).status_code == 204
    assert refused(client.get(file_id)) == (404, "notFound")
    assert refused(client.create(metadata_of(drive, id=file_id), b"two")) == (409, "fileIdInUse")


def test_id_that_was_never_issued_is_refused(drive: DriveEmulator, client: Client) -> None:
    answer = client.create(metadata_of(drive, id="1" + "x" * 32), b"one")
    assert refused(answer) == (400, "invalid")
    assert answer.json()["error"]["message"] == "The provided file ID is not usable."
    assert refused(client.open(metadata_of(drive, id="1" + "x" * 32))) == (400, "invalid")


def test_id_belongs_to_the_identity_that_asked(drive: DriveEmulator, client: Client) -> None:
    other = Client(drive.url, token="batch@project.example.com")
    file_id = client.new_id()
    assert refused(other.create(metadata_of(drive, id=file_id), b"")) == (400, "invalid")
    assert client.create(metadata_of(drive, id=file_id), b"").status_code == 200


def test_ids_are_ten_unless_counted_and_a_thousand_at_most(client: Client) -> None:
    url = f"{client.files}/generateIds"
    assert len(client.http.get(url).json()["ids"]) == 10
    assert len(set(client.http.get(url, params={"count": 1000}).json()["ids"])) == 1000
    assert refused(client.http.get(url, params={"count": 1001})) == (400, "invalidParameter")
    assert refused(client.http.get(url, params={"space": "moon"})) == (400, "invalid")


def test_generated_id_is_refused_for_docs_editors_types(
    drive: DriveEmulator, client: Client
) -> None:
    sheet = "application/vnd.google-apps.spreadsheet"
    answer = client.create(metadata_of(drive, id=client.new_id(), mimeType=sheet), b"a,b")
    assert refused(answer) == (403, "insufficientFilePermissions")
