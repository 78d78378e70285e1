"""The sentence that answers, before anything else, whether today is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from daybook.page.days import DayState
from daybook.page.language import Tongue
from daybook.page.overview import Verdict


class Level(StrEnum):
    GOOD = "good"  # done
    LATE = "late"  # not done, and on its way
    BAD = "bad"  # not done, and nothing is on its way
    IDLE = "idle"  # nothing has ever run


_LEVELS = {
    **dict.fromkeys((DayState.RETRYING, DayState.RUNNING, DayState.DUE), Level.LATE),
    **dict.fromkeys((DayState.FAILED, DayState.MISSING, DayState.UNREADABLE), Level.BAD),
    DayState.NONE: Level.IDLE,
}
_WORST_FIRST = (Level.BAD, Level.LATE, Level.GOOD, Level.IDLE)


@dataclass(frozen=True, kw_only=True)
class Headline:
    text: str
    level: Level
    state: DayState
    """Its mark is shown before the text."""


def headline(verdicts: Sequence[Verdict], tongue: Tongue) -> Headline:
    """The day of a single profile; of several, how many are done, then the worst one."""
    worst = min(verdicts, key=lambda verdict: _WORST_FIRST.index(level_of(verdict)))
    sentence = _sentence(worst, tongue)
    level = level_of(worst)
    begun = [verdict for verdict in verdicts if verdict.cell is not None]
    if len(begun) > 1:
        done = sum(level_of(verdict) is Level.GOOD for verdict in begun)
        if done == len(begun):
            last = max(verdict.cell.day for verdict in begun if verdict.cell is not None)
            sentence = str(
                tongue.words("verdict_all", day=tongue.named_day(last), count=len(begun))
            )
        else:
            some = tongue.words("verdict_some", done=done, count=len(begun))
            sentence = f"{some} {worst.profile}: {sentence}"
    return Headline(text=sentence, level=level, state=worst.state)


def level_of(verdict: Verdict) -> Level:
    return _LEVELS.get(verdict.state, Level.GOOD)


def _sentence(verdict: Verdict, tongue: Tongue) -> str:
    cell = verdict.cell
    if cell is None and not verdict.enabled:
        return str(tongue.words("verdict_disabled"))
    if cell is None:
        return str(tongue.words("verdict_none", at=tongue.at(verdict.last_slot)))
    key = "stalled" if cell.state is DayState.MISSING and cell.record else cell.state.value
    return str(tongue.words(f"verdict_{key}", day=tongue.named_day(cell.day)))
