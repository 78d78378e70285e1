"""docs/json.md has a schema of each command, and of what a route answers too the same one."""

from __future__ import annotations

import json
import re

import jsonschema

from daybook.cli.main import main
from daybook.http import answers
from tests import pages

SECTIONS = dict(re.findall(r"(?ms)^## (.+?)\n.*?```json\n(.*?)```", pages.text_of("json.md")))
SCHEMAS = {
    name: json.loads(text)
    for heading, text in SECTIONS.items()
    for name in re.findall("`([^`]+)`", heading)
}
"""Command → the schema on the page."""
ERROR = json.loads(SECTIONS["Errors"])


def test_every_command_has_a_schema_and_no_other() -> None:
    assert set(SCHEMAS) - {"serve --demo", "run --profile *"} == set(main.commands)
    for schema in [*SCHEMAS.values(), ERROR]:
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["required"]


def test_what_a_route_answers_too_has_one_schema() -> None:
    same = {
        "run": answers.RUN,
        "run --profile *": answers.FANNED_OUT,
        "verify": answers.VERIFIED,
        "requeue": answers.REQUEUED,
        "release": answers.RELEASED,
        "sweep": answers.SWEPT,
        "audit": answers.AUDITED,
        "doctor": answers.EXAMINED,
    }
    assert {name: SCHEMAS[name] for name in same} == json.loads(json.dumps(same))
