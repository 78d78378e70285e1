"""docs/runbook.md as chapters, transcripts and log queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests import pages

DAYBOOK = "daybook "

_SETTING_OUT = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_CLAUSE = re.compile(
    r"(resource\.type|resource\.labels\.\w+|jsonPayload\.\w+|labels\.\w+|severity)"
    r'(>=|=~|=|>|:)("[^"]*"|\w+|\*|\((?:"[^"]*"(?: OR )?)+\))'
)
_SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+\d\d:\d\d)"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d \(Asia/Bangkok\)"), "<local time>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<owner>"),
    (re.compile(r"\b[0-9a-f]{24}\b"), "<id>"),
    (re.compile(r"(?<![\w-])1[A-Za-z0-9_-]{32}(?![\w-])"), "<file>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<host>"),
    (re.compile(r"\d+(\.\d+)? s (ahead of|behind)"), "<seconds>"),
    (re.compile(r"\b\d+ set, none misspelt"), "<set>"),
    (re.compile(r"all \d+ are there"), "<indexes>"),
    (re.compile(r"version \d+\.\d+\.\d+"), "<version>"),
    (re.compile(r"replica set [\w-]+"), "<replica set>"),
    (re.compile(r"projects/[\w-]+/locations/[\w-]+/queues/[\w-]+"), "<queue>"),
)


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """A command as the page shows it, and what it answers."""

    command: str
    answer: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One `##` heading and the text below it."""

    anchor: str
    title: str
    text: str

    def blocks(self, language: str) -> list[str]:
        return [body for kind, body in _SETTING_OUT.findall(self.text) if kind == language]

    @property
    def transcripts(self) -> list[Transcript]:
        """The contents of ```console blocks."""
        found = []
        for block in self.blocks("console"):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, *answer = part.rstrip("\n").split("\n")
                found.append(Transcript(command=command, answer=tuple(answer)))
        return found

    @property
    def queries(self) -> list[str]:
        """The contents of ```text blocks that ask for records of the function."""
        return [text for text in self.blocks("text") if text.startswith("resource.type=")]


@cache
def chapters(page: str = "runbook.md") -> dict[str, Chapter]:
    """Anchor → chapter, in the page's order."""
    found = {}
    for part in re.split(r"^## ", pages.text_of(page), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        assert anchor not in found, f"two chapters {title}"
        found[anchor] = Chapter(anchor=anchor, title=title, text=text)
    return found


def masked(line: str) -> str:
    """The line without what differs from run to run."""
    for pattern, name in _VOLATILE:
        line = pattern.sub(name, line)
    return re.sub(" +", " ", line).rstrip()


def agrees(shown: Sequence[str], answered: Sequence[str]) -> bool:
    """Whether the page shows what was answered.

    A line `…` matches any lines, also for none; `…` in a line for the rest of it.
    """
    if not shown:
        return not answered
    if shown[0].strip() == "…":
        return any(agrees(shown[1:], answered[at:]) for at in range(len(answered) + 1))
    if not answered:
        return False
    wanted, here = masked(shown[0]), masked(answered[0])
    same = here.startswith(wanted[:-1]) if wanted.endswith("…") else here == wanted
    return same and agrees(shown[1:], answered[1:])


def clauses(query: str) -> list[tuple[str, str, str]]:
    """Field, operator and value of each condition; fails where the query has anything else.

    Of several values, any of which will do, the operator is `in` and `|` separates them.
    """
    found = _CLAUSE.findall(query)
    rest = _CLAUSE.sub("", query).replace("AND", "").split()
    assert found, query
    assert not rest, f"not understood: {rest}"
    return [
        (name, "in", "|".join(re.findall(r'"([^"]*)"', value)))
        if value.startswith("(")
        else (name, operator, value.strip('"'))
        for name, operator, value in found
    ]


def matches(query: str, record: Mapping[str, Any]) -> bool:
    """Whether Cloud Logging would show the record, of this function's own, for the query."""
    return all(_holds(record, *clause) for clause in clauses(query))


def _holds(record: Mapping[str, Any], name: str, operator: str, value: str) -> bool:
    scope, _, key = name.rpartition(".")
    if scope.startswith("resource"):
        return not {"cloud_run_revision", "daybook"}.isdisjoint(value.split("|"))
    if name == "severity":
        return _SEVERITIES.index(record["severity"]) >= _SEVERITIES.index(value)
    held = record.get("logging.googleapis.com/labels", {}) if scope == "labels" else record
    if operator == ">":
        return float(held.get(key, 0)) > float(value)
    if operator == ":":
        return key in held
    if operator == "in":
        return str(held.get(key)) in value.split("|")
    if operator == "=~":
        return re.search(value, str(held.get(key, ""))) is not None
    return str(held.get(key)) == value
