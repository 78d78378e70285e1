"""Drive over plain HTTP, as the tests of its stand-in call it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import requests

from tests.emulators.drive import DriveEmulator

UNIT = 256 * 1024
ALL_DRIVES = {"supportsAllDrives": "true"}


class Client:
    """Drive over plain HTTP."""

    def __init__(
        self, url: str, *, token: str | None = None, timeout_seconds: float = 30.0
    ) -> None:
        self.files = f"{url}drive/v3/files"
        self.uploads = f"{url}upload/drive/v3/files"
        self.http = requests.Session()
        self.timeout_seconds = timeout_seconds
        if token is not None:
            self.http.headers["Authorization"] = f"Bearer {token}"

    def new_id(self) -> str:
        answer = self.http.get(f"{self.files}/generateIds", params={"count": 1})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["ids"][0])

    def create(self, metadata: dict[str, Any], content: bytes, **params: str) -> requests.Response:
        parts = (
            b"--cut\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n",
            json.dumps(metadata).encode(),
            b"\r\n--cut\r\nContent-Type: text/csv\r\n\r\n",
            content,
            b"\r\n--cut--\r\n",
        )
        return self.http.post(
            self.uploads,
            params={"uploadType": "multipart", **ALL_DRIVES, **params},
            data=b"".join(parts),
            headers={"Content-Type": "multipart/related; boundary=cut"},
            timeout=self.timeout_seconds,
        )

    def open(
        self, metadata: dict[str, Any], *, total: int | None = None, **params: str
    ) -> requests.Response:
        headers = {"X-Upload-Content-Type": "text/csv"}
        if total is not None:
            headers["X-Upload-Content-Length"] = str(total)
        return self.http.post(
            self.uploads,
            params={"uploadType": "resumable", **ALL_DRIVES, **params},
            json=metadata,
            headers=headers,
        )

    def session(self, metadata: dict[str, Any], **options: Any) -> str:
        answer = self.open(metadata, **options)
        assert answer.status_code == 200, answer.text
        return answer.headers["Location"]

    def put(self, session: str, content_range: str, body: bytes = b"") -> requests.Response:
        return self.http.put(
            session, data=body, headers={"Content-Range": content_range}, allow_redirects=False
        )

    def get(self, file_id: str, **params: str) -> requests.Response:
        return self.http.get(f"{self.files}/{file_id}", params={**ALL_DRIVES, **params})

    def patch(self, file_id: str, body: dict[str, Any], **params: str) -> requests.Response:
        return self.http.patch(
            f"{self.files}/{file_id}", params={**ALL_DRIVES, **params}, json=body
        )

    def delete(self, file_id: str) -> requests.Response:
        return self.http.delete(f"{self.files}/{file_id}", params=ALL_DRIVES)

    def list(self, **params: str) -> requests.Response:
        return self.http.get(
            self.files, params={"includeItemsFromAllDrives": "true", **ALL_DRIVES, **params}
        )


class Clock:
    """Time that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def metadata_of(drive: DriveEmulator, **more: Any) -> dict[str, Any]:
    return {"name": "batch.csv", "parents": [drive.folder_id], **more}


def refused(answer: requests.Response) -> tuple[int, str]:
    """Status and reason of an error in Google's shape."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert error["message"] == error["errors"][0]["message"]
    return answer.status_code, error["errors"][0]["reason"]
