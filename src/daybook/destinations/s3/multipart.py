"""Multipart uploads to S3: parts by offset, completed only if the key is free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from daybook.destinations.s3.errors import translated
from daybook.errors import SessionExpired

PART_BYTES = 5 * 1024 * 1024
"""The smallest part that S3 accepts, except for the last one."""
_COPY_BYTES = 1024 * PART_BYTES
"""The largest part that S3 copies.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""


@dataclass(frozen=True, kw_only=True)
class UploadedPart:
    number: int
    etag: str
    size_bytes: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * PART_BYTES


def size_of(parts: list[UploadedPart]) -> int:
    return sum(part.size_bytes for part in parts)


class Multipart:
    """One multipart upload, identified by its key and its `UploadId`."""

    def __init__(self, client: Any, *, bucket: str, key: str, upload_id: str) -> None:
        self._client = client
        self._upload = {"Bucket": bucket, "Key": key, "UploadId": upload_id}

    @classmethod
    def begin(cls, client: Any, *, bucket: str, key: str, about: Mapping[str, Any]) -> Multipart:
        """Open an upload whose object will have the content type and metadata in `about`."""
        with translated("CreateMultipartUpload", changes=True):
            answer = client.create_multipart_upload(Bucket=bucket, Key=key, **about)
            return cls(client, bucket=bucket, key=key, upload_id=answer["UploadId"])

    @property
    def upload_id(self) -> str:
        return self._upload["UploadId"]

    def put(self, content: bytes, *, offset: int) -> UploadedPart:
        """Send a part. A part sent again for the same offset replaces the first one."""
        number = offset // PART_BYTES + 1
        with translated("UploadPart", changes=True):
            answer = self._client.upload_part(**self._upload, PartNumber=number, Body=content)
            return UploadedPart(number=number, etag=answer["ETag"], size_bytes=len(content))

    def copy(self, source_key: str, *, size_bytes: int, etag: str) -> None:
        """Copy all parts from an object of the same bucket that still has this `etag`."""
        source = {"Bucket": self._upload["Bucket"], "Key": source_key}
        for start in range(0, size_bytes, _COPY_BYTES):
            end = min(start + _COPY_BYTES, size_bytes)
            only = (
                {} if size_bytes <= _COPY_BYTES else {"CopySourceRange": f"bytes={start}-{end - 1}"}
            )
            with translated("UploadPartCopy", changes=True):
                self._client.upload_part_copy(
                    **self._upload,
                    **only,
                    PartNumber=start // PART_BYTES + 1,
                    CopySource=source,
                    CopySourceIfMatch=etag,
                )

    def parts(self) -> list[UploadedPart]:
        """The parts that follow one another from the start of the file."""
        chain: list[UploadedPart] = []
        end = 0
        for part in self._all_parts():
            # A part that starts elsewhere is left over from other chunk sizes.
            if part.offset == end:
                chain.append(part)
                end += part.size_bytes
        return chain

    def complete(self, parts: list[UploadedPart]) -> None:
        """Create the object, unless one exists under the key. Raises `IdTaken`."""
        made_of = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with translated("CompleteMultipartUpload", changes=True):
            answer = self._client.complete_multipart_upload(
                **self._upload, MultipartUpload={"Parts": made_of}, IfNoneMatch="*"
            )
            if not answer.get("ETag"):
                raise ValueError("no ETag: the body is not that of a completed upload")

    def abort(self) -> None:
        """Drop the parts, which cost money until then. Aborting again changes nothing."""
        try:
            with translated("AbortMultipartUpload", changes=True):
                self._client.abort_multipart_upload(**self._upload)
        except SessionExpired:
            return

    def _all_parts(self) -> Iterator[UploadedPart]:
        with translated("ListParts"):
            for page in self._client.get_paginator("list_parts").paginate(**self._upload):
                if page["UploadId"] != self.upload_id:
                    raise ValueError("parts of another upload")
                for part in page.get("Parts", ()):
                    yield UploadedPart(
                        number=part["PartNumber"], etag=part["ETag"], size_bytes=part["Size"]
                    )
