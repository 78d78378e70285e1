"""HTML of a profile's calendar: a strip with one mark for each day.

It is not a template: for twenty profiles, 1,800 days, that would take half of the page's time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from markupsafe import Markup, escape

from daybook.page.days import CalendarDay, DayState

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
    cells: Sequence[CalendarDay],
    *,
    suffix: str,
    days: Mapping[date, str],
    words: Mapping[DayState, str],
) -> Markup:
    """A link for each day that has a state.

    `suffix` is the query string that selects the profile; `days` and `words` are the names of
    days and states.
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
