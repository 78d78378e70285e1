"""JSON Schemas: the parts that those of requests and answers are made of.

https://json-schema.org/draft/2020-12, the dialect of OpenAPI 3.1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TRUTH: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
ADDRESS: Schema = {"type": "string", "format": "uri"}
DAY: Schema = {
    "type": "string",
    "format": "date",
    "pattern": "^(19|[2-9][0-9])[0-9][0-9]-[0-9][0-9]-[0-9][0-9]$",
    "examples": ["2026-01-18"],
}
"""What `parse_date` accepts."""
OBJECT_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{24}$"}
"""As answers show it."""


def record(fields: Mapping[str, Schema], *, optional: Collection[str] = ()) -> Schema:
    """An object with these fields, of which all but the optional ones are always present."""
    return {
        "type": "object",
        "properties": dict(fields),
        "required": [name for name in fields if name not in optional],
    }


def listed(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def one_of(words: Sequence[str]) -> Schema:
    return {"type": "string", "enum": list(words)}


def counted(names: Sequence[str]) -> Schema:
    """An object that maps some of these names to a count."""
    return {
        "type": "object",
        "propertyNames": {"enum": list(names)},
        "additionalProperties": COUNT,
    }


def or_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return {**schema, "type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}
