"""`migrate`: bring the database to what this version expects."""

from __future__ import annotations

from daybook.cli.command import Answer, app_from_env, command


@command("migrate")
def migrate() -> Answer:
    """Build the indexes and apply what else is pending. May be repeated.

    Exit code 3: something stands in the way, such as duplicates; they are listed and
    nothing was changed.
    """
    from daybook.mongo.migrate import migrate as apply
    from daybook.mongo.migrate import to_doc

    app = app_from_env()
    steps = apply(app.database, now=app.clock())
    lines = [
        f"{step.version:04} {step.name}: {'applied' if step.changed else 'nothing to do'}"
        for step in steps
    ]
    return Answer(doc=to_doc(app.settings.database, steps), lines=lines)
