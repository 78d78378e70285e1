"""pymongoarrow and polars, as one would write it oneself: amounts as text, made by the server."""

import os
import sys

import polars
import pymongo
from pymongoarrow.api import Schema, aggregate_arrow_all

LINE = {
    "date": 1,
    "reference": 1,
    "description": 1,
    "accountCode": "$lines.accountCode",
    "accountName": "$lines.accountName",
    "debit": {"$toString": "$lines.debit"},
    "credit": {"$toString": "$lines.credit"},
    "currency": 1,
}


def main(work: str, target: str) -> None:
    database = pymongo.MongoClient(os.environ["PEER_URI"])[os.environ["PEER_DATABASE"]]
    lines = _frame(
        database["journalentries"],
        [{"$unwind": "$lines"}, {"$project": {**LINE, "_id": 0, "entryId": {"$toString": "$_id"}}}],
        ["entryId", "date", *(name for name in LINE if name != "date")],
    )
    if work == "joined":
        queued = _frame(
            database["exportqueues"],
            [
                {"$match": {"status": "queued"}},
                {"$sort": {"_id": 1}},
                {"$project": {"_id": 0, "entryId": {"$toString": "$entryId"}}},
            ],
            ["entryId"],
        )
        lines = queued.join(lines, on="entryId", maintain_order="left_right")
    lines.write_csv(target)


def _frame(collection, pipeline, names):
    from datetime import datetime

    schema = Schema({name: datetime if name == "date" else str for name in names})
    return polars.from_arrow(aggregate_arrow_all(collection, pipeline, schema=schema))


if __name__ == "__main__":
    main(*sys.argv[1:])
