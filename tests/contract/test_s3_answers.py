"""What an S3 store may answer, botocore may raise, and a credentials' server may hand out."""

from __future__ import annotations

import inspect
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import botocore.exceptions
import pytest
import urllib3.exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from daybook.destinations.base import NewFile
from daybook.destinations.s3.errors import translated
from daybook.destinations.s3.s3 import S3Destination, s3_client
from daybook.errors import DestinationError, DestinationRefused, IdTaken, UncertainResponse
from tests.contract.raw_server import answer, serving

FILE = NewFile(id="a" * 32, name="batch.csv", properties={})
CONTENT = b"content-of-the-file"
SESSION = f"{FILE.id}:an-upload"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


def destination_at(url: str, monkeypatch: pytest.MonkeyPatch) -> S3Destination:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    return S3Destination(client=s3_client(), bucket="bucket", prefix="batches")


def xml(status: int, code: str) -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
    return answer(f"{status} -", body.encode(), "Content-Type: application/xml")


# Codes


@pytest.mark.parametrize(
    ("status", "code", "kind", "advice"),
    [
        (403, "InvalidAccessKeyId", DestinationRefused, "AWS_ACCESS_KEY_ID is unknown"),
        (403, "SignatureDoesNotMatch", DestinationRefused, "check AWS_SECRET_ACCESS_KEY"),
        (400, "AuthorizationHeaderMalformed", DestinationRefused, "AWS_REGION"),
        (400, "ExpiredToken", DestinationRefused, "renew AWS_SESSION_TOKEN"),
        (400, "InvalidToken", DestinationRefused, "renew AWS_SESSION_TOKEN"),
        (400, "RequestExpired", DestinationError, "clock is wrong"),
        (403, "RequestTimeTooSkewed", DestinationError, "clock is wrong"),
        (403, "QuotaExceeded", DestinationRefused, "free some space"),
        (507, "XMinioStorageFull", DestinationRefused, "free some space"),
        (507, "SomethingNew", DestinationRefused, "free some space"),
        (400, "KMS.DisabledException", DestinationRefused, "kms:GenerateDataKey"),
        (400, "KMS.NotFoundException", DestinationRefused, "kms:GenerateDataKey"),
        (400, "KMS.SomethingNew", DestinationRefused, "kms:GenerateDataKey"),
        (400, "KMS.ThrottlingException", UncertainResponse, ""),
        (403, "AccessDenied", DestinationRefused, "s3:PutObject"),
        (403, "SomethingNew", DestinationRefused, "s3:PutObject"),
        (403, "AllAccessDisabled", DestinationRefused, "ask the store's support"),
        (404, "NoSuchBucket", DestinationRefused, "Create the bucket"),
        (501, "NotImplemented", DestinationRefused, "conditional writes"),
        (405, "MethodNotAllowed", DestinationRefused, "not an S3 store"),
        (400, "MalformedTrailerError", DestinationRefused, "report it"),
        (412, "PreconditionFailed", IdTaken, ""),
        (412, "SomethingNew", UncertainResponse, ""),
        (409, "ConditionalRequestConflict", UncertainResponse, ""),
        (409, "OperationAborted", UncertainResponse, ""),
        (409, "SomethingNew", UncertainResponse, ""),
        (503, "SlowDown", UncertainResponse, ""),
        (400, "BadDigest", UncertainResponse, ""),
        (429, "TooManyRequests", UncertainResponse, ""),
        (400, "SomethingNew", DestinationError, "took no effect"),
    ],
)
def test_code_says_what_is_to_be_done(
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    kind: type[DestinationError],
    advice: str,
) -> None:
    with serving(xml(status, code)) as url:
        destination = destination_at(url, monkeypatch)
        with pytest.raises(DestinationError, match=f"answered {status} {code}") as caught:
            destination.send_whole(FILE, CONTENT)
    assert type(caught.value) is kind
    assert advice in str(caught.value)


# Answers that are no answer

