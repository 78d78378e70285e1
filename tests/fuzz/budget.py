"""How long each fuzzer runs: briefly among the other tests, at length in `make fuzz`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import count

from tests import options

SECONDS_IN_CI = 60.0
"""Of the fuzzers of journal entries and of database objects."""
SECONDS_IN_CI_OF_OTHERS = 12.0
SHARE_ELSEWHERE = 1 / 6


def budget_seconds(*, in_ci: float) -> float:
    """For one fuzzer; `DAYBOOK_FUZZ_SECONDS` overrides the default."""
    given = options.get("FUZZ_SECONDS")
    if given:
        return float(given)
    return in_ci if os.environ.get("CI") else in_ci * SHARE_ELSEWHERE


def rounds(*, seconds_in_ci: float = SECONDS_IN_CI) -> Iterator[int]:
    """0, 1, 2, … until the budget is used up; always 0.

    Hypothesis counts examples, not seconds, so a fuzzer runs a property of a few examples
    in each round. The numbers can serve as seeds, for rounds that differ:

        for number in rounds():
            hypothesis.seed(number)(property_to_check)()
    """
    until = time.monotonic() + budget_seconds(in_ci=seconds_in_ci)
    for number in count():
        yield number
        if time.monotonic() >= until:
            return
