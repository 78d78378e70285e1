"""Google's own description of Drive v3, used to refuse what Drive does not know.

The document ships with google-api-python-client:
https://github.com/googleapis/google-api-python-client/tree/main/googleapiclient/discovery_cache
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from googleapiclient.discovery_cache import get_static_doc

from tests.emulators.drive.answers import DriveError, bad_request

# A `fields` selection as a tree; None selects everything below.
Selection = dict[str, "Selection | None"]

_TOKEN = re.compile(r"[A-Za-z0-9_*]+|[(),/]")


@functools.cache
def document() -> dict[str, Any]:
    """The discovery document of Drive v3."""
    text = get_static_doc("drive", "v3")
    if text is None:
        raise RuntimeError("google-api-python-client ships no discovery document for drive v3")
    found: dict[str, Any] = json.loads(text)
    return found


def check_query(method: str, query: Mapping[str, list[str]]) -> dict[str, str]:
    """Check query parameters of `method` ("files.get") and return them, one value each."""
    resource, _, name = method.partition(".")
    of_method = document()["resources"][resource]["methods"][name].get("parameters", {})
    known = {
        **document()["parameters"],
        **{key: spec for key, spec in of_method.items() if spec["location"] == "query"},
    }
    for key, values in query.items():
        spec = known.get(key)
        if spec is None:
            raise bad_request(
                f'Invalid JSON payload received. Unknown name "{key}": Cannot bind query '
                f"parameter. Field '{key}' could not be found in request message."
            )
        if len(values) != 1:
            raise bad_request(f"The parameter '{key}' was given {len(values)} times.", location=key)
        _check_parameter(key, values[0], spec)
    return {key: values[0] for key, values in query.items()}


def _check_parameter(key: str, value: str, spec: Mapping[str, Any]) -> None:
    def refuse() -> DriveError:
        return DriveError(400, "invalidParameter", f"Invalid value '{value}'.", location=key)

    kind = spec["type"]
    if kind == "boolean" and value not in ("true", "false"):
        raise refuse()
    if kind == "integer":
        if not re.fullmatch(r"-?\d{1,18}", value):
            raise refuse()
        low, high = spec.get("minimum"), spec.get("maximum")
        if (low and int(value) < int(low)) or (high and int(value) > int(high)):
            raise refuse()
    if "enum" in spec and value not in spec["enum"]:
        raise refuse()


def check_body(body: object, schema: str = "File", *, where: str = "file") -> dict[str, Any]:
    """Check a JSON body against a schema; unknown fields and wrong types are refused."""
    if not isinstance(body, dict):
        raise bad_request(f"Invalid JSON payload received: {where} must be an object.")
    _check_object(body, document()["schemas"][schema], where)
    return body


def _check_object(value: dict[str, Any], spec: Mapping[str, Any], where: str) -> None:
    properties = spec.get("properties", {})
    for key, item in value.items():
        item_spec = properties.get(key, spec.get("additionalProperties"))
        if item_spec is None:
            raise bad_request(
                f"Invalid JSON payload received. Unknown name \"{key}\" at '{where}': "
                "Cannot find field."
            )
        if item is not None:
            _check_value(item, item_spec, f"{where}.{key}")


def _check_value(value: object, spec: Mapping[str, Any], where: str) -> None:
    if "$ref" in spec:
        spec = document()["schemas"][spec["$ref"]]
    kind = spec.get("type")
    if kind == "object" and isinstance(value, dict):
        _check_object(value, spec, where)
    elif kind == "array" and isinstance(value, list):
        for number, item in enumerate(value):
            _check_value(item, spec["items"], f"{where}[{number}]")
    elif not _is_scalar(value, kind, spec.get("format")):
        raise bad_request(f"Invalid value at '{where}' ({kind}), {json.dumps(value)}")


def _is_scalar(value: object, kind: str | None, form: str | None) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("integer", "number"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind != "string":
        return False
    if form == "int64":
        return isinstance(value, int | str) and bool(re.fullmatch(r"-?\d+", str(value)))
    if not isinstance(value, str):
        return False
    if form == "date-time":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return False
    return True


def output_only(schema: str = "File") -> frozenset[str]:
    """Fields that the document marks as computed by Drive."""
    properties = document()["schemas"][schema]["properties"]
    return frozenset(
        name
        for name, spec in properties.items()
        if spec.get("readOnly") or "Output only" in spec.get("description", "")[:40]
    )


def parse_fields(text: str, schema: str) -> Selection | None:
    """Parse a `fields` value; a field that the schema does not have is refused.

    https://developers.google.com/workspace/drive/api/guides/fields-parameter
    """
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"\s", "", text) or not tokens:
        raise _bad_selection(text)
    selection, rest = _selection(tokens, {"$ref": schema}, text)
    if rest:
        raise _bad_selection(text)
    return selection


def _selection(
    tokens: list[str], spec: Mapping[str, Any], text: str
) -> tuple[Selection | None, list[str]]:
    chosen: Selection = {}
    everything = False
    while tokens:
        name, tokens = tokens[0], tokens[1:]
        if name == "*":
            everything = True
        elif name in "(),/":
            raise _bad_selection(text)
        else:
            below, tokens = _below(name, tokens, _member(spec, name), text)
            chosen[name] = below
        if not tokens or tokens[0] != ",":
            break
        tokens = tokens[1:]
        if not tokens:
            raise _bad_selection(text)
    return (None if everything else chosen), tokens


def _below(
    name: str, tokens: list[str], spec: Mapping[str, Any], text: str
) -> tuple[Selection | None, list[str]]:
    if tokens[:1] == ["/"]:
        if len(tokens) < 2:
            raise _bad_selection(name)
        step, rest = tokens[1], tokens[2:]
        if step == "*":
            return None, rest
        below, rest = _below(step, rest, _member(spec, step), text)
        return {step: below}, rest
    if tokens[:1] == ["("]:
        inner, rest = _selection(tokens[1:], spec, text)
        if rest[:1] != [")"]:
            raise _bad_selection(text)
        return inner, rest[1:]
    return None, tokens


def _member(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if spec.get("type") == "array":
        spec = spec["items"]
    if "$ref" in spec:
        spec = document()["schemas"][spec["$ref"]]
    member: Mapping[str, Any] | None = spec.get("properties", {}).get(
        name, spec.get("additionalProperties")
    )
    if member is None:
        raise _bad_selection(name)
    return member


def _bad_selection(name: str) -> DriveError:
    message = f"Invalid field selection {name}"
    return DriveError(400, "invalidParameter", message, location="fields")


def project(value: Any, selection: Selection | None) -> Any:
    """The part of a resource that was selected."""
    if selection is None:
        return value
    if isinstance(value, list):
        return [project(item, selection) for item in value]
    return {key: project(value[key], below) for key, below in selection.items() if key in value}
