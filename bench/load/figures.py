"""One case of `make load`, and the figures of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.load.mongod import Spent

DEADLINE = "DAYBOOK_RUN_DEADLINE_SECONDS"
CHUNK = "DAYBOOK_UPLOAD_CHUNK_BYTES"
WHOLE = "DAYBOOK_MULTIPART_LIMIT_BYTES"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured."""

    entries: int
    lines: int
    """Of each entry, and so rows."""
    slower: float
    settings: Mapping[str, str]
    """Of the function, beside where MongoDB and Drive are; the rest are the defaults."""
    several: bool = False
    """Whether its deadline is so short that it takes several invocations."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One day's figures. Memory in MiB, sizes in bytes."""

    entries: int
    rows: int
    size_bytes: int
    seconds: float
    """Of all requests to the function together, as the caller saw them."""
    drive_seconds: float
    """Of these, while a request to Drive was under way; rendering may have overlapped."""
    plan_seconds: float
    """From the first request until Drive was first asked: the slot, the plan."""
    mark_seconds: float
    """From the file's verification until its description or the end: the commit, the marking."""
    cpu_seconds: float
    """Of the function's process. MongoDB's is in `mongod`; the stand-in's is not counted."""
    mongod: Spent
    idle_mib: float
    peak_mib: float
    parent_mib: float
    requests: Mapping[str, int]
    uploaded_bytes: int
    invocations: int
    attempts: int

    @property
    def growth_mib(self) -> float:
        return self.peak_mib - self.idle_mib

    @property
    def instance_mib(self) -> float:
        """What an instance must hold: the process at its peak, and its parent."""
        return self.peak_mib + self.parent_mib

    def to_doc(self) -> dict[str, Any]:
        return {
            "entries": self.entries,
            "rows": self.rows,
            "sizeBytes": self.size_bytes,
            "seconds": self.seconds,
            "driveSeconds": self.drive_seconds,
            "planSeconds": self.plan_seconds,
            "markSeconds": self.mark_seconds,
            "cpuSeconds": self.cpu_seconds,
            "mongodCpuSeconds": self.mongod.cpu_seconds,
            "mongodCommands": self.mongod.commands,
            "idleMib": self.idle_mib,
            "peakMib": self.peak_mib,
            "growthMib": self.growth_mib,
            "instanceMib": self.instance_mib,
            "requests": dict(self.requests),
            "requestCount": sum(self.requests.values()),
            "uploadedBytes": self.uploaded_bytes,
            "invocations": self.invocations,
            "attempts": self.attempts,
        }
