"""Values as mongosh reads them, for commands that a person pastes there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId, json_util


def literal(value: Any) -> str:
    """A value in mongosh's JavaScript; one of a rare type goes through extended JSON."""
    if isinstance(value, ObjectId):
        return f'ObjectId("{value}")'
    if value is None or isinstance(value, str | bool) or type(value) is int:
        return json.dumps(value)
    if isinstance(value, Mapping):
        fields = (f"{json.dumps(name)}: {literal(part)}" for name, part in value.items())
        return f"{{{', '.join(fields)}}}"
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return f"[{', '.join(map(literal, value))}]"
    extended = json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS)
    return f"EJSON.deserialize({extended})"
