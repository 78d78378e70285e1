"""What was asked of the real thing, and what it answered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Verdict(StrEnum):
    AS_ASSUMED = "as assumed"  # the code rests on this, rightly
    HARMLESS = "either way"  # it could have been otherwise; the code handles both
    OTHERWISE = "OTHERWISE"  # the code rests on something that is not so
    UNSETTLED = "unsettled"  # it could not be found out


class Exit(IntEnum):
    """How `python -m e2e` ends."""

    OK = 0  # everything that was asked is settled, and as assumed
    OTHERWISE = 1  # something is not as the code assumes, or a day is missing
    USAGE = 2  # wrong arguments; click's own code
    NOT_RUN = 3  # no credentials, or a setting is missing: nothing was asked of anybody
    UNSETTLED = 4  # it ran, and something could not be found out


class NotRun(Exception):
    """Nothing was asked of anybody; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One question with its answer."""

    question: str
    verdict: Verdict
    answer: str

    def __str__(self) -> str:
        return f"{self.verdict.value:<12}{self.question}\n{'':12}{self.answer}"


def exit_of(findings: Iterable[Finding]) -> Exit:
    verdicts = {finding.verdict for finding in findings}
    if Verdict.OTHERWISE in verdicts:
        return Exit.OTHERWISE
    return Exit.UNSETTLED if Verdict.UNSETTLED in verdicts else Exit.OK
