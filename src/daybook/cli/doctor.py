"""`doctor`: what is wrong with the set-up."""

from __future__ import annotations

import os

from daybook.cli.command import CommandResult, Exit, app_from_env, command
from daybook.destinations.base import Finding


@command("doctor", failed="something is not ok; a warning leaves it at 0")
def doctor() -> CommandResult:
    """Examine the set-up and say what to do.

    Looks at settings, MongoDB, clock, queue and destination; changes nothing.
    """
    from daybook.ops.doctor import examine, to_doc

    findings = list(examine(app_from_env().installation(os.environ)))
    healthy = all(finding.ok for finding in findings)
    width = max(len(finding.name) for finding in findings)
    lines = [f"{_mark(finding)}  {finding.name:<{width}}  {finding.detail}" for finding in findings]
    return CommandResult(
        doc=to_doc(findings), lines=lines, code=Exit.OK if healthy else Exit.FAILED
    )


def _mark(finding: Finding) -> str:
    if finding.warning:
        return "WARN  "
    return "ok    " if finding.ok else "NOT OK"