Act = Callable[[S3Destination], object]
ACTS: dict[str, Act] = {
    "check_name": lambda s3: s3.check_name(FILE.name),
    "send_whole": lambda s3: s3.send_whole(FILE, CONTENT),
    "open_session": lambda s3: s3.open_session(FILE),
    "send_chunk": lambda s3: s3.send_chunk(SESSION, CONTENT, offset=0, last=True),
    "held": lambda s3: s3.held(SESSION),
    "look": lambda s3: s3.find_file(FILE.id),
    "publish": lambda s3: s3.publish(FILE.id, FILE.name),
    "read": lambda s3: list(s3.read(FILE.id, FILE.name)),
}
HTML = "Content-Type: text/html"
XML = "Content-Type: application/xml"
PAGE = b"<!DOCTYPE html><html><title>Sign in</title></html>"
HOSTILE = {
    "page": answer("200 OK", PAGE, HTML),
    "empty": answer("200 OK", b""),
    "other XML": answer("200 OK", b"<?xml version='1.0'?><Other/>", XML),
    "truncated XML": answer("200 OK", b"<?xml version='1.0'?><ListPartsResu", XML),
    "short body": answer("200 OK", b"<a/>", XML).replace(b"Length: 4", b"Length: 400"),
    "not utf-8": answer("200 OK", b"\xff\xfe\x00", XML),
    "1 MB": answer("200 OK", b"x" * 1_000_000, HTML),
    "500 of 1 MB": answer("500 -", b"x" * 1_000_000, HTML),
    "403 page": answer("403 -", PAGE, HTML),
    "412 page": answer("412 -", PAGE, HTML),
    "409 page": answer("409 -", PAGE, HTML),
    "400 JSON": answer("400 -", b'{"error": "no"}', "Content-Type: application/json"),
    "redirect": answer("302 Found", b"", "Location: https://accounts.example.com/"),
    "redirect to itself": answer("307 -", b"", "Location: /"),
    "region of nowhere": answer(
        "301 Moved Permanently",
        b"<Error><Code>PermanentRedirect</Code><Endpoint>nowhere</Endpoint></Error>",
        "x-amz-bucket-region: nowhere-1",
    ),
    "301 without a region": xml(301, "PermanentRedirect"),
    "nonsense": b"nonsense\r\n\r\n",
    "nothing": b"",
}
ENOUGH = {("read", key) for key in ("page", "empty", "other XML", "truncated XML", "1 MB")} | {
    ("read", "not utf-8")
}
"""An object's content may be anything: its reader compares the digest."""


@pytest.mark.parametrize(
    ("act", "hostile"),
    [(act, key) for act in ACTS for key in HOSTILE if (act, key) not in ENOUGH],
)
def test_hostile_answer_is_an_error_of_the_port(
    monkeypatch: pytest.MonkeyPatch, act: str, hostile: str
) -> None:
    with serving(HOSTILE[hostile]) as url:
        destination = destination_at(url, monkeypatch)
        with pytest.raises(DestinationError) as caught:
            ACTS[act](destination)
    assert not isinstance(caught.value, IdTaken)
    assert len(str(caught.value)) < 1000
    if act == "send_whole" and hostile.endswith(("page", "empty", "body", "nothing", "1 MB")):
        refused = hostile == "403 page"
        assert type(caught.value) is (DestinationRefused if refused else UncertainResponse)


def test_store_that_knows_no_trailers_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    def store(connection: socket.socket, request: bytes) -> None:
        heads.append(request.lower())
        connection.sendall(answer("200 OK", b"", 'ETag: "abc"'))

    with serving(store) as url:
        destination = destination_at(url, monkeypatch)
        destination.send_whole(FILE, CONTENT)
    (head,) = heads
    for header in (b"x-amz-trailer", b"aws-chunked", b"x-amz-checksum", b"x-amz-sdk-checksum"):
        assert header not in head


def test_foreign_metadata_under_our_key_makes_a_foreign_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for note in ("garbage", "[]", '"text"', '{"properties": 7}'):
        raw = answer("200 OK", CONTENT, 'ETag: "abc"', f"x-amz-meta-daybook: {note}")
        with serving(raw) as url:
            found = destination_at(url, monkeypatch).find_file(FILE.id)
        assert found is not None
        assert (found.name, found.properties) == ("", {})


# What botocore raises


