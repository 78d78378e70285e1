"""What an error of S3 means for the run.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
)

from daybook.errors import (
    DestinationDoubt,
    DestinationError,
    DestinationRefused,
    IdTaken,
    SessionGone,
)

_ADVICE = {
    "AccessDenied": "Allow this account s3:GetObject, s3:PutObject, s3:ListBucket, "
    "s3:AbortMultipartUpload and s3:DeleteObject on the bucket and prefix",
    "NoSuchBucket": "Create the bucket, or correct DAYBOOK_DESTINATION",
    "PermanentRedirect": "Set AWS_REGION to the bucket's region",
    "NotImplemented": "This store lacks conditional writes: choose another",
}
_TRANSIENT = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)


@contextmanager
def translated(operation: str, *, changes: bool = False) -> Iterator[None]:
    """Turn what botocore raises into the error that the port promises.

    412 means that the key is taken. 409 `ConditionalRequestConflict` means only that
    somebody else was writing to it, who may have failed: a doubt, settled by looking.
    """
    try:
        yield
    except ClientError as error:
        raise _refused(operation, error, changes=changes) from error
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise DestinationError(f"S3 {operation}: no connection ({type(error).__name__})") from error
    except (NoCredentialsError, PartialCredentialsError, NoRegionError) as error:
        raise DestinationRefused(
            f"S3 {operation}: {type(error).__name__}. Check the AWS credentials and region"
        ) from error
    except ParamValidationError:
        raise
    except BotoCoreError as error:
        raise _unanswered(
            operation, f"the connection failed ({type(error).__name__})", changes=changes
        ) from error


def is_absent(error: ClientError) -> bool:
    """True for a key that does not exist; a HEAD answers with the bare status."""
    return error.response["Error"]["Code"] in ("404", "NoSuchKey")


def _refused(operation: str, error: ClientError, *, changes: bool) -> DestinationError:
    code = str(error.response["Error"].get("Code", ""))
    status = int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
    said = f"S3 {operation} answered {status} {code}"
    if bucket := error.response["Error"].get("BucketName"):
        said += f" for bucket {bucket}"
    if code == "NoSuchUpload":
        return SessionGone(f"{said}: the upload session is gone")
    if status == 412:
        return IdTaken(f"{said}: an object exists under the key")
    if code == "NotImplemented":
        return DestinationRefused(f"{said}. {_ADVICE[code]}")
    if status >= 500 or status in (200, 408, 429) or code in _TRANSIENT:
        return _unanswered(operation, f"answered {status} {code}", changes=changes)
    if status in (301, 401, 403) or code in _ADVICE:
        # A HEAD has no body, hence no code.
        advice = _ADVICE.get(code, _ADVICE["AccessDenied"])
        return DestinationRefused(f"{said}. {advice}")
    return DestinationError(f"{said}: the request was turned down and took no effect")


def _unanswered(operation: str, what: str, *, changes: bool) -> DestinationError:
    if changes:
        return DestinationDoubt(f"S3 {operation}: {what}; it may have taken effect")
    return DestinationError(f"S3 {operation}: {what}")
