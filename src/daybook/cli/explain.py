"""`explain`: how MongoDB carries out every query that the code issues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daybook.cli.command import CommandResult, app_from_env, command
from daybook.cli.exits import Exit

if TYPE_CHECKING:
    from daybook.mongo.explain import Explained, Explanation


@command("explain")
def explain() -> CommandResult:
    """Show by which index MongoDB carries out each query, and how much it reads.

    Runs every declared query with values out of stored documents; reads only. Exit code
    1: one of them scans a collection or sorts in memory, or an index is missing.
    """
    from daybook.mongo.explain import explain as ask
    from daybook.ops.queries.catalogue import queries
    from daybook.wallets.queries import QUERIES

    app = app_from_env()
    found = ask(app.database, (*queries(app.profile()), *QUERIES))
    return CommandResult(
        doc=found.to_doc(),
        lines=[*map(_line, found.queries), *_sum_up(found)],
        code=Exit.FAILED if found.failed else Exit.OK,
    )


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
    lines = [f"{asked} of {len(found.queries)} queries asked, {failed} not as they should be."]
    if found.missing:
        names = ", ".join(found.missing)
        lines.append(f"Missing indexes: {names}: run `python -m daybook migrate`.")
    return lines
