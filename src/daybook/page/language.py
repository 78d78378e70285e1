"""The page in one language: its words, dates, numbers and the alerts' texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from daybook.display import visible
from daybook.export.model.figures import EntryFault
from daybook.export.model.notice import Alert
from daybook.notifications import en as alerts_en
from daybook.notifications import th as alerts_th
from daybook.notifications.facts import AlertText, Facts
from daybook.notifications.messages import Language
from daybook.page.words import en, th

_BUDDHIST_ERA = 543
_KIB = 1024
_WORDS = {"en": en, "th": th}
_ALERTS: Mapping[str, Any] = {"en": alerts_en, "th": alerts_th}


@dataclass(frozen=True, kw_only=True)
class Tongue:
    """How people read the page; `zone` is that of the schedule."""

    language: Language
    zone: ZoneInfo
    today: date

    @property
    def other(self) -> Language:
        return "en" if self.language == "th" else "th"

    def words(self, key: str, **given: Any) -> Markup:
        """The text of the key; what is given comes from data, and is escaped and made visible.

        The texts themselves are ours and have no markup.
        """
        text = Markup(_WORDS[self.language].WORDS[key])  # noqa: S704  (a constant)
        return text.format(**{name: _shown(value) for name, value in given.items()})

    def alert(self, alert: Alert) -> AlertText:
        """What the alert says, as data: it quotes errors and names of others."""
        text: AlertText = _ALERTS[self.language].TEXTS[alert.event](
            Facts(alert=alert, zone=self.zone)
        )
        return text

    def fault(self, fault: EntryFault, names: Mapping[str, str]) -> str:
        """A fault such as `line 2, debit: stored as text (1,200.00)`.

        `names` are `Profile.field_names`.
        """
        alerts = _ALERTS[self.language]
        place = alerts.place(fault, names)
        value = f" ({fault.value})" if fault.value else ""
        return (
            f"{place}: {alerts.REASONS[fault.reason]}{value}"
            if place
            else (f"{alerts.REASONS[fault.reason]}{value}")
        )

    def unclaimed(self, reason: str) -> str:
        return str(_ALERTS[self.language].UNCLAIMED.get(reason, reason))

    def reason(self, reason: str) -> str:
        """Why an entry was rejected, by the word that is stored."""
        return str(_ALERTS[self.language].REASONS.get(reason, reason))

    def destination(self, kind: str) -> str:
        return str(_ALERTS[self.language].DESTINATIONS.get(kind, kind))

    # Dates and times

    def day(self, day: date) -> str:
        """`Mon 19 Jan`."""
        words = _WORDS[self.language]
        return f"{words.WEEKDAYS[day.weekday()]} {day.day} {words.MONTHS[day.month - 1]}"

    def long_day(self, day: date) -> str:
        """`Monday 19 January 2026`; in Thai in the Buddhist Era."""
        words = _WORDS[self.language]
        weekday, month = words.LONG_WEEKDAYS[day.weekday()], words.LONG_MONTHS[day.month - 1]
        if self.language == "th":
            return f"{weekday}ที่ {day.day} {month} {day.year + _BUDDHIST_ERA}"
        return f"{weekday} {day.day} {month} {day.year}"

    def named_day(self, day: date) -> str:
        """`Today`, `Yesterday`, or the date."""
        if day == self.today:
            return str(self.words("today"))
        if day == self.today - timedelta(days=1):
            return str(self.words("yesterday"))
        return self.long_day(day)

    def month(self, day: date) -> str:
        return cast("str", _WORDS[self.language].MONTHS[day.month - 1])

    def at(self, moment: datetime | None) -> str:
        """`today at 18:02`, else `Mon 19 Jan at 18:02`; in the schedule's zone."""
        if moment is None:
            return ""
        local = moment.astimezone(self.zone)
        if local.date() == self.today:
            return str(self.words("at_today", time=f"{local:%H:%M}"))
        return str(self.words("at_day", day=self.day(local.date()), time=f"{local:%H:%M}"))

    def coded(self, text: str) -> Markup:
        """A text of ours about data, with commands between backquotes as code."""
        pieces = [escape(visible(piece)) for piece in str(text).split("`")]
        if len(pieces) % 2 == 0:
            return Markup("`").join(pieces)
        return Markup("").join(
            Markup("<code>{}</code>").format(piece) if number % 2 else piece
            for number, piece in enumerate(pieces)
        )

    def clock(self, moment: datetime) -> str:
        """`18:02`, in the schedule's zone."""
        return f"{moment.astimezone(self.zone):%H:%M}"

    # Numbers

    def number(self, value: float | Decimal | None) -> str:
        """`1,284`; an en dash when it is not known."""
        if value is None:
            return "–"
        return f"{value:,.0f}" if isinstance(value, float) else f"{value:,}"

    def seconds(self, value: float | None) -> str:
        if value is None:
            return "–"
        return str(self.words("seconds", count=f"{value:,.1f}" if value < 100 else f"{value:,.0f}"))

    def size(self, size_bytes: int) -> str:
        """`8.1 MB`."""
        if size_bytes < _KIB * _KIB:
            return f"{size_bytes / _KIB:,.1f} kB"
        return f"{size_bytes / _KIB / _KIB:,.1f} MB"

    def entries(self, count: int | None) -> str:
        key = "entries_one" if count == 1 else "entries"
        return str(self.words(key, count=self.number(count)))

    def rejected(self, count: int) -> str:
        key = "rejected_one" if count == 1 else "rejected_many"
        return str(self.words(key, count=self.number(count)))

    def money(self, sums: Sequence[Any]) -> str:
        """`4,812,330.50 THB`, of each currency."""
        return ", ".join(f"{one.amount:,f} {one.currency}" for one in sums)


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
