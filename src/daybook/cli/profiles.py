"""`profiles`: which profiles there are, one of them in full, and what each would print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from daybook.cli.command import CommandResult, Exit, app_from_env, command
from daybook.cli.outcome import row

if TYPE_CHECKING:
    from daybook.app import App
    from daybook.profiles.configured import ConfiguredProfile


@command("profiles", failed="a profile rejects the sample")
@click.argument(
    "action", type=click.Choice(["list", "show", "check"]), default="list", metavar="[ACTION]"
)
@click.argument("name", required=False)
def profiles(action: str, name: str | None) -> CommandResult:
    """List the profiles, show one in full, or check them.

    `profiles` lists them. `profiles show NAME` prints a profile, or a preset, as TOML to
    edit. `profiles check` prints a sample entry in the layout of each profile, or of the
    named one, and says what it could not fill.
    """
    app = app_from_env()
    if action == "show":
        if name is None:
            raise click.UsageError("give the name of a profile or of a preset")
        return _show(app, name)
    if action == "check":
        if name is not None and name not in app.profiles:
            raise click.UsageError(f"NAME: {app.no_profile(name)}")
        return _check(app, list(app.profiles) if name is None else [name])
    if name is not None:
        raise click.UsageError("`profiles list` takes no name")
    docs = [_doc(each) for each in app.profiles.values()]
    return CommandResult(
        doc={"profiles": docs}, lines=[_line(each) for each in app.profiles.values()]
    )


def _doc(configured: ConfiguredProfile) -> dict[str, object]:
    return {
        "name": configured.name,
        "preset": configured.preset,
        "enabled": configured.enabled,
        "format": configured.profile.format.value,
        "filename": configured.profile.filename or configured.profile.default_filename,
        "cron": configured.cron,
        "timeZone": configured.profile.time_zone.key,
        "destination": configured.destination.url,
        "digest": configured.profile.digest,
    }


def _line(configured: ConfiguredProfile) -> str:
    doc = _doc(configured)
    off = "" if configured.enabled else "  (disabled)"
    return (
        f"{doc['name']}: {doc['filename']} at {doc['cron']} {doc['timeZone']}, "
        f"to {doc['destination']}, preset {doc['preset']}{off}"
    )


def _show(app: App, name: str) -> CommandResult:
    from daybook.profiles import presets
    from daybook.profiles.printed import to_toml
    from daybook.profiles.reading import of_preset

    if name in app.profiles:
        configured = app.profiles[name]
    elif name in presets.names():
        configured = of_preset(app.settings, name)
    else:
        known = ", ".join(presets.names())
        raise click.UsageError(f"NAME: {app.no_profile(name)}; the presets are {known}")
    text = to_toml(configured)
    return CommandResult(doc={"profiles": [{"name": name, "toml": text}]}, lines=text.splitlines())


def _check(app: App, names: list[str]) -> CommandResult:
    from daybook.audit.explain import rows_of
    from daybook.cli.command import table
    from daybook.profiles.sample import sample

    docs, lines = [], []
    failed = False
    for name in names:
        profile = app.profiles[name].profile
        found = sample(profile)
        rows = rows_of(found.content, profile)
        failed = failed or found.rejected is not None
        docs.append(
            {
                "name": name,
                "rows": rows,
                "unfilled": list(found.unfilled),
                "rejected": found.rejected,
            }
        )
        lines += [f"{name}:", *table(rows)]
        lines += [row("unfilled", one) for one in found.unfilled]
        if found.rejected is not None:
            lines.append(row("rejected", found.rejected))
    return CommandResult(
        doc={"profiles": docs}, lines=lines, code=Exit.FAILED if failed else Exit.OK
    )
