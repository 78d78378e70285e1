"""What an error of S3, or of its client library, means for the run.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
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

from daybook.destinations.s3.codes import CLOCK, SETUP_ADVICE, advice_for, passes
from daybook.errors import (
    UNREADABLE,
    DestinationError,
    DestinationRefused,
    IdTaken,
    SessionExpired,
    UncertainResponse,
)

_LONGEST_DETAIL = 200


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
