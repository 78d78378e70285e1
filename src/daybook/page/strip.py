"""The marks of the states, and a profile's calendar as a strip of them, as markup.

Twenty profiles have 1,800 days: in a template they would take half of the page's time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from markupsafe import Markup, escape

from daybook.page.days import Cell, DayState

_MARKS: Mapping[str, Markup] = {
    state: Markup(
        '<svg class="mark {0}" width="12" height="12" aria-hidden="true"><use href="#m-{0}"/></svg>'
    ).format(state.value)
    for state in DayState
}


def mark_of(state: str) -> Markup:
    """The state's mark; its shape is in the symbols of `marks.html`."""
    return _MARKS[state]


def strip(
    cells: Sequence[Cell], *, suffix: str, days: Mapping[date, str], words: Mapping[DayState, str]
) -> Markup:
    """A link for each day that has a state.

    `suffix`: the parameters of the profile's addresses; `days` and `words`: what days and
    states are called.
    """
    made: list[str] = []
    parameters = escape(suffix)
    for cell in cells:
        mark = _MARKS[cell.state]
        if cell.state is DayState.NONE:
            made.append(f'<span class="day">{mark}</span>')
        else:
            made.append(
                f'<a class="day" href="/days/{cell.day}{parameters}" '
                f'title="{escape(days[cell.day])}: {escape(words[cell.state])}">{mark}</a>'
            )
    return Markup("".join(made))  # noqa: S704  (each part is escaped above)
