"""What a task of Airflow does with its hook for MongoDB: documents into a CSV file."""

import csv
import json
import os
import sys

from airflow.providers.mongo.hooks.mongo import MongoHook


def main(work: str, target: str) -> None:
    database = os.environ["PEER_DATABASE"]
    with MongoHook() as hook, open(target, "w", newline="", encoding="utf-8") as file:
        if work == "joined":
            pipeline = json.loads(os.environ["PEER_PIPELINE"])
            documents = hook.aggregate("exportqueues", pipeline, mongo_db=database)
        else:
            documents = hook.find("journalentries", {}, mongo_db=database)
        writer = None
        for document in documents:
            if writer is None:
                writer = csv.DictWriter(file, list(document))
                writer.writeheader()
            writer.writerow(document)


if __name__ == "__main__":
    main(*sys.argv[1:])
