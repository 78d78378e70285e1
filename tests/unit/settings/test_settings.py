"""Settings: what is accepted, what is refused, and what a refusal says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daybook.errors import ConfigurationError
from daybook.settings.settings import VARIABLES, Settings, Variable, unknown_variables

URI = "mongodb://book:s3cr3t-word@db.example.com:27017/?replicaSet=rs0"
LEAST = {"DAYBOOK_MONGODB_URI": URI, "DAYBOOK_DESTINATION": "file:///srv/books"}
SECRET = "sm://projects/acme/secrets/uri/versions/latest"
QUEUE = "projects/acme/locations/asia-southeast1/queues/daybook"


def no_secret(name: str) -> str:
    raise AssertionError(f"nobody asked for {name}")


def read(**env: str) -> Settings:
    return Settings.from_env({**LEAST, **env}, fetch_secret=no_secret)


def fault(**env: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(**env)
    return str(caught.value)


def test_two_variables_are_enough_and_the_rest_has_the_documented_defaults() -> None:
    settings = read()
    assert settings.mongodb_uri == URI
    assert settings.database == "daybook"
    assert settings.destination.path == Path("/srv/books")
    assert settings.cron == "0 18 * * *"
    assert settings.time_zone == ZoneInfo("Asia/Bangkok")
    assert settings.retry_delays_seconds == (300, 900, 2700)
    assert settings.csv_timeout_seconds == 30
    assert settings.run_deadline_seconds == 480
    assert settings.lease_seconds == 60
    assert (settings.breaker_failures, settings.breaker_reset_seconds) == (3, 900)
    assert settings.upload_chunk_bytes == 8388608
    assert settings.multipart_limit_bytes == 5242880
    assert (settings.alert_urls, settings.receipt_urls, settings.language) == ((), (), "en")
    assert settings.ledger_profile == "daily"
    assert (settings.mongo_max_pool_size, settings.mongo_min_pool_size) == (50, None)
    assert settings.mongo_server_selection_timeout_ms == 5000
    assert settings.mongo_socket_timeout_ms == 45000
    assert settings.tasks_queue is None
    assert settings.drive_subject is None


def test_defaults_of_the_dataclass_are_those_of_the_environment() -> None:
    settings = read()
    assert settings == Settings(mongodb_uri=URI, destination=settings.destination)


def test_every_setting_has_a_variable_of_its_own() -> None:
    fields = [field.name for field in dataclasses.fields(Settings)]
    assert [variable.field for variable in VARIABLES] == fields
    assert len({variable.name for variable in VARIABLES}) == len(fields)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_a_default_may_also_be_given(variable: Variable) -> None:
    if variable.default is not None:
        assert read(**{variable.name: variable.default}) == read()


EMPTY = {
    **dict.fromkeys(("DAYBOOK_MONGODB_URI", "DAYBOOK_DESTINATION"), "is not set"),
    # Unset, the first two open every route and wallet, and the others send credentials to Google.
    **dict.fromkeys(
        (
            "DAYBOOK_CALLERS",
            "DAYBOOK_LEDGER_WALLETS",
            "DAYBOOK_DRIVE_ENDPOINT",
            "DAYBOOK_TASKS_ENDPOINT",
        ),
        "is set but empty",
    ),
    # Unset opens nothing: fewer messages, no task, no user to act for, or the default.
    **dict.fromkeys(
        (
            "DAILY_BATCH_CRON",
            "DAILY_BATCH_TIMEZONE",
            "DAYBOOK_ALERT_URLS",
            "DAYBOOK_ANSWER_DAYS",
            "DAYBOOK_BREAKER_FAILURES",
            "DAYBOOK_BREAKER_RESET_SECONDS",
            "DAYBOOK_CSV_TIMEOUT_SECONDS",
            "DAYBOOK_DATABASE",
            "DAYBOOK_DRIVE_SUBJECT",
            "DAYBOOK_LANGUAGE",
            "DAYBOOK_LEASE_SECONDS",
            "DAYBOOK_LEDGER_ACCOUNTS",
            "DAYBOOK_LEDGER_INVITE_CODES",
            "DAYBOOK_LEDGER_PROFILE",
            "DAYBOOK_MONGO_MAX_POOL_SIZE",
            "DAYBOOK_MONGO_MIN_POOL_SIZE",
            "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS",
            "DAYBOOK_MONGO_SOCKET_TIMEOUT_MS",
            "DAYBOOK_MULTIPART_LIMIT_BYTES",
            "DAYBOOK_RECEIPT_URLS",
            "DAYBOOK_PROFILES",
            "DAYBOOK_PAGE_URL",
            "DAYBOOK_RETRY_DELAYS_SECONDS",
            "DAYBOOK_RUNBOOK_URL",
            "DAYBOOK_RUN_DEADLINE_SECONDS",
            "DAYBOOK_SERVICE_URL",
            "DAYBOOK_TASKS_QUEUE",
            "DAYBOOK_TASKS_SERVICE_ACCOUNT",
            "DAYBOOK_UPLOAD_CHUNK_BYTES",
        ),
        None,
    ),
}
"""What an empty value of each variable means: a fault, or the same as unset (None)."""


def test_the_meaning_of_an_empty_value_is_decided_for_every_variable() -> None:
    assert set(EMPTY) == {variable.name for variable in VARIABLES}


@pytest.mark.parametrize("text", ["", " ", "\t\r\n", "\u00a0\u2003"])
@pytest.mark.parametrize("name", sorted(EMPTY))
def test_an_empty_value_counts_as_unset_only_where_that_opens_nothing(name: str, text: str) -> None:
    told = EMPTY[name]
    if told is None:
        assert read(**{name: text}) == read()
    else:
        assert f"{name}: {told}" in fault(**{name: text})


@pytest.mark.parametrize("text", [",", " , ", "/run=", "=a@x.example", ",/run=a@x.example"])
def test_callers_that_name_no_account_are_a_fault(text: str) -> None:
    assert "DAYBOOK_CALLERS: must list ROUTE=SERVICE_ACCOUNT" in fault(DAYBOOK_CALLERS=text)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(
            {"DAYBOOK_DESTINATION": "ftp://x", "DAYBOOK_LEASE_SECONDS": "soon"},
            fetch_secret=no_secret,
        )
    message = str(caught.value)
    assert "DAYBOOK_MONGODB_URI: is not set" in message
    assert "DAYBOOK_DESTINATION: must be file:///FOLDER" in message
    assert "DAYBOOK_LEASE_SECONDS: must be a number of seconds" in message
    assert "'soon'" in message


@pytest.mark.parametrize("variable", [one for one in VARIABLES if one.required])
def test_a_misspelt_required_variable_gets_its_name(variable: Variable) -> None:
    """Any one letter left out, or its beginning; the value is never shown."""
    name = variable.name
    wrong = [name[:at] + name[at + 1 :] for at in range(len(name))]
    for misspelt in [*wrong, f"{name}S", name.lower()]:
        env = {misspelt: "s3cr3t-word", "HOME": "/", "DAYBOOK_DATABASE": "books"}
        with pytest.raises(ConfigurationError) as caught:
            Settings.from_env(env, fetch_secret=no_secret)
        assert f"({misspelt} is set: did you mean {name}?)" in str(caught.value)
        assert "s3cr3t-word" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({"HOME": "/", "PATH": "/bin"}, fetch_secret=no_secret)
    assert "did you mean" not in str(caught.value)


def test_nothing_secret_shows_in_the_repr() -> None:
    settings = read(
        DAYBOOK_ALERT_URLS="https://hooks.example.com/tok-alert",
        DAYBOOK_RECEIPT_URLS="https://hooks.example.com/tok-receipt",
    )
    assert "s3cr3t-word" not in repr(settings)
    assert "tok-" not in repr(settings)
    assert "daybook" in repr(settings)


@pytest.mark.parametrize(
    "uri",
    ["postgres://u:s3cr3t-word@h/", "u:s3cr3t-word@h", "mongodb://", "mongodb:///s3cr3t-word"],
)
def test_a_faulty_database_address_is_never_quoted(uri: str) -> None:
    message = fault(DAYBOOK_MONGODB_URI=uri)
    assert "DAYBOOK_MONGODB_URI: must begin with mongodb://" in message
    assert "s3cr3t-word" not in message


def test_an_address_with_a_password_is_not_quoted_wherever_it_was_pasted() -> None:
    message = fault(DAYBOOK_DESTINATION=URI)
    assert "DAYBOOK_DESTINATION" in message
    assert "s3cr3t-word" not in message


def test_alert_urls_are_split_and_a_bad_one_is_named_by_its_place_only() -> None:
    urls = read(
        DAYBOOK_ALERT_URLS="https://a.example/1, mailto:ops@example.com\nslack://x"
    ).alert_urls
    assert urls == ("https://a.example/1", "mailto:ops@example.com", "slack://x")
    message = fault(DAYBOOK_ALERT_URLS="https://a.example/1,tok-3n")
    assert "DAYBOOK_ALERT_URLS: entry 2 is no URL" in message
    assert "tok-3n" not in message


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file:///srv/books", "/srv/books"),
        ("file:///srv/my%20books", "/srv/my books"),
        ("file:///srv/บัญชี", "/srv/บัญชี"),
    ],
)
def test_a_folder_is_an_absolute_file_url(text: str, path: str) -> None:
    destination = read(DAYBOOK_DESTINATION=text).destination
    assert (destination.scheme, destination.path, destination.url) == ("file", Path(path), text)


def test_a_drive_folder_keeps_the_case_of_its_id() -> None:
    destination = read(DAYBOOK_DESTINATION="drive://0AbC_dE-9").destination
    assert (destination.scheme, destination.folder_id) == ("drive", "0AbC_dE-9")


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("s3://my-books", ""), ("s3://my-books/", ""), ("s3://my-books/a/b/", "a/b")],
)
def test_a_bucket_may_have_a_prefix(text: str, prefix: str) -> None:
    destination = read(DAYBOOK_DESTINATION=text).destination
    assert (destination.scheme, destination.bucket, destination.prefix) == (
        "s3",
        "my-books",
        prefix,
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file://books", "absolute path"),
        ("file://localhost/books", "absolute path"),
        ("file://./books", "absolute path"),
        ("file:///", "naming a folder"),
        ("file:///a?b", "%3F"),
        ("file:///a%00b", "naming a folder"),
        ("file:/books", "must be file:///FOLDER, drive://FOLDER_ID or s3://"),
        ("/books", "must be file:///FOLDER, drive://FOLDER_ID or s3://"),
        ("drive://", "must be drive://FOLDER_ID"),
        ("drive://abc/def", "must be drive://FOLDER_ID"),
        ("drive://abc?usp=sharing", "must be drive://FOLDER_ID"),
        ("https://drive.google.com/drive/folders/0AbC?usp=sharing", "last part of its address"),
        ("drive://https://drive.google.com/drive/folders/0AbC", "last part of its address"),
        ("s3://", "valid bucket name"),
        ("s3://Books", "valid bucket name"),
        ("gs://books", "must be file:///FOLDER"),
    ],
)
def test_a_faulty_destination_is_refused_with_its_right_form(text: str, says: str) -> None:
    message = fault(DAYBOOK_DESTINATION=text)
    assert "DAYBOOK_DESTINATION: " in message
    assert says in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DAYBOOK_DATABASE", "a.b"),
        ("DAYBOOK_DATABASE", "d" * 64),
        ("DAYBOOK_DRIVE_SUBJECT", "somebody"),
        ("DAYBOOK_DRIVE_ENDPOINT", "127.0.0.1:9000"),
        ("DAYBOOK_DRIVE_ENDPOINT", "ftp://127.0.0.1/"),
        ("DAYBOOK_DRIVE_ENDPOINT", "http://"),
        ("DAYBOOK_DRIVE_ENDPOINT", "http://[::1"),
        ("DAYBOOK_DRIVE_ENDPOINT", "http://localhost:port/"),
        ("DAYBOOK_TASKS_ENDPOINT", "queue"),
        ("DAYBOOK_SERVICE_URL", "daybook.example.com"),
        ("DAYBOOK_TASKS_SERVICE_ACCOUNT", "tasks"),
        ("DAYBOOK_TASKS_QUEUE", "daybook"),
        ("DAYBOOK_TASKS_QUEUE", QUEUE + "/tasks/1"),
        ("DAILY_BATCH_CRON", "0 18 * *"),
        ("DAILY_BATCH_CRON", "0 0 18 * * *"),
        ("DAILY_BATCH_CRON", "0 25 * * *"),
        ("DAILY_BATCH_CRON", "0 0 30 2 *"),
        ("DAILY_BATCH_CRON", "@daily"),
        ("DAILY_BATCH_TIMEZONE", "Bangkok"),
        ("DAILY_BATCH_TIMEZONE", "../etc/passwd"),
        ("DAILY_BATCH_TIMEZONE", "America"),
        ("DAYBOOK_RETRY_DELAYS_SECONDS", "300,,900"),
        ("DAYBOOK_RETRY_DELAYS_SECONDS", "0"),
        ("DAYBOOK_RETRY_DELAYS_SECONDS", "5m"),
        ("DAYBOOK_RETRY_DELAYS_SECONDS", "2592001"),
        ("DAYBOOK_CSV_TIMEOUT_SECONDS", "0"),
        ("DAYBOOK_CSV_TIMEOUT_SECONDS", "-1"),
        ("DAYBOOK_CSV_TIMEOUT_SECONDS", "nan"),
        ("DAYBOOK_RUN_DEADLINE_SECONDS", "inf"),
        ("DAYBOOK_RUN_DEADLINE_SECONDS", "1801"),
        ("DAYBOOK_LEASE_SECONDS", "1e3"),
        ("DAYBOOK_BREAKER_FAILURES", "0"),
        ("DAYBOOK_BREAKER_FAILURES", "1_0"),
        ("DAYBOOK_BREAKER_FAILURES", "3.0"),
        ("DAYBOOK_BREAKER_RESET_SECONDS", "0.0"),
        ("DAYBOOK_UPLOAD_CHUNK_BYTES", "0"),
        ("DAYBOOK_UPLOAD_CHUNK_BYTES", "262143"),
        ("DAYBOOK_UPLOAD_CHUNK_BYTES", "-262144"),
        ("DAYBOOK_UPLOAD_CHUNK_BYTES", "8MB"),
        ("DAYBOOK_MULTIPART_LIMIT_BYTES", "5242881"),
        ("DAYBOOK_MULTIPART_LIMIT_BYTES", "-1"),
        ("DAYBOOK_LANGUAGE", "de"),
        ("DAYBOOK_CALLERS", "scheduler@acme.iam.gserviceaccount.com"),
        ("DAYBOOK_CALLERS", "/run=nobody"),
        ("DAYBOOK_RUNBOOK_URL", "https://git.example.com/runbook.md#first-five-minutes"),
        ("DAYBOOK_RUNBOOK_URL", "the wiki"),
        ("DAYBOOK_PAGE_URL", "daybook.example.com"),
        ("DAYBOOK_PAGE_URL", "https://daybook.example.com/?lang=th"),
        ("DAYBOOK_LEDGER_WALLETS", "shop@acme.example"),
        ("DAYBOOK_LEDGER_WALLETS", "shop@acme.example="),
        ("DAYBOOK_LEDGER_WALLETS", "*=*"),
        ("DAYBOOK_LEDGER_WALLETS", "shop@acme.example=65a1*,"),
        ("DAYBOOK_LEDGER_WALLETS", "shop@acme.example=65a1"),
        ("DAYBOOK_LEDGER_WALLETS", "shop@acme.example=*65a1"),
        ("DAYBOOK_LEDGER_WALLETS", "shop@acme.example=.*"),
        ("DAYBOOK_LEDGER_PROFILE", "../daily"),
        ("DAYBOOK_LEDGER_INVITE_CODES", "yes"),
        ("DAYBOOK_ANSWER_DAYS", "0"),
        ("DAYBOOK_ANSWER_DAYS", "36501"),
        ("DAYBOOK_ANSWER_DAYS", "30d"),
        ("DAYBOOK_LEDGER_ACCOUNTS", "topup=1100"),
        ("DAYBOOK_LEDGER_ACCOUNTS", "[]"),
        ("DAYBOOK_LEDGER_ACCOUNTS", '{"accounts": {}}'),
        ("DAYBOOK_LEDGER_ACCOUNTS", '{"types": {"a": {"code": "1", "name": "A"}, "a": {}}}'),
        ("DAYBOOK_LEDGER_ACCOUNTS", '{"types": {"a b": {"code": "1", "name": "A"}}}'),
        ("DAYBOOK_LEDGER_ACCOUNTS", '{"types": {"topup": "1100 Bank"}}'),
        ("DAYBOOK_LEDGER_ACCOUNTS", '{"others": {"code": 1190, "name": "Suspense"}}'),
        ("DAYBOOK_LEDGER_ACCOUNTS", '{"others": {"code": "1190"}}'),
        ("DAYBOOK_LEDGER_ACCOUNTS", '{"wallets": {"code": "2100", "name": "a\\nb"}}'),
        ("DAYBOOK_LEDGER_ACCOUNTS", '{"wallets": {"code": " ", "name": "Wallets"}}'),
        ("DAYBOOK_MONGO_MAX_POOL_SIZE", "0"),
        ("DAYBOOK_MONGO_MIN_POOL_SIZE", "-1"),
        ("DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS", "5s"),
        ("DAYBOOK_MONGO_SOCKET_TIMEOUT_MS", "0"),
    ],
)
def test_a_faulty_value_is_refused_naming_the_variable_and_the_value(name: str, text: str) -> None:
    message = fault(**{name: text})
    assert f"{name}: must" in message
    assert repr(text) in message


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("DAYBOOK_RETRY_DELAYS_SECONDS", "1, 2592000", "retry_delays_seconds", (1, 2592000)),
        ("DAYBOOK_CSV_TIMEOUT_SECONDS", "0.5", "csv_timeout_seconds", 0.5),
        ("DAYBOOK_RUN_DEADLINE_SECONDS", "1800", "run_deadline_seconds", 1800),
        ("DAYBOOK_UPLOAD_CHUNK_BYTES", "262144", "upload_chunk_bytes", 262144),
        ("DAYBOOK_MULTIPART_LIMIT_BYTES", "0", "multipart_limit_bytes", 0),
        ("DAYBOOK_MONGO_MIN_POOL_SIZE", "0", "mongo_min_pool_size", 0),
        ("DAYBOOK_LEDGER_INVITE_CODES", "chosen", "ledger_invite_codes", "chosen"),
        ("DAYBOOK_ANSWER_DAYS", "36500", "answer_days", 36_500),
        ("DAYBOOK_LANGUAGE", "th", "language", "th"),
        (
            "DAYBOOK_RUNBOOK_URL",
            "https://git.example.com/r.md",
            "runbook_url",
            "https://git.example.com/r.md",
        ),
        ("DAYBOOK_PAGE_URL", "http://localhost:8080/", "page_url", "http://localhost:8080"),
        ("DAYBOOK_DRIVE_SUBJECT", "a.b@acme.co.th", "drive_subject", "a.b@acme.co.th"),
        ("DAILY_BATCH_CRON", "*/5 8-18 * * MON-FRI", "cron", "*/5 8-18 * * MON-FRI"),
        (
            "DAYBOOK_CALLERS",
            "/run=a@x.example, /tasks/run=b@x.example,/run=c@x.example",
            "callers",
            {"/run": ("a@x.example", "c@x.example"), "/tasks/run": ("b@x.example",)},
        ),
    ],
)
def test_values_at_the_edge_are_accepted(name: str, text: str, field: str, value: object) -> None:
    assert getattr(read(**{name: text}), field) == value


def test_rights_on_wallets_need_verified_callers() -> None:
    message = fault(DAYBOOK_LEDGER_WALLETS="shop@acme.example=*")
    assert "DAYBOOK_CALLERS: is needed once DAYBOOK_LEDGER_WALLETS is set" in message


def test_a_queue_needs_an_address_to_call_back_and_an_account_to_call_as() -> None:
    message = fault(DAYBOOK_TASKS_QUEUE=QUEUE)
    assert "DAYBOOK_SERVICE_URL: is needed" in message
    assert "DAYBOOK_TASKS_SERVICE_ACCOUNT: is needed" in message


def test_a_queue_at_another_endpoint_needs_no_account() -> None:
    settings = read(
        DAYBOOK_TASKS_QUEUE=QUEUE,
        DAYBOOK_TASKS_ENDPOINT="http://127.0.0.1:9001/",
        DAYBOOK_SERVICE_URL="http://127.0.0.1:8080",
    )
    assert settings.tasks_queue == QUEUE


def test_the_smallest_pool_cannot_exceed_the_largest() -> None:
    message = fault(DAYBOOK_MONGO_MAX_POOL_SIZE="5", DAYBOOK_MONGO_MIN_POOL_SIZE="6")
    assert "DAYBOOK_MONGO_MIN_POOL_SIZE: 6 exceeds DAYBOOK_MONGO_MAX_POOL_SIZE, 5" in message


def test_a_secret_is_fetched_by_its_resource_name_and_loses_its_line_end() -> None:
    asked: list[str] = []

    def fetch(name: str) -> str:
        asked.append(name)
        return URI + "\n"

    settings = Settings.from_env({**LEAST, "DAYBOOK_MONGODB_URI": SECRET}, fetch_secret=fetch)
    assert settings.mongodb_uri == URI
    assert asked == ["projects/acme/secrets/uri/versions/latest"]


def test_any_variable_may_come_from_a_secret_and_is_then_never_quoted() -> None:
    env = {**LEAST, "DAYBOOK_LANGUAGE": SECRET}
    with pytest.raises(ConfigurationError, match="DAYBOOK_LANGUAGE: must be en or th") as caught:
        Settings.from_env(env, fetch_secret=lambda name: "s3cr3t-word")
    assert "s3cr3t-word" not in str(caught.value)


def test_an_empty_secret_is_a_fault() -> None:
    with pytest.raises(ConfigurationError, match=r"DAYBOOK_DATABASE: the secret .* is empty"):
        Settings.from_env({**LEAST, "DAYBOOK_DATABASE": SECRET}, fetch_secret=lambda name: " \n")


@pytest.mark.parametrize(
    "text",
    [
        "sm://",
        "sm://uri",
        "sm://projects/acme/secrets/uri",
        "sm://projects/acme/secrets/uri/versions/",
        "sm://projects/acme/secrets/../versions/1",
    ],
)
def test_a_malformed_secret_reference_names_the_variable_and_makes_no_request(text: str) -> None:
    assert "DAYBOOK_MONGODB_URI: must read sm://" in fault(DAYBOOK_MONGODB_URI=text)


def test_a_secret_that_cannot_be_read_names_the_variable() -> None:
    def refuse(name: str) -> str:
        raise ConfigurationError(f"the secret {name} cannot be read: 403")

    with pytest.raises(ConfigurationError, match=r"DAYBOOK_MONGODB_URI: the secret .*: 403"):
        Settings.from_env({**LEAST, "DAYBOOK_MONGODB_URI": SECRET}, fetch_secret=refuse)


def test_misspelt_variables_are_listed() -> None:
    env = {**LEAST, "DAYBOOK_LEASE_SECOND": "5", "DAILY_BATCH_TZ": "x", "PATH": "/bin"}
    assert unknown_variables(env) == ["DAILY_BATCH_TZ", "DAYBOOK_LEASE_SECOND"]
