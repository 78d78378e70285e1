"""Google's own description of Cloud Tasks v2, used to refuse what it does not know.

The document ships with google-api-python-client:
https://github.com/googleapis/google-api-python-client/tree/main/googleapiclient/discovery_cache
How JSON represents the messages: https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from googleapiclient.discovery_cache import get_static_doc

from tests.emulators.tasks.answers import bad_payload, invalid

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)"  # RFC 3339
)
_DURATION = re.compile(r"(-?\d{1,12})(\.\d{1,9})?s")


@functools.cache
def document() -> dict[str, Any]:
    """The discovery document of Cloud Tasks v2."""
    text = get_static_doc("cloudtasks", "v2")
    if text is None:
        raise RuntimeError("google-api-python-client ships no document for cloudtasks v2")
    found: dict[str, Any] = json.loads(text)
    return found


def method(name: str) -> dict[str, Any]:
    """The description of a method by its id, such as "queues.tasks.create"."""
    node = document()["resources"]["projects"]["resources"]["locations"]
    *parents, last = name.split(".")
    for parent in parents:
        node = node["resources"][parent]
    found: dict[str, Any] = node["methods"][last]
    return found


def check_query(name: str, query: Mapping[str, list[str]]) -> dict[str, str]:
    """Check the query parameters of a method and return them, one value each."""
    known = {
        **document()["parameters"],
        **{
            key: spec
            for key, spec in method(name).get("parameters", {}).items()
            if spec["location"] == "query"
        },
    }
    for key, values in query.items():
        spec = known.get(key)
        if spec is None or len(values) != 1:
            raise bad_payload(
                "",
                f'Invalid JSON payload received. Unknown name "{key}": Cannot bind query '
                f"parameter. Field '{key}' could not be found in request message.",
            )
        _check_text(values[0], spec, _snake(key))
    return {key: values[0] for key, values in query.items()}


def check_body(body: bytes, schema: str) -> dict[str, Any]:
    """A JSON body that fits the schema, without the fields that are null."""
    try:
        value = json.loads(body.decode("utf-8"))
    except ValueError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error
    if not isinstance(value, dict):
        raise invalid("Invalid JSON payload received. Root element must be a message.")
    checked: dict[str, Any] = _checked(value, {"$ref": schema}, "")
    return checked


def _checked(value: Any, spec: Mapping[str, Any], where: str) -> Any:
    if "$ref" in spec:
        spec = document()["schemas"][spec["$ref"]]
    kind = spec.get("type")
    if kind == "object":
        return _checked_object(value, spec, where)
    if kind == "array":
        if not isinstance(value, list):
            raise _wrong(where, "array", value)
        return [_checked(item, spec["items"], f"{where}[{i}]") for i, item in enumerate(value)]
    if kind == "string":
        if not isinstance(value, str):
            raise _wrong(where, "TYPE_STRING", value)
        _check_text(value, spec, where)
    elif kind == "boolean":
        if not isinstance(value, bool):
            raise _wrong(where, "TYPE_BOOL", value)
    elif isinstance(value, bool) or not re.fullmatch(r"-?\d+(\.\d+)?", str(value)):
        raise _wrong(where, "TYPE_INT32", value)
    return value


def _checked_object(value: Any, spec: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, "object", value)
    properties = spec.get("properties", {})
    found = {}
    for key, item in value.items():
        below = properties.get(key, spec.get("additionalProperties"))
        if below is None:
            place = f" at '{where}'" if where else ""
            raise bad_payload(
                where,
                f'Invalid JSON payload received. Unknown name "{key}"{place}: Cannot find field.',
            )
        if item is not None:
            path = _snake(key) if key in properties else key
            found[key] = _checked(item, below, f"{where}.{path}" if where else path)
    return found


def _check_text(value: str, spec: Mapping[str, Any], where: str) -> None:
    form = spec.get("format")
    if "enum" in spec and value not in spec["enum"]:
        raise _wrong(where, "TYPE_ENUM", value)
    if form == "google-datetime":
        moment(value, where)
    elif form == "google-duration":
        duration(value, where)
    elif form == "byte":
        content(value, where)
    elif form == "int32" and not re.fullmatch(r"-?\d{1,9}", value):
        raise _wrong(where, "TYPE_INT32", value)


def moment(value: str, where: str) -> datetime:
    """A timestamp in UTC, cut to the microsecond."""
    try:
        if not _MOMENT.fullmatch(value):
            raise _wrong(where, "type.googleapis.com/google.protobuf.Timestamp", value)
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _wrong(where, "type.googleapis.com/google.protobuf.Timestamp", value) from error


def duration(value: str, where: str) -> timedelta:
    if not _DURATION.fullmatch(value):
        raise _wrong(where, "type.googleapis.com/google.protobuf.Duration", value)
    return timedelta(seconds=float(value[:-1]))


def content(value: str, where: str) -> bytes:
    """Bytes from base64 of either alphabet, padded or not."""
    try:
        plain = value.rstrip("=").replace("-", "+").replace("_", "/")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise _wrong(where, "TYPE_BYTES", value) from error


def _wrong(where: str, kind: str, value: object) -> Exception:
    return bad_payload(where, f"Invalid value at '{where}' ({kind}), {json.dumps(value)[:80]}")


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()
