"""A queue's settings, and when a failed task is delivered again.

https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RetryConfig:
    """As `gcloud tasks queues update` sets it."""

    max_attempts: int = 5
    """Deliveries of a task at most, the first included; -1 for no limit."""
    min_backoff: timedelta = timedelta(seconds=1)
    max_backoff: timedelta = timedelta(hours=1)
    max_doublings: int = 16
    max_retry_duration: timedelta = timedelta(0)
    """A task is given up only when this has passed too since its first delivery."""

    def backoff(self, failures: int) -> timedelta:
        """How long to wait after so many failed deliveries.

        The wait doubles `max_doublings` times, then grows by what it was last, up to the
        maximum.
        """
        retry = failures - 1
        doublings = min(retry, self.max_doublings)
        further = max(retry - self.max_doublings, 0)
        return min(self.min_backoff * (1 << doublings) * (further + 1), self.max_backoff)

    def gives_up(self, *, attempts: int, age: timedelta) -> bool:
        """Whether a task is dropped that failed `attempts` times, `age` after its first."""
        if self.max_attempts < 0:
            return False
        return attempts >= self.max_attempts and age >= self.max_retry_duration


@dataclass(kw_only=True)
class Queue:
    """One queue; tests set `state` and `retry` as an operator would."""

    name: str
    state: str = "RUNNING"
    """RUNNING, PAUSED or DISABLED: the latter two take tasks but deliver none."""
    retry: RetryConfig = field(default_factory=RetryConfig)

    @property
    def short_name(self) -> str:
        return self.name.rpartition("/")[2]

    def resource(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rateLimits": {
                "maxDispatchesPerSecond": 500,
                "maxBurstSize": 100,
                "maxConcurrentDispatches": 1000,
            },
            "retryConfig": {
                "maxAttempts": self.retry.max_attempts,
                "maxRetryDuration": seconds(self.retry.max_retry_duration),
                "minBackoff": seconds(self.retry.min_backoff),
                "maxBackoff": seconds(self.retry.max_backoff),
                "maxDoublings": self.retry.max_doublings,
            },
            "state": self.state,
        }


def seconds(span: timedelta) -> str:
    """A duration as Google writes it: "600s", "0.100s"."""
    whole, part = divmod(span, timedelta(seconds=1))
    return f"{whole}.{part // timedelta(milliseconds=1):03}s" if part else f"{whole}s"
