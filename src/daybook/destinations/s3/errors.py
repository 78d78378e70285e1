"""What an error of S3, or of its client library, means for the run.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
Stores other than AWS add a few of their own, MinIO's among them:
https://github.com/minio/minio/blob/master/cmd/api-errors.go
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    ProxyConnectionError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from daybook.errors import (
    UNREADABLE,
    DestinationError,
    DestinationRefused,
    IdTaken,
    SessionExpired,
    UncertainResponse,
)

_LONGEST_DETAIL = 200
SETUP_ADVICE = "Check the AWS credentials, AWS_REGION and DAYBOOK_DESTINATION"
ACCESS_ADVICE = (
    "Allow this account s3:GetObject, s3:PutObject, s3:ListBucket, "
    "s3:AbortMultipartUpload and s3:DeleteObject on the bucket and prefix"
)
_KEY = "AWS_ACCESS_KEY_ID is unknown or switched off: make a new key, or run as a role"
_SIGNATURE = (
    "The signature is wrong: check AWS_SECRET_ACCESS_KEY, AWS_REGION and that no proxy changes "
    "the requests"
)
_SESSION = (
    "The temporary credentials have expired: renew AWS_SESSION_TOKEN and its keys, or run as a role"
)
_ACCOUNT = "The account at the store is blocked, unpaid or not signed up: ask the store's support"
_BUCKET = "Create the bucket, or correct DAYBOOK_DESTINATION"
_REGION = "Set AWS_REGION to the bucket's region"
_FULL = "The bucket's or the store's quota is used up: raise it, or free some space"
_CONDITIONS = "This store lacks conditional writes: choose another"
_ARCHIVED = "The object is archived: restore it to a class that can be read"
_KMS = (
    "The bucket's encryption key cannot be used: enable it, and allow this account "
    "kms:GenerateDataKey and kms:Decrypt on it"
)
_CLOCK = "This machine's clock is wrong: set it by NTP"
_UPLOAD = "The store does not take the request as boto3 sends it: report it, with this message"

CLOCK = {"RequestTimeTooSkewed": _CLOCK, "RequestExpired": _CLOCK}
"""The request took no effect, and succeeds once the clock is set."""

_ADVICE = {
    "AccessDenied": ACCESS_ADVICE,
    "403": ACCESS_ADVICE,
    "Forbidden": ACCESS_ADVICE,
    "UnauthorizedAccess": ACCESS_ADVICE,
    "InvalidAccessKeyId": _KEY,
    "InvalidClientTokenId": _KEY,
    "SignatureDoesNotMatch": _SIGNATURE,
    "AuthorizationHeaderMalformed": _SIGNATURE,
    "InvalidSecurity": _SIGNATURE,
    "ExpiredToken": _SESSION,
    "ExpiredTokenException": _SESSION,
    "InvalidToken": _SESSION,
    "TokenRefreshRequired": _SESSION,
    "AccountProblem": _ACCOUNT,
    "AllAccessDisabled": _ACCOUNT,
    "InvalidPayer": _ACCOUNT,
    "NotSignedUp": _ACCOUNT,
    "OptInRequired": _ACCOUNT,
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "PermanentRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "301": _REGION,
    "QuotaExceeded": _FULL,
    "InsufficientStorage": _FULL,
    "StorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "NotImplemented": _CONDITIONS,
    "MethodNotAllowed": "This is not an S3 store, or it is read-only: correct the endpoint",
    "InvalidObjectState": _ARCHIVED,
    "EntityTooLarge": "The file is larger than the store takes",
    "InvalidTrailer": _UPLOAD,
    "MalformedTrailerError": _UPLOAD,
    "MissingContentLength": _UPLOAD,
}
_PASSING = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "KMS.DependencyTimeoutException",
        "KMS.InternalException",
        "KMS.KMSInternalException",
        "KMS.ThrottlingException",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "TemporaryRedirect",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "XAmzContentSHA256Mismatch",
    }
)


@contextmanager
def translated(operation: str, *, changes: bool = False) -> Iterator[None]:
    """Turn what botocore raises into the error that the port promises.

    412 `PreconditionFailed` means that the key is taken. 409 `ConditionalRequestConflict` only
    means that another request was writing to it, and may have failed: the response is uncertain,
    and looking up the key resolves it. Responses of the wrong shape are uncertain as well, so
    read them inside the block.
    """
    try:
        yield
    except ClientError as error:
        raise _refused(operation, error, changes=changes) from error
    except (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError) as error:
        raise DestinationError(f"S3 {operation}: no connection ({type(error).__name__})") from error
    except (CredentialRetrievalError, MetadataRetrievalError) as error:
        # Before anything was sent; the server that issues credentials may be back soon.
        raise DestinationError(
            f"S3 {operation}: no credentials ({type(error).__name__}). {SETUP_ADVICE}"
        ) from error
    except (HTTPClientError, IncompleteReadError, HTTPError, OSError) as error:
        raise _unanswered(
            operation, f"the connection failed ({type(error).__name__})", changes=changes
        ) from error
    except BotoCoreError as error:
        # All others are about credentials, region, profile, names or parameters.
        said = f"{type(error).__name__}: {' '.join(str(error).split()):.{_LONGEST_DETAIL}}"
        raise DestinationRefused(f"S3 {operation}: {said.rstrip('. ')}. {SETUP_ADVICE}") from error
    except (ResponseParserError, *UNREADABLE) as error:
        raise _unanswered(
            operation, f"an answer could not be read ({type(error).__name__})", changes=changes
        ) from error


def is_absent(error: ClientError) -> bool:
    """True for a key that does not exist; the response to a HEAD has only the status."""
    return _code(error) in ("404", "NoSuchKey")


def _code(error: ClientError) -> str:
    return str(_part(error, "Error").get("Code") or "")


def _part(error: ClientError, name: str) -> dict[str, Any]:
    found: Any = error.response.get(name)
    return found if isinstance(found, dict) else {}


def _refused(operation: str, error: ClientError, *, changes: bool) -> DestinationError:
    code = _code(error)[:64]
    status = int(_part(error, "ResponseMetadata").get("HTTPStatusCode") or 0)
    said = f"S3 {operation} answered {status} {code}".rstrip()
    if bucket := _part(error, "Error").get("BucketName"):
        said += f" for bucket {bucket:.100}"
    if code == "NoSuchUpload":
        return SessionExpired(f"{said}: the upload session is gone")
    if code == "PreconditionFailed":
        return IdTaken(f"{said}: an object exists under the key")
    if code in CLOCK:
        return DestinationError(f"{said}: the request took no effect. {CLOCK[code]}")
    advice = advice_for(status, code)
    if advice is not None:
        return DestinationRefused(f"{said}. {advice}")
    if 400 <= status < 500 and not passes(status, code):
        return DestinationError(f"{said}: the request was turned down and took no effect")
    return _unanswered(operation, f"answered {status} {code}".rstrip(), changes=changes)


def _unanswered(operation: str, what: str, *, changes: bool) -> DestinationError:
    if changes:
        return UncertainResponse(f"S3 {operation}: {what}; it may have taken effect")
    return DestinationError(f"S3 {operation}: {what}")


def passes(status: int, code: str) -> bool:
    """True when the same request may succeed soon."""
    return code in _PASSING or status in (200, 408, 409, 412, 429) or status >= 500


def advice_for(status: int, code: str) -> str | None:
    """What to do about a lasting refusal; None when it is transient or unknown."""
    if code in _PASSING:
        return None
    if code in _ADVICE:
        return _ADVICE[code]
    if code.startswith("KMS."):
        return _KMS
    if status == 507:
        return _FULL
    if status == 501:
        return _CONDITIONS
    # The response to a HEAD has no body, and hence no code.
    return {301: _REGION, 401: SETUP_ADVICE, 403: ACCESS_ADVICE}.get(status)
