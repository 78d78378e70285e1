"""Sessions with real credentials. Without them nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daybook.destinations.drive.session import SCOPE as DRIVE
from e2e.finding import NotRun

if TYPE_CHECKING:
    import requests

CLOUD = "https://www.googleapis.com/auth/cloud-platform"


def cloud_session() -> requests.Session:
    """As the account that is logged in. Raises `NotRun` without one."""
    return _session(_default(), "of the account that is logged in")


def drive_session(account: str) -> requests.Session:
    """As the function's own account, by impersonation: ids in Drive are issued to an account.

    Raises `NotRun` when no account is logged in, or may not act as the account.
    """
    from google.auth import impersonated_credentials

    acting = impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]  # google-auth
        source_credentials=_default(), target_principal=account, target_scopes=[DRIVE]
    )
    return _session(acting, f"of {account}; roles/iam.serviceAccountTokenCreator on it is needed")


def _default() -> Any:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        return google.auth.default(scopes=[CLOUD])[0]
    except DefaultCredentialsError as error:
        raise NotRun(
            "there are no Google credentials here: `gcloud auth application-default login`"
        ) from error


def _session(credentials: Any, whose: str) -> requests.Session:
    """Asks for a token at once, so that a login that has run out is found before anything."""
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession, Request

    try:
        credentials.refresh(Request())
    except GoogleAuthError as error:
        raise NotRun(f"no access token {whose}: {type(error).__name__}: {error}") from error
    session: requests.Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # google-auth
    return session