def every_error() -> Iterator[Exception]:
    """One of each class of botocore, however it wants to be made."""
    for name, kind in sorted(vars(botocore.exceptions).items()):
        if not (inspect.isclass(kind) and issubclass(kind, Exception)) or issubclass(kind, Warning):
            continue
        if issubclass(kind, ClientError):
            yield kind({}, "PutObject")
        elif issubclass(kind, botocore.exceptions.BotoCoreError):
            yield _made(kind)
        else:
            assert name in ("UndefinedModelAttributeError", "MissingServiceIdError")


def _made(kind: type[Exception]) -> Exception:
    values: dict[str, Any] = {}
    while True:
        try:
            return kind(**values)
        except KeyError as error:
            values[error.args[0]] = "text"
        except TypeError:
            wanted = list(inspect.signature(kind).parameters)
            values = dict.fromkeys(wanted, "text")


ALL_ERRORS = [
    *every_error(),
    ResponseParserError("x"),
    urllib3.exceptions.ProtocolError("x"),
    OSError("x"),
    KeyError("UploadId"),
    ValueError("x"),
    ClientError({"Error": {"Code": "x"}, "ResponseMetadata": {}}, "x"),
]


@pytest.mark.parametrize("changes", [True, False])
@pytest.mark.parametrize("error", ALL_ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_of_the_library_becomes_one_of_ours(error: Exception, changes: bool) -> None:
    with pytest.raises(DestinationError) as caught, translated("PutObject", changes=changes):
        raise error
    assert str(caught.value).startswith("S3 PutObject")
    assert len(str(caught.value)) < 500


# Credentials and settings

BUILD = """
from botocore.utils import ContainerMetadataFetcher
from daybook.destinations.s3.s3 import S3Destination, s3_client
from daybook.errors import DestinationError
ContainerMetadataFetcher.SLEEP_TIME = 0
try:
    S3Destination(client=s3_client(), bucket="bucket", prefix="").find_file("a" * 32)
except DestinationError as error:
    print(type(error).__name__, str(error).replace("\\n", " "))
"""


def built_with(**environment: str) -> str:
    """What comes of building a destination and looking, in a process with these variables."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", BUILD],
        env={
            **kept,
            "PYTHONPATH": "src",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1/",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


GARBAGE = {
    "page": answer("200 OK", PAGE, HTML),
    "empty": answer("200 OK", b""),
    "empty object": answer("200 OK", b"{}"),
    "list": answer("200 OK", b"[]"),
    "other types": answer("200 OK", json.dumps({"AccessKeyId": 7, "Expiration": "soon"}).encode()),
    "redirect to itself": answer("302 Found", b"", "Location: /"),
    "500": answer("500 -", b"x" * 100_000),
    "nonsense": b"nonsense\r\n\r\n",
}
SERVERS = {
    "virtual machine": "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "container": "AWS_CONTAINER_CREDENTIALS_FULL_URI",
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("server", SERVERS)
def test_metadata_server_that_hands_out_garbage_is_an_error_of_ours(
    server: str, garbage: str
) -> None:
    with serving(GARBAGE[garbage]) as url:
        region = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "1"}
        said = built_with(**region, **{SERVERS[server]: url})
    assert said.startswith(("DestinationError S3 ", "DestinationRefused S3 ")), said


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AWS_PROFILE": "missing"}, "ProfileNotFound"),
        ({"AWS_DEFAULT_REGION": "not a region!"}, "Invalid"),
        ({"AWS_ENDPOINT_URL_S3": "no url"}, "S3 client"),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "NoCredentialsError"),
        ({"AWS_ACCESS_KEY_ID": "only"}, "PartialCredentialsError"),
    ],
)
def test_setting_of_aws_that_is_wrong_is_an_error_of_ours(
    environment: dict[str, str], said: str
) -> None:
    output = built_with(**{"AWS_DEFAULT_REGION": "us-east-1", **environment})
    assert output.startswith(("DestinationError S3 ", "DestinationRefused S3 ")), output
    assert said in output


def test_bucket_name_that_botocore_refuses_is_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1/")
    destination = S3Destination(client=s3_client(), bucket="no bucket!", prefix="")
    with pytest.raises(DestinationRefused, match="DAYBOOK_DESTINATION"):
        destination.find_file(FILE.id)
