"""The link to the log records of an alert's batch in Cloud Logging."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

from daybook.export.model.notice import Alert

_EXPLORER = "https://console.cloud.google.com/logs/query"
_BEFORE = timedelta(days=1)
_KEPT = timedelta(days=30)
"""How long Cloud Logging keeps records by default; a day may be retried until then.

https://cloud.google.com/logging/quotas#logs_retention_periods
"""


def query(alert: Alert, zone: ZoneInfo) -> str:
    """The comparisons that find the batch's records, one per line.

    Lines are joined by AND: https://cloud.google.com/logging/docs/view/logging-query-language
    """
    if alert.batch_date is not None:
        return "\n".join(_of_day(alert.profile, alert.batch_date, zone))
    lines = [f'labels.profile="{alert.profile}"']
    if alert.batch_id is not None:
        lines.append(f'jsonPayload.batchId="{alert.batch_id}"')
    else:
        lines.append(f'jsonPayload.event="{alert.event.value}"')
    return "\n".join(lines)


def where(alert: Alert, zone: ZoneInfo, project: str | None) -> str:
    """A link to the Logs Explorer; without a project, the query to paste there."""
    comparisons = query(alert, zone)
    if project is None:
        return comparisons.replace("\n", " AND ")
    # The Explorer shows the last hour unless the query or the link says otherwise.
    span = "" if "timestamp" in comparisons else ";duration=P30D"
    link = f"{_EXPLORER};query={quote(comparisons, safe='')}{span}"
    return f"{link}?project={quote(project, safe='')}"


def query_of_day(profile: str, batch_date: str, zone: ZoneInfo) -> str:
    """The comparisons that find the records of a day's batch, joined."""
    return " AND ".join(_of_day(profile, batch_date, zone))


def of_day(profile: str, batch_date: str, zone: ZoneInfo, project: str | None) -> str | None:
    """A link to the records of a day's batch; None without a project."""
    if project is None:
        return None
    comparisons = "\n".join(_of_day(profile, batch_date, zone))
    return f"{_EXPLORER};query={quote(comparisons, safe='')}?project={quote(project, safe='')}"


def _of_day(profile: str, batch_date: str, zone: ZoneInfo) -> list[str]:
    day = datetime.combine(date.fromisoformat(batch_date), time(), zone)
    return [
        f'labels.profile="{profile}"',
        f'labels.batchDate="{batch_date}"',
        f'timestamp>="{_utc(day - _BEFORE)}"',
        f'timestamp<"{_utc(day + _KEPT)}"',
    ]


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
