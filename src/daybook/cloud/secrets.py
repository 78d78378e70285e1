"""Secret Manager: the content of a secret version, fetched once per process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from daybook.errors import ConfigurationError

if TYPE_CHECKING:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

TIMEOUT_SECONDS = 20.0
"""In all, with retries: an instance that cannot read its secrets should say so soon."""


def fetch(name: str, client: SecretManagerServiceClient | None = None) -> str:
    """The text of `projects/P/secrets/S/versions/V`, asked for once per client.

    Raises `ConfigurationError` naming the secret and the reason, never the content.
    """
    from google.auth.exceptions import GoogleAuthError

    try:
        return _access(name, client or _default_client())
    except GoogleAuthError as error:
        raise ConfigurationError(f"the secret {name} cannot be read: {error}") from error


@cache
def _default_client() -> SecretManagerServiceClient:
    # Imported here: half a second that only those pay who have a secret to fetch. REST,
    # because a gRPC channel with its threads is much for one request.
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    return SecretManagerServiceClient(transport="rest")


@cache
def _access(name: str, client: SecretManagerServiceClient) -> str:
    from google.api_core.exceptions import GoogleAPIError, ResourceExhausted, ServiceUnavailable
    from google.api_core.retry import Retry, if_exception_type
    from requests.exceptions import ConnectionError as CannotConnect
    from requests.exceptions import RequestException

    retry = Retry(
        predicate=if_exception_type(ResourceExhausted, ServiceUnavailable, CannotConnect),
        initial=0.2,
        maximum=2.0,
        timeout=TIMEOUT_SECONDS,
    )
    try:
        answer = client.access_secret_version(name=name, retry=retry, timeout=TIMEOUT_SECONDS / 2)
    except (GoogleAPIError, RequestException) as error:
        raise ConfigurationError(f"the secret {name} cannot be read: {error}") from error
    data: bytes = answer.payload.data
    if "data_crc32c" in answer.payload and answer.payload.data_crc32c != _crc32c(data):
        raise ConfigurationError(f"the secret {name} arrived damaged (CRC-32C differs); try again")
    try:
        return data.decode()
    except UnicodeDecodeError:
        # Not chained: the error quotes the bytes.
        raise ConfigurationError(f"the secret {name} is no UTF-8 text") from None


def _crc32c(data: bytes) -> int:
    """Castagnoli's CRC, which Secret Manager computes and the standard library lacks."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
