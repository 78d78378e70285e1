"""`explain`: how MongoDB runs every query that the code issues."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from daybook.cli.command import (
    CommandResult,
    Exit,
    app_from_env,
    asks_for_details,
    command,
    takes_profile,
)
from daybook.display import number

if TYPE_CHECKING:
    from daybook.export.model.profile import Profile
    from daybook.mongo.explain import Explained, Explanation
    from daybook.mongo.query import Query


@command(
    "explain",
    failed="a query scans a collection or sorts in memory, or an index is missing",
)
@takes_profile
def explain(profile_name: str) -> CommandResult:
    """Show by which index MongoDB runs each query, and how much it reads.

    Runs every declared query with values from stored documents; reads only. Shows what is
    wrong, and with --verbose every query.
    """
    from daybook.export import source_indexes
    from daybook.mongo.explain import explain as ask

    app = app_from_env()
    profile = app.profile(profile_name)
    found = ask(app.database, queries(profile))
    missing = source_indexes.missing(app.database, profile.source)
    build = source_indexes.commands(app.database.name, missing)
    return CommandResult(
        doc={**found.to_doc(), "missingSourceIndexes": build if missing else None},
        lines=[
            *(_line(each) for each in found.queries if each.failed or asks_for_details()),
            *_sum_up(found),
            *([f"Missing indexes of the source; in mongosh: {build}"] if missing else []),
        ],
        code=Exit.FAILED if found.failed else Exit.OK,
    )


def queries(profile: Profile) -> list[Query]:
    """All queries of the exporter and the ledger, as the modules that run them declare them.

    Not `migrate` and `reconcile`, which read whole collections because that is their work.
    """
    from daybook.audit import lineage, verify
    from daybook.export.batch import batches, export_log
    from daybook.export.operations import requeue
    from daybook.export.queue import manifest, manual, mark, named_entries, plan, waiting
    from daybook.export.rendering import lines
    from daybook.export.slot import orphans
    from daybook.export.upload import breaker
    from daybook.local import follow_ups
    from daybook.ops import day
    from daybook.ops.metrics import stored
    from daybook.page import attention, days, item_changes
    from daybook.page import day as page_of_day
    from daybook.wallets import queries as ledger

    fixed = (
        *(batches, breaker, day, export_log, follow_ups, ledger, manifest, orphans, stored),
        *(attention, days, item_changes, page_of_day, verify),
    )
    of_profile = (lineage, lines, manual, mark, named_entries, plan, requeue, waiting)
    return [
        *chain.from_iterable(module.QUERIES for module in fixed),
        *chain.from_iterable(module.queries(profile) for module in of_profile),
    ]


def _line(each: Explained) -> str:
    name = f"{each.collection}.{each.name}"
    plan = each.plan
    if plan is None:
        return f"-       {name}: nothing is stored to ask with"
    per = max(plan.returned, 1)
    text = (
        f"{'NOT OK' if each.failed else 'ok':7} {name}: {' < '.join(plan.stages)}"
        f" by {', '.join(plan.indexes) or 'no index'}; {plan.keys / per:.1f} keys and"
        f" {plan.documents / per:.1f} documents examined for each of {plan.returned}"
    )
    if each.faults:
        text += f"; {' and '.join(each.faults)}"
        text += f", which is right: {each.excused}" if each.excused else ""
    return text


def _sum_up(found: Explanation) -> list[str]:
    asked = sum(each.plan is not None for each in found.queries)
    failed = sum(each.failed for each in found.queries)
    asked_of = f"{asked} of {number(len(found.queries), 'query', 'queries')} asked"
    lines = [f"{asked_of}: {f'{failed} NOT OK' if failed else 'all use an index'}."]
    if asked < len(found.queries):
        lines.append("For the others nothing is stored to ask with.")
    if found.missing:
        names = ", ".join(found.missing)
        lines.append(f"Missing indexes: {names}: run `daybook migrate`.")
    return lines
