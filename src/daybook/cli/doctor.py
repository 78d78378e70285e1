"""`doctor`: what is wrong with the set-up."""

from __future__ import annotations

import os

from daybook.cli.command import Answer, app_from_env, command
from daybook.cli.exits import Exit


@command("doctor")
def doctor() -> Answer:
    """Examine the set-up and say what to do.

    Looks at settings, MongoDB, clock, queue and destination; changes nothing. Exit code
    1: something is not ok.
    """
    from daybook.ops.doctor import examine, to_doc

    findings = list(examine(app_from_env().patient(os.environ)))
    healthy = all(finding.ok for finding in findings)
    width = max(len(finding.name) for finding in findings)
    lines = [
        f"{'ok    ' if finding.ok else 'NOT OK'}  {finding.name:<{width}}  {finding.detail}"
        for finding in findings
    ]
    return Answer(doc=to_doc(findings), lines=lines, code=Exit.OK if healthy else Exit.FAILED)
