"""The REST API of Cloud Tasks, version 2, through Google's own client.

Importing this takes about a quarter of a second, so import it only when it is needed.

https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues
https://github.com/googleapis/google-api-python-client/blob/main/docs/thread_safety.md
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

import google.auth
import google_auth_httplib2  # type: ignore[import-untyped]  # no type information is published
import httplib2  # type: ignore[import-untyped]  # no type information is published
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError

from daybook.cloud.tasks.errors import CREDENTIALS_ADVICE, ErrorResponse, Failure
from daybook.errors import UNREADABLE

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class ErrorAnswered(Failure):
    """Cloud Tasks responded, but not with 2xx."""

    def __init__(self, refusal: ErrorResponse) -> None:
        super().__init__(refusal.said, may_pass=refusal.may_pass)
        self.refusal = refusal


class TasksApi:
    """Cloud Tasks, or a stand-in at `endpoint`, which gets no credentials.

    May be used by several threads: each call has its own connection. Calls raise `Failure`; so
    does construction without usable credentials.
    """

    def __init__(self, *, endpoint: str | None) -> None:
        # It logs a useless warning whenever a token is fetched from the metadata server.
        logging.getLogger("google_auth_httplib2").setLevel(logging.ERROR)
        self._local = endpoint is not None
        self._credentials = None if self._local else _credentials()
        self._queues = _service(endpoint).projects().locations().queues()

    def create_task(self, queue: str, task: Mapping[str, Any], *, timeout_seconds: float) -> None:
        """Raises `Failure` also when the response does not name the task: it may not exist."""
        request = self._queues.tasks().create(parent=queue, body={"task": task})
        made = self._send(request, timeout_seconds)
        if made.get("name") != task["name"]:
            raise Failure("answered without naming the task", may_pass=True)

    def get_queue(self, queue: str, *, timeout_seconds: float) -> Mapping[str, Any]:
        found = self._send(self._queues.get(name=queue), timeout_seconds)
        if found.get("name") != queue:
            raise Failure("answered without naming the queue", may_pass=True)
        return found

    def _send(self, request: Any, timeout_seconds: float) -> Mapping[str, Any]:
        """The JSON object of the response; raises `Failure`."""
        http = httplib2.Http(
            timeout=timeout_seconds,
            proxy_info=None if self._local else httplib2.proxy_info_from_environment,
        )
        http.follow_redirects = False
        if self._credentials is not None:
            http = google_auth_httplib2.AuthorizedHttp(self._credentials, http=http)
        try:
            # A body that is not JSON comes back as text.
            found = request.execute(http=http, num_retries=0)
        except HttpError as error:
            raise ErrorAnswered(ErrorResponse.read(error.resp.status, error.content)) from error
        except GoogleAuthError as error:
            raise Failure(
                f"no access token ({type(error).__name__}). {CREDENTIALS_ADVICE}",
                may_pass=error.retryable,
            ) from error
        except TimeoutError as error:
            raise Failure(f"no answer within {timeout_seconds:.1f} s", may_pass=True) from error
        except (OSError, HTTPException, httplib2.HttpLib2Error) as error:
            raise Failure(
                f"the connection failed ({type(error).__name__})", may_pass=True
            ) from error
        except UNREADABLE as error:
            raise Failure(
                f"an answer could not be read ({type(error).__name__})", may_pass=True
            ) from error
        finally:
            http.close()
        if not isinstance(found, Mapping):
            raise Failure("answered with something that is not a JSON object", may_pass=True)
        return found


def _credentials() -> Any:
    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError as error:
        raise Failure(f"no Google credentials. {CREDENTIALS_ADVICE}", may_pass=False) from error
    except (GoogleAuthError, OSError, *UNREADABLE) as error:
        raise Failure(
            f"no Google credentials ({type(error).__name__}). {CREDENTIALS_ADVICE}", may_pass=True
        ) from error
    return credentials


def _service(endpoint: str | None) -> Any:
    text = get_static_doc("cloudtasks", "v2")
    if text is None:
        raise RuntimeError("google-api-python-client came without its document of cloudtasks v2")
    document = json.loads(text)
    if endpoint is not None:
        document["rootUrl"] = endpoint.rstrip("/") + "/"
        # Otherwise a client certificate of this machine would redirect the calls to Google.
        document.pop("mtlsRootUrl", None)
    # This connection is never used: every call brings its own.
    return build_from_document(document, http=httplib2.Http())
