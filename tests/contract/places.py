"""The places that the conformance suite delivers to: Drive, a folder, a bucket."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Protocol

from daybook.destinations.base import Destination
from daybook.destinations.drive.drive import DriveDestination, drive_session
from daybook.destinations.local import LocalDestination
from daybook.destinations.s3.s3 import S3Destination
from tests.emulators.drive import DriveEmulator


class Place(Protocol):
    """Where files lie, and what a test needs to do there behind the destination's back."""

    def destination(self) -> Destination:
        """A destination of its own, as another process would build it."""

    def lose(self, session: str) -> None:
        """Make an upload session disappear."""

    def visible(self) -> dict[str, bytes]:
        """What a person who opens the folder finds, by name."""

    def edit(self, file_id: str, name: str, content: bytes) -> None:
        """Replace a published file's content, as a person would."""

    def remove(self, file_id: str, name: str) -> None:
        """Delete a published file for good."""


class DrivePlace:
    def __init__(self, emulator: DriveEmulator) -> None:
        self.emulator = emulator

    def destination(self) -> DriveDestination:
        return DriveDestination(
            folder_id=self.emulator.folder_id,
            session=drive_session(None, self.emulator.url),
            root_url=self.emulator.url,
        )

    def lose(self, session: str) -> None:
        self.emulator.fault("session_expired", on=["chunk", "chunk_last", "session_query"])

    def visible(self) -> dict[str, bytes]:
        return {file.name: file.content for file in self.emulator.files(self.emulator.folder_id)}

    def edit(self, file_id: str, name: str, content: bytes) -> None:
        self.emulator.tamper(file_id, content)

    def remove(self, file_id: str, name: str) -> None:
        self.emulator.remove(file_id)


class LocalPlace:
    def __init__(self, root: Path) -> None:
        self.root = root

    def destination(self) -> LocalDestination:
        return LocalDestination(self.root)

    def lose(self, session: str) -> None:
        shutil.rmtree(self.root / session)

    def visible(self) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in self.root.iterdir()
            if not path.name.startswith(".")
        }

    def edit(self, file_id: str, name: str, content: bytes) -> None:
        (self.root / name).write_bytes(content)

    def remove(self, file_id: str, name: str) -> None:
        (self.root / name).unlink()


class S3Place:
    def __init__(self, client: Any, bucket: str) -> None:
        self.client = client
        self.bucket = bucket

    def destination(self) -> S3Destination:
        return S3Destination(client=self.client, bucket=self.bucket, prefix="batches")

    def lose(self, session: str) -> None:
        file_id, _, upload_id = session.partition(":")
        self.client.abort_multipart_upload(
            Bucket=self.bucket, Key=f"batches/.daybook/{file_id}", UploadId=upload_id
        )

    def visible(self) -> dict[str, bytes]:
        keys = self.keys()
        return {
            key.removeprefix("batches/"): self.client.get_object(Bucket=self.bucket, Key=key)[
                "Body"
            ].read()
            for key in keys
            if "/.daybook/" not in key
        }

    def edit(self, file_id: str, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"batches/{name}", Body=content)

    def remove(self, file_id: str, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=f"batches/{name}")

    def keys(self) -> list[str]:
        listing = self.client.list_objects_v2(Bucket=self.bucket)
        return [entry["Key"] for entry in listing.get("Contents", ())]
