"""One measurement in a process of its own: `python -m bench.measure WHAT`, JSON on stdout.

A process each, so that the peak of its memory is that of the thing measured. The
time leaves out starting Python and connecting.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import count, islice

from bench.load.process import cpu_seconds, peak_mib
from bench.naive import naive_csv
from bench.two_collections import ENTRIES, LINES
from daybook.app import App
from daybook.export.model.part import PART_SIZE, Part
from daybook.export.model.profile import DAILY, Profile
from daybook.export.model.source import LineCollection
from daybook.export.outcome import Status
from daybook.export.queue import plan
from daybook.export.rendering.render import Renderer
from daybook.export.rendering.source import EntrySource
from tests import commands

DAY = date(2026, 1, 18)


def raw(app: App) -> int:
    """The bare reading: both collections as raw bytes, nothing decoded."""
    return sum(
        len(batch)
        for name in ("exportqueues", "journalentries")
        for batch in app.database[name].find_raw_batches({})
    )


def update(app: App) -> int:
    """The bare marking: one `update_many` for all items, without a condition per item."""
    facts = {"fileId": "file", "webViewLink": "https://drive.google.com/file/d/file/view"}
    changes = {
        "status": "completed",
        "metadata": {**facts, "batchDate": DAY.isoformat()},
        "updatedAt": datetime.now(UTC),
    }
    queue = app.database["exportqueues"]
    return queue.update_many({"status": "queued"}, {"$set": changes}).modified_count


def naive(app: App) -> int:
    """Everything in memory, one `$in`, `csv`."""
    profile = app.profile(DAILY)
    items = list(app.database["exportqueues"].find(plan.queued(profile)).sort("_id", 1))
    content, _totals = naive_csv(app.database, [item["entryId"] for item in items])
    return len(content)


def render(app: App) -> int:
    """Daybook's reading and rendering of what is queued, one page ahead; the bytes are dropped."""
    return _rendered(app, app.profile(DAILY))


def render_two(app: App) -> int:
    """The same, with the lines in a collection of their own."""
    lines = LineCollection(collection=LINES, key="entryId", order="lineIds")
    profile = app.profile(DAILY)
    source = replace(profile.source, entries=ENTRIES, lines=lines)
    return _rendered(app, replace(profile, source=source))


def _rendered(app: App, profile: Profile) -> int:
    renderer, source = Renderer(profile, DAY), EntrySource(app.database, profile)
    size = len(renderer.header())
    for part, reading in source.read_ahead(_parts(app)):
        size += len(renderer.part(part, reading.result()))
    return size


def _parts(app: App) -> Iterator[Part]:
    """The queue in parts, without the looking for duplicates that belongs to planning."""
    items = app.database["exportqueues"].find(plan.queued(app.profile(DAILY)), {"entryId": 1})
    cursor = items.sort("_id", 1).batch_size(PART_SIZE)
    for number in count():
        page = list(islice(cursor, PART_SIZE))
        if not page:
            return
        yield Part(
            number=number,
            queue_ids=[item["_id"] for item in page],
            entry_ids=[item["entryId"] for item in page],
            duplicates={},
        )


def run(app: App) -> int:
    """A whole run of the batch, into the Drive stand-in."""
    outcome = commands.run_day(app, DAY)
    assert outcome.status is Status.EXPORTED, outcome
    size: int = outcome.facts["sizeBytes"]
    return size


MEASURED: Mapping[str, Callable[[App], int]] = {
    "raw": raw,
    "update": update,
    "naive": naive,
    "render": render,
    "render_two": render_two,
    "run": run,
}


def main(what: str) -> None:
    app = App.from_env(os.environ)
    app.database.command("ping")
    _ = app.destination
    gc.freeze()  # as the function and the commands do
    idle = peak_mib(os.getpid())
    mongod = app.client.admin.command("serverStatus")["pid"]
    of_mongod = cpu_seconds(mongod)
    started, cpu = time.perf_counter(), time.process_time()
    size_bytes = MEASURED[what](app)
    print(
        json.dumps(
            {
                "what": what,
                "seconds": time.perf_counter() - started,
                "cpu_seconds": time.process_time() - cpu,
                "mongod_cpu_seconds": cpu_seconds(mongod) - of_mongod,
                "idle_mb": idle,
                "peak_mb": peak_mib(os.getpid()),
                "size_bytes": size_bytes,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
