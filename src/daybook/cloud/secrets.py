"""Secret Manager: the content of a secret version, fetched once per process.

https://cloud.google.com/secret-manager/docs/access-secret-version
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from daybook.errors import UNREADABLE, ConfigurationError

if TYPE_CHECKING:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

TIMEOUT_SECONDS = 20.0
"""For all tries: an instance that cannot read its secrets should report it soon."""
_REQUEST_TIMEOUT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0
_LONGEST_MESSAGE = 300
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

Clock = Callable[[], float]
Sleep = Callable[[float], None]


class _Failure(Exception):
    """A failed try; `passing` says whether the next one may succeed."""

    def __init__(self, said: str, *, passing: bool) -> None:
        super().__init__(said)
        self.passing = passing


def fetch(
    name: str,
    client: SecretManagerServiceClient | None = None,
    *,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> str:
    """The text of `projects/P/secrets/S/versions/V`, fetched once per client.

    A transient failure is retried for `TIMEOUT_SECONDS` on `clock`. Raises
    `ConfigurationError` naming the secret and the reason, never the content.
    """
    return _fetched(name, client, clock, sleep)


@cache
def _default_client() -> SecretManagerServiceClient:
    # Imported here, because it takes half a second and is only needed if there is a secret.
    # REST, because a gRPC channel with its threads is too much for one request.
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    return SecretManagerServiceClient(transport="rest")


@cache
def _fetched(
    name: str, client: SecretManagerServiceClient | None, clock: Clock, sleep: Sleep
) -> str:
    until = clock() + TIMEOUT_SECONDS
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        left_seconds = max(until - clock(), 1.0)
        try:
            return _accessed(name, client, min(left_seconds, _REQUEST_TIMEOUT_SECONDS))
        except _Failure as failure:
            pause = pause_seconds * random.uniform(0.5, 1.0)  # noqa: S311  (jitter, no secret)
            if not failure.passing or clock() + pause >= until:
                # Not chained: the library's error may quote the response.
                raise ConfigurationError(f"the secret {name} {failure}") from None
        sleep(pause)
        pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)


def _accessed(name: str, client: SecretManagerServiceClient | None, timeout_seconds: float) -> str:
    """Make one try; raises `_Failure`."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.protobuf.json_format import (  # type: ignore[import-untyped]  # no types published
        ParseError,
    )
    from requests.exceptions import RequestException

    try:
        answer = (client or _default_client()).access_secret_version(
            name=name, retry=None, timeout=timeout_seconds
        )
    except GoogleAPICallError as error:
        raise _refused(error) from error
    except DefaultCredentialsError as error:
        raise _Failure(f"cannot be read: {error}", passing=False) from error
    except GoogleAuthError as error:
        # A refusal by the token server contains its response; everything else is transient.
        passing = error.retryable or len(error.args) < 2
        kind = type(error).__name__
        raise _Failure(
            f"cannot be read: no access token ({kind}). {_CREDENTIALS_ADVICE}", passing=passing
        ) from error
    except (RequestException, OSError) as error:
        kind = type(error).__name__
        raise _Failure(f"cannot be read: the connection failed ({kind})", passing=True) from error
    except (ParseError, *UNREADABLE) as error:
        raise _Failure(
            "cannot be read: what answered is not Secret Manager, but perhaps a proxy's sign-in "
            f"page ({type(error).__name__}). Check the network and HTTPS_PROXY",
            passing=True,
        ) from error
    return _text(answer)


def _text(answer: Any) -> str:
    """The content of a version; raises `_Failure`."""
    if not answer.name:
        raise _Failure("cannot be read: the answer does not name the version", passing=True)
    data: bytes = answer.payload.data
    if "data_crc32c" in answer.payload and answer.payload.data_crc32c != _crc32c(data):
        raise _Failure("arrived damaged (CRC-32C differs)", passing=True)
    if not data.strip():
        raise _Failure("is empty. Add a version that has a content", passing=False)
    try:
        return data.decode()
    except UnicodeDecodeError:
        # Not chained: the error quotes the bytes.
        raise _Failure("is not UTF-8 text", passing=False) from None


_CREDENTIALS_ADVICE = (
    "Run as a service account, or log in with `gcloud auth application-default login`"
)


def _refused(error: Any) -> _Failure:
    """The failure for a response with a status of 400 or more."""
    status = int(error.code or 0)
    said = " ".join(str(error.message).split())
    if "<html" in said.lower() or "<!doctype" in said.lower():
        said = "a web page"
    message = f"cannot be read: answered {status} {said:.{_LONGEST_MESSAGE}}".rstrip(" .")
    advice = _advice(status, said, str(getattr(error, "reason", None) or ""))
    return _Failure(f"{message}. {advice}", passing=status in _PASSING)


def _advice(status: int, said: str, reason: str) -> str:
    if reason == "SERVICE_DISABLED":
        return "Enable the API: `gcloud services enable secretmanager.googleapis.com`"
    if status == HTTPStatus.UNAUTHORIZED:
        return _CREDENTIALS_ADVICE
    if status == HTTPStatus.FORBIDDEN:
        return (
            "Give the account that Daybook runs as roles/secretmanager.secretAccessor on the "
            "secret, or correct its name"
        )
    if status == HTTPStatus.NOT_FOUND:
        return "Create the secret and a version of it, or correct its name"
    if "DISABLED" in said:
        return "Enable this version, or name another one; `latest` is the newest, enabled or not"
    if "DESTROYED" in said:
        return "Its content is gone: add a new version, and name that"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "A quota of Secret Manager is used up: look at the project's quotas"
    if status == HTTPStatus.BAD_REQUEST:
        return "Correct the name: projects/P/secrets/S/versions/V"
    return "Try again; if it stays so, look at Google Cloud's status page"


def _crc32c(data: bytes) -> int:
    """Castagnoli's CRC, which Secret Manager computes and the standard library lacks."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
