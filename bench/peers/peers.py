"""The peers: what each is made of, and the commands of its two pieces of work.

Without the join a peer writes all journal entries, as its own way of doing that has it. With the
join it writes the queued ones alone, a row for each line, in the order of the queue.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).parent
WORKS = ("plain", "joined")
ENTRY = ("date", "reference", "description", "currency")
LINE = ("accountCode", "accountName", "debit", "credit")
PIPELINE: list[dict[str, Any]] = [
    {"$match": {"status": "queued"}},
    {"$sort": {"_id": 1}},
    {
        "$lookup": {
            "from": "journalentries",
            "localField": "entryId",
            "foreignField": "_id",
            "as": "entry",
        }
    },
    {"$unwind": "$entry"},
    {"$unwind": "$entry.lines"},
    {
        "$project": {
            "_id": 0,
            "entryId": 1,
            **{name: f"$entry.{name}" for name in ENTRY},
            **{name: f"$entry.lines.{name}" for name in LINE},
        }
    },
]


# ingestr takes `_id` for the primary key of what it reads.
_WITH_OWN_ID: list[dict[str, Any]] = [
    {"$unwind": {"path": "$entry.lines", "includeArrayIndex": "line"}},
    {
        "$project": {
            **PIPELINE[-1]["$project"],
            "_id": {"$concat": [{"$toString": "$_id"}, "-", {"$toString": "$line"}]},
        }
    },
]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One piece of work: what to read, and a folder to write to."""

    work: str
    uri: str
    database: str
    folder: Path
    programs: dict[str, Path]
    """Environment → its folder of programs."""

    @property
    def environment(self) -> dict[str, str]:
        address = urlsplit(self.uri)
        connection = {"conn_type": "mongo", "host": address.hostname, "port": address.port}
        return {
            "PEER_URI": self.uri,
            "PEER_DATABASE": self.database,
            "PEER_PIPELINE": json.dumps(PIPELINE),
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW_CONN_MONGO_DEFAULT": json.dumps(connection),
            "DISABLE_TELEMETRY": "true",
            "INGESTR_DISABLE_TELEMETRY": "true",
            "DAYBOOK_MONGODB_URI": self.uri,
            "DAYBOOK_DATABASE": self.database,
            "DAYBOOK_DESTINATION": self.folder.as_uri(),
        }


_DAYBOOK = str(Path(sys.executable).with_name("daybook"))
Commands = list[list[str]]
"""Programs of which each reads what the one before it writes."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    name: str
    environments: tuple[str, ...]
    """Each has its pinned packages in `NAME.txt`."""
    commands: Callable[[Task], Commands]
    cannot: dict[str, str]
    """Work that it has no means for → why."""


def _file_alone(task: Task) -> Commands:
    out = str(task.folder / "out.csv")
    return [[_DAYBOOK, "plan", "--date", "2026-01-18", "--out", out]]


def _whole_run(_task: Task) -> Commands:
    return [[_DAYBOOK, "run", "--date", "2026-01-18"]]


def _pymongoarrow(task: Task) -> Commands:
    return [_script(task, "pymongoarrow", "with_pymongoarrow.py")]


def _airflow(task: Task) -> Commands:
    return [_script(task, "airflow", "with_airflow.py")]


def _script(task: Task, environment: str, file: str) -> list[str]:
    python = str(task.programs[environment] / "python")
    return [python, str(HERE / file), task.work, str(task.folder / "out.csv")]


def _ingestr(task: Task) -> Commands:
    table = f"{task.database}.journalentries"
    if task.work == "joined":
        table = f"{task.database}.exportqueues:{json.dumps([*PIPELINE[:-2], *_WITH_OWN_ID])}"
    return [
        [
            *(str(task.programs["ingestr"] / "ingestr"), "ingest", "--yes", "--progress", "log"),
            *("--source-uri", task.uri, "--source-table", table),
            *("--dest-uri", f"csv://{task.folder / 'out.csv'}", "--dest-table", "out.rows"),
            *("--pipelines-dir", str(task.folder / "pipelines")),
        ]
    ]


def _singer(task: Task) -> Commands:
    """The fields of an entry as columns of their own, which the tap wants declared."""
    tap, target = task.folder / "tap.json", task.folder / "target.json"
    catalog = task.folder / "catalog.json"
    tap.write_text(
        json.dumps(
            {
                "mongodb_connection_string": task.uri,
                "database": task.database,
                "filter_collections": ["journalentries"],
                "document_layout": "flat",
            }
        )
    )
    target.write_text(json.dumps({"output_path": str(task.folder)}))
    program = [str(task.programs["tap-mongodb"] / "tap-mongodb"), "--config", str(tap)]
    found = subprocess.run([*program, "--discover"], capture_output=True, check=True)
    described = json.loads(found.stdout)
    for stream in described["streams"]:
        fields: dict[str, Any] = {name: {"type": ["string", "null"]} for name in ENTRY}
        fields["date"] = {"type": ["string", "null"], "format": "date-time"}
        lines = {"type": ["array", "null"], "items": {"type": "object"}}
        stream["schema"]["properties"] |= {**fields, "lines": lines}
        for entry in stream["metadata"]:
            entry["metadata"]["selected"] = True
    catalog.write_text(json.dumps(described))
    return [
        [*program, "--catalog", str(catalog)],
        [str(task.programs["target-csv"] / "target-csv"), "--config", str(target)],
    ]


_JOINS = {"plain": "Daybook always joins"}
DAYBOOK = Peer(name="Daybook, file alone", environments=(), commands=_file_alone, cannot=_JOINS)
"""The same work as a peer's: nothing is marked or recorded, and nothing is sealed."""
PEERS = (
    Peer(
        name="pymongoarrow, polars",
        environments=("pymongoarrow",),
        commands=_pymongoarrow,
        cannot={},
    ),
    Peer(name="Airflow's hook, csv", environments=("airflow",), commands=_airflow, cannot={}),
    Peer(name="dlt (ingestr)", environments=("ingestr",), commands=_ingestr, cannot={}),
    Peer(
        name="Singer: tap-mongodb, target-csv",
        environments=("tap-mongodb", "target-csv"),
        commands=_singer,
        cannot={"joined": "a tap reads whole collections"},
    ),
    DAYBOOK,
    # The last one, since it marks the queue.
    Peer(name="Daybook, whole run", environments=(), commands=_whole_run, cannot=_JOINS),
)
