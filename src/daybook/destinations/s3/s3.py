"""An S3 bucket as a destination.

Until it is published, a file is the object PREFIX/.daybook/ID. It is only ever written with
`If-None-Match: *`, so of all senders one succeeds
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). Publishing
copies it to its real name, under the same condition, and then replaces it by an empty object,
the tombstone, which keeps the ID taken for ever.

The copy is a multipart one: its completion has been conditional for longer, and on more
stores, than `CopyObject`, which some stores carry out with the condition ignored.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from daybook.destinations.base import (
    REQUEST_TIMEOUT_SECONDS,
    DeliveredFile,
    FileMetadata,
    Finding,
    Held,
    NewFile,
    media_type,
    require_plain_id,
    require_plain_name,
)
from daybook.destinations.s3.errors import is_absent, translated
from daybook.destinations.s3.multipart import PART_BYTES, Multipart, UploadedPart, size_of
from daybook.errors import (
    UNREADABLE,
    DestinationError,
    DestinationRefused,
    IdTaken,
    SessionExpired,
    UncertainResponse,
)

_BLOCK_BYTES = 1024 * 1024
_KEY = "daybook"


def s3_client() -> Any:
    """A client with this package's limits; AWS's own settings give region, endpoint and identity.

    It never repeats a request: that is for the run to decide, which knows what it may repeat.
    Checksums are sent and expected only where S3 requires them, since stores other than AWS
    refuse the trailer that carries them: https://github.com/boto/boto3/issues/4392

    Raises `DestinationRefused` for AWS settings that cannot be used, `DestinationError` when the
    server that issues credentials does not respond as expected.
    """
    import boto3  # takes 0.4 s that other destinations save
    from botocore.config import Config

    limits = Config(
        connect_timeout=10,
        read_timeout=REQUEST_TIMEOUT_SECONDS,
        retries={"total_max_attempts": 1},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with translated("client"):
        return boto3.client("s3", config=limits)


class S3Destination:
    """The keys below `prefix` in `bucket`; the store must support conditional writes."""

    kind = "s3"
    chunk_multiple_bytes = PART_BYTES
    publishes = True

    def __init__(self, *, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.identity = f"s3://{bucket}/{self._prefix}"

    def new_id(self) -> str:
        return uuid.uuid4().hex

    def check_name(self, name: str) -> None:
        require_plain_name(name)
        if self._note(self._real(name)) is not None:
            raise self._name_taken(name)

    def send_whole(self, file: NewFile, content: bytes) -> None:
        self._put(self._hidden(file.id), Note.of(file), content, IfNoneMatch="*")

    def open_session(self, file: NewFile) -> str:
        upload = Multipart.begin(
            self._client,
            bucket=self._bucket,
            key=self._hidden(file.id),
            about=Note.of(file).to_parameters(),
        )
        return f"{file.id}:{upload.upload_id}"

    def send_chunk(self, session: str, content: bytes, *, offset: int, last: bool) -> Held:
        if not content:
            raise ValueError("a chunk is never empty")
        upload = self._upload(session)
        parts = upload.parts()
        before = [part for part in parts if part.offset < offset]
        if size_of(before) != offset:
            return Held(size_bytes=size_of(parts))
        made_of = [*before, upload.put(content, offset=offset)]
        if last:
            _complete(upload, made_of)
        return Held(size_bytes=size_of(made_of), complete=last)

    def finish(self, session: str, size_bytes: int) -> Held:
        upload = self._upload(session)
        parts = upload.parts()
        held_bytes = size_of(parts)
        if held_bytes == size_bytes:
            _complete(upload, parts)
        return Held(size_bytes=held_bytes, complete=held_bytes == size_bytes)

    def held(self, session: str) -> Held:
        return Held(size_bytes=size_of(self._upload(session).parts()))

    def find_file(self, file_id: str) -> DeliveredFile | None:
        with translated("GetObject"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._hidden(file_id))
            except self._client.exceptions.NoSuchKey:
                return None
            note = Note.from_answer(answer)
            md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
            with closing(answer["Body"]) as stream:
                if note.published:
                    return None
                for block in stream.iter_chunks(_BLOCK_BYTES):
                    md5.update(block)
                    sha256.update(block)
        return DeliveredFile(
            id=file_id,
            name=note.name,
            size_bytes=note.size_bytes,
            md5=md5.hexdigest(),
            sha256=sha256.hexdigest(),
            link=self.link(file_id, note.name),
            properties=note.properties,
        )

    def link(self, file_id: str, name: str) -> str:  # noqa: ARG002  (of all destinations)
        return self._link(name)

    def publish(self, file_id: str, name: str) -> str:
        require_plain_name(name)
        hidden = self._note(self._hidden(file_id))
        if hidden is None:
            self._require_bucket(f"publish {self._link(name)}")
            raise DestinationRefused(
                f"cannot publish {self._link(name)}: {self._hidden(file_id)} was deleted from "
                f"{self._bucket}; restore it"
            )
        if not hidden.published:
            if not self._is_published(hidden, file_id, name):
                self._copy(hidden, file_id, name)
            tombstone = Note(id=file_id, name=name, published=True)
            self._put(self._hidden(file_id), tombstone, b"")
        return self.link(file_id, name)

    def describe(self, file_id: str, text: str) -> None:
        """An object has no place for a note that a reader would see."""

    def metadata(self, file_id: str, name: str) -> FileMetadata | None:
        """Without digests: the ETag of a multipart copy, or of an encrypted object, is none.

        It changes with the content, and only with it:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
        """
        require_plain_id(file_id)
        real = self._note(self._real(name))
        if real is None:
            self._require_bucket(f"look for {self._link(name)}")
            return None
        return FileMetadata(name=name, size_bytes=real.size_bytes, version=real.etag or None)

    def read(self, file_id: str, name: str) -> Iterator[bytes]:
        require_plain_id(file_id)
        with translated("GetObject"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._real(name))
            except self._client.exceptions.NoSuchKey as error:
                raise DestinationRefused(f"{self._link(name)} is gone") from error
            with closing(answer["Body"]) as stream:
                yield from stream.iter_chunks(_BLOCK_BYTES)

    def check(self) -> list[Finding]:
        probe = self._hidden(f"doctor-{uuid.uuid4().hex}")
        try:
            self._put(probe, Note(published=True), b"")
            finding = self._honours_conditions(probe)
            with translated("DeleteObject", changes=True):
                self._client.delete_object(Bucket=self._bucket, Key=probe)
        except DestinationError as error:
            return [Finding(name="bucket", ok=False, detail=str(error))]
        return [finding]

    def _honours_conditions(self, taken_key: str) -> Finding:
        try:
            self._put(taken_key, Note(published=True), b"", IfNoneMatch="*")
        except IdTaken:
            return Finding(name="bucket", ok=True, detail=f"{self.identity} takes files")
        detail = "the store ignores If-None-Match, so two runs could both deliver: choose another"
        return Finding(name="bucket", ok=False, detail=detail)

    def _hidden(self, file_id: str) -> str:
        require_plain_id(file_id)
        return f"{self._prefix}.daybook/{file_id}"

    def _real(self, name: str) -> str:
        require_plain_name(name)
        return f"{self._prefix}{name}"

    def _link(self, name: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{name}"

    def _upload(self, session: str) -> Multipart:
        file_id, separator, upload_id = session.partition(":")
        if not (separator and upload_id):
            raise SessionExpired("the stored upload session is not one of an S3 bucket")
        return Multipart(
            self._client, bucket=self._bucket, key=self._hidden(file_id), upload_id=upload_id
        )

    def _put(self, key: str, note: Note, content: bytes, **condition: str) -> None:
        with translated("PutObject", changes=True):
            answer = self._client.put_object(
                Bucket=self._bucket, Key=key, Body=content, **note.to_parameters(), **condition
            )
            if not answer.get("ETag"):
                raise ValueError("no ETag: what answered was no object store")

    def _note(self, key: str) -> Note | None:
        with translated("HeadObject"):
            try:
                return Note.from_answer(self._client.head_object(Bucket=self._bucket, Key=key))
            except ClientError as error:
                if is_absent(error):
                    return None
                raise

    def _require_bucket(self, what: str) -> None:
        """Distinguish a missing bucket from a missing key; HEAD responds alike to both."""
        with translated("HeadBucket"):
            try:
                self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if not is_absent(error):
                    raise
                raise DestinationError(
                    f"cannot {what}: the bucket {self._bucket} is not there; "
                    "create it again with its contents, or correct DAYBOOK_DESTINATION"
                ) from error

    def _is_published(self, hidden: Note, file_id: str, name: str) -> bool:
        """True when a run that crashed has already copied the file."""
        real = self._note(self._real(name))
        if real is None:
            return False
        if (real.id, real.size_bytes) != (file_id, hidden.size_bytes):
            raise self._name_taken(name)
        return True

    def _copy(self, hidden: Note, file_id: str, name: str) -> None:
        upload = Multipart.begin(
            self._client,
            bucket=self._bucket,
            key=self._real(name),
            about=hidden.to_parameters(),
        )
        try:
            upload.copy(self._hidden(file_id), size_bytes=hidden.size_bytes, etag=hidden.etag)
            upload.complete(upload.parts())
        except IdTaken as error:
            upload.abort()
            if not self._is_published(hidden, file_id, name):
                raise UncertainResponse(
                    f"{self._link(name)} changed while being published"
                ) from error
        except DestinationError:
            upload.abort()  # a repeat starts again; the parts of this one would cost money
            raise

    def _name_taken(self, name: str) -> DestinationRefused:
        return DestinationRefused(
            f"{self._link(name)} exists already and is another file: move it away, then retry"
        )


@dataclass(frozen=True, kw_only=True)
class Note:
    """Stored as one ASCII value, since S3 converts metadata keys to lower case.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """

    id: str = ""
    name: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    published: bool = False
    """True for the tombstone left in place of a published file."""
    etag: str = ""
    size_bytes: int = 0

    @classmethod
    def of(cls, file: NewFile) -> Note:
        require_plain_name(file.name)
        return cls(id=file.id, name=file.name, properties=file.properties)

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Note:
        """Read it from a HEAD or GET; an object that is not ours has an empty ID."""
        found = cls(etag=answer["ETag"], size_bytes=answer["ContentLength"])
        try:
            note = json.loads(answer["Metadata"].get(_KEY, "{}"))
            return replace(
                found,
                id=str(note.get("id", "")),
                name=str(note.get("name", "")),
                properties=dict(note.get("properties", {})),
                published=note.get("published") is True,
            )
        except UNREADABLE:
            return found  # another program's metadata under our key

    def to_parameters(self) -> dict[str, Any]:
        """Parameters of a request that creates an object."""
        note = {
            "id": self.id,
            "name": self.name,
            "properties": dict(self.properties),
            "published": self.published,
        }
        return {"ContentType": media_type(self.name), "Metadata": {_KEY: json.dumps(note)}}


def _complete(upload: Multipart, parts: list[UploadedPart]) -> None:
    try:
        upload.complete(parts)
    except IdTaken:
        upload.abort()
        raise
