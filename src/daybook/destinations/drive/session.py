"""The HTTP session for Drive, with an identity but without any key."""

from __future__ import annotations

import functools
import logging
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from daybook.destinations.drive.errors import CREDENTIALS_ADVICE
from daybook.errors import UNREADABLE, ConfigurationError, DestinationError

SCOPE = "https://www.googleapis.com/auth/drive"
_METADATA_TIMEOUT_SECONDS = 10.0


def drive_session(subject: str | None, endpoint: str | None) -> requests.Session:
    """Build the session; with `endpoint` (an emulator's root URL) it has no credentials.

    With `subject`, the runtime's service account signs for that user through domain-wide
    delegation, as token creator on itself; the metadata server is then asked for its e-mail
    address at once.
    https://cloud.google.com/iam/docs/best-practices-for-managing-service-account-keys

    Raises `ConfigurationError` without usable credentials, `DestinationError` when the
    metadata server does not respond.
    """
    session = _plain() if endpoint else _authorized(subject)
    # Repeating is for the run to decide, which knows what a repeated request may do.
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=0))
    # Their DEBUG lines quote URLs, and a session's address works like a password.
    for name in ("urllib3.connectionpool", "google.auth.transport.requests"):
        logging.getLogger(name).setLevel(logging.INFO)
    return session


def _plain() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy and no .netrc password on the way to an emulator
    return session


def _authorized(subject: str | None) -> requests.Session:
    # Imported here, because a laptop with a local folder does not need it.
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
        if subject:
            credentials = _acting_for(subject, credentials)
    except DefaultCredentialsError as error:
        raise ConfigurationError(
            "no Google credentials for drive://: run as a service account, or log in with "
            f"`gcloud auth application-default login --scopes={SCOPE}`"
        ) from error
    except (GoogleAuthError, OSError, *UNREADABLE) as error:
        # From the file in GOOGLE_APPLICATION_CREDENTIALS, or the metadata server's response.
        raise DestinationError(
            f"Drive: no access token ({type(error).__name__}). {CREDENTIALS_ADVICE}"
        ) from error
    session: requests.Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # google-auth
    return session


def _acting_for(subject: str, credentials: Any) -> Any:
    from google.auth import impersonated_credentials
    from google.auth.transport.requests import Request

    if getattr(credentials, "service_account_email", None) == "default":
        # On Google Cloud, the address is known only with the first token.
        credentials.refresh(functools.partial(Request(), timeout=_METADATA_TIMEOUT_SECONDS))
    account = getattr(credentials, "service_account_email", None)
    if not account:
        raise ConfigurationError(
            "DAYBOOK_DRIVE_SUBJECT needs credentials of a service account; these belong to none"
        )
    return impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]  # google-auth
        source_credentials=credentials,
        target_principal=account,
        target_scopes=[SCOPE],
        subject=subject,
    )
