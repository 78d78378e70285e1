"""The page's forms: from the page itself only, by those who may, and with a record of who."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import flask
import pytest
from pymongo.database import Database
from werkzeug.test import EnvironBuilder

from daybook.app import App
from daybook.http import routes
from tests import books, page_world

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
Send = Callable[..., flask.Response]
OWN = {"Sec_Fetch_Site": "same-origin"}
DAY = page_world.TODAY
OPERATOR = "anong@example.com"
IAP = "service-123@gcp-sa-iap.iam.gserviceaccount.com"


def sender(app: App) -> Send:
    def send(path: str, form: dict[str, str] | None = None, **headers: str) -> flask.Response:
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        builder = EnvironBuilder(
            path=path,
            method="GET" if form is None else "POST",
            headers={"Accept": "text/html", **given},
            data=form,
        )
        return routes.answer(app, flask.Request(builder.get_environ()))

    return send


def make(uri: str, database: Db, folder: Path, **settings: str) -> App:
    app = books.make_app(uri, database.name, folder.as_uri(), **settings)
    return replace(app, clock=lambda: page_world.NOW, sleep=lambda _seconds: None)


@pytest.fixture
def app(database: Db, mongo_uri: str, tmp_path: Path) -> App:
    return make(mongo_uri, database, tmp_path)


def opened(send: Send, path: str, **headers: str) -> tuple[dict[str, str], str]:
    """The fields of the form at the path, and the cookie that comes with it."""
    page = send(path, **headers)
    text = page.get_data(as_text=True)
    assert page.status_code == 200, text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))
    (cookie,) = page.headers.getlist("Set-Cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    return fields, cookie.partition(";")[0]


def token(email: str) -> str:
    claims = json.dumps({"email": email, "email_verified": True}).encode()
    return f"Bearer x.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.x"


def requests_of(database: Db) -> list[tuple[str, str]]:
    found = database["exportlogs"].find({"action": "operator_request"}).sort("_id", 1)
    return [(one["metadata"]["operation"], one["performedBy"]) for one in found]


def test_a_retry_runs_the_day_and_records_who_asked(database: Db, app: App) -> None:
    books.put_many(database, 3)
    send = sender(app)
    path = f"/days/{DAY}/retry"
    fields, cookie = opened(send, path)
    done = send(path, fields, Cookie=cookie, **OWN)
    assert done.status_code == 200, done.get_data(as_text=True)
    assert "delivered" in done.get_data(as_text=True)
    batch = database["exportbatches"].find_one({"batchDate": DAY.isoformat()})
    assert batch is not None
    assert batch["state"] == "committed"
    assert requests_of(database) == [("retry", "operator")]
    assert "retry of 2026-01-19 requested" in send(f"/days/{DAY}").get_data(as_text=True)


def test_a_release_closes_the_day(database: Db, app: App) -> None:
    page_world.put(database, DAY, "failed")
    database["exportslots"].insert_one({"_id": "daily", "fence": 3})
    send = sender(app)
    path = f"/days/{DAY}/release"
    fields, cookie = opened(send, path)
    assert send(path, fields, Cookie=cookie, **OWN).status_code == 200
    batch = database["exportbatches"].find_one({"batchDate": DAY.isoformat()})
    assert batch is not None
    assert batch["releasedAt"] is not None
    assert requests_of(database) == [("release", "operator")]


def test_a_corrected_entry_is_queued_again(database: Db, app: App) -> None:
    listed = page_world.rejection(database, "RV/2026/7", page_world.UNBALANCED)
    send = sender(app)
    fields, cookie = opened(send, "/requeue?entry=RV/2026/7")
    assert send("/requeue", fields, Cookie=cookie, **OWN).status_code == 200
    item = database["exportqueues"].find_one({"_id": listed["queueId"]})
    assert item is not None
    assert item["status"] == "queued"
    record = database["exportlogs"].find_one({"action": "entry_requeued"})
    assert record is not None
    assert record["performedBy"] == "operator"


def test_a_delivered_file_is_verified(database: Db, app: App, tmp_path: Path) -> None:
    books.put_many(database, 2)
    send = sender(app)
    for action in ("retry", "audit", "verify"):
        path = f"/days/{DAY}/{action}"
        fields, cookie = opened(send, path)
        done = send(path, fields, Cookie=cookie, **OWN)
        assert done.status_code == 200, done.get_data(as_text=True)
    assert "is as it was delivered" in done.get_data(as_text=True)
    (file,) = tmp_path.glob("*.csv")
    file.write_bytes(file.read_bytes().replace(b"100.00", b"999.00"))
    done = send(path, fields, Cookie=cookie, **OWN)
    assert "Differences in the file" in done.get_data(as_text=True)
    done = send(f"/days/{DAY}/audit", fields, Cookie=cookie, **OWN)
    assert "Changes since the delivery of Monday 19 January 2026: 1." in done.get_data(as_text=True)
    assert "changed since" in send(f"/days/{DAY}").get_data(as_text=True)
    assert [name for name, _ in requests_of(database)] == [
        *("retry", "audit", "verify", "verify", "audit"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": ""},
        {"Cookie": ""},
        {"Cookie": f"daybook_token={'a' * 43}"},
    ],
    ids=str,
)
def test_a_form_from_elsewhere_does_nothing(database: Db, app: App, change: dict[str, str]) -> None:
    page_world.put(database, DAY, "failed")
    send = sender(app)
    path = f"/days/{DAY}/release"
    fields, cookie = opened(send, path)
    answer = send(path, fields, **{"Cookie": cookie, **OWN, **change})
    assert answer.status_code == 403
    batch = database["exportbatches"].find_one({"batchDate": DAY.isoformat()})
    assert batch is not None
    assert "releasedAt" not in batch
    assert requests_of(database) == []


def test_a_form_without_a_browser_does_nothing(database: Db, app: App) -> None:
    send = sender(app)
    fields, cookie = opened(send, f"/days/{DAY}/retry")
    assert send(f"/days/{DAY}/retry", fields, Cookie=cookie).status_code == 403
    assert database["exportbatches"].count_documents({}) == 0


@pytest.mark.parametrize("path", ["/", "/run", "/sweep", "/watchdog", "/admin/retry", "/exports"])
def test_another_site_cannot_send_json_either(database: Db, app: App, path: str) -> None:
    builder = EnvironBuilder(
        path=path, method="POST", data="{}", headers={"Sec-Fetch-Site": "cross-site"}
    )
    answer = routes.answer(app, flask.Request(builder.get_environ()))
    assert answer.status_code == 403
    assert database["exportbatches"].count_documents({}) == 0


CALLERS = ",".join(
    (
        f"/page={OPERATOR}",
        "/page=reader@example.com",
        f"/admin/retry={OPERATOR}",
        "/=scheduler@p.iam.gserviceaccount.com",
    )
)


@pytest.fixture
def guarded(database: Db, mongo_uri: str, tmp_path: Path) -> Send:
    return sender(make(mongo_uri, database, tmp_path, DAYBOOK_CALLERS=CALLERS))


@pytest.mark.parametrize(
    ("email", "path", "status"),
    [
        (OPERATOR, "/", 200),
        ("reader@example.com", "/", 200),
        ("reader@example.com", f"/days/{DAY}", 200),
        ("reader@example.com", f"/days/{DAY}/retry", 403),
        (OPERATOR, f"/days/{DAY}/retry", 200),
        (OPERATOR, f"/days/{DAY}/release", 403),
        (OPERATOR, "/requeue?entry=x", 403),
        ("scheduler@p.iam.gserviceaccount.com", "/", 403),  # it may run, which is `POST /`
        ("stranger@example.com", "/", 403),
    ],
)
def test_pages_and_forms_are_open_to_their_callers(
    guarded: Send, email: str, path: str, status: int
) -> None:
    assert guarded(path, Authorization=token(email)).status_code == status


def test_who_may_read_the_page_may_not_run(guarded: Send) -> None:
    answer = guarded("/", {}, Authorization=token("reader@example.com"))
    assert answer.status_code == 403


def test_only_what_the_caller_may_do_is_offered(database: Db, guarded: Send) -> None:
    page_world.put(database, DAY, "failed")
    reader = guarded(f"/days/{DAY}", Authorization=token("reader@example.com"))
    operator = guarded(f"/days/{DAY}", Authorization=token(OPERATOR))
    assert f"/days/{DAY}/retry" not in reader.get_data(as_text=True)
    assert f"/days/{DAY}/retry" in operator.get_data(as_text=True)
    assert f"/days/{DAY}/release" not in operator.get_data(as_text=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": token(OPERATOR)},
        {
            "X_Serverless_Authorization": token(IAP),
            "X_Goog_Authenticated_User_Email": f"accounts.google.com:{OPERATOR}",
        },
    ],
    ids=["proxy", "iap"],
)
def test_the_verified_account_is_recorded(
    database: Db, guarded: Send, headers: dict[str, str]
) -> None:
    path = f"/days/{DAY}/retry"
    fields, cookie = opened(guarded, path, **headers)
    assert OPERATOR in guarded(path, **headers).get_data(as_text=True)
    assert guarded(path, fields, Cookie=cookie, **OWN, **headers).status_code == 200
    assert requests_of(database) == [("retry", OPERATOR)]


@pytest.mark.parametrize(
    "headers",
    [
        # A caller other than Identity-Aware Proxy names a user.
        {
            "Authorization": token("stranger@example.com"),
            "X_Goog_Authenticated_User_Email": f"accounts.google.com:{OPERATOR}",
        },
        {"X_Goog_Authenticated_User_Email": f"accounts.google.com:{OPERATOR}"},
        {"X_Serverless_Authorization": token(IAP)},
        {
            "X_Serverless_Authorization": token(IAP),
            "X_Goog_Authenticated_User_Email": f"evil:{OPERATOR},accounts.google.com:{OPERATOR}",
        },
        {
            "X_Serverless_Authorization": token(f"x{IAP}"),
            "X_Goog_Authenticated_User_Email": f"accounts.google.com:{OPERATOR}",
        },
    ],
    ids=["other caller", "no token", "no user", "two users", "like its account"],
)
def test_a_user_counts_only_from_the_proxy(guarded: Send, headers: dict[str, str]) -> None:
    assert guarded("/", **headers).status_code == 403


def test_a_day_that_is_not_due_cannot_be_released(database: Db, app: App) -> None:
    send = sender(app)
    fields, cookie = opened(send, f"/days/{DAY}/release")
    answer = send(f"/days/{DAY}/release", fields, Cookie=cookie, **OWN)
    assert answer.status_code == 409
    assert "nothing was ever run" in answer.get_data(as_text=True)
    future = date(2026, 1, 20)
    assert send(f"/days/{future}/release").status_code == 400
