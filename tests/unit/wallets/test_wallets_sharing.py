"""Lanes, and the budget of conflicts that several wallets in one transaction may cost."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import count

import pytest

from daybook.wallets.sharing import LANES, Sharing

LONG_SECONDS = 30.0
Shared = Sharing[str, str]


def lead(sharing: Shared, held: ExitStack, key: str) -> int:
    """Lead a group until `held` ends; how many it has."""
    place = held.enter_context(sharing.place(key, key, size=1, max_wait_seconds=LONG_SECONDS))
    assert place.leads
    members, _ = held.enter_context(sharing.group(place))
    return len(members)


def lead_and_fail(sharing: Shared) -> None:
    with ExitStack() as held:
        lead(sharing, held, "a")
        raise KeyError


def test_a_group_waits_for_no_lane_while_one_is_free() -> None:
    with ExitStack() as held:
        sharing = Shared(lane_seconds=LONG_SECONDS)
        assert [lead(sharing, held, str(number)) for number in range(LANES)] == [1] * LANES


def test_a_lane_that_is_never_left_does_not_keep_the_others_waiting() -> None:
    with ExitStack() as held:
        sharing = Shared(lane_seconds=0.01)
        assert [lead(sharing, held, str(number)) for number in range(3 * LANES)] == [1] * 3 * LANES


def test_a_lane_that_was_left_early_is_free_once() -> None:
    sharing = Shared(lane_seconds=0.01)
    with (
        sharing.place("a", "a", size=1, max_wait_seconds=LONG_SECONDS) as place,
        sharing.group(place) as (_, lane),
    ):
        lane.leave()
        lane.leave()
    free = [sharing._lanes.acquire(blocking=False) for _ in range(LANES + 1)]
    assert free == [True] * LANES + [False]


def test_a_lane_is_free_again_after_an_error() -> None:
    sharing = Shared(lane_seconds=0.01)
    for _ in range(LANES + 1):
        with pytest.raises(KeyError):
            lead_and_fail(sharing)
    free = [sharing._lanes.acquire(blocking=False) for _ in range(LANES + 1)]
    assert free == [True] * LANES + [False]


def test_conflicts_end_the_sharing_and_what_was_booked_pays_for_them() -> None:
    sharing = Shared()
    conflicts = next(number for number in count() if not _affords_another(sharing))
    assert conflicts >= 4
    for _ in range(4):
        sharing.succeeded()
    assert sharing.is_affordable()


def test_a_conflict_in_five_groups_does_not_end_the_sharing() -> None:
    sharing = Shared()
    for number in range(1000):
        assert sharing.is_affordable()
        if number % 5:
            sharing.succeeded()
        else:
            sharing.conflicted()


def _affords_another(sharing: Shared) -> bool:
    sharing.conflicted()
    return sharing.is_affordable()
