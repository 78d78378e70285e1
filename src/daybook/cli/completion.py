"""`completion`: what a shell reads to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from daybook.cli.command import CommandResult, asks_for_json, command

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "daybook"
VARIABLE = "_DAYBOOK_COMPLETE"
"""By this click recognises the shell's question (https://click.palletsprojects.com/shell-completion/)."""


@command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> CommandResult:
    """Print the script by which SHELL completes commands and options.

    To have it in every new shell, put it into a file: in zsh one that is called _daybook, in a
    folder of $fpath. For bash and fish, whose folders may have to be made first:

    \b
    daybook completion bash > ~/.local/share/bash-completion/completions/daybook
    daybook completion fish > ~/.config/fish/completions/daybook.fish
    """  # noqa: D301  (click keeps the lines of a paragraph that begins with this character)
    kind = get_completion_class(shell)
    if kind is None:
        raise LookupError(f"click knows no shell {shell}")
    script = kind(click.get_current_context().find_root().command, {}, PROGRAM, VARIABLE).source()
    if not asks_for_json():
        click.echo(script)
        return CommandResult(doc=None)
    return CommandResult(doc={"shell": shell, "script": script})
