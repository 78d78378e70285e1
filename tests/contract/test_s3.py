"""A bucket as a destination: what is left after a crash, and what S3 may refuse."""

from __future__ import annotations

import socket
from dataclasses import replace

import botocore.exceptions
import pytest

from daybook.destinations.base import NewFile
from daybook.destinations.s3.errors import translated
from daybook.destinations.s3.multipart import PART_BYTES
from daybook.destinations.s3.s3 import S3Destination, s3_client
from daybook.errors import (
    DestinationError,
    DestinationRefused,
    IdTaken,
    SessionExpired,
    UncertainResponse,
)
from tests.contract.places import S3Place

NAME = "batch_2026-01-18.csv"
CONTENT = b"Entry ID,Line\r\n"
FILE = NewFile(id="a" * 32, name=NAME, properties={"batchDate": "2026-01-18"})
HIDDEN = f"batches/.daybook/{FILE.id}"


@pytest.mark.parametrize(
    ("prefix", "root"),
    [("", "s3://b/"), ("/", "s3://b/"), ("x", "s3://b/x/"), ("/x/y/", "s3://b/x/y/")],
)
def test_root_address_is_the_identity(s3_place: S3Place, prefix: str, root: str) -> None:
    destination = S3Destination(client=s3_place.client, bucket="b", prefix=prefix)
    assert destination.identity == root


def test_publishing_goes_on_after_a_crash_between_copy_and_tombstone(s3_place: S3Place) -> None:
    destination = s3_place.destination()
    destination.send_whole(FILE, CONTENT)
    s3_place.client.copy_object(
        Bucket=s3_place.bucket,
        Key=f"batches/{NAME}",
        CopySource={"Bucket": s3_place.bucket, "Key": HIDDEN},
    )
    destination.publish(FILE.id, NAME)
    assert destination.find_file(FILE.id) is None
    assert s3_place.visible() == {NAME: CONTENT}


def test_publishing_waits_for_a_bucket_that_is_not_there(s3_place: S3Place) -> None:
    destination = S3Destination(client=s3_place.client, bucket="gone", prefix="batches")

    with pytest.raises(DestinationError, match="the bucket gone is not there") as waits:
        destination.publish(FILE.id, NAME)

    assert not waits.value.permanent


def test_a_hidden_object_that_was_deleted_is_named(s3_place: S3Place) -> None:
    with pytest.raises(DestinationRefused, match=f"{HIDDEN} was deleted from {s3_place.bucket}"):
        s3_place.destination().publish(FILE.id, NAME)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (NAME, "text/csv"),
        (
            "batch.xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
    ],
)
def test_published_file_keeps_its_type(s3_place: S3Place, name: str, kind: str) -> None:
    destination = s3_place.destination()
    destination.send_whole(replace(FILE, name=name), CONTENT)
    destination.publish(FILE.id, name)
    head = s3_place.client.head_object(Bucket=s3_place.bucket, Key=f"batches/{name}")
    assert head["ContentType"] == kind


def test_foreign_object_under_the_name_is_left_alone(s3_place: S3Place) -> None:
    destination = s3_place.destination()
    destination.send_whole(FILE, CONTENT)
    s3_place.client.put_object(Bucket=s3_place.bucket, Key=f"batches/{NAME}", Body=b"foreign")
    with pytest.raises(DestinationRefused, match=NAME):
        destination.publish(FILE.id, NAME)
    assert s3_place.visible() == {NAME: b"foreign"}
    assert destination.find_file(FILE.id) is not None


def test_refused_session_leaves_no_parts_to_pay_for(s3_place: S3Place) -> None:
    destination = s3_place.destination()
    session = destination.open_session(FILE)
    destination.send_whole(FILE, CONTENT)
    with pytest.raises(IdTaken):
        destination.send_chunk(session, b"other", offset=0, last=True)
    listing = s3_place.client.list_multipart_uploads(Bucket=s3_place.bucket)
    assert "Uploads" not in listing


def test_part_left_over_from_other_chunk_sizes_is_passed_over(s3_place: S3Place) -> None:
    destination = s3_place.destination()
    session = destination.open_session(FILE)
    destination.send_chunk(session, b"x" * PART_BYTES, offset=0, last=False)
    destination.send_chunk(session, b"y" * PART_BYTES, offset=PART_BYTES, last=False)
    destination.send_chunk(session, b"a" * (2 * PART_BYTES), offset=0, last=False)
    assert destination.held(session).size_bytes == 2 * PART_BYTES
    held = destination.send_chunk(session, b"n", offset=PART_BYTES, last=True)
    assert (held.size_bytes, held.complete) == (2 * PART_BYTES, False)
    destination.send_chunk(session, b"z", offset=2 * PART_BYTES, last=True)
    destination.publish(FILE.id, NAME)
    assert s3_place.visible() == {NAME: b"a" * (2 * PART_BYTES) + b"z"}


def test_missing_bucket_is_refused_with_advice(s3_place: S3Place) -> None:
    destination = S3Destination(client=s3_place.client, bucket="no-such-bucket", prefix="")
    for act in (
        lambda: destination.send_whole(FILE, CONTENT),
        lambda: destination.open_session(FILE),
        lambda: destination.find_file(FILE.id),
        lambda: next(destination.read(FILE.id, NAME)),
    ):
        with pytest.raises(DestinationRefused, match="Create the bucket"):
            act()
    (finding,) = destination.check()
    assert not finding.ok
    assert "Create the bucket" in finding.detail


def test_check_leaves_nothing_behind(s3_place: S3Place) -> None:
    assert [finding.ok for finding in s3_place.destination().check()] == [True]
    assert s3_place.keys() == []


def test_store_that_ignores_conditions_fails_the_check(s3_place: S3Place) -> None:
    # As some S3-compatible stores do: the header arrives and nothing comes of it.
    s3_place.client.meta.events.register(
        "before-send.s3.PutObject",
        lambda request, **_: (
            request.headers.__delitem__("If-None-Match")
            if "If-None-Match" in request.headers
            else None
        ),
    )
    (finding,) = s3_place.destination().check()
    assert not finding.ok
    assert "If-None-Match" in finding.detail
    assert s3_place.keys() == []


def test_server_that_is_down_was_sent_nothing(
    s3_place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{unused.getsockname()[1]}")
        destination = S3Destination(client=s3_client(), bucket=s3_place.bucket, prefix="")
        with pytest.raises(DestinationError) as caught:
            destination.send_whole(FILE, CONTENT)
    assert type(caught.value) is DestinationError


@pytest.mark.parametrize(
    ("status", "code", "changes", "kind"),
    [
        (412, "PreconditionFailed", True, IdTaken),
        (409, "ConditionalRequestConflict", True, UncertainResponse),
        (404, "NoSuchUpload", True, SessionExpired),
        (403, "AccessDenied", True, DestinationRefused),
        (403, "403", False, DestinationRefused),
        (301, "PermanentRedirect", True, DestinationRefused),
        (501, "NotImplemented", True, DestinationRefused),
        (503, "SlowDown", True, UncertainResponse),
        (500, "InternalError", True, UncertainResponse),
        (200, "InternalError", True, UncertainResponse),
        (500, "InternalError", False, DestinationError),
        (429, "TooManyRequests", False, DestinationError),
        (400, "EntityTooSmall", True, DestinationError),
    ],
)
def test_answer_says_what_is_to_be_done(
    status: int, code: str, changes: bool, kind: type[DestinationError]
) -> None:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with (
        pytest.raises(DestinationError, match=f"PutObject.*{status}.*{code}") as caught,
        translated("PutObject", changes=changes),
    ):
        raise botocore.exceptions.ClientError(answer, "PutObject")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("error", "changes", "kind"),
    [
        (botocore.exceptions.NoCredentialsError(), True, DestinationRefused),
        (
            botocore.exceptions.ReadTimeoutError(endpoint_url="https://x/?uploadId=secret"),
            True,
            UncertainResponse,
        ),
        (
            botocore.exceptions.ConnectionClosedError(endpoint_url="https://x/?uploadId=secret"),
            False,
            DestinationError,
        ),
        (
            botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
            False,
            DestinationError,
        ),
        (
            botocore.exceptions.ConnectTimeoutError(endpoint_url="https://x/?uploadId=secret"),
            True,
            DestinationError,
        ),
    ],
)
def test_connection_that_fails_leaves_a_doubt_only_after_sending(
    error: Exception, changes: bool, kind: type[DestinationError]
) -> None:
    with pytest.raises(DestinationError) as caught, translated("UploadPart", changes=changes):
        raise error
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)
